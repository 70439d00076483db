"""One setting for threads: the compiled kernels and BLAS together, so that two pools of threads never fight."""

import importlib
import os
from typing import Any

_count: int | None = None
_compiled = False  # whether the compiled kernels are in use
_blas: Any = None


def set_num_threads(n: int) -> None:
    """Compute on ``n`` threads from now on, in all of this process.

    The compiled kernels use ``n`` themselves and leave BLAS one: their helpers and BLAS's own threads would only take
    the processors from each other. With the other kernel sets BLAS gets all ``n``, if `threadpoolctl` is installed
    (extra ``fast``); without it BLAS keeps what the environment (``OMP_NUM_THREADS``) gave it.

    Results have the same bits whatever the number. Default: ``TINYGRAD_CNN_NUM_THREADS``, else ``OMP_NUM_THREADS``,
    else the processors that this process may run on.

    Raises TypeError unless ``n`` is an integer, ValueError unless it is at least 1.
    """
    global _count
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    _count = n
    _limit_blas(1 if _compiled else n)


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
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(kernels: str) -> None:
    """Give BLAS its threads: one beside the compiled kernels ``"numba"``, all of them with any other set."""
    global _compiled
    _compiled = kernels == "numba"
    _limit_blas(1 if _compiled else get_num_threads())


def _limit_blas(n: int) -> None:
    """Tell every BLAS in this process, once `threadpoolctl` has found them."""
    global _blas
    if _blas is None:
        try:
            threadpoolctl = importlib.import_module("threadpoolctl")
        except ImportError:
            return
        _blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    _blas.limit(limits=n)
