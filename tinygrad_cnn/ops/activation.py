"""Activation functions: from the raw activation z to the activation a."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import Default, abbreviated, axis_or_dim, number, one_axis, shapes
from ..kernels import current, exponentials
from ..kernels.memory import empty_like
from ..kernels.warnings import without_warnings
from .arithmetic import error_function, unary

_SQRT_2 = math.sqrt(2)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715  # of the approximation by tanh


def sigmoid(z: Tensor) -> Tensor:
    """``a = σ(z) = 1 / (1 + e^-z)``, between 0 and 1, for every finite and infinite z.

    Source: the article, "Feature Map Activation" and "Bias Gradient" (``dc_db(z, dc_da)``).

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """

    def grad_z(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = dC/da * sigmoid'(z) = dC/da * a * (1 - a): the components of dC/db, one a neuron"""
        return sigmoid_backward(g, a)

    z = as_float(as_tensor("sigmoid", z))
    return unary("sigmoid", exponentials.sigmoid, z, grad_z, formula="a = sigmoid(z)", kind="activation")


def sigmoid_backward(g: Tensor, a: Tensor) -> Tensor:
    """``g σ'(z) = g a (1 - a)``, in terms of a = σ(z): σ' then needs no exponential."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/dy * a * (1 - a)"""
        return sigmoid_backward(v, a)

    def grad_a(v: Tensor, y: Tensor) -> Tensor:
        """dC/da = dC/dy * g * (1 - 2 a)"""
        return v * g * (1 - 2 * a)

    data = without_warnings.run(np.multiply, without_warnings.run(np.multiply, g.data, a.data), 1 - a.data)
    return record("sigmoid_backward", data, (g, a), (grad_g, grad_a), kind="arithmetic", formula="y = g * a * (1 - a)")


def tanh(z: Tensor) -> Tensor:
    """``a = tanh(z)``, between -1 and 1."""

    def grad_z(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = dC/da * (1 - a^2): the components of dC/db"""
        return g * (1 - a * a)

    return unary("tanh", np.tanh, as_float(as_tensor("tanh", z)), grad_z, formula="a = tanh(z)", kind="activation")


def relu(z: Tensor) -> Tensor:
    """``a = max(z, 0)``; a NaN stays one. The slope at the kink is taken as 0.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    z = as_float(as_tensor("relu", z))
    a = np.maximum(z.data, 0, out=empty_like(z.data))

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = dC/da where a > 0, else 0: the components of dC/db"""
        return relu_backward(g, a)

    return record("relu", a, (z,), (grad_z,), kind="activation", formula="a = max(z, 0)")


def relu_backward(g: Tensor, a: NDArray[Any]) -> Tensor:
    """``g`` where ``a > 0``, an exact 0 elsewhere, even if g is NaN there."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/dy where a > 0, else 0"""
        return relu_backward(v, a)

    data = current().relu_backward(g.data, a)
    return record("relu_backward", data, (g,), (grad_g,), kind="arithmetic", formula="y = g where a > 0, else 0")


def leaky_relu(z: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``a = z`` where z > 0, else ``negative_slope * z``; a NaN stays one. The slope at the kink is the negative one.

    Source: A. Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).

    >>> leaky_relu(Tensor([-1.0, 2.0]), 0.1)
    Tensor([-0.1,  2. ])
    """
    z, slope = as_float(as_tensor("leaky_relu", z)), number("leaky_relu", "negative_slope", negative_slope)
    is_open = z.data > 0

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = dC/da where z > 0, else slope * dC/da: the components of dC/db"""
        return leaky_relu_backward(g, is_open, slope)

    formula = "a = z where z > 0, else slope * z"
    a = _leaky(z.data, is_open, slope)
    return record("leaky_relu", a, (z,), (grad_z,), kind="activation", formula=formula, negative_slope=slope)


def leaky_relu_backward(g: Tensor, is_open: NDArray[np.bool_], slope: float) -> Tensor:
    """``g`` where the gate is open, ``slope * g`` elsewhere."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/dy where the gate is open, else slope * dC/dy"""
        return leaky_relu_backward(v, is_open, slope)

    data, formula = _leaky(g.data, is_open, slope), "y = g where the gate is open, else slope * g"
    return record("leaky_relu_backward", data, (g,), (grad_g,), kind="arithmetic", formula=formula)


def _leaky(z: NDArray[Any], is_open: NDArray[np.bool_], slope: float) -> NDArray[Any]:
    return np.where(is_open, z, without_warnings.run(np.multiply, z, slope))


def gelu(z: Tensor, approximate: str = "none") -> Tensor:
    """``a = z Φ(z)``, z times the share of a standard normal distribution below it: a smooth `relu`.

    Args:
        z: any shape.
        approximate: "none" takes ``Φ(z) = (1 + erf(z / √2)) / 2``; "tanh" the near
            ``(1 + tanh(√(2/π) (z + 0.044715 z³))) / 2``.

    Source: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units" (2016).

    >>> gelu(Tensor([0.0, 1.0]))
    Tensor([0.       , 0.8413447])
    """
    z = as_float(as_tensor("gelu", z))
    if not isinstance(approximate, str) or approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {abbreviated(approximate)}")

    def grad_exact(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = dC/da * (P(z) + z p(z)): the components of dC/db, with the normal distribution's integral P and
        density p
        """
        below = ((z / _SQRT_2).erf() + 1) * 0.5
        return g * (below + z * (z * z * -0.5).exp() * (1 / math.sqrt(2 * math.pi)))

    def grad_tanh(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = dC/da * (1 + t + z (1 - t^2) u') / 2: the components of dC/db, with t = tanh(u),
        u = sqrt(2/pi) (z + 0.044715 z^3) and its slope u'
        """
        squared = z * z
        t = tanh((z + squared * z * _CUBIC) * _SQRT_2_OVER_PI)
        slope = (squared * (3 * _CUBIC) + 1) * _SQRT_2_OVER_PI
        return g * ((t + 1 + z * (1 - t * t) * slope) * 0.5)

    with np.errstate(all="ignore"):
        if approximate == "none":
            share = error_function(z.data / _SQRT_2) + 1
        else:
            share = np.tanh((z.data + z.data * z.data * z.data * _CUBIC) * _SQRT_2_OVER_PI) + 1
        a = z.data * share * 0.5
    rule, formula = (
        (grad_exact, "a = z (1 + erf(z / sqrt(2))) / 2")
        if approximate == "none"
        else (grad_tanh, "a = z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2")
    )
    return record("gelu", a, (z,), (rule,), kind="activation", formula=formula, approximate=approximate)


def softmax(z: Tensor, axis: int = Default(-1), *, dim: int | None = None) -> Tensor:
    """``a_i = e^z_i / sum over j of e^z_j`` along ``axis``, in PyTorch's words ``dim``: positive, with sum 1.

    The largest z is subtracted first, so that no exponential overflows.
    """
    z = as_float(as_tensor("softmax", z))
    axis = _softmax_axis("softmax", axis_or_dim("softmax", axis, dim), z)

    def grad_z(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = a * (dC/da - sum(dC/da * a))"""
        return softmax_backward(g, a, axis)

    a = np.exp(exponentials.log_softmax(z.data, axis))
    return record("softmax", a, (z,), (grad_z,), kind="activation", formula="a = e^z / sum(e^z)", axis=axis)


def softmax_backward(g: Tensor, a: Tensor, axis: int = -1) -> Tensor:
    """``a (g - sum(g a))``: the rule of `softmax`, in terms of its result a."""
    return a * (g - (g * a).sum(axis, keepdims=True))


def log_softmax(z: Tensor, axis: int = Default(-1), *, dim: int | None = None) -> Tensor:
    """``log softmax(z)``, computed as ``z - max - log sum e^(z - max)``, so that it neither overflows nor is log 0."""
    z = as_float(as_tensor("log_softmax", z))
    axis = _softmax_axis("log_softmax", axis_or_dim("log_softmax", axis, dim), z)

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = dC/dy - softmax(z) * sum(dC/dy)"""
        return g - y.exp() * g.sum(axis, keepdims=True)

    y = exponentials.log_softmax(z.data, axis)
    return record("log_softmax", y, (z,), (grad_z,), kind="activation", formula="y = log softmax(z)", axis=axis)


def _softmax_axis(op: str, axis: int, z: Tensor) -> int:
    if not z.ndim:
        raise ValueError(f"{op}: a single number has no axis to go along {shapes(z=z)}")
    return one_axis(op, axis, z.ndim)
