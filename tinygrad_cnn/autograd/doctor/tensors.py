"""Functions of tensors as subjects: an op or a cost, a module with its parameters, and one op of a larger graph."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...checks import abbreviated
from ..engine import GraphError, Node, backward_pass, unbroadcast
from ..modes import enable_grad, no_grad, state
from ..tensor import Tensor, wrap
from .probing import Array


class TensorSubject:
    """A function of tensors; see `probing.Subject`.

    A module is copied, and its parameters that require a gradient count as further inputs. If a tensor among the
    inputs requires a gradient, only those that do are checked; otherwise all floating point inputs.
    """

    def __init__(self, fn: Any, inputs: Sequence[Any], names: Sequence[str]) -> None:
        module = hasattr(fn, "named_parameters")
        self.fn = _copied(fn) if module else fn
        self._arguments = [_argument(x) for x in inputs]
        self._parameters: list[Tensor] = []
        tensors = {i: t for i, t in enumerate(self._arguments) if isinstance(t, Tensor)}
        required = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        checked = [
            i
            for i, t in tensors.items()
            if t.dtype.kind == "f" and (not required or (isinstance(inputs[i], Tensor) and inputs[i].requires_grad))
        ]
        self._checked = checked
        self.numbers, self.names = list(checked), [names[i] for i in checked]
        self.arrays = [tensors[i].data for i in checked]
        self.constants = {names[i]: t.data for i, t in tensors.items() if i not in checked}
        self.float64_inputs = [_dtype(inputs[i]) == np.float64 for i in checked]
        parameters = [(n, p) for n, p in self.fn.named_parameters() if p.requires_grad] if module else []
        for number, (name, parameter) in enumerate(parameters, len(inputs)):
            self._parameters.append(parameter)
            self.numbers.append(number)
            self.names.append(name)
            self.arrays.append(parameter.data.astype(np.float64))
            self.float64_inputs.append(False)
        self._works_without_graph = self._same_without_graph()

    def tensors(self, arrays: Sequence[Array], requires_grad: bool = True) -> tuple[list[Any], list[Tensor]]:
        """Return the arguments of fn, and the tensors that hold the arrays."""
        arguments = list(self._arguments)
        leaves = []
        for i, array in zip(self._checked, arrays, strict=False):
            arguments[i] = Tensor(array, requires_grad=requires_grad)
            leaves.append(arguments[i])
        for parameter, array in zip(self._parameters, arrays[len(self._checked) :], strict=True):
            parameter._data = np.array(array)
            parameter.grad = None
            leaves.append(parameter)
        return arguments, leaves

    def inputs_at(self, arrays: Sequence[Array]) -> list[Any]:
        """Return all arguments as arrays, then the parameters, at a point."""
        arguments, _ = self.tensors(arrays)
        parameters = [np.array(a) for a in arrays[len(self._checked) :]]
        return [np.array(t.data) if isinstance(t, Tensor) else t for t in arguments] + parameters

    def result(self, arrays: Sequence[Array]) -> tuple[Tensor, list[Tensor]]:
        """Return y, and the tensors that hold the arrays."""
        arguments, leaves = self.tensors(arrays)
        with enable_grad():
            y = self.fn(*arguments)
        if not isinstance(y, Tensor):
            hint = "; pass backward= for functions of arrays" if isinstance(y, np.ndarray | tuple | np.generic) else ""
            raise TypeError(f"diagnose: fn must return one tensor, got {abbreviated(y)}{hint}")
        return y, leaves

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y; without a graph, if that gives the same value."""
        if not self._works_without_graph:
            return self.result(arrays)[0].data
        arguments, _ = self.tensors(arrays, requires_grad=False)
        with no_grad():
            return self.fn(*arguments).data  # type: ignore[no-any-return]

    def _same_without_graph(self) -> bool:
        """True if the function gives the same without a graph: quicker, but not if it takes gradients itself."""
        try:
            arguments, _ = self.tensors(self.arrays, requires_grad=False)
            with no_grad():
                y = self.fn(*arguments).data
        except Exception:
            return False
        return bool(np.array_equal(y, self.result(self.arrays)[0].data, equal_nan=True))

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what the rules return for each input: of a single op before, of a graph after `unbroadcast`."""
        y, leaves = self.result(arrays)
        if not y.requires_grad:
            return [[np.zeros(a.shape) for a in arrays] for _ in cotangents]
        node = y.node
        if node is not None and all(any(t is leaf for leaf in leaves) for t in node.inputs if t.requires_grad):
            return [_of_node(node, y, g, leaves) for g in cotangents]
        return [_of_graph(y, g, leaves) for g in cotangents]


def _argument(x: Any) -> Any:
    """Return floats as float64 tensors, and everything else as it is."""
    if isinstance(x, Tensor):
        return wrap(x.data.astype(np.float64)) if x.dtype.kind == "f" else x.detach()
    if isinstance(x, list):
        with contextlib.suppress(ValueError, TypeError):
            x = np.asarray(x)
    if isinstance(x, np.ndarray | np.floating | float):
        array = np.asarray(x)
        if array.dtype.kind == "f":
            return wrap(array.astype(np.float64))
        return wrap(array) if array.dtype.kind in "iub" else x
    return x


def _dtype(x: Any) -> Any:
    return x.dtype if isinstance(x, Tensor | np.ndarray) else None


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise TypeError(f"diagnose: the module {type(module).__name__} cannot be copied: {error}") from error


def _of_node(node: Node, y: Tensor, cotangent: Array, leaves: Sequence[Tensor]) -> list[Any]:
    """The gradients by one op's rules: unbroadcast where that is possible, else as the rule returned them."""
    with no_grad():
        g = wrap(np.array(cotangent, y.dtype))
        results = node.gradients(g, y, [t.requires_grad for t in node.inputs])
        sums: list[Any] = [None] * len(leaves)
        for k, (t, gx) in enumerate(zip(node.inputs, results, strict=True)):
            where = next((i for i, leaf in enumerate(leaves) if leaf is t), None)
            if gx is None or where is None:
                continue
            part = _unbroadcast(gx, t, node.name, k)
            before = sums[where]
            fits = before is None or np.shape(before) == np.shape(part)
            sums[where] = part if before is None or not fits else before + part
    return [np.zeros(t.shape) if s is None else s for s, t in zip(sums, leaves, strict=True)]


def _unbroadcast(gx: Any, t: Tensor, op: str, k: int) -> Any:
    if not isinstance(gx, Tensor):
        return NotATensor(gx)
    if gx.shape == t.shape:
        return gx.data
    try:
        return unbroadcast(gx, t, op, k).data
    except GraphError:
        return gx.data


class NotATensor:
    """What a rule of a tensor op returned in place of a tensor."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _of_graph(y: Tensor, cotangent: Array, leaves: Sequence[Tensor]) -> list[Any]:
    g = wrap(np.array(cotangent, y.dtype))
    pairs = {id(t): gx.data for t, gx in backward_pass(y, g, leaves, retain_graph=True, record=False)}
    return [pairs.get(id(t), np.zeros(t.shape)) for t in leaves]


class _Captured(Exception):
    """Ends a forward pass once the op that is examined was recorded."""


class _Recorder:
    """Sees every op that is recorded: replaces the results of some, and ends the pass after one.

    Args:
        replaced: other numbers for the results of the ops of these positions.
        last: the position after which to stop; None for the end.
    """

    def __init__(self, replaced: dict[int, Array], last: int | None) -> None:
        self.replaced, self.last = replaced, last
        self.results: list[Tensor] = []

    def __call__(self, out: Tensor) -> None:
        if self.last is not None and len(self.results) > self.last:
            raise _Captured
        array = self.replaced.get(len(self.results))
        if array is not None and array.shape == out.shape:
            out._data = np.array(array)
        self.results.append(out)


@contextlib.contextmanager
def _recording(recorder: _Recorder) -> Iterator[None]:
    """Call ``recorder`` with every op's result."""
    before = state.anomaly, state.observer
    state.anomaly, state.observer = True, recorder
    try:
        yield
    except _Captured:
        pass
    finally:
        state.anomaly, state.observer = before


class NodeSubject:
    """One op of a function's graph, as a function of its own inputs; see `probing.Subject`.

    The function runs up to that op, with the results of the ops before it replaced.

    Attributes:
        op: the op's name; line: the caller's line that made it.
        leaf_numbers: the numbers of the function's inputs that the op's inputs depend on.
    """

    float64_inputs: Sequence[bool] = ()

    def __init__(self, parent: TensorSubject, results: Sequence[Tensor], leaves: Sequence[Tensor], index: int) -> None:
        node = results[index].node
        assert node is not None
        self.parent, self.index, self.op, self.line = parent, index, node.name, node.line
        self.names, self.numbers, self.arrays = [], [], []
        self.constants: dict[str, Array] = {}
        self._sources: list[tuple[str, int]] = []
        produced = {id(t): j for j, t in enumerate(results[:index])}
        leaf_index = {id(t): i for i, t in enumerate(leaves)}
        for k, t in enumerate(node.inputs):
            source = ("op", produced[id(t)]) if id(t) in produced else ("leaf", leaf_index.get(id(t), -1))
            if t.requires_grad and source[1] >= 0 and source not in self._sources:
                name = parent.names[source[1]] if source[0] == "leaf" else f"input {k}"
                self._sources.append(source)
                self.names.append(name)
                self.numbers.append(k)
                self.arrays.append(np.array(t.data))
            else:
                self.constants[f"input {k}"] = t.data

    def _run(self, arrays: Sequence[Array]) -> tuple[Tensor, list[Tensor]]:
        values = list(self.parent.arrays)
        replaced = {}
        for (kind, i), array in zip(self._sources, arrays, strict=True):
            if kind == "leaf":
                values[i] = array
            else:
                replaced[i] = array
        recorder = _Recorder(replaced, self.index)
        arguments, leaves = self.parent.tensors(values)
        with enable_grad(), _recording(recorder):
            self.parent.fn(*arguments)
        inputs = [leaves[i] if kind == "leaf" else recorder.results[i] for kind, i in self._sources]
        return recorder.results[self.index], inputs

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""
        return self._run(arrays)[0].data

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what the op's rules return for each input."""
        y, inputs = self._run(arrays)
        if y.node is None:
            return [[np.zeros(a.shape) for a in arrays] for _ in cotangents]
        return [_of_node(y.node, y, g, inputs) for g in cotangents]


def ops_of(subject: TensorSubject) -> tuple[list[Tensor], list[Tensor]]:
    """Return the results of all ops that the function records, in order, and the tensors of its inputs."""
    recorder = _Recorder({}, None)
    arguments, leaves = subject.tensors(subject.arrays)
    with enable_grad(), _recording(recorder):
        subject.fn(*arguments)
    return recorder.results, leaves
