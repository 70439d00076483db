"""The value itself, beside one that is known to be right."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tensor import Tensor
from .probing import Array
from .report import Finding, Place, picture
from .whole import turns


def check_value(subject: Any, expected: Any, oracle: Callable[..., Any] | None) -> Finding | None:
    """Return the finding on a wrong value at the subject's point; None if it is right to rounding, or not known."""
    if expected is None and oracle is None:
        return None
    if expected is None and oracle is not None:
        expected = oracle(*subject.inputs_at(subject.arrays))
    right = np.asarray(expected.data if isinstance(expected, Tensor) else expected)
    if right.dtype.kind not in "fiub":
        raise TypeError(f"diagnose: the expected value must be an array of numbers, got dtype {right.dtype}")
    y = np.asarray(subject.value(subject.arrays))
    tolerance = 1e-4 if np.float32 in (right.dtype, y.dtype) else 1e-6
    y, right = y.astype(np.float64), right.astype(np.float64)
    if _close(y, right, tolerance):
        return None
    where = None
    if y.shape == right.shape:
        off = ~np.isclose(y, right, rtol=tolerance, atol=tolerance * np.abs(right).max(initial=0), equal_nan=True)
        where = tuple(int(i) for i in np.argwhere(off)[0])
    message = f"The forward pass is wrong: {_reason(subject, y, right, oracle, where)} Mend it before the gradients."
    return Finding(None, "forward", message, where, "y", picture(right, y, where, ("right", "yours")))


def _close(a: Array, b: Array, tolerance: float = 1e-6) -> bool:
    largest = np.abs(b[np.isfinite(b)]).max(initial=0)
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True)


def _reason(subject: Any, y: Array, right: Array, oracle: Callable[..., Any] | None, where: Place | None) -> str:
    """The simplest explanation of a wrong value."""
    for k, a in enumerate(subject.arrays if oracle is not None else ()):
        for _, words, turn in turns(a.shape):
            arrays = [turn(b[None])[0] if i == k else b for i, b in enumerate(subject.arrays)]
            try:
                other = np.asarray(oracle(*subject.inputs_at(arrays)))  # type: ignore[misc]
            except Exception:  # whatever the oracle raises for other shapes
                continue
            if _close(y, other) and not _close(y, right):
                hint = ": it convolves where the article correlates, or the other way round" if "180" in words else ""
                return f"y is right for {subject.names[k]} {words}{hint}."
    if y.shape != right.shape:
        also = " It is the right one transposed." if _close(y.T, right) else ""
        return f"y has the shape {y.shape}, and the right one has {right.shape}.{also}"
    c = float((right * y).sum() / (right * right).sum())
    if np.isfinite(c) and abs(c) > 1e-9 and _close(y, c * right):
        return "y has the wrong sign." if abs(c + 1) < 1e-6 else f"y is {c:.6g} times the right one."
    if y.size > 1 and np.ptp(y - right) <= 1e-6 * np.abs(right).max():
        return f"y is off by {(y - right).flat[0]:.6g} everywhere: look at the bias."
    i = where or ()
    return f"y is {y[i]:.6g} at {i}, where {right[i]:.6g} is right."
