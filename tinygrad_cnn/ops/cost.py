"""Costs: the error of the network's scores, as one number."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..autograd.operands import as_float, same_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import abbreviated, integer, number, shapes
from ..kernels.exponentials import log_softmax
from ..kernels.warnings import without_warnings
from .activation import softmax, softmax_backward


def cross_entropy(
    logits: Tensor,
    labels: ArrayLike | Tensor,
    *,
    weight: ArrayLike | Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """``-log softmax(logits)[label]``, in nats, mean over the batch; softmax and logarithm in one stable step.

    An infinite cost means that the label's logit was -inf.

    Args:
        logits: raw scores ``(N, K)``.
        labels: integers ``(N,)`` in 0 .. K - 1.
        weight: ``(K,)``, how much a row of each class counts; the mean is then over the weights.
        ignore_index: a label, in the range or not, whose rows do not count.
        label_smoothing: e, from 0 to 1, the part of the target that all classes share:
            ``-(1 - e) weight[label] log softmax[label] - e / K Σ_k weight[k] log softmax[k]``.
        reduction: "mean" over the rows that count (NaN if none does), "sum", or "none" for one cost a row, ``(N,)``.

    Raises:
        ValueError: other shapes, an empty batch or a label outside.
        TypeError: labels that are not integers.

    Source: M. Nielsen, *Neural Networks and Deep Learning*, chapter 3; label smoothing: C. Szegedy et al., "Rethinking
    the Inception Architecture for Computer Vision" (2016).

    >>> cross_entropy(Tensor([[0.0, 0.0]]), [1])
    Tensor(0.6931472)
    >>> cross_entropy(Tensor([[0.0, 0.0], [9.0, 9.0]]), [1, -1], ignore_index=-1, reduction="none")
    Tensor([0.6931472, 0.       ])
    """
    name = "cross_entropy"
    z = as_float(as_tensor(name, logits))
    ignore = None if ignore_index is None else integer(name, "ignore_index", ignore_index)
    targets, counts = _labels(name, labels, z, ignore)
    smoothing = number(name, "label_smoothing", label_smoothing, 0, 1)
    if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {abbreviated(reduction)}")
    weights = None if weight is None else _class_weights(name, weight, z)
    if weights is not None or smoothing or reduction != "mean" or counts is not None:
        return _weighted_cross_entropy(z, targets, counts, weights, smoothing, reduction)
    log_a = log_softmax(z.data, 1)

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = (softmax(z) - one_hot(label)) / N: what the network said, less what it should have"""
        difference = np.exp(log_a)
        difference[np.arange(len(targets)), targets] -= 1
        return cross_entropy_backward(g, z, difference, 1.0, len(targets))

    data = without_warnings.run(np.add.reduce, log_a[np.arange(len(targets)), targets]) / -len(targets)
    formula = "C = -log softmax(z)[label], mean over the batch"
    return record(name, data, (z,), (grad_z,), kind="cost", formula=formula, labels=targets)


def _weighted_cross_entropy(
    z: Tensor,
    labels: NDArray[Any],
    counts: NDArray[np.bool_] | None,
    weights: NDArray[Any] | None,
    smoothing: float,
    reduction: str,
) -> Tensor:
    """`cross_entropy` in general form; ``counts`` marks the rows that are not ignored, None all."""
    rows, classes = np.arange(len(labels)), z.shape[1]
    counts = np.ones(len(labels), bool) if counts is None else counts
    log_a = log_softmax(z.data, 1)
    each = np.ones(classes, z.dtype) if weights is None else weights
    with np.errstate(all="ignore"):
        costs = -log_a[rows, labels] * each[labels] * (1 - smoothing)
        if smoothing:
            costs -= (log_a * each).sum(1) * (smoothing / classes)
        costs[~counts] = 0
        divisor = each[labels].sum(where=counts) if reduction == "mean" else 1.0
        data = costs if reduction == "none" else np.add.reduce(costs) / divisor

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = (softmax(z) * sum(q) - q) / D: what the network said, less what it should have"""
        shares = np.zeros_like(log_a) + each * (smoothing / classes)
        shares[rows, labels] += each[labels] * (1 - smoothing)
        shares[~counts] = 0
        sums = shares.sum(1, keepdims=True)
        difference = np.exp(log_a) * sums - shares
        each_row = g.reshape(-1, 1) if g.ndim else g
        return cross_entropy_backward(each_row, z, difference, sums, divisor if counts.any() else math.inf)

    end = {"mean": "D = the sum of w[label]", "sum": "D = 1", "none": "one for each row, D = 1"}[reduction]
    formula = f"C = -sum(q log softmax(z)) / D, q = (1 - e) w[label] one_hot(label) + e w / K, {end}"
    params = {"labels": labels, "weight": weights, "label_smoothing": smoothing, "reduction": reduction}
    return record("cross_entropy", data, (z,), (grad_z,), kind="cost", formula=formula, **params)


def cross_entropy_backward(
    g: Tensor, z: Tensor, difference: NDArray[Any], sums: NDArray[Any] | float, divisor: float
) -> Tensor:
    """``difference g / divisor`` with ``difference = a sums - q`` and a = softmax(z): the rule of `cross_entropy`.

    Args:
        g: one number, or one for each row, ``(N, 1)``.
        z, difference: ``(N, K)``; q are the shares of the classes in the target of each row.
        sums: the rows' sums of q, one number or ``(N, 1)``.
        divisor: what the sum over the rows was divided by.
    """

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = the sum of dC/dy (a sum(q) - q) / D"""
        said = softmax(z) * sums
        shares = said.data - difference
        total: Tensor = (v * (said - shares)).sum(1 if g.ndim else None, keepdims=g.ndim > 0)
        return total / divisor

    def grad_z(v: Tensor, y: Tensor) -> Tensor:
        """dC/dz = a * (u - sum(u * a)) with u = dC/dy g sum(q) / D"""
        return softmax_backward(v * (g * sums / divisor), softmax(z))

    scale = without_warnings.run(np.true_divide, g.data, divisor)
    data = without_warnings.run(np.multiply, difference, scale)
    formula = "y = (a sum(q) - q) g / D with a = softmax(z)"
    return record("cross_entropy_backward", data, (g, z), (grad_g, grad_z), kind="arithmetic", formula=formula)


def quadratic_cost(a: Tensor, y: ArrayLike | Tensor) -> Tensor:
    """``½ ‖a - y‖²``, mean over the batch: the cost of the article and its primer.

    Args:
        a: activations ``(N, ...)``, or one vector ``(K,)``.
        y: the target activations, of the same shape: nothing is broadcast.

    Raises:
        ValueError: the shapes differ or the batch is empty.

    >>> quadratic_cost(Tensor([[1.0, 0.0]]), Tensor([[0.0, 0.0]]))
    Tensor(0.5)
    """
    name = "quadratic_cost"
    a, y = same_float(as_tensor(name, a), as_tensor(name, y))
    if a.shape != y.shape or not a.size:
        raise ValueError(f"{name}: a and y must have one shape, not empty {shapes(a=a, y=y)}")
    target, n = y, a.shape[0] if a.ndim > 1 else 1

    def grad_a(g: Tensor, c: Tensor) -> Tensor:
        """dC/da = (a - y) / N: the further off an activation is, the more it counts"""
        return (a - target) * (g / n)

    def grad_y(g: Tensor, c: Tensor) -> Tensor:
        """dC/dy = (y - a) / N"""
        return (target - a) * (g / n)

    error = without_warnings.run(np.subtract, a.data, y.data)
    formula = "C = 1/2 |a - y|^2, mean over the batch"
    return record(name, np.vdot(error, error) * 0.5 / n, (a, y), (grad_a, grad_y), kind="cost", formula=formula)


def _labels(
    op: str, labels: ArrayLike | Tensor, logits: Tensor, ignore: int | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A copy of the labels, which a rule reads later, and which rows count, None for all; the others have label 0.

    ValueError or TypeError unless the labels fit the logits.
    """
    try:
        targets = np.array(labels.data if isinstance(labels, Tensor) else labels)
    except ValueError:
        raise ValueError(f"{op}: labels must be (N,), one class index for each row, got a ragged sequence") from None
    if logits.ndim == 2 and logits.size and targets.dtype.kind in "iu" and targets.shape == logits.shape[:1]:
        counts = None
        if ignore is not None:
            counts = targets != ignore
            targets[~counts] = 0
        least, most = np.minimum.reduce(targets), np.maximum.reduce(targets)
        if least < 0 or most >= logits.shape[1]:
            hint = "; ignore_index=-100 leaves rows with that label out" if least == -100 else ""
            raise ValueError(f"{op}: labels must be between 0 and {logits.shape[1] - 1}, got {least} to {most}{hint}")
        return targets, counts
    got = f"(logits.shape={logits.shape}, labels.shape={targets.shape}, dtype {targets.dtype})"
    if logits.ndim != 2 or not logits.size:
        raise ValueError(f"{op}: logits must be (N, K) and not empty {got}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers, one class index for each row {got}")
    raise ValueError(f"{op}: labels must be (N,), one class index for each row (not one-hot) {got}")


def _class_weights(op: str, weight: ArrayLike | Tensor, logits: Tensor) -> NDArray[Any]:
    """The weights of the classes in the logits' type. ValueError for another shape, or if they require a gradient."""
    w = as_tensor(op, weight)
    if w.shape != logits.shape[1:]:
        raise ValueError(f"{op}: weight must have one number for each class {shapes(weight=w, logits=logits)}")
    if w.requires_grad:
        raise ValueError(f"{op}: weight must not require a gradient: none is computed for it; detach() it")
    return w.astype(logits.dtype).data
