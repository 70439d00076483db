"""A convolutional network as a scikit-learn classifier: for pipelines, grid searches and cross-validation.

>>> from sklearn.datasets import load_digits
>>> import tinygrad_cnn as tg
>>> X, y = load_digits(return_X_y=True)
>>> tg.sklearn.CNNClassifier(random_state=0).fit(X[:500], y[:500]).score(X[500:700], y[500:700]) > 0.9
True
"""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, nn
from ..autograd.modes import no_grad
from ..autograd.tensor import wrap
from ..checks import abbreviated, require
from ..models import build, cost_of, probabilities
from ..optim import Adam, OneCycle
from ..training.weights import weighted_mean

_base: Any = require("sklearn.base", "sklearn")
_utils = require("sklearn.utils", "sklearn")
require("sklearn.utils.class_weight", "sklearn")
_validation = require("sklearn.utils.validation", "sklearn")
_multiclass = require("sklearn.utils.multiclass", "sklearn")

Images = NDArray[np.float32]
NetworkFn = Callable[[tuple[int, ...], int, np.random.Generator], nn.Module]

_PREDICTION_BATCH = 1000


class CNNClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[misc]
    """A convolutional network behind scikit-learn's interface: each row of X is an image, y has any labels.

    The numbers of X are shifted and scaled as it takes to give those of `fit`, all pixels together, mean 0 and standard
    deviation 1. The network is trained with Adam and a one-cycle learning rate on its cost: the cross-entropy, or a
    named network's own.

    Args:
        model: the network: a name from `tinygrad_cnn.models`, or a function of ``image_shape``, the number of classes
            and a `numpy.random.Generator` that returns one whose scores are logits. None: two convolutions with 16 and
            32 filters of 3x3, each followed by pooling as long as the maps are large enough, and a layer of 64 neurons.
        image_shape: (H, W) or (C, H, W) of a row's image. None: a square of one channel if a row's length is a square
            number, else one line of pixels.
        epochs: passes over the images.
        batch_size: images per update.
        lr: the highest learning rate.
        class_weight: "balanced", or a weight for each label, as scikit-learn's; None counts all images alike.
        random_state: a seed, or a `numpy.random.RandomState`, for initialisation, dropout and the order of the images.

    Attributes:
        classes_: the labels, sorted; columns of `predict_proba` are in this order.
        n_features_in_: the length of a row.
        model_: the trained `tinygrad_cnn.nn.Module`.
        image_shape_: (C, H, W).
        costs_: the mean cost of each epoch; of the cross-entropy, in nats.
    """

    def __init__(
        self,
        model: str | NetworkFn | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.005,
        class_weight: str | dict[Any, float] | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a new network.

        Args:
            X: rows ``(n, features)``, or images ``(n, H, W)``, ``(n, C, H, W)`` or ``(n, H, W, C)``.
            y: labels ``(n,)``.
            sample_weight: how much each image counts ``(n,)``; all alike when None.

        Raises:
            ValueError: X and y do not fit each other, the image shape or the settings, or training diverges.
        """
        X, shape = _as_rows(X)
        X, y = _validation.validate_data(self, X, y, dtype=(np.float64, np.float32))
        weights = _validation._check_sample_weight(sample_weight, X) * self._class_weights(y)
        _multiclass.check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        rng = np.random.default_rng(_utils.check_random_state(self.random_state).randint(2**31))
        self.image_shape_ = _image_shape(self.image_shape or shape, self.n_features_in_)
        pixels = np.asarray(X, np.float64)
        self.mean_, self.scale_ = float(pixels.mean()), float(pixels.std()) or 1.0
        self.model_ = self._make_network(rng)
        self.costs_ = self._train(self._images(X), labels, weights, rng)
        self.model_.eval()
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class, ``(n, classes)``, in the order of ``classes_``."""
        _validation.check_is_fitted(self)
        X, _ = _as_rows(X)
        images = self._images(_validation.validate_data(self, X, reset=False, dtype=(np.float64, np.float32)))
        with no_grad():
            batches = (images[i : i + _PREDICTION_BATCH] for i in range(0, len(images), _PREDICTION_BATCH))
            scores = [self.model_(wrap(batch)).astype(np.float64) for batch in batches]
            return np.concatenate([probabilities(self.model_, rows).data for rows in scores])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each row, ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _make_network(self, rng: np.random.Generator) -> nn.Module:
        if isinstance(self.model, str):
            return build(self.model, self.image_shape_, len(self.classes_), rng=rng)
        if isinstance(self.model, nn.Module) or not (self.model is None or callable(self.model)):
            raise TypeError(f"CNNClassifier: model must be a name or a function, got {abbreviated(self.model)}")
        network = (self.model or _default_network)(self.image_shape_, len(self.classes_), rng)
        if not isinstance(network, nn.Module):
            raise TypeError(f"CNNClassifier: model must return a Module, got {abbreviated(network)}")
        return network

    def _images(self, X: Any) -> Images:
        """Return the rows as images, shifted and scaled."""
        scaled = (np.asarray(X, np.float64) - self.mean_) / self.scale_
        return scaled.astype(np.float32).reshape(-1, *self.image_shape_)

    def _class_weights(self, y: Any) -> NDArray[np.float64]:
        """Return the weight of each image's class."""
        weights: NDArray[np.float64] = _utils.class_weight.compute_sample_weight(self.class_weight, y)
        return weights

    def _train(
        self, images: Images, labels: NDArray[np.intp], weights: NDArray[np.float64], rng: np.random.Generator
    ) -> list[float]:
        """Train the network, and return the mean cost of each epoch."""
        epochs = checks.integer("CNNClassifier", "epochs", self.epochs, 1)
        size = checks.integer("CNNClassifier", "batch_size", self.batch_size, 1)
        adam = Adam(self.model_.parameters(), self.lr)
        schedule = OneCycle(adam, self.lr, epochs * math.ceil(len(images) / size))
        criterion, is_weighted = cost_of(self.model_), bool((weights != 1).any())
        self.model_.train()
        costs = []
        for _ in range(epochs):
            order, total = rng.permutation(len(images)), 0.0
            for rows in (order[i : i + size] for i in range(0, len(order), size)):
                with np.errstate(all="ignore"):  # costs that are not finite raise below
                    scores = self.model_(wrap(images[rows]))
                    if is_weighted:
                        cost = weighted_mean(criterion, scores, labels[rows], weights[rows])
                    else:
                        cost = criterion(scores, labels[rows])
                    adam.zero_grad()
                    cost.backward()
                    adam.step()
                schedule.step()
                total += float(cost) * len(rows)
            if not math.isfinite(total):
                raise ValueError(f"CNNClassifier: training diverged (the cost is {total}); try a smaller lr")
            costs.append(total / len(images))
        return costs


def _as_rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return images as rows, and (C, H, W) of one; rows as they are, and None."""
    if getattr(X, "ndim", 2) not in (3, 4):
        return X, None
    images = np.asarray(X)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        images = images.transpose(0, 3, 1, 2)
    return images.reshape(len(images), -1), images.shape[1:]


def _image_shape(shape: tuple[int, ...] | None, features: int) -> tuple[int, ...]:
    """Return (C, H, W) of the images in rows of that many features."""
    if shape is None:
        side = math.isqrt(features)
        return (1, side, side) if side * side == features else (1, 1, features)
    shape = checks.array_shape("CNNClassifier", "image_shape", shape)
    if len(shape) not in (2, 3) or math.prod(shape) != features:
        raise ValueError(f"CNNClassifier: image_shape {shape} must be (H, W) or (C, H, W) and hold {features} numbers")
    return shape if len(shape) == 3 else (1, *shape)


def _default_network(image_shape: tuple[int, ...], classes: int, rng: np.random.Generator) -> nn.Module:
    """Return the network of `CNNClassifier` for ``model=None``."""
    channels, *sides = image_shape
    layers: list[nn.Module] = []
    for filters in (16, 32):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, rng=rng), nn.ReLU()]
        overlay = (min(2, sides[0]), min(2, sides[1]))
        layers.append(nn.MaxPool2d(overlay))
        channels, sides = filters, [side // length for side, length in zip(sides, overlay, strict=True)]
    inputs = channels * math.prod(sides)
    layers += [nn.Flatten(), nn.Linear(inputs, 64, rng=rng), nn.ReLU(), nn.Linear(64, classes, rng=rng)]
    return nn.Sequential(*layers)
