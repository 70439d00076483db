"""The value itself, beside one that is known to be right."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .patterns import turns
from .probing import Array
from .report import Finding, picture

Oracle = Callable[..., Any]


class Sample(Protocol):
    """A subject that tells its whole arguments."""

    def inputs_at(self, arrays: Sequence[Array]) -> list[Any]:
        """Return all inputs, and the parameters, of the function at a point."""


class OracleSubject:
    """A subject with the value of an oracle and the rules of another subject."""

    def __init__(self, subject: Any, oracle: Oracle) -> None:
        self.rules, self.oracle = subject, oracle
        self.names, self.numbers, self.arrays = subject.names, subject.numbers, subject.arrays
        self.constants = subject.constants

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return the right y."""
        return oracle_value(self.oracle, self.rules, arrays)

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what the rules return for each input."""
        return self.rules.gradients(arrays, cotangents)  # type: ignore[no-any-return]


def oracle_value(oracle: Oracle, sample: Sample, arrays: Sequence[Array]) -> Array:
    """Return the right y as an array of floats."""
    array = np.asarray(oracle(*sample.inputs_at(arrays)))
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def check_value(subject: Any, right: Array, oracle: Oracle | None) -> Finding | None:
    """Return the finding on a wrong value; None if y is right to rounding.

    Args:
        subject: the function, at its point.
        right: the right y there.
        oracle: computes it from the inputs, to try turned ones.
    """
    with np.errstate(all="ignore"):
        y = subject.value(subject.arrays)
    right = np.asarray(right)
    if right.dtype.kind not in "fiub":
        raise TypeError(f"diagnose: the expected value must be an array of numbers, got dtype {right.dtype}")
    tolerance = 1e-4 if "float32" in (str(right.dtype), str(y.dtype)) else 1e-6
    right = right.astype(np.float64)
    if y.shape == right.shape and _close(y, right, tolerance):
        return None
    where = None
    if y.shape == right.shape and y.shape:
        wrong = ~np.isclose(y, right, rtol=tolerance, atol=tolerance * np.abs(right).max(initial=0), equal_nan=True)
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
    message = f"The forward pass is wrong: {_reason(subject, np.asarray(y, np.float64), right, oracle, where)}"
    drawn = picture(right, np.asarray(y, np.float64), where, ("right", "yours"))
    return Finding(None, "forward", message, where, "y", drawn)


def _close(a: Array, b: Array, tolerance: float) -> bool:
    largest = np.abs(b[np.isfinite(b)]).max(initial=0)
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True))


def _reason(subject: Any, y: Array, right: Array, oracle: Oracle | None, where: tuple[int, ...] | None) -> str:
    """The simplest explanation of a wrong value."""
    for k, a in enumerate(subject.arrays) if oracle is not None else ():
        for kind, words, turn in turns(a.shape):
            arrays = [turn(b[None])[0] if i == k else b for i, b in enumerate(subject.arrays)]
            try:
                other = oracle_value(oracle, subject, arrays)  # type: ignore[arg-type]
            except Exception:  # whatever the oracle raises for other shapes
                continue
            if (
                kind != "unknown"
                and other.shape == y.shape
                and _close(y, other, 1e-6)
                and not np.array_equal(a, arrays[k])
            ):
                hint = ": it convolves where the article correlates, or the other way round" if "180" in words else ""
                return f"y is right for {subject.names[k]} {words}{hint}."
    if y.shape != right.shape:
        if y.shape == right.shape[::-1] and _close(y.T, right, 1e-6):
            return f"y is the right one transposed, of shape {y.shape} where {right.shape} is right."
        if y.size == right.size and _close(y.reshape(right.shape), right, 1e-6):
            return f"y has the right numbers in the shape {y.shape}; the shape {right.shape} is right."
        return f"y has the shape {y.shape}, and the right one has {right.shape}."
    square = float((right * right).sum())
    c = float((right * y).sum()) / square if square else math.nan
    if math.isfinite(c) and abs(c) > 1e-9 and _close(y, c * right, 1e-6):
        return "y has the wrong sign." if math.isclose(c, -1, rel_tol=1e-6) else f"y is {c:.6g} times the right one."
    for _, words, turn in turns(y.shape):
        if _close(turn(y[None])[0], right, 1e-6):
            return f"y is the right one {words}."
    difference = y - right
    if np.isfinite(difference).all() and y.size > 1 and np.ptp(difference) <= 1e-6 * np.abs(right).max():
        return f"y is off by {difference.flat[0]:.6g} everywhere: look at the bias."
    i = where or ()
    return f"y is {y[i]:.6g} at {i}, where {right[i]:.6g} is right." if y.size else "y is empty."
