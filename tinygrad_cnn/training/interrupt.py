"""Signals that let the update under way finish."""

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

_HANG_UP: tuple[int, ...] = (signal.SIGHUP,) if sys.platform != "win32" else ()
SIGNALS = (signal.SIGINT, signal.SIGTERM, *_HANG_UP)


class Interrupt:
    """Context in which the first of some signals only sets ``status``; the next has its usual effect.

    SIGHUP, a closed terminal, never has another effect here, because the shell may repeat it; a process that ignores
    it (``nohup``) still does.

    Args:
        signals: SIGINT (Ctrl-C), SIGTERM and SIGHUP by default. Outside the main thread, none.

    Attributes:
        status: the exit status for the signal (130 for Ctrl-C), or 0.
    """

    def __init__(self, signals: Sequence[int] = SIGNALS) -> None:
        self.status = 0
        self._signals = signals
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            for number in self._signals:
                if number not in _HANG_UP or signal.getsignal(number) != signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.status = self.status or 128 + number
        self._restore(but=_HANG_UP)

    def _restore(self, but: tuple[int, ...] = ()) -> None:
        for number in self._handlers.keys() - but:
            signal.signal(number, self._handlers.pop(number))


def ctrl_c() -> Interrupt:
    """Return an `Interrupt` for Ctrl-C where that would raise KeyboardInterrupt; handlers of the caller's stay."""
    return Interrupt((signal.SIGINT,) if signal.getsignal(signal.SIGINT) is signal.default_int_handler else ())
