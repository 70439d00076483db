"""Argument checks and their one form of message: *op: argument must be ..., got ...*, with shapes where they matter.

Every check returns the value in its plain form, so that a caller can write ``k = checks.integer("op", "k", k, 1)``.
"""

import importlib
import math
import operator
from types import ModuleType
from typing import Any, Protocol, TypeVar

import numpy as np

Axis = int | tuple[int, ...] | list[int] | None
Pair = tuple[int, int]
T = TypeVar("T")

_LIMIT = 2**31  # no array or training has as many pixels, places or steps


class HasShape(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""


def abbreviated(value: object) -> str:
    """Return ``repr(value)`` on one line of at most 80 characters, for a message."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of a list nested too deep, or whatever a class of the caller's raises
        text = f"<{type(value).__name__}>"
    return text if len(text) < 80 else text[:76] + " ..."


def plural(n: int, one: str, more: str = "") -> str:
    """Return a count with its noun: ``1 image``, ``2,000 images``; ``more`` is an irregular plural."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def shapes(**arrays: HasShape) -> str:
    """Return ``(x.shape=(2, 3), w.shape=(4, 5))``, the end of every message about shapes."""
    return "(" + ", ".join(f"{name}.shape={a.shape}" for name, a in arrays.items()) + ")"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module. ImportError, naming the extra to install, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}: pip install 'tinygrad_cnn[{extra}]'") from error


def instance(op: str, name: str, value: object, kind: type) -> None:
    """TypeError unless ``value`` is of the class."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise TypeError(f"{op}: {name} must be {article} {kind.__name__}, got {abbreviated(value)}")


def flag(op: str, name: str, value: object) -> bool:
    """Return ``value`` as a bool. TypeError for what merely counts as true or false."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{op}: {name} must be True or False, got {abbreviated(value)}")
    return bool(value)


def function(op: str, name: str, value: object, arguments: str) -> None:
    """TypeError unless ``value`` can be called; ``arguments`` names what it is called with."""
    if not callable(value):
        raise TypeError(f"{op}: {name} must be a function of {arguments}, got {abbreviated(value)}")


def integer(op: str, name: str, value: object, least: int = -_LIMIT, *, below: float = _LIMIT) -> int:
    """Return ``value`` as an int in [least, below). TypeError for another type, ValueError outside."""
    if type(value) is int and least <= value < below:
        return value
    try:
        number = _index(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be an integer, got {abbreviated(value)}") from None
    _check_bounds(op, name, number, least, below)
    return number


def pair(op: str, name: str, value: object, least: int) -> Pair:
    """Return (rows, columns) from one integer or two.

    TypeError for another type or length, ValueError below ``least``.
    """
    if type(value) is int and least <= value < _LIMIT:
        return value, value
    if type(value) is tuple and len(value) == 2:
        rows, columns = value
        if type(rows) is int and type(columns) is int and least <= rows < _LIMIT and least <= columns < _LIMIT:
            return value  # as a layer keeps it
    if isinstance(value, np.ndarray):
        value = value.tolist()
    items: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value, value)
    try:
        rows, columns = map(_index, items)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be an integer or two of them, got {abbreviated(value)}") from None
    _check_bounds(op, name, min(rows, columns), least)
    _check_bounds(op, name, max(rows, columns), least)
    return rows, columns


def array_shape(op: str, name: str, value: object) -> tuple[int, ...]:
    """Return ``value`` as a tuple of integers from 1. TypeError for another type, ValueError below 1."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"{op}: {name} must be a tuple such as (1, 28, 28), got {abbreviated(value)}")
    return tuple(integer(op, f"each of {name}", n, 1) for n in value)


def number(
    op: str, name: str, value: object, low: float = -math.inf, high: float = math.inf, *, below: bool = False
) -> float:
    """Return ``value`` as a finite float in [low, high], or in [low, high) with ``below``.

    TypeError for another type, ValueError outside.
    """
    if type(value) is float and low <= value <= high and math.isfinite(value) and not below:
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{op}: {name} must be a number, got {abbreviated(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not low <= number <= high or math.isinf(number) or (below and number == high):
        bounds = f" and at least {low:g} and below {high:g}" if below else f" and between {low:g} and {high:g}"
        bounds = "" if low == -math.inf and high == math.inf else bounds
        raise ValueError(f"{op}: {name} must be finite{bounds}, got {abbreviated(value)}")
    return number


def generator(op: str, rng: object) -> np.random.Generator:
    """Return ``rng``, or a fresh generator for None. TypeError for another type."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{op}: rng must be a numpy.random.Generator, got {abbreviated(rng)}; "
            "make one with numpy.random.default_rng(seed)"
        )
    return np.random.default_rng() if rng is None else rng


class Default(int):
    """A default axis, which differs in its type from the same number given by a caller."""


def axis_or_dim(op: str, axis: T, dim: T | None) -> T:
    """Return the axis that was given by NumPy's name or by PyTorch's. TypeError for both."""
    return _one_of(op, "axis", axis, "dim", dim)


def keepdims_or_keepdim(op: str, keepdims: bool | None, keepdim: bool | None) -> bool:
    """Return the flag that was given by NumPy's name or by PyTorch's, or False. TypeError for both."""
    value = _one_of(op, "keepdims", keepdims, "keepdim", keepdim)
    return False if value is None else flag(op, "keepdims", value)


def _one_of(op: str, name: str, value: T, alias: str, other: T | None) -> T:
    if other is None:
        return value
    if value is not None and not isinstance(value, Default):
        got = f"{name}={abbreviated(value)} and {alias}={abbreviated(other)}"
        raise TypeError(f"{op}: {name} and {alias} are two names of one argument, got {got}")
    return other


def normal_axes(op: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return ``axis`` as a tuple of axes counted from the front; None stands for all of them.

    TypeError for what is no integer or tuple of them, ValueError if an axis does not exist or comes twice.
    """
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    if axis is None:
        return tuple(range(ndim))
    try:
        axes = tuple(map(_index, axis if isinstance(axis, tuple | list) else (axis,)))
    except (TypeError, ValueError):
        raise TypeError(f"{op}: axis must be an integer or a tuple of them, got {abbreviated(axis)}") from None
    if not all(-ndim <= i < ndim for i in axes):
        raise ValueError(f"{op}: axis {abbreviated(axis)} does not exist in {plural(ndim, 'axis', 'axes')}")
    normal = tuple(i % ndim for i in axes)
    if len(set(normal)) < len(normal):
        raise ValueError(f"{op}: axis {abbreviated(axis)} names an axis twice")
    return normal


def one_axis(op: str, axis: int, ndim: int) -> int:
    """Return a single axis, counted from the front. TypeError for several or none, ValueError if it does not exist."""
    try:
        number = _index(axis)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: axis must be an integer, got {abbreviated(axis)}") from None
    return normal_axes(op, number, ndim)[0]


def _index(value: Any) -> int:
    """``operator.index`` without bools. TypeError for what is no integer, ValueError for a tensor of several."""
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return operator.index(value)


def _check_bounds(op: str, name: str, value: int, least: int, below: float = _LIMIT) -> None:
    if not least <= value < below:
        limit = "2**31" if below == _LIMIT else f"{below}"
        bound = f"at least {least}" if value < least else f"below {limit}"
        raise ValueError(f"{op}: {name} must be {bound}, got {abbreviated(value)}")
