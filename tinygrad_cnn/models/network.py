"""A named network, and the builder that makes one: each layer fits the output of the layer before."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import checks, nn
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, wrap
from ..data import ImageSpec
from ..data.spec import numbered
from ..ops import cross_entropy, quadratic_cost, softmax
from .summary import Shape, output_shape

Cost = Callable[[Tensor, NDArray[Any]], Tensor]
"""A cost of a network's scores (N, K) and the labels (N,)."""
Layer = Callable[[Tensor], Tensor]

_SMALL_SIDE_PIXELS = 20  # images below it get 3x3 filters that keep the size
_MAX_SIDE_PIXELS, _MAX_CHANNELS, _MAX_CLASSES = 256, 64, 10_000  # a file cannot ask for more


class Network(nn.Sequential):
    """Layers in a row, with the arguments that they were built from, so that a file names the network of its weights.

    Attributes:
        name: the recipe's.
        image_shape: (C, H, W) of the images it takes.
        num_classes: how many scores it gives.
        class_names: the names of the classes; "0", "1" and so on if it was not trained on images that have them.
        cost: the cost of its scores (N, K) and labels (N,) that it is trained to make small.
    """

    def __init__(
        self, name: str, image_shape: Shape, num_classes: int, layers: Sequence[Layer], cost: Cost = cross_entropy
    ) -> None:
        super().__init__(*layers)
        self.name, self.image_shape, self.num_classes, self.cost = name, image_shape, num_classes, cost

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.image_spec.class_names if isinstance(self.image_spec, ImageSpec) else numbered(self.num_classes)

    def settings(self) -> dict[str, Any]:
        """Return the arguments with which `models.build` makes this network, ready for JSON."""
        settings = {"name": self.name, "image_shape": list(self.image_shape), "num_classes": self.num_classes}
        return settings | ({"normalize": True} if len(self) and isinstance(self[0], nn.Normalize) else {})

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the class probabilities of scores, both (N, K); each row adds up to 1.

        Scores of a network trained on the cross-entropy are logits: their softmax. The article's and the primer's are
        activations ``a`` between 0 and 1: ``a / sum(a)``, equal for all classes where every activation is 0.
        """
        if self.cost is cross_entropy:
            return softmax(scores)
        a = scores + float(np.finfo(scores.dtype).tiny)
        return a / a.sum(1, keepdims=True)


def quadratic_cost_of_labels(a: Tensor, labels: NDArray[Any]) -> Tensor:
    """Return `quadratic_cost` of activations (N, K) and the one-hot rows of the labels (N,), as the article has it."""
    targets = np.zeros(a.shape, a.dtype)
    targets[np.arange(len(labels)), labels] = 1
    return quadratic_cost(a, targets)


def log_loss(p: Tensor, labels: NDArray[Any], **settings: Any) -> Tensor:
    """Return the cross-entropy of class probabilities (N, K), such as a softmax layer's, and the labels (N,).

    ``settings`` are those of `cross_entropy`.
    """
    return cross_entropy((p + float(np.finfo(p.dtype).tiny)).log(), labels, **settings)


def as_network(model: nn.Module, name: str, image_shape: Shape, spec: ImageSpec | None = None) -> Network:
    """Return any classifier as a named network, with the same layers and weights.

    It is run once on images of random pixels to see what it gives: probabilities, activations from 0 to 1, or scores.

    Raises:
        ValueError: it does not take such images, or does not give scores (N, K); the message begins with ``name``.
    """
    if isinstance(model, Network):
        return model
    pixels = np.random.default_rng(0).random((4, *image_shape), np.float32)
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with no_grad():
            scores = model(wrap(pixels))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: does not take images of shape {image_shape}: {error}") from error
    finally:
        for module, training in modes:
            module.training = training
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores.data) != len(pixels):
        got = f"shape {scores.shape}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise ValueError(f"{name}: must give scores (N, K) for {len(pixels)} images, got {got}")
    cost: Cost = cross_entropy
    if (scores.data >= 0).all() and (scores.data <= 1).all():
        cost = log_loss if np.allclose(scores.data.sum(1), 1, atol=1e-3) else quadratic_cost_of_labels
    layers: Sequence[Layer] = list(model) if isinstance(model, nn.Sequential) else [model]
    network = Network(name, image_shape, scores.shape[1], layers, cost)
    network.image_spec = spec or model.image_spec
    return network


def cost_of(model: nn.Module) -> Cost:
    """Return the cost of a network's scores: a named network's own, the cross-entropy for any other."""
    return model.cost if isinstance(model, Network) else cross_entropy


def probabilities(model: nn.Module, scores: Tensor) -> Tensor:
    """Return the class probabilities of a network's scores, both (N, K): `Network.probabilities`, or the softmax."""
    return model.probabilities(scores) if isinstance(model, Network) else softmax(scores)


class Builder:
    """A list of layers that grows, and the shape that an image has after them.

    Args:
        image_shape: (C, H, W) of the images.
        num_classes: how many scores the last layer gives.
        rng: random generator for initialisation and dropout.

    Raises:
        TypeError, ValueError: the shape is not (C, H, W), or a number is no integer, too small or too large.

    >>> builder = Builder((1, 28, 28), 10, np.random.default_rng(0))
    >>> builder.conv(20, 5).pool(2).relu().flatten().linear(10).shape
    (10,)
    """

    def __init__(self, image_shape: Shape, num_classes: int, rng: np.random.Generator) -> None:
        self.image_shape = self.shape = checks.array_shape("models", "image_shape", image_shape)
        if len(image_shape) != 3:
            raise ValueError(f"models: image_shape must be (C, H, W), got {image_shape}")
        channels, *sides = self.shape
        self.num_classes = checks.integer("models", "num_classes", num_classes, 1)
        if max(sides) > _MAX_SIDE_PIXELS or channels > _MAX_CHANNELS or num_classes > _MAX_CLASSES:
            raise ValueError(
                f"models: named networks take images of at most {_MAX_SIDE_PIXELS}x{_MAX_SIDE_PIXELS} pixels, "
                f"{_MAX_CHANNELS} channels and {_MAX_CLASSES} classes, got image_shape {image_shape} "
                f"and {num_classes} classes"
            )
        self.small = min(sides) < _SMALL_SIDE_PIXELS
        self.rng = rng
        self.layers: list[nn.Module] = []

    def add(self, layer: nn.Module) -> Self:
        """Append any layer. ValueError, naming it and the size of the maps, if it does not fit."""
        self.shape = output_shape(layer, self.shape)
        self.layers.append(layer)
        return self

    def conv(self, maps: int, size: int, *, padding: int = 0, bias: bool = True) -> Self:
        """Convolve with ``maps`` filters of ``size`` x ``size`` pixels; 3x3 and size-keeping on small images."""
        size, padding = (3, 1) if self.small else (size, padding)
        return self.add(nn.Conv2d(self.shape[0], maps, size, padding=padding, bias=bias, rng=self.rng))

    def pool(self, size: int) -> Self:
        """Max pooling over ``size`` x ``size`` overlays side by side."""
        return self.add(nn.MaxPool2d(size))

    def relu(self) -> Self:
        """max(0, x)."""
        return self.add(nn.ReLU())

    def sigmoid(self) -> Self:
        """The article's activation."""
        return self.add(nn.Sigmoid())

    def tanh(self) -> Self:
        """LeNet's activation."""
        return self.add(nn.Tanh())

    def norm(self) -> Self:
        """Batch normalisation."""
        return self.add(nn.BatchNorm2d(self.shape[0]))

    def dropout(self, p: float) -> Self:
        """Dropout with probability ``p``."""
        return self.add(nn.Dropout(p, rng=self.rng))

    def flatten(self) -> Self:
        """Maps as one row of numbers."""
        return self.add(nn.Flatten())

    def linear(self, neurons: int) -> Self:
        """A fully connected layer."""
        return self.add(nn.Linear(self.shape[0], neurons, rng=self.rng))

    def scores(self) -> Self:
        """The output layer: a fully connected one with a neuron for each class."""
        return self.linear(self.num_classes)


BuildFn = Callable[[Builder], object]
"""A function that appends a network's layers to a builder."""
