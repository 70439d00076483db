"""What each layer makes of an image: its output's shape, its parameters, its multiply-adds. Nothing is computed."""

import math
from dataclasses import dataclass

from ..kernels.geometry import ConvParams, PoolParams, map_shape
from ..nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Sequential,
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSummary:
    """One layer, for one image: the batch axis is left out of the shape."""

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    multiply_adds: int


def summarize(model: Sequential, image_shape: Shape) -> list[LayerSummary]:
    """Every layer of a model with its output shape, parameters and multiply-adds for one image of shape (C, H, W).

    Multiply-adds count filters and matrices; biases, pooling and activations are left out, as is usual.

    Raises ValueError when a layer does not fit what the one before gives.
    """
    rows, shape = [], image_shape
    for name, layer in model.children():
        before, shape = shape, output_shape(layer, shape)
        parameters = sum(p.size for p in layer.parameters())
        text = repr(layer)
        rows.append(LayerSummary(name, text, shape, parameters, _multiply_adds(layer, before, shape)))
    return rows


def output_shape(layer: Module, shape: Shape) -> Shape:
    """The shape of one image's output, without the batch axis. ValueError if nothing would be left of the map."""
    if isinstance(layer, Conv2d):
        if layer.same:
            return (layer.out_channels, *shape[1:])
        how = ConvParams(layer.stride, layer.padding, layer.dilation)
        return (layer.out_channels, *_fitting(layer, shape, map_shape(_plane(shape), layer.kernel_size, how)))
    if isinstance(layer, MaxPool2d | AvgPool2d):
        window = PoolParams(layer.kernel_size, layer.stride, layer.padding)
        return (shape[0], *_fitting(layer, shape, map_shape(_plane(shape), layer.kernel_size, window)))
    if isinstance(layer, Flatten):
        return (math.prod(shape),)
    if isinstance(layer, Linear):
        return (*shape[:-1], layer.out_features)
    return shape


def _plane(shape: Shape) -> tuple[int, int]:
    rows, columns = shape[-2:]
    return rows, columns


def _fitting(layer: Module, shape: Shape, result: tuple[int, int]) -> tuple[int, int]:
    if min(result) < 1:
        raise ValueError(f"{layer!r} does not fit on maps of {shape[-2]}x{shape[-1]} pixels")
    return result


def _multiply_adds(layer: Module, before: Shape, after: Shape) -> int:
    if isinstance(layer, Conv2d):
        return math.prod(after[1:]) * layer.weight.size
    if isinstance(layer, Linear):
        return layer.weight.size
    return 0
