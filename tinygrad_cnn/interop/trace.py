"""The ops of a network, read from the graph that a forward pass records.

The network runs twice, on batches of two sizes with different numbers. What differs between the runs depends on the
batch; a difference that the batch's size does not explain, such as in a constant, is an error.
"""

import copy
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.engine import topological_order
from ..autograd.modes import enable_grad
from ..autograd.tensor import Tensor
from ..nn import Buffer, Module

Length = int | Literal["batch"] | None
"""The length of an axis; None if it changes with the batch, but is not its size."""

_BATCH_SIZES = 4, 11  # n // k differs for every k up to 11, and so shows that a slice such as x[: n // 2] depends on n


class Value(NamedTuple):
    """One array of the traced network."""

    name: str
    shape: tuple[Length, ...]
    dtype: np.dtype[Any]


class Op(NamedTuple):
    """One op of the traced network: `Node.name`, `Node.params`, and the arrays that it reads and makes.

    ``varying`` names the parameters that depend on the batch, but for the result's shape; ``formula`` and ``sentences``
    are `Node.formula` and `Node.sentence` of each input.
    """

    name: str
    params: dict[str, Any]
    varying: list[str]
    inputs: tuple[Value, ...]
    result: Value
    formula: str
    sentences: tuple[str, ...]


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
    """Run a copy of the network, in evaluation mode, on ``(N, *image_shape)``, and return its ops.

    Raises:
        ValueError: the network computes something else for another batch than the batch's length explains, or its
            result does not depend on its input; the message begins with ``caller``.
        TypeError: its result is not a tensor.
    """
    twin = recording_copy(model)
    shapes = ((n, *image_shape) for n in _BATCH_SIZES)
    first, second = (run(caller, twin, np.random.default_rng(shape[0]).random(shape)) for shape in shapes)
    return _Comparison(caller, first, second, dict(twin._named_tensors())).trace()


def recording_copy(model: Module) -> Module:
    """Return a copy of the network in evaluation mode of which `run` records every op."""
    twin = copy.deepcopy(model).eval()
    for _, t in twin._named_tensors():
        if t.dtype.kind == "f":
            t.requires_grad = True  # so that ops on buffers, and on frozen parameters, are recorded too
    return twin


class Run(NamedTuple):
    """One run of the network, with the ops' results in the order of their making."""

    input: Tensor
    output: Tensor
    results: list[Tensor]


def run(caller: str, twin: Module, images: NDArray[Any]) -> Run:
    """Run a `recording_copy` on images ``(N, ...)``, in its own float type, and return the ops' results.

    Raises:
        ValueError: the result does not depend on the images.
        TypeError: it is not a tensor.
    """
    dtype = next((t.dtype for _, t in twin._named_tensors() if t.dtype.kind == "f"), np.dtype(np.float32))
    x = Tensor(images, dtype=dtype, requires_grad=True)
    with enable_grad():
        y = twin(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"{caller}: the network must return one Tensor, got {type(y).__name__}")
    order = topological_order(y)
    if not any(t is x for t in order):
        raise ValueError(f"{caller}: the network's result does not depend on its input")
    return Run(x, y, [t for t in order if t.node is not None])


class _Comparison:
    """Two runs side by side: a `Value` for each tensor of the first, compared with its counterpart in the second."""

    def __init__(self, caller: str, first: Run, second: Run, named: dict[str, Tensor]) -> None:
        self.caller, self.first, self.second, self.named = caller, first, second, named
        self.names = {id(t): name for name, t in named.items()}
        self.taken = set(named)
        self.state: set[str] = set()
        self.constants: dict[str, NDArray[Any]] = {}
        self.values: dict[int, Value] = {}
        self.add_value("input", first.input, second.input)

    def trace(self) -> Trace:
        """Return the trace. ValueError where the runs differ."""
        nodes = [[t.node.name for t in run.results if t.node] for run in (self.first, self.second)]
        if nodes[0] != nodes[1]:
            raise ValueError(f"{self.caller}: the network takes other steps for another batch")
        ops = [self.op(k, a, b) for k, (a, b) in enumerate(zip(self.first.results, self.second.results, strict=True))]
        state = {name: t for name, t in self.named.items() if name in self.state}
        return Trace(
            self.values[id(self.first.input)],
            self.values[id(self.first.output)],
            ops,
            {name: t.data for name, t in state.items()},
            [name for name, t in state.items() if isinstance(t, Buffer)],
            self.constants,
        )

    def op(self, k: int, a: Tensor, b: Tensor) -> Op:
        """Return op number k, whose result is ``a`` in one run and ``b`` in the other."""
        assert a.node is not None and b.node is not None  # results have one
        name, params, other = a.node.name, a.node.params, b.node.params
        inputs = tuple(self.input(name, x, y) for x, y in zip(a.node.inputs, b.node.inputs, strict=True))
        varying = [key for key in params if repr(params[key]) != repr(other[key])]
        if "shape" in varying and _is_shape(params["shape"], a) and _is_shape(other["shape"], b):
            varying.remove("shape")
        result = self.add_value("output" if a is self.first.output else f"{name}_{k}", a, b)
        sentences = tuple(a.node.sentence(i) for i in range(len(inputs)))
        return Op(name, params, varying, inputs, result, a.node.formula, sentences)

    def input(self, op: str, a: Tensor, b: Tensor) -> Value:
        """Return the value of an op's input: the result of an earlier op, a part of the state, or a constant."""
        if id(a) not in self.values:
            if a.shape != b.shape or not np.array_equal(a.data, b.data, equal_nan=True):
                raise ValueError(f"{self.caller}: {op}: a constant, shape {a.shape}, changes with the input")
            if id(a) in self.names:
                self.values[id(a)] = Value(self.names[id(a)], a.shape, a.dtype)
                self.state.add(self.names[id(a)])
            else:
                self.constants[self.add_value(f"constant_{len(self.constants)}", a, b).name] = a.data
        return self.values[id(a)]

    def add_value(self, name: str, a: Tensor, b: Tensor) -> Value:
        """Add the value that is ``a`` in one run and ``b`` in the other, under a name that no other value has."""
        shape: tuple[Length, ...] = tuple(
            m if m == n else "batch" if (m, n) == _BATCH_SIZES else None for m, n in zip(a.shape, b.shape, strict=True)
        )
        value = self.values[id(a)] = Value(unused(name, self.taken), shape, a.dtype)
        return value


def unused(name: str, taken: set[str]) -> str:
    """Return the name, with underscores as long as it is among the ``taken`` ones, and add it to them."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _is_shape(value: Any, result: Tensor) -> bool:
    """Return True if an op's parameter is its result's shape, or the rows and columns of it."""
    return isinstance(value, tuple | list) and tuple(value) in (result.shape, result.shape[-2:])
