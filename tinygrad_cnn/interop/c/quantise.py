"""A plan's steps on bytes: per-channel weights, and the multipliers and shifts that bring sums back to bytes.

A byte q stands for the number ``scale (q - zero)``; weights have zero 0 and a scale for each filter. A sum of products
is an integer of 32 bits, and ``multiplier / 2^shift`` the ratio of its scale to that of the result (B. Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018). Weights are
rounded without training; what that adds to a neuron on average is taken from its bias (M. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", 2019).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .calibrate import LEVELS, Range
from .fold import SLIDING
from .plan import CALLER, Plan, Step
from .tables import FUNCTIONS, table

LOWEST, HIGHEST = -128, 127
_MOST_WEIGHT = 127
_MOST_BIAS = 2**29
_SOFTMAX_SCALE = 1 / 256

_SAME_SCALE = "concatenate", "gather", "larger", "maxpool", "pad", "rearrange", "reduce_max", "reduce_min", "smaller"
"""Functions whose result has the scale of what they read."""
_CLIPPING = "clip", "relu"
"""Functions that do no more than the ends of a range do."""
_SCORES = "avgpool", "correlate2d", "fully_connected", "sum"
"""Functions that can write floats."""
_AFTER_SCORES = {*FUNCTIONS, "clip", "log_softmax", "relu", "shares", "softmax"}
"""Functions that are applied to the scores themselves, in floats."""


class Scale(NamedTuple):
    """The numbers that bytes stand for: ``scale * (byte - zero)``."""

    scale: float
    zero: int
