"""Pooling: one number for each place of an overlay that moves over the map."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import state
from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import Pair, pair, shapes
from ..kernels import current
from ..kernels.geometry import PoolParams, map_shape, spatial

Size = int | Pair
Winners = NDArray[np.integer[Any]]


def maxpool(x: Tensor, overlay_shape: Size, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Tensor:
    """The largest number under each place of the overlay.

    ``y[n, c, p, q] = max over i j of x[n, c, p s + i d, q s + j d]``

    A tie goes to the first in row-major order; where overlays overlap, gradients add up; a NaN is largest.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape: (rows, columns), or one integer for both.
        stride: the overlay's step in pixels; 1, as in the article, by default.
        padding: a border that never wins, at most half the overlay wide.
        dilation: pixels between the overlay's taps.

    Raises:
        ValueError: the overlay is larger than the padded map.

    Source: the article, "Max Pooling".

    >>> maxpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[10., 11.]])
    """
    x, params = _arguments("maxpool", x, overlay_shape, stride, padding, dilation)
    batch = _as_batch(x)
    y, winners = current().maxpool(batch.data, params, state.recording and batch.requires_grad)

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/da^{L-1} = dC/da at each overlay's maximum, 0 elsewhere: only the neuron that passed its activation on can
        change the cost
        """
        return maxpool_scatter(g, winners, params, spatial(x.shape))

    formula = "a = the largest a^{L-1} under each overlay"
    out = record("maxpool", y, (batch,), (grad_x,), kind="pooling", formula=formula, **params._asdict())
    return out if x.ndim == 4 else out.reshape(out.shape[4 - x.ndim :])


def maxpool_scatter(g: Tensor, winners: Winners, params: PoolParams, image_shape: Pair) -> Tensor:
    """The rule of `maxpool`: each number of ``g`` added at its overlay's winner."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/dy at each overlay's winner"""
        return maxpool_gather(v, winners, params)

    data = current().maxpool_scatter(g.data, winners, params, image_shape)
    formula = "y = g at each overlay's winner, 0 elsewhere"
    return record("maxpool_scatter", data, (g,), (grad_g,), kind="pooling", formula=formula, **params._asdict())


def maxpool_gather(x: Tensor, winners: Winners, params: PoolParams) -> Tensor:
    """The numbers of ``x`` at the winners: the rule of `maxpool_scatter`."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy at each overlay's winner, 0 elsewhere"""
        return maxpool_scatter(g, winners, params, spatial(x.shape))

    data = current().maxpool_gather(x.data, winners, params)
    formula = "y = x at each overlay's winner"
    return record("maxpool_gather", data, (x,), (grad_x,), kind="pooling", formula=formula, **params._asdict())


def avgpool(x: Tensor, overlay_shape: Size, *, stride: Size = 1, padding: Size = 0) -> Tensor:
    """The mean under each place of the overlay, a border of zeros counted in.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape, stride, padding: as in `maxpool`.

    Raises:
        ValueError: the overlay is larger than the padded map.

    >>> avgpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[5.  , 4.25]])
    """
    x, params = _arguments("avgpool", x, overlay_shape, stride, padding, 1)
    batch = _as_batch(x)

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/da^{L-1} = dC/da / (neurons under the overlay): each had an equal share in the mean"""
        return avgpool_backward(g, params, spatial(x.shape))

    data, formula = current().avgpool(batch.data, params), "a = the mean a^{L-1} under each overlay"
    out = record("avgpool", data, (batch,), (grad_x,), kind="pooling", formula=formula, **params._asdict())
    return out if x.ndim == 4 else out.reshape(out.shape[4 - x.ndim :])


def avgpool_backward(g: Tensor, params: PoolParams, image_shape: Pair) -> Tensor:
    """The rule of `avgpool`: each number of ``g`` in equal parts on all pixels of its overlay."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = the mean dC/dy under each overlay"""
        return avgpool(v, params.shape, stride=params.stride, padding=params.padding)

    data = current().avgpool_backward(g.data, params, image_shape)
    formula = "y = the sum of g / (neurons under the overlay)"
    return record("avgpool_backward", data, (g,), (grad_g,), kind="pooling", formula=formula, **params._asdict())


def _arguments(
    op: str, x: Tensor, overlay_shape: Size, stride: Size, padding: Size, dilation: Size
) -> tuple[Tensor, PoolParams]:
    """The checked arguments of a pooling op."""
    x = as_float(as_tensor(op, x))
    params = PoolParams(
        pair(op, "overlay_shape", overlay_shape, 1),
        pair(op, "stride", stride, 1),
        pair(op, "padding", padding, 0),
        pair(op, "dilation", dilation, 1),
    )
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{op}: takes (H, W), (C, H, W) or (N, C, H, W) {shapes(x=x)}")
    if params.padding != (0, 0):
        _check_padding(op, params, x)
    if 0 in map_shape(spatial(x.shape), params.shape, params):
        raise ValueError(f"{op}: the overlay {params.shape} is larger than the map {shapes(x=x)}")
    return x, params


def _check_padding(op: str, params: PoolParams, x: Tensor) -> None:
    """ValueError unless some pixel of the map lies under every place of the overlay."""
    if any(2 * p > k for p, k in zip(params.padding, params.shape, strict=True)):
        raise ValueError(f"{op}: padding {params.padding} must be at most half the overlay {params.shape}")
    if any(p and d > n for p, d, n in zip(params.padding, params.dilation, spatial(x.shape), strict=True)):
        raise ValueError(f"{op}: dilation {params.dilation} steps over the whole map {shapes(x=x)}")


def _as_batch(x: Tensor) -> Tensor:
    """One map or one stack as a batch of one."""
    return x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)
