"""The fully connected layer's op."""

import math

import numpy as np

from .. import checks
from ..autograd.tensor import Tensor, as_tensor, matmul, record, same_float
from ..kernels.memory import empty
from ..kernels.warnings import without_warnings
from . import arguments


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """The raw activation of a fully connected layer: ``z = x wᵀ + b``, the article's ``w a + b`` for a batch of rows.

    Rules: ∂C/da = g w, ∂C/dw = gᵀ x (the article's ``dc_da_prev`` and ``dc_dw``), ∂C/db = the sum of g.

    Args:
        x: ``(..., K)``.
        w: ``(M, K)``: one row of weights for each neuron.
        b: ``(M,)``, or None.

    Raises ValueError when x's last axis is not K long.

    Source: the article's listing, ``FullyConnectedLayer``.

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([0.5]))
    Tensor([[11.5]])
    """
    x, w = same_float(as_tensor("linear", x), as_tensor("linear", w))
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise ValueError(f"linear: the last axis of x must be as long as w's {checks.shapes(x=x, w=w)}")
    z = without_warnings(np.matmul, x.data, w.data.T)
    parts: tuple[Tensor, ...] = (x, w)
    if b is not None:
        b = arguments.bias("linear", "b", b, w, "row of w")
        without_warnings(np.add, z, b.data, out=z)
        parts += (b,)
    return record(
        "linear",
        z,
        parts,
        (
            lambda g, y: matmul(g, w),
            lambda g, y: weight_gradient(_rows(g), _rows(x)),
            lambda g, y: _rows(g).sum(0),
        )[: len(parts)],
    )


def weight_gradient(g: Tensor, x: Tensor) -> Tensor:
    """``gᵀ x``, summed over the batch: the article's ``dc_dw``."""
    dw = without_warnings(np.dot, g.data.T, x.data, empty((g.shape[1], x.shape[1]), g.dtype))
    return record("linear_weight", dw, (g, x), (lambda v, y: linear(x, v), lambda v, y: matmul(g, v)))


def _rows(t: Tensor) -> Tensor:
    """All leading axes as one."""
    return t if t.ndim == 2 else t.reshape(math.prod(t.shape[:-1]), t.shape[-1])
