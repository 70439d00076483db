"""Each op of a graph as steps in C."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import normal_axes
from ...kernels.geometry import ConvParams, PoolParams, spatial
from .graph import Graph, Op
from .movement import add_pad, add_rearrangement
from .plan import Geometry, Plan, compress, refuse

FUNCTIONS = {
    "abs": "absolute",
    "erf": "error_function",
    "exp": "exponential",
    "log": "logarithm",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "sqrt": "square_root",
    "tanh": "hyperbolic_tangent",
}
"""Elementwise ops without settings, and their names in C."""

_REASONS = {
    "batch_norm": "it normalises with the batch's own statistics; give the layer running statistics",
    "dropout": "it is random in evaluation mode too",
    "where": "its condition is not part of the graph",
}


def lower(graph: Graph) -> Plan:
    """Return the network's steps. ValueError, naming the op and its layer, for one that cannot be written."""
    plan = Plan(graph)
    for op in graph.ops:
        if 0 in plan.shapes[op.result]:
            refuse(op, plan, "its result has no numbers")
        if op.name in FUNCTIONS:
            _unary(op, plan, FUNCTIONS[op.name])
        elif op.name in _LOWER:
            _LOWER[op.name](op, plan)
        else:
            refuse(op, plan, _REASONS.get(op.name, "there is no C for this op"))
    plan.output = plan.source(plan.output)
    if plan.output == plan.input:
        plan.output = plan.temporary("scores", plan.shapes[plan.input])
        add_rearrangement(plan, plan.input, plan.output, lambda x: x, "the image", copy=True)
    return plan


def _unary(op: Op, plan: Plan, function: str, **settings: float) -> None:
    plan.add(function, [op.inputs[0]], op.result, op.layer, n=plan.size(op.result), **settings)


def _sliding(op: Op, plan: Plan) -> None:
    w, b = _weights(op, plan, op.inputs[1]), _weights(op, plan, *op.inputs[2:])
    x, z = plan.shapes[op.inputs[0]], plan.shapes[op.result]
    stride, padding, dilation, groups = (op.params[key] for key in ConvParams._fields)
    g = Geometry(x[1], spatial(x), z[1], spatial(z), spatial(w.shape), stride, padding, dilation, groups)
    step = plan.add(op.name, [op.inputs[0]], op.result, op.layer, w=w, b=np.zeros(g.maps) if b is None else b, g=g)
    step.label = _label(op, op.inputs[1])


def _linear(op: Op, plan: Plan) -> None:
    w, b = _weights(op, plan, op.inputs[1]), _weights(op, plan, *op.inputs[2:])
    _add_fully_connected(op, plan, w, np.zeros(len(w)) if b is None else b)


def _matmul(op: Op, plan: Plan) -> None:
    """A product with a constant matrix on the right is a fully connected layer."""
    u, v = op.inputs
    if v in plan.constants and plan.constants[v].ndim == 2:
        weight = plan.constants[v].T
        return _add_fully_connected(op, plan, weight, np.zeros(len(weight)))
    (rows, inner), columns = plan.shapes[u][-2:], plan.shapes[v][-1]
    batch = plan.shapes[op.result][:-2]
    operands, steps = [], []
    for name, matrix in ((u, (rows, inner)), (v, (inner, columns))):
        is_one = math.prod(plan.shapes[name][:-2]) == 1
        operands.append(name if is_one else _broadcast(op, plan, name, (*batch, *matrix)))
        steps.append(0 if is_one else math.prod(matrix))
    sizes = {"count": math.prod(batch), "rows": rows, "inner": inner, "columns": columns}
    plan.add("matmul", operands, op.result, op.layer, next_u=steps[0], next_v=steps[1], **sizes)


def _add_fully_connected(op: Op, plan: Plan, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    neurons, inputs = weight.shape
    sizes = {"rows": plan.size(op.inputs[0]) // inputs, "inputs": inputs, "neurons": neurons}
    step = plan.add("fully_connected", [op.inputs[0]], op.result, op.layer, w=weight, b=bias, **sizes)
    step.label = _label(op, op.inputs[1])


def _pool(op: Op, plan: Plan) -> None:
    x, a = plan.shapes[op.inputs[0]], plan.shapes[op.result]
    overlay, stride, padding, dilation = (op.params[key] for key in PoolParams._fields)
    g = Geometry(x[1], spatial(x), a[1], spatial(a), overlay, stride, padding, dilation)
    divisor = {} if op.name == "maxpool" else {"divisor": float(math.prod(overlay))}
    plan.add(op.name, [op.inputs[0]], op.result, op.layer, g=g, **divisor)


def _reduce(op: Op, plan: Plan) -> None:
    """Reduce over axes; those that are not neighbours are moved together first."""
    x = op.inputs[0]
    shape = plan.shapes[x]
    axes = op.params["axis"] if "axis" in op.params else op.params["axes"]
    over = [i for i in normal_axes(op.name, axes, len(shape)) if shape[i] > 1]
    if not over:
        return plan.alias(op.result, x)
    over.sort()
    between = [i for i in range(over[0], over[-1]) if shape[i] > 1 and i not in over]
    if between:
        rest = [i for i in range(len(shape)) if i not in over]
        moved = plan.temporary(op.result, tuple(shape[i] for i in (*rest, *over)))
        add_rearrangement(plan, x, moved, lambda a: a.transpose(*rest, *over), op.layer)
        x, shape = moved, plan.shapes[moved]
        over = list(range(len(rest), len(shape)))
    sizes = {"outer": math.prod(shape[: over[0]]), "n": math.prod(shape[over[0] : over[-1] + 1])}
    divisor = {"divisor": 1.0} if op.name == "sum" else {}
    plan.add(op.name, [x], op.result, op.layer, **sizes, inner=math.prod(shape[over[-1] + 1 :]), **divisor)


def _softmax(op: Op, plan: Plan) -> None:
    shape, axis = plan.shapes[op.result], op.params["axis"]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    plan.add(op.name, [op.inputs[0]], op.result, op.layer, outer=outer, n=shape[axis], inner=inner)


def _leaky_relu(op: Op, plan: Plan) -> None:
    _unary(op, plan, "leaky_relu", slope=float(op.params["negative_slope"]))


def _gelu(op: Op, plan: Plan) -> None:
    _unary(op, plan, "gelu" if op.params["approximate"] == "none" else "gelu_tanh")


def _clip(op: Op, plan: Plan) -> None:
    low, high = op.params["low"], op.params["high"]
    low, high = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    _unary(op, plan, "clip", low=low, high=high)


def _negative(op: Op, plan: Plan) -> None:
    n = plan.size(op.result)
    plan.add("scale_and_shift", [op.inputs[0]], op.result, op.layer, scale=np.full(n, -1.0), shift=np.zeros(n), n=n)


def _binary(op: Op, plan: Plan) -> None:
    """A sum, difference, product or quotient with constants is ``scale x + shift``."""
    u, v = op.inputs
    shape = plan.shapes[op.result]
    affine = _affine(op.name, plan.constants.get(u), plan.constants.get(v))
    if affine is not None:
        x = _broadcast(op, plan, v if u in plan.constants else u, shape)
        scale, shift = (np.broadcast_to(np.float64(a), shape).ravel() for a in affine)
        plan.add("scale_and_shift", [x], op.result, op.layer, scale=scale, shift=shift, n=len(scale))
        return
    if plan.shapes[u] != shape and plan.shapes[v] == shape and op.name in ("add", "multiply", "larger", "smaller"):
        u, v = v, u
    u = _broadcast(op, plan, u, shape)
    if v in plan.constants:
        numbers, repeat = compress(np.broadcast_to(plan.constants[v], shape).reshape(1, -1))
        v = plan.constant(v, numbers[0])
    elif (cycle := _cycle(plan.shapes[v], shape)) is not None:
        repeat = cycle
    else:
        v, repeat = _broadcast(op, plan, v, shape), 1
    plan.add(op.name, [u, v], op.result, op.layer, n=plan.size(op.result), count=plan.size(v), repeat=repeat)


def _affine(name: str, u: NDArray[Any] | None, v: NDArray[Any] | None) -> tuple[Any, Any] | None:
    """Return (scale, shift) of a binary op with one constant operand, or None for an op that has none."""
    if u is None and v is None:
        return None
    c = u if u is not None else v
    assert c is not None
    if name == "add":
        return 1.0, c
    if name == "subtract":
        return (-1.0, c) if u is not None else (1.0, -c)
    if name == "multiply":
        return c, 0.0
    if name == "divide" and u is None:
        with np.errstate(all="ignore"):
            inverse = 1 / np.float64(c)
        return (inverse, 0.0) if np.isfinite(inverse).all() else None
    return None


def _cycle(shape: tuple[int, ...], full: tuple[int, ...]) -> int | None:
    """Return how often each number of an operand stands in a row in the full shape; None if its order differs."""
    lengths = (1,) * (len(full) - len(shape)) + shape
    varying = [i for i, n in enumerate(lengths) if n > 1]
    if not varying:
        return 1
    first, last = varying[0], varying[-1] + 1
    return math.prod(full[last:]) if lengths[first:last] == full[first:last] else None


def _broadcast(op: Op, plan: Plan, value: str, shape: tuple[int, ...]) -> str:
    """Return the value in a shape, which broadcasting makes of its own."""
    if plan.size(value) == math.prod(shape):
        return value
    if value in plan.constants:
        return plan.constant(value, np.broadcast_to(plan.constants[value], shape))
    result = plan.temporary(op.result, shape)
    add_rearrangement(plan, value, result, lambda x: np.broadcast_to(x, shape), op.layer)
    return result


def _concatenate(op: Op, plan: Plan) -> None:
    shape, axis = plan.shapes[op.result], op.params["axis"]
    inner = math.prod(shape[axis + 1 :])
    parts = [v for v in op.inputs if plan.size(v)]
    blocks = [plan.shapes[v][axis] * inner for v in parts]
    plan.add("concatenate", parts, op.result, op.layer, blocks=blocks, count=math.prod(shape[:axis]))


def _pad(op: Op, plan: Plan) -> None:
    x, result = op.inputs[0], op.result
    if plan.size(x) == plan.size(result):
        return plan.alias(result, x)
    if not add_pad(plan, x, result, op.params["widths"], float(op.params["value"]), op.layer):
        refuse(op, plan, "it pads too many axes")


def _reshape(op: Op, plan: Plan) -> None:
    plan.alias(op.result, op.inputs[0])


def _astype(op: Op, plan: Plan) -> None:
    if np.dtype(op.params["dtype"]).kind != "f":
        refuse(op, plan, "it makes integers")
    plan.alias(op.result, op.inputs[0])


def _transpose(op: Op, plan: Plan) -> None:
    add_rearrangement(plan, op.inputs[0], op.result, lambda x: x.transpose(op.params["axes"]), op.layer)


def _broadcast_to(op: Op, plan: Plan) -> None:
    shape = plan.shapes[op.result]
    add_rearrangement(plan, op.inputs[0], op.result, lambda x: np.broadcast_to(x, shape), op.layer)


def _getitem(op: Op, plan: Plan) -> None:
    add_rearrangement(plan, op.inputs[0], op.result, lambda x: x[op.params["index"]], op.layer)


def _weights(op: Op, plan: Plan, *values: str) -> Any:
    """Return the array of weights or bias, or None without one; refuse one that depends on the image."""
    if not values:
        return None
    if values[0] not in plan.constants:
        refuse(op, plan, "its weights depend on the image")
    if op.inputs[0] in plan.constants:
        refuse(op, plan, "its images are constants")
    return plan.constants[values[0]]


def _label(op: Op, weight: str) -> str:
    """Return the name of the layer whose weights these are, without the ending of a parameter."""
    return weight.removesuffix(".weight") if weight.endswith(".weight") else op.result


_LOWER: dict[str, Callable[[Op, Plan], None]] = {
    "add": _binary,
    "astype": _astype,
    "avgpool": _pool,
    "broadcast_to": _broadcast_to,
    "clip": _clip,
    "concatenate": _concatenate,
    "convolve2d_full": _sliding,
    "correlate2d": _sliding,
    "divide": _binary,
    "gelu": _gelu,
    "getitem": _getitem,
    "larger": _binary,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "log_softmax": _softmax,
    "matmul": _matmul,
    "maxpool": _pool,
    "multiply": _binary,
    "negative": _negative,
    "pad": _pad,
    "power": _binary,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reshape": _reshape,
    "smaller": _binary,
    "softmax": _softmax,
    "subtract": _binary,
    "sum": _reduce,
    "transpose": _transpose,
}
