"""A convolutional network as a scikit-learn classifier: for pipelines, grid searches and cross-validation.

>>> from sklearn.datasets import load_digits
>>> from tinygrad_cnn.sklearn import CNNClassifier
>>> X, y = load_digits(return_X_y=True)
>>> CNNClassifier(random_state=0).fit(X[:500], y[:500]).score(X[500:700], y[500:700]) > 0.9
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

_base: Any = require("sklearn.base", "sklearn")
_utils = require("sklearn.utils", "sklearn")
_validation = require("sklearn.utils.validation", "sklearn")
_multiclass = require("sklearn.utils.multiclass", "sklearn")

Images = NDArray[np.float32]
Maker = Callable[[tuple[int, ...], int, np.random.Generator], nn.Module]

_ROWS = 1000  # images that are predicted at once


class CNNClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[misc]
    """A convolutional network behind scikit-learn's interface: each row of X is an image, y has any labels.

    The numbers of X are shifted and scaled to mean 0 and standard deviation 1, all pixels together, as they were in
    `fit`. The network is trained with Adam, its rate along one cycle, on the cross-entropy
    or, where a named network's recipe has another cost, on that.

    Args:
        model: the network: a name from `tinygrad_cnn.models`, or a function of ``image_shape``, the number of classes
            and a `numpy.random.Generator` that makes one (it gives logits). None: two convolutions with 16 and 32
            filters of 3x3, each followed by pooling as long as the maps are large enough, and a layer of 64 neurons.
        image_shape: (H, W) or (C, H, W) of a row's image. None: a square of one channel if a row's length is a square
            number, else one line of pixels.
        epochs: how often each image is seen.
        batch_size: how many images an update sees.
        lr: the highest learning rate.
        random_state: a seed, or a `numpy.random.RandomState`, for first values, dropout and the order of the images.

    Attributes:
        classes_: the labels, sorted; columns of `predict_proba` are in this order.
        n_features_in_: how many numbers a row has.
        model_: the trained `tinygrad_cnn.nn.Module`.
        image_shape_: (C, H, W).
        costs_: the mean cost of each epoch; of the cross-entropy, in nats.
    """

    def __init__(
        self,
        model: str | Maker | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.005,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a new network on rows X ``(n, features)`` and labels y ``(n,)``.

        Raises ValueError when X and y do not fit each other, the image shape or the settings, or when training
        diverges.
        """
        X, y = _validation.validate_data(self, X, y, dtype=(np.float64, np.float32))
        _multiclass.check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        rng = np.random.default_rng(_utils.check_random_state(self.random_state).randint(2**31))
        self.image_shape_ = _image_shape(self.image_shape, self.n_features_in_)
        numbers = np.asarray(X, np.float64)
        self.mean_, self.scale_ = float(numbers.mean()), float(numbers.std()) or 1.0
        self.model_ = self._make(rng)
        self.costs_ = self._train(self._images(X), labels, rng)
        self.model_.eval()
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The probability of each class, ``(n, classes)``, in the order of ``classes_``."""
        _validation.check_is_fitted(self)
        images = self._images(_validation.validate_data(self, X, reset=False, dtype=(np.float64, np.float32)))
        with no_grad():
            chunks = [self.model_(wrap(images[i : i + _ROWS])) for i in range(0, len(images), _ROWS)]
            return np.concatenate([probabilities(self.model_, scores.astype(np.float64)).data for scores in chunks])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable label of each row, ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _make(self, rng: np.random.Generator) -> nn.Module:
        if isinstance(self.model, str):
            return build(self.model, self.image_shape_, len(self.classes_), rng=rng)
        if isinstance(self.model, nn.Module) or not (self.model is None or callable(self.model)):
            raise TypeError(f"CNNClassifier: model must be a name or a function, got {abbreviated(self.model)}")
        network = (self.model or _network)(self.image_shape_, len(self.classes_), rng)
        if not isinstance(network, nn.Module):
            raise TypeError(f"CNNClassifier: model must make a Module, got {type(network).__name__}")
        return network

    def _images(self, X: Any) -> Images:
        """The rows as images, shifted and scaled."""
        scaled = (np.asarray(X, np.float64) - self.mean_) / self.scale_
        return scaled.astype(np.float32).reshape(-1, *self.image_shape_)

    def _train(self, images: Images, labels: NDArray[np.intp], rng: np.random.Generator) -> list[float]:
        """The mean cost of each epoch."""
        epochs = checks.integer("CNNClassifier", "epochs", self.epochs, 1)
        size = checks.integer("CNNClassifier", "batch_size", self.batch_size, 1)
        adam = Adam(self.model_.parameters(), self.lr)
        schedule = OneCycle(adam, self.lr, epochs * math.ceil(len(images) / size))
        criterion = cost_of(self.model_)
        self.model_.train()
        costs = []
        for _ in range(epochs):
            order, total = rng.permutation(len(images)), 0.0
            for rows in (order[i : i + size] for i in range(0, len(order), size)):
                with np.errstate(all="ignore"):  # what is not finite is found below, and named
                    cost = criterion(self.model_(wrap(images[rows])), labels[rows])
                    adam.zero_grad()
                    cost.backward()
                    adam.step()
                schedule.step()
                total += float(cost) * len(rows)
            if not math.isfinite(total):
                raise ValueError(f"CNNClassifier: training diverged (the cost is {total}); try a smaller lr")
            costs.append(total / len(images))
        return costs


def _image_shape(wanted: tuple[int, ...] | None, features: int) -> tuple[int, ...]:
    """(C, H, W) of a row of so many numbers."""
    if wanted is None:
        side = math.isqrt(features)
        return (1, side, side) if side * side == features else (1, 1, features)
    if not isinstance(wanted, tuple | list):
        raise TypeError(f"CNNClassifier: image_shape must be (H, W) or (C, H, W), got {abbreviated(wanted)}")
    shape = tuple(checks.integer("CNNClassifier", "each of image_shape", n, 1) for n in wanted)
    if len(shape) not in (2, 3) or math.prod(shape) != features:
        raise ValueError(f"CNNClassifier: image_shape {shape} must be (H, W) or (C, H, W) and hold {features} numbers")
    return shape if len(shape) == 3 else (1, *shape)


def _network(image_shape: tuple[int, ...], classes: int, rng: np.random.Generator) -> nn.Module:
    """The network for any image shape; see `CNNClassifier`."""
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
