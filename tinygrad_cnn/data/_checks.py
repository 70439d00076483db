"""Checks of numbers and generators that several rooms of this package share: one form of message."""

from __future__ import annotations

import math
import numbers
import operator

import numpy as np

from tinygrad_cnn.arrays import shown


def whole(where: str, name: str, value: object, *, least: int | None = None) -> int:
    """Return `value` as an int, of at least `least` if given; a bool or a float is a TypeError."""
    try:
        number = operator.index(None if isinstance(value, (bool, np.bool_)) else value)  # type: ignore[arg-type]
    except TypeError:  # also of an array of floats, or of several numbers, which has the method
        raise TypeError(f"{where}: {name} must be an integer, got {type(value).__name__}") from None
    if least is not None and number < least:
        raise ValueError(f"{where}: {name} must be at least {least}, got {shown(number)}")
    return number


def real(where: str, name: str, value: object, *, least: float = -math.inf, below: float = math.inf) -> float:
    """Return `value` as a finite float with `least <= value < below`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{where}: {name} must be a number, got {type(value).__name__}")
    number = _float(value)
    if not math.isfinite(number) or not least <= number < below:
        floor = "" if least == -math.inf else f", at least {least:g}"
        ceiling = "" if below == math.inf else f", below {below:g}"
        raise ValueError(f"{where}: {name} must be finite{floor}{ceiling}, got {number:g}")
    return number


def _float(value: numbers.Real) -> float:
    """The number, or an infinity of its sign where no float is as large."""
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def generator(where: str, rng: object) -> np.random.Generator:
    """Return `rng` if it is a NumPy Generator; the message says how to make one."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{where}: rng must be a numpy.random.Generator, got {type(rng).__name__};"
            " make one with numpy.random.default_rng(seed)"
        )
    return rng
