"""Pooling: one number for each place of an overlay that moves over the map."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import state
from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, as_tensor, record, wrap
from ..checks import Pair, flag, integer, pair, shapes
from ..kernels import current
from ..kernels.geometry import PoolParams, dilated_size, map_shape, spatial
from .linear import matmul
from .movement import pad

Size = int | Pair
Winners = NDArray[np.integer[Any]]


def maxpool(
    x: Tensor,
    overlay_shape: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest number under each place of the overlay.

    ``y[n, c, p, q] = max over i j of x[n, c, p s + i d, q s + j d]``

    A tie goes to the first in row-major order; where overlays overlap, gradients add up; a NaN is largest.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape: (rows, columns), or one integer for both.
        stride: the overlay's step in pixels; 1, as in the article, by default.
        padding: a border that never wins, at most half the overlay wide.
        dilation: pixels between the overlay's taps.
        ceil_mode: if True, a last overlay may reach beyond the padded map, as long as it begins before its end.

    Raises:
        ValueError: the overlay is larger than the padded map.

    Source: the article, "Max Pooling"; ``ceil_mode`` is PyTorch's.

    >>> maxpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[10., 11.]])
    """
    x, params, beyond = _arguments("maxpool", x, overlay_shape, stride, padding, dilation, ceil_mode)
    batch = _as_batch(x, beyond, -math.inf)
    y, winners = current().maxpool(batch.data, params, state.recording and batch.requires_grad)

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/da^{L-1} = dC/da at each overlay's maximum, 0 elsewhere: only the neuron that passed its activation on can
        change the cost
        """
        return maxpool_scatter(g, winners, params, spatial(batch.shape))

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


def avgpool(
    x: Tensor,
    overlay_shape: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean under each place of the overlay, a border of zeros counted in.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        overlay_shape, stride, padding, ceil_mode: as in `maxpool`; what lies beyond the border is never counted.
        count_include_pad: if False, the mean is over the pixels of the map alone.
        divisor_override: what each sum is divided by instead of the number of pixels.

    Raises:
        ValueError: the overlay is larger than the padded map.

    >>> avgpool(Tensor([[8., 0., 11.], [10., 2., 4.]]), (2, 2))
    Tensor([[5.  , 4.25]])
    """
    x, params, beyond = _arguments("avgpool", x, overlay_shape, stride, padding, 1, ceil_mode)
    include = flag("avgpool", "count_include_pad", count_include_pad)
    out = _avgpool(_as_batch(x, beyond, 0), params)
    if divisor_override is not None:
        out = out * (math.prod(params.shape) / integer("avgpool", "divisor_override", divisor_override, 1))
    elif beyond != (0, 0) or not (include or params.padding == (0, 0)):
        pixels = _pixels_under(spatial(x.shape), params, spatial(out.shape), include)
        out = out * (math.prod(params.shape) / pixels).astype(x.dtype)
    return out if x.ndim == 4 else out.reshape(out.shape[4 - x.ndim :])


def _avgpool(x: Tensor, params: PoolParams) -> Tensor:
    """`avgpool` of a batch, each sum over all pixels of the overlay, without argument checks."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/da^{L-1} = dC/da / (neurons under the overlay): each had an equal share in the mean"""
        return avgpool_backward(g, params, spatial(x.shape))

    data, formula = current().avgpool(x.data, params), "a = the mean a^{L-1} under each overlay"
    return record("avgpool", data, (x,), (grad_x,), kind="pooling", formula=formula, **params._asdict())


def avgpool_backward(g: Tensor, params: PoolParams, image_shape: Pair) -> Tensor:
    """The rule of `avgpool`: each number of ``g`` in equal parts on all pixels of its overlay."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = the mean dC/dy under each overlay"""
        return _avgpool(v, params)

    data = current().avgpool_backward(g.data, params, image_shape)
    formula = "y = the sum of g / (neurons under the overlay)"
    return record("avgpool_backward", data, (g,), (grad_g,), kind="pooling", formula=formula, **params._asdict())


def adaptive_avgpool(x: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """The means of ``output_size`` parts of the map, of equal size or nearly so.

    Place p of n covers the rows from ``floor(p H / n)`` up to ``ceil((p + 1) H / n)``.

    Args:
        x: maps ``(N, C, H, W)``, a stack ``(C, H, W)`` or one map ``(H, W)``; the result has as many axes.
        output_size: (rows, columns), or one integer for both; None for as many as the map has.

    Raises:
        ValueError: the map is empty.

    >>> adaptive_avgpool(Tensor([[1., 2., 3., 6.]]), (1, 3))
    Tensor([[1.5, 2.5, 4.5]])
    """
    name = "adaptive_avgpool"
    x = as_float(as_tensor(name, x))
    if x.ndim not in (2, 3, 4) or 0 in spatial(x.shape):
        raise ValueError(f"{name}: takes (H, W), (C, H, W) or (N, C, H, W), not empty {shapes(x=x)}")
    image = spatial(x.shape)
    if isinstance(output_size, tuple | list) and len(output_size) == 2:
        output_size = tuple(m if n is None else n for n, m in zip(output_size, image, strict=True))  # type: ignore[assignment]
    rows, columns = pair(name, "output_size", output_size, 1)
    if (rows, columns) == (1, 1):
        return x.mean((-2, -1), keepdims=True)
    if image[0] % rows == image[1] % columns == 0:
        overlay = image[0] // rows, image[1] // columns
        return avgpool(x, overlay, stride=overlay)
    down, across = (_averaging(n, m).astype(x.dtype) for n, m in zip((rows, columns), image, strict=True))
    return matmul(matmul(wrap(down), x), wrap(across.T))


def _averaging(count: int, length: int) -> NDArray[np.float64]:
    """The matrix ``(count, length)`` whose product with a column is the mean of each part."""
    matrix = np.zeros((count, length))
    for p in range(count):
        start, stop = p * length // count, -(-(p + 1) * length // count)
        matrix[p, start:stop] = 1 / (stop - start)
    return matrix


def _arguments(
    op: str, x: Tensor, overlay_shape: Size, stride: Size, padding: Size, dilation: Size, ceil_mode: bool
) -> tuple[Tensor, PoolParams, Pair]:
    """The checked arguments of a pooling op; how far the last overlays reach beyond the padded map comes last."""
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
    rows, columns = spatial(x.shape)
    beyond = _beyond((rows, columns), params) if flag(op, "ceil_mode", ceil_mode) else (0, 0)
    if 0 in map_shape((rows + beyond[0], columns + beyond[1]), params.shape, params):
        raise ValueError(f"{op}: the overlay {params.shape} is larger than the map {shapes(x=x)}")
    return x, params, beyond


def _check_padding(op: str, params: PoolParams, x: Tensor) -> None:
    """ValueError unless some pixel of the map lies under every place of the overlay."""
    if any(2 * p > k for p, k in zip(params.padding, params.shape, strict=True)):
        raise ValueError(f"{op}: padding {params.padding} must be at most half the overlay {params.shape}")
    if any(p and d > n for p, d, n in zip(params.padding, params.dilation, spatial(x.shape), strict=True)):
        raise ValueError(f"{op}: dilation {params.dilation} steps over the whole map {shapes(x=x)}")


def _beyond(image: Pair, params: PoolParams) -> Pair:
    """The rows and columns that the last overlays reach beyond the padded map, if their number is rounded up.

    As in PyTorch, no overlay begins in the border after the map.
    """
    rows_columns = []
    for n, k, s, p, d in zip(image, *params, strict=True):
        room = n + 2 * p - dilated_size(k, d)
        count = -(-room // s) + 1
        if (count - 1) * s >= n + p:
            count -= 1
        rows_columns.append(max(0, (count - 1) * s - room))
    return rows_columns[0], rows_columns[1]


def _pixels_under(image: Pair, params: PoolParams, map_: Pair, include_border: bool) -> NDArray[Any]:
    """Return the number of pixels of the map, or of the padded map, under each place of the overlay, ``(OH, OW)``."""
    counts = []
    for n, k, s, p, m in zip(image, params.shape, params.stride, params.padding, map_, strict=True):
        border = p if include_border else 0
        starts = np.arange(m) * s - p
        counts.append(np.minimum(starts + k, n + border) - np.maximum(starts, -border))
    pixels: NDArray[Any] = np.multiply.outer(*counts)
    return pixels


def _as_batch(x: Tensor, beyond: Pair, fill: float) -> Tensor:
    """One map or one stack as a batch of one, with rows below and columns to the right that hold ``fill``."""
    batch = x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)
    return batch if beyond == (0, 0) else pad(batch, ((0, 0), (0, 0), (0, beyond[0]), (0, beyond[1])), value=fill)
