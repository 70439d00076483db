"""A traced network as the page's engine reads it: its ops as JSON, its arrays as float32 in base 64."""

import base64
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import normal_axes
from ..interop.trace import Op, Trace, Value, trace
from ..models import cost_of
from ..nn import Module
from ..ops import cross_entropy

Json = dict[str, Any]
Shape = tuple[int, ...]


def program(model: Module, image_shape: Shape, *, with_weights: bool = True) -> Json:
    """Return a network as it computes in evaluation mode, ready for JSON.

    Args:
        model: the network.
        image_shape: (C, H, W) of one image.
        with_weights: if False, ``weights`` is empty: the page initialises the parameters itself.

    Raises:
        ValueError: the engine has no such op, or not with these parameters; the message names it.
    """
    traced = trace("to_page", model, image_shape)
    params = [_params(op) for op in traced.ops]  # first, so that an op that the page cannot run is what is named
    arrays = traced.state | traced.constants
    return {
        "input": traced.input.name,
        "output": traced.output.name,
        "image_shape": list(image_shape),
        "num_classes": _class_count(traced.output),
        "cost": "cross_entropy" if cost_of(model) is cross_entropy else "quadratic_cost",
        "ops": [_op_json(*pair) for pair in zip(traced.ops, params, strict=True)],
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
        "parameters": [name for name in traced.state if name not in traced.buffers],
        "constants": list(traced.constants),
        "varying": _varying(traced),
        "weights": base64_floats(arrays.values()) if with_weights else "",
    }


def base64_floats(arrays: Iterable[NDArray[Any]]) -> str:
    """Return arrays one after another as little-endian float32 in base 64."""
    return base64.b64encode(b"".join(np.asarray(a, "<f4").tobytes() for a in arrays)).decode()


def base64_bytes(array: NDArray[np.uint8]) -> str:
    """Return an array's bytes in base 64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _class_count(output: Value) -> int:
    """Return K of scores (batch, K). ValueError for a result of another shape."""
    if len(output.shape) != 2 or output.shape[0] != "batch" or not isinstance(output.shape[1], int):
        raise ValueError(f"to_page: the network must return scores of shape (N, K), got {output.shape}")
    return output.shape[1]


def _varying(traced: Trace) -> list[str]:
    """Return the names of the arrays that depend on the image; the other results are made of the state alone."""
    names = {traced.input.name}
    for op in traced.ops:
        if any(value.name in names for value in op.inputs):
            names.add(op.result.name)
    return [op.result.name for op in traced.ops if op.result.name in names]


def _params(op: Op) -> Json:
    """Return an op's parameters. ValueError if the engine has no such op, or not with these parameters."""
    if op.name not in PARAMETERS:
        raise ValueError(f"to_page: the page cannot run the op {op.name} (inputs of shape {_shapes(op)})")
    return PARAMETERS[op.name](op)


def _op_json(op: Op, params: Json) -> Json:
    """Return an op. ValueError if its result's shape depends on the batch in another way than by its length."""
    if op.varying:
        raise ValueError(f"to_page: {op.name}: {op.varying[0]} changes with the batch")
    if None in op.result.shape:
        raise ValueError(f"to_page: {op.name}: its result has a length that is not the batch's, but depends on it")
    return {
        "name": op.name,
        "params": params,
        "inputs": [value.name for value in op.inputs],
        "result": op.result.name,
        "shape": list(op.result.shape),
        "formula": op.formula,
        "sentences": list(op.sentences),
    }


def _shapes(op: Op) -> str:
    return ", ".join(f"({', '.join(map(str, value.shape))})" for value in op.inputs)


def _none(op: Op) -> Json:
    return {}


def _copied(*names: str) -> Callable[[Op], Json]:
    """Return a function that takes these parameters as they are."""
    return lambda op: {name: op.params[name] for name in names}


def _clip(op: Op) -> Json:
    """Return both bounds; JSON has no infinity, so that a missing one is the largest number."""
    low, high = op.params["low"], op.params["high"]
    return {"low": -_LARGEST if low is None else low, "high": _LARGEST if high is None else high}


def _pad(op: Op) -> Json:
    """Return the border's widths and number, as a text that JavaScript's Number reads: JSON has no infinity."""
    value = float(op.params["value"])
    text = repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}inity"
    return {"widths": op.params["widths"], "value": text.replace("inf", "Inf")}


def _astype(op: Op) -> Json:
    if np.dtype(op.params["dtype"]).kind != "f":
        raise ValueError(f"to_page: astype: the page computes with floats, not with {op.params['dtype']}")
    return {}


def _sum(op: Op) -> Json:
    return {"axes": list(normal_axes("sum", op.params["axis"], len(op.inputs[0].shape)))}


def _transpose(op: Op) -> Json:
    return {"axes": list(normal_axes("transpose", op.params["axes"], len(op.inputs[0].shape)))}


def _getitem(op: Op) -> Json:
    """Return where an index of integers and slices begins on each axis, and each result axis's source and step."""
    index, shape = op.params["index"], op.inputs[0].shape
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(
        isinstance(p, bool) or not (p is None or p is Ellipsis or isinstance(p, int | np.integer | slice))
        for p in parts
    ):
        raise ValueError(
            "to_page: getitem: the page takes integers and slices only, not arrays, as max and min use "
            f"(inputs of shape {_shapes(op)})"
        )
    rest = [slice(None)] * (len(shape) - sum(p is not None and p is not Ellipsis for p in parts))
    dots = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    parts = [*parts[:dots], *rest, *parts[dots + 1 :]]
    views: list[tuple[int, int]] = []
    offset: list[int] = []
    for part in parts:
        if part is None:
            views.append((-1, 0))
            continue
        axis = len(offset)
        length = shape[axis]
        if not isinstance(length, int):
            if part != slice(None):
                raise ValueError("to_page: getitem: picks images of the batch, which the page runs one at a time")
            start, step = 0, 1
        elif isinstance(part, slice):
            start, _, step = part.indices(length)
        else:
            start, step = int(part) % length, 0
        offset.append(start)
        if isinstance(part, slice):
            views.append((axis, step))
    return {"parts": views, "offset": offset}


_LARGEST = float(np.finfo(np.float64).max)
_conv = _copied("stride", "padding", "dilation", "groups")
_axis = _copied("axis")

PARAMETERS: dict[str, Callable[[Op], Json]] = {
    "abs": _none,
    "add": _none,
    "astype": _astype,
    "avgpool": _copied("shape", "stride", "padding"),
    "broadcast_to": _none,
    "clip": _clip,
    "concatenate": _axis,
    "convolve2d_full": _conv,
    "correlate2d": _conv,
    "divide": _none,
    "erf": _none,
    "exp": _none,
    "gelu": _copied("approximate"),
    "getitem": _getitem,
    "leaky_relu": _copied("negative_slope"),
    "linear": _none,
    "log": _none,
    "log_softmax": _axis,
    "matmul": _none,
    "maxpool": _copied("shape", "stride", "padding", "dilation"),
    "multiply": _none,
    "negative": _none,
    "pad": _pad,
    "power": _none,
    "relu": _none,
    "reshape": _none,
    "sigmoid": _none,
    "softmax": _axis,
    "sqrt": _none,
    "subtract": _none,
    "sum": _sum,
    "tanh": _none,
    "transpose": _transpose,
}
"""The engine's ops: for each a function that returns its parameters as the engine takes them."""
