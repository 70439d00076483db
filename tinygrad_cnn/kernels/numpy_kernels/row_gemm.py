"""Convolution a row at a time: the taps along rows need no copy.

Images lie batch innermost, ``(C, H, W, N)`` in memory. Copy the taps of a window along *columns* only,

    B[y, c, j, q N + n] = x[n, c, y, q s + j d]        shape (H, C, KW, OW N),

and KH neighbouring rows of B are, as they lie in memory, one matrix of ``KH C KW`` taps by ``OW N`` places. So each row
of a feature map is one matrix product with the filters, and B is KW times the image instead of KH KW times.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import threads
from ..geometry import ConvParams, Pair
from ..interface import Array
from ..memory import batch_innermost, empty, zeros
from .taps import overlap


def correlate2d(y: Array, x: Array, w: Array, params: ConvParams) -> None:
    """Fill maps y ``(F, OH, OW, N)``: filters ``(F, KH C KW)`` with windows ``(KH C KW, OW N)``, for each row."""
    windows = row_windows(unroll_columns(x, w.shape[3], y.shape[2], params), w.shape[2], y.shape[1], params)
    products(filter_matrix(w, params.groups), windows, as_rows(y, params.groups))


def correlate2d_weight(x: Array, g: Array, params: ConvParams, kernel: Pair) -> Array:
    """The same windows, weighted by the gradient of their pixel and summed over pixels, images and rows."""
    f, rows, columns = g.shape[:3]
    windows = row_windows(unroll_columns(x, kernel[1], columns, params), kernel[0], rows, params)
    maps = as_rows(g, params.groups)
    apart = empty((*maps.shape[:3], windows.shape[2]), g.dtype)
    products(maps, windows.transpose(0, 1, 3, 2), apart)
    dw: Array = apart.sum(axis=1)
    return dw.reshape(f, kernel[0], x.shape[1] // params.groups, kernel[1]).transpose(0, 2, 1, 3)


def convolve2d_full(dx: Array, g: Array, w: Array, params: ConvParams) -> None:
    """Every row of images dx ``(C, H, W, N)`` sums over the KH rows of maps with windows on it, then folds KW taps."""
    fold_columns(dx, taps_gradient(g, w, params, dx.shape[1]), params)


def unroll_columns(x: Array, taps: int, columns: int, params: ConvParams) -> Array:
    """``B[group, y, c, j, q, n] = x[n, c, y, q s + j d]`` over rows with their padding, zeros beyond the border."""
    n, channels, height, width = x.shape
    (ph, pw), (_, s), (_, d) = params.padding, params.stride, params.dilation
    shape = (params.groups, height + 2 * ph, channels // params.groups, taps, columns, n)
    unrolled = (zeros if ph or pw else empty)(shape, x.dtype)
    inner = unrolled[:, ph : ph + height]
    images = batch_innermost(x).reshape(params.groups, -1, height, width, n).transpose(0, 2, 1, 3, 4)
    for j in range(taps):
        on_map, on_image = overlap(columns, width, s, j * d - pw)
        inner[:, :, :, j, on_map] = images[:, :, :, on_image]
    return unrolled


def fold_columns(dx: Array, unrolled: Array, params: ConvParams) -> None:
    """The transpose of `unroll_columns`: adds each tap back where it was read."""
    channels, height, width, n = dx.shape
    groups, _, _, taps, columns, _ = unrolled.shape
    images = dx.reshape(groups, channels // groups, height, width, n).transpose(0, 2, 1, 3, 4)
    for j in range(taps):
        on_map, on_image = overlap(columns, width, params.stride[1], j * params.dilation[1] - params.padding[1])
        images[:, :, :, on_image] += unrolled[:, :, :, j, on_map]


def row_windows(unrolled: Array, taps: int, rows: int, params: ConvParams) -> Array:
    """KH rows of ``B`` for each row of the map, ``(G, OH, KH C KW, OW N)``: a view, unless rows are dilated."""
    groups, _, channels, kw, columns, n = unrolled.shape
    group, row, *_ = unrolled.strides
    shape = (groups, rows, taps, channels * kw * columns * n)
    strides = (group, row * params.stride[0], row * params.dilation[0], unrolled.itemsize)
    return as_strided(unrolled, shape, strides).reshape(groups, rows, taps * channels * kw, columns * n)


def products(a: Array, b: Array, out: Array) -> None:
    """Fill ``out[group, row] = a[group, row] @ b[group, row]``; a of one row serves them all."""

    def some_rows(rows: slice) -> None:
        np.matmul(a if a.shape[1] == 1 else a[:, rows], b[:, rows], out=out[:, rows])

    threads.in_parts(out.shape[1], out.size * b.shape[2], some_rows)


def as_rows(maps: Array, groups: int) -> Array:
    """Maps ``(F, OH, OW, N)`` as the products' results, ``(G, OH, F / G, OW N)``: a view."""
    f, rows, columns, n = maps.shape
    return maps.reshape(groups, f // groups, rows, columns * n).transpose(0, 2, 1, 3)


def filter_matrix(w: Array, groups: int) -> Array:
    """Filters as rows of taps in the windows' order, ``(G, 1, F / G, KH C KW)``."""
    f = w.shape[0]
    return w.transpose(0, 2, 1, 3).reshape(groups, 1, f // groups, -1)


def taps_gradient(g: Array, w: Array, params: ConvParams, height: int) -> Array:
    """The gradient of ``B``, ``(G, H, C, KW, OW, N)``: rows of maps, set apart, under the filters turned upside down.

    Row r of B was seen by row p of the map as its tap i when ``r + pad = p s + i d``. With the map's rows set s apart
    and a border of zeros, those are KH rows, d apart: windows once more.
    """
    f, rows, columns, n = g.shape
    _, c, kh, kw = w.shape
    groups, (s, _), (d, _), (ph, _) = params.groups, params.stride, params.dilation, params.padding
    border = d * (kh - 1)
    apart = zeros((groups, max(height + ph, rows * s) + border, f // groups, 1, columns, n), g.dtype)
    maps = g.reshape(groups, f // groups, rows, columns, n).transpose(0, 2, 1, 3, 4)
    apart[:, border : border + rows * s : s, :, 0] = maps
    windows = row_windows(apart[:, ph:], kh, height, ConvParams(dilation=params.dilation))
    turned = w[:, :, ::-1].reshape(groups, f // groups, c, kh, kw).transpose(0, 3, 1, 2, 4)
    turned = turned.reshape(groups, 1, kh * (f // groups), c * kw).transpose(0, 1, 3, 2)
    unrolled = empty((groups, height, c * kw, columns * n), g.dtype)
    products(turned, windows, unrolled)
    return unrolled.reshape(groups, height, c, kw, columns, n)
