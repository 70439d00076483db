"""The questions that ops ask about their arguments, and one form of answer."""

import math
from typing import Any

import numpy as np

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
    if type(value) is int and value >= least:
        return value, value
    items: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(items) != 2 or not all(map(_is_integer, items)):
        raise TypeError(f"{op}: {name} must be an integer or two of them, got {value!r}")
    rows, columns = int(items[0]), int(items[1])
    if rows < least or columns < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}")
    return rows, columns


def integer(op: str, name: str, value: object, least: int) -> int:
    """An integer not below ``least``. TypeError for another type, ValueError below."""
    if not _is_integer(value):
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}")
    number = int(value)  # type: ignore[call-overload]
    if number < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {number}")
    return number


def number(op: str, name: str, value: object, low: float, high: float) -> float:
    """A finite number in [low, high]. TypeError for another type, ValueError outside."""
    if not isinstance(value, float | np.floating) and not _is_integer(value):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    number = float(value)  # type: ignore[arg-type]
    if not low <= number <= high or math.isinf(number):
        raise ValueError(f"{op}: {name} must be between {low:g} and {high:g}, got {value!r}")
    return number


def _is_integer(value: object) -> bool:
    return type(value) is int or (isinstance(value, int | np.integer) and not isinstance(value, bool))
