"""What a request may contain, and how many may come."""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .strokes import SIDE

MAX_BYTES = 65_536  # of a request's body
MAX_POINTS = 4_000
_FARTHEST = 100.0  # pages from the page's corner


class AskedWrongly(ValueError):
    """A request that makes no sense; the message says why."""


class TokenBucket:
    """Lets ``burst`` requests through at once and ``rate`` a second after that."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._then = burst, clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more request may pass."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
            self._then = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def question(body: bytes) -> dict[str, Any]:
    """A request's JSON object. Raises AskedWrongly for anything else, NaN and infinity included."""
    try:
        asked = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise AskedWrongly("the body is not JSON") from None
    if not isinstance(asked, dict):
        raise AskedWrongly("the body is not a JSON object")
    return asked


def strokes(asked: dict[str, Any]) -> list[NDArray[np.float64]]:
    """``strokes``: lists of points [x, y], in shares of the page's side."""
    given = asked.get("strokes")
    if not isinstance(given, list) or not all(isinstance(stroke, list) for stroke in given):
        raise AskedWrongly("strokes must be a list of lists of points")
    if sum(map(len, given)) > MAX_POINTS or len(given) > MAX_POINTS:
        raise AskedWrongly(f"strokes may have {MAX_POINTS} points together")
    return [np.array([_point(p) for p in stroke], np.float64) for stroke in given if stroke]


def image(asked: dict[str, Any]) -> NDArray[np.uint8]:
    """``image``: 28x28 bytes in base 64, as an earlier answer gave them."""
    given = asked.get("image")
    try:
        content = base64.b64decode(given if isinstance(given, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != SIDE * SIDE:
        raise AskedWrongly(f"image must be {SIDE}x{SIDE} bytes in base 64")
    return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)


def index(asked: dict[str, Any], name: str, count: int) -> int:
    """An integer from 0 to ``count`` - 1."""
    given = asked.get(name)
    if type(given) is not int or not 0 <= given < count:
        raise AskedWrongly(f"{name} must be an integer from 0 to {count - 1}")
    return given


def _point(given: object) -> tuple[float, float]:
    if isinstance(given, list) and len(given) == 2 and all(type(c) in (int, float) for c in given):
        x, y = given
        if abs(x) <= _FARTHEST and abs(y) <= _FARTHEST:  # NaN is not
            return x, y
    raise AskedWrongly(f"a point must be two numbers of at most {_FARTHEST:g}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
