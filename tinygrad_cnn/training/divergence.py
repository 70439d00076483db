"""Detect non-finite losses, gradients and weights, and name the op that made them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..autograd.engine import AnomalyError
from ..autograd.modes import detect_anomaly
from ..autograd.tensor import Tensor
from ..nn import Module


class DivergenceError(ValueError):
    """A cost, a gradient or a weight became infinite or NaN. The last checkpoint is from before."""


def nonfinite_value(model: Module, params: Sequence[Tensor], loss: float) -> str | None:
    """Name the cost, or else the first gradient, that is not finite after a backward pass; None if all are."""
    if not math.isfinite(loss):
        return f"the cost is {loss}"
    if all(p.grad is None or math.isfinite(np.add.reduce(p.grad.data, axis=None)) for p in params):
        return None
    names = (n for n, p in model.named_parameters() if p.grad is not None and not np.isfinite(p.grad.data).all())
    return f"the gradient of {next(names, 'a parameter')} is not finite"


def nonfinite_parameters(model: Module) -> list[str]:
    """Return the names of the parameters that hold a NaN or an infinity."""
    return [name for name, p in model.named_parameters() if not np.isfinite(p.data).all()]


def first_anomaly(cost: Callable[[], Tensor]) -> str | None:
    """Name the op that makes the first NaN or infinity in a forward and backward pass; None if there is none."""
    try:
        with detect_anomaly():
            cost().backward()
    except AnomalyError as error:
        return str(error)
    return None
