"""Batch normalisation: sums in float64, everything else in the images' type."""

import numpy as np

from ..interface import Array


@np.errstate(all="ignore")
def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """Two passes: the mean, then the variance about it; sums in float64."""
    over = (0, 2, 3)
    mean = x.mean(over, dtype=np.float64)
    y = x - mean.astype(x.dtype).reshape(-1, 1, 1)
    inv_std = 1 / np.sqrt(np.mean(y * y, over, dtype=np.float64) + eps)
    y *= (weight * inv_std).astype(x.dtype).reshape(-1, 1, 1)
    y += bias.reshape(-1, 1, 1)
    return y, mean.astype(x.dtype), inv_std.astype(x.dtype)


@np.errstate(all="ignore")
def batch_norm_backward(g: Array, x: Array, weight: Array, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """``dx = weight / std (g - Σg / m - x̂ Σ(g x̂) / m)``."""
    over, m = (0, 2, 3), x.size // x.shape[1]
    normal = x - mean.reshape(-1, 1, 1)
    normal *= inv_std.reshape(-1, 1, 1)
    dbias = g.sum(over, dtype=np.float64)
    dweight = np.sum(g * normal, over, dtype=np.float64)
    normal *= (-dweight / m).astype(x.dtype).reshape(-1, 1, 1)
    normal += g
    normal -= (dbias / m).astype(x.dtype).reshape(-1, 1, 1)
    normal *= (weight * inv_std).reshape(-1, 1, 1)
    return normal, dweight.astype(x.dtype), dbias.astype(x.dtype)
