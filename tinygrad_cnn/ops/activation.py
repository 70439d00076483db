"""Activation functions: from the raw activation z to the activation a."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import one_axis, shapes
from ..kernels import current, exponentials
from ..kernels.memory import empty_like
from ..kernels.warnings import without_warnings
from .arithmetic import unary


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


def softmax(z: Tensor, axis: int = -1) -> Tensor:
    """``a_i = e^z_i / sum over j of e^z_j`` along ``axis``: positive, with sum 1.

    The largest z is subtracted first, so that no exponential overflows.
    """
    z = as_float(as_tensor("softmax", z))
    axis = _softmax_axis("softmax", axis, z)

    def grad_z(g: Tensor, a: Tensor) -> Tensor:
        """dC/dz = a * (dC/da - sum(dC/da * a))"""
        return softmax_backward(g, a, axis)

    a = np.exp(exponentials.log_softmax(z.data, axis))
    return record("softmax", a, (z,), (grad_z,), kind="activation", formula="a = e^z / sum(e^z)", axis=axis)


def softmax_backward(g: Tensor, a: Tensor, axis: int = -1) -> Tensor:
    """``a (g - sum(g a))``: the rule of `softmax`, in terms of its result a."""
    return a * (g - (g * a).sum(axis, keepdims=True))


def log_softmax(z: Tensor, axis: int = -1) -> Tensor:
    """``log softmax(z)``, computed as ``z - max - log sum e^(z - max)``, so that it neither overflows nor is log 0."""
    z = as_float(as_tensor("log_softmax", z))
    axis = _softmax_axis("log_softmax", axis, z)

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = dC/dy - softmax(z) * sum(dC/dy)"""
        return g - y.exp() * g.sum(axis, keepdims=True)

    y = exponentials.log_softmax(z.data, axis)
    return record("log_softmax", y, (z,), (grad_z,), kind="activation", formula="y = log softmax(z)", axis=axis)


def _softmax_axis(op: str, axis: int, z: Tensor) -> int:
    if not z.ndim:
        raise ValueError(f"{op}: a single number has no axis to go along {shapes(z=z)}")
    return one_axis(op, axis, z.ndim)
