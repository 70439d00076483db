"""The way back through an activation function that lets numbers pass or not."""

import numpy as np

from ..interface import Array
from ..memory import empty_like, keep_where

_FEW = 1 << 12  # numbers for which one slow pass is quicker than several fast ones


def relu_backward(g: Array, a: Array) -> Array:
    """By a comparison, and by masking bits."""
    is_open = a > 0
    return np.where(is_open, g, g.dtype.type(0)) if g.size < _FEW else keep_where(g, is_open, empty_like(g))
