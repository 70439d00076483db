"""Costs: the error of the network's scores, as one number."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..autograd.operands import as_float, same_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import shapes
from ..kernels.exponentials import log_softmax
from ..kernels.warnings import without_warnings
from .activation import softmax, softmax_backward


def cross_entropy(logits: Tensor, labels: ArrayLike | Tensor) -> Tensor:
    """``-log softmax(logits)[label]``, in nats, mean over the batch; softmax and logarithm in one stable step.

    An infinite cost means that the label's logit was -inf.

    Args:
        logits: raw scores ``(N, K)``.
        labels: integers ``(N,)`` in 0 .. K - 1.

    Raises:
        ValueError: other shapes, an empty batch or a label outside.
        TypeError: labels that are not integers.

    Source: M. Nielsen, *Neural Networks and Deep Learning*, chapter 3.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), [1])
    Tensor(0.6931472)
    """
    z = as_float(as_tensor("cross_entropy", logits))
    targets = _labels("cross_entropy", labels, z)
    log_a = log_softmax(z.data, 1)

    def grad_z(g: Tensor, y: Tensor) -> Tensor:
        """dC/dz = (softmax(z) - one_hot(label)) / N: what the network said, less what it should have"""
        return cross_entropy_backward(g, z, np.exp(log_a), targets)

    data = without_warnings.run(np.add.reduce, log_a[np.arange(len(targets)), targets]) / -len(targets)
    formula = "C = -log softmax(z)[label], mean over the batch"
    return record("cross_entropy", data, (z,), (grad_z,), kind="cost", formula=formula, labels=targets)


def cross_entropy_backward(g: Tensor, z: Tensor, a: NDArray[Any], labels: NDArray[Any]) -> Tensor:
    """``(a - one_hot(labels)) g / N`` with a = softmax(z): the rule of `cross_entropy`."""
    n = len(labels)

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = the sum of dC/dy (a - one_hot(label)) / N"""
        one_hot = np.zeros_like(a)
        one_hot[np.arange(n), labels] = 1
        return (v * (softmax(z) - one_hot)).sum() / n

    def grad_z(v: Tensor, y: Tensor) -> Tensor:
        """dC/dz = a * (u - sum(u * a)) with u = dC/dy g / N"""
        return softmax_backward(v * (g / n), softmax(z))

    data = a.copy()
    data[np.arange(n), labels] -= 1
    without_warnings.run(np.multiply, data, g.data / n, out=data)
    formula = "y = (a - one_hot(label)) g / N with a = softmax(z)"
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


def _labels(op: str, labels: ArrayLike | Tensor, logits: Tensor) -> NDArray[Any]:
    """A copy of the labels, which a rule reads later; ValueError or TypeError unless they fit the logits."""
    try:
        targets = np.array(labels.data if isinstance(labels, Tensor) else labels)
    except ValueError:
        raise ValueError(f"{op}: labels must be (N,), one class index for each row, got a ragged sequence") from None
    if logits.ndim == 2 and logits.size and targets.dtype.kind in "iu" and targets.shape == logits.shape[:1]:
        least, most = np.minimum.reduce(targets), np.maximum.reduce(targets)
        if least < 0 or most >= logits.shape[1]:
            raise ValueError(f"{op}: labels must be between 0 and {logits.shape[1] - 1}, got {least} to {most}")
        return targets
    got = f"(logits.shape={logits.shape}, labels.shape={targets.shape}, dtype {targets.dtype})"
    if logits.ndim != 2 or not logits.size:
        raise ValueError(f"{op}: logits must be (N, K) and not empty {got}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers, one class index for each row {got}")
    raise ValueError(f"{op}: labels must be (N,), one class index for each row (not one-hot) {got}")
