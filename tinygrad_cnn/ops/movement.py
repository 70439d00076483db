"""Ops that move numbers to other places and change none: shapes, indexing, joining."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.modes import state
from ..autograd.operands import as_float, same_float
from ..autograd.tensor import Tensor, as_tensor, record, tensor_method
from ..checks import Axis, Default, abbreviated, axis_or_dim, normal_axes, one_axis, pair, shapes
from ..kernels.warnings import without_warnings
from .activation import relu_backward


@tensor_method("reshape")
def reshape(u: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """The same elements, in row-major order, in another shape; one length may be -1."""
    return _reshape("reshape", u, shape)


@tensor_method("view")
def view(u: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """`reshape` under PyTorch's name; the numbers are copied where their order in memory requires it."""
    return _reshape("view", u, shape)


def _reshape(op: str, u: Tensor, shape: tuple[Any, ...]) -> Tensor:
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    try:
        data = u._data.reshape(target)
    except (OverflowError, TypeError, ValueError):
        got = abbreviated(target)
        raise ValueError(f"{op}: {u.size} numbers of shape {u.shape} do not fit {got}") from None
    before = u.shape

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy in the shape of u"""
        return g.reshape(before)

    data.setflags(write=False)  # it may be u's own memory, which a graph may read
    formula = "the same numbers in another shape"
    return record("reshape", data, (u,), (grad_u,), kind="movement", formula=formula, shape=data.shape)


@tensor_method("flatten")
def flatten(u: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from ``start_dim`` to ``end_dim`` as one."""
    first, last = (one_axis("flatten", axis, max(u.ndim, 1)) for axis in (start_dim, end_dim))
    if first > last:
        raise ValueError(f"flatten: axis {start_dim} comes after axis {end_dim} {shapes(x=u)}")
    return u.reshape(*u.shape[:first], math.prod(u.shape[first : last + 1]), *u.shape[last + 1 :])


@tensor_method("squeeze")
def squeeze(u: Tensor, dim: Axis = None, *, axis: Axis = None) -> Tensor:
    """The same elements without the axes of length 1: without all of them, or those of ``dim`` that are 1 long.

    ``axis`` is NumPy's name for ``dim``.
    """
    axes = normal_axes("squeeze", axis_or_dim("squeeze", axis, dim), max(u.ndim, 1))
    return u.reshape(tuple(n for i, n in enumerate(u.shape) if n != 1 or i not in axes))


@tensor_method("unsqueeze")
def unsqueeze(u: Tensor, dim: int) -> Tensor:
    """The same elements with a new axis of length 1 before axis ``dim``; -1 puts it last."""
    axis = one_axis("unsqueeze", dim, u.ndim + 1)
    return u.reshape(*u.shape[:axis], 1, *u.shape[axis:])


@tensor_method("transpose")
def transpose(u: Tensor, *axes: Any) -> Tensor:
    """All axes in another order, as in NumPy; reversed if none is given."""
    axes = tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
    order = normal_axes("transpose", axes or tuple(reversed(range(u.ndim))), u.ndim)
    if len(order) != u.ndim:
        raise ValueError(f"transpose: axes {axes} must name all {u.ndim} axes; swapaxes(a, b) swaps two")

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy with the axes of u"""
        return g.transpose(np.argsort(order).tolist())

    data = u._data.transpose(order)
    data.setflags(write=False)
    formula = "the same numbers, axes in another order"
    return record("transpose", data, (u,), (grad_u,), kind="movement", formula=formula, axes=order)


tensor_method("T")(property(transpose, doc="All axes reversed."))


@tensor_method("permute")
def permute(u: Tensor, *dims: Any) -> Tensor:
    """All axes in another order, each named once: `transpose` under PyTorch's name."""
    dims = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
    order = normal_axes("permute", dims, u.ndim)
    if len(order) != u.ndim:
        raise ValueError(f"permute: dims {dims} must name all {u.ndim} axes {shapes(x=u)}")
    return u.transpose(order)


@tensor_method("swapaxes")
def swapaxes(u: Tensor, a: int, b: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(u.ndim))
    a, b = (one_axis("swapaxes", axis, u.ndim) for axis in (a, b))
    order[a], order[b] = b, a
    return u.transpose(*order)


@tensor_method("broadcast_to")
def broadcast_to(u: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Axes of length 1, and missing leading ones, repeated (not copied) to fill ``shape``."""
    if type(shape) is tuple and u.shape == shape:
        return u
    try:
        data = np.broadcast_to(u._data, shape)
    except (OverflowError, TypeError, ValueError):
        got = abbreviated(shape)
        raise ValueError(f"broadcast_to: shape {u.shape} does not stretch to {got}") from None

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy, summed over the repetitions"""
        return g  # the engine sums over broadcast axes

    formula = "the same numbers, repeated"
    return record("broadcast_to", data, (u,), (grad_u,), kind="movement", formula=formula, shape=data.shape)


@tensor_method("__getitem__")
def getitem(u: Tensor, index: Any) -> Tensor:
    """NumPy's indexing, basic and advanced; an element that is read twice receives both gradients."""
    try:
        where = _plain_index(index)
        data = np.asarray(u._data[where])
    except (IndexError, OverflowError, TypeError, ValueError) as error:
        raise IndexError(f"indexing: {error} (shape {u.shape})") from None
    shape = u.shape

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy at the elements that were read, else 0"""
        return put(g, where, shape)

    if data.base is not None:
        data.setflags(write=False)
    return record("getitem", data, (u,), (grad_u,), kind="movement", formula="some of the numbers", index=where)


def put(g: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of ``shape`` with ``g`` added at ``index``: the transpose of indexing."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/dy at the index"""
        return v[index]

    data = np.zeros(shape, g.dtype)
    if _is_basic(index):
        data[index] = g.data
    else:
        without_warnings.run(np.add.at, data, index, g.data)
    formula = "the same numbers among zeros"
    return record("put", data, (g,), (grad_g,), kind="movement", formula=formula, index=index)


def pad(x: Tensor, widths: int | Sequence[tuple[int, int]], *, value: float = 0.0) -> Tensor:
    """``x`` with a border of ``value``.

    Args:
        x: any shape.
        widths: (before, after) for each axis, as in `numpy.pad`; one integer pads the last two axes on all sides.
        value: the number that fills the border.

    Raises:
        ValueError: a width is negative, or there is another number of pairs than axes.

    >>> pad(Tensor([[1.0]]), 1)
    Tensor([[0., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]])
    """
    x = as_float(as_tensor("pad", x))
    if isinstance(widths, np.ndarray | np.generic):
        widths = widths.tolist()
    if isinstance(widths, int) and x.ndim >= 2:
        widths = ((0, 0),) * (x.ndim - 2) + ((widths, widths),) * 2
    if not isinstance(widths, Sequence) or len(widths) != x.ndim:
        got = f"got {abbreviated(widths)} {shapes(x=x)}"
        raise ValueError(f"pad: widths must be one (before, after) for each axis, {got}")
    sides = tuple(pair("pad", "each of widths", w, 0) for w in widths)
    inner = tuple(slice(before, before + n) for (before, _), n in zip(sides, x.shape, strict=True))
    if as_tensor("pad", np.asarray(value)).ndim:
        raise ValueError(f"pad: value must be one number, got {abbreviated(value)}")
    with np.errstate(over="ignore"):
        value = np.asarray(value).astype(x.dtype).item()

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy without the border"""
        return g[inner]

    data = np.full([before + n + after for (before, after), n in zip(sides, x.shape, strict=True)], value, x.dtype)
    data[inner] = x.data
    formula = "the same numbers with a border"
    anomaly = state.anomaly
    state.anomaly = anomaly and math.isfinite(value)  # an infinite border is no anomaly
    try:
        return record("pad", data, (x,), (grad_x,), kind="movement", formula=formula, widths=sides, value=value)
    finally:
        state.anomaly = anomaly


def concatenate(tensors: Sequence[Tensor], axis: int = Default(0), *, dim: int | None = None) -> Tensor:
    """Tensors joined along ``axis``, in PyTorch's words ``dim``.

    Raises:
        ValueError: there are none, or another axis differs in length.

    >>> concatenate([Tensor([1.0]), Tensor([2.0, 3.0])])
    Tensor([1., 2., 3.])
    """
    name = "concatenate"
    if not isinstance(tensors, tuple | list) or not tensors:
        raise ValueError(f"{name}: takes a list of one or more tensors")
    parts = [as_float(as_tensor(name, t)) for t in tensors]
    for k in range(1, len(parts)):  # the widest type among them, as elsewhere
        parts[0], _ = same_float(parts[0], parts[k])
    parts = [same_float(t, parts[0])[0] for t in parts]
    axis = one_axis(name, axis_or_dim(name, axis, dim), parts[0].ndim)
    try:
        data = np.concatenate([t.data for t in parts], axis=axis)
    except ValueError:
        got = ", ".join(str(t.shape) for t in parts)
        raise ValueError(f"{name}: shapes may differ along axis {axis} only, got {got}") from None
    ends = np.cumsum([t.shape[axis] for t in parts]).tolist()

    def rule(k: int) -> Any:
        where = (slice(None),) * axis + (slice(ends[k] - parts[k].shape[axis], ends[k]),)

        def grad_part(g: Tensor, y: Tensor) -> Tensor:
            """dC/du = dC/dy where u stands in y"""
            return g[where]

        return grad_part

    rules = tuple(map(rule, range(len(parts))))
    return record(name, data, tuple(parts), rules, kind="movement", formula="the same numbers, joined", axis=axis)


def stack(tensors: Sequence[Tensor], axis: int = Default(0), *, dim: int | None = None) -> Tensor:
    """Tensors of one shape joined along a new axis, in PyTorch's words ``dim``.

    Raises:
        ValueError: there are none, or their shapes differ.

    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    if not isinstance(tensors, tuple | list) or not tensors:
        raise ValueError("stack: takes a list of one or more tensors")
    parts = [as_float(as_tensor("stack", t)) for t in tensors]
    if len({t.shape for t in parts}) > 1:
        raise ValueError(f"stack: all shapes must be the same, got {', '.join(str(t.shape) for t in parts)}")
    axis = one_axis("stack", axis_or_dim("stack", axis, dim), parts[0].ndim + 1)
    return concatenate([unsqueeze(t, axis) for t in parts], axis)


def where(condition: object, a: Tensor | float, b: Tensor | float) -> Tensor:
    """``a`` where the condition holds, else ``b``; all three broadcast.

    >>> where(np.array([True, False]), Tensor([1.0, 2.0]), 0.0)
    Tensor([1., 0.])
    """
    mask = as_tensor("where", condition).data.astype(bool)
    u, v = same_float(as_tensor("where", a), as_tensor("where", b))
    try:
        data = np.where(mask, u.data, v.data)
    except ValueError:
        raise ValueError(f"where: {mask.shape} does not broadcast with {shapes(a=u, b=v)}") from None
    taken = np.broadcast_to(mask, data.shape)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy where u was taken, else 0"""
        return relu_backward(g, taken)

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = dC/dy where v was taken, else 0"""
        return relu_backward(g, ~taken)

    return record("where", data, (u, v), (grad_u, grad_v), kind="arithmetic", formula="y = u or v, by a condition")


def _is_basic(index: Any) -> bool:
    """True if the index reads each element at most once: it has integers, slices, None and ``...`` only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        i is None or i is Ellipsis or (isinstance(i, slice | int | np.integer) and not isinstance(i, bool))
        for i in parts
    )


def _plain_index(index: Any) -> Any:
    """The index with copies of its tensors, lists and arrays: a rule reads it later."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    if isinstance(index, Tensor | list | np.ndarray):
        array = np.array(index)
        return array if array.size else array.astype(array.dtype if array.dtype == bool else int)
    return index
