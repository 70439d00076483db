"""Reductions: sums, means and extremes over axes.

Every one takes its axes as ``axis`` or, with PyTorch's name, as ``dim``, and ``keepdims`` as ``keepdim`` too.
"""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, record, tensor_method, wrap
from ..checks import Axis, axis_or_dim, keepdims_or_keepdim, normal_axes, number, one_axis
from ..kernels.summation import total


@tensor_method("sum")
def sum_over(
    u: Tensor, axis: Axis = None, keepdims: bool | None = None, *, dim: Axis = None, keepdim: bool | None = None
) -> Tensor:
    """The sum over ``axis``, by default over all elements; in float32 in blocks, so that long sums keep their digits.

    Args:
        axis, dim: one axis or several.
        keepdims, keepdim: True keeps the axes, with length 1.
    """
    axis = axis if dim is None else axis_or_dim("sum", axis, dim)
    keepdims = keepdims_or_keepdim("sum", keepdims, keepdim)
    u, axes = as_float(u), normal_axes("sum", axis, u.ndim)
    with_axes = tuple(1 if i in axes else n for i, n in enumerate(u.shape))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy for every summand"""
        return g.reshape(with_axes).broadcast_to(u.shape)

    data = total(u.data, axes, keepdims)
    formula = "y = the sum of u"
    axis = tuple(axis) if isinstance(axis, list) else axis
    return record("sum", data, (u,), (grad_u,), kind="reduction", formula=formula, axis=axis, keepdims=keepdims)


@tensor_method("mean")
def mean(
    u: Tensor, axis: Axis = None, keepdims: bool | None = None, *, dim: Axis = None, keepdim: bool | None = None
) -> Tensor:
    """The mean over ``axis``, by default over all elements. ValueError if there are none."""
    axis, keepdims = axis_or_dim("mean", axis, dim), keepdims_or_keepdim("mean", keepdims, keepdim)
    count = _count("mean", "average", u, axis)
    return u.sum(axis, keepdims) / count


@tensor_method("var")
def var(
    u: Tensor,
    axis: Axis = None,
    *,
    correction: float = 1,
    keepdims: bool | None = None,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """The variance over ``axis``, by default of all elements: the squared deviations' sum over ``n - correction``.

    ``correction=1``, PyTorch's default, gives the unbiased estimate, ``correction=0``, NumPy's ``ddof=0``, the mean.

    Raises:
        ValueError: there are no more numbers than ``correction``.
    """
    return _variance("var", u, axis_or_dim("var", axis, dim), correction, keepdims_or_keepdim("var", keepdims, keepdim))


@tensor_method("std")
def std(
    u: Tensor,
    axis: Axis = None,
    *,
    correction: float = 1,
    keepdims: bool | None = None,
    dim: Axis = None,
    keepdim: bool | None = None,
) -> Tensor:
    """The standard deviation over ``axis``: the square root of `var`, whose slope is infinite at 0."""
    keepdims = keepdims_or_keepdim("std", keepdims, keepdim)
    return _variance("std", u, axis_or_dim("std", axis, dim), correction, keepdims).sqrt()


@tensor_method("max")
def maximum(
    u: Tensor, axis: Axis = None, keepdims: bool | None = None, *, dim: Axis = None, keepdim: bool | None = None
) -> Tensor:
    """The largest element over ``axis``, by default of all. The gradient goes to the first of equals; a NaN wins.

    The values only, also with ``dim``: their indices are what `argmax` returns.
    """
    axis, keepdims = axis_or_dim("max", axis, dim), keepdims_or_keepdim("max", keepdims, keepdim)
    return _extreme("max", np.argmax, u, axis, keepdims)


@tensor_method("min")
def minimum(
    u: Tensor, axis: Axis = None, keepdims: bool | None = None, *, dim: Axis = None, keepdim: bool | None = None
) -> Tensor:
    """The smallest element over ``axis``, by default of all. The gradient goes to the first of equals."""
    axis, keepdims = axis_or_dim("min", axis, dim), keepdims_or_keepdim("min", keepdims, keepdim)
    return _extreme("min", np.argmin, u, axis, keepdims)


@tensor_method("argmax")
def argmax(
    u: Tensor,
    axis: int | None = None,
    keepdims: bool | None = None,
    *,
    dim: int | None = None,
    keepdim: bool | None = None,
) -> Tensor:
    """The index of the largest element, the first of equals: integers, without a gradient."""
    axis, keepdims = axis_or_dim("argmax", axis, dim), keepdims_or_keepdim("argmax", keepdims, keepdim)
    if axis is not None:
        axis = one_axis("argmax", axis, u.ndim)
    _count("argmax", "compare", u, axis)
    return wrap(np.asarray(np.argmax(u.data, axis, keepdims=keepdims)))


def _count(name: str, verb: str, u: Tensor, axis: Axis) -> int:
    """The number of elements of each row over the axes. ValueError if there are none."""
    count = math.prod([u.shape[i] for i in normal_axes(name, axis, u.ndim)])
    if not count:
        raise ValueError(f"{name}: no numbers to {verb} over axis {axis} of shape {u.shape}")
    return count


def _variance(name: str, u: Tensor, axis: Axis, correction: float, keepdims: bool) -> Tensor:
    count, correction = _count(name, "average", u, axis), number(name, "correction", correction, 0)
    if count <= correction:
        raise ValueError(
            f"{name}: needs more numbers than correction={correction:g} over axis {axis} of shape {u.shape}"
        )
    deviation = u - u.mean(axis, True)
    return (deviation * deviation).sum(axis, keepdims) / (count - correction)


def _extreme(name: str, arg: Callable[..., NDArray[np.intp]], u: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """Index the first extreme of each row, after the axes were moved together: indexing has the rule."""
    u, axes = as_float(u), normal_axes(name, axis, u.ndim)
    count = _count(name, "compare", u, axis)
    rest = tuple(i for i in range(u.ndim) if i not in axes)
    moved = u.transpose(*rest, *axes) if u.ndim else u
    rows = moved.reshape(math.prod(u.shape[i] for i in rest), count)
    best = rows[np.arange(len(rows)), arg(rows.data, axis=1)]
    return best.reshape(tuple(1 if i in axes else u.shape[i] for i in range(u.ndim) if keepdims or i not in axes))
