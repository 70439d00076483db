"""Pooling: one number for each place of an overlay that moves over the map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.engine import state
from ..autograd.tensor import Tensor, as_float, as_tensor, record
from ..kernels import current
from ..kernels.geometry import Pair, PoolParams, map_shape, spatial

Size = int | Pair


def maxpool(x: Tensor, overlay_shape: Size, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Tensor:
    """The largest number under each place of the overlay.

    ``y[n, c, p, q] = max over i j of x[n, c, p s + i d, q s + j d]``

    Rule, in the article's words: ∂C/da goes back to the neuron with the largest activation in the overlay, and 0 to
    the others. A tie goes to the first in row-major order; where overlays overlap, gradients add up; a NaN is largest.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape: (rows, columns), or one integer for both.
        stride: how far the overlay moves; 1, as in the article, by default.
        padding: a border that never wins, at most half the overlay wide.
        dilation: pixels between the overlay's taps.

    Raises ValueError when the overlay is larger than the padded map.

    Source: the article, "Max Pooling".

    >>> maxpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[10., 11.]])
    """
    x, window = _prepared("maxpool", x, overlay_shape, stride, padding, dilation)
    if x.ndim < 4:
        return _lone(maxpool, x, window)
    y, winners = current().maxpool(x.data, window, state.recording and x.requires_grad)
    return record(
        "maxpool",
        y,
        (x,),
        (lambda g, y: maxpool_scatter(g, winners, window, spatial(x.shape)),),
        **window._asdict(),
    )


def maxpool_scatter(g: Tensor, winners: NDArray[np.integer[Any]], window: PoolParams, image_shape: Pair) -> Tensor:
    """The rule of `maxpool`: each number of ``g`` sent to its overlay's winner. Its own rule reads there again."""
    return record(
        "maxpool_scatter",
        current().maxpool_scatter(g.data, winners, window, image_shape),
        (g,),
        (lambda v, y: maxpool_gather(v, winners, window),),
        **window._asdict(),
    )


def maxpool_gather(x: Tensor, winners: NDArray[np.integer[Any]], window: PoolParams) -> Tensor:
    """The numbers of ``x`` at the winners; its rule is `maxpool_scatter`."""
    return record(
        "maxpool_gather",
        current().maxpool_gather(x.data, winners, window),
        (x,),
        (lambda g, y: maxpool_scatter(g, winners, window, spatial(x.shape)),),
        **window._asdict(),
    )


def avgpool(x: Tensor, overlay_shape: Size, *, stride: Size = 1, padding: Size = 0) -> Tensor:
    """The mean under each place of the overlay, a border of zeros counted in.

    Rule: each pixel under the overlay receives an equal share of the gradient.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape, stride, padding: as in `maxpool`.

    >>> avgpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[5.  , 4.25]])
    """
    x, window = _prepared("avgpool", x, overlay_shape, stride, padding, 1)
    if x.ndim < 4:
        return _lone(avgpool, x, window)
    return record(
        "avgpool",
        current().avgpool(x.data, window),
        (x,),
        (lambda g, y: avgpool_backward(g, window, spatial(x.shape)),),
        **window._asdict(),
    )


def avgpool_backward(g: Tensor, window: PoolParams, image_shape: Pair) -> Tensor:
    """The rule of `avgpool`: each number of ``g`` shared out over its overlay. Its own rule is `avgpool`."""
    return record(
        "avgpool_backward",
        current().avgpool_backward(g.data, window, image_shape),
        (g,),
        (lambda v, y: avgpool(v, window.shape, stride=window.stride, padding=window.padding),),
        **window._asdict(),
    )


def _prepared(
    op: str, x: Tensor, overlay_shape: Size, stride: Size, padding: Size, dilation: Size
) -> tuple[Tensor, PoolParams]:
    x = as_float(as_tensor(op, x))
    window = PoolParams(
        checks.pair(op, "overlay_shape", overlay_shape, 1),
        checks.pair(op, "stride", stride, 1),
        checks.pair(op, "padding", padding, 0),
        checks.pair(op, "dilation", dilation, 1),
    )
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{op}: takes (H, W), (C, H, W) or (N, C, H, W) {checks.shapes(x=x)}")
    if window.padding != (0, 0):
        _check_border(op, window, x)
    if 0 in map_shape(spatial(x.shape), window.shape, window):
        raise ValueError(f"{op}: the overlay {window.shape} is larger than the map {checks.shapes(x=x)}")
    return x, window


def _check_border(op: str, window: PoolParams, x: Tensor) -> None:
    """Some pixel of the map must lie under every place of the overlay."""
    if any(2 * p > k for p, k in zip(window.padding, window.shape, strict=True)):
        raise ValueError(f"{op}: padding {window.padding} must be at most half the overlay {window.shape}")
    if any(p and d > n for p, d, n in zip(window.padding, window.dilation, spatial(x.shape), strict=True)):
        raise ValueError(f"{op}: dilation {window.dilation} steps over the whole map {checks.shapes(x=x)}")


def _lone(op: Any, x: Tensor, window: PoolParams) -> Tensor:
    """The op on one map or one stack: a batch of one."""
    how = {k: v for k, v in window._asdict().items() if k != "shape" and (op is maxpool or k != "dilation")}
    y = op(x.reshape((1,) * (4 - x.ndim) + x.shape), window.shape, **how)
    return y.reshape(y.shape[4 - x.ndim :])  # type: ignore[no-any-return]
