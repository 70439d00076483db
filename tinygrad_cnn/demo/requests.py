"""The contents of a request, checked, and a limit to the number of requests."""

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
_MAX_COORDINATE = 100.0  # in sides of the page


class BadRequest(ValueError):
    """A request that makes no sense; the message says why."""


class TokenBucket:
    """Lets ``burst`` requests through at once and ``rate`` a second after that."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._then = burst, clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a token for one more request; return False if there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
            self._then = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


def fields(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object. BadRequest for anything else, NaN and infinity included."""
    try:
        request = json.loads(body, parse_constant=_raise)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(request, dict):
        raise BadRequest("the body is not a JSON object")
    return request


def strokes(request: dict[str, Any]) -> list[NDArray[np.float64]]:
    """Return ``strokes``: lists of points [x, y], in sides of the page."""
    value = request.get("strokes")
    if not isinstance(value, list) or not all(isinstance(stroke, list) for stroke in value):
        raise BadRequest("strokes must be a list of lists of points")
    if sum(map(len, value)) > MAX_POINTS or len(value) > MAX_POINTS:
        raise BadRequest(f"strokes may have {MAX_POINTS} points together")
    return [np.array([_point(p) for p in stroke], np.float64) for stroke in value if stroke]


def image(request: dict[str, Any]) -> NDArray[np.uint8]:
    """Return ``image``: 28x28 bytes in base 64, as an earlier response has them."""
    value = request.get("image")
    try:
        content = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != SIDE * SIDE:
        raise BadRequest(f"image must be {SIDE}x{SIDE} bytes in base 64")
    return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE)


def index(request: dict[str, Any], name: str, count: int) -> int:
    """Return an integer from 0 to ``count`` - 1."""
    value = request.get(name)
    if type(value) is not int or not 0 <= value < count:
        raise BadRequest(f"{name} must be an integer from 0 to {count - 1}")
    return value


def _point(value: object) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2 and all(type(c) in (int, float) for c in value):
        x, y = value
        if abs(x) <= _MAX_COORDINATE and abs(y) <= _MAX_COORDINATE:  # NaN is not
            return x, y
    raise BadRequest(f"a point must be two numbers of at most {_MAX_COORDINATE:g}")


def _raise(name: str) -> NoReturn:
    raise ValueError(name)
