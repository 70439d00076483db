"""What a network computes, op by op: a forward pass read back from the graph that it leaves.

The network is run twice, on batches of two sizes with different numbers. What differs between the runs depends on the
batch; what may not differ, such as a constant, is caught when it does.
"""

import copy
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import enable_grad
from ..autograd.tensor import Tensor
from ..nn import Buffer, Module

Dim = int | Literal["batch"] | None  # None: changes with the batch, but is not its size

_BATCHES = 4, 11  # n // k differs for every k up to 11, so that a slice such as x[: n // 2] is seen to depend on n


_SHAPED = "broadcast_to", "convolve2d_full", "reshape"  # their parameter ``shape`` is their result's


class Value(NamedTuple):
    """One array of the traced network, its lengths and its type."""

    name: str
    shape: tuple[Dim, ...]
    dtype: np.dtype[Any]


class Op(NamedTuple):
    """One op of the traced network: `Node.name`, `Node.params`, and the arrays that it reads and makes.

    ``changed`` names the parameters, other than the result's shape, that depend on the batch.
    """

    name: str
    params: dict[str, Any]
    changed: list[str]
    inputs: tuple[Value, ...]
    result: Value


class Trace(NamedTuple):
    """A traced network. ``state`` and ``constants`` hold the arrays that no op makes and that are not the input.

    ``state`` has the parameters and buffers that are used, under their `state_dict` names; ``buffers`` are the names
    of those among them that no optimizer changes.
    """

    input: Value
    output: Value
    ops: list[Op]
    state: dict[str, NDArray[Any]]
    buffers: list[str]
    constants: dict[str, NDArray[Any]]


def trace(caller: str, model: Module, image_shape: tuple[int, ...]) -> Trace:
    """Run a copy of the network, in evaluation mode, on ``(N, *image_shape)``, and list its ops.

    Raises ValueError, under the caller's name, when what the network computes differs between two batches in more than
    the batch's length, or does not depend on its input; TypeError when its result is not a tensor.
    """
    twin = copy.deepcopy(model).eval()
    named = dict(twin._named_tensors())
    floats = [t for t in named.values() if t.dtype.kind == "f"]
    for t in floats:
        t.requires_grad = True  # so that ops on buffers, and on frozen parameters, are recorded too
    dtype = floats[0].dtype if floats else np.dtype(np.float32)
    first, second = (_Pass(caller, twin, (n, *image_shape), dtype) for n in _BATCHES)
    return _Comparison(caller, first, second, named).trace()


class _Pass:
    """One run of the network: its input, its output, and what ops made in between, in order."""

    def __init__(self, caller: str, model: Module, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        numbers = np.random.default_rng(shape[0]).random(shape)
        self.input = Tensor(numbers, dtype=dtype, requires_grad=True)
        with enable_grad():
            self.output = model(self.input)
        if not isinstance(self.output, Tensor):
            raise TypeError(f"{caller}: the network must return one Tensor, got {type(self.output).__name__}")
        self.results = _results(self.output)
        if self.output is not self.input and not any(t is self.input for r in self.results for t in _inputs(r)):
            raise ValueError(f"{caller}: the network's result does not depend on its input")


class _Comparison:
    """The two runs side by side."""

    def __init__(self, caller: str, first: _Pass, second: _Pass, named: dict[str, Tensor]) -> None:
        self.caller, self.first, self.second, self.named = caller, first, second, named
        self.names = {id(t): name for name, t in named.items()}
        self.taken = set(named)
        self.state: set[str] = set()
        self.constants: dict[str, NDArray[Any]] = {}
        self.values: dict[int, Value] = {}
        self.value("input", first.input, second.input)

    def trace(self) -> Trace:
        """The ops that both runs agree on."""
        one, two = self.first, self.second
        if [_name(t) for t in one.results] != [_name(t) for t in two.results]:
            raise ValueError(f"{self.caller}: the network takes other steps for another batch")
        ops = [self.op(k, a, b) for k, (a, b) in enumerate(zip(one.results, two.results, strict=True))]
        used = {name: t for name, t in self.named.items() if name in self.state}
        return Trace(
            self.values[id(one.input)],
            self.values[id(one.output)],
            ops,
            {name: t.data for name, t in used.items()},
            [name for name, t in used.items() if isinstance(t, Buffer)],
            self.constants,
        )

    def op(self, k: int, a: Tensor, b: Tensor) -> Op:
        """The k-th op, made ``a`` in one run and ``b`` in the other."""
        assert a.node is not None and b.node is not None  # results have one
        inputs = tuple(self.read(_name(a), x, y) for x, y in zip(_inputs(a), _inputs(b), strict=True))
        own, other = a.node.params, b.node.params
        changed = [key for key in own if repr(own[key]) != repr(other[key])]
        if _name(a) in _SHAPED and "shape" in changed:
            changed.remove("shape")
        result = self.value("output" if a is self.first.output else f"{_name(a)}_{k}", a, b)
        return Op(_name(a), own, changed, inputs, result)

    def read(self, op: str, a: Tensor, b: Tensor) -> Value:
        """An input of an op: made by an earlier one, or of the network's state, or a constant."""
        if id(a) not in self.values:
            if a.shape != b.shape or not np.array_equal(a.data, b.data, equal_nan=True):
                raise ValueError(f"{self.caller}: {op}: a constant, shape {a.shape}, changes with the input")
            if id(a) in self.names:
                self.values[id(a)] = Value(self.names[id(a)], a.shape, a.dtype)
                self.state.add(self.names[id(a)])
            else:
                self.constants[self.value(f"constant_{len(self.constants)}", a, b).name] = a.data
        return self.values[id(a)]

    def value(self, name: str, a: Tensor, b: Tensor) -> Value:
        """What is ``a`` in one run and ``b`` in the other, under a name that nothing else has."""
        name = unused(name, self.taken)
        self.values[id(a)] = Value(name, _merged(a, b), a.dtype)
        return self.values[id(a)]


def unused(name: str, taken: set[str]) -> str:
    """The name, which is then taken, with underscores where another has it already."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _results(output: Tensor) -> list[Tensor]:
    """Every op's result that led to the output, in the order of making."""
    found: dict[int, Tensor] = {}
    stack = [output]
    while stack:
        t = stack.pop()
        if t.node is not None and t.node.serial not in found:
            found[t.node.serial] = t
            stack.extend(t.node.inputs)
    return [found[serial] for serial in sorted(found)]


def _inputs(result: Tensor) -> tuple[Tensor, ...]:
    return result.node.inputs if result.node is not None else ()


def _name(result: Tensor) -> str:
    return result.node.name if result.node is not None else ""


def _merged(a: Tensor, b: Tensor) -> tuple[Dim, ...]:
    """The lengths that both runs have, and where they differ, whether they are the batch's."""
    return tuple(
        m if m == n else "batch" if (m, n) == _BATCHES else None for m, n in zip(a.shape, b.shape, strict=True)
    )
