"""The questions that ops ask about their arguments, and one form of answer."""

import math
from typing import Any

import numpy as np

from ..arrays import counted, shown
from ..kernels.geometry import Pair
from ..tensor import Tensor, as_float, as_tensor

_MOST = 2**31  # more pixels, places or steps than any array or training has


def shapes(**tensors: Tensor) -> str:
    """``(x.shape=(2, 3), w.shape=(4, 5))``: how every message about shapes ends."""
    return "(" + ", ".join(f"{name}.shape={t.shape}" for name, t in tensors.items()) + ")"


def images(op: str, x: object, name: str = "x") -> Tensor:
    """``x`` as a floating point tensor ``(N, C, H, W)``. ValueError for another rank."""
    t = as_float(as_tensor(op, x))
    if t.ndim != 4:
        axes = counted(t.ndim, "axis", "axes")
        raise ValueError(f"{op}: {name} must be (N, C, H, W), got {axes} ({name}.shape={t.shape})")
    return t


def bias(op: str, name: str, value: object, w: Tensor, each: str) -> Tensor:
    """One number for each filter or row of ``w``, in its type. ValueError for another shape."""
    b = as_tensor(op, value)
    if b.shape != w.shape[:1]:
        raise ValueError(f"{op}: {name} must have one number for each {each} {shapes(**{name: b, 'w': w})}")
    return b if b.dtype == w.dtype else b.astype(w.dtype)


def pair(op: str, name: str, value: object, least: int) -> Pair:
    """Rows and columns from one integer or two. TypeError for another type or length, ValueError below ``least``."""
    if type(value) is int and least <= value < _MOST:
        return value, value
    if type(value) is tuple and len(value) == 2:
        rows, columns = value
        if type(rows) is int and type(columns) is int and least <= rows < _MOST and least <= columns < _MOST:
            return value  # as a layer keeps it
    if isinstance(value, np.ndarray):
        value = value.tolist()
    items: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(items) != 2 or not all(map(_is_integer, items)):
        raise TypeError(f"{op}: {name} must be an integer or two of them, got {shown(value)}")
    pair = int(items[0]), int(items[1])
    _bounded(op, name, min(pair), least)
    _bounded(op, name, max(pair), least)
    return pair


def integer(op: str, name: str, value: object, least: int) -> int:
    """An integer not below ``least``. TypeError for another type, ValueError below."""
    if type(value) is int and least <= value < _MOST:
        return value
    if not _is_integer(value):
        raise TypeError(f"{op}: {name} must be an integer, got {shown(value)}")
    number: int = int(value)  # type: ignore[call-overload]
    _bounded(op, name, number, least)
    return number


def number(op: str, name: str, value: object, low: float, high: float) -> float:
    """A finite number in [low, high]. TypeError for another type, ValueError outside."""
    if not isinstance(value, float | np.floating) and not _is_integer(value):
        raise TypeError(f"{op}: {name} must be a number, got {shown(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not low <= number <= high or math.isinf(number):
        raise ValueError(f"{op}: {name} must be finite and between {low:g} and {high:g}, got {shown(value)}")
    return number


def generator(op: str, rng: object) -> np.random.Generator:
    """``rng``, or a fresh generator for None. TypeError for another type."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"{op}: rng must be a numpy.random.Generator, got {shown(rng)}")
    return np.random.default_rng() if rng is None else rng


def _bounded(op: str, name: str, value: int, least: int) -> None:
    if not least <= value < _MOST:
        raise ValueError(f"{op}: {name} must be {f'at least {least}' if value < least else 'below 2**31'}, got {value}")


def _is_integer(value: object) -> bool:
    return type(value) is int or (isinstance(value, int | np.integer) and not isinstance(value, bool))
