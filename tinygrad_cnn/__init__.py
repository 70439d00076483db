"""tinygrad_cnn: an autograd micro-framework for convolutional networks on NumPy and SciPy."""

from . import article, data, distributed, nn, optim
from .gradcheck import GradcheckError, gradcheck
from .graph import AnomalyError, GraphError, detect_anomaly, enable_grad, no_grad
from .kernels import get_kernels, set_kernels
from .ops import (
    avgpool,
    batch_norm,
    concatenate,
    convolve2d,
    convolve2d_full,
    correlate2d,
    correlate2d_weight,
    cross_entropy,
    dropout,
    linear,
    log_softmax,
    maxpool,
    pad,
    quadratic_cost,
    relu,
    sigmoid,
    softmax,
    tanh,
    where,
)
from .tensor import Tensor, grad, matmul, record

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "GradcheckError",
    "GraphError",
    "Tensor",
    "article",
    "avgpool",
    "batch_norm",
    "concatenate",
    "convolve2d",
    "convolve2d_full",
    "correlate2d",
    "correlate2d_weight",
    "cross_entropy",
    "data",
    "detect_anomaly",
    "distributed",
    "dropout",
    "enable_grad",
    "get_kernels",
    "grad",
    "gradcheck",
    "linear",
    "log_softmax",
    "matmul",
    "maxpool",
    "nn",
    "no_grad",
    "optim",
    "pad",
    "quadratic_cost",
    "record",
    "relu",
    "set_kernels",
    "sigmoid",
    "softmax",
    "tanh",
    "where",
]
