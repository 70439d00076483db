"""Comparisons of an answer with what is right, and the sentences about their differences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.doctor import diagnose
from ..checks import abbreviated

Array = NDArray[np.float64]

_PLACES = 6  # decimal places that must agree


class WrongAnswer(Exception):
    """An exercise is not right; the message says what is wrong with it."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call an answer on copies, and see that it changed none of them."""
    copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    result = function(*copies)
    for before, after in zip(arguments, copies, strict=True):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after):
            raise WrongAnswer(f"{function.__name__} changes its argument; it must leave it as it is")
    if result is None:
        raise WrongAnswer(f"{function.__name__} returns None; is a return missing?")
    return result


def check_same(what: str, got: Any, right: Array, readings: Mapping[str, Array | None], **inputs: Array) -> None:
    """WrongAnswer unless two arrays agree; it says which of the likely mistakes the answer is, or where it differs."""
    check_shape(what, got, right.shape, **inputs)
    values = np.asarray(got, np.float64)
    if agree(values, right):
        return
    for mistake, other in readings.items():
        if other is not None and other.shape == right.shape and agree(values, other) and not agree(other, right):
            raise WrongAnswer(f"{what}: {mistake}. {first_difference(values, right)}")
    raise WrongAnswer(f"{what} is wrong. {first_difference(values, right)}")


def check_number(what: str, got: Any, right: float, readings: Mapping[str, float], **inputs: Array) -> None:
    """WrongAnswer unless a number is right."""
    others = {mistake: np.asarray(value, np.float64) for mistake, value in readings.items()}
    if np.size(got) == 1:
        got = np.reshape(np.asarray(got, np.float64), ())
    check_same(what, got, np.asarray(right, np.float64), others, **inputs)


def check_shape(what: str, got: Any, shape: tuple[int, ...], **inputs: Array) -> None:
    """WrongAnswer unless an answer is an array of numbers of this shape."""
    try:
        values = np.asarray(got, np.float64)
    except (TypeError, ValueError):
        raise WrongAnswer(f"{what} must be an array of numbers, got {abbreviated(got)}") from None
    if values.shape != shape:
        given = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
        raise WrongAnswer(f"{what} must have shape {shape} for {given}; it has {values.shape}")


def check_count(function: str, got: Any, names: Sequence[str]) -> None:
    """WrongAnswer unless a function returned as many values as there are names."""
    if not isinstance(got, tuple | list) or len(got) != len(names):
        text = f"{len(got)} values" if isinstance(got, tuple | list) else abbreviated(type(got).__name__)
        raise WrongAnswer(f"{function} must return {len(names)} values, {', '.join(names[:6])}; it returns {text}")


def agree(one: Array, other: Array) -> bool:
    """Return True for arrays that are equal to six places."""
    return bool(np.allclose(one, other, rtol=10.0**-_PLACES, atol=10.0**-_PLACES))


def first_difference(got: Array, right: Array) -> str:
    """Return a sentence about the first number that is wrong."""
    wrong = ~np.isclose(got, right, rtol=10.0**-_PLACES, atol=10.0**-_PLACES)
    place = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.any() else ()
    where = f" at {list(place)}" if place else ""
    return f"It is {got[place]:.4g}{where} and should be {right[place]:.4g}"


def check_gradients(
    forward: Callable[..., Any], inputs: tuple[Array, ...], backward: dict[str, Callable[..., Any]]
) -> None:
    """WrongAnswer with the doctor's sentences if a gradient is wrong."""
    diagnosis = diagnose(forward, *inputs, backward=backward)
    if not diagnosis.ok:
        raise WrongAnswer("\n\n".join(str(finding) for finding in diagnosis.findings))
