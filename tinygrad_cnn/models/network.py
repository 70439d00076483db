"""A named network, and the pencil that draws one: each layer made to fit what the layer before gives."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from .. import checks, nn
from .summary import Shape, output_shape

_SMALL = 20  # images of fewer pixels a side get 3x3 filters that keep the size
_LARGEST = 256, 64, 10_000  # pixels a side, channels, classes: what a file may ask for is bounded


class Network(nn.Sequential):
    """Layers in a row, with what they were built from, so that a file can say which network its weights are for.

    Attributes:
        name: the recipe's.
        image_shape: (C, H, W) of the images it takes.
        num_classes: how many scores it gives.
    """

    def __init__(self, name: str, image_shape: Shape, num_classes: int, layers: list[nn.Module]) -> None:
        super().__init__(*layers)
        self.name, self.image_shape, self.num_classes = name, image_shape, num_classes

    def settings(self) -> dict[str, Any]:
        """The arguments that `models.build` would make this network from, ready for JSON."""
        return {"name": self.name, "image_shape": list(self.image_shape), "num_classes": self.num_classes}


class Builder:
    """Collects layers, keeping track of the shape that an image has by now.

    Args:
        image_shape: (C, H, W) of the images.
        num_classes: how many scores the last layer shall give.
        rng: where first values and dropout's masks come from.

    >>> draft = Draft((1, 28, 28), 10, np.random.default_rng(0))
    >>> draft.conv(20, 5).pool(2).relu().flatten().linear(10).shape
    (10,)
    """

    def __init__(self, image_shape: Shape, num_classes: int, rng: np.random.Generator) -> None:
        if len(image_shape) != 3:
            raise ValueError(f"models: image_shape must be (C, H, W), got {image_shape}")
        channels, *sides = (checks.integer("models", "image_shape", n, 1) for n in image_shape)
        self.num_classes = checks.integer("models", "num_classes", num_classes, 1)
        if max(sides) > _LARGEST[0] or channels > _LARGEST[1] or num_classes > _LARGEST[2]:
            raise ValueError(
                "models: named networks take images of at most {}x{} pixels, {} channels and {} classes, got ".format(
                    _LARGEST[0], *_LARGEST
                )
                + f"image_shape {image_shape} and {num_classes} classes"
            )
        self.shape: Shape = (channels, *sides)
        self.small = min(sides) < _SMALL
        self.rng = rng
        self.layers: list[nn.Module] = []

    def add(self, layer: nn.Module) -> Self:
        """Put any layer at the end."""
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


Drawing = Callable[[Builder], object]
