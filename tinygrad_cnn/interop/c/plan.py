"""The steps of a network in C: calls of functions that read and write arrays, before any text is written."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from .graph import CALLER, Graph, Op, Shape

MAX_AXES = 4  # of the loops of `rearrange` and `pad` in C


class Geometry(NamedTuple):
    """The movement of an overlay over maps; the struct of this name in C. Pairs are (rows, columns)."""

    channels: int
    image: tuple[int, int]
    maps: int
    result: tuple[int, int]
    overlay: tuple[int, int]
    stride: tuple[int, int]
    border: tuple[int, int]
    dilation: tuple[int, int]
    groups: int = 1


@dataclass(eq=False)
class Step:
    """One call of a C function.

    Attributes:
        op: the function.
        inputs: the values that it reads, in the order of its parameters.
        result: the value that it writes.
        layers: the layers that it computes; more than one where a layer was folded into another.
        label: the beginning of the names of its constants.
        settings: the arguments that no image changes, by the names of the function's parameters.
    """

    op: str
    inputs: list[str]
    result: str
    layers: list[str]
    label: str
    settings: dict[str, Any] = field(default_factory=dict)

    def refuse(self, reason: str) -> NoReturn:
        """Raise the ValueError for a step that cannot be written."""
        raise ValueError(f"{CALLER}: {self.op} in {', '.join(self.layers)} cannot be written: {reason}")


class Plan:
    """The steps of a network on one image, in order.

    Attributes:
        steps: the calls.
        shapes: the shape of every value.
        constants: the values among the steps' inputs that no image changes.
        input, output: the values that are the image and the scores.
    """

    def __init__(self, graph: Graph) -> None:
        self.steps: list[Step] = []
        self.shapes: dict[str, Shape] = dict(graph.shapes)
        self.constants: dict[str, NDArray[Any]] = dict(graph.constants)
        self.input, self.output = graph.input, graph.output
        self._sources: dict[str, str] = {}

    def source(self, value: str) -> str:
        """Return the value whose array holds the numbers of this one."""
        while value in self._sources:
            value = self._sources[value]
        return value

    def size(self, value: str) -> int:
        """Return the number of numbers."""
        return math.prod(self.shapes[value])

    def alias(self, value: str, source: str) -> None:
        """Let a value be the same numbers in the same order as another."""
        self._sources[value] = source

    def add(self, op: str, inputs: list[str], result: str, layer: str, /, **settings: Any) -> Step:
        """Append a step."""
        name = layer.partition(" ")[0]
        label = result if "(" in name else name  # a network itself has no name
        step = Step(op, [self.source(v) for v in inputs], result, [layer], label, settings)
        self.steps.append(step)
        return step

    def temporary(self, near: str, shape: Shape) -> str:
        """Return a new value for a result that the network's graph does not have."""
        number = 1
        while (value := f"{near}_{number}") in self.shapes:
            number += 1
        self.shapes[value] = shape
        return value

    def constant(self, near: str, array: NDArray[Any]) -> str:
        """Return a new value that no image changes."""
        value = self.temporary(near, array.shape)
        self.constants[value] = array
        return value

    def uses(self) -> Counter[str]:
        """Return how many steps read each value; being the output counts as one."""
        return Counter([v for step in self.steps for v in step.inputs] + [self.output])

    def maker(self, value: str) -> Step | None:
        """Return the step that makes a value; None for the image and constants."""
        return next((step for step in self.steps if step.result == value), None)


def refuse(op: Op, plan: Plan, reason: str) -> NoReturn:
    """Raise the ValueError for an op that cannot be written."""
    inputs = ", ".join(str(plan.shapes[v]) for v in op.inputs)
    raise ValueError(f"{CALLER}: {op.name} in {op.layer} cannot be written: {reason} (inputs of shape {inputs})")


def compress(arrays: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the numbers that ``arrays`` ``(K, n)`` repeat, ``(K, count)``, and how often each stands in a row.

    ``arrays[:, i]`` is ``numbers[:, i // repeat % count]``.

    >>> numbers, repeat = compress(np.array([[1, 1, 2, 2, 1, 1, 2, 2]]))
    >>> numbers.tolist(), repeat
    ([[1, 2]], 2)
    """
    n = arrays.shape[1]
    bits = np.ascontiguousarray(arrays, np.float64).view(np.int64)  # so that a NaN equals itself
    changes = np.flatnonzero((bits[:, 1:] != bits[:, :-1]).any(axis=0)) + 1
    repeat = math.gcd(n, *changes.tolist())
    bits = bits[:, ::repeat]
    length = bits.shape[1]
    count = next(
        c for c in range(1, length + 1) if length % c == 0 and np.array_equal(bits[:, c:], bits[:, : length - c])
    )
    return arrays[:, ::repeat][:, :count], repeat
