"""Sums in blocks, so that the rounding error of a float32 sum stays small, whatever its length, axes and memory order.

`numpy.add.reduce` adds pairwise along the innermost axis in memory, but one by one along all others: the mean of ten
million rows of 0.1 over axis 0 comes out as 0.109. Here a few hundred numbers are added one by one, and the sums of
such blocks in float64.

Source of the method: N. Higham, "The accuracy of floating point summation" (1993).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .warnings import without_warnings

Array = NDArray[Any]

_MAX_CHAIN = 512  # float32 numbers added one by one: of equal ones, 1e-5 of the sum is lost at most
_BLOCK = 256
_MAX_AXES = 64  # of a NumPy array


def total(a: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Return the sum over ``axes``, which are different and counted from the front."""
    if a.size > _MAX_CHAIN and a.dtype == np.float32 and math.prod([a.shape[i] for i in axes]) > _MAX_CHAIN:
        chain, axis = _longest_chain(a, axes)
        if chain > _MAX_CHAIN and a.ndim < _MAX_AXES:
            shape = [1 if i in axes else n for i, n in enumerate(a.shape) if keepdims or i not in axes]
            return _sum_by_blocks(a, axes, chain, axis).reshape(shape)
    sums: Array = without_warnings.run(np.add.reduce, a, axis=axes, keepdims=keepdims)
    return sums


def _sum_by_blocks(a: Array, axes: tuple[int, ...], chain: int, axis: int) -> Array:
    """`total` within blocks of the longest axis first, then over the blocks; in any shape.

    A block has every so many-th number of the axis: those in between are then added in one go, which is quicker too.
    """
    shape, strides = a.shape, a.strides
    first, last = min(axes), max(axes)
    if len(axes) == last - first + 1 > 1 and all(
        strides[i] == strides[i + 1] * shape[i + 1] for i in range(first, last)
    ):
        return total(a.reshape(*shape[:first], -1, *shape[last + 1 :]), (first,))  # one axis as they lie in memory
    blocks = min(shape[axis], -(-chain // _BLOCK))
    block, rest = divmod(shape[axis], blocks)
    before = (slice(None),) * axis
    split = (a[(*before, slice(blocks * block))] if rest else a).reshape(
        *shape[:axis], block, blocks, *shape[axis + 1 :]
    )
    within = total(split, tuple([i + (i > axis) for i in axes]), True)
    sums: Array = without_warnings.run(np.add.reduce, within, axis=axis + 1, dtype=np.float64)
    if rest:
        without_warnings.run(np.add, sums, total(a[(*before, slice(blocks * block, None))], axes, True), out=sums)
    return without_warnings.run(sums.astype, a.dtype)  # type: ignore[no-any-return]


def _longest_chain(a: Array, axes: tuple[int, ...]) -> tuple[int, int]:
    """Return how many numbers NumPy would add one by one, and along which axis most of them.

    Along the axes of the innermost run in memory it adds pairwise.
    """
    shape, strides = a.shape, a.strides
    if len(axes) == a.ndim and a.flags.forc:
        return 1, 0
    chain, longest, axis, step = 1, 0, 0, 0
    for i in sorted(range(a.ndim), key=[abs(s) for s in strides].__getitem__):
        n = shape[i]
        if n == 1:
            continue
        if i not in axes:
            step = -1
        elif strides[i] and step in (0, strides[i]):
            step = strides[i] * n
        else:
            step, chain = -1, chain * n
            if n > longest:
                longest, axis = n, i
    return chain, axis
