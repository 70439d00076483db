"""The number of threads: the kernels share their work, and BLAS is limited to one thread.

Two pools of threads disturb each other: while BLAS's threads wait for work they spin, and occupy the processors.
"""

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

_MIN_SHARED_WORK = 4e6  # multiply-adds: some 80 microseconds, several times what it takes to wake a thread
_MAX_THREADS = 1024

_count: int | None = None
_blas: Any = None
_executor: tuple[int, Any] | None = None


def set_num_threads(n: int) -> None:
    """Compute on ``n`` threads from now on, in all of this process.

    BLAS is limited to one thread meanwhile, if `threadpoolctl` is installed (extras ``cli`` and ``fast``); without it
    BLAS takes its number from the environment (``OMP_NUM_THREADS``).

    Results have the same bits for any number. Default: ``TINYGRAD_CNN_NUM_THREADS``, else ``OMP_NUM_THREADS``, else
    the number of processors that this process may run on.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not between 1 and 1024.
    """
    global _count
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if not 1 <= n <= _MAX_THREADS:
        raise ValueError(f"set_num_threads: n must be between 1 and {_MAX_THREADS}, got {n}")
    _count = int(n)
    limit_blas()


def get_num_threads() -> int:
    """Return the number of threads that the kernels use."""
    global _count
    if _count is None:
        _count = _default()
    return _count


def _default() -> int:
    for name in ("TINYGRAD_CNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdecimal() and int(value) >= 1:
            return min(int(value), _MAX_THREADS)
    return processors()


def processors() -> int:
    """Return the number of processors that this process may run on, at most those that its container may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, _quota() or count)


def _quota(root: str = "/sys/fs/cgroup") -> int | None:
    """Return the processors that the control group of a container grants, rounded up; None without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        with suppress(OSError, ValueError):
            words = [word for name in names for word in Path(root, name).read_text().split()]
            quota, period = (int(word) for word in words[:2])
            return max(1, -(-quota // period)) if quota > 0 and period > 0 else None
    return None


def in_parts(length: int, work: float, part: Callable[[slice], None]) -> None:
    """Call ``part`` for slices of 0 .. length, in several threads if ``work`` multiply-adds are enough for that."""
    count = min(get_num_threads(), length)
    if count < 2 or work < _MIN_SHARED_WORK:
        part(slice(0, length))
        return
    ends = [length * k // count for k in range(count + 1)]
    others = [_pool(count - 1).submit(part, slice(*ends[k : k + 2])) for k in range(1, count)]
    part(slice(*ends[:2]))
    for other in others:
        other.result()


def limit_blas() -> None:
    """Limit every BLAS in this process to one thread, if `threadpoolctl` is installed."""
    global _blas
    if _blas is None:
        try:
            threadpoolctl = importlib.import_module("threadpoolctl")
        except ImportError:
            return
        _blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    _blas.limit(limits=1)


def _pool(workers: int) -> Any:
    """Return the thread pool, with at least so many threads."""
    global _executor
    if _executor is None or _executor[0] < workers:
        silent = partial(np.seterr, all="ignore")  # each thread has a setting of its own for NumPy's warnings
        from concurrent.futures import ThreadPoolExecutor  # here: it takes a tenth of the package's import

        _executor = workers, ThreadPoolExecutor(workers, "tinygrad_cnn", silent)
    return _executor[1]


def _reset_after_fork() -> None:
    """Threads do not survive a fork: the child makes its own pool."""
    global _executor
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
