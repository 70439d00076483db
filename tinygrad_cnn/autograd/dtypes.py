"""The data types that a tensor may have, and casts between them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checks import abbreviated
from ..kernels.warnings import without_warnings

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def new_array(source: ArrayLike, dtype: DTypeLike | None) -> NDArray[Any]:
    """A fresh, owned array of an allowed type."""
    try:
        array = np.array(source, order="K")
    except ValueError:
        raise ValueError("Tensor: the sequence is ragged: its parts differ in length") from None
    wanted = None if dtype is None else as_dtype("Tensor", dtype)
    if wanted is None and array.dtype == np.float64 and not isinstance(source, np.ndarray | np.generic):
        wanted = FLOATS[0]
    if wanted is None or array.dtype != np.float16:
        check_dtype(array.dtype)
    return array if wanted is None or array.dtype == wanted else cast("Tensor", array, wanted)


def cast(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A copy in another type. ValueError where that is an integer type too small for the numbers."""
    check_dtype(dtype)
    if dtype.kind in "iu" and array.size:
        least, most = array.min().item(), array.max().item()
        if not (np.iinfo(dtype).min <= least and most < np.iinfo(dtype).max + 1):
            raise ValueError(f"{name}: {dtype} cannot hold the numbers from {least} to {most}")
    return without_warnings.run(array.astype, dtype)  # type: ignore[no-any-return]


def cast_finite(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """As `cast`; ValueError also where a finite number would become an infinity."""
    new = cast(name, array, dtype)
    lost = np.isfinite(array) & ~np.isfinite(new)
    if lost.any():
        raise ValueError(f"{name}: {dtype} cannot hold the number {array[lost][0]}")
    return new


def as_dtype(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    """The type that is meant. TypeError if none is."""
    try:
        return np.dtype(dtype)
    except (AttributeError, OverflowError, SyntaxError, TypeError, ValueError):
        raise TypeError(f"{name}: {abbreviated(dtype)} is no data type") from None


def check_dtype(dtype: np.dtype[Any]) -> None:
    """TypeError unless tensors can be of this type."""
    if dtype not in FLOATS and dtype.kind not in "iub":
        raise TypeError(f"Tensor: dtype {dtype} is not supported; use float32, float64, an integer type or bool")


def is_basic(index: Any) -> bool:
    """Whether the index names each element at most once: integers, slices, None and ``...`` only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        i is None or i is Ellipsis or (isinstance(i, slice | int | np.integer) and not isinstance(i, bool))
        for i in parts
    )
