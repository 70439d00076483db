"""The data types that a tensor may have, and casts between them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checks import abbreviated
from ..kernels.warnings import without_warnings

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def new_array(source: ArrayLike, dtype: DTypeLike | None) -> NDArray[Any]:
    """Return a copy of the data as an array of an allowed type. TypeError or ValueError for other data."""
    try:
        array = np.array(source, order="K")
    except ValueError:
        raise ValueError("Tensor: the sequence is ragged: its parts differ in length") from None
    target = None if dtype is None else as_dtype("Tensor", dtype)
    if target is None and array.dtype == np.float64 and not isinstance(source, np.ndarray | np.generic):
        target = FLOATS[0]
    if target is None or array.dtype != np.float16:
        check_dtype(array.dtype)
    return array if target is None or array.dtype == target else cast("Tensor", array, target)


def cast(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a copy in another type. ValueError if an integer type is too small for the values."""
    check_dtype(dtype)
    if dtype.kind in "iu" and array.size:
        least, most = array.min().item(), array.max().item()
        if not (np.iinfo(dtype).min <= least and most < np.iinfo(dtype).max + 1):
            raise ValueError(f"{name}: {dtype} cannot hold the numbers from {least} to {most}")
    return without_warnings.run(array.astype, dtype)  # type: ignore[no-any-return]


def cast_finite(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a copy in another type. ValueError also where a finite value would become inf."""
    new = cast(name, array, dtype)
    lost = np.isfinite(array) & ~np.isfinite(new)
    if lost.any():
        raise ValueError(f"{name}: {dtype} cannot hold the number {array[lost][0]}")
    return new


def as_dtype(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return the NumPy data type. TypeError for anything else."""
    try:
        return np.dtype(dtype)
    except (AttributeError, OverflowError, SyntaxError, TypeError, ValueError):
        raise TypeError(f"{name}: {abbreviated(dtype)} is no data type") from None


def check_dtype(dtype: np.dtype[Any]) -> None:
    """TypeError for a type that tensors do not support."""
    if dtype not in FLOATS and dtype.kind not in "iub":
        raise TypeError(f"Tensor: dtype {dtype} is not supported; use float32, float64, an integer type or bool")
