"""Matrix products of ONNX."""

from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, UnsupportedError, Value, as_tensor, check_size, numbers_of


@reader("MatMul")
def matmul(a: Value, b: Value) -> Value:
    """The matrix product; leading axes are batches."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return ops.matmul(as_tensor(a), as_tensor(b))
    return np.asarray(np.matmul(a, b))


@reader("Gemm")
def gemm(
    a: Value, b: Value, c: Value | None = None, *, alpha: float = 1.0, beta: float = 1.0, broadcast: int = 1,
    transA: int = 0, transB: int = 0,
) -> Value:  # fmt: skip
    """``alpha a b + beta c``, a and b transposed on demand; c broadcasts."""
    if not isinstance(a, Tensor):
        x, y = (a.T if transA else a).astype(np.int64), numbers_of(b).T if transB else numbers_of(b)
        product: Array = np.rint(alpha * (x @ y) + (0 if c is None else beta * numbers_of(c))).astype(a.dtype)
        return product
    left, right = a.T if transA else a, as_tensor(b) if transB else as_tensor(b).T
    bias = None if c is None or beta == 0 else as_tensor(c)
    plain = bias is not None and alpha == beta == 1 and bias.shape == right.shape[:1]
    y_tensor = ops.linear(left, right, bias if plain else None)
    y_tensor = y_tensor if alpha == 1 else y_tensor * alpha
    return y_tensor if bias is None or plain else y_tensor + (bias if beta == 1 else bias * beta)


@reader("Einsum")
def einsum(*operands: Value, equation: str) -> Value:
    """Einstein's sum: products over shared indices, summed over those that the result does not have."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise UnsupportedError(f"equation={equation!r} has {len(terms)} terms for {len(operands)} inputs")
    if not any(isinstance(v, Tensor) for v in operands):
        return np.asarray(np.einsum(text, *operands))
    dots = max(
        (v.ndim - len(t.replace("...", "")) for t, v in zip(terms, operands, strict=True) if "..." in t), default=0
    )
    named = [_indices(t, v.ndim, dots) for t, v in zip(terms, operands, strict=True)]
    counts = {i: sum(list(t).count(i) for t in named) for t in named for i in t}
    ellipsis = [f".{k}" for k in range(dots)]
    result = _indices(right, len(right.replace("...", "")) + dots, dots) if arrow else [
        *ellipsis, *sorted(i for i in counts if counts[i] == 1 and not i.startswith("."))
    ]  # fmt: skip
    order = [*result, *(i for i in counts if i not in result)]
    product: Tensor | None = None
    for indices, value in zip(named, operands, strict=True):
        part = _spread(as_tensor(value), indices, order)
        if product is not None:
            check_size(np.broadcast_shapes(product.shape, part.shape))
        product = part if product is None else product * part
    assert product is not None
    return product.sum(tuple(range(len(result), len(order)))) if len(order) > len(result) else product


def _indices(term: str, ndim: int, dots: int) -> list[str]:
    """The index of each axis of a term; those of an ellipsis are called .0, .1 ..., aligned at the last one."""
    before, middle, after = term.partition("...")
    count = ndim - len(before) - len(after)
    return [*before, *(f".{dots - count + k}" for k in range(count if middle else 0)), *after]


def _spread(x: Tensor, indices: list[str], order: list[str]) -> Tensor:
    """Return x with its axes in order, with an axis of length 1 for each index that it lacks, and diagonals."""
    for i in dict.fromkeys(indices):
        while indices.count(i) > 1:  # a diagonal
            a, b = (k for k, name in enumerate(indices) if name == i)
            rest = [k for k in range(x.ndim) if k not in (a, b)]
            places = np.arange(x.shape[a])
            x = x.transpose(a, b, *rest)[places, places]
            indices = [i, *(indices[k] for k in rest)]
    x = x.transpose(*(indices.index(i) for i in order if i in indices))
    lengths = iter(x.shape)
    return x.reshape(tuple(next(lengths) if i in indices else 1 for i in order))


@reader("Det")
def determinant(x: Tensor) -> Value:
    """The determinant, by products over the permutations of small matrices' rows."""
    n = x.shape[-1]
    if n > 4:
        raise ValueError(f"determinants are computed of matrices up to 4x4, got {x.shape}")
    return _minor(x, tuple(range(n)), 0)


def _minor(x: Tensor, columns: tuple[int, ...], row: int) -> Tensor:
    """Laplace's expansion by the rows from ``row`` on."""
    if len(columns) == 1:
        return x[..., row, columns[0]]
    total: Any = 0.0
    for k, column in enumerate(columns):
        rest = columns[:k] + columns[k + 1 :]
        total = x[..., row, column] * _minor(x, rest, row + 1) * (-1) ** k + total
    return as_tensor(total)
