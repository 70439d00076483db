# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Batch normalization: a channel is one contiguous run, so both directions are two or three passes over it."""

import numpy as np

from .compiling import compiled
from .workers import tasks


@compiled
def batch_norm(progress, x, weight, bias, eps, y, mean, inv_std):
    """y (C, H W N) with each channel's mean and ``1 / sqrt(variance + eps)``. A task: a channel.

    Sums are in float64, and the variance is that of the centred values: no digits cancel.
    """
    channels, count = x.shape
    for task in tasks(progress.ctypes.data, channels):
        pixels, out = x[task], y[task]
        total = 0.0
        for t in range(count):
            total += np.float64(pixels[t])
        center = total / count
        squares = 0.0
        for t in range(count):
            squares += (pixels[t] - center) ** 2
        scale = 1 / np.sqrt(squares / count + eps)
        mean[task], inv_std[task] = center, scale
        middle, factor, shift = mean[task], inv_std[task] * weight[task], bias[task]
        for t in range(count):
            out[t] = (pixels[t] - middle) * factor + shift
    return channels


@compiled
def batch_norm_backward(progress, g, x, weight, mean, inv_std, dx, dweight, dbias):
    """The gradients for x (C, H W N), weight and bias. A task: a channel.

    ``dx = weight inv_std (g - mean of g - normal * mean of (g * normal))`` with ``normal = (x - mean) inv_std``.
    """
    channels, count = x.shape
    for task in tasks(progress.ctypes.data, channels):
        gradient, pixels, out = g[task], x[task], dx[task]
        middle, scale = mean[task], inv_std[task]
        total = product = 0.0
        for t in range(count):
            total += np.float64(gradient[t])
            product += np.float64(gradient[t]) * (pixels[t] - middle)
        product *= scale
        dbias[task], dweight[task] = total, product
        factor = weight[task] * scale
        offset, slope = x.dtype.type(total / count), x.dtype.type(product / count * scale)
        for t in range(count):
            out[t] = factor * (gradient[t] - offset - (pixels[t] - middle) * slope)
    return channels
