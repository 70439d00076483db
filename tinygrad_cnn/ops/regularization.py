"""Dropout and batch normalisation."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import state
from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor, record, wrap
from ..checks import abbreviated, flag, generator, number, shapes
from ..kernels import current
from ..kernels.warnings import without_warnings

Rows = tuple[slice, int]
"""The rows that a tensor holds of a batch, and how many the batch has."""


def dropout(
    x: Tensor,
    p: float = 0.5,
    *,
    training: bool = True,
    rng: np.random.Generator | None = None,
    rows: Rows | None = None,
) -> Tensor:
    """Each element set to 0 with probability ``p``, the others divided by 1 - p, so that the mean stays.

    Args:
        x: any shape.
        p: between 0 and 1; 1 gives zeros.
        training: False returns x as it is.
        rng: random generator of the mask; a fresh one by default.
        rows: the rows of a batch that x holds, and how many the batch has: the mask is those rows of the batch's mask.
            All of the batch by default.

    Source: N. Srivastava et al., "Dropout" (JMLR 2014).
    """
    x, p = as_float(as_tensor("dropout", x)), number("dropout", "p", p, 0, 1)
    if not flag("dropout", "training", training) or p == 0:
        return x
    rng = generator("dropout", rng)
    if rows is None:
        return _masked(x, rng.random(x.shape, np.float32) >= p, p)
    part, count = rows
    if x.shape[:1] != (part.stop - part.start,):
        raise ValueError(f"dropout: x must have rows {part.start} to {part.stop} of {count} {shapes(x=x)}")
    return _masked(x, rng.random((count, *x.shape[1:]), np.float32)[part] >= p, p)


def _masked(x: Tensor, mask: NDArray[np.bool_], p: float) -> Tensor:
    """``x / (1 - p)`` where the mask is True, an exact 0 elsewhere, even if x is NaN there."""

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = dC/da times the same mask"""
        return _masked(g, mask, p)

    data = np.where(mask, x.data, 0)
    without_warnings.run(np.multiply, data, 1 / (1 - p) if p < 1 else 0, out=data)
    formula = "a = z times a random mask"
    return record("dropout", data, (x,), (grad_z,), kind="regularization", formula=formula, p=p)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel brought to mean 0 and variance 1, then scaled and shifted: ``y = weight x̂ + bias``.

    ``x̂ = (x - mean) / sqrt(var + eps)``, when training with the batch's own mean and (biased) variance over all axes
    but the channels', and then ``running = (1 - momentum) running + momentum batch`` (of the unbiased variance);
    otherwise with the running ones.

    Args:
        x: images ``(N, C, H, W)``, rows ``(N, C)``, or any ``(N, C, ...)``.
        running_mean, running_var: ``(C,)``, updated in place when training; None for no running statistics.
        weight, bias: ``(C,)``, or None for 1 and 0.

    Raises:
        ValueError: shapes that do not fit, or training on fewer than two numbers a channel.

    Source: S. Ioffe and C. Szegedy, "Batch Normalization" (2015).
    """
    name = "batch_norm"
    x, eps = as_float(as_tensor(name, x)), number(name, "eps", eps, 0, math.inf)
    if x.ndim < 2:
        raise ValueError(f"{name}: x must be (N, C, H, W), (N, C) or (N, C, ...) {shapes(x=x)}")
    momentum = number(name, "momentum", momentum, 0, 1)
    channels = x.shape[1]
    weight = wrap(np.ones(channels, x.dtype)) if weight is None else _in_type_of(x, as_tensor(name, weight))
    bias = wrap(np.zeros(channels, x.dtype)) if bias is None else _in_type_of(x, as_tensor(name, bias))
    for t in (running_mean, running_var, weight, bias):
        if t is not None and not (isinstance(t, Tensor) and t.dtype.kind == "f"):
            raise TypeError(f"{name}: running statistics must be tensors, float32 or float64, got {abbreviated(t)}")
        if t is not None and t.shape != (channels,):
            raise ValueError(f"{name}: one number for each of {channels} channels expected, got {t.shape}")
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: running_mean and running_var go together")
    column = (-1, *(1,) * (x.ndim - 2))
    if not flag(name, "training", training):
        if running_mean is None or running_var is None:
            raise ValueError(f"{name}: running_mean and running_var are needed unless training")
        scale = weight / (_in_type_of(x, running_var) + eps).sqrt()
        shift = bias - _in_type_of(x, running_mean) * scale
        return x * scale.reshape(column) + shift.reshape(column)
    m = x.size // channels if channels else 0
    if m < 2:
        raise ValueError(f"{name}: training needs more than one number a channel {shapes(x=x)}")
    images = x if x.ndim == 4 else x.reshape(x.shape[0], channels, -1, 1)
    y, mean, inv_std = _batch_norm(images, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with np.errstate(all="ignore"):
            _update_average(running_mean, mean, momentum)
            _update_average(running_var, (1 / inv_std**2 - eps) * (m / (m - 1)), momentum)
    return y if x.ndim == 4 else y.reshape(x.shape)


def _batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, NDArray[Any], NDArray[Any]]:
    """The training form of `batch_norm`; returns also the batch's mean and ``1 / sqrt(var + eps)``, ``(C,)`` each."""
    y, mean, inv_std = current().batch_norm(x.data, weight.data, bias.data, eps)

    def grads(g: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """dC/dx = w / sqrt(var + eps) * (dC/dy - its mean - x^ * the mean of dC/dy x^): x^ is the normalised x; the
        means are the batch's
        dC/dw = the sum of dC/dy x^
        dC/db = the sum of dC/dy
        """
        if state.recording:
            return _batch_norm_gradients(g, x, weight, eps)
        dx, dweight, dbias = current().batch_norm_backward(g.data, x.data, weight.data, mean, inv_std)
        return wrap(dx), wrap(dweight), wrap(dbias)

    formula = "y = w (x - mean) / sqrt(var + eps) + b"
    out = record("batch_norm", y, (x, weight, bias), grads, kind="normalization", formula=formula, eps=eps)
    return out, mean, inv_std


def _batch_norm_gradients(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `batch_norm` by their formulas, on tensors, so that they can be differentiated again."""
    axes = (0, 2, 3)
    m = x.size // x.shape[1]
    centred = x - x.mean(axes, keepdims=True)
    inv_std = ((centred * centred).mean(axes, keepdims=True) + eps) ** -0.5
    normal = centred * inv_std
    dbias, dweight = g.sum(axes), (g * normal).sum(axes)
    mean_g, mean_gx = (t.reshape(-1, 1, 1) * (1 / m) for t in (dbias, dweight))
    dx = weight.reshape(-1, 1, 1) * inv_std * (g - mean_g - normal * mean_gx)
    return dx, dweight, dbias


def _in_type_of(x: Tensor, t: Tensor) -> Tensor:
    return t if t.dtype == x.dtype else t.astype(x.dtype)


def _update_average(running: Tensor, batch: NDArray[Any], momentum: float) -> None:
    """``running = (1 - momentum) running + momentum batch``, in place."""
    array = running.writable()
    array *= 1 - momentum
    array += (momentum * batch).astype(array.dtype)
