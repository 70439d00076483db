"""Compilation of the kernels: cached on disk where possible, with reordered sums but no other fast mathematics."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

# numba's cache of a function goes by the function's own file; tiles and helpers come from the files beside it as well.
_SOURCES = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]
# The order of a sum is the compiler's to choose and a product may be fused into it: that is what vectors need.
# Never plain `fastmath=True`: it assumes that there is no NaN and no infinity.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract"}, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function, compiled at its first call; it runs without the interpreter's lock."""
    return _compiled(function, _OPTIONS)


def compiled_literally(function: Callable[..., Any]) -> Any:
    """As `compiled`, with every operation rounded by itself: to NumPy's bits."""
    return _compiled(function, _OPTIONS | {"fastmath": False})


def compiled_with_its_caller(function: Callable[..., Any]) -> Any:
    """As `compiled`, without a cache of its own: numba cannot load a generator that way."""
    return njit(**_OPTIONS)(function)


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    function.__qualname__ += f"-{_SOURCES}"  # the only part of the cached file's name that numba leaves to us
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder to write its cache to: compile anew in each process
        return njit(**options)(function)
