"""The compiled kernels (extra ``fast``): direct loops on several threads, without a copy of any window.

Each function of this module checks in its arrays, makes room for the result, and calls a compiled kernel:

- **Memory.** Images lie batch innermost, ``(C, H, W, N)`` in memory: a row of pixels over the whole batch is one long
  contiguous run, and a tap of a filter is that run moved by a constant. So nothing is copied, as im2col would, but
  images that need a border or whose columns are a stride apart (`layout`).
- **Kernels.** `convolution` has the three sliding kernels, `conv_small` their form for few output pixels, and
  `pooling`, `normalization` and `elementwise` the rest: Python loops that numba compiles.
- **Tiles.** The innermost blocks of convolution and pooling (`conv_tiles`, `pool_tiles`) are emitted by hand, vector
  instruction by vector instruction (`builder`), because a compiler does not keep sixteen sums in registers by itself.
- **Threads.** A kernel divides its work into tasks by the shapes alone, and every number is summed within one task: the
  bits do not depend on the number of threads. `workers` shares the tasks; calls too small to share run alone.
- **Cache.** `compiling` keeps the machine code on disk, under a name that changes with the sources of this folder.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import ConvParams, Pair, PoolParams, map_shape
from ..interface import Array
from ..memory import batch_innermost, empty, empty_like, memory_order
from . import conv_small, convolution, elementwise, layout, normalization, pooling
from .conv_tiles import MAX_ROWS, WIDE_BYTES
from .workers import MIN_SHARED_WORK, run

Layout = tuple[int, int, int, int, int]  # channels, rows, phases of the stride, columns of one phase, batch
Geometry = tuple[Layout, int, int, Pair]  # layout, groups, step of a row of windows, dilation: see `convolution`

_PASS = 4  # multiply-adds that take as long as one number read, compared or added, and written
_SMALL_PLACES = 200  # output pixels of all images, up to which `conv_small` computes the weight gradient
_SMALL_FILTERS = 4  # filters a group from which `conv_small` pays: they half fill a vector
_NO_WINNERS = np.empty((0, 0, 0, 0), np.uint8)
_COPY_BYTES = 1 << 15  # arrays up to this size are copied in less time than `_Unlocked` takes


def correlate2d(x: Array, w: Array, bias: Array | None, params: ConvParams) -> Array:
    """Sums of a few filters for a few pixels stay in registers over all taps."""
    n, f = x.shape[0], w.shape[0]
    rows, columns = map_shape(x.shape[2:], w.shape[2:], params)
    y = empty((f, rows, columns, n), x.dtype)
    bias = np.zeros(f, x.dtype) if bias is None else _plain(bias)
    if not w.size:
        y[...] = bias.reshape(-1, 1, 1, 1)
    elif y.size:
        image, geometry = _to_layout(x, params)
        small = conv_small.correlate if columns * n * x.itemsize < WIDE_BYTES else None
        maps = y.reshape(f, rows, columns * n)
        _run_convolution(small, convolution.correlate, y, w, image, _plain(w), bias, maps, geometry)
    return y.transpose(3, 0, 1, 2)


def correlate2d_weight(x: Array, g: Array, params: ConvParams, kernel_shape: Pair) -> Array:
    """Dot products of the maps' gradients with the taps' pixels."""
    f, rows, columns = g.shape[1:]
    dw = empty((f, x.shape[1] // params.groups, *kernel_shape), x.dtype)
    if not dw.size or not g.size:
        dw.fill(0)
    else:
        image, geometry = _to_layout(x, params)
        small = conv_small.correlate_weight if rows * columns * x.shape[0] <= _SMALL_PLACES else None
        maps = _inward(g).reshape(f, rows, columns * x.shape[0])
        _run_convolution(small, convolution.correlate_weight, g, dw, image, maps, dw, geometry)
    return dw


def convolve2d_full(g: Array, w: Array, params: ConvParams, image_shape: Pair) -> Array:
    """Each place's gradient, times the filters, added to the pixels of its window.

    Where maps are as large as their images, that is a correlation with the turned filters, which adds in registers;
    it is quicker if the channels fill a tile.
    """
    n, f, rows, columns = g.shape
    channels = w.shape[1] * params.groups
    x = empty((channels, *image_shape, n), g.dtype)
    if not w.size or not g.size:
        x.fill(0)
        return x.transpose(3, 0, 1, 2)
    same = params.stride == (1, 1) and (rows, columns) == image_shape and w.shape[1] >= MAX_ROWS
    if same and min(border := _full_border(w, params)) >= 0:
        return correlate2d(g, _turned(w, params.groups), None, params._replace(padding=border))
    geometry = _geometry(channels, image_shape, n, params)
    image = empty(geometry[0], g.dtype) if _needs_layout(params) else x
    small = conv_small.convolve_full if columns * n * g.itemsize < WIDE_BYTES else None
    maps = _inward(g).reshape(f, rows, columns * n)
    _run_convolution(small, convolution.convolve_full, g, w, maps, _plain(w), image.reshape(-1), geometry)
    if _needs_layout(params):
        run(layout.from_layout, _PASS * x.size, image, x, params.padding, params.stride[1])
    return x.transpose(3, 0, 1, 2)


def bias_gradient(g: Array) -> Array:
    """Each map's sum."""
    maps = _inward(g).reshape(g.shape[1], -1)
    total = np.empty(len(maps), g.dtype)
    run(elementwise.sums, _PASS * maps.size, maps, total)
    return total


def relu_backward(g: Array, a: Array) -> Array:
    """One pass over both as they lie in memory."""
    out = empty_like(a, g.dtype)
    flat = (g, a, out)
    if not all(t.flags.c_contiguous for t in flat):
        order = memory_order(out)
        flat = (g.transpose(order), a.transpose(order), out.transpose(order))
    run(elementwise.relu_backward, _PASS * out.size, *(_plain(t).reshape(-1) for t in flat))
    return out


def sgd(p: Array, g: Array, v: Array | None, lr: float, momentum: float, nesterov: bool) -> None:
    """`optim.SGD`'s update of C arrays in one pass, to the same bits."""
    velocity = np.empty(0, p.dtype) if v is None else v
    run(elementwise.sgd, _PASS * p.size, *(a.reshape(-1) for a in (p, _plain(g), velocity)), lr, momentum, nesterov)


def adam(p: Array, g: Array, m: Array, v: Array, *settings: Any) -> None:
    """`optim.Adam`'s update of C arrays in one pass, to the same bits.

    ``settings`` are the step size, the betas, the bias correction of v, and eps.
    """
    run(elementwise.adam, 3 * _PASS * p.size, *(a.reshape(-1) for a in (p, _plain(g), m, v)), *settings)


def maxpool(x: Array, params: PoolParams, want_winners: bool) -> tuple[Array, NDArray[np.integer]]:
    """The largest over the taps, and the number of its tap."""
    n, c, *_ = x.shape
    rows, columns = map_shape(x.shape[2:], params.shape, params)
    y = empty((c, rows, columns, n), x.dtype)
    winners = _NO_WINNERS
    if want_winners:
        winners = empty(y.shape, np.uint8 if params.shape[0] * params.shape[1] <= 256 else np.int32)
    run(pooling.maxpool, _PASS * x.size, _inward(x), y, winners, tuple(params))
    return y.transpose(3, 0, 1, 2), winners.transpose(3, 0, 1, 2)


def maxpool_scatter(g: Array, winners: NDArray[np.integer], params: PoolParams, image_shape: Pair) -> Array:
    """For each tap, the gradients of the windows that it won."""
    n, c, rows, columns = g.shape
    x = empty((c, *image_shape, n), g.dtype)
    side_by_side = params.stride == params.shape and not any(params.padding)
    covered = side_by_side and (rows * params.shape[0], columns * params.shape[1]) == image_shape
    arrays = _inward(g), _inward(_as_winners(winners)), x
    run(pooling.scatter, _PASS * x.size, *arrays, tuple(params), params.tiles, covered)
    return x.transpose(3, 0, 1, 2)


def maxpool_gather(x: Array, winners: NDArray[np.integer], params: PoolParams) -> Array:
    """The pixel at each winner."""
    n, c, rows, columns = winners.shape
    y = empty((c, rows, columns, n), x.dtype)
    run(pooling.gather, _PASS * y.size, _inward(x), _inward(_as_winners(winners)), y, tuple(params))
    return y.transpose(3, 0, 1, 2)


def avgpool(x: Array, params: PoolParams) -> Array:
    """The sum over the taps, divided by their number."""
    n, c, *_ = x.shape
    y = empty((c, *map_shape(x.shape[2:], params.shape, params), n), x.dtype)
    run(pooling.avgpool, _PASS * x.size, _inward(x), y, tuple(params))
    return y.transpose(3, 0, 1, 2)


def avgpool_backward(g: Array, params: PoolParams, image_shape: Pair) -> Array:
    """Each gradient, divided equally among its window's pixels."""
    n, c = g.shape[:2]
    x = empty((c, *image_shape, n), g.dtype)
    run(pooling.avgpool_backward, _PASS * x.size, _inward(g), x, tuple(params))
    return x.transpose(3, 0, 1, 2)


def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """Each channel's mean, its standard deviation, and the normalised values."""
    images, c = _inward(x), x.shape[1]
    y = empty(images.shape, x.dtype)
    mean, inv_std = np.empty_like(weight), np.empty_like(weight)
    settings = _plain(weight), _plain(bias), float(eps)
    run(normalization.batch_norm, _PASS * x.size, images.reshape(c, -1), *settings, y.reshape(c, -1), mean, inv_std)
    return y.transpose(3, 0, 1, 2), mean, inv_std


def batch_norm_backward(g: Array, x: Array, weight: Array, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """The gradients through the batch's own mean and standard deviation."""
    images, c = _inward(x), x.shape[1]
    dx = empty(images.shape, x.dtype)
    dweight, dbias = np.empty_like(weight), np.empty_like(weight)
    inputs = (_inward(g).reshape(c, -1), images.reshape(c, -1), _plain(weight), _plain(mean), _plain(inv_std))
    run(normalization.batch_norm_backward, _PASS * x.size, *inputs, dx.reshape(c, -1), dweight, dbias)
    return dx.transpose(3, 0, 1, 2), dweight, dbias


def _run_convolution(small: Any, usual: Any, maps: Array, filters: Array, *arguments: Any) -> None:
    """Run a convolution kernel, in its form for few pixels if there is one and one thread is enough."""
    work, groups = maps.size * filters[0].size, arguments[-1][1]
    if small is not None and work < MIN_SHARED_WORK and len(filters) >= _SMALL_FILTERS * groups:
        small(*arguments)
    else:
        run(usual, work, *arguments)


def _plain(a: Array) -> Array:
    """``a`` as one kind of array, contiguous and writable: kernels are compiled anew for each kind."""
    if a.flags.carray:
        return a
    if a.nbytes > _COPY_BYTES and a.flags.c_contiguous and a.flags.aligned:
        return np.asarray(_Unlocked(a))
    return np.array(a, order="C")


class _Unlocked:
    """A read-only array presented as writable: kernels write to their results alone, and a copy costs time."""

    def __init__(self, a: Array) -> None:
        interface = a.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}
        self.owner = a


def _inward(x: Array) -> Array:
    """Images ``(N, C, H, W)`` as a plain ``(C, H, W, N)`` array."""
    return _plain(batch_innermost(x))


def _turned(w: Array, groups: int) -> Array:
    """Filters ``(F, C / groups, KH, KW)`` turned by 180 degrees, for the way back: ``(C, F / groups, KH, KW)``."""
    members = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return members.reshape(-1, *members.shape[2:])[..., ::-1, ::-1]


def _full_border(w: Array, params: ConvParams) -> Pair:
    """The map's border with which a turned filter at each pixel meets all windows that have the pixel."""
    (kh, kw), (dh, dw), (ph, pw) = w.shape[2:], params.dilation, params.padding
    return (kh - 1) * dh - ph, (kw - 1) * dw - pw


def _as_winners(winners: NDArray[np.integer]) -> NDArray[np.integer]:
    """The winners of any kernel set in one of the two types of this one."""
    return winners if winners.dtype in (np.uint8, np.int32) else winners.astype(np.int32)


def _needs_layout(params: ConvParams) -> bool:
    """True if an image must be copied: it needs a border, or neighbouring windows lie a stride apart."""
    return params.padding != (0, 0) or params.stride[1] != 1


def _geometry(channels: int, image: Pair, n: int, params: ConvParams) -> Geometry:
    """The layout of the image with its border, and the steps of windows and taps in it."""
    (ph, pw), phases = params.padding, params.stride[1]
    shape: Layout = (channels, image[0] + 2 * ph, phases, -(-(image[1] + 2 * pw) // phases), n)
    return shape, params.groups, params.stride[0] * phases * shape[3] * n, params.dilation


def _to_layout(x: Array, params: ConvParams) -> tuple[Array, Geometry]:
    """The images, flat, in their layout; not copied if they have it already."""
    n, channels, height, width = x.shape
    geometry = _geometry(channels, (height, width), n, params)
    image = _inward(x)
    if _needs_layout(params):
        source, image = image, empty(geometry[0], x.dtype)
        run(layout.to_layout, _PASS * image.size, source, image, params.padding, params.stride[1])
    return image.reshape(-1), geometry
