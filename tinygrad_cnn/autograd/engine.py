"""The computation graph: what a result remembers of its making, and the walk that brings gradients back.

An op's result keeps a `Node`: the op's inputs and one *pullback* for each of them. A pullback takes dC/dy and y, and
returns dC/d(input): it is the op's backward rule. `backpropagate` calls the pullbacks from the last op to the first.
"""

import contextlib
import functools
import inspect
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor

    Pullback = Callable[[Tensor, Tensor], Tensor]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class GraphError(ValueError):
    """The graph cannot do what was asked: it was used up, changed since, or never recorded."""


class AnomalyError(ValueError):
    """Under `detect_anomaly`: an op made a NaN or an infinity."""


class _State(threading.local):
    """What each thread has switched on."""

    recording = True
    anomaly = False

    def __init__(self) -> None:
        self.before: dict[int, list[bool]] = {}  # what each switch that is in use found, by the switch's id


state = _State()


class _Switch(contextlib.ContextDecorator):
    """Sets one field of the thread's state inside a ``with`` block or a decorated function."""

    field: str
    value: bool

    def _recreate_cm(self) -> Self:  # each call of a decorated function gets a switch of its own
        return type(self)()

    def __call__(self, function: _Function) -> _Function:
        """The function with the switch set while it runs; a generator's caller, between two items, is left alone."""
        if not inspect.isgeneratorfunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        def items(*args: Any, **kwargs: Any) -> Any:
            inner = function(*args, **kwargs)
            while True:
                with self._recreate_cm():
                    try:
                        item = next(inner)
                    except StopIteration as end:
                        return end.value
                yield item

        return items  # type: ignore[return-value]

    def __enter__(self) -> Self:
        state.before.setdefault(id(self), []).append(getattr(state, self.field))
        setattr(state, self.field, self.value)
        return self

    def __exit__(self, *exception: object) -> None:
        found = state.before[id(self)]
        setattr(state, self.field, found.pop())
        if not found:
            del state.before[id(self)]


class no_grad(_Switch):
    """Inside it nothing is recorded, in this thread: for evaluation and for updates. Also a decorator.

    >>> import tinygrad_cnn as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    field, value = "recording", False


class enable_grad(_Switch):
    """Inside it operations are recorded, even within `no_grad`. Also a decorator."""

    field, value = "recording", True


class detect_anomaly(_Switch):
    """Inside it the first op that makes a NaN or an infinity, forward or backward, raises `AnomalyError`.

    The message names the op and the caller's line. Slow: every result is looked at.

    >>> import tinygrad_cnn as tg
    >>> with tg.detect_anomaly():
    ...     tg.Tensor([0.0, 1.0]).log()
    Traceback (most recent call last):
    ...
    tinygrad_cnn.graph.AnomalyError: log made -inf, first at index (0,) of a result of shape (2,), ...
    """

    field, value = "anomaly", True


class Hold:
    """While it lives, a leaf's array is read-only: a rule that has yet to run will read it."""

    __slots__ = ("__weakref__", "array")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        array.setflags(write=False)

    def __del__(self) -> None:
        _holds.pop(id(self.array), None)
        try:  # noqa: SIM105 - quicker than suppress(), and this runs for each parameter at each step
            self.array.setflags(write=True)
        except ValueError:  # a view of an array that is held itself stays read-only
            pass


_holds: dict[int, "weakref.ref[Hold]"] = {}


def held(leaf: "Tensor") -> Hold | None:
    """The hold on the leaf's array that all graphs share; None if the array was read-only without one."""
    array = leaf.data
    known = _holds.get(id(array))  # by array, not by tensor: a detached tensor shares its array
    hold = None if known is None else known()
    if hold is None and array.flags.writeable:
        hold = Hold(array)
        _holds[id(array)] = weakref.ref(hold)
    return hold


class Node:
    """How a tensor was made: by which op, with which parameters, from which inputs, and the rule for each input."""

    __slots__ = ("holds", "inputs", "line", "name", "params", "pullbacks", "serial", "versions")
    _serials = itertools.count()

    def __init__(
        self,
        name: str,
        inputs: "tuple[Tensor, ...]",
        pullbacks: "tuple[Pullback, ...]",
        params: dict[str, Any],
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.pullbacks: tuple[Pullback, ...] | None = pullbacks
        self.params = params
        self.serial = next(Node._serials)  # an op's inputs exist before it: this order is topological
        self.versions = [t.version for t in inputs]
        self.holds = [held(t) for t in inputs if t.node is None]
        self.line = caller() if state.anomaly else ""

    def release(self) -> None:
        """Forget inputs and rules, so that what they held can be freed before the graph's last result is."""
        self.inputs, self.pullbacks, self.holds = (), None, []


def backpropagate(
    output: "Tensor", seed: "Tensor", wanted: "Iterable[Tensor] | None", *, retain: bool, record: bool
) -> "list[tuple[Tensor, Tensor]]":
    """Every wanted tensor with its gradient; ``wanted=None`` stands for all leaves that require one.

    With ``record`` the rules are recorded as well, so that gradients have gradients.
    """
    targets = None if wanted is None else {id(t) for t in wanted}
    order = topological_order(output, targets)
    receiving = {id(t) for t in order}
    pending = {id(output): seed}
    found: list[tuple[Tensor, Tensor]] = []
    with enable_grad() if record else no_grad():
        while order:
            y = order.pop()
            g = pending.pop(id(y), None)
            if g is None:  # no rule passed anything on to it
                continue
            if y.node is None if targets is None else id(y) in targets:
                found.append((y, g))
            if y.node is not None:
                _pull_back(y, y.node, g, receiving, pending)
                if not retain:
                    y.node.release()
    return found


def topological_order(output: "Tensor", targets: set[int] | None) -> "list[Tensor]":
    """What lies between the targets and the output, in the order of making; leaves come first."""
    found: dict[int, Tensor] = {}
    stack = [output]
    while stack:
        t = stack.pop()
        if id(t) in found:
            continue
        found[id(t)] = t
        if t.node is not None:
            if t.node.pullbacks is None:
                raise GraphError(
                    f"backward: the graph through {t.node.name} was used up by an earlier backward(); "
                    "pass retain_graph=True to the first one to walk it twice"
                )
            stack.extend(i for i in t.node.inputs if i.requires_grad)
    order = sorted(found.values(), key=lambda t: -1 if t.node is None else t.node.serial)
    if targets is None:
        return order
    leading: set[int] = set()
    for t in order:
        if id(t) in targets or (t.node is not None and any(id(i) in leading for i in t.node.inputs)):
            leading.add(id(t))
    return [t for t in order if id(t) in leading]


def _pull_back(y: "Tensor", node: Node, g: "Tensor", receiving: set[int], pending: "dict[int, Tensor]") -> None:
    """Run y's rules on g, and add what they give to what its inputs are still to receive."""
    _refuse_stale(y, node)
    for k, (x, pullback) in enumerate(zip(node.inputs, node.pullbacks or (), strict=True)):
        if id(x) not in receiving or not x.requires_grad:
            continue
        gx = _watched(pullback, g, y, node, k) if state.anomaly else pullback(g, y)
        if not hasattr(gx, "node"):
            raise TypeError(
                f"backward: the rule of {node.name} for its input {k} must return a Tensor, got {type(gx).__name__}"
            )
        if gx.shape != x.shape or gx.dtype != x.dtype:
            gx = unbroadcast(gx, x, node.name)
        pending[id(x)] = pending[id(x)] + gx if id(x) in pending else gx


def _watched(pullback: "Pullback", g: "Tensor", y: "Tensor", node: Node, k: int) -> "Tensor":
    """What the rule gives, looked at as a whole: it is the rule that is to be named, not an op that it is made of."""
    state.anomaly = False
    try:
        gx = pullback(g, y)
    finally:
        state.anomaly = True
    check_anomaly(gx.data, f"the rule of {node.name} for its input {k}", node.line, [g.data])
    return gx


def _refuse_stale(y: "Tensor", node: Node) -> None:
    """Rules must read what the op read: any input, and the result, may appear in any of them."""
    for k, (x, then) in enumerate(zip(node.inputs, node.versions, strict=True)):
        if x.version != then:
            raise GraphError(
                f"backward: input {k} of {node.name}, shape {x.shape}, was changed after {node.name} read it "
                "(by an optimizer's step or an assignment); call backward() first, or run the forward pass again"
            )
    if y.version:
        raise GraphError(f"backward: the result of {node.name}, shape {y.shape}, was changed after it was made")


def unbroadcast(g: "Tensor", x: "Tensor", op: str) -> "Tensor":
    """The gradient in x's shape and type: summed over the axes along which x was broadcast."""
    if g.shape != x.shape:
        lead = g.ndim - x.ndim
        stretched = tuple(i for i in range(g.ndim) if i < lead or x.shape[i - lead] == 1 != g.shape[i])
        summed = g.sum(axis=stretched, keepdims=True)
        if lead < 0 or summed.shape[lead:] != x.shape:
            raise GraphError(f"backward: a rule of {op} gave the shape {g.shape} for an input of shape {x.shape}")
        g = summed.reshape(x.shape)
    return g if g.dtype == x.dtype else g.astype(x.dtype)


def check_anomaly(result: np.ndarray[Any, Any], what: str, line: str, inputs: Sequence[np.ndarray[Any, Any]]) -> None:
    """Raise `AnomalyError` if the result has a NaN or an infinity, saying where it came from."""
    finite = np.isfinite(result)
    if finite.all():
        return
    place = tuple(int(i) for i in np.argwhere(~finite)[0])
    passed_on = "" if all(np.isfinite(a).all() for a in inputs) else " (its inputs had one already)"
    raise AnomalyError(
        f"{what} made {result[place]}, first at index {place} of a result of shape {result.shape}, at {line}{passed_on}"
    )


def caller() -> str:
    """The file, line and function outside this package that called into it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
