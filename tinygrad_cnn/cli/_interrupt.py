"""Ctrl-C that lets the step under way finish."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_HANG_UP: tuple[int, ...] = (signal.SIGHUP,) if sys.platform != "win32" else ()


class Interrupt:
    """Inside it the first SIGINT, SIGTERM or SIGHUP only sets ``status``; the next one does what it always did.

    But for SIGHUP, the closed terminal: the shell may repeat it, so that goes on to be noted only. A process that was
    told to ignore it (``nohup``) still does.

    Attributes:
        status: the exit status that tells of the signal (130 for Ctrl-C), or 0.
    """

    def __init__(self) -> None:
        self.status = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            for number in (signal.SIGINT, signal.SIGTERM, *_HANG_UP):
                if number not in _HANG_UP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.status = self.status or 128 + number
        self._restore(but=_HANG_UP)

    def _restore(self, but: tuple[int, ...] = ()) -> None:
        for number in self._before.keys() - but:
            signal.signal(number, self._before.pop(number))
