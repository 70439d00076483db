"""Ops that move numbers and compute nothing: pad, concatenate, where."""

from collections.abc import Sequence

import numpy as np

from .. import checks
from ..autograd.tensor import Tensor, as_float, as_tensor, record, same_float
from ..checks import abbreviated, one_axis
from .activation import relu_backward

Sides = tuple[tuple[int, int], ...]


def pad(x: Tensor, widths: int | Sequence[tuple[int, int]], *, value: float = 0.0) -> Tensor:
    """``x`` with a border of ``value``; its rule crops the border off again.

    Args:
        x: any shape.
        widths: (before, after) for each axis, as in `numpy.pad`; one integer pads the last two axes on all sides.
        value: the border's number.

    Raises ValueError for a negative width or another number of pairs than axes.

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
        found = f"got {abbreviated(widths)} {checks.shapes(x=x)}"
        raise ValueError(f"pad: widths must be one (before, after) for each axis, {found}")
    sides = tuple(checks.pair("pad", "each of widths", w, 0) for w in widths)
    inner = tuple(slice(before, before + n) for (before, _), n in zip(sides, x.shape, strict=True))
    if as_tensor("pad", np.asarray(value)).ndim:
        raise ValueError(f"pad: value must be one number, got {abbreviated(value)}")
    with np.errstate(over="ignore"):
        value = np.asarray(value).astype(x.dtype).item()
    data = np.full([before + n + after for (before, after), n in zip(sides, x.shape, strict=True)], value, x.dtype)
    data[inner] = x.data
    return record("pad", data, (x,), (lambda g, y: g[inner],), widths=sides, value=value)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along ``axis``; its rule cuts the gradient where they were joined.

    Raises ValueError when there are none or another axis differs in length.

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
    along = one_axis(name, axis, parts[0].ndim)
    try:
        data = np.concatenate([t.data for t in parts], axis=along)
    except ValueError:
        shapes = ", ".join(str(t.shape) for t in parts)
        raise ValueError(f"{name}: shapes may differ along axis {axis} only, got {shapes}") from None
    ends = np.cumsum([t.shape[along] for t in parts])
    return record(
        name, data, tuple(parts), tuple(_cut(along, end, t) for end, t in zip(ends, parts, strict=True)), axis=along
    )


def _cut(axis: int, end: int, part: Tensor):  # type: ignore[no-untyped-def]
    where = (slice(None),) * axis + (slice(int(end) - part.shape[axis], int(end)),)
    return lambda g, y: g[where]


def where(condition: object, a: Tensor | float, b: Tensor | float) -> Tensor:
    """``a`` where the condition holds, else ``b``; broadcast. The gradient goes to the one that was taken.

    >>> where(np.array([True, False]), Tensor([1.0, 2.0]), 0.0)
    Tensor([1., 0.])
    """
    chosen = as_tensor("where", condition).data.astype(bool)
    a_, b_ = same_float(as_tensor("where", a), as_tensor("where", b))
    try:
        data = np.where(chosen, a_.data, b_.data)
    except ValueError:
        raise ValueError(f"where: {chosen.shape} does not broadcast with {checks.shapes(a=a_, b=b_)}") from None
    taken = np.broadcast_to(chosen, data.shape)
    return record(
        "where", data, (a_, b_), (lambda g, y: relu_backward(g, taken), lambda g, y: relu_backward(g, ~taken))
    )
