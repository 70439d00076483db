"""The layer that a node is, by its weights and the shape of its input."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from ...autograd.tensor import Tensor, wrap
from ...checks import Pair
from ...nn import Buffer, Module, Parameter
from .graph import Node
from .values import number
from .windows import Windows, windows

Shape = tuple[int | None, ...] | None
"""What is known of a value's shape: None for a length, or for all."""
_Builder = Callable[[Node, list[Any], Shape], Module | None]


def _conv(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    w, arguments = weights[0], node.arguments
    auto_pad = arguments.get("auto_pad", "NOTSET")
    image: Any = shape[2:] if shape is not None and len(shape) == 4 and None not in shape else None
    if w.ndim != 4 or (image is None and auto_pad.startswith("SAME")):
        return None
    if list(arguments.get("kernel_shape") or w.shape[2:]) != list(w.shape[2:]):
        return None
    view = windows(
        image or (1, 1), w.shape[2:], arguments.get("strides"), arguments.get("dilations"),
        arguments.get("pads"), auto_pad,
    )  # fmt: skip
    padding: Any = _padding(view)
    if any(before != after for before, after in view.pads):
        reach = [d * (k - 1) for k, d in zip(view.shape, view.dilations, strict=True)]
        if view.strides != (1, 1) or any(p != (r // 2, r - r // 2) for p, r in zip(view.pads, reach, strict=True)):
            return None
        padding = "same"
    elif min(padding) < 0:
        return None
    groups = arguments.get("group", 1)
    if w.shape[0] % groups:
        return None
    size, strides, dilations = (_pair(n) for n in (view.shape, view.strides, view.dilations))
    layer = nn.Conv2d(w.shape[1] * groups, w.shape[0], size, strides, padding, dilations, groups, len(weights) > 1)
    return _with_weights(layer, w, weights[1] if len(weights) > 1 else None)


def _conv_transpose(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    w, arguments = weights[0], node.arguments
    pads = list(arguments.get("pads") or (0, 0, 0, 0))
    if w.ndim != 4 or arguments.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in arguments:
        return None
    strides, dilations = tuple(arguments.get("strides") or (1, 1)), tuple(arguments.get("dilations") or (1, 1))
    extra, groups = tuple(arguments.get("output_padding") or (0, 0)), arguments.get("group", 1)
    if (
        pads[:2] != pads[2:]
        or min(pads) < 0
        or w.shape[0] % groups
        or any(e >= s for e, s in zip(extra, strides, strict=True))
    ):
        return None
    layer = nn.ConvTranspose2d(
        w.shape[0],
        w.shape[1] * groups,
        w.shape[2:],
        strides,
        tuple(pads[:2]),
        extra,
        groups,
        len(weights) > 1,
        dilations,
    )
    return _with_weights(layer, w, weights[1] if len(weights) > 1 else None)


def _linear(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    arguments = node.arguments
    w, b = weights[0], weights[1] if len(weights) > 1 else None
    if arguments.get("transA") or arguments.get("alpha", 1.0) != 1 or w.ndim != 2 or not isinstance(w, Tensor):
        return None
    rows = w.data if arguments.get("transB") else w.data.T
    if b is not None:
        if arguments.get("beta", 1.0) != 1 or b.shape not in ((rows.shape[0],), (1, rows.shape[0])):
            return None
        b = wrap(b.data.reshape(-1))
    layer = nn.Linear(rows.shape[1], rows.shape[0], b is not None)
    return _with_weights(layer, wrap(np.ascontiguousarray(rows)), b)


def _with_weights(layer: Any, w: Tensor, b: Tensor | None) -> Module | None:
    if not isinstance(w, Tensor) or (b is not None and b.shape != layer.bias.shape):
        return None
    layer.weight = Parameter(w.data)
    if b is not None:
        layer.bias = Parameter(b.data)
    return layer  # type: ignore[no-any-return]


def _batch_norm(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    arguments = node.arguments
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}.get(len(shape or ()))
    trains = not arguments.get("is_test", 0) if arguments["opset"] < 7 else arguments.get("training_mode")
    if kind is None or trains or arguments.get("spatial", 1) != 1 or len(weights) != 4:
        return None
    if any(not isinstance(w, Tensor) or w.ndim != 1 for w in weights):
        return None
    momentum = min(max(1 - arguments.get("momentum", 0.9), 0.0), 1.0)
    layer = kind(weights[0].size, float(f"{arguments.get('epsilon', 1e-5):.7g}"), float(f"{momentum:.6g}"))
    layer.weight, layer.bias = Parameter(weights[0].data), Parameter(weights[1].data)
    layer.running_mean, layer.running_var = Buffer(weights[2].data), Buffer(weights[3].data)
    return layer


def _max_pool(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    view = _pool_windows(node, shape)
    if view is None:
        return None
    return nn.MaxPool2d(*_size_and_stride(view), _padding(view), _pair(view.dilations), ceil_mode=any(view.beyond))


def _average_pool(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    view = _pool_windows(node, shape)
    if view is None or view.dilations != (1, 1):
        return None
    counted = bool(node.arguments.get("count_include_pad")) or not any(map(any, view.pads))
    return nn.AvgPool2d(*_size_and_stride(view), _padding(view), any(view.beyond), counted)


def _pool_windows(node: Node, shape: Shape) -> Windows | None:
    """Return the windows of pooling with one border on both sides; None for other pooling."""
    if shape is None or len(shape) != 4 or None in shape:
        return None
    a = node.arguments
    image: Any = shape[2:]
    strides, dilations, pads = (a.get(name) for name in ("strides", "dilations", "pads"))
    auto_pad, ceil_mode = a.get("auto_pad", "NOTSET"), a.get("ceil_mode", 0)
    view = windows(image, a["kernel_shape"], strides, dilations, pads, auto_pad, ceil_mode)
    simple = all(
        before == after and 0 <= 2 * before <= k for (before, after), k in zip(view.pads, view.shape, strict=True)
    )
    return view if simple else None


def _pair(numbers: tuple[int, ...]) -> Pair:

    rows, columns = numbers
    return rows, columns


def _size_and_stride(view: Windows) -> tuple[Pair, Pair]:
    return _pair(view.shape), _pair(view.strides)


def _padding(view: Windows) -> Any:
    return tuple(before for before, _ in view.pads)


def _softmax(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    arguments = node.arguments
    axis = arguments.get("axis")
    if arguments["opset"] >= 13:
        return nn.Softmax(-1 if axis is None else axis)
    axis = 1 if axis is None else axis
    if axis == -1 or (shape is not None and axis == len(shape) - 1):
        return nn.Softmax(axis)
    return None


def _flatten(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    axis = node.arguments.get("axis", 1)
    return nn.Flatten() if axis == 1 and shape is not None and len(shape) > 1 else None


def _dropout(node: Node, weights: list[Any], shape: Shape) -> Module | None:
    ratio = weights[0] if weights and weights[0] is not None else node.arguments.get("ratio", 0.5)
    p = number(ratio)
    return nn.Dropout(p) if 0 <= p < 1 else None


BUILDERS: dict[str, _Builder] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gelu": lambda node, weights, shape: nn.GELU(node.arguments.get("approximate", "none")),
    "Gemm": _linear,
    "GlobalAveragePool": lambda node, weights, shape: nn.AdaptiveAvgPool2d(1) if len(shape or ()) == 4 else None,
    "LeakyRelu": lambda node, weights, shape: nn.LeakyReLU(node.arguments.get("alpha", 0.01)),
    "MaxPool": _max_pool,
    "Relu": lambda node, weights, shape: nn.ReLU(),
    "Sigmoid": lambda node, weights, shape: nn.Sigmoid(),
    "Softmax": _softmax,
    "Tanh": lambda node, weights, shape: nn.Tanh(),
}
"""The layer of a node, by its weights and the shape of its input, None if it is none."""
