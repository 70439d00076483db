"""The ops: what each means, its checks, its kernel and its rules, side by side."""

from .activation import log_softmax, relu, sigmoid, softmax, tanh
from .convolution import convolve2d, convolve2d_full, correlate2d, correlate2d_weight
from .cost import cross_entropy, quadratic_cost
from .linear import linear
from .pooling import avgpool, maxpool
from .regularization import batch_norm, dropout
from .shape import concatenate, pad, where

__all__ = [
    "avgpool",
    "batch_norm",
    "concatenate",
    "convolve2d",
    "convolve2d_full",
    "correlate2d",
    "correlate2d_weight",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "maxpool",
    "pad",
    "quadratic_cost",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "where",
]
