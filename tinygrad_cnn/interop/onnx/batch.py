"""A graph that was written for one size of the batch, made to take any: a change that is tried out before it counts."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...autograd.modes import no_grad
from ...nn import Module
from .graph import Graph, Input
from .values import TooLargeError, Value, cast, numbers_of, small_results, to_value

_MAX_TRIAL_ELEMENTS = 2**22  # of the images on which a graph is tried
_MAX_INTEGERS = 64  # of an array that is computed from lengths
_TOLERANCE = 1e-4


class Trial(NamedTuple):
    """The results of running a graph once.

    Attributes:
        graph: it, or the one that takes any batch.
        shapes, dtypes: of its values, where it was run.
        free: True if it takes any batch.
        images, outputs: on what it was run, and its results; None where it was not run.
    """

    graph: Graph
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]
    free: bool
    images: Value | None = None
    outputs: list[Value] | None = None

    def shapes_of(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """Return the shapes of another form of the graph."""
        return self.shapes if self.images is None else _run(graph, self.images).shapes

    def agrees(self, graph: Graph, layers: Mapping[str, Module], state: Mapping[str, Value]) -> bool:
        """Return True if another form of the graph has the same results."""
        if self.images is None or self.outputs is None:
            return True
        with no_grad():
            return _same(graph.run({**state, graph.inputs[0].name: self.images}, layers), self.outputs)


class _Run(NamedTuple):
    """One run of a graph: what its values were, and its outputs."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]
    integers: dict[str, Value]  # few numbers each, computed from the lengths of axes
    outputs: list[Value]


def try_out(graph: Graph) -> Trial:
    """Run a graph of one input of floats on random images, if it says of what shape.

    Raises:
        ValueError: a node does not fit its inputs; the message names it.
    """
    lengths = graph.inputs[0].shape if graph.inputs else None
    free = bool(lengths) and not isinstance((lengths or (0,))[0], int)
    if len(graph.inputs) != 1 or not _runs(graph.inputs[0]):
        return Trial(graph, {}, {}, free)
    (source,) = graph.inputs
    assert source.shape is not None  # it runs
    declared = source.shape[0] if isinstance(source.shape[0], int) else None
    size = declared or 2
    other = size + 3
    x, more = _images(source, size), _images(source, other)
    try:
        run = _run(graph, x)
        if len(source.shape) < 2:
            return Trial(graph, run.shapes, run.dtypes, False, x, run.outputs)
        changed = _with_any_batch(graph, run.shapes, size)
        if _agrees(graph, changed, more, size, free) and (rest := _with_lengths(changed, run, more)) is not None:
            again = _run(rest, x)
            if _same(again.outputs, run.outputs) and _agrees(graph, rest, more, size, free):
                return Trial(rest, again.shapes, again.dtypes, True, x, run.outputs)
    except TooLargeError:
        return Trial(graph, {}, {}, free)
    return Trial(graph, run.shapes, run.dtypes, free, x, run.outputs)


def _with_lengths(graph: Graph, run: _Run, more: Value) -> Graph | None:
    """Return the graph with constants for what it computes from lengths of axes that are the same for any batch."""
    other = _run(graph, more).integers
    changed = graph.copy()
    for name, value in run.integers.items():
        if name in other and _same([value], [other[name]]):
            changed.constants[name] = value
    for node in changed.nodes:
        node.outputs = ["" if name in changed.constants else name for name in node.outputs]
    changed.nodes = [node for node in changed.nodes if any(node.outputs)]
    changed.prune()
    return changed


def _runs(source: Input) -> bool:
    """Return True for an input of floats of a known and moderate size."""
    if source.shape is None or not source.shape or source.dtype not in (1, 10, 11, 16):
        return False
    rest = source.shape[1:]
    first = source.shape[0] if isinstance(source.shape[0], int) else 2
    lengths = [n for n in rest if isinstance(n, int)]
    return len(lengths) == len(rest) and math.prod(lengths) * (first + 1) <= _MAX_TRIAL_ELEMENTS


def _images(source: Input, n: int) -> Value:
    lengths = [k for k in (source.shape or ())[1:] if isinstance(k, int)]
    numbers = np.random.default_rng(n).random((n, *lengths), np.float32)
    return cast(to_value(numbers), source.dtype)


def _run(graph: Graph, x: Value) -> _Run:
    shapes = {graph.inputs[0].name: x.shape} | {name: v.shape for name, v in graph.constants.items()}
    dtypes = {graph.inputs[0].name: x.dtype} | {name: v.dtype for name, v in graph.constants.items()}
    integers: dict[str, Value] = {}
    from_lengths, elements = _computed_from_shapes(graph), 0

    def observe(name: str, value: Value) -> None:
        nonlocal elements
        shapes[name], dtypes[name] = value.shape, value.dtype
        elements += value.size
        if elements > 16 * _MAX_TRIAL_ELEMENTS:
            raise TooLargeError("the graph is too large to be tried out")
        if name in from_lengths and value.size <= _MAX_INTEGERS:
            integers[name] = value

    with no_grad(), small_results():
        outputs = graph.run({graph.inputs[0].name: x}, observe=observe)
    return _Run(shapes, dtypes, integers, outputs)


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
    if all(a.op == b.op and a.inputs == b.inputs for a, b in zip(changed.nodes, graph.nodes, strict=True)):
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


def _agrees(graph: Graph, changed: Graph, more: Value, size: int, free: bool) -> bool:
    """Return True if the changed graph computes for a batch of another size what it has to."""
    try:
        results = _run(changed, more).outputs
        if free:
            return changed is graph or _same(results, _run(graph, more).outputs)
        if any(r.ndim == 0 or r.shape[0] != more.shape[0] for r in results):
            return False
        first = _run(graph, more[:size]).outputs
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
