"""Control flow of ONNX: nodes that run graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..graph import Graph
from ..registry import reader
from ..values import Value, as_tensor, check_rounds, numbers_of


def _truth(value: Value | None) -> bool:
    return value is None or bool(numbers_of(value).reshape(-1)[0])


@reader("If", outputs=None)
def branch(
    condition: Value, *outer: Value, then_branch: Graph, else_branch: Graph, captured: Sequence[str]
) -> tuple[Value, ...]:
    """The results of one of two graphs, by a condition."""
    return tuple((then_branch if _truth(condition) else else_branch).run(dict(zip(captured, outer, strict=True))))


def _joined(parts: list[Value], axis: int = 0) -> Value:
    """Return values of one shape along a new axis."""
    if not parts:
        return np.zeros(0, np.float32)
    if isinstance(parts[0], Tensor):
        tensors = [as_tensor(p) for p in parts]
        return ops.concatenate([t.reshape(*t.shape[:axis], 1, *t.shape[axis:]) for t in tensors], axis)
    return np.stack([numbers_of(p) for p in parts], axis)


@reader("Loop", outputs=None)
def loop(
    count: Value | None = None, condition: Value | None = None, *rest: Value, body: Graph, captured: Sequence[str]
) -> tuple[Value, ...]:
    """A graph, repeated: its results are its next inputs, but for those that are collected."""
    carried, outer = list(rest[: len(rest) - len(captured)]), rest[len(rest) - len(captured) :]
    names, around = [i.name for i in body.inputs], dict(zip(captured, outer, strict=True))
    limit = None if count is None else int(numbers_of(count).reshape(-1)[0])
    collected: list[list[Value]] = [[] for _ in body.outputs[1 + len(carried) :]]
    k, going = 0, _truth(condition)
    while going and (limit is None or k < limit):
        inputs: list[Value] = [np.array(k, np.int64), np.array(going), *carried]
        results = body.run({**around, **dict(zip(names, inputs, strict=True))})
        going, carried = _truth(results[0]), results[1 : 1 + len(carried)]
        for parts, value in zip(collected, results[1 + len(carried) :], strict=True):
            parts.append(value)
        k += 1
        check_rounds(k)
    return (*carried, *map(_joined, collected))


@reader("Scan", outputs=None)
def scan(
    *values: Value | None, body: Graph, captured: Sequence[str], num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None, scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None, scan_output_directions: Sequence[int] | None = None,
    directions: Sequence[int] | None = None, opset: int,
) -> tuple[Value, ...]:  # fmt: skip
    """A graph, repeated over slices of its inputs; its other results are collected.

    In operator set 8 the first axis of everything is a batch, and the first input the sequences' lengths.
    """
    inputs: list[Any] = list(values[: len(values) - len(captured)])
    around = {n: v for n, v in zip(captured, values[len(inputs) :], strict=True) if v is not None}
    if opset < 9:
        rows = [
            _scan([v[i] for v in inputs[1:]], body, around, num_scan_inputs, (), directions or (), (), ())
            for i in range(inputs[1].shape[0])
        ]
        return tuple(_joined(list(parts)) for parts in zip(*rows, strict=True))
    settings = (scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions)
    return _scan(inputs, body, around, num_scan_inputs, *(s or () for s in settings))


def _scan(
    inputs: list[Any], body: Graph, around: dict[str, Value], count: int, axes: Sequence[int],
    directions: Sequence[int], out_axes: Sequence[int], out_directions: Sequence[int],
) -> tuple[Value, ...]:  # fmt: skip
    states, scanned = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    names = [i.name for i in body.inputs]
    places = [axis % v.ndim for axis, v in zip(axes or (0,) * count, scanned, strict=True)]
    steps = scanned[0].shape[places[0]]
    collected: list[list[Value]] = [[] for _ in body.outputs[len(states) :]]
    for k in range(steps):
        slices = []
        for i, (value, axis) in enumerate(zip(scanned, places, strict=True)):
            at = steps - 1 - k if directions and directions[i] else k
            slices.append(value[(slice(None),) * axis + (at,)])
        results = body.run({**around, **dict(zip(names, [*states, *map(_value, slices)], strict=True))})
        states = results[: len(states)]
        for parts, value in zip(collected, results[len(states) :], strict=True):
            parts.append(value)
    joined = []
    for i, parts in enumerate(collected):
        ordered = parts[::-1] if out_directions and out_directions[i] else parts
        axis = out_axes[i] if out_axes else 0
        joined.append(_joined(ordered, axis if axis >= 0 else axis + ordered[0].ndim + 1 if ordered else 0))
    return (*states, *joined)


def _value(v: Any) -> Value:
    return v if isinstance(v, Tensor) else np.asarray(v)
