"""The ONNX nodes of each op of a traced network."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import normal_axes, require
from ..kernels.geometry import ConvParams, spatial
from ..ops.convolution import smallest_image
from .trace import Op, unused

BUFFERS = "buffers"
"""The metadata key under which a file lists, as JSON, which of its initializers no optimizer changes."""
NODE_NAMES = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "divide": "Div",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "larger": "Max",
    "log": "Log",
    "matmul": "MatMul",
    "multiply": "Mul",
    "negative": "Neg",
    "power": "Pow",
    "relu": "Relu",
    "round": "Round",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "smaller": "Min",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}
"""Ops that are one ONNX node without attributes."""

_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max  # an end that Slice clips to the axis


class Nodes:
    """A growing list of ONNX nodes; ``taken`` are the names of the arrays."""

    def __init__(self, taken: set[str]) -> None:
        self.onnx: Any = require("onnx", "onnx")
        self.taken = taken
        self.list: list[Any] = []

    def add(self, op: str, inputs: list[str], result: str = "", **attributes: Any) -> str:
        """Append a node, and return its result's name."""
        result = result or unused(f"{op.lower()}_{len(self.list)}", self.taken)
        self.list.append(self.onnx.helper.make_node(op, inputs, [result], name=result, **attributes))
        return result

    def constant(self, value: Any, dtype: Any = np.int64, result: str = "") -> str:
        """Append a node whose result is constant, and return its result's name."""
        array = np.array(value, dtype, order="C")
        return self.add("Constant", [], result, value=self.onnx.numpy_helper.from_array(array))


def translate(op: Op, nodes: Nodes) -> None:
    """Append the nodes of an op. ValueError, naming the op, when ONNX cannot express it."""
    if op.name in NODE_NAMES:
        nodes.add(NODE_NAMES[op.name], [v.name for v in op.inputs], op.result.name)
    elif op.name in _TRANSLATORS:
        _TRANSLATORS[op.name](op, nodes)
    else:
        raise ValueError(f"to_onnx: the op {op.name} cannot be exported {_shapes(op)}")
    if op.varying:
        raise ValueError(f"to_onnx: {op.name}: {op.varying[0]} changes with the batch {_shapes(op)}")


def _correlate2d(op: Op, nodes: Nodes) -> None:
    nodes.add("Conv", [v.name for v in op.inputs], op.result.name, **_conv_attributes(op))


def _convolve2d_full(op: Op, nodes: Nodes) -> None:
    x, w = op.inputs
    smallest = smallest_image(_spatial(op, x.shape), _spatial(op, w.shape), _conv_params(op))
    extra = [n - m for n, m in zip(_spatial(op, op.result.shape), smallest, strict=True)]
    nodes.add("ConvTranspose", [x.name, w.name], op.result.name, output_padding=extra, **_conv_attributes(op))


def _conv_params(op: Op) -> ConvParams:
    return ConvParams(*(op.params[field] for field in ConvParams._fields))


def _conv_attributes(op: Op) -> dict[str, Any]:
    params = _conv_params(op)
    return {
        "kernel_shape": _spatial(op, op.inputs[1].shape),
        "strides": params.stride,
        "pads": params.padding * 2,
        "dilations": params.dilation,
        "group": params.groups,
    }


def _maxpool(op: Op, nodes: Nodes) -> None:
    nodes.add("MaxPool", [op.inputs[0].name], op.result.name, dilations=op.params["dilation"], **_pool_attributes(op))


def _avgpool(op: Op, nodes: Nodes) -> None:
    nodes.add("AveragePool", [op.inputs[0].name], op.result.name, count_include_pad=1, **_pool_attributes(op))


def _pool_attributes(op: Op) -> dict[str, Any]:
    return {"kernel_shape": op.params["shape"], "strides": op.params["stride"], "pads": op.params["padding"] * 2}


def _linear(op: Op, nodes: Nodes) -> None:
    x, w, *b = (v.name for v in op.inputs)
    if len(op.inputs[0].shape) == 2:
        nodes.add("Gemm", [x, w, *b], op.result.name, transB=1)
        return
    product = [x, nodes.add("Transpose", [w], perm=(1, 0))]
    if b:
        nodes.add("Add", [nodes.add("MatMul", product), *b], op.result.name)
    else:
        nodes.add("MatMul", product, op.result.name)


def _leaky_relu(op: Op, nodes: Nodes) -> None:
    nodes.add("LeakyRelu", [op.inputs[0].name], op.result.name, alpha=op.params["negative_slope"])


def _gelu(op: Op, nodes: Nodes) -> None:
    """The formula, step by step as `gelu` computes it: ONNX has a node for it from operator set 20 on only."""
    x, dtype = op.inputs[0].name, op.result.dtype

    def scaled(node: str, name: str, factor: float) -> str:
        return nodes.add(node, [name, nodes.constant(factor, dtype)])

    if op.params["approximate"] == "none":
        curve = nodes.add("Erf", [scaled("Div", x, math.sqrt(2))])
    else:
        cube = nodes.add("Mul", [nodes.add("Mul", [x, x]), x])
        inner = nodes.add("Add", [x, scaled("Mul", cube, 0.044715)])
        curve = nodes.add("Tanh", [scaled("Mul", inner, math.sqrt(2 / math.pi))])
    product = nodes.add("Mul", [x, scaled("Add", curve, 1)])
    nodes.add("Mul", [product, nodes.constant(0.5, dtype)], op.result.name)


def _softmax(op: Op, nodes: Nodes) -> None:
    node = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[op.name]
    nodes.add(node, [op.inputs[0].name], op.result.name, axis=op.params["axis"])


def _sum(op: Op, nodes: Nodes) -> None:
    x = op.inputs[0]
    axes = normal_axes("sum", op.params["axis"], len(x.shape))
    if axes:
        inputs = [x.name, nodes.constant(list(axes))]
        nodes.add("ReduceSum", inputs, op.result.name, keepdims=int(op.params["keepdims"]))
    else:
        nodes.add("Identity", [x.name], op.result.name)


def _reshape(op: Op, nodes: Nodes) -> None:
    """A length that depends on the batch is copied from the same axis of the input (0), or computed (-1)."""
    x = op.inputs[0]
    source = (*x.shape, *[None] * len(op.result.shape))
    target = [
        n if isinstance(n, int) else 0 if n == "batch" == source[i] else -1 for i, n in enumerate(op.result.shape)
    ]
    if target.count(-1) > 1:
        raise ValueError(f"to_onnx: reshape spreads the batch over several axes {_shapes(op)}")
    nodes.add("Reshape", [x.name, nodes.constant(target)], op.result.name)


def _broadcast_to(op: Op, nodes: Nodes) -> None:
    """Expand leaves an axis alone where its target is 1: so a batch stays one."""
    x = op.inputs[0]
    source = (None,) * (len(op.result.shape) - len(x.shape)) + x.shape
    target = [n if isinstance(n, int) else 1 for n in op.result.shape]
    if any(not isinstance(n, int) and n != m for n, m in zip(op.result.shape, source, strict=True)):
        raise ValueError(f"to_onnx: broadcast_to makes an axis as long as the batch {_shapes(op)}")
    nodes.add("Expand", [x.name, nodes.constant(target)], op.result.name)


def _transpose(op: Op, nodes: Nodes) -> None:
    x = op.inputs[0]
    nodes.add("Transpose", [x.name], op.result.name, perm=normal_axes("transpose", op.params["axes"], len(x.shape)))


def _astype(op: Op, nodes: Nodes) -> None:
    dtype = nodes.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(op.params["dtype"]))
    nodes.add("Cast", [op.inputs[0].name], op.result.name, to=dtype)


def _pad(op: Op, nodes: Nodes) -> None:
    before, after = zip(*op.params["widths"], strict=True)
    border = [nodes.constant([*before, *after]), nodes.constant(op.params["value"], op.result.dtype)]
    nodes.add("Pad", [op.inputs[0].name, *border], op.result.name)


def _concatenate(op: Op, nodes: Nodes) -> None:
    nodes.add("Concat", [v.name for v in op.inputs], op.result.name, axis=op.params["axis"])


def _clip(op: Op, nodes: Nodes) -> None:
    bounds = ("" if n is None else nodes.constant(n, op.result.dtype) for n in (op.params["low"], op.params["high"]))
    nodes.add("Clip", [op.inputs[0].name, *bounds], op.result.name)


def _getitem(op: Op, nodes: Nodes) -> None:
    """Slices first, then integers from the last axis on, then new axes: an index in three steps."""
    parts = _index_parts(op)
    axes = [p for p in parts if p is not None]
    slices = {axis: p for axis, p in enumerate(axes) if isinstance(p, slice) and p != slice(None)}
    steps: list[tuple[str, list[str], dict[str, int]]] = []
    if slices:
        starts, stops, strides = zip(*(_ends(p) for p in slices.values()), strict=True)
        steps.append(("Slice", [nodes.constant(numbers) for numbers in (starts, stops, list(slices), strides)], {}))
    for axis in reversed(range(len(axes))):
        if not isinstance(axes[axis], slice):  # an integer, or an array of them
            steps.append(("Gather", [nodes.constant(axes[axis])], {"axis": axis}))
    new = [axis for axis, p in enumerate(p for p in parts if p is None or isinstance(p, slice)) if p is None]
    if new:
        steps.append(("Unsqueeze", [nodes.constant(new)], {}))
    name = op.inputs[0].name
    steps = steps or [("Identity", [], {})]
    for k, (node, settings, attributes) in enumerate(steps, 1):
        name = nodes.add(node, [name, *settings], op.result.name if k == len(steps) else "", **attributes)


def _index_parts(op: Op) -> list[Any]:
    """Return the index with one part for every axis, None for a new one. ValueError unless it is basic indexing."""
    index = op.params["index"]
    parts = list(index) if isinstance(index, tuple) else [index]
    arrays = [p for p in parts if isinstance(p, np.ndarray) and p.ndim and p.dtype.kind in "iu"]
    integers = [p for p in parts if isinstance(p, int | np.integer) and not isinstance(p, bool)]
    others = [p for p in parts if not (p is None or p is Ellipsis or isinstance(p, slice))]
    if (
        len(arrays) + len(integers) < len(others)
        or len(arrays) > 1
        or (arrays and (integers or any(p is None for p in parts)))
    ):
        raise ValueError(
            "to_onnx: getitem can be exported with integers and slices only, or one array, not as max and min use it "
            f"{_shapes(op)}"
        )
    rest = [slice(None)] * (len(op.inputs[0].shape) - sum(p is not None and p is not Ellipsis for p in parts))
    dots = next((i for i, p in enumerate(parts) if p is Ellipsis), None)
    return [*parts, *rest] if dots is None else [*parts[:dots], *rest, *parts[dots + 1 :]]


def _reduce(op: Op, nodes: Nodes) -> None:
    node = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}[op.name]
    axes, keepdims = list(op.params["axes"]), int(op.params["keepdims"])
    nodes.add(node, [op.inputs[0].name], op.result.name, axes=axes, keepdims=keepdims)


def _fmod(op: Op, nodes: Nodes) -> None:
    nodes.add("Mod", [v.name for v in op.inputs], op.result.name, fmod=1)


def _ends(s: slice) -> tuple[int, int, int]:
    """Return start, stop and step for Slice, whose negative numbers and clipping are Python's."""
    step = 1 if s.step is None else int(s.step)
    first, last = (0, _LAST) if step > 0 else (_LAST, _FIRST)
    return first if s.start is None else int(s.start), last if s.stop is None else int(s.stop), step


def _spatial(op: Op, shape: tuple[Any, ...]) -> tuple[int, int]:
    """Return rows and columns. ValueError if they depend on the batch."""
    if not all(isinstance(n, int) for n in shape[-2:]):
        raise ValueError(f"to_onnx: {op.name}: rows and columns change with the batch {_shapes(op)}")
    return spatial(shape)


def _shapes(op: Op) -> str:
    """Return the inputs' shapes for a message, with ? for a length that depends on the batch in another way."""
    texts = [
        ", ".join("?" if n is None else str(n) for n in v.shape) + ("," if len(v.shape) == 1 else "") for v in op.inputs
    ]
    return f"(inputs of shape {', '.join(f'({text})' for text in texts)})"


_TRANSLATORS: dict[str, Callable[[Op, Nodes], None]] = {
    "astype": _astype,
    "avgpool": _avgpool,
    "broadcast_to": _broadcast_to,
    "clip": _clip,
    "concatenate": _concatenate,
    "convolve2d_full": _convolve2d_full,
    "correlate2d": _correlate2d,
    "fmod": _fmod,
    "gelu": _gelu,
    "getitem": _getitem,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "log_softmax": _softmax,
    "maxpool": _maxpool,
    "pad": _pad,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reshape": _reshape,
    "softmax": _softmax,
    "sum": _sum,
    "transpose": _transpose,
}
