"""One setting for threads. The kernels share their work out themselves; BLAS beside them keeps to one thread.

Two pools of threads fight: while BLAS's own threads wait for work they spin, and take the processors from the others.
"""

import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

_WORTH_SHARING = 4e6  # multiply-adds: some 80 microseconds, several times what it takes to wake a thread

_MOST = 1024  # threads: the system has no room for any number

_count: int | None = None
_blas: Any = None
_helpers: tuple[int, ThreadPoolExecutor] | None = None


def set_num_threads(n: int) -> None:
    """Compute on ``n`` threads from now on, in all of this process.

    BLAS is held at one thread meanwhile, if `threadpoolctl` is installed (extras ``cli`` and ``fast``); without it BLAS
    keeps what the environment (``OMP_NUM_THREADS``) gave it.

    Results have the same bits whatever the number. Default: ``TINYGRAD_CNN_NUM_THREADS``, else ``OMP_NUM_THREADS``,
    else the processors that this process may run on.

    Raises TypeError unless ``n`` is an integer, ValueError unless it is from 1 to 1024.
    """
    global _count
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if not 1 <= n <= _MOST:
        raise ValueError(f"set_num_threads: n must be between 1 and {_MOST}, got {n}")
    _count = int(n)
    hold_blas()


def get_num_threads() -> int:
    """How many threads the kernels use."""
    global _count
    if _count is None:
        _count = _default()
    return _count


def _default() -> int:
    for name in ("TINYGRAD_CNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdecimal() and int(value) >= 1:
            return min(int(value), _MOST)
    return processors()


def processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parts(length: int, work: float, part: Callable[[slice], None]) -> None:
    """Call ``part`` for the slices of 0 .. length, side by side if ``work`` multiply-adds are worth it."""
    count = min(get_num_threads(), length)
    if count < 2 or work < _WORTH_SHARING:
        part(slice(0, length))
        return
    ends = [length * k // count for k in range(count + 1)]
    others = [_pool(count - 1).submit(part, slice(*ends[k : k + 2])) for k in range(1, count)]
    part(slice(*ends[:2]))
    for other in others:
        other.result()


def hold_blas() -> None:
    """Hold every BLAS in this process at one thread, once `threadpoolctl` has found them."""
    global _blas
    if _blas is None:
        try:
            threadpoolctl = importlib.import_module("threadpoolctl")
        except ImportError:
            return
        _blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    _blas.limit(limits=1)


def _pool(helpers: int) -> ThreadPoolExecutor:
    """Threads that sleep until they are needed."""
    global _helpers
    if _helpers is None or _helpers[0] < helpers:
        silent = partial(np.seterr, all="ignore")  # each thread has a setting of its own for NumPy's warnings
        _helpers = helpers, ThreadPoolExecutor(helpers, "tinygrad_cnn", silent)
    return _helpers[1]


def _start_anew() -> None:
    """Threads do not survive a fork: the child makes its own."""
    global _helpers
    _helpers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
