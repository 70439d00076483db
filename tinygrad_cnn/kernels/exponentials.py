"""Sigmoid and softmax on arrays, without overflow to a wrong number; for all kernel sets."""

import numpy as np

from .interface import Array
from .summation import total


def sigmoid(z: Array) -> Array:
    """``1 / (1 + e^-z)``."""
    a: Array = np.asarray(np.exp(-z))  # an infinity for very negative z, and 1 / (1 + inf) is the right 0
    a += 1
    np.divide(1, a, out=a)
    return a


def log_softmax(z: Array, axis: int) -> Array:
    """``z - max - log sum e^(z - max)``; NaN where infinite numbers have no result."""
    with np.errstate(all="ignore"):
        shifted = z - np.maximum.reduce(z, axis=axis, keepdims=True, initial=-np.inf)
        return shifted - np.log(total(np.exp(shifted), (axis,), keepdims=True))
