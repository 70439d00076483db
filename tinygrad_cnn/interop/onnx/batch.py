"""A graph that was written for one size of the batch, made to take any: a change that is tried out before it counts."""

import math
from typing import NamedTuple

import numpy as np

from ...autograd.modes import no_grad
from .graph import Graph, Input, Length
from .values import TooLargeError, Value, cast, numbers_of, small_results, to_value

_MAX_TRIAL_ELEMENTS = 2**22  # of the images on which a graph is tried
_TOLERANCE = 1e-4


class Trial(NamedTuple):
    """What was found by running a graph.

    Attributes:
        graph: it, or the one that takes any batch.
        shapes: of its values, where it was run.
        free: True if it takes any batch.
    """

    graph: Graph
    shapes: dict[str, tuple[int, ...]]
    free: bool


def try_out(graph: Graph) -> Trial:
    """Run a graph of one input of floats on random images, if it says of what shape.

    Raises:
        ValueError: a node does not fit its inputs; the message names it.
    """
    free = bool(graph.inputs) and bool(graph.inputs[0].shape) and not isinstance(_lengths(graph)[0], int)
    if len(graph.inputs) != 1 or not _runs(graph.inputs[0]):
        return Trial(graph, {}, free)
    (source,) = graph.inputs
    declared = _lengths(graph)[0]
    size = declared if isinstance(declared, int) else 2
    x, more = (_images(source, n, n) for n in (size, size + 1))
    try:
        shapes, outputs = _run(graph, x)
        if not _lengths(graph)[1:]:
            return Trial(graph, shapes, False)
        changed = _with_any_batch(graph, shapes, size)
        if changed is not graph and (free or declared is not None):
            changed_shapes, again = _run(changed, x)
            if _same(again, outputs) and _agrees(graph, changed, more, x, size, free):
                return Trial(changed, changed_shapes, True)
        elif not free and _agrees(graph, graph, more, x, size, free):
            return Trial(graph, shapes, True)
    except TooLargeError:
        return Trial(graph, {}, free)
    return Trial(graph, shapes, free)


def _lengths(graph: Graph) -> tuple[Length, ...]:
    return graph.inputs[0].shape or ()


def _runs(source: Input) -> bool:
    """Return True for an input of floats of a known and moderate size."""
    if source.shape is None or not source.shape or source.dtype not in (1, 10, 11, 16):
        return False
    rest = source.shape[1:]
    first = source.shape[0] if isinstance(source.shape[0], int) else 2
    lengths = [n for n in rest if isinstance(n, int)]
    return len(lengths) == len(rest) and math.prod(lengths) * (first + 1) <= _MAX_TRIAL_ELEMENTS


def _images(source: Input, n: int, seed: int) -> Value:
    assert source.shape is not None
    lengths = [k for k in source.shape[1:] if isinstance(k, int)]
    numbers = np.random.default_rng(seed).random((n, *lengths), np.float32)
    return cast(to_value(numbers), source.dtype)


def _run(graph: Graph, x: Value) -> tuple[dict[str, tuple[int, ...]], list[Value]]:
    shapes = {graph.inputs[0].name: x.shape} | {name: v.shape for name, v in graph.constants.items()}
    elements = 0

    def observe(name: str, value: Value) -> None:
        nonlocal elements
        shapes[name] = value.shape
        elements += value.size
        if elements > 16 * _MAX_TRIAL_ELEMENTS:
            raise TooLargeError("the graph is too large to be tried out")

    with no_grad(), small_results():
        outputs = graph.run({graph.inputs[0].name: x}, observe=observe)
    return shapes, outputs


def _with_any_batch(graph: Graph, shapes: dict[str, tuple[int, ...]], size: int) -> Graph:
    """Return the graph with every Reshape that keeps the batch, or makes rows of the images, written so."""
    changed = graph.copy()
    made_from_shapes = _computed_from_shapes(graph)
    for k, node in enumerate(changed.nodes):
        if node.op != "Reshape" or len(node.outputs) != 1:
            continue
        before, after = shapes.get(node.inputs[0]), shapes.get(node.outputs[0])
        if not before or not after or before[0] != after[0] or after[0] != size:
            continue
        known = len(node.inputs) < 2 or node.inputs[1] in graph.constants
        if not known and node.inputs[1] not in made_from_shapes:
            continue
        if after == (before[0], math.prod(before[1:])) and len(before) > 1:
            node.op, node.inputs, node.arguments = "Flatten", node.inputs[:1], {"axis": 1}
        elif 0 not in after:
            name = f"{node.outputs[0]}_shape_{k}"
            changed.constants[name] = np.array([0, *after[1:]], np.int64)
            node.inputs, node.arguments = [node.inputs[0], name], {}
        else:
            continue
    if [n.op for n in changed.nodes] == [n.op for n in graph.nodes] and all(
        a.inputs == b.inputs for a, b in zip(changed.nodes, graph.nodes, strict=True)
    ):
        return graph
    changed.prune()
    return changed


def _computed_from_shapes(graph: Graph) -> set[str]:
    """Return the names of the values that depend on the lengths of axes, and on no number of the input."""
    names: set[str] = set()
    for node in graph.nodes:
        inputs = [name for name in node.inputs if name and name not in graph.constants]
        if node.op in ("Shape", "Size") or (inputs and names.issuperset(inputs)):
            names.update(node.outputs)
    return names


def _agrees(graph: Graph, changed: Graph, more: Value, x: Value, size: int, free: bool) -> bool:
    """Return True if the changed graph computes the same for a batch of another size."""
    try:
        _, results = _run(changed, more)
        if free:
            return _same(results, _run(graph, more)[1])
        if any(r.ndim == 0 or r.shape[0] != more.shape[0] for r in results):
            return False
        first = _run(graph, more[:size])[1]
        return _same([r[:size] for r in results], first)
    except TooLargeError:
        raise
    except ValueError:
        return False


def _same(a: list[Value], b: list[Value]) -> bool:
    return all(
        x.shape == y.shape and np.allclose(numbers_of(x), numbers_of(y), _TOLERANCE, _TOLERANCE, equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )
