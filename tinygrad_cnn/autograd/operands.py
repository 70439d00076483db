"""Operands of an op: numbers and arrays become tensors, and two operands one float type."""

from typing import TypeGuard

import numpy as np

from ..kernels.warnings import without_warnings
from .dtypes import FLOATS
from .tensor import Operand, Tensor, as_tensor, wrap

_OPERANDS = (Tensor, int, float, np.ndarray, np.generic)  # a tuple: quicker to check than a union


def as_float(x: Tensor) -> Tensor:
    """Return ``x`` in floating point: float32 where that holds all values of its integer type, else float64."""
    return x if x.dtype in FLOATS else wrap(x.data.astype(np.result_type(x.dtype, np.float32)))


def is_operand(x: object) -> TypeGuard[Operand]:
    """Return True for a tensor, an array or a number."""
    return isinstance(x, _OPERANDS)


def as_operand(op: str, x: Operand, like: Tensor) -> Tensor:
    """Return the other operand as a tensor; a bare number takes the tensor's float type."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray) and x.ndim:
        return as_tensor(op, x)
    if not isinstance(x, int | float):
        x = as_tensor(op, x).item()  # raises for what is not a real number
    try:
        array = without_warnings.run(np.asarray, x, dtype=like.dtype if like.dtype in FLOATS else as_float(like).dtype)
    except OverflowError:
        raise ValueError(f"{op}: the integer is too large for a tensor") from None
    array.setflags(write=False)  # nothing else refers to it, so no graph need lock it
    return wrap(array)


def same_float(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in one float type: the wider one, but integers and single numbers adapt to the other operand."""
    if a.dtype == b.dtype and a.dtype in FLOATS:
        return a, b
    if a.dtype in FLOATS and (b.dtype not in FLOATS or b.ndim == 0 < a.ndim):
        return a, b.astype(a.dtype)
    if b.dtype in FLOATS and (a.dtype not in FLOATS or a.ndim == 0 < b.ndim):
        return a.astype(b.dtype), b
    wider = np.result_type(as_float(a).dtype, as_float(b).dtype)
    return (a if a.dtype == wider else a.astype(wider)), (b if b.dtype == wider else b.astype(wider))
