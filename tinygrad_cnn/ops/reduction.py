"""Reductions: sums, means and extremes over axes."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..autograd.operands import as_float
from ..autograd.tensor import Tensor, record, tensor_method, wrap
from ..checks import Axis, flag, normal_axes, one_axis
from ..kernels.warnings import without_warnings


@tensor_method("sum")
def sum_over(u: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis``, by default over all elements."""
    u, axes = as_float(u), normal_axes("sum", axis, u.ndim)
    with_axes = tuple(1 if i in axes else n for i, n in enumerate(u.shape))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy for every summand"""
        return g.reshape(with_axes).broadcast_to(u.shape)

    data = without_warnings.run(np.add.reduce, u.data, axis=axes, keepdims=flag("sum", "keepdims", keepdims))
    formula = "y = the sum of u"
    return record("sum", data, (u,), (grad_u,), kind="reduction", formula=formula, axis=axis, keepdims=keepdims)


@tensor_method("mean")
def mean(u: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over ``axis``, by default over all elements. ValueError if there are none."""
    axes = normal_axes("mean", axis, u.ndim)
    count = math.prod(u.shape[i] for i in axes)
    if count == 0:
        raise ValueError(f"mean: no numbers to average over axis {axis} of shape {u.shape}")
    return u.sum(axis, keepdims) * (1 / count)


@tensor_method("max")
def maximum(u: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over ``axis``, by default of all. The gradient goes to the first of equals; a NaN wins."""
    return _extreme("max", np.argmax, u, axis, keepdims)


@tensor_method("min")
def minimum(u: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over ``axis``, by default of all. The gradient goes to the first of equals."""
    return _extreme("min", np.argmin, u, axis, keepdims)


@tensor_method("argmax")
def argmax(u: Tensor, axis: int | None = None) -> Tensor:
    """The index of the largest element, the first of equals: integers, without a gradient."""
    if axis is not None:
        axis = one_axis("argmax", axis, u.ndim)
    if not (u.size if axis is None else u.shape[axis]):
        raise ValueError(f"argmax: no numbers to compare over axis {axis} of shape {u.shape}")
    return wrap(np.asarray(u.data.argmax(axis)))


def _extreme(name: str, arg: Callable[..., NDArray[np.intp]], u: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """Index the first extreme of each row, after the axes were moved together: indexing has the rule."""
    u, axes, keepdims = as_float(u), normal_axes(name, axis, u.ndim), flag(name, "keepdims", keepdims)
    if not math.prod(u.shape[i] for i in axes):
        raise ValueError(f"{name}: no numbers to compare over axis {axis} of shape {u.shape}")
    rest = tuple(i for i in range(u.ndim) if i not in axes)
    moved = u.transpose(*rest, *axes) if u.ndim else u
    rows = moved.reshape(math.prod(u.shape[i] for i in rest), math.prod(u.shape[i] for i in axes))
    best = rows[np.arange(len(rows)), arg(rows.data, axis=1)]
    return best.reshape(tuple(1 if i in axes else u.shape[i] for i in range(u.ndim) if keepdims or i not in axes))
