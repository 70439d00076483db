"""The default kernels: matrix products over windows, with no Python loop over images, pixels or channels.

The windows are laid out in two ways: `row_gemm` for long rows (many images or wide ones) and for the images' gradient,
where a product for each row of the map saves most of the copying; `im2col` for short ones, where one product for all
rows saves most of the calls. Without the first, a LeNet-sized step of 256 images takes 10 to 50 % longer; without the
second, one of a single image 11 %.
"""

import numpy as np

from ..geometry import ConvParams, Pair, map_shape, spatial
from ..interface import Array
from ..memory import batch_innermost, empty, zeros
from ..summation import total
from . import im2col, row_gemm
from .activation import relu_backward
from .normalization import batch_norm, batch_norm_backward
from .pooling import avgpool, avgpool_backward, maxpool, maxpool_gather, maxpool_scatter

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

_MAX_PRODUCT = 1 << 14  # numbers of a row that one product adds up: a longer one loses digits in float32
_MIN_PRODUCT_ROWS = 4  # BLAS adds fewer rows up in another way, which loses more digits
_SHORT_ROW = 128  # numbers in a row of the map, over all images, below which `im2col` is quicker


@np.errstate(all="ignore")
def correlate2d(x: Array, w: Array, bias: Array | None, params: ConvParams) -> Array:
    """Feature maps: a matrix product of filters with windows."""
    shape = (w.shape[0], *map_shape(spatial(x.shape), spatial(w.shape), params), x.shape[0])
    if not x.size or not w.size:
        y = zeros(shape, x.dtype)
    else:
        y = empty(shape, x.dtype)
        (im2col if is_short(y) else row_gemm).correlate2d(y, x, w, params)
    if bias is not None:
        y += bias.reshape(-1, 1, 1, 1)
    return y.transpose(3, 0, 1, 2)


@np.errstate(all="ignore")
def correlate2d_weight(x: Array, g: Array, params: ConvParams, kernel_shape: Pair) -> Array:
    """The filters' gradient: the maps' gradient times the windows."""
    if not x.size or not g.size:
        return zeros((g.shape[1], x.shape[1] // params.groups, *kernel_shape), x.dtype)
    maps = batch_innermost(g)
    if is_short(maps):
        return im2col.correlate2d_weight(x, maps, params, kernel_shape)
    return row_gemm.correlate2d_weight(x, maps, params, kernel_shape)


@np.errstate(all="ignore")
def convolve2d_full(g: Array, w: Array, params: ConvParams, image_shape: Pair) -> Array:
    """The images' gradient: the filters times the maps' gradient, added to the pixels of their taps."""
    dx = zeros((w.shape[1] * params.groups, *image_shape, g.shape[0]), g.dtype)
    if g.size and w.size:
        row_gemm.convolve2d_full(dx, batch_innermost(g), w, params)
    return dx.transpose(3, 0, 1, 2)


@np.errstate(all="ignore")
def bias_gradient(g: Array) -> Array:
    """Each map's sum, as matrix products with ones: the quickest form for long rows."""
    maps = batch_innermost(g).reshape(g.shape[1], -1)
    if len(maps) < _MIN_PRODUCT_ROWS:
        return total(maps, (1,))
    if maps.shape[1] <= _MAX_PRODUCT:
        return maps @ np.ones(maps.shape[1], g.dtype)
    sums, ones = np.zeros(len(maps)), np.ones(_MAX_PRODUCT, g.dtype)
    for start in range(0, maps.shape[1], _MAX_PRODUCT):
        part = maps[:, start : start + _MAX_PRODUCT]
        sums += part @ ones[: part.shape[1]]
    return sums.astype(g.dtype)


def is_short(maps: Array) -> bool:
    """Return True if the rows of maps ``(F, OH, OW, N)`` are short."""
    _, _, columns, n = maps.shape
    return bool(columns * n < _SHORT_ROW)
