"""Activation functions: from the raw activation z to the activation a."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.tensor import Tensor, as_float, as_tensor, record, unary
from ..checks import one_axis
from ..kernels import current, exponentials
from ..kernels.memory import empty_like
from ..kernels.warnings import without_warnings


def sigmoid(z: Tensor) -> Tensor:
    """``a = σ(z) = 1 / (1 + e^-z)``, between 0 and 1, for every finite and infinite z.

    Rule: `sigmoid_backward`, the article's ``dc_db(z, dc_da) = sigmoid_prime(z) * dc_da``.

    Source: the article, "Feature Map Activation" and "Bias Gradient".

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    return unary("sigmoid", exponentials.sigmoid, as_tensor("sigmoid", z), lambda g, a: sigmoid_backward(g, a))


def sigmoid_backward(g: Tensor, a: Tensor) -> Tensor:
    """The components of ∂C/db, ``g σ'(z) = g a (1 - a)``, in terms of a = σ(z), for which σ' needs no exponential."""
    return record(
        "sigmoid_backward",
        without_warnings(np.multiply, without_warnings(np.multiply, g.data, a.data), 1 - a.data),
        (g, a),
        (lambda v, y: sigmoid_backward(v, a), lambda v, y: v * g * (1 - 2 * a)),
    )


def tanh(z: Tensor) -> Tensor:
    """``a = tanh(z)``. Rule: ``g (1 - a²)``."""
    return unary("tanh", np.tanh, as_tensor("tanh", z), lambda g, a: g * (1 - a * a))


def relu(z: Tensor) -> Tensor:
    """``a = max(z, 0)``; a NaN stays one. Rule: g where a > 0, else 0; the slope at the kink is taken as 0.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    z = as_float(as_tensor("relu", z))
    a = np.maximum(z.data, 0, out=empty_like(z.data))
    return record("relu", a, (z,), (lambda g, y: relu_backward(g, a),))


def relu_backward(g: Tensor, a: NDArray[Any]) -> Tensor:
    """``g`` where ``a > 0``, an exact 0 elsewhere, whatever g is there. Its rule is itself."""
    return record("relu_backward", current().relu_backward(g.data, a), (g,), (lambda v, y: relu_backward(v, a),))


def softmax(z: Tensor, axis: int = -1) -> Tensor:
    """``a_i = e^z_i / sum over j of e^z_j`` along ``axis``: positive, with sum 1.

    Rule: ``a (g - sum(g a))``. The largest z is subtracted first, so that no exponential overflows.
    """
    z = as_float(as_tensor("softmax", z))
    axis = _along("softmax", axis, z)
    return record(
        "softmax",
        np.exp(exponentials.log_softmax(z.data, axis)),
        (z,),
        (lambda g, a: softmax_backward(g, a, axis),),
        axis=axis,
    )


def softmax_backward(g: Tensor, a: Tensor, axis: int = -1) -> Tensor:
    """The rule of `softmax`, in terms of its result a."""
    return a * (g - (g * a).sum(axis, keepdims=True))


def log_softmax(z: Tensor, axis: int = -1) -> Tensor:
    """``log softmax(z)``, computed as ``z - max - log sum e^(z - max)``, so that it neither overflows nor is log 0.

    Rule: ``g - softmax(z) sum(g)``.
    """
    z = as_float(as_tensor("log_softmax", z))
    axis = _along("log_softmax", axis, z)
    return record(
        "log_softmax",
        exponentials.log_softmax(z.data, axis),
        (z,),
        (lambda g, y: g - y.exp() * g.sum(axis, keepdims=True),),
        axis=axis,
    )


def _along(op: str, axis: int, z: Tensor) -> int:
    """A single axis, counted from the front."""
    if not z.ndim:
        raise ValueError(f"{op}: a lone number has no axis to go along {checks.shapes(z=z)}")
    return one_axis(op, axis, z.ndim)
