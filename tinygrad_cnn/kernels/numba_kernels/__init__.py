"""The compiled kernels (extra ``fast``): direct loops on several threads, without a copy of any window.

Each function here checks in its arrays (batch innermost, contiguous), makes room for the result, and hands both to a
compiled kernel of one of the modules beside this one, which `team.run` runs on all threads.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import ConvParams, Pair, PoolParams, map_shape
from ..interface import Array
from ..memory import batch_innermost, empty, empty_like, memory_order
from . import (
    borders,
    convolution,
    elementwise,
    few_places,
    normalization,
    pooling,
)
from .registers import MOST_ROWS, WIDE_BYTES
from .team import SMALL_WORK, run

Layout = tuple[int, int, int, int, int]  # channels, rows, phases of the stride, columns of one phase, batch

_PASS = 4  # multiply-adds that take as long as one number read, compared or added, and written
_FEW_PLACES = 200  # of all images together: fewer dot products than that do not pay
_SOME_FILTERS = 4  # which half fill a vector
_NONE = np.empty((0, 0, 0, 0), np.uint8)  # no winners
_SMALL = 1 << 15  # bytes that are copied sooner than `_Unlocked` is made


def correlate2d(x: Array, w: Array, bias: Array | None, how: ConvParams) -> Array:
    """Each row of maps, a few filters and places at a time: sums stay in registers over all taps."""
    n, f = x.shape[0], w.shape[0]
    rows, columns = map_shape(x.shape[2:], w.shape[2:], how)
    y = empty((f, rows, columns, n), x.dtype)
    bias = np.zeros(f, x.dtype) if bias is None else _plain(bias)
    if not w.size:
        y[...] = bias.reshape(-1, 1, 1, 1)
    elif y.size:
        image, layout = _spread(x, how)
        short = columns * n * x.itemsize < WIDE_BYTES
        _run(
            few_places.correlate if short else None,
            convolution.correlate,
            y,
            w,
            how,
            image,
            layout,
            _plain(w),
            bias,
            y.reshape(f, rows, columns * n),
            how.groups,
            _row_step(layout, how),
            how.dilation,
        )
    return y.transpose(3, 0, 1, 2)


def correlate2d_weight(x: Array, g: Array, how: ConvParams, kernel_shape: Pair) -> Array:
    """Dot products of the maps' gradients with the taps' pixels."""
    f, rows, columns = g.shape[1:]
    dw = empty((f, x.shape[1] // how.groups, *kernel_shape), x.dtype)
    if not dw.size or not g.size:
        dw.fill(0)
    else:
        image, layout = _spread(x, how)
        few = rows * columns * x.shape[0] <= _FEW_PLACES
        _run(
            few_places.correlate_weight if few else None,
            convolution.correlate_weight,
            g,
            dw,
            how,
            image,
            layout,
            _inward(g).reshape(f, rows, columns * x.shape[0]),
            dw,
            how.groups,
            _row_step(layout, how),
            how.dilation,
        )
    return dw


def convolve2d_full(g: Array, w: Array, how: ConvParams, image_shape: Pair) -> Array:
    """Each place's gradient, times the filters, added to the pixels that it saw.

    Where maps are as large as their images, that is a correlation with the turned filters, which adds in registers;
    it is quicker if the channels fill a tile.
    """
    n, f, rows, columns = g.shape
    channels = w.shape[1] * how.groups
    x = empty((channels, *image_shape, n), g.dtype)
    if not w.size or not g.size:
        x.fill(0)
        return x.transpose(3, 0, 1, 2)
    same = how.stride == (1, 1) and (rows, columns) == image_shape and w.shape[1] >= MOST_ROWS
    if same and min(border := _outer(w, how)) >= 0:
        return correlate2d(g, _turned(w, how.groups), None, how._replace(padding=border))
    layout = _layout(channels, image_shape, n, how)
    image = empty(layout, g.dtype) if _moves(how) else x
    short = columns * n * g.itemsize < WIDE_BYTES
    _run(
        few_places.convolve_full if short else None,
        convolution.convolve_full,
        g,
        w,
        how,
        _inward(g).reshape(f, rows, columns * n),
        _plain(w),
        image.reshape(-1),
        layout,
        how.groups,
        _row_step(layout, how),
        how.dilation,
    )
    if _moves(how):
        run(borders.gather, _PASS * x.size, image, x, how.padding, how.stride[1])
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


def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    betas: tuple[float, float],
    bias_correction2: float,
    eps: float,
) -> None:
    """`optim.Adam`'s update of C arrays in one pass, to the same bits."""
    flat = (a.reshape(-1) for a in (p, _plain(g), m, v))
    run(elementwise.adam, 3 * _PASS * p.size, *flat, step_size, betas, bias_correction2, eps)


def maxpool(x: Array, window: PoolParams, want_winners: bool) -> tuple[Array, NDArray[np.integer]]:
    """The largest over the taps, and which tap it was."""
    n, c, *_ = x.shape
    rows, columns = map_shape(x.shape[2:], window.shape, window)
    y = empty((c, rows, columns, n), x.dtype)
    winners = _NONE
    if want_winners:
        winners = empty(y.shape, np.uint8 if window.shape[0] * window.shape[1] <= 256 else np.int32)
    run(pooling.maxpool, _PASS * x.size, _inward(x), y, winners, *window)
    return y.transpose(3, 0, 1, 2), winners.transpose(3, 0, 1, 2)


def maxpool_scatter(g: Array, winners: NDArray[np.integer], window: PoolParams, image_shape: Pair) -> Array:
    """For each tap, the gradients of the windows that it won."""
    n, c, rows, columns = g.shape
    x = empty((c, *image_shape, n), g.dtype)
    covered = window.stride == window.shape and (rows * window.shape[0], columns * window.shape[1]) == image_shape
    run(
        pooling.scatter,
        _PASS * x.size,
        _inward(g),
        _inward(_small(winners)),
        x,
        *window,
        window.tiles,
        covered and not any(window.padding),
    )
    return x.transpose(3, 0, 1, 2)


def maxpool_gather(x: Array, winners: NDArray[np.integer], window: PoolParams) -> Array:
    """The pixel at each winner."""
    n, c, rows, columns = winners.shape
    y = empty((c, rows, columns, n), x.dtype)
    run(pooling.gather, _PASS * y.size, _inward(x), _inward(_small(winners)), y, *window)
    return y.transpose(3, 0, 1, 2)


def avgpool(x: Array, window: PoolParams) -> Array:
    """The sum over the taps, over their number."""
    n, c, *_ = x.shape
    y = empty((c, *map_shape(x.shape[2:], window.shape, window), n), x.dtype)
    run(pooling.avgpool, _PASS * x.size, _inward(x), y, *window)
    return y.transpose(3, 0, 1, 2)


def avgpool_backward(g: Array, window: PoolParams, image_shape: Pair) -> Array:
    """Each gradient, shared by its window."""
    n, c = g.shape[:2]
    x = empty((c, *image_shape, n), g.dtype)
    run(pooling.spread, _PASS * x.size, _inward(g), x, *window)
    return x.transpose(3, 0, 1, 2)


def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """Each channel's mean, its spread about that, and the normalized values."""
    images = _inward(x)
    y = empty(images.shape, x.dtype)
    mean, inv_std = np.empty_like(weight), np.empty_like(weight)
    c = len(images)
    run(
        normalization.batch_norm,
        _PASS * x.size,
        images.reshape(c, -1),
        _plain(weight),
        _plain(bias),
        float(eps),
        y.reshape(c, -1),
        mean,
        inv_std,
    )
    return y.transpose(3, 0, 1, 2), mean, inv_std


def batch_norm_backward(g: Array, x: Array, weight: Array, mean: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    """The rule of `batch_norm`, which moves with its own mean and spread."""
    images = _inward(x)
    dx = empty(images.shape, x.dtype)
    dweight, dbias = np.empty_like(weight), np.empty_like(weight)
    c = len(images)
    run(
        normalization.batch_norm_backward,
        _PASS * x.size,
        _inward(g).reshape(c, -1),
        images.reshape(c, -1),
        _plain(weight),
        _plain(mean),
        _plain(inv_std),
        dx.reshape(c, -1),
        dweight,
        dbias,
    )
    return dx.transpose(3, 0, 1, 2), dweight, dbias


def _run(few: Any, usual: Any, maps: Array, filters: Array, how: ConvParams, *arguments: Any) -> None:
    """Run a convolution kernel, in the form for few places if there is one and a thread alone can do it."""
    work = maps.size * filters[0].size
    if few is not None and work < SMALL_WORK and len(filters) >= _SOME_FILTERS * how.groups:
        few(*arguments)
    else:
        run(usual, work, *arguments)


def _plain(a: Array) -> Array:
    """``a`` as one kind of array, contiguous and writable, since each kind would be compiled for anew."""
    if a.flags.carray:
        return a
    if a.nbytes > _SMALL and a.flags.c_contiguous and a.flags.aligned:
        return np.asarray(_Unlocked(a))
    return np.array(a, order="C")


class _Unlocked:
    """A read-only array that calls itself writable: kernels write to their results alone, and a copy costs time."""

    def __init__(self, a: Array) -> None:
        interface = a.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}
        self.held = a


def _inward(x: Array) -> Array:
    """Images ``(N, C, H, W)`` as a plain ``(C, H, W, N)`` array."""
    return _plain(batch_innermost(x))


def _turned(w: Array, groups: int) -> Array:
    """Filters ``(F, C / groups, KH, KW)`` for the way back: ``(C, F / groups, KH, KW)``, turned by half a turn."""
    members = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return members.reshape(-1, *members.shape[2:])[..., ::-1, ::-1]


def _outer(w: Array, how: ConvParams) -> Pair:
    """The border of a map such that a turned filter at each pixel meets all places that saw the pixel."""
    (kh, kw), (dh, dw), (ph, pw) = w.shape[2:], how.dilation, how.padding
    return (kh - 1) * dh - ph, (kw - 1) * dw - pw


def _small(winners: NDArray[np.integer]) -> NDArray[np.integer]:
    """Winners of any set of kernels, as one of the two types that ours have."""
    return winners if winners.dtype in (np.uint8, np.int32) else winners.astype(np.int32)


def _moves(how: ConvParams) -> bool:
    """Whether an image must be laid out anew: it needs a border, or neighbouring places lie apart."""
    return how.padding != (0, 0) or how.stride[1] != 1


def _layout(channels: int, image: Pair, n: int, how: ConvParams) -> Layout:
    """The image's shape in memory, with its border, its columns dealt out by their phase in the stride."""
    (ph, pw), phases = how.padding, how.stride[1]
    return channels, image[0] + 2 * ph, phases, -(-(image[1] + 2 * pw) // phases), n


def _spread(x: Array, how: ConvParams) -> tuple[Array, Layout]:
    """The images, flat, in that layout: as they lie when they may."""
    n, channels, height, width = x.shape
    layout = _layout(channels, (height, width), n, how)
    image = _inward(x)
    if _moves(how):
        source, image = image, empty(layout, x.dtype)
        run(borders.spread, _PASS * image.size, source, image, how.padding, how.stride[1])
    return image.reshape(-1), layout


def _row_step(layout: Layout, how: ConvParams) -> int:
    """From one row of the map to the next, in numbers of the image."""
    return how.stride[0] * layout[2] * layout[3] * layout[4]
