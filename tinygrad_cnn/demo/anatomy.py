"""A network taken apart on one image: its layers' maps, one neuron's sum, and the gradient that reaches the pixels."""

import base64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, grad, wrap
from ..checks import plural
from ..models import Network, probabilities
from ..nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
)

Maps = NDArray[np.float32]  # (C, H, W)
Picture = NDArray[np.uint8]  # (28, 28)

_SLIDING = (Conv2d, MaxPool2d, AvgPool2d)
_WORDS: dict[type[Module], str] = {
    Conv2d: "Convolution",
    MaxPool2d: "Max pooling",
    AvgPool2d: "Mean pooling",
    Linear: "Fully connected",
    BatchNorm2d: "Batch normalisation",
}


class Step(NamedTuple):
    """One layer at work. A row of n neurons counts as n maps of 1x1."""

    layer: Module
    given: Maps
    maps: Maps


class Neuron(NamedTuple):
    """How one number came about: for an overlay with a filter, ``sum(underlay * filter) + bias``."""

    top: int
    left: int
    underlay: Maps
    filter: Maps | None
    bias: float
    value: float


def steps(network: Network, image: Picture) -> tuple[list[Step], Maps]:
    """Every layer's maps of an image, and the scores (K,). Layers that only pass numbers on are left out."""
    x = _input(image)
    maps: Maps = x.data[0]
    found = []
    with no_grad():
        for _, layer in network.children():
            x = layer(x)
            if not isinstance(layer, Flatten | Dropout):
                given, maps = maps, x.data[0].reshape(x.shape[1:] if x.ndim == 4 else (-1, 1, 1))
                found.append(Step(layer, given, maps))
    return found, x.data[0]


def look(network: Network, image: Picture) -> dict[str, Any]:
    """Everything that the page shows of an image, ready for JSON."""
    found, scores = steps(network, image)
    with no_grad():
        shares = probabilities(network, wrap(scores[None])).data[0]
    return {
        "image": base64.b64encode(image.tobytes()).decode(),
        "shares": _rounded(shares),
        "layers": [_described(step) for step in found],
    }


def neuron(step: Step, channel: int, row: int, column: int) -> Neuron:
    """What made one neuron of a step, by the article's overlay; a fully connected one overlays everything.

    Raises ValueError for a layer that looks at single numbers, and for a neuron that is not there.
    """
    layer, given = step.layer, step.given
    if not all(0 <= k < n for k, n in zip((channel, row, column), step.maps.shape, strict=True)):
        raise ValueError(f"there is no neuron {channel, row, column} in maps of shape {step.maps.shape}")
    value = float(step.maps[channel, row, column])
    if isinstance(layer, Linear):
        bias = 0.0 if layer.bias is None else float(layer.bias.data[channel])
        return Neuron(0, 0, given, layer.weight.data[channel].reshape(given.shape), bias, value)
    if not isinstance(layer, _SLIDING):
        raise ValueError(f"no overlay slides over the maps before {_word(layer)}")
    (down, right), (high, wide) = layer.stride, layer.kernel_size
    above, before = layer.padding
    top, left = row * down - above, column * right - before
    border = np.pad(given, ((0, 0), (above, above), (before, before)))
    overlay = border[:, top + above :, left + before :][:, :high, :wide]
    if not isinstance(layer, Conv2d):
        return Neuron(top, left, overlay[channel : channel + 1], None, 0.0, value)
    bias = 0.0 if layer.bias is None else float(layer.bias.data[channel])
    return Neuron(top, left, overlay, layer.weight.data[channel], bias, value)


def described_neuron(made: Neuron) -> dict[str, Any]:
    """A neuron ready for JSON."""
    answer: dict[str, Any] = {"top": made.top, "left": made.left, "value": _rounded(made.value)}
    answer["underlay"] = _rounded(made.underlay)
    if made.filter is not None:
        products = made.underlay * made.filter
        answer |= {"filter": _rounded(made.filter), "products": _rounded(products), "bias": _rounded(made.bias)}
        answer |= {"sum": _rounded(products.sum(dtype=np.float64))}
    return answer


def pull(network: Network, image: Picture, label: int) -> Maps:
    """d(score of a class) / d(pixels), (1, 28, 28): where more ink would pull the class up (positive) or down.

    The score is what the last layer gives, before any softmax.
    """
    x = _input(image, requires_grad=True)
    (gradient,) = grad(network(x)[0, label], x)
    maps: Maps = gradient.data[0]
    return maps


def packed(maps: Maps) -> dict[str, Any]:
    """Maps for the page: their shape, and a signed byte for each number, 127 for the largest magnitude."""
    peak = float(np.abs(maps).max(initial=0.0))
    shares = np.rint(maps * (127 / peak if peak else 0.0)).astype(np.int8)
    return {"shape": list(maps.shape), "bytes": base64.b64encode(shares.tobytes()).decode()}


def _input(image: Picture, *, requires_grad: bool = False) -> Tensor:
    return Tensor(image.astype(np.float32)[None, None] / np.float32(255), requires_grad=requires_grad)


def _described(step: Step) -> dict[str, Any]:
    count, height, width = step.maps.shape
    size = plural(count, "neuron") if height == width == 1 else f"{plural(count, 'map')} of {height}×{width}"
    overlay = " " + "×".join(map(str, step.layer.kernel_size)) if isinstance(step.layer, _SLIDING) else ""
    kept = base64.b64encode(_kept(step).tobytes()).decode() if isinstance(step.layer, MaxPool2d) else None
    return packed(step.maps) | {
        "title": f"{_word(step.layer)}{overlay}: {size}",
        "overlay": isinstance(step.layer, (*_SLIDING, Linear)),
        "kept": kept,
    }


def _kept(step: Step) -> NDArray[np.bool_]:
    """Which neurons max pooling kept, (C, H, W): the gradient flows back to these alone."""
    x = Tensor(step.given[None], requires_grad=True)
    (gradient,) = grad(step.layer(x).sum(), x)
    kept: NDArray[np.bool_] = gradient.data[0] != 0
    return kept


def _word(layer: Module) -> str:
    return _WORDS.get(type(layer), type(layer).__name__)


def _rounded(values: Any) -> Any:
    """Plain numbers with as many decimals as anyone reads."""
    return np.round(np.asarray(values, np.float64), 5).tolist()
