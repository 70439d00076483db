"""Quantised numbers of ONNX: integers with a scale and a zero point, computed as numbers."""

from typing import Any

import numpy as np

from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, UnsupportedError, Value, as_tensor, axis_of, cast, dtype_name, numbers_of, to_value

_RANGES = {"INT4": (-8, 7), "UINT4": (0, 15), "INT2": (-2, 1), "UINT2": (0, 3)}


def quantized(x: Array, scale: Array, zero: Array) -> Array:
    """Return x / scale + zero, rounded to the nearest integer and clipped to the range of zero's type."""
    with np.errstate(all="ignore"):
        y = np.rint(x / scale) + zero.astype(np.float64)
    info = np.iinfo(zero.dtype)
    return np.asarray(np.clip(np.nan_to_num(y), info.min, info.max), zero.dtype)


def scaled(x: Array, scale: Array, zero: Array | None, axis: int) -> Array:
    """Return (x - zero) * scale as float64, with one scale for all or one for each place along an axis."""
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    scale = scale.reshape(shape) if scale.ndim == 1 and scale.size > 1 else scale
    difference = x.astype(np.float64)
    if zero is not None and zero.size:
        difference = difference - (zero.reshape(shape) if zero.ndim == 1 and zero.size > 1 else zero)
    return difference * scale.astype(np.float64)


def _spread(numbers: Array, like: Array, axis: int, block_size: int) -> Array:
    """Return scales or zero points, one for all, for each place along an axis, or for each block, in x's shape."""
    if numbers.size == 1 and not block_size:
        return numbers.reshape(())
    i = axis_of(axis, like.ndim)
    if block_size:
        places = np.arange(like.shape[i]) // block_size
        return np.take(numbers, places, i)
    return numbers.reshape([-1 if k == i else 1 for k in range(like.ndim)])


@reader("QuantizeLinear")
def quantize_linear(
    x: Value, scale: Value, zero: Value | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0,
    precision: int = 0, saturate: int = 1,
) -> Value:  # fmt: skip
    """x over the scale plus the zero point, rounded and clipped to integers, or rounded to a small float type."""
    a = numbers_of(x)
    scales = _spread(numbers_of(scale), a, axis, block_size)
    name = dtype_name(output_dtype) if output_dtype else ""
    if isinstance(zero, Tensor) or "FLOAT" in name:
        if not name:
            raise UnsupportedError("a zero point of a small float type needs output_dtype")
        return cast(to_value((a / scales).astype(np.float32)), output_dtype, saturate=bool(saturate))
    if name in _RANGES:
        low, high = _RANGES[name]
        shift = 0 if zero is None else _spread(numbers_of(zero), a, axis, block_size).astype(np.float64)
        return np.clip(np.rint(a / scales) + shift, low, high).astype(np.int8 if low else np.uint8)
    dtype = np.dtype(name.lower() or "uint8") if zero is None else numbers_of(zero).dtype
    zeros = np.zeros((), dtype) if zero is None else _spread(numbers_of(zero), a, axis, block_size)
    return quantized(a, scales, zeros)


@reader("DequantizeLinear")
def dequantize_linear(
    x: Value, scale: Value, zero: Value | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Value:
    """The scale times x less the zero point, as float32."""
    a = numbers_of(x)
    difference = a.astype(np.float32)
    if zero is not None and not isinstance(zero, Tensor):
        difference = (a.astype(np.int64) - _spread(numbers_of(zero), a, axis, block_size)).astype(np.float32)
    scales = _spread(numbers_of(scale), a, axis, block_size)
    return to_value(difference * scales.astype(difference.dtype))


@reader("DynamicQuantizeLinear", outputs=3)
def dynamic_quantize_linear(x: Value) -> tuple[Value, Value, Value]:
    """x as uint8, with the scale and the zero point that its range, which includes 0, needs."""
    a = numbers_of(x)
    low, high = min(0.0, float(a.min())), max(0.0, float(a.max()))
    scale = np.float32((high - low) / 255) or np.float32(1)
    zero: Any = np.asarray(np.clip(np.rint(-low / scale), 0, 255), np.uint8)
    return quantized(a, np.asarray(scale), zero), as_tensor(np.asarray(scale)), zero
