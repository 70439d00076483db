"""The computation graph, and the backward pass over it.

An op's result keeps a `Node`: the op's inputs and a *backward rule* for each of them. A rule takes g = dC/dy and y, and
returns dC/d(input). `backward_pass` calls the rules from the last op to the first.

Rules read the arrays that the op read. These must stay as they were: the array of a leaf is locked, that is read-only,
while a rule may still read it (`lock_array`); and an array that was replaced is another object, which `backward_pass`
finds.
"""

import itertools
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .modes import enable_grad, no_grad, state

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class GraphError(ValueError):
    """The graph cannot do what was asked: it was freed, its arrays were changed, or nothing was recorded."""


class AnomalyError(ValueError):
    """Under `detect_anomaly`: an op made a NaN or an infinity."""


Rule = Callable[[Any, Any], Any]  # of tensors; the engine stands before the module that defines them


class Node:
    """The record of one op: its inputs, its rules and their sentences.

    Attributes:
        name, kind, formula: the op's name, its kind (`ops` lists them), and its forward pass in the article's notation.
        inputs: the tensors that it was computed from.
        rules: a backward rule for each input, or one joint rule that returns all gradients; None once it was freed.
        params: the op's other arguments.
        serial: a number that grows with every op, so that it sorts a graph topologically.
        line: under `detect_anomaly` the caller's file and line.
    """

    __slots__ = (
        "_arrays",
        "_locks",
        "_result",
        "formula",
        "inputs",
        "kind",
        "line",
        "name",
        "params",
        "rules",
        "serial",
    )
    _serials = itertools.count()

    def __init__(
        self,
        name: str,
        result: NDArray[Any],
        inputs: tuple[Any, ...],
        rules: tuple[Rule, ...] | Rule,
        kind: str,
        formula: str,
        params: dict[str, Any],
    ) -> None:
        self.name, self.kind, self.formula = name, kind, formula
        self.inputs, self.params = inputs, params
        self.rules: tuple[Rule, ...] | Rule | None = rules
        self.serial = next(Node._serials)
        self._result = result
        self._arrays = [t._data for t in inputs]
        self._locks = [lock_array(t._data) for t in inputs if t.node is None]
        self.line = caller() if state.anomaly else ""

    def release(self) -> None:
        """Free inputs and rules, and unlock the arrays that they read."""
        self.inputs, self.rules, self._locks, self._arrays = (), None, [], []

    def gradients(self, g: Any, y: Any, needed: Sequence[bool]) -> list[Any]:
        """Apply the rules to g = dC/dy: the gradient of every needed input as its rule returns it, else None."""
        self._check_unchanged(y)
        rules = self.rules or ()
        if callable(rules):
            joint = self._watched(rules, 0, g, y) if state.anomaly else rules(g, y)
            return [gx if need else None for gx, need in zip(joint, needed, strict=True)]
        if state.anomaly:
            return [self._watched(rule, k, g, y) if needed[k] else None for k, rule in enumerate(rules)]
        return [rule(g, y) if need else None for rule, need in zip(rules, needed, strict=True)]

    def sentence(self, k: int) -> str:
        """Return what the docstring says of the rule for input k, in one line; empty where it says nothing."""
        if callable(self.rules):
            sentences = re.split(r"\n\s*(?=dC/d)", self.rules.__doc__ or "")
            return " ".join(sentences[k].split()) if k < len(sentences) else ""
        return " ".join((self.rules[k].__doc__ or "").split()) if self.rules else ""

    def _watched(self, rule: Rule, k: int, g: Any, y: Any) -> Any:
        """Apply a rule and check what it returns; the ops inside it are not checked, so that the rule is named."""
        state.anomaly = False
        try:
            result = rule(g, y)
        finally:
            state.anomaly = True
        for i, gx in enumerate(result if isinstance(result, tuple) else (result,)):
            check_anomaly(gx.data, f"the rule of {self.name} for its input {k + i}", self.line, [g.data])
        return result

    def _check_unchanged(self, y: Any) -> None:
        """GraphError unless every input, and the result, has the array that the op read or made."""
        for k, (x, array) in enumerate(zip(self.inputs, self._arrays, strict=True)):
            if x._data is not array:
                raise GraphError(
                    f"backward: input {k} of {self.name}, shape {x.shape}, was changed after {self.name} read it "
                    "(by an optimizer's step or an assignment); call backward() first, or run the forward pass again"
                )
        if y._data is not self._result:
            raise GraphError(f"backward: the result of {self.name}, shape {y.shape}, was changed after it was made")


class ArrayLock:
    """Keeps an array read-only for as long as the lock lives."""

    __slots__ = ("__weakref__", "array")

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        array.setflags(write=False)

    def __del__(self) -> None:
        _locks.pop(id(self.array), None)
        try:  # noqa: SIM105 - quicker than suppress(), and this runs for each parameter at each step
            self.array.setflags(write=True)
        except ValueError:  # a view of an array that is locked itself stays read-only
            pass


_locks: dict[int, "weakref.ref[ArrayLock]"] = {}


def lock_array(array: NDArray[Any]) -> ArrayLock | None:
    """Return the lock on an array, one for all graphs that read it; None if it was read-only without one."""
    lock = current_lock(array)
    if lock is None and array.flags.writeable:
        lock = ArrayLock(array)
        _locks[id(array)] = weakref.ref(lock)
    return lock


def current_lock(array: NDArray[Any]) -> ArrayLock | None:
    """Return the lock on an array, or None."""
    reference = _locks.get(id(array))  # by array, not by tensor: a detached tensor shares its array
    return None if reference is None else reference()


def backward_pass(
    output: Any, g: Any, targets: Iterable[Any] | None = None, *, retain_graph: bool, record: bool
) -> list[tuple[Any, Any]]:
    """Return the targets with their gradients, (tensor, dC/d(tensor)), for g = dC/d(output).

    Args:
        output: the tensor to start from.
        g: its gradient.
        targets: the tensors to return gradients for; None for all leaves that require one.
        retain_graph: keep the graph; otherwise it is freed on the way.
        record: record the rules too, so that gradients have gradients.
    """
    target_ids = None if targets is None else {id(t) for t in targets}
    order = topological_order(output, target_ids)
    needed = {id(t) for t in order}
    grads = {id(output): g}
    results = []
    with enable_grad() if record else no_grad():
        while order:
            y = order.pop()
            g = grads.pop(id(y), None)
            if g is None:  # no rule passed a gradient on to it
                continue
            node = y.node
            if node is None if target_ids is None else id(y) in target_ids:
                results.append((y, g))
            if node is None:
                continue
            inputs = node.inputs
            run = [x._requires_grad and id(x) in needed for x in inputs]
            for k, gx in enumerate(node.gradients(g, y, run)):
                if gx is not None:
                    x, i = inputs[k], id(inputs[k])
                    data = getattr(gx, "_data", None)
                    if data is None or data.shape != x._data.shape or data.dtype != x._data.dtype:
                        gx = unbroadcast(gx, x, node.name, k)
                    grads[i] = grads[i] + gx if i in grads else gx
            if not retain_graph:
                node.release()
    return results


def topological_order(output: Any, targets: set[int] | None = None) -> list[Any]:
    """Return the tensors between the targets (ids; None: all leaves) and the output, each after its inputs."""
    reached: dict[int, Any] = {}
    stack = [output]
    while stack:
        t = stack.pop()
        if id(t) in reached:
            continue
        reached[id(t)] = t
        if t.node is not None:
            if t.node.rules is None:
                raise GraphError(
                    f"backward: the graph through {t.node.name} was used up by an earlier backward(); "
                    "pass retain_graph=True to the first one to walk it twice"
                )
            stack.extend(x for x in t.node.inputs if x.requires_grad)
    order = sorted(reached.values(), key=lambda t: -1 if t.node is None else t.node.serial)
    if targets is None:
        return order
    leading: set[int] = set()  # the targets, and all that was computed from them
    for t in order:
        if id(t) in targets or (t.node is not None and any(id(x) in leading for x in t.node.inputs)):
            leading.add(id(t))
    return [t for t in order if id(t) in leading]


def unbroadcast(g: Any, x: Any, op: str, k: int) -> Any:
    """Return a rule's result in the shape and type of input k: summed over the axes along which it was broadcast."""
    if not hasattr(g, "_data"):
        raise TypeError(f"backward: the rule of {op} for its input {k} must return a Tensor, got {type(g).__name__}")
    if g._data.shape != x._data.shape:
        lead = g.ndim - x.ndim
        axes = tuple(i for i in range(g.ndim) if i < lead or x.shape[i - lead] == 1 != g.shape[i])
        summed = g.sum(axis=axes, keepdims=True)
        if lead < 0 or summed.shape[lead:] != x.shape:
            raise GraphError(f"backward: a rule of {op} gave the shape {g.shape} for an input of shape {x.shape}")
        g = summed.reshape(x.shape)
    return g if g._data.dtype == x._data.dtype else g.astype(x.dtype)


def check_anomaly(result: NDArray[Any], what: str, line: str, inputs: Sequence[NDArray[Any]]) -> None:
    """Raise `AnomalyError`, with the place and the caller's line, if the result has a NaN or an infinity."""
    finite = np.isfinite(result)
    if finite.all():
        return
    place = tuple(int(i) for i in np.argwhere(~finite)[0])
    passed_on = "" if all(np.isfinite(a).all() for a in inputs) else " (its inputs had one already)"
    raise AnomalyError(
        f"{what} made {result[place]}, first at index {place} of a result of shape {result.shape}, at {line}{passed_on}"
    )


def caller() -> str:
    """Return the file, line and function outside this package that called into it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
