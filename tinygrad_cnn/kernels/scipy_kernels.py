"""The article's literal calls: one `scipy.signal` call per image and pair of maps.

Slow and plain: what the other kernel sets must agree with, and what a reader of the article recognises.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from .geometry import ConvParams, Pair, PoolParams, map_shape, spatial
from .interface import Array
from .numpy_kernels import batch_norm, batch_norm_backward, relu_backward
from .summation import total

__all__ = [
    "avgpool",
    "avgpool_backward",
    "batch_norm",
    "batch_norm_backward",
    "bias_gradient",
    "convolve2d_full",
    "correlate2d",
    "correlate2d_weight",
    "maxpool",
    "maxpool_gather",
    "maxpool_scatter",
    "relu_backward",
]


@np.errstate(all="ignore")
def correlate2d(x: Array, w: Array, bias: Array | None, params: ConvParams) -> Array:
    """``y[n, f] = sum over c of correlate2d(x[n, c], w[f, c], "valid") + b[f]``."""
    n, f = x.shape[0], w.shape[0]
    y = np.zeros((n, f, *map_shape(spatial(x.shape), spatial(w.shape), params)), x.dtype)
    x = pad(x, params.padding)
    for f_, c, x_channel in links(w.shape, params.groups):
        filter_ = spaced(w[f_, c], params.dilation)
        for i in range(n):
            y[i, f_] += signal.correlate2d(x[i, x_channel], filter_, mode="valid")[
                :: params.stride[0], :: params.stride[1]
            ]
    return y if bias is None else y + bias.reshape(-1, 1, 1)


@np.errstate(all="ignore")
def correlate2d_weight(x: Array, g: Array, params: ConvParams, kernel_shape: Pair) -> Array:
    """``dw[f, c] = sum over n of correlate2d(x[n, c], g[n, f], "valid")``, cropped to the filter."""
    n, channels = x.shape[:2]
    x = pad(x, params.padding)
    dw = np.zeros((g.shape[1], channels // params.groups, *kernel_shape), x.dtype)
    rows, columns = kernel_shape
    for f, c, x_channel in links(dw.shape, params.groups):
        for i in range(n):
            slid = signal.correlate2d(x[i, x_channel], spaced(g[i, f], params.stride), mode="valid")
            dw[f, c] += slid[:: params.dilation[0], :: params.dilation[1]][:rows, :columns]
    return dw


@np.errstate(all="ignore")
def convolve2d_full(g: Array, w: Array, params: ConvParams, image_shape: Pair) -> Array:
    """``dx[n, c] = sum over f of convolve2d(g[n, f], w[f, c], "full")``; pixels outside all windows stay 0."""
    n = g.shape[0]
    (ph, pw), (h, width) = params.padding, image_shape
    dx = np.zeros((n, w.shape[1] * params.groups, h + 2 * ph, width + 2 * pw), g.dtype)
    for f, c, x_channel in links(w.shape, params.groups):
        filter_ = spaced(w[f, c], params.dilation)
        for i in range(n):
            full = signal.convolve2d(spaced(g[i, f], params.stride), filter_, mode="full")
            dx[i, x_channel, : full.shape[0], : full.shape[1]] += full
    return dx[:, :, ph : ph + h, pw : pw + width]


@np.errstate(all="ignore")
def bias_gradient(g: Array) -> Array:
    """``db[f]`` = the sum of map f's gradient."""
    return total(g, (0, 2, 3))


def maxpool(x: Array, params: PoolParams, want_winners: bool) -> tuple[Array, NDArray[np.integer]]:
    """The window's largest value; `numpy.argmax` takes the first among equals, and a NaN over anything."""
    taps = windows(x, params, fill=-np.inf)
    # A padded tap must never win, so it ranks below -inf: argmax over (is a pixel, value), by value where it is one.
    inside = windows(np.ones((1, 1, *x.shape[2:]), bool), params, fill=False)
    winners = np.where((taps == -np.inf).all(-1), np.broadcast_to(inside, taps.shape).argmax(-1), taps.argmax(-1))
    y = np.take_along_axis(taps, winners[..., None], -1)[..., 0]
    return y, winners


@np.errstate(all="ignore")
def maxpool_scatter(g: Array, winners: NDArray[np.integer], params: PoolParams, image_shape: Pair) -> Array:
    """The article's loop: ``dx[position of the maximum] += g``."""
    (n, c, rows, columns), (ph, pw) = g.shape, params.padding
    dx = np.zeros((n, c, image_shape[0] + 2 * ph, image_shape[1] + 2 * pw), g.dtype)
    tap_row, tap_column = np.divmod(winners, params.shape[1])
    for p in range(rows):
        for q in range(columns):
            y = p * params.stride[0] + tap_row[:, :, p, q] * params.dilation[0]
            x = q * params.stride[1] + tap_column[:, :, p, q] * params.dilation[1]
            dx[np.arange(n)[:, None], np.arange(c), y, x] += g[:, :, p, q]
    return dx[:, :, ph : ph + image_shape[0], pw : pw + image_shape[1]]


def maxpool_gather(x: Array, winners: NDArray[np.integer], params: PoolParams) -> Array:
    """The pixel at each winner."""
    return np.take_along_axis(windows(x, params, fill=0), winners[..., None].astype(np.intp), -1)[..., 0]


def avgpool(x: Array, params: PoolParams) -> Array:
    """The mean of each window: a correlation with a filter of equal weights, one channel at a time."""
    n, c = x.shape[:2]
    weights = np.full((1, 1, *params.shape), 1 / np.prod(params.shape), x.dtype)
    maps = correlate2d(x.reshape(n * c, 1, *x.shape[2:]), weights, None, sliding(params))
    return maps.reshape(n, c, *spatial(maps.shape))


def avgpool_backward(g: Array, params: PoolParams, image_shape: Pair) -> Array:
    """Each gradient divided equally among its window: a full convolution with equal weights."""
    n, c = g.shape[:2]
    weights = np.full((1, 1, *params.shape), 1 / np.prod(params.shape), g.dtype)
    images = convolve2d_full(g.reshape(n * c, 1, *spatial(g.shape)), weights, sliding(params), image_shape)
    return images.reshape(n, c, *image_shape)


def links(filters: tuple[int, ...], groups: int) -> list[tuple[int, int, int]]:
    """Every pair of a filter's channel with an image's channel: (filter, its channel, the image's channel)."""
    f, c = filters[:2]
    return [(i, j, i // (f // groups) * c + j) for i in range(f) for j in range(c)]


def spaced(a: Array, step: Pair) -> Array:
    """``a`` with ``step - 1`` zeros between neighbours: a dilated filter, or the gradient of a strided map."""
    if step == (1, 1):
        return a
    out = np.zeros([(size - 1) * s + 1 for size, s in zip(a.shape, step, strict=True)], a.dtype)
    out[:: step[0], :: step[1]] = a
    return out


def pad(x: Array, padding: Pair, fill: float = 0) -> Array:
    """``x`` with ``padding`` rows and columns of ``fill`` on each side."""
    (ph, pw) = padding
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill) if ph or pw else x


def windows(x: Array, params: PoolParams, fill: float) -> Array:
    """Every window's taps, ``(N, C, OH, OW, KH * KW)``."""
    reaches = [d * (k - 1) + 1 for k, d in zip(params.shape, params.dilation, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(pad(x, params.padding, fill), reaches, axis=(2, 3))
    (sh, sw), (dh, dw) = params.stride, params.dilation
    taps = views[:, :, ::sh, ::sw, ::dh, ::dw]
    return taps.reshape(*taps.shape[:4], params.shape[0] * params.shape[1])


def sliding(params: PoolParams) -> ConvParams:
    """The parameters of a pooling window as those of a filter."""
    return ConvParams(params.stride, params.padding, params.dilation)
