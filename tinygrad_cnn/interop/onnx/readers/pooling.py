"""Pooling of ONNX over one, two or three axes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ....kernels.geometry import dilated_size
from ....ops.movement import put
from ..registry import reader
from ..values import Array, Value, as_tensor, check_size, integers, numbers_of
from ..windows import AUTO_PADS, Windows, windows
from .elementwise import extreme_over
from .movement import bordered

Numbers = Sequence[int] | None


@reader("MaxPool", outputs=2, allowed={"auto_pad": AUTO_PADS})
def max_pool(
    x: Value, *, kernel_shape: Sequence[int], auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Numbers = None,
    pads: Numbers = None, storage_order: int = 0, strides: Numbers = None, outputs: int,
) -> Any:  # fmt: skip
    """The largest number in each window, and on demand its place among all elements, in row- or column-major order."""
    view = windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    y = _max(as_tensor(x), view)
    pooled = y if isinstance(x, Tensor) else y.data.astype(x.dtype)
    return (pooled, _places(numbers_of(x), view, bool(storage_order))) if outputs > 1 else pooled


def _max(x: Tensor, view: Windows) -> Tensor:
    borders = view.borders
    simple = all(before == after and 2 * before <= k for (before, after), k in zip(borders, view.shape, strict=True))
    if simple and x.ndim == 4 and view.dilations == (1, 1):
        padding = tuple(before for before, _ in borders)
        return ops.maxpool(x, view.shape, stride=view.strides, padding=padding)  # type: ignore[arg-type]
    padded = as_tensor(bordered(x, ((0, 0), (0, 0), *borders), "constant", -math.inf))
    return _by_planes(padded, view, lambda y, k, s, d: ops.maxpool(y, k, stride=s, dilation=d))


def _by_planes(x: Tensor, view: Windows, pool: Callable[..., Tensor]) -> Tensor:
    """Pool over one, two or three axes by pooling over two: first over the last two, then over the one before."""
    _check_room(x, view)
    k, s, d = view.shape, view.strides, view.dilations
    n, c, *image = x.shape
    if len(image) == 1:
        y = pool(x.reshape(n, c, 1, image[0]), (1, *k), (1, *s), (1, *d))
        return y.reshape(n, c, y.shape[3])
    if len(image) == 2:
        return pool(x, k, s, d)
    if len(image) != 3:
        raise ValueError(f"pooling goes over 1 to 3 axes, the input has the shape {x.shape}")
    y = pool(x.reshape(n, c * image[0], *image[1:]), k[1:], s[1:], d[1:])
    rows, columns = y.shape[2:]
    y = pool(y.reshape(n, c, image[0], rows * columns), (k[0], 1), (s[0], 1), (d[0], 1))
    return y.reshape(n, c, y.shape[2], rows, columns)


def _check_room(x: Tensor, view: Windows) -> None:
    reach = [dilated_size(k, d) for k, d in zip(view.shape, view.dilations, strict=True)]
    if any(n < r for n, r in zip(x.shape[2:], reach, strict=True)):
        raise ValueError(f"windows of {view.shape} are larger than the padded image, of shape {x.shape}")


def _places(x: Array, view: Windows, by_columns: bool) -> Array:
    """The places of the largest numbers, counted through all elements, by columns with an image's last axis first."""
    axes = tuple(range(2, x.ndim))
    low = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    borders = ((0, 0), (0, 0), *view.borders)
    a = np.pad(x, borders, constant_values=low)
    counted = np.arange(x.size).reshape((*x.shape[:2], *x.shape[:1:-1]) if by_columns else x.shape)
    counted = counted.transpose(0, 1, *reversed(axes)) if by_columns else counted
    numbers = np.pad(counted, borders, constant_values=0)
    reach = tuple(dilated_size(k, d) for k, d in zip(view.shape, view.dilations, strict=True))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in view.strides))
    taps: Any = (..., *(slice(None, None, d) for d in view.dilations))

    def rows(array: Array) -> Array:
        view_of_all = np.lib.stride_tricks.sliding_window_view(array, reach, axes)
        parts: Array = view_of_all[steps][taps]
        return parts.reshape(*parts.shape[: x.ndim], -1)

    best = rows(a).argmax(-1)[..., None]
    return np.take_along_axis(rows(numbers), best, -1)[..., 0].astype(np.int64)


@reader("MaxUnpool")
def max_unpool(
    x: Value, places: Value, output_shape: Value | None = None, *, kernel_shape: Sequence[int], pads: Numbers = None,
    strides: Numbers = None,
) -> Value:  # fmt: skip
    """The numbers at their places in an image of zeros."""
    count = x.ndim - 2
    steps, borders = strides or (1,) * count, pads or (0,) * 2 * count
    lengths = zip(x.shape[2:], kernel_shape, steps, borders[:count], borders[count:], strict=True)
    natural = (*x.shape[:2], *((n - 1) * s + k - before - after for n, k, s, before, after in lengths))
    check_size(natural)
    rows = put(as_tensor(x).reshape(-1), numbers_of(places).reshape(-1), (math.prod(natural),)).reshape(natural)
    if output_shape is None:
        return rows
    more = [(0, n - m) for n, m in zip(integers(output_shape), natural, strict=True)]
    return bordered(rows, more, "constant", 0.0)


def _means(x: Tensor, view: Windows) -> Tensor:
    """The means of windows over x with its borders, every tap counted."""

    def pool(y: Tensor, k: tuple[int, int], s: tuple[int, int], d: tuple[int, int]) -> Tensor:
        if d == (1, 1):
            return ops.avgpool(y, k, stride=s)
        filters = as_tensor(np.full((1, 1, *k), 1 / math.prod(k))).astype(y.dtype)
        planes = ops.correlate2d(y.reshape(-1, 1, *y.shape[2:]), filters, stride=s, dilation=d)
        return planes.reshape(*y.shape[:2], *planes.shape[2:])

    padded = as_tensor(bordered(x, ((0, 0), (0, 0), *view.borders), "constant", 0.0))
    return _by_planes(padded, view, pool)


@reader("AveragePool", allowed={"auto_pad": AUTO_PADS})
def average_pool(
    x: Value, *, kernel_shape: Sequence[int], auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Numbers = None, pads: Numbers = None, strides: Numbers = None,
) -> Value:  # fmt: skip
    """The mean in each window: of the pixels of the image, or with ``count_include_pad`` of its pads too."""
    x = as_tensor(x)
    view = windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    y = _plain_average(x, view)
    y = _means(x, view) if y is None else y
    size, counts = math.prod(view.shape), view.counts(x.shape[2:], bool(count_include_pad))
    if (counts == size).all():
        return y
    with np.errstate(all="ignore"):
        return y * (size / counts).astype(x.dtype)


def _plain_average(x: Tensor, view: Windows) -> Tensor | None:
    """The op itself, where it has the borders; None elsewhere."""
    simple = all(
        before == after and 2 * before <= k for (before, after), k in zip(view.borders, view.shape, strict=True)
    )
    if not simple or x.ndim != 4 or view.dilations != (1, 1):
        return None
    padding = tuple(before for before, _ in view.borders)
    return ops.avgpool(x, view.shape, stride=view.strides, padding=padding)  # type: ignore[arg-type]


@reader("LpPool", allowed={"auto_pad": AUTO_PADS})
def lp_pool(
    x: Tensor, *, kernel_shape: Sequence[int], p: float = 2, auto_pad: str = "NOTSET", ceil_mode: int = 0,
    dilations: Numbers = None, pads: Numbers = None, strides: Numbers = None,
) -> Value:  # fmt: skip
    """The p-norm of each window."""
    view = windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return (_means(x.abs() ** float(p), view) * math.prod(view.shape)) ** (1 / float(p))


def _spatial_axes(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@reader("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Value:
    """The mean of each map."""
    return x.mean(_spatial_axes(x), True)


@reader("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Value:
    """The largest number of each map."""
    return extreme_over(x, _spatial_axes(x), True, True)


@reader("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Value:
    """The p-norm of each map."""
    return (x.abs() ** float(p)).sum(_spatial_axes(x), True) ** (1 / float(p))


@reader("Col2Im")
def col2im(
    x: Value, image_shape: Value, block_shape: Value, *, dilations: Numbers = None, pads: Numbers = None,
    strides: Numbers = None,
) -> Value:  # fmt: skip
    """Blocks, a column each, added at their places in an image: the transpose of taking them out of it."""
    image, block = integers(image_shape), integers(block_shape)
    view = windows(image, block, strides, dilations, pads, "NOTSET")
    padded = [n + sum(border) for n, border in zip(image, view.borders, strict=True)]
    check_size((x.shape[0], *padded))
    coordinates = []
    for i, (n, k, s, d) in enumerate(zip(padded, block, view.strides, view.dilations, strict=True)):
        places = np.arange((n - dilated_size(k, d)) // s + 1) * s
        shape = [1] * 2 * len(image)
        shape[i], shape[i + len(image)] = k, len(places)
        coordinates.append((np.arange(k)[:, None] * d + places).reshape(shape))
    flat = np.zeros([1] * 2 * len(image), np.int64)
    for n, c in zip(padded, coordinates, strict=True):
        flat = flat * n + c
    t = as_tensor(x)
    channels = t.shape[1] // math.prod(block)
    rows = t.reshape(t.shape[0], channels, -1)
    summed = put(rows, (slice(None), slice(None), flat.reshape(-1)), (t.shape[0], channels, math.prod(padded)))
    inner = tuple(slice(before, before + n) for n, (before, _) in zip(image, view.borders, strict=True))
    return summed.reshape(t.shape[0], channels, *padded)[(slice(None), slice(None), *inner)]
