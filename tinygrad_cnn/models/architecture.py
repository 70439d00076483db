"""The layers of a network as plain values for a file, and back: for networks of this library's own layers."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import nn, ops
from ..checks import abbreviated
from ..nn import Module

_FUNCTIONS = ("gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "softmax", "tanh")
_WITHOUT_EFFECT = ("rng", "inplace", "return_indices", "args", "kwargs")
_MAX_LAYERS = 10_000
_MAX_DEPTH = 50

Spec = dict[str, Any]


def describe(model: Module) -> Spec | None:
    """Return the classes and settings of a `Sequential` and its layers, ready for JSON.

    None if any of them is not this library's: such a network cannot be made anew from a file.
    """
    seen: dict[int, int] = {}
    spec = _describe(model, seen)
    if spec is None:
        return None
    return spec | {"dtype": "float64"} if any(p.dtype == np.float64 for p in model.parameters()) else spec


def restore(spec: object, numbers: int) -> nn.Sequential:
    """Return the network of a description, with weights that are yet to be loaded.

    Args:
        spec: what `describe` returned.
        numbers: how many numbers the file holds, the most that the network may have.

    Raises:
        ValueError: a description of something else, or of a network with more numbers than that.
    """
    layers: list[Any] = []
    try:
        model = _restore(spec, layers, [numbers], 0)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the description of its layers is damaged: {error}") from error
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"its layers must be a Sequential, got {abbreviated(spec)}")
    if isinstance(spec, Mapping) and spec.get("dtype") == "float64":
        model.astype(np.float64)
    return model


def _describe(layer: Any, seen: dict[int, int]) -> Spec | None:
    if id(layer) in seen:
        return {"same": seen[id(layer)]}
    seen[id(layer)] = len(seen)
    kind = type(layer)
    if isinstance(layer, nn.Sequential):
        if kind.forward is not nn.Sequential.forward:
            return None
        inner = [_describe(part, seen) for part in layer]
        return None if None in inner else {"class": "Sequential", "layers": inner}
    name = getattr(layer, "__name__", "")
    if name in _FUNCTIONS and getattr(ops, name) is layer:
        return {"function": name}
    if (
        not isinstance(layer, Module)
        or getattr(nn, kind.__name__, None) is not kind
        or isinstance(layer, nn.ModuleList)
    ):
        return None
    names = [p for p in inspect.signature(kind.__init__).parameters if p not in ("self", *_WITHOUT_EFFECT)]
    return {"class": kind.__name__, "settings": {p: _setting(layer, p) for p in names}}


def _setting(layer: Module, name: str) -> Any:
    """Return a layer's argument of that name as a plain value."""
    if name == "padding" and getattr(layer, "same", False):
        return "same"
    value = getattr(layer, name)
    if name == "bias":
        return value is not None
    if isinstance(value, nn.Buffer):
        return value.data.tolist()
    return list(value) if isinstance(value, tuple) else value


def _restore(spec: Any, layers: list[Any], left: list[int], depth: int) -> Any:
    if len(layers) > _MAX_LAYERS or depth > _MAX_DEPTH:
        raise ValueError("the description of its layers is too long")
    if "same" in spec:
        return layers[spec["same"]]
    place = len(layers)
    layers.append(None)
    if "function" in spec:
        if spec["function"] not in _FUNCTIONS:
            raise ValueError(f"there is no function {abbreviated(spec['function'])}")
        layer = getattr(ops, spec["function"])
    elif spec["class"] == "Sequential":
        layer = nn.Sequential(*(_restore(inner, layers, left, depth + 1) for inner in spec["layers"]))
    else:
        layer = _make(spec["class"], dict(spec["settings"]), left)
    layers[place] = layer
    return layer


def _make(name: Any, settings: dict[str, Any], left: list[int]) -> Module:
    kind = getattr(nn, name, None) if isinstance(name, str) and name in nn.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, Module)) or kind in (nn.ModuleList, Module):
        raise ValueError(f"there is no layer {abbreviated(name)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    left[0] -= _least_numbers(values)
    if left[0] < 0:
        raise ValueError(f"{name} has more numbers than the file holds")
    layer: Module = kind(**values)
    return layer


def _least_numbers(settings: Mapping[str, Any]) -> int:
    """Return how many numbers a layer has at least, by the sizes among its settings, before it is made."""
    names = ["in_channels", "out_channels", "in_features", "out_features"]
    if settings.get("affine") or settings.get("track_running_stats"):  # else a normalisation has none
        names.append("num_features")
    sizes = [settings.get(k) for k in names]
    size = math.prod(int(n) for n in sizes if n is not None) if any(n is not None for n in sizes) else 0
    kernel = settings.get("kernel_size", 1) if "in_channels" in settings else 1
    taps = math.prod(kernel) if isinstance(kernel, tuple) else int(kernel) ** 2
    return size * taps // max(int(settings.get("groups", 1)), 1)
