"""Ops that move numbers, as loops over strides in C, or as a table of indices where no four strides say it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import MAX_AXES, Plan


def add_rearrangement(
    plan: Plan, x: str, result: str, move: Callable[[NDArray[Any]], NDArray[Any]], layer: str, *, copy: bool = False
) -> None:
    """Append what moves numbers as ``move`` does, an indexing of NumPy: nothing at all where they stay in order.

    Args:
        plan: what to append to.
        x, result: the values that are read and made.
        move: a function that moves the numbers of an array of x's shape.
        layer: the layer.
        copy: append a step even where the order stays.
    """
    indices = np.arange(plan.size(x), dtype=np.int64).reshape(plan.shapes[x])
    moved = np.asarray(move(indices))
    flat = moved.ravel()
    if len(flat) == indices.size and not copy and np.array_equal(flat, indices.ravel()):
        return plan.alias(result, x)
    strides = [stride // moved.itemsize for stride in moved.strides]
    if np.shares_memory(moved, indices) and (axes := _merged(moved.shape, strides)) is not None:
        shape, step = zip(*axes, strict=True)
        plan.add("rearrange", [x], result, layer, shape=shape, step=step, first=int(flat[0]))
    else:
        plan.add("gather", [x], result, layer, table=flat, n=flat.size)


def add_pad(plan: Plan, x: str, result: str, widths: Sequence[tuple[int, int]], value: float, layer: str) -> bool:
    """Append what puts x into a border of ``value``. Return False where more axes are padded than C has loops for."""
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, plan.shapes[x], strict=True))
    places = np.arange(plan.size(result), dtype=np.int64).reshape(plan.shapes[result])[inner]
    axes = _merged(places.shape, [stride // places.itemsize for stride in places.strides])
    if axes is None:
        return False
    shape, step = zip(*axes, strict=True)
    step_of = plan.add("pad", [x], result, layer, shape=shape, step=step, first=int(places.flat[0]), value=value)
    step_of.settings |= {"widths": tuple(widths), "n": plan.size(result)}  # the widths for `fold`
    return True


def _merged(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]] | None:
    """Return (length, stride) of as few axes as say the same, filled up to four; None where four are too few."""
    axes: list[tuple[int, int]] = []
    for length, stride in zip(shape, strides, strict=True):
        if length == 1:
            continue
        if axes and axes[-1][1] == stride * length:
            axes[-1] = (axes[-1][0] * length, stride)
        else:
            axes.append((length, stride))
    if len(axes) > MAX_AXES:
        return None
    return [(1, 0)] * (MAX_AXES - len(axes)) + axes
