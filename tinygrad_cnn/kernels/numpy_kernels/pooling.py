"""Pooling by slices: one pass over the batch for each tap of the window."""

import numpy as np
from numpy.typing import NDArray

from ..geometry import Pair, PoolParams, map_shape, spatial
from ..interface import Array
from ..memory import empty_images, empty_like, keep_where, zeros
from .taps import Index, taps


def maxpool(x: Array, params: PoolParams, want_winners: bool) -> tuple[Array, NDArray[np.integer]]:
    """The largest over the taps, one slice of the whole batch a tap; a NaN passes through `numpy.maximum`."""
    n, c = x.shape[:2]
    rows, columns = map_shape(spatial(x.shape), params.shape, params)
    y = empty_images(n, c, rows, columns, x.dtype)
    y.fill(-np.inf)
    seen = []
    for _, on_map, on_image in taps(params, (rows, columns), spatial(x.shape)):
        pixels = x[on_image]
        if want_winners:  # they are read again, which is quicker from contiguous memory
            contiguous = empty_like(y[on_map])
            contiguous[...] = pixels
            pixels = contiguous
            seen.append((on_map, pixels))
        np.maximum(y[on_map], pixels, out=y[on_map])
    return y, find_winners(y, seen) if want_winners else np.empty(0, np.uint8)


def find_winners(y: Array, seen: list[tuple[Index, Array]]) -> NDArray[np.integer]:
    """Return the number of the first tap that equals the maximum, or is NaN where the maximum is.

    From the last tap back: a tap that is the maximum sets the count to 0, another adds one.
    """
    winners = empty_like(y, np.min_scalar_type(len(seen)))
    winners.fill(0)
    with_nan = bool(np.isnan(y).any())
    for on_map, pixels in reversed(seen):
        missed = pixels != y[on_map]
        if with_nan:
            missed &= pixels == pixels
        winners += 1
        np.multiply(winners[on_map], missed, out=winners[on_map])
    return winners


@np.errstate(all="ignore")
def maxpool_scatter(g: Array, winners: NDArray[np.integer], params: PoolParams, image_shape: Pair) -> Array:
    """For each tap, the gradients of the windows that it won; added up where windows overlap."""
    n, c, rows, columns = g.shape
    dx = zeros((c, *image_shape, n), g.dtype).transpose(3, 0, 1, 2)
    for k, on_map, on_image in taps(params, (rows, columns), image_shape):
        gk, won, pixel = g[on_map], winners[on_map] == k, dx[on_image]
        if params.tiles:
            keep_where(gk, won, pixel)
        else:
            pixel += keep_where(gk, won, empty_like(gk))
    return dx


def maxpool_gather(x: Array, winners: NDArray[np.integer], params: PoolParams) -> Array:
    """For each tap, its pixel where it won."""
    n, c, rows, columns = winners.shape
    y = empty_images(n, c, rows, columns, x.dtype)
    for k, on_map, on_image in taps(params, (rows, columns), spatial(x.shape)):
        np.copyto(y[on_map], x[on_image], where=winners[on_map] == k)
    return y


@np.errstate(all="ignore")
def avgpool(x: Array, params: PoolParams) -> Array:
    """The sum of one slice a tap, over the number of taps."""
    n, c = x.shape[:2]
    rows, columns = map_shape(spatial(x.shape), params.shape, params)
    y = zeros((c, rows, columns, n), x.dtype).transpose(3, 0, 1, 2)
    for _, on_map, on_image in taps(params, (rows, columns), spatial(x.shape)):
        y[on_map] += x[on_image]
    y *= x.dtype.type(1 / (params.shape[0] * params.shape[1]))
    return y


@np.errstate(all="ignore")
def avgpool_backward(g: Array, params: PoolParams, image_shape: Pair) -> Array:
    """The same slices, added to."""
    n, c, rows, columns = g.shape
    dx = zeros((c, *image_shape, n), g.dtype).transpose(3, 0, 1, 2)
    share = g * g.dtype.type(1 / (params.shape[0] * params.shape[1]))
    for _, on_map, on_image in taps(params, (rows, columns), image_shape):
        dx[on_image] += share[on_map]
    return dx
