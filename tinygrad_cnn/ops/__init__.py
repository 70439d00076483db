"""The ops: each is one function with its meaning, checks, kernel and named backward rules.

A rule's docstring is the article's sentence, ``dC/dw = formula: reason``; `explain` reads it there. Ops that are
methods or operators of a tensor are attached to it (`autograd.tensor.tensor_method`): importing this package does that.
"""

from . import arithmetic as arithmetic
from . import reduction as reduction
from .activation import gelu, leaky_relu, log_softmax, relu, sigmoid, softmax, tanh
from .convolution import convolve2d, convolve2d_full, correlate2d, correlate2d_weight
from .cost import cross_entropy, quadratic_cost
from .linear import linear, matmul
from .movement import concatenate, pad, stack, where
from .pooling import adaptive_avgpool, avgpool, maxpool
from .regularization import batch_norm, dropout

__all__ = [
    "adaptive_avgpool",
    "avgpool",
    "batch_norm",
    "concatenate",
    "convolve2d",
    "convolve2d_full",
    "correlate2d",
    "correlate2d_weight",
    "cross_entropy",
    "dropout",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "matmul",
    "maxpool",
    "pad",
    "quadratic_cost",
    "relu",
    "sigmoid",
    "softmax",
    "stack",
    "tanh",
    "where",
]
