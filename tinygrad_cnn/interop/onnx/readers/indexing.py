"""Slices, gathering and scattering of ONNX: elements by their places."""

from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ....ops.movement import put
from ..registry import reader
from ..values import Array, Value, as_tensor, axis_of, integers, numbers_of, to_value
from .movement import take
from .reduction import along_axis


@reader("Slice")
def slices(x: Value, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Value:
    """x between starts and ends, which count from the end where they are negative and are clipped to the axis."""
    first, last = integers(starts), integers(ends)
    named = list(range(len(first))) if axes is None else integers(axes)
    strides = [1] * len(first) if steps is None else integers(steps)
    index = [slice(None)] * x.ndim
    for start, stop, axis, step in zip(first, last, named, strides, strict=True):
        i = axis_of(axis, x.ndim)
        index[i] = _slice(start, stop, step, x.shape[i])
    return x[tuple(index)]


def _slice(start: int, stop: int, step: int, n: int) -> slice:
    """Return the slice with its ends clipped: to 0 .. n, or, backwards, to n - 1 .. -1, which is before the first."""
    if step == 0:
        raise ValueError("a step of a slice must not be 0")
    start, stop = (end + n if end < 0 else end for end in (start, stop))
    low, high = (0, n) if step > 0 else (-1, n - 1)
    start, stop = (min(max(end, low), high) for end in (start, stop))
    return slice(start if start >= 0 else 0, None if stop < 0 else stop, step) if start >= 0 else slice(0, 0)


def _from_front(places: Array, n: int) -> Array:
    """Return places counted from the front. ValueError for one outside of the axis."""
    if places.size and not (-n <= places.min() and places.max() < n):
        raise ValueError(f"an index from {places.min()} to {places.max()} is outside of an axis of length {n}")
    return np.where(places < 0, places + n, places)


@reader("Gather")
def gather(x: Value, indices: Value, *, axis: int = 0) -> Value:
    """The elements at the places along an axis."""
    i = axis_of(axis, x.ndim)
    places = _from_front(numbers_of(indices).astype(np.int64), x.shape[i])
    if places.ndim == 0:  # basic indexing
        index: Any = (*(slice(None),) * i, int(places))
        y = x[index]
        return y if isinstance(y, Tensor) else np.asarray(y)
    return take(x, places, i)


@reader("GatherElements")
def gather_elements(x: Value, indices: Value, *, axis: int = 0) -> Value:
    """For each place of ``indices`` the element there, its coordinate along the axis replaced."""
    i = axis_of(axis, x.ndim)
    return along_axis(x, _from_front(numbers_of(indices).astype(np.int64), x.shape[i]), i)


def _nd_index(shape: tuple[int, ...], indices: Array, batch_dims: int) -> tuple[Array, ...]:
    """Return the index of the elements, or slices, that the last axis of ``indices`` names."""
    count = indices.shape[-1]
    lead = indices.shape[:-1]
    grid = np.ogrid[tuple(slice(n) for n in lead[:batch_dims])] if batch_dims else []
    batch = [g.reshape(g.shape + (1,) * (len(lead) - batch_dims)) for g in grid]
    named = [_from_front(indices[..., k].astype(np.int64), shape[batch_dims + k]) for k in range(count)]
    return (*batch, *named)


@reader("GatherND")
def gather_nd(x: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    """The elements or slices whose coordinates the last axis of ``indices`` has."""
    index = _nd_index(x.shape, numbers_of(indices), batch_dims)
    y = x[index]
    return y if isinstance(y, Tensor) else np.asarray(y)


_REDUCTIONS = ("none", "add", "mul", "max", "min")


@reader("Scatter", "ScatterElements", allowed={"reduction": _REDUCTIONS})
def scatter_elements(x: Value, indices: Value, updates: Value, *, axis: int = 0, reduction: str = "none") -> Value:
    """x with the updates at the places of ``indices`` along an axis."""
    i = axis_of(axis, x.ndim)
    places = _from_front(numbers_of(indices).astype(np.int64), x.shape[i])
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in places.shape)]) if places.ndim else []
    index[i] = places
    return _scattered(x, tuple(np.broadcast_arrays(*index)), updates, reduction)


@reader("ScatterND", allowed={"reduction": _REDUCTIONS})
def scatter_nd(x: Value, indices: Value, updates: Value, *, reduction: str = "none") -> Value:
    """x with the updates at the coordinates that the last axis of ``indices`` has."""
    return _scattered(x, _nd_index(x.shape, numbers_of(indices), 0), updates, reduction)


def _scattered(x: Value, index: tuple[Array, ...], updates: Value, reduction: str) -> Value:
    a, u = numbers_of(x), numbers_of(updates)
    if reduction in ("mul", "max", "min"):
        return _reduced(x, index, updates, reduction)
    if not isinstance(x, Tensor):
        result = a.copy()
        if reduction == "add":
            np.add.at(result, index, u)
        else:
            result[index] = u
        return result
    u_tensor = as_tensor(updates)
    if reduction == "add":
        return x + put(u_tensor, index, x.shape)
    replaced, owner = np.zeros(x.shape, bool), np.zeros(x.shape, np.int64)
    replaced[index] = True
    numbering = np.arange(u.size).reshape(u.shape)
    owner[index] = numbering  # of two updates of one place the last one stays
    return ops.where(replaced, u_tensor.reshape(-1)[owner] if u.size else x, x)


def _reduced(x: Value, index: tuple[Array, ...], updates: Value, reduction: str) -> Value:
    """The reductions that have no gradient here. ValueError where one is asked for."""
    if any(isinstance(v, Tensor) and v.requires_grad for v in (x, updates)):
        raise ValueError(f"reduction={reduction!r} has no gradient: run the network under no_grad()")
    result = numbers_of(x).copy()
    {"mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduction].at(result, index, numbers_of(updates))
    return to_value(result)


@reader("TensorScatter", allowed={"mode": ("linear", "circular")})
def tensor_scatter(
    past: Value, update: Value, write_indices: Value | None = None, *, axis: int = -2, mode: str = "linear"
) -> Value:
    """A cache with an update written along an axis, from a place for each of the batch."""
    i = axis_of(axis, past.ndim)
    starts = np.zeros(past.shape[0], np.int64) if write_indices is None else numbers_of(write_indices)
    places = starts[:, None] + np.arange(update.shape[i])
    places = places % past.shape[i] if mode == "circular" else places
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in update.shape)])
    index[i] = places.reshape(len(starts), *(places.shape[1] if k == i else 1 for k in range(1, past.ndim)))
    return _scattered(past, tuple(np.broadcast_arrays(*index)), update, "none")


@reader("Compress")
def compress(x: Value, condition: Value, *, axis: int | None = None) -> Value:
    """The elements, of x as one row where no axis is named, at which the condition holds."""
    places = np.flatnonzero(numbers_of(condition))
    return take(x.reshape(-1), places, 0) if axis is None else take(x, places, axis_of(axis, x.ndim))


@reader("ReverseSequence")
def reverse_sequence(x: Value, lengths: Value, *, batch_axis: int = 1, time_axis: int = 0) -> Value:
    """The first steps of each sequence of the batch in reverse order."""
    n = x.shape[time_axis]
    time, counts = np.arange(n)[:, None], numbers_of(lengths)[None, :]
    places = np.where(time < counts, counts - 1 - time, time)
    places = places if (time_axis, batch_axis) == (0, 1) else places.T
    return along_axis(x, np.broadcast_to(places.reshape(places.shape + (1,) * (x.ndim - 2)), x.shape), time_axis)


@reader("ArrayFeatureExtractor")
def array_feature_extractor(x: Value, indices: Value) -> Value:
    """The elements at the places along the last axis."""
    y = take(x, numbers_of(indices).reshape(-1).astype(np.int64), x.ndim - 1)
    return y.reshape((1, -1)) if x.ndim == 1 else y
