"""Reuse of the memory of large temporaries: a fresh page costs more than the sum that fills it."""

import math
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MIN_POOLED_BYTES = 1 << 16  # below, the allocator's own lists are as quick
_MAX_IDLE_BYTES = 1 << 28  # a thread; idle buffers beyond that are freed

_pools = threading.local()


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialised C-contiguous array, in memory that no other array uses any more.

    A buffer is idle when nothing but the pool refers to it. Every array made from it (and every view of those) refers
    to it by `.base`, so reference counts alone tell.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _MIN_POOLED_BYTES:
        return np.empty(shape, dtype)
    return _buffer(size)[:size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return `empty` filled with zeros."""
    a = empty(shape, dtype)
    a.fill(0)
    return a


def empty_like(a: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return `empty` of the same shape and memory order, so that loops run over both contiguously."""
    if a.nbytes < _MIN_POOLED_BYTES:
        return np.empty_like(a, dtype)
    order = memory_order(a)
    back = sorted(range(a.ndim), key=order.__getitem__)
    return empty(tuple(a.shape[i] for i in order), a.dtype if dtype is None else dtype).transpose(back)


def memory_order(a: NDArray[Any]) -> list[int]:
    """Return the axes from the widest stride to the narrowest: transposed so, a packed array is C-contiguous."""
    strides = a.strides
    return sorted(range(a.ndim), key=lambda i: -abs(strides[i]))


def empty_images(n: int, c: int, h: int, w: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return `empty` for images of shape ``(N, C, H, W)``, batch innermost in memory."""
    return empty((c, h, w, n), dtype).transpose(3, 0, 1, 2)


def is_alone(a: NDArray[Any]) -> bool:
    """Return True if no other array shares a's memory: only ``a`` refers to the array that it is a view of."""
    if a.base is None:
        return True
    pool: list[NDArray[np.uint8]] = _pools.__dict__.get("buffers", [])
    return sys.getrefcount(a.base) == _VIEW_COUNT + any(buffer is a.base for buffer in pool)


def keep_where(g: NDArray[Any], condition: NDArray[np.bool_], out: NDArray[Any]) -> NDArray[Any]:
    """Write ``g`` where the condition holds, an exact 0 elsewhere: by a mask on its bits, since NaN * 0 is NaN."""
    bits = np.dtype(f"i{g.itemsize}")
    mask = empty_like(condition, bits)
    mask[...] = condition
    np.negative(mask, out=mask)  # 0, or all ones
    np.bitwise_and(g.view(bits), mask, out=out.view(bits))
    return out


def batch_innermost(x: NDArray[Any]) -> NDArray[Any]:
    """Return images ``(N, C, H, W)`` as a contiguous ``(C, H, W, N)`` array: a view, or a copy."""
    turned = x.transpose(1, 2, 3, 0)
    if turned.flags.c_contiguous:
        return turned
    copy = empty(turned.shape, x.dtype)
    copy[...] = turned
    return copy


def _buffer(size: int) -> NDArray[np.uint8]:
    """This thread's first idle buffer that fits without wasting more than half of it, or a new one."""
    pool: list[NDArray[np.uint8]] = _pools.__dict__.setdefault("buffers", [])
    idle = 0
    for buffer in pool:  # this name refers to it, so that a signal handler's ops do not take it for idle
        if sys.getrefcount(buffer) == _IDLE_COUNT:
            idle += buffer.nbytes
            if size <= buffer.nbytes <= 2 * size:
                return buffer
    if idle > _MAX_IDLE_BYTES:
        pool[:] = [b for b in pool if sys.getrefcount(b) > _IDLE_COUNT]
    buffer = np.empty(size, np.uint8)
    pool.append(buffer)
    return buffer


def _idle_count() -> int:
    pool = [np.empty(1, np.uint8)]
    buffer = pool[0]
    return sys.getrefcount(buffer)


def _view_count() -> int:
    a = np.empty(1)[:]
    return sys.getrefcount(a.base)


_IDLE_COUNT = _idle_count()
_VIEW_COUNT = _view_count()
