"""Shapes, joining, splitting and borders of ONNX: numbers change their place only."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import (
    Array,
    UnsupportedError,
    Value,
    as_tensor,
    axes_of,
    axis_of,
    check_size,
    dtype_name,
    integers,
    number,
    numbers_of,
    to_value,
)


@reader("Shape")
def shape(x: Value, *, start: int = 0, end: int | None = None) -> Value:
    """The lengths of the axes from ``start`` up to ``end``, which are clipped."""
    return np.array(x.shape[start:end], np.int64)


@reader("Size")
def size(x: Value) -> Value:
    """The number of elements."""
    return np.array(x.size, np.int64)


@reader("Reshape")
def reshape(x: Value, shape: Any, *, allowzero: int = 0) -> Value:
    """The same elements in another shape; 0 copies the length of the same axis, one length may be -1."""
    target = integers(shape)
    if not allowzero:
        if any(n == 0 and i >= x.ndim for i, n in enumerate(target)):
            raise ValueError(f"shape {target} copies a length that an input of shape {x.shape} does not have")
        target = [x.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return _reshaped(x, target)


def _reshaped(x: Value, target: Sequence[int]) -> Value:
    if -1 in target and (rest := -math.prod(target)) > 0 and x.size % rest == 0:
        target = [x.size // rest if n == -1 else n for n in target]
    return x.reshape(tuple(target))


@reader("Flatten")
def flatten(x: Value, *, axis: int = 1) -> Value:
    """Two axes: those before ``axis`` as one, and the others."""
    first = axis if axis == x.ndim else axis_of(axis, x.ndim)
    return x.reshape((math.prod(x.shape[:first]), math.prod(x.shape[first:])))


@reader("Squeeze")
def squeeze(x: Value, axes: Any = None) -> Value:
    """Without axes of length 1: the named ones, or all."""
    named = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else axes_of(integers(axes), x.ndim)
    if any(x.shape[i] != 1 for i in named):
        raise ValueError(f"axes {list(named)} of an input of shape {x.shape} are not all of length 1")
    return x.reshape(tuple(n for i, n in enumerate(x.shape) if i not in named))


@reader("Unsqueeze")
def unsqueeze(x: Value, axes: Any) -> Value:
    """New axes of length 1."""
    numbers = integers(axes)
    new = axes_of(numbers, x.ndim + len(numbers))
    return x[tuple(None if i in new else slice(None) for i in range(x.ndim + len(numbers)))]


@reader("Transpose")
def transpose(x: Value, *, perm: list[int] | None = None) -> Value:
    """The axes in another order, by default reversed."""
    if not x.ndim:
        return x
    return x.transpose(*(tuple(reversed(range(x.ndim))) if perm is None else perm))


@reader("Concat")
def concat(*parts: Value, axis: int | None = None, opset: int) -> Value:
    """The inputs joined; below operator set 4 along axis 1 by default."""
    if axis is None:
        if opset >= 4:
            raise UnsupportedError("axis is needed")
        axis = 1
    if any(isinstance(p, Tensor) for p in parts):
        return ops.concatenate([as_tensor(p) for p in parts], axis)
    return np.concatenate([np.asarray(p) for p in parts], axis)


@reader("Split", outputs=None)
def split(
    x: Value, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int
) -> tuple[Value, ...]:
    """Parts along an axis: of the lengths of ``split``, or equal ones, of which the last may be shorter."""
    i = axis_of(axis, x.ndim)
    count = num_outputs or outputs
    lengths = [-(-x.shape[i] // count)] * count if split is None else integers(split)
    if split is None:
        lengths[-1] = x.shape[i] - sum(lengths[:-1])
    if sum(lengths) != x.shape[i] or min(lengths) < 0:
        raise ValueError(f"parts of {lengths} do not make an axis of length {x.shape[i]}")
    ends = np.cumsum([0, *lengths]).tolist()
    lead = (slice(None),) * i
    return tuple(x[(*lead, slice(a, b))] for a, b in pairwise(ends))


@reader("Expand")
def expand(x: Value, shape: Value) -> Value:
    """x broadcast with a shape."""
    target = np.broadcast_shapes(x.shape, tuple(integers(shape)))
    check_size(target)
    return x.broadcast_to(target) if isinstance(x, Tensor) else np.broadcast_to(x, target)


@reader("Tile")
def tile(x: Value, repeats: Value, axis: Value | None = None) -> Value:
    """x repeated along its axes; operator sets below 6 name one axis."""
    counts = integers(repeats)
    if axis is not None:
        counts = [counts[0] if i == int(number(axis)) else 1 for i in range(x.ndim)]
    check_size([n * m for n, m in zip(x.shape, counts, strict=True)])
    if not isinstance(x, Tensor):
        return np.tile(x, counts)
    spread = [n for pair in zip((1,) * x.ndim, x.shape, strict=True) for n in pair]
    repeated = [n for pair in zip(counts, x.shape, strict=True) for n in pair]
    return (
        x.reshape(tuple(spread))
        .broadcast_to(tuple(repeated))
        .reshape(tuple(n * m for n, m in zip(x.shape, counts, strict=True)))
    )


@reader("Pad", allowed={"mode": ("constant", "reflect", "edge", "wrap")})
def pad(
    x: Value, pads: Any = None, constant_value: Any = None, axes: Value | None = None, *,
    mode: str = "constant", value: float = 0.0, paddings: list[int] | None = None,
) -> Value:  # fmt: skip
    """x with a border; negative widths cut off instead."""
    widths = integers(paddings if pads is None else pads)
    named = [axis_of(i, x.ndim) for i in integers(axes)] if axes is not None else list(range(x.ndim))
    if len(widths) != 2 * len(named):
        raise ValueError(f"pads {widths} must be two for each of {len(named)} axes")
    sides = [(0, 0)] * x.ndim
    for k, i in enumerate(named):
        sides[i] = widths[k], widths[k + len(named)]
    x = _cropped(x, sides)
    borders = [(max(0, before), max(0, after)) for before, after in sides]
    fill = value if constant_value is None or not np.size(numbers_of(constant_value)) else number(constant_value)
    return bordered(x, borders, mode, fill)


def _cropped(x: Value, sides: Sequence[tuple[int, int]]) -> Value:
    if all(before >= 0 and after >= 0 for before, after in sides):
        return x
    lengths = zip(x.shape, sides, strict=True)
    return x[tuple(slice(max(0, -before), n - max(0, -after)) for n, (before, after) in lengths)]


def bordered(x: Value, borders: Sequence[tuple[int, int]], mode: str, fill: float) -> Value:
    """Return x with borders (before, after) on each axis, none of them negative."""
    if not any(map(any, borders)):
        return x
    check_size([n + before + after for n, (before, after) in zip(x.shape, borders, strict=True)])
    if mode == "constant":
        if isinstance(x, Tensor):
            return ops.pad(x, tuple(borders), value=fill)
        return np.pad(x, tuple(borders), constant_values=np.asarray(fill).astype(x.dtype))
    for i, width in enumerate(borders):
        if any(width):  # each axis in turn: the border is made of elements by their places
            places = np.pad(np.arange(x.shape[i]), width, mode=mode)  # type: ignore[call-overload]
            x = take(x, places, i)
    return x


def take(x: Value, places: Array, axis: int) -> Value:
    """Return the elements at the places along an axis; the places may have any shape."""
    index = ((slice(None),) * axis + (places,)) if isinstance(x, Tensor) else None
    return x[index] if index is not None else np.take(numbers_of(x), places, axis)


@reader("ConstantOfShape")
def constant_of_shape(shape: Value, *, value: Any = None) -> Value:
    """One number in every place, by default 0."""
    target = tuple(integers(shape))
    check_size(target)
    fill = np.zeros(1, np.float32) if value is None else value
    if isinstance(fill, Tensor):
        return to_value(np.full(target, fill.data.reshape(-1)[0], fill.dtype))
    return to_value(np.full(target, fill.reshape(-1)[0], fill.dtype))


@reader("Range")
def arange(start: Value, limit: Value, delta: Value, *, stash_type: int = 1) -> Value:
    """The numbers from ``start`` up to ``limit`` in steps of ``delta``."""
    first, last, step = (numbers_of(v).item() for v in (start, limit, delta))
    count = max(0, math.ceil((last - first) / step))
    check_size([count])
    return to_value((first + step * np.arange(count)).astype(numbers_of(start).dtype))


@reader("EyeLike")
def eye_like(x: Value, *, dtype: int | None = None, k: int = 0) -> Value:
    """1 on a diagonal, else 0, in the shape of x."""
    return _typed(np.eye(x.shape[0], x.shape[1], k), dtype, numbers_of(x).dtype)


def _typed(array: Array, code: int | None, otherwise: Any) -> Value:
    if code is None:
        return to_value(array.astype(otherwise))
    name = dtype_name(code)
    dtype = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float32", "BFLOAT16": "float32"}.get(name, name)
    try:
        return to_value(array.astype(np.dtype(dtype.lower())))
    except TypeError:
        raise UnsupportedError(f"dtype={name} is not supported") from None


@reader("OneHot")
def one_hot(indices: Value, depth: Value, values: Value, *, axis: int = -1) -> Value:
    """The second value at the places, else the first; negative places count from the end."""
    n = int(number(depth))
    places = numbers_of(indices).astype(np.int64)
    check_size([*places.shape, n])
    i = axis_of(axis, places.ndim + 1)
    hot = np.expand_dims(np.where(places < 0, places + n, places), i) == np.arange(n).reshape(
        (-1,) + (1,) * (places.ndim - i)
    )
    off, on = numbers_of(values)
    return to_value(np.where(hot, on, off).astype(numbers_of(values).dtype))


@reader("Trilu")
def trilu(x: Value, k: Value | None = None, *, upper: int = 1) -> Value:
    """The upper or lower triangle, from diagonal k on; the rest 0."""
    offset = 0 if k is None else max(-(2**31), min(2**31, int(number(k))))
    rows, columns = x.shape[-2:]
    inside: Array = ~np.tri(rows, columns, offset - 1, bool) if upper else np.tri(rows, columns, offset, bool)
    if isinstance(x, Tensor):
        return ops.where(inside, x, x * 0 if np.isfinite(x.data).all() else 0.0)
    return np.where(inside, x, np.zeros((), x.dtype))


@reader("DepthToSpace", allowed={"mode": ("DCR", "CRD")})
def depth_to_space(x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    """Channels as the pixels of blocks."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = x.reshape((n, b, b, c // b**2, h, w)).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape((n, c // b**2, b, b, h, w)).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape((n, c // b**2, h * b, w * b))


@reader("SpaceToDepth", allowed={"mode": ("DCR", "CRD")})
def space_to_depth(x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    """The pixels of blocks as channels."""
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape((n, c, h // b, b, w // b, b)).transpose(*order).reshape((n, c * b**2, h // b, w // b))


@reader("CenterCropPad")
def center_crop_pad(x: Value, shape: Value, *, axes: list[int] | None = None) -> Value:
    """Each axis cut or filled with zeros, on both sides, to a length."""
    named = list(range(x.ndim)) if axes is None else [axis_of(i, x.ndim) for i in axes]
    borders, index = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for i, n in zip(named, integers(shape), strict=True):
        more = n - x.shape[i]
        if more > 0:
            borders[i] = more // 2, more - more // 2
        elif more < 0:
            start = -more // 2
            index[i] = slice(start, start + n)
    return bordered(x[tuple(index)], borders, "constant", 0.0)
