"""Convolution in one product: every window copied to a column ("im2col").

Source of the method: K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural Networks for Document
Processing" (2006).
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..geometry import ConvParams, Pair
from ..interface import Array
from ..memory import batch_innermost, empty, zeros


def correlate2d(y: Array, x: Array, w: Array, params: ConvParams) -> None:
    """Fill maps y ``(F, OH, OW, N)``: filters ``(F, C KH KW)`` with patches ``(C KH KW, OH OW N)``."""
    columns = im2col(x, (w.shape[2], w.shape[3]), (y.shape[1], y.shape[2]), params)
    np.matmul(by_group(w, params.groups), columns, out=by_group(y, params.groups))


def correlate2d_weight(x: Array, g: Array, params: ConvParams, kernel: Pair) -> Array:
    """The maps' gradient ``(F, OH OW N)`` with the patches."""
    columns = im2col(x, kernel, (g.shape[1], g.shape[2]), params)
    dw: Array = np.matmul(by_group(g, params.groups), columns.transpose(0, 2, 1))
    return dw.reshape(g.shape[0], x.shape[1] // params.groups, *kernel)


def im2col(x: Array, kernel: Pair, map_: Pair, params: ConvParams) -> Array:
    """``P[c k, p q n]``: tap k of channel c at each place of each image, ``(G, C KH KW / G, OH OW N)``: one copy."""
    images = with_border(batch_innermost(x), params.padding)
    channels, _, _, n = images.shape
    channel, row, column, image = images.strides
    (sh, sw), (dh, dw) = params.stride, params.dilation
    strides = (channel, row * dh, column * dw, row * sh, column * sw, image)
    windows = as_strided(images, (channels, *kernel, *map_, n), strides)
    columns = empty(windows.shape, x.dtype)
    columns[...] = windows
    return columns.reshape(params.groups, channels // params.groups * kernel[0] * kernel[1], -1)


def with_border(images: Array, padding: Pair) -> Array:
    """Images ``(C, H, W, N)`` with rows and columns of zeros around them."""
    (ph, pw), (channels, height, width, n) = padding, images.shape
    if not ph and not pw:
        return images
    larger = zeros((channels, height + 2 * ph, width + 2 * pw, n), images.dtype)
    larger[:, ph : ph + height, pw : pw + width] = images
    return larger


def by_group(a: Array, groups: int) -> Array:
    """The leading axis split into groups, the others joined."""
    return a.reshape(groups, a.shape[0] // groups, -1)
