"""Reductions of ONNX, and what is counted or sorted along an axis."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, Value, as_tensor, axes_of, axis_of, check_size, integers, number, numbers_of, to_value
from .elementwise import extreme_over

Axes = tuple[int, ...]
_Reduce = Callable[[Any, Axes, bool], Any]


def _register(name: str, of_tensor: Callable[[Tensor, Axes, bool], Tensor], of_array: _Reduce) -> None:
    @reader(name)
    def compute(x: Value, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Value:
        chosen = [] if axes is None else integers(axes)
        if not chosen and noop_with_empty_axes:
            named: Axes = ()
        else:
            named = axes_of(chosen, x.ndim) if chosen else tuple(range(x.ndim))
        if isinstance(x, Tensor):
            return of_tensor(x, named, bool(keepdims))
        return np.asarray(of_array(x, named, bool(keepdims)))


def _sum(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    return x.sum(axes, keepdims)


def _mean(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    count = math.prod(x.shape[i] for i in axes)
    return x.sum(axes, keepdims) * (1 / count) if count else x.sum(axes, keepdims) * math.nan


def _product(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    """The product, by halves, so that the gradient is right also where a factor is 0."""
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*rest, *axes) if x.ndim else x
    rows = rows.reshape(*(x.shape[i] for i in rest), math.prod(x.shape[i] for i in axes))
    if rows.shape[-1] == 0:
        rows = as_tensor(np.ones((*rows.shape[:-1], 1), x.dtype)).astype(x.dtype)
    while (n := rows.shape[-1]) > 1:
        half = n // 2
        product = rows[..., :half] * rows[..., half : 2 * half]
        rows = ops.concatenate([product, rows[..., 2 * half :]], -1) if n % 2 else product
    return rows.reshape(tuple(1 if i in axes else m for i, m in enumerate(x.shape) if keepdims or i not in axes))


def _extreme(largest: bool) -> Callable[[Tensor, Axes, bool], Tensor]:
    def compute(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
        if math.prod(x.shape[i] for i in axes):
            return extreme_over(x, axes, keepdims, largest)
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
        return as_tensor(np.full(shape, -math.inf if largest else math.inf)).astype(x.dtype)

    return compute


def _extreme_of_array(largest: bool) -> _Reduce:
    def compute(x: Array, axes: Axes, keepdims: bool) -> Any:
        function = np.max if largest else np.min
        if x.dtype.kind == "b":
            return (np.any if largest else np.all)(x, axis=axes, keepdims=keepdims)
        info = np.iinfo(x.dtype)
        return function(x, axis=axes, keepdims=keepdims, initial=info.min if largest else info.max)

    return compute


def _log_sum_exp(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    """log(sum(e^x)), with the largest x subtracted first."""
    if not axes:
        return x
    if not math.prod(x.shape[i] for i in axes):
        return x.sum(axes, keepdims).log()
    top = numbers_of(x).max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    y = (x - top).exp().sum(axes, True).log() + top
    return y if keepdims else y.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes))


def _typed(f: Callable[[Array, Axes, bool], Any]) -> _Reduce:
    """Return a reduction of integers whose result has their type."""
    return lambda x, axes, keepdims: np.asarray(f(x, axes, keepdims)).astype(x.dtype)


_register("ReduceSum", _sum, _typed(lambda x, a, k: np.sum(x, axis=a, keepdims=k, dtype=x.dtype)))
_register("ReduceMean", _mean, _typed(lambda x, a, k: np.sum(x, axis=a, keepdims=k) // max(1, _count(x, a))))
_register("ReduceProd", _product, _typed(lambda x, a, k: np.prod(x, axis=a, keepdims=k, dtype=x.dtype)))
_register("ReduceMax", _extreme(True), _extreme_of_array(True))
_register("ReduceMin", _extreme(False), _extreme_of_array(False))
_register("ReduceL1", lambda x, a, k: x.abs().sum(a, k), _typed(lambda x, a, k: np.abs(x).sum(axis=a, keepdims=k)))
_register(
    "ReduceL2", lambda x, a, k: (x * x).sum(a, k).sqrt(),
    _typed(lambda x, a, k: np.sqrt(np.square(x.astype(np.float64)).sum(axis=a, keepdims=k))),
)  # fmt: skip
_register(
    "ReduceSumSquare", lambda x, a, k: (x * x).sum(a, k), _typed(lambda x, a, k: np.square(x).sum(axis=a, keepdims=k))
)
_register(
    "ReduceLogSum", lambda x, a, k: x.sum(a, k).log(),
    _typed(lambda x, a, k: np.log(x.sum(axis=a, keepdims=k, dtype=np.float64))),
)  # fmt: skip
_register(
    "ReduceLogSumExp", _log_sum_exp,
    _typed(lambda x, a, k: numbers_of(_log_sum_exp(as_tensor(x).astype(np.float64), a, k))),
)  # fmt: skip


def _count(x: Array, axes: Axes) -> int:
    return math.prod(x.shape[i] for i in axes)


def _arg(x: Value, last: bool, axis: int, keepdims: int, largest: bool) -> Value:
    a, axis = numbers_of(x), axis_of(axis, x.ndim)
    find = np.argmax if largest else np.argmin
    place = a.shape[axis] - 1 - find(np.flip(a, axis), axis) if last else find(a, axis)
    place = np.asarray(place, np.int64)
    return np.expand_dims(place, axis) if keepdims else place


@reader("ArgMax")
def argmax(x: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Value:
    """The place of the largest, the first of equals unless the last is selected."""
    return _arg(x, bool(select_last_index), axis, keepdims, True)


@reader("ArgMin")
def argmin(x: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Value:
    """The place of the smallest, the first of equals unless the last is selected."""
    return _arg(x, bool(select_last_index), axis, keepdims, False)


def along_axis(x: Value, places: Array, axis: int) -> Value:
    """`numpy.take_along_axis`; the gradient goes back to the elements that were taken."""
    if not isinstance(x, Tensor):
        return np.take_along_axis(x, places, axis)
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in places.shape)])
    index[axis] = places
    return x[tuple(index)]


@reader("TopK", outputs=2)
def top_k(x: Value, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Value, Value]:
    """The k largest or smallest along the axis, and their places; of equals the first comes first."""
    a, axis = numbers_of(x), axis_of(axis, x.ndim)
    count, n = int(number(k)), a.shape[axis]
    if largest:  # a stable sort of the reversed axis, reversed: so that of equals the first comes first
        order = n - 1 - np.flip(np.argsort(np.flip(a, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(a, axis, kind="stable")
    places = np.take(order, range(min(count, n)), axis).astype(np.int64)
    return along_axis(x, places, axis), places


@reader("CumSum")
def cumsum(x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
    """The sums of the elements up to each, with it unless ``exclusive``; from the end with ``reverse``."""
    i = axis_of(int(number(axis)), x.ndim)
    n = x.shape[i]
    check_size((n, n))
    sums = np.tri(n, n, -1 if exclusive else 0)
    matrix = sums if reverse else sums.T  # y = x matrix along the axis
    if not isinstance(x, Tensor):
        sums_of_x: Array = np.moveaxis(x, i, -1) @ matrix.astype(x.dtype)
        return np.moveaxis(sums_of_x, -1, i)
    return ops.matmul(x.swapaxes(i, -1), as_tensor(matrix).astype(x.dtype)).swapaxes(i, -1)


@reader("CumProd")
def cumprod(x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
    """The products of the elements up to each, with it unless ``exclusive``; from the end with ``reverse``."""
    i = axis_of(int(number(axis)), x.ndim)
    lead, n = (slice(None),) * i, x.shape[i]
    parts: list[Any] = [x[(*lead, slice(k, k + 1))] for k in (range(n - 1, -1, -1) if reverse else range(n))]
    one = as_tensor(np.ones((), np.float32)) if isinstance(x, Tensor) else np.ones((), x.dtype)
    running, results = parts[0] * 0 + one if parts else one, list[Any]()
    for part in parts:
        product = running * part
        results.append(running if exclusive else product)
        running = product
    ordered = results[::-1] if reverse else results
    if not ordered:
        return x
    return ops.concatenate(ordered, i) if isinstance(x, Tensor) else np.concatenate(ordered, i)


@reader("NonZero")
def nonzero(x: Value) -> Value:
    """The places of all elements but 0, (ndim, count)."""
    return np.array(np.nonzero(np.atleast_1d(numbers_of(x))), np.int64).reshape(max(x.ndim, 1), -1)


@reader("Unique", outputs=4)
def unique(x: Value, *, axis: int | None = None, sorted: int = 1, outputs: int) -> Any:
    """The distinct elements, the places where they stand first, each element's number among them, and their counts."""
    a = numbers_of(x)
    values, first, inverse, counts = np.unique(a, True, True, True, axis=axis)
    if not sorted:
        order = np.argsort(first, kind="stable")
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order, kind="stable")[inverse]
    results = (to_value(values), *(np.asarray(n.reshape(-1), np.int64) for n in (first, inverse, counts)))
    return results[:outputs] if outputs > 1 else results[0]
