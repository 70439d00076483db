"""Functions of tensors as subjects: an op or a cost, a module with its parameters, and one op of a larger graph."""

import copy
import os
from collections.abc import Sequence
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
        self.fn = copy.deepcopy(fn) if module else fn
        self._arguments = [_argument(x) for x in inputs]
        required = [isinstance(x, Tensor) and x.requires_grad for x in inputs]
        self._checked, self.constants = [], {}
        for i, (t, name) in enumerate(zip(self._arguments, names, strict=True)):
            if isinstance(t, Tensor) and t.dtype.kind == "f" and (required[i] or not any(required)):
                self._checked.append(i)
            elif isinstance(t, Tensor):
                self.constants[name] = t.data
        self.numbers, self.names = list(self._checked), [names[i] for i in self._checked]
        self.arrays: list[Array] = [self._arguments[i].data for i in self._checked]
        self.float64_inputs = [getattr(inputs[i], "dtype", None) == np.float64 for i in self._checked]
        parameters = [(n, p) for n, p in self.fn.named_parameters() if p.requires_grad] if module else []
        self._parameters: list[Tensor] = [p for _, p in parameters]
        self.numbers += range(len(inputs), len(inputs) + len(parameters))
        self.names += [n for n, _ in parameters]
        self.arrays += [p.data.astype(np.float64) for p in self._parameters]
        self.float64_inputs += [False] * len(parameters)

    def tensors(self, arrays: Sequence[Array]) -> tuple[list[Any], list[Tensor]]:
        """Return the arguments of fn, and the tensors that hold the arrays."""
        arguments, leaves = list(self._arguments), []
        for i, array in zip(self._checked, arrays, strict=False):
            arguments[i] = Tensor(array, requires_grad=True)
            leaves.append(arguments[i])
        for parameter, array in zip(self._parameters, arrays[len(self._checked) :], strict=True):
            parameter._data = np.array(array)
            parameter.grad = None
        return arguments, leaves + self._parameters

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
        """Return y."""
        return self.result(arrays)[0].data

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what the rules return for each input: of a single op before, of a graph after `unbroadcast`."""
        y, leaves = self.result(arrays)
        if y.node is not None and all(any(t is leaf for leaf in leaves) for t in y.node.inputs if t.requires_grad):
            return [_of_node(y.node, y, g, leaves) for g in cotangents]
        return [of_graph(y, g, leaves) for g in cotangents]


def _argument(x: Any) -> Any:
    """Floats as float64 tensors, other arrays as tensors, and everything else as it is."""
    if isinstance(x, list | np.ndarray | np.floating | float):
        try:
            x = Tensor(np.asarray(x))
        except (ValueError, TypeError):
            return x
    if not isinstance(x, Tensor):
        return x
    return wrap(x.data.astype(np.float64)) if x.dtype.kind == "f" else x.detach()


class NotATensor:
    """The result of a rule of a tensor op that is no tensor."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _of_node(node: Node, y: Tensor, cotangent: Array, leaves: Sequence[Tensor]) -> list[Any]:
    """The gradients by one op's rules: unbroadcast where that is possible, else as the rule returned them."""
    with no_grad():
        results = node.gradients(wrap(np.array(cotangent, y.dtype)), y, [t.requires_grad for t in node.inputs])
        sums: list[Any] = [None] * len(leaves)
        for k, (t, gx) in enumerate(zip(node.inputs, results, strict=True)):
            where = next((i for i, leaf in enumerate(leaves) if leaf is t), None)
            if gx is None or where is None:
                continue
            part, before = _unbroadcast(gx, t, node.name, k), sums[where]
            sums[where] = before + part if np.shape(before) == np.shape(part) and before is not None else part
    return [np.zeros(t.shape) if s is None else s for s, t in zip(sums, leaves, strict=True)]


def _unbroadcast(gx: Any, t: Tensor, op: str, k: int) -> Any:
    if not isinstance(gx, Tensor):
        return NotATensor(gx)
    try:
        return unbroadcast(gx, t, op, k).data
    except GraphError:
        return gx.data


def of_graph(y: Tensor, cotangent: Array, leaves: Sequence[Tensor]) -> list[Array]:
    """Return the gradients of a whole graph; zeros for a tensor that y does not depend on."""
    pairs = {}
    if y.requires_grad:
        g = wrap(np.array(cotangent, y.dtype))
        pairs = {id(t): gx.data for t, gx in backward_pass(y, g, leaves, retain_graph=True, record=False)}
    return [pairs.get(id(t), np.zeros(t.shape)) for t in leaves]


class SecondSubject:
    """One number made of all first gradients of a function of tensors; see `probing.Subject`.

    Its gradients contain the second derivatives in every pair of inputs.

    Attributes:
        recorded: by input, False if the first gradients do not depend on it as far as the graph records.
    """

    def __init__(self, parent: TensorSubject, seed: int) -> None:
        self.parent, self.seed = parent, seed
        self.names, self.numbers, self.arrays = parent.names, parent.numbers, parent.arrays
        self.constants = parent.constants
        self.recorded = [True] * len(self.names)
        # Added to the number, this tells its rounding, also where all first gradients are 0 by cancellation.
        scales = [float(np.abs(a).max(initial=0)) or 1.0 for a in self.arrays]
        self._magnitude = float(np.abs(parent.value(parent.arrays)).sum()) * sum(1 / s for s in scales)

    def _total(self, arrays: Sequence[Array]) -> tuple[Tensor, list[Tensor]]:
        """Σ s · dC/dx over all inputs, with fixed random s and dC/dy, and the inputs."""
        rng = np.random.default_rng(self.seed)
        y, leaves = self.parent.result(arrays)
        with enable_grad():
            total = wrap(np.zeros(()))
            g = wrap(rng.standard_normal(y.shape).astype(y.dtype))
            pairs = backward_pass(y, g, leaves, retain_graph=True, record=True) if y.requires_grad else ()
            gradients = {id(t): s for t, s in pairs}
            for t in leaves:
                weights = rng.standard_normal(t.shape)
                if id(t) in gradients:
                    total = total + (gradients[id(t)] * wrap(weights)).sum()
        return total, leaves

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return the number."""
        return np.asarray(self._total(arrays)[0].data + self._magnitude)

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return its gradient for each input."""
        total, leaves = self._total(arrays)
        rows = [of_graph(total, g, leaves) for g in cotangents]
        self.recorded = [bool(total.requires_grad and any(row[k].any() for row in rows)) for k in range(len(leaves))]
        return rows


# One op of a graph ----------------------------------------------------------------------------------------------------


class _Stop(Exception):
    """Ends a forward pass once the op that is examined was recorded."""


def _record(subject: TensorSubject, arrays: Sequence[Array], replaced: dict[int, Array], last: int | None) -> Any:
    """Return the results of the ops that a function records, in order, and the tensors of its inputs.

    The results of the ops at some positions are replaced; after the position ``last`` the function is ended.
    """
    results: list[Tensor] = []

    def observe(out: Tensor) -> None:
        if last is not None and len(results) > last:
            raise _Stop
        if len(results) in replaced:
            out._data = np.array(replaced[len(results)])
        results.append(out)

    arguments, leaves = subject.tensors(arrays)
    before = state.anomaly, state.observer
    state.anomaly, state.observer = True, observe
    try:
        with enable_grad():
            subject.fn(*arguments)
    except _Stop:
        pass
    finally:
        state.anomaly, state.observer = before
    return results, leaves


class NodeSubject:
    """One op of a function's graph, as a function of its own inputs; see `probing.Subject`.

    The function runs up to that op, with the results of the ops before it replaced.

    Attributes:
        op: the op's name and the caller's line that made it.
        reach: for each input the positions of the function's inputs that it depends on.
    """

    def __init__(self, parent: TensorSubject, results: Sequence[Tensor], leaves: Sequence[Tensor], index: int) -> None:
        node = results[index].node
        assert node is not None
        self.parent, self.index = parent, index
        self.op = f"{node.name} ({os.path.basename(node.line.rsplit(' in ', 1)[0])})"
        self.names, self.numbers, self.arrays, self.reach = [], [], [], []
        self.constants: dict[str, Array] = {}
        self._sources: list[tuple[bool, int]] = []  # a leaf or not, and its position
        positions = {id(t): (False, j) for j, t in enumerate(results[:index])}
        positions |= {id(t): (True, i) for i, t in enumerate(leaves)}
        for k, t in enumerate(node.inputs):
            source = positions.get(id(t))
            if t.requires_grad and source is not None and source not in self._sources:
                self._sources.append(source)
                self.names.append(parent.names[source[1]] if source[0] else f"input {k}")
                self.numbers.append(k)
                self.arrays.append(np.array(t.data))
                self.reach.append(_leaves_below(t, leaves))
            else:
                self.constants[f"input {k}"] = t.data

    def _run(self, arrays: Sequence[Array]) -> tuple[Tensor, list[Tensor]]:
        values, replaced = list(self.parent.arrays), {}
        for (is_leaf, i), array in zip(self._sources, arrays, strict=True):
            if is_leaf:
                values[i] = array
            else:
                replaced[i] = array
        results, leaves = _record(self.parent, values, replaced, self.index)
        return results[self.index], [(leaves if is_leaf else results)[i] for is_leaf, i in self._sources]

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""
        return self._run(arrays)[0].data

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what the op's rules return for each input."""
        y, inputs = self._run(arrays)
        assert y.node is not None
        return [_of_node(y.node, y, g, inputs) for g in cotangents]


def _leaves_below(t: Tensor, leaves: Sequence[Tensor]) -> set[int]:
    """The positions of the leaves that a tensor depends on."""
    found, stack, seen = set(), [t], set()
    while stack:
        t = stack.pop()
        if id(t) not in seen:
            seen.add(id(t))
            found |= {i for i, leaf in enumerate(leaves) if leaf is t}
            stack += t.node.inputs if t.node is not None else ()
    return found


def ops_of(subject: TensorSubject) -> list[NodeSubject]:
    """Return the ops that a function records and that depend on its inputs, in order."""
    results, leaves = _record(subject, subject.arrays, {}, None)
    nodes = [NodeSubject(subject, results, leaves, i) for i, t in enumerate(results) if t.node is not None]
    return [node for node in nodes if node.arrays]
