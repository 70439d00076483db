"""Activation functions of ONNX, and dropout."""

import math
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, Value, as_tensor, axis_of, number, numbers_of, to_value
from . import elementwise
from .elementwise import negative_part


@reader("Relu")
def relu(x: Value) -> Value:
    """max(x, 0)."""
    return ops.relu(x) if isinstance(x, Tensor) else np.maximum(x, 0)


@reader("Sigmoid")
def sigmoid(x: Tensor) -> Value:
    """1 / (1 + e^-x)."""
    return ops.sigmoid(x)


@reader("Tanh")
def tanh(x: Tensor) -> Value:
    """The hyperbolic tangent."""
    return ops.tanh(x)


@reader("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Value:
    """x where it is positive, else alpha x."""
    return ops.leaky_relu(x, alpha)


@reader("PRelu")
def prelu(x: Value, slope: Value) -> Value:
    """x where it is positive, else slope x; a slope for each channel has the channels first."""
    if not isinstance(x, Tensor):
        return np.where(x < 0, x * numbers_of(slope), x).astype(x.dtype)
    slope = as_tensor(slope)
    if slope.ndim == 1 and x.ndim > 2 and slope.shape[0] == x.shape[1] and slope.shape[0] not in (1, x.shape[-1]):
        slope = slope.reshape(-1, *(1,) * (x.ndim - 2))
    return ops.relu(x) + negative_part(x) * slope


@reader("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Value:
    """x where it is above alpha, else 0."""
    return ops.where(x.data > alpha, x, x * 0)


@reader("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Value:
    """x where it is positive, else alpha (e^x - 1)."""
    return ops.relu(x) + (negative_part(x).exp() - 1) * alpha


@reader("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Value:
    """x where it is positive, else alpha (e^(x / alpha) - 1)."""
    return ops.relu(x) + ((negative_part(x) / alpha).exp() - 1) * alpha


@reader("Selu")
def selu(x: Tensor, *, alpha: float | None = None, gamma: float | None = None, opset: int) -> Value:
    """gamma times `elu`; the constants of operator sets below 6 have fewer digits."""
    alpha = (1.67326319217681884765625 if opset >= 6 else 1.6732) if alpha is None else alpha
    gamma = (1.05070102214813232421875 if opset >= 6 else 1.0507) if gamma is None else gamma
    return (ops.relu(x) + (negative_part(x).exp() - 1) * alpha) * gamma


@reader("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    """alpha x + beta between 0 and 1."""
    return (x * alpha + beta).clip(0.0, 1.0)


@reader("HardSwish")
def hard_swish(x: Tensor) -> Value:
    """x times `hard_sigmoid` of slope 1/6."""
    return x * (x * (1 / 6) + 0.5).clip(0.0, 1.0)


@reader("Softplus")
def softplus(x: Tensor) -> Value:
    """log(1 + e^x)."""
    return elementwise.softplus(x)


@reader("Softsign")
def softsign(x: Tensor) -> Value:
    """x / (1 + |x|)."""
    return x / (x.abs() + 1)


@reader("Mish")
def mish(x: Tensor) -> Value:
    """x tanh(softplus(x))."""
    return x * ops.tanh(elementwise.softplus(x))


@reader("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Value:
    """x sigmoid(alpha x)."""
    return x * ops.sigmoid(x * alpha)


@reader("Gelu", allowed={"approximate": ("none", "tanh")})
def gelu(x: Tensor, *, approximate: str = "none") -> Value:
    """x times the normal distribution function at x, or Hendrycks and Gimpel's approximation of it by tanh (2016)."""
    return ops.gelu(x, approximate)


@reader("SwiGLU")
def swiglu(gate: Tensor, x: Tensor, *, alpha: float = 1.0) -> Value:
    """The swish of a gate times x."""
    return gate * ops.sigmoid(gate * alpha) * x


@reader("Shrink")
def shrink(x: Value, *, bias: float = 0.0, lambd: float = 0.5) -> Value:
    """x + bias below -lambd, x - bias above lambd, else 0."""
    a = numbers_of(x)
    if not isinstance(x, Tensor):
        return np.where(a < -lambd, a + bias, np.where(a > lambd, a - bias, 0)).astype(a.dtype)
    inside: Array = (np.abs(a) > lambd) | np.isnan(a)
    return ops.where(inside, x - np.sign(a) * a.dtype.type(bias), x * 0)


def _rows(x: Tensor, axis: int | None, opset: int) -> tuple[Tensor, int]:
    """Return x as softmax reads it, and the axis: below operator set 13 all axes from ``axis`` on count as one."""
    if opset >= 13:
        return x, axis_of(-1 if axis is None else axis, x.ndim)
    first = axis_of(1 if axis is None else axis, x.ndim) if axis != x.ndim else x.ndim
    if first == x.ndim - 1:
        return x, first
    return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:])), 1


@reader("Softmax")
def softmax(x: Tensor, *, axis: int | None = None, opset: int) -> Value:
    """e^x / sum(e^x)."""
    rows, axis = _rows(x, axis, opset)
    y = ops.softmax(rows, axis)
    return y if rows is x else y.reshape(x.shape)


@reader("LogSoftmax")
def log_softmax(x: Tensor, *, axis: int | None = None, opset: int) -> Value:
    """log softmax(x)."""
    rows, axis = _rows(x, axis, opset)
    y = ops.log_softmax(rows, axis)
    return y if rows is x else y.reshape(x.shape)


@reader("Hardmax")
def hardmax(x: Tensor, *, axis: int | None = None, opset: int) -> Value:
    """1 at the first of the largest, else 0."""
    rows, axis = _rows(x, axis, opset)
    y = np.zeros_like(rows.data)
    np.put_along_axis(y, np.expand_dims(rows.data.argmax(axis), axis), 1, axis)
    return to_value(y.reshape(x.shape))


@reader("Dropout", outputs=2)
def dropout(
    x: Value, ratio: Any = 0.5, training_mode: Any = None, *, seed: int = 0, is_test: int = 1, outputs: int
) -> Any:
    """x: a network that was read drops numbers in training mode only, where its `Dropout` layer does."""
    return (x, np.ones(x.shape, bool))[:outputs] if outputs > 1 else x


@reader("LpNormalization", allowed={"p": (1, 2)})
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Value:
    """x over its norm along the axis; 0 where the norm is."""
    norm = x.abs().sum(axis, True) if p == 1 else (x * x).sum(axis, True).sqrt()
    zero = norm.data == 0
    return x / (norm + zero.astype(x.dtype)) if zero.any() else x / norm


@reader("Binarizer")
def binarizer(x: Value, *, threshold: float = 0.0) -> Value:
    """1 where x is above the threshold, else 0."""
    above = (numbers_of(x) > number(threshold)).astype(numbers_of(x).dtype)
    return to_value(above)
