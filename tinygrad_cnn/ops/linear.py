"""Matrix products: `matmul`, and the fully connected layer's `linear`."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.operands import as_operand, is_operand, same_float
from ..autograd.tensor import Operand, Tensor, as_tensor, record, tensor_method
from ..checks import shapes
from ..kernels.memory import empty
from ..kernels.warnings import without_warnings
from . import arguments
from .arithmetic import in_place


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product ``a @ b``; leading axes are batches and broadcast, a vector counts as one row or column.

    Args:
        a: shape ``(..., M, K)`` or ``(K,)``.
        b: shape ``(..., K, N)`` or ``(K,)``.

    Raises:
        ValueError: the inner lengths differ, batches do not broadcast, or one operand has no axis.

    >>> matmul(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]))
    Tensor([[11.]])
    """
    a, b = same_float(as_tensor("matmul", a), as_tensor("matmul", b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: inner lengths must match {shapes(a=a, b=b)}")
    if a.ndim == 1:
        return matmul(a.reshape(1, -1), b).reshape(*b.shape[:-2], *b.shape[-1:][: b.ndim - 1])
    if b.ndim == 1:
        return matmul(a, b.reshape(-1, 1)).reshape(a.shape[:-1])

    def grad_a(g: Tensor, y: Tensor) -> Tensor:
        """dC/da = dC/dy b^T"""
        return matmul(g, b.swapaxes(-1, -2))

    def grad_b(g: Tensor, y: Tensor) -> Tensor:
        """dC/db = a^T dC/dy"""
        return matmul(a.swapaxes(-1, -2), g)

    try:
        if a.ndim == b.ndim == 2:  # `numpy.dot` has no slow path for a single row or column
            data = without_warnings.run(np.dot, a.data, b.data, empty((a.shape[0], b.shape[1]), a.dtype))
        else:
            data = without_warnings.run(np.matmul, a.data, b.data)
    except ValueError:
        raise ValueError(f"matmul: batches do not broadcast {shapes(a=a, b=b)}") from None
    return record("matmul", data, (a, b), (grad_a, grad_b), kind="linear", formula="y = a b")


@tensor_method("__matmul__")
def _matmul(a: Tensor, b: Operand) -> Tensor:
    return matmul(a, as_operand("matmul", b, a)) if is_operand(b) else NotImplemented


@tensor_method("__rmatmul__")
def _matmul_reversed(b: Tensor, a: Operand) -> Tensor:
    return matmul(as_operand("matmul", a, b), b)


def _matmul_into(a: NDArray[Any], b: NDArray[Any], *, out: NDArray[Any], casting: str) -> None:
    product = np.matmul(a, b)
    if product.shape != out.shape:
        raise ValueError
    out[...] = product


in_place("@=", "__imatmul__", _matmul_into)


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """The raw activation of a fully connected layer: ``z = x wᵀ + b``, the article's ``w a + b`` for a batch of rows.

    Args:
        x: ``(..., K)``.
        w: ``(M, K)``: one row of weights for each neuron.
        b: ``(M,)``, or None.

    Raises:
        ValueError: x's last axis is not K long, or b not M.

    Source: the article's listing, ``FullyConnectedLayer``.

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([0.5]))
    Tensor([[11.5]])
    """
    x, w = same_float(as_tensor("linear", x), as_tensor("linear", w))
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise ValueError(f"linear: the last axis of x must be as long as w's {shapes(x=x, w=w)}")
    z = without_warnings.run(np.matmul, x.data, w.data.T)
    bias = () if b is None else (arguments.bias("linear", "b", b, w, "row of w"),)
    if bias:
        without_warnings.run(np.add, z, bias[0].data, out=z)

    def grad_a(g: Tensor, z: Tensor) -> Tensor:
        """dC/da^{L-1} = w^T dC/dz: each neuron hands its dC/dz back along its weights"""
        return matmul(g, w)  # a batch is rows here, where the article has one column

    def grad_w(g: Tensor, z: Tensor) -> Tensor:
        """dC/dw = dC/dz (a^{L-1})^T: a weight's gradient is its input times its neuron's dC/dz"""
        return linear_weight(_rows(g), _rows(x))

    def grad_b(g: Tensor, z: Tensor) -> Tensor:
        """dC/db = dC/dz: summed over the batch"""
        return _rows(g).sum(0)

    rules = (grad_a, grad_w, grad_b)[: 2 + len(bias)]
    formula = "z = w a^{L-1} + b" if bias else "z = w a^{L-1}"
    return record("linear", z, (x, w, *bias), rules, kind="linear", formula=formula)


def linear_weight(g: Tensor, x: Tensor) -> Tensor:
    """``gᵀ x``, summed over the batch: the weight gradient of `linear`, the article's ``dc_dw``."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = a (dC/dw')^T"""
        return linear(x, v)

    def grad_a(v: Tensor, y: Tensor) -> Tensor:
        """dC/da = g dC/dw'"""
        return matmul(g, v)

    dw = without_warnings.run(np.dot, g.data.T, x.data, empty((g.shape[1], x.shape[1]), g.dtype))
    return record("linear_weight", dw, (g, x), (grad_g, grad_a), kind="linear", formula="w' = g^T a")


def _rows(t: Tensor) -> Tensor:
    """All leading axes as one."""
    return t if t.ndim == 2 else t.reshape(math.prod(t.shape[:-1]), t.shape[-1])
