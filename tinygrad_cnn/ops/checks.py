"""The questions that ops ask about their arguments, and one form of answer."""

from typing import Any, SupportsIndex

from ..kernels.geometry import Pair
from ..tensor import Tensor, as_float, as_tensor


def shapes(**tensors: Tensor) -> str:
    """``(x.shape=(2, 3), w.shape=(4, 5))``: how every message about shapes ends."""
    return "(" + ", ".join(f"{name}.shape={t.shape}" for name, t in tensors.items()) + ")"


def images(op: str, x: object, name: str = "x") -> Tensor:
    """``x`` as a floating point tensor ``(N, C, H, W)``. ValueError for another rank."""
    t = as_float(as_tensor(op, x))
    if t.ndim != 4:
        raise ValueError(f"{op}: {name} must be (N, C, H, W), got {t.ndim} axes ({name}.shape={t.shape})")
    return t


def pair(op: str, name: str, value: object, least: int) -> Pair:
    """Rows and columns from one integer or two. TypeError for another type or length, ValueError below ``least``."""
    items: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(items) != 2 or not all(isinstance(v, SupportsIndex) and not isinstance(v, bool) for v in items):
        raise TypeError(f"{op}: {name} must be an integer or two of them, got {value!r}")
    rows, columns = (int(v) for v in items)
    if min(rows, columns) < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}")
    return rows, columns


def integer(op: str, name: str, value: object, least: int) -> int:
    """An integer not below ``least``. TypeError for another type, ValueError below."""
    if not isinstance(value, SupportsIndex) or isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}")
    number = value.__index__()
    if number < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {number}")
    return number


def number(op: str, name: str, value: object, low: float, high: float) -> float:
    """A finite number in [low, high]. TypeError for another type, ValueError outside."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex | float):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not low <= float(value) <= high or abs(float(value)) == float("inf"):
        raise ValueError(f"{op}: {name} must be between {low:g} and {high:g}, got {value!r}")
    return float(value)
