"""A network taken apart on one image: its layers' maps, one neuron's sum, and the gradient that reaches the pixels."""

import base64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.engine import Node
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, grad, wrap
from ..checks import plural
from ..kernels.geometry import spatial
from ..models import Network, probabilities
from ..nn import Module

Maps = NDArray[np.float32]  # (C, H, W)
Picture = NDArray[np.uint8]  # (28, 28)

_WORDS = {"sliding": "Convolution", "linear": "Fully connected"}  # by kind of op; other layers go by their class


class Step(NamedTuple):
    """One layer at work. A row of n neurons counts as n maps of 1x1.

    Attributes:
        layer: the module.
        node: the op that made its result.
        result: (1, C, H, W) or (1, n).
        inputs: the maps before it.
    """

    layer: Module
    node: Node
    result: Tensor
    inputs: Maps

    @property
    def maps(self) -> Maps:
        """The layer's maps."""
        maps: Maps = self.result.data[0]
        return maps if maps.ndim == 3 else maps.reshape(-1, 1, 1)


class Neuron(NamedTuple):
    """The origin of one number: for an overlay with a filter, ``value = sum(underlay * filter) + bias``."""

    top: int
    left: int
    underlay: Maps
    filter: Maps | None
    bias: float
    value: float


def steps(network: Network, image: Picture) -> tuple[list[Step], Maps]:
    """Return every layer's maps of an image, and the scores (K,). Layers that change no number are left out."""
    x = _input(image)
    inputs: Maps = x.data[0]
    sequence = []
    for _, layer in network.children():
        y = layer(x)
        if y.node is not None and y.node.kind != "movement":
            sequence.append(Step(layer, y.node, y, inputs))
            inputs = sequence[-1].maps
        x = y.detach()
        x.requires_grad = True  # so that the next layer is recorded, alone
    return sequence, x.data[0]


def look(network: Network, image: Picture) -> dict[str, Any]:
    """Return everything that the page shows of an image, ready for JSON."""
    sequence, scores = steps(network, image)
    with no_grad():
        class_probabilities = probabilities(network, wrap(scores[None])).data[0]
    return {
        "image": base64.b64encode(image.tobytes()).decode(),
        "shares": _rounded(class_probabilities),
        "layers": [_step_json(step) for step in sequence],
    }


def neuron(step: Step, channel: int, row: int, column: int) -> Neuron:
    """Return the origin of one neuron, by the article's overlay; a fully connected neuron overlays everything.

    Raises:
        ValueError: the layer has no overlay, or the neuron does not exist.
    """
    node, inputs = step.node, step.inputs
    if not all(0 <= k < n for k, n in zip((channel, row, column), step.maps.shape, strict=True)):
        raise ValueError(f"there is no neuron {channel, row, column} in maps of shape {step.maps.shape}")
    value = float(step.maps[channel, row, column])
    if node.kind == "pooling":
        top, left, overlay = _overlay(step, node.params["shape"], row, column)
        return Neuron(top, left, overlay[channel : channel + 1], None, 0.0, value)
    if node.kind not in ("sliding", "linear"):
        raise ValueError(f"no overlay slides over the maps before {type(step.layer).__name__}")
    weight: Maps = node.inputs[1].data[channel]
    bias = float(node.inputs[2].data[channel]) if len(node.inputs) > 2 else 0.0
    if node.kind == "linear":
        return Neuron(0, 0, inputs, weight.reshape(inputs.shape), bias, value)
    return Neuron(*_overlay(step, spatial(weight.shape), row, column), weight, bias, value)


def _overlay(step: Step, shape: tuple[int, int], row: int, column: int) -> tuple[int, int, Maps]:
    """Return the first row and column of the overlay that made a neuron, and the numbers under it."""
    (down, right), (above, before) = step.node.params["stride"], step.node.params["padding"]
    top, left = row * down - above, column * right - before
    padded = np.pad(step.inputs, ((0, 0), (above, above), (before, before)))
    return top, left, padded[:, top + above :, left + before :][:, : shape[0], : shape[1]]


def neuron_json(origin: Neuron) -> dict[str, Any]:
    """Return a neuron ready for JSON."""
    fields = {"top": origin.top, "left": origin.left, "value": _rounded(origin.value)}
    fields["underlay"] = _rounded(origin.underlay)
    if origin.filter is not None:
        products = origin.underlay * origin.filter
        fields |= {"filter": _rounded(origin.filter), "products": _rounded(products), "bias": _rounded(origin.bias)}
        fields |= {"sum": _rounded(products.sum(dtype=np.float64))}
    return fields


def pull(network: Network, image: Picture, label: int) -> Maps:
    """Return d(score of a class) / d(pixels), (1, 28, 28): where more ink pulls the class up (positive) or down.

    The score is the last layer's, before any softmax.
    """
    x = _input(image)
    (gradient,) = grad(network(x)[0, label], x)
    maps: Maps = gradient.data[0]
    return maps


def maps_json(maps: Maps) -> dict[str, Any]:
    """Return maps for the page: their shape, and a signed byte for each number, 127 for the largest magnitude."""
    peak = float(np.abs(maps).max(initial=0.0))
    signed = np.rint(maps * (127 / peak if peak else 0.0)).astype(np.int8)
    return {"shape": list(maps.shape), "bytes": base64.b64encode(signed.tobytes()).decode()}


def _input(image: Picture) -> Tensor:
    return Tensor(image.astype(np.float32)[None, None] / np.float32(255), requires_grad=True)


def _step_json(step: Step) -> dict[str, Any]:
    node = step.node
    count, height, width = step.maps.shape
    size = plural(count, "neuron") if height == width == 1 else f"{plural(count, 'map')} of {height}×{width}"
    winners = _winners(step) if node.name == "maxpool" else None
    word, overlay = _WORDS.get(node.kind, type(step.layer).__name__), ""
    if node.kind == "pooling":
        word, overlay = "Mean pooling" if winners is None else "Max pooling", "{}×{}".format(*node.params["shape"])
    if node.kind == "sliding":
        overlay = "{}×{}".format(*spatial(node.inputs[1].shape))
    return maps_json(step.maps) | {
        "title": f"{f'{word} {overlay}'.rstrip()}: {size}",
        "overlay": node.kind in ("sliding", "pooling", "linear"),
        "kept": None if winners is None else base64.b64encode(winners.tobytes()).decode(),
    }


def _winners(step: Step) -> NDArray[np.bool_]:
    """Return the neurons that max pooling passes on, (C, H, W): its rule sends the gradient back to these alone."""
    y = step.result
    with no_grad():
        (gradient,) = step.node.gradients(wrap(np.ones_like(y.data)), y, [True])
    winners: NDArray[np.bool_] = gradient.data[0] != 0
    return winners


def _rounded(values: Any) -> Any:
    """Return plain numbers with five decimals."""
    return np.round(np.asarray(values, np.float64), 5).tolist()
