"""Costs: how wrong the network's answer is, as one number."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..autograd.tensor import Tensor, as_float, as_tensor, record, same_float
from ..kernels.exponentials import log_softmax
from ..kernels.warnings import without_warnings
from .activation import softmax, softmax_backward


def cross_entropy(logits: Tensor, labels: ArrayLike | Tensor) -> Tensor:
    """``-log softmax(logits)[label]``, in nats, mean over the batch; softmax and logarithm in one stable step.

    Rule: ``(softmax(logits) - one_hot(labels)) / N``. An infinite cost means that the label's logit was -inf.

    Args:
        logits: raw scores ``(N, K)``.
        labels: integers ``(N,)`` in 0 .. K - 1.

    Raises ValueError for other shapes, an empty batch or a label outside, TypeError for labels that are not integers.

    Source: M. Nielsen, *Neural Networks and Deep Learning*, chapter 3.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), [1])
    Tensor(0.6931472)
    """
    z = as_float(as_tensor("cross_entropy", logits))
    chosen = _labels("cross_entropy", labels, z)
    log_a = log_softmax(z.data, 1)
    data = without_warnings(np.add.reduce, log_a[np.arange(len(chosen)), chosen]) / -len(chosen)
    return record(
        "cross_entropy", data, (z,), (lambda g, y: cross_entropy_backward(g, z, np.exp(log_a), chosen),), labels=chosen
    )


def cross_entropy_backward(g: Tensor, z: Tensor, a: NDArray[Any], labels: NDArray[Any]) -> Tensor:
    """The rule of `cross_entropy`, ``(a - one_hot(labels)) g / N`` with a = softmax(z).

    Its own rules: ``v · (a - one_hot) / N`` for g, and that of `softmax` for z.
    """
    one_hot, n = np.zeros_like(a), len(labels)
    one_hot[np.arange(n), labels] = 1
    return record(
        "cross_entropy_backward",
        without_warnings(np.multiply, a - one_hot, g.data / n),
        (g, z),
        (lambda v, y: (v * (softmax(z) - one_hot)).sum() / n, lambda v, y: softmax_backward(v * (g / n), softmax(z))),
    )


def quadratic_cost(a: Tensor, y: ArrayLike | Tensor) -> Tensor:
    """``½ ‖a - y‖²``, mean over the batch: the article's (and its primer's) cost. Rule: ``(a - y) / N``.

    Args:
        a: activations ``(N, ...)``, or one vector ``(K,)``.
        y: what they should be, of the same shape: nothing is broadcast.

    Raises ValueError when the shapes differ or the batch is empty.

    >>> quadratic_cost(Tensor([[1.0, 0.0]]), Tensor([[0.0, 0.0]]))
    Tensor(0.5)
    """
    name = "quadratic_cost"
    a, y = same_float(as_tensor(name, a), as_tensor(name, y))
    if a.shape != y.shape or not a.size:
        raise ValueError(f"{name}: a and y must have one shape, not empty {checks.shapes(a=a, y=y)}")
    n = a.shape[0] if a.ndim > 1 else 1
    off = without_warnings(np.subtract, a.data, y.data)
    return record(
        name,
        np.vdot(off, off) * 0.5 / n,
        (a, y),
        (lambda g, c: (a - y) * (g / n), lambda g, c: (y - a) * (g / n)),
    )


def _labels(op: str, labels: ArrayLike | Tensor, logits: Tensor) -> NDArray[Any]:
    try:
        chosen = np.array(labels.data if isinstance(labels, Tensor) else labels)  # its own: the rule reads them later
    except ValueError:
        raise ValueError(f"{op}: labels must be (N,), one class index for each row, got a ragged sequence") from None
    if logits.ndim == 2 and logits.size and chosen.dtype.kind in "iu" and chosen.shape == logits.shape[:1]:
        least, most = np.minimum.reduce(chosen), np.maximum.reduce(chosen)
        if least < 0 or most >= logits.shape[1]:
            raise ValueError(f"{op}: labels must be between 0 and {logits.shape[1] - 1}, got {least} to {most}")
        return chosen
    found = f"(logits.shape={logits.shape}, labels.shape={chosen.shape}, dtype {chosen.dtype})"
    if logits.ndim != 2 or not logits.size:
        raise ValueError(f"{op}: logits must be (N, K) and not empty {found}")
    if chosen.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers, one class index for each row {found}")
    raise ValueError(f"{op}: labels must be (N,), one class index for each row (not one-hot) {found}")
