"""Convolutions of ONNX over one, two or three axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ....kernels.geometry import dilated_size
from ....ops.movement import put
from ..registry import reader
from ..values import Array, Value, as_tensor, check_size, number, numbers_of, to_value
from ..windows import AUTO_PADS, Borders, windows
from .movement import bordered
from .quantization import quantized, scaled

Numbers = Sequence[int] | None


@reader("Conv", allowed={"auto_pad": AUTO_PADS})
def conv(
    x: Value, w: Value, b: Value | None = None, *, auto_pad: str = "NOTSET", dilations: Numbers = None, group: int = 1,
    kernel_shape: Numbers = None, pads: Numbers = None, strides: Numbers = None,
) -> Value:  # fmt: skip
    """The correlation of images with filters, plus a bias for each."""
    x, w = as_tensor(x), as_tensor(w)
    check_filters(x, w, kernel_shape)
    view = windows(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
    y = _correlate(x, w, None if b is None else as_tensor(b), view.strides, view.pads, view.dilations, group)
    return y


def check_filters(x: Tensor, w: Tensor, kernel_shape: Numbers) -> None:
    """ValueError unless images and filters have as many axes, and the filters' shape is the attribute's."""
    if x.ndim != w.ndim or not 3 <= x.ndim <= 5:
        raise ValueError(f"images of shape {x.shape} and filters of shape {w.shape} do not fit, of 3 to 5 axes")
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(f"kernel_shape {list(kernel_shape)} must be that of filters of shape {w.shape}")


def _correlate(
    x: Tensor, w: Tensor, b: Tensor | None, strides: Sequence[int], pads: Borders, dilations: Sequence[int], group: int
) -> Tensor:
    if x.ndim == 3:
        y = _correlate(
            x.reshape(*x.shape[:2], 1, -1) if x.size else x[:, :, None], w[:, :, None], b, (1, *strides),
            ((0, 0), *pads), (1, *dilations), group,
        )  # fmt: skip
        return y.reshape(*y.shape[:2], y.shape[3])
    if x.ndim == 5:
        return _correlate3d(x, w, b, strides, pads, dilations, group)
    padding = tuple(before for before, _ in pads)
    if any(before != after for before, after in pads):
        padded = bordered(x, ((0, 0), (0, 0), *pads), "constant", 0.0)
        x, padding = as_tensor(padded), (0, 0)
    settings = {"stride": tuple(strides), "padding": padding, "dilation": tuple(dilations), "groups": group}
    return ops.correlate2d(x, w, bias=b, **settings)  # type: ignore[arg-type]


def _correlate3d(
    x: Tensor, w: Tensor, b: Tensor | None, strides: Sequence[int], pads: Borders, dilations: Sequence[int], group: int
) -> Tensor:
    """The sum of a correlation of planes for each plane of the filters."""
    x = as_tensor(bordered(x, ((0, 0), (0, 0), pads[0], (0, 0), (0, 0)), "constant", 0.0))
    n, c, depth = x.shape[:3]
    planes = (depth - dilated_size(w.shape[2], dilations[0])) // strides[0] + 1
    if planes < 1:
        raise ValueError(f"the filters of shape {w.shape} are larger than images of shape {x.shape}")
    total: Tensor | None = None
    for k in range(w.shape[2]):
        first = k * dilations[0]
        part = x[:, :, first : first + (planes - 1) * strides[0] + 1 : strides[0]].transpose(0, 2, 1, 3, 4)
        part = part.reshape(n * planes, c, *x.shape[3:])
        y = _correlate(part, w[:, :, k], b if k == 0 else None, strides[1:], pads[1:], dilations[1:], group)
        total = y if total is None else total + y
    assert total is not None
    return total.reshape(n, planes, *total.shape[1:]).transpose(0, 2, 1, 3, 4)


@reader("ConvTranspose", allowed={"auto_pad": AUTO_PADS})
def conv_transpose(
    x: Value, w: Value, b: Value | None = None, *, auto_pad: str = "NOTSET", dilations: Numbers = None, group: int = 1,
    kernel_shape: Numbers = None, output_padding: Numbers = None, output_shape: Numbers = None, pads: Numbers = None,
    strides: Numbers = None,
) -> Value:  # fmt: skip
    """The transposed convolution: every number of a map paints its weighted filter."""
    x, w = as_tensor(x), as_tensor(w)
    check_filters(x, w, kernel_shape)
    ones = (1,) * (x.ndim - 2)
    steps, distances, extra = strides or ones, dilations or ones, output_padding or (0,) * len(ones)
    full = [
        (n - 1) * s + dilated_size(k, d) for n, k, s, d in zip(x.shape[2:], w.shape[2:], steps, distances, strict=True)
    ]
    check_size([n + e for n, e in zip(full, extra, strict=True)])
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [n * s for n, s in zip(x.shape[2:], steps, strict=True)]
    if output_shape is not None:
        surplus = [f + e - n for f, e, n in zip(full, extra, output_shape[-len(ones) :], strict=True)]
        sides = [(t // 2, t - t // 2) if auto_pad == "SAME_UPPER" else (t - t // 2, t // 2) for t in surplus]
    else:
        numbers = pads if pads is not None and auto_pad == "NOTSET" else (0,) * 2 * len(ones)
        sides = list(zip(numbers[: len(ones)], numbers[len(ones) :], strict=True))
    y = _paint(x, w, steps, sides, distances, group, extra)
    return y if b is None else y + as_tensor(b).reshape(-1, *ones)


def _paint(
    x: Tensor, w: Tensor, strides: Sequence[int], sides: Sequence[tuple[int, int]], dilations: Sequence[int],
    group: int, extra: Sequence[int],
) -> Tensor:  # fmt: skip
    """The transposed convolution with its sides cut off, and extra rows and columns after it."""
    if x.ndim == 4:
        small = all(0 <= e < s for e, s in zip(extra, strides, strict=True))
        settings: dict[str, Any] = {"stride": tuple(strides), "dilation": tuple(dilations), "groups": group}
        if small and all(before == after >= 0 for before, after in sides):
            reach = zip(x.shape[2:], w.shape[2:], strides, dilations, sides, extra, strict=True)
            shape = tuple((n - 1) * s + dilated_size(k, d) - 2 * p + e for n, k, s, d, (p, _), e in reach)
            return ops.convolve2d_full(x, w, shape=shape, padding=tuple(p for p, _ in sides), **settings)  # type: ignore[arg-type]
        y = ops.convolve2d_full(x, w, **settings)
    elif x.ndim == 3:
        y = ops.convolve2d_full(
            x[:, :, None], w[:, :, None], stride=(1, strides[0]), dilation=(1, dilations[0]), groups=group
        )
        y = y.reshape(*y.shape[:2], y.shape[3])
    else:
        y = _paint3d(x, w, strides, dilations, group)
    cut = [slice(max(0, before), y.shape[2 + i] - max(0, after - extra[i])) for i, (before, after) in enumerate(sides)]
    more = [(max(0, -before), max(0, extra[i] - after)) for i, (before, after) in enumerate(sides)]
    return as_tensor(bordered(y[(slice(None), slice(None), *cut)], ((0, 0), (0, 0), *more), "constant", 0.0))


def _paint3d(x: Tensor, w: Tensor, strides: Sequence[int], dilations: Sequence[int], group: int) -> Tensor:
    """The transposed convolution of each plane of the filters, at its place along the first axis."""
    n, c, depth = x.shape[:3]
    planes = (depth - 1) * strides[0] + dilated_size(w.shape[2], dilations[0])
    flat = x.transpose(0, 2, 1, 3, 4).reshape(n * depth, c, *x.shape[3:])
    settings: dict[str, Any] = {"stride": tuple(strides[1:]), "dilation": tuple(dilations[1:]), "groups": group}
    total: Tensor | None = None
    for k in range(w.shape[2]):
        y = ops.convolve2d_full(flat, w[:, :, k], **settings)
        y = y.reshape(n, depth, *y.shape[1:]).transpose(0, 2, 1, 3, 4)
        start = k * dilations[0]
        index = (slice(None), slice(None), slice(start, start + (depth - 1) * strides[0] + 1, strides[0]))
        placed = put(y, index, (*y.shape[:2], planes, *y.shape[3:]))
        total = placed if total is None else total + placed
    assert total is not None
    return total


@reader("ConvInteger", allowed={"auto_pad": AUTO_PADS})
def conv_integer(x: Array, w: Array, x_zero: Any = None, w_zero: Any = None, **settings: Any) -> Value:
    """The correlation of integers, less their zero points."""
    y = conv(_exact(x, x_zero, 1), _exact(w, w_zero, 0), **settings)
    return np.rint(numbers_of(y)).astype(np.int32)


def _exact(a: Array, zero: Any, axis: int) -> Tensor:
    values = a.astype(np.float64)
    if zero is not None and np.size(zero):
        values -= _along(np.asarray(numbers_of(zero), np.float64), a.ndim, axis)
    return Tensor(values)


def _along(numbers: Array, ndim: int, axis: int) -> Array:
    return numbers.reshape([-1 if i == axis else 1 for i in range(ndim)]) if numbers.size > 1 else numbers.reshape(())


@reader("QLinearConv", allowed={"auto_pad": AUTO_PADS})
def qlinear_conv(
    x: Array, x_scale: Value, x_zero: Value, w: Array, w_scale: Value, w_zero: Value, y_scale: Value, y_zero: Array,
    b: Array | None = None, **settings: Any,
) -> Value:  # fmt: skip
    """The correlation of quantised images and filters, quantised."""
    w_scales = np.asarray(numbers_of(w_scale), np.float64)
    product = number(x_scale) * (w_scales.reshape(-1, 1, 1) if w_scales.size > 1 else w_scales.reshape(()))
    sums = numbers_of(conv(_exact(x, x_zero, 1), _exact(w, w_zero, 0), **settings))
    sums = sums if b is None else sums + numbers_of(b).astype(np.float64).reshape(-1, *(1,) * (x.ndim - 2))
    return quantized(sums * product, np.asarray(number(y_scale)), y_zero)


@reader("MatMulInteger")
def matmul_integer(a: Array, b: Array, a_zero: Any = None, b_zero: Any = None) -> Value:
    """The matrix product of integers, less their zero points: one for all, a row of a, or a column of b."""
    x, y = a.astype(np.int64), b.astype(np.int64)
    x = x if a_zero is None else x - _zero(a_zero, a.ndim, rows=True)
    y = y if b_zero is None else y - _zero(b_zero, b.ndim, rows=False)
    return np.asarray(np.matmul(x, y).astype(np.int32))


def _zero(zero: Any, ndim: int, rows: bool) -> Array:
    numbers = numbers_of(zero).astype(np.int64)
    return numbers.reshape(-1, 1) if rows and numbers.ndim == 1 and numbers.size > 1 and ndim > 1 else numbers


@reader("QLinearMatMul")
def qlinear_matmul(
    a: Array, a_scale: Value, a_zero: Value, b: Array, b_scale: Value, b_zero: Value, y_scale: Value, y_zero: Array
) -> Value:
    """The matrix product of quantised matrices, quantised."""
    x = scaled(a, numbers_of(a_scale), numbers_of(a_zero), a.ndim - 2)
    y = scaled(b, numbers_of(b_scale), numbers_of(b_zero), b.ndim - 1)
    return quantized(np.matmul(x, y), numbers_of(y_scale).astype(np.float64), y_zero)


@reader("LRN")
def lrn(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Value:
    """x over a power of the squares' mean over neighbouring channels."""
    check_size((x.shape[1], x.shape[1]))
    channels = np.arange(x.shape[1])
    distance = channels[None, :] - channels[:, None]
    band = (distance >= -((size - 1) // 2)) & (distance <= size - 1 - (size - 1) // 2)
    squares = (x * x).reshape(x.shape[0], x.shape[1], -1)
    sums = ops.matmul(as_tensor(to_value(band.astype(x.dtype))), squares).reshape(x.shape)
    return x / (sums * (alpha / size) + bias) ** beta
