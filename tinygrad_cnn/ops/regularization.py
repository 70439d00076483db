"""Ops that steady the training: dropout and batch normalisation."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.engine import state
from ..autograd.tensor import Tensor, as_float, as_tensor, record, wrap
from ..checks import abbreviated, flag
from ..kernels import current
from ..kernels.warnings import without_warnings
from . import arguments


def dropout(x: Tensor, p: float = 0.5, *, training: bool = True, rng: np.random.Generator | None = None) -> Tensor:
    """Each number set to 0 with probability ``p``, the others divided by 1 - p, so that the mean stays.

    Rule: the gradient through the same mask.

    Args:
        x: any shape.
        p: between 0 and 1; 1 gives zeros.
        training: False returns x as it is.
        rng: where chance comes from; a fresh generator by default.

    Source: N. Srivastava et al., "Dropout" (JMLR 2014).
    """
    x, p = as_float(as_tensor("dropout", x)), checks.number("dropout", "p", p, 0, 1)
    if not flag("dropout", "training", training) or p == 0:
        return x
    return masked(x, checks.generator("dropout", rng).random(x.shape, np.float32) >= p, p)


def masked(x: Tensor, kept: NDArray[np.bool_], p: float) -> Tensor:
    """``x / (1 - p)`` where it is kept, an exact 0 elsewhere, whatever x is there; its rule is itself."""
    data = np.where(kept, x.data, 0)
    without_warnings(np.multiply, data, 1 / (1 - p) if p < 1 else 0, out=data)
    return record("dropout", data, (x,), (lambda g, y: masked(g, kept, p),), p=p)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel brought to mean 0 and variance 1, then scaled and shifted: ``y = weight x̂ + bias``.

    ``x̂ = (x - mean) / sqrt(var + eps)``, with the batch's own mean and (biased) variance over N, H and W when
    training, and then ``running = (1 - momentum) running + momentum batch`` (of the unbiased variance); with the
    running ones otherwise.

    Rule, with sums over N, H, W and m numbers in each: dC/dbias = Σ g, dC/dweight = Σ g x̂,
    dC/dx = weight / sqrt(var + eps) (g - dC/dbias / m - x̂ dC/dweight / m).

    Args:
        x: images ``(N, C, H, W)``.
        running_mean, running_var: ``(C,)``, edited in place when training; None keeps no record.
        weight, bias: ``(C,)``.

    Raises ValueError for shapes that do not fit, or when training on fewer than two numbers a channel.

    Source: S. Ioffe and C. Szegedy, "Batch Normalization" (2015).
    """
    name = "batch_norm"
    x, eps = arguments.images(name, x), checks.number(name, "eps", eps, 0, math.inf)
    momentum = checks.number(name, "momentum", momentum, 0, 1)
    weight, bias = _of_type(as_tensor(name, weight), x), _of_type(as_tensor(name, bias), x)
    for t in (running_mean, running_var, weight, bias):
        if t is not None and not (isinstance(t, Tensor) and t.dtype.kind == "f"):
            raise TypeError(f"{name}: running statistics must be tensors, float32 or float64, got {abbreviated(t)}")
        if t is not None and t.shape != x.shape[1:2]:
            raise ValueError(f"{name}: one number for each of {x.shape[1]} channels expected, got {t.shape}")
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: running_mean and running_var go together")
    if not flag(name, "training", training):
        if running_mean is None or running_var is None:
            raise ValueError(f"{name}: running_mean and running_var are needed unless training")
        scale = weight / (_of_type(running_var, x) + eps).sqrt()
        shift = bias - _of_type(running_mean, x) * scale
        return x * scale.reshape(-1, 1, 1) + shift.reshape(-1, 1, 1)
    m = x.shape[0] * x.shape[2] * x.shape[3]
    if m < 2:
        raise ValueError(f"{name}: training needs more than one number a channel {checks.shapes(x=x)}")
    y, mean, inv_std = current().batch_norm(x.data, weight.data, bias.data, eps)
    if running_mean is not None and running_var is not None:
        with np.errstate(all="ignore"):
            _follow(running_mean, mean, momentum)
            _follow(running_var, (1 / inv_std**2 - eps) * (m / (m - 1)), momentum)
    rule = _BatchNormRule(x, weight, mean, inv_std, eps)
    return record(
        name,
        y,
        (x, weight, bias),
        (lambda g, y: rule(g, 0), lambda g, y: rule(g, 1), lambda g, y: rule(g, 2)),
        eps=eps,
    )


class _BatchNormRule:
    """The three gradients of `batch_norm`, which share their sums, computed once for each g."""

    def __init__(self, x: Tensor, weight: Tensor, mean: NDArray[Any], inv_std: NDArray[Any], eps: float) -> None:
        self.x, self.weight, self.mean, self.inv_std, self.eps = x, weight, mean, inv_std, eps
        self.g: Tensor | None = None
        self.parts: dict[int, Tensor] = {}

    def __call__(self, g: Tensor, k: int) -> Tensor:
        """Input k's gradient, handed out once: its receiver may edit it."""
        if self.g is not g or k not in self.parts:
            self.g, self.parts = g, dict(enumerate(self.written_out(g) if state.recording else self.compiled(g)))
        return self.parts.pop(k)

    def compiled(self, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By the kernel."""
        dx, dweight, dbias = current().batch_norm_backward(
            g.data, self.x.data, self.weight.data, self.mean, self.inv_std
        )
        return wrap(dx), wrap(dweight), wrap(dbias)

    def written_out(self, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By the formula, on tensors, so that it can be differentiated again."""
        x, over = self.x, (0, 2, 3)
        m = x.size // x.shape[1]
        centred = x - x.mean(over, keepdims=True)
        inv_std = ((centred * centred).mean(over, keepdims=True) + self.eps) ** -0.5
        normal = centred * inv_std
        dbias, dweight = g.sum(over), (g * normal).sum(over)
        mean_g, mean_gx = (t.reshape(-1, 1, 1) * (1 / m) for t in (dbias, dweight))
        dx = self.weight.reshape(-1, 1, 1) * inv_std * (g - mean_g - normal * mean_gx)
        return dx, dweight, dbias


def _of_type(t: Tensor, x: Tensor) -> Tensor:
    return t if t.dtype == x.dtype else t.astype(x.dtype)


def _follow(running: Tensor, batch: NDArray[Any], momentum: float) -> None:
    """Move the running statistic towards the batch's."""
    array = running.writable()
    array *= 1 - momentum
    array += (momentum * batch).astype(array.dtype)
