"""The values between the nodes of an ONNX graph: floats are tensors, which have gradients; all else is arrays."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd.dtypes import FLOATS
from ...autograd.tensor import Tensor, wrap
from ...checks import require

Array = NDArray[Any]
Value = Tensor | Array
"""Half floats and smaller ones are computed as float32; integers and bools keep their type and its arithmetic."""

MAX_ELEMENTS = 2**28
"""The largest array that a node may make out of smaller ones: 1 GiB of float32."""
MAX_ELEMENTS_AT_LOAD, MAX_ROUNDS_AT_LOAD = 2**24, 1_000
"""The same while a file is read: a small file cannot ask for much time or memory."""


class UnsupportedError(ValueError):
    """A node, an attribute or a tensor that cannot be read; the message names it."""


def to_value(array: Array, name: str = "a tensor") -> Value:
    """Return an array of a file, or of a caller, as a value. UnsupportedError for texts and complex numbers."""
    if array.dtype in FLOATS:
        return wrap(array)
    if array.dtype.kind in "iub" and array.dtype.isnative:
        return array
    kind = array.dtype.name
    if kind in ("int4", "int2"):
        return array.astype(np.int8)
    if kind in ("uint4", "uint2"):
        return array.astype(np.uint8)
    if "float" in kind:  # float16, and bfloat16, float8 and float4 of the package ml_dtypes
        return wrap(array.astype(np.float32))
    if array.dtype.kind in "iubf":
        return to_value(array.astype(array.dtype.newbyteorder("=")), name)
    raise UnsupportedError(f"{name} holds {'texts' if kind in ('object', 'str') else kind}; numbers can be read")


def numbers_of(value: Value) -> Array:
    """Return a value's array."""
    return value.data if isinstance(value, Tensor) else value


def as_tensor(value: Value) -> Tensor:
    """Return a value as a tensor; integers become float32."""
    return value if isinstance(value, Tensor) else wrap(np.asarray(value, np.float32))


def integers(value: Any) -> list[int]:
    """Return the integers of an attribute or of an input, which other operator sets have in its place."""
    array = np.asarray(numbers_of(value)) if isinstance(value, Tensor | np.ndarray) else np.asarray(value)
    return [int(n) for n in array.reshape(-1).tolist()]


def floats(value: Any) -> list[float]:
    """Return the numbers of an attribute or of an input."""
    array = np.asarray(numbers_of(value)) if isinstance(value, Tensor | np.ndarray) else np.asarray(value)
    return [float(n) for n in array.reshape(-1).tolist()]


def number(value: Any) -> float:
    """Return the only number of an attribute or of an input."""
    (n,) = floats(value)
    return n


def axis_of(axis: int, ndim: int) -> int:
    """Return an axis counted from the front. ValueError if it does not exist."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} does not exist in {ndim} axes")
    return axis % ndim if ndim else 0


def axes_of(axes: Iterable[int], ndim: int) -> tuple[int, ...]:
    """Return axes counted from the front, in order. ValueError if one does not exist or comes twice."""
    found = sorted(axis_of(axis, ndim) for axis in axes)
    if len(set(found)) < len(found):
        raise ValueError(f"axes {list(axes)} name an axis twice")
    return tuple(found)


class TooLargeError(ValueError):
    """A node would make an array that is larger than allowed."""


class _Limit(threading.local):
    """The number of elements that a result may have in this thread, and of the rounds of a loop."""

    elements = MAX_ELEMENTS
    rounds: float = math.inf


_limit = _Limit()


@contextmanager
def small_results() -> Iterator[None]:
    """While it is active, results and loops are at most as long as the limits ``..._AT_LOAD`` say."""
    _limit.elements, _limit.rounds = MAX_ELEMENTS_AT_LOAD, MAX_ROUNDS_AT_LOAD
    try:
        yield
    finally:
        _limit.elements, _limit.rounds = MAX_ELEMENTS, math.inf


def check_rounds(count: int) -> None:
    """TooLargeError for a loop of more rounds than allowed."""
    if count > _limit.rounds:
        raise TooLargeError(f"the loop would have more than {_limit.rounds:,} rounds")


def check_size(shape: Sequence[int]) -> None:
    """TooLargeError for a shape of more elements than allowed."""
    count = math.prod(int(n) for n in shape)
    if count > _limit.elements:
        raise TooLargeError(f"the result of shape {tuple(shape)} would have more than {_limit.elements:,} elements")


def dtype_name(code: int) -> str:
    """Return the name of a data type of ONNX, such as FLOAT."""
    name: str = require("onnx", "onnx").TensorProto.DataType.Name(code)
    return name


def cast(value: Value, code: int, *, saturate: bool = True, round_mode: str = "up") -> Value:
    """Return a value in a data type of ONNX; smaller floats are rounded to, and computed as float32."""
    name = dtype_name(code)
    if name in ("FLOAT", "DOUBLE"):
        dtype = np.dtype(np.float32 if name == "FLOAT" else np.float64)
        return value.astype(dtype) if isinstance(value, Tensor) else wrap(value.astype(dtype))
    if name == "BOOL":
        return np.asarray(numbers_of(value) != 0)
    if name in ("STRING", "UNDEFINED", "COMPLEX64", "COMPLEX128"):
        raise UnsupportedError(f"to={name} is not supported")
    if "FLOAT" in name:
        return _rounded(as_tensor(value), code, saturate, round_mode)
    array = numbers_of(value)
    with np.errstate(all="ignore"):
        if name in ("INT4", "UINT4", "INT2", "UINT2"):
            return _narrow(array, name)
        target = require("onnx", "onnx").helper.tensor_dtype_to_np_dtype(code)
        whole = np.nan_to_num(array, nan=0.0) if array.dtype.kind == "f" else array
        if whole.dtype.kind == "f" and target.itemsize < 8:  # outside the range bits are cut off, as in C
            whole = np.clip(whole, -(2.0**62), 2.0**62).astype(np.int64)
        return np.asarray(whole.astype(target))


def _narrow(array: Array, name: str) -> Array:
    """Return the low bits of integers as int8 or uint8."""
    bits = int(name[-1])
    low = array.astype(np.int64) & (2**bits - 1)
    if name.startswith("U"):
        return np.asarray(low, np.uint8)
    return np.asarray(np.where(low >= 2 ** (bits - 1), low - 2**bits, low), np.int8)


def _rounded(x: Tensor, code: int, saturate: bool, round_mode: str) -> Tensor:
    """Return x rounded to a small float type, as float32; the gradient passes through."""
    onnx = require("onnx", "onnx")
    target = onnx.helper.tensor_dtype_to_np_dtype(code)
    with np.errstate(all="ignore"):
        if dtype_name(code) == "FLOAT8E8M0":
            small = onnx.numpy_helper.to_float8e8m0(x.data.astype(np.float32), saturate, round_mode)
        elif saturate and target.itemsize == 1:
            small = onnx.numpy_helper.saturate_cast(x.data, target)
        else:
            small = x.data.astype(target)
        step = small.astype(np.float32)
    y = x.astype(np.float32)
    if not y.requires_grad:
        return wrap(step)
    offset: Array = step - y.data
    return y + offset


def same_kind(value: Value, like: Value) -> Value:
    """Return a value as a tensor or an array, as the other one is."""
    if isinstance(like, Tensor):
        return as_tensor(value)
    return np.asarray(numbers_of(value), like.dtype)


def by_kind(of_tensors: Callable[..., Value], of_arrays: Callable[..., Any]) -> Callable[..., Value]:
    """Return a function that applies one of two to its values: the first if one of them is a tensor."""

    def compute(*values: Value) -> Value:
        if any(isinstance(v, Tensor) for v in values):
            return of_tensors(*(as_tensor(v) for v in values))
        with np.errstate(all="ignore"):
            return np.asarray(of_arrays(*values))

    return compute
