"""The modes of each thread, recording and checking: `no_grad`, `enable_grad` and `detect_anomaly`."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _State(threading.local):
    """The modes of one thread."""

    recording = True
    anomaly = False
    observer: Callable[[Any], None] | None = None  # with `anomaly`: called with each op's result in place of the check

    def __init__(self) -> None:
        self.previous: dict[int, list[bool]] = {}  # the values that each active mode replaced, by the mode's id


state = _State()


class _Mode(contextlib.ContextDecorator):
    """Sets one field of the thread's state inside a ``with`` block or a decorated function."""

    field: str
    value: bool

    def _recreate_cm(self) -> Self:  # each call of a decorated function gets a mode of its own
        return type(self)()

    def __call__(self, function: _Function) -> _Function:
        """Return the function with the mode set while it runs; between two items of a generator it is off."""
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
        state.previous.setdefault(id(self), []).append(getattr(state, self.field))
        setattr(state, self.field, self.value)
        return self

    def __exit__(self, *exception: object) -> None:
        previous = state.previous[id(self)]
        setattr(state, self.field, previous.pop())
        if not previous:
            del state.previous[id(self)]


class no_grad(_Mode):
    """Record nothing in this thread: for evaluation and for updates. A context manager and a decorator.

    >>> import tinygrad_cnn as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    field, value = "recording", False


class enable_grad(_Mode):
    """Record operations, even within `no_grad`. A context manager and a decorator."""

    field, value = "recording", True


class detect_anomaly(_Mode):
    """Raise `AnomalyError` at the first op that makes a NaN or an infinity, forward or backward.

    The message names the op and the caller's line. Slow: every result is checked.

    >>> import tinygrad_cnn as tg
    >>> with tg.detect_anomaly():
    ...     tg.Tensor([0.0, 1.0]).log()
    Traceback (most recent call last):
    ...
    tinygrad_cnn.autograd.engine.AnomalyError: log made -inf, first at index (0,) of a result of shape (2,), ...
    """

    field, value = "anomaly", True
