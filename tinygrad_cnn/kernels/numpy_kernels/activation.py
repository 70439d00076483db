"""The rule of ReLU."""

import numpy as np

from ..interface import Array
from ..memory import empty_like, keep_where

_ONE_PASS_SIZE = 1 << 12  # numbers below which one slow pass is quicker than several fast ones


def relu_backward(g: Array, a: Array) -> Array:
    """By a comparison and a mask on the bits."""
    is_open = a > 0
    return np.where(is_open, g, g.dtype.type(0)) if g.size < _ONE_PASS_SIZE else keep_where(g, is_open, empty_like(g))
