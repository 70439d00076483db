"""The default kernels: matrix products over windows, with no Python loop over images, places or channels.

Images lie batch innermost, ``(C, H, W, N)`` in memory. Spread out the taps of a window along *columns* only,

    B[y, c, j, q N + n] = x[n, c, y, q s + j d]        shape (H, C, KW, OW N),

and the taps along *rows* need no copy: KH neighbouring rows of B are, as they lie in memory, one matrix of
``KH C KW`` taps by ``OW N`` places. So each row of a feature map is one matrix product with the filters.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .geometry import Pair, Sliding, Window, map_shape, plane
from .interface import Array
from .memory import batch_innermost, empty, empty_images, empty_like, keep_where, zeros

_SHORT_ROW = 128  # places in a row below which one product for all rows beats one for each


def correlate2d(x: Array, w: Array, bias: Array | None, how: Sliding) -> Array:
    """Each row of maps is a matrix product: filters ``(F, KH C KW)`` with windows ``(KH C KW, OW N)``."""
    n, f = x.shape[0], w.shape[0]
    rows, columns = map_shape(plane(x.shape), plane(w.shape), how)
    y = empty((f, rows, columns, n), x.dtype)
    if not y.size or not w.size:
        y.fill(0)
    else:
        windows = windows_of(x, plane(w.shape), (rows, columns), how)
        np.matmul(filter_matrix(w, how.groups), windows, out=as_rows(y, how.groups, windows.shape[1]))
    if bias is not None:
        y += bias.reshape(-1, 1, 1, 1)
    return y.transpose(3, 0, 1, 2)


def correlate2d_weight(x: Array, g: Array, how: Sliding, kernel_shape: Pair) -> Array:
    """The same windows, each weighted by its place's gradient and summed over places, images and rows."""
    channels, (f, rows, columns) = x.shape[1], g.shape[1:]
    shape = (f, channels // how.groups, *kernel_shape)
    if not x.size or not g.size:
        return np.zeros(shape, x.dtype)
    windows = windows_of(x, kernel_shape, (rows, columns), how)
    maps = as_rows(batch_innermost(g), how.groups, windows.shape[1])
    dw: Array = np.matmul(maps, windows.transpose(0, 1, 3, 2)).sum(axis=1)
    return dw.reshape(f, kernel_shape[0], shape[1], kernel_shape[1]).transpose(0, 2, 1, 3)


def convolve2d_full(g: Array, w: Array, how: Sliding, image_shape: Pair) -> Array:
    """Every row of images collects the KH rows of maps that saw it, then folds the KW taps back into columns."""
    n, channels = g.shape[0], w.shape[1] * how.groups
    dx = zeros((channels, *image_shape, n), g.dtype)
    if g.size and w.size:
        fold_columns(dx, taps_gradient(g, w, how, image_shape[0]), how)
    return dx.transpose(3, 0, 1, 2)


def spread_columns(x: Array, taps: int, columns: int, how: Sliding) -> Array:
    """``B[group, y, c, j, q, n] = x[n, c, y, q s + j d]`` over rows with their padding, zeros beyond the border."""
    n, channels, height, width = x.shape
    (ph, pw), (_, s), (_, d) = how.padding, how.stride, how.dilation
    shape = (how.groups, height + 2 * ph, channels // how.groups, taps, columns, n)
    spread = (zeros if ph or pw else empty)(shape, x.dtype)
    inner = spread[:, ph : ph + height]
    images = batch_innermost(x).reshape(how.groups, -1, height, width, n).transpose(0, 2, 1, 3, 4)
    for j in range(taps):
        on_map, on_image = overlap(columns, width, s, j * d - pw)
        inner[:, :, :, j, on_map] = images[:, :, :, on_image]
    return spread


def fold_columns(dx: Array, spread: Array, how: Sliding) -> None:
    """The transpose of `spread_columns`: adds each tap back where it was read."""
    channels, height, width, n = dx.shape
    groups, _, _, taps, columns, _ = spread.shape
    images = dx.reshape(groups, channels // groups, height, width, n).transpose(0, 2, 1, 3, 4)
    for j in range(taps):
        on_map, on_image = overlap(columns, width, how.stride[1], j * how.dilation[1] - how.padding[1])
        images[:, :, :, on_image] += spread[:, :, :, j, on_map]


@lru_cache(maxsize=256)
def overlap(places: int, length: int, stride: int, offset: int) -> tuple[slice, slice]:
    """The places ``q`` whose pixel ``q stride + offset`` lies on the image, and those pixels."""
    first = max(0, -(offset // stride))
    last = min(places, (length - 1 - offset) // stride + 1)
    last = max(first, last)
    begin = first * stride + offset
    return slice(first, last), slice(begin, begin + (last - first) * stride, stride) if last > first else slice(0, 0)


def row_windows(spread: Array, taps: int, rows: int, how: Sliding) -> Array:
    """KH rows of ``B`` for each row of the map, ``(G, OH, KH C KW, OW N)``: a view, unless rows are dilated."""
    groups, _, channels, kw, columns, n = spread.shape
    group, row, *_ = spread.strides
    shape = (groups, rows, taps, channels * kw * columns * n)
    strides = (group, row * how.stride[0], row * how.dilation[0], spread.itemsize)
    return as_strided(spread, shape, strides).reshape(groups, rows, taps * channels * kw, columns * n)


def short_row_windows(x: Array, kernel: Pair, map_: Pair, how: Sliding) -> Array:
    """Every window copied out, ``(G, 1, KH C KW, OH OW N)``: one product, where one a row would be mostly overhead."""
    (ph, pw), (sh, sw), (dh, dw) = how.padding, how.stride, how.dilation
    images = batch_innermost(x)
    if ph or pw:
        images = np.pad(images, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    channels, n = images.shape[0] // how.groups, images.shape[3]
    channel, row, column, image = images.strides
    shape = (how.groups, kernel[0], channels, kernel[1], *map_, n)
    strides = (channel * channels, row * dh, channel, column * dw, row * sh, column * sw, image)
    return as_strided(images, shape, strides).reshape(how.groups, 1, kernel[0] * channels * kernel[1], -1)


def windows_of(x: Array, kernel: Pair, map_: Pair, how: Sliding) -> Array:
    """Windows as matrices, ``(G, products, KH C KW, places)``: a product for each row of the map, or one for all."""
    if map_[1] * x.shape[0] < _SHORT_ROW:
        return short_row_windows(x, kernel, map_, how)
    return row_windows(spread_columns(x, kernel[1], map_[1], how), kernel[0], map_[0], how)


def as_rows(maps: Array, groups: int, rows: int) -> Array:
    """Maps ``(F, OH, OW, N)`` as the products' results, ``(G, rows, F / G, places in a row)``: a view."""
    return maps.reshape(groups, maps.shape[0] // groups, rows, -1).transpose(0, 2, 1, 3)


def filter_matrix(w: Array, groups: int) -> Array:
    """Filters as rows of taps in the windows' order, ``(G, 1, F / G, KH C KW)``."""
    f = w.shape[0]
    return w.transpose(0, 2, 1, 3).reshape(groups, 1, f // groups, -1)


def taps_gradient(g: Array, w: Array, how: Sliding, height: int) -> Array:
    """The gradient of ``B``, ``(G, H, C, KW, OW, N)``: rows of maps, set apart, under the filters turned upside down.

    Row r of B was seen by row p of the map as its tap i when ``r + pad = p s + i d``. With the map's rows set s apart
    and a border of zeros, those are KH rows, d apart: windows once more.
    """
    n, f, rows, columns = g.shape
    _, c, kh, kw = w.shape
    groups, (s, _), (d, _), (ph, _) = how.groups, how.stride, how.dilation, how.padding
    border = d * (kh - 1)
    apart = zeros((groups, max(height + ph, rows * s) + border, f // groups, 1, columns, n), g.dtype)
    maps = g.reshape(n, groups, f // groups, rows, columns).transpose(1, 3, 2, 4, 0)
    apart[:, border : border + rows * s : s, :, 0] = maps
    windows = row_windows(apart[:, ph:], kh, height, Sliding(dilation=how.dilation))
    turned = w[:, :, ::-1].reshape(groups, f // groups, c, kh, kw).transpose(0, 3, 1, 2, 4)
    turned = turned.reshape(groups, 1, kh * (f // groups), c * kw).transpose(0, 1, 3, 2)
    if columns * n < _SHORT_ROW:
        together = windows.transpose(0, 2, 1, 3).reshape(groups, 1, windows.shape[2], -1)
        spread = np.matmul(turned, together).reshape(groups, c, kw, height, columns, n)
        return spread.transpose(0, 3, 1, 2, 4, 5)
    spread = np.matmul(turned, windows, out=empty((groups, height, c * kw, columns * n), g.dtype))
    return spread.reshape(groups, height, c, kw, columns, n)


def maxpool(x: Array, window: Window, want_winners: bool) -> tuple[Array, NDArray[np.integer] | None]:
    """The largest over the taps, one slice of the whole batch a tap; a NaN passes through `numpy.maximum`."""
    n, c = x.shape[:2]
    rows, columns = map_shape(plane(x.shape), window.shape, window)
    y = empty_images(n, c, rows, columns, x.dtype)
    y.fill(-np.inf)
    for _, on_map, on_image in taps(window, (rows, columns), plane(x.shape)):
        np.maximum(y[on_map], x[on_image], out=y[on_map])
    return y, find_winners(x, y, window) if want_winners else None


def find_winners(x: Array, y: Array, window: Window) -> NDArray[np.integer]:
    """How many taps missed before the first that equals the maximum, or is the NaN that made it one.

    From the last tap back: a hit makes the count 0, a miss one more than that of the taps behind it.
    """
    n, c, rows, columns = y.shape
    found = taps(window, (rows, columns), plane(x.shape))
    winners = empty_images(n, c, rows, columns, np.min_scalar_type(len(found)))
    winners.fill(0)
    with_nan = bool(np.isnan(y).any())
    for _, on_map, on_image in reversed(found):
        pixel, count = x[on_image], winners[on_map]
        missed = pixel != y[on_map]
        if with_nan:
            missed &= pixel == pixel
        winners += 1
        np.multiply(count, missed, out=count)
    return winners


def maxpool_scatter(g: Array, winners: NDArray[np.integer], window: Window, image_shape: Pair) -> Array:
    """For each tap, the gradients of the windows that it won; added up where windows overlap."""
    n, c, rows, columns = g.shape
    dx = zeros((c, *image_shape, n), g.dtype).transpose(3, 0, 1, 2)
    for k, on_map, on_image in taps(window, (rows, columns), image_shape):
        gk, won, pixel = g[on_map], winners[on_map] == k, dx[on_image]
        if window.tiles:
            keep_where(gk, won, pixel)
        else:
            pixel += keep_where(gk, won, empty_like(gk))
    return dx


def maxpool_gather(x: Array, winners: NDArray[np.integer], window: Window) -> Array:
    """For each tap, its pixel where it won."""
    n, c, rows, columns = winners.shape
    y = empty_images(n, c, rows, columns, x.dtype)
    for k, on_map, on_image in taps(window, (rows, columns), plane(x.shape)):
        np.copyto(y[on_map], x[on_image], where=winners[on_map] == k)
    return y


def avgpool(x: Array, window: Window) -> Array:
    """The sum of one slice a tap, over the number of taps."""
    n, c = x.shape[:2]
    rows, columns = map_shape(plane(x.shape), window.shape, window)
    y = zeros((c, rows, columns, n), x.dtype).transpose(3, 0, 1, 2)
    for _, on_map, on_image in taps(window, (rows, columns), plane(x.shape)):
        y[on_map] += x[on_image]
    y *= x.dtype.type(1 / (window.shape[0] * window.shape[1]))
    return y


def avgpool_spread(g: Array, window: Window, image_shape: Pair) -> Array:
    """The same slices, added to."""
    n, c, rows, columns = g.shape
    dx = zeros((c, *image_shape, n), g.dtype).transpose(3, 0, 1, 2)
    share = g * g.dtype.type(1 / (window.shape[0] * window.shape[1]))
    for _, on_map, on_image in taps(window, (rows, columns), image_shape):
        dx[on_image] += share[on_map]
    return dx


def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """Two passes: the mean, then the variance about it; sums in float64."""
    over = (0, 2, 3)
    mean = x.mean(over, dtype=np.float64)
    y = x - mean.astype(x.dtype).reshape(-1, 1, 1)
    inv_std = 1 / np.sqrt(np.mean(y * y, over, dtype=np.float64) + eps)
    y *= (weight * inv_std).astype(x.dtype).reshape(-1, 1, 1)
    y += bias.reshape(-1, 1, 1)
    return y, mean.astype(x.dtype), inv_std.astype(x.dtype)


def batch_norm_backward(
    g: Array, x: Array, weight: Array, mean: Array, inv_std: Array
) -> tuple[Array, Array, Array]:
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


Index = tuple[slice, slice, slice, slice]


@lru_cache(maxsize=256)
def taps(window: Window, map_: Pair, image: Pair) -> list[tuple[int, Index, Index]]:
    """For each tap of a window: its number, and the slices of map and image over which it meets a pixel."""
    (kh, kw), everything = window.shape, slice(None)
    found = []
    for k in range(kh * kw):
        (on_rows, rows), (on_columns, columns) = (
            overlap(map_[a], image[a], window.stride[a], tap * window.dilation[a] - window.padding[a])
            for a, tap in enumerate(divmod(k, kw))
        )
        found.append((k, (everything, everything, on_rows, on_columns), (everything, everything, rows, columns)))
    return found
