"""What a tensor's array may be: its types, its axes, its indices."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .quiet import quiet

Axis = int | tuple[int, ...] | None

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
    return quiet.run(array.astype, dtype)  # type: ignore[no-any-return]


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
        raise TypeError(f"{name}: {shown(dtype)} is no data type") from None


def check_dtype(dtype: np.dtype[Any]) -> None:
    """TypeError unless tensors can be of this type."""
    if dtype not in FLOATS and dtype.kind not in "iub":
        raise TypeError(f"Tensor: dtype {dtype} is not supported; use float32, float64, an integer type or bool")


def shown(value: object) -> str:
    """What a message says it got: one line, cut short."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of a list nested too deep, or whatever a class of the caller's raises
        text = f"<{type(value).__name__}>"
    return text if len(text) < 80 else text[:76] + " ..."


def counted(n: int, one: str, more: str = "") -> str:
    """``1 image``, ``2,000 images``: a number with its word, whose plural is ``more`` if an s does not make it."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def instance(op: str, name: str, value: object, kind: type) -> None:
    """TypeError unless ``value`` is of the class."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise TypeError(f"{op}: {name} must be {article} {kind.__name__}, got {shown(value)}")


def flag(op: str, name: str, value: object) -> bool:
    """``value`` as a bool. TypeError for what merely counts as true or false."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{op}: {name} must be True or False, got {shown(value)}")
    return bool(value)


def normal_axes(name: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """``axis`` as a tuple of axes counted from the front.

    TypeError for what is no integer or tuple of them, ValueError if an axis does not exist or comes twice.
    """
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    if axis is None:
        return tuple(range(ndim))
    try:
        axes = tuple(map(_index, axis if isinstance(axis, tuple) else (axis,)))
    except (TypeError, ValueError):
        raise TypeError(f"{name}: axis must be an integer or a tuple of them, got {shown(axis)}") from None
    if not all(-ndim <= i < ndim for i in axes):
        raise ValueError(f"{name}: axis {shown(axis)} does not exist in {counted(ndim, 'axis', 'axes')}")
    normal = tuple(i % ndim for i in axes)
    if len(set(normal)) < len(normal):
        raise ValueError(f"{name}: axis {shown(axis)} names an axis twice")
    return normal


def one_axis(name: str, axis: int, ndim: int) -> int:
    """A single axis, counted from the front. TypeError for several or none, ValueError if it does not exist."""
    try:
        number = _index(axis)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: axis must be an integer, got {shown(axis)}") from None
    return normal_axes(name, number, ndim)[0]


def _index(value: Any) -> int:
    """The integer that this is. TypeError for a bool and what is no integer, ValueError for a tensor of several."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def is_basic(index: Any) -> bool:
    """Whether the index names each element at most once: integers, slices, None and ``...`` only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or (isinstance(i, slice | int | np.integer) and not isinstance(i, bool))
               for i in parts)  # fmt: skip
