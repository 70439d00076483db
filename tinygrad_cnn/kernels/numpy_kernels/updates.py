"""The steps of the optimizers, pass by pass; `Optimizer.step` keeps NumPy's warnings off, once for all parameters."""

import numpy as np

from ..interface import Array, Betas
from ..memory import empty_like


def sgd(p: Array, g: Array, v: Array | None, lr: float, momentum: float, nesterov: bool) -> None:
    """The velocity first, then the step along it."""
    if v is not None:
        v *= momentum
        v += g
        g = g + momentum * v if nesterov else v
    p -= np.multiply(g, p.dtype.type(lr), out=empty_like(p))


def adam(p: Array, g: Array, m: Array, v: Array, rate: float, betas: Betas, spread: float, eps: float) -> None:
    """The two running means first, then the step."""
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    p -= rate * m / (np.sqrt(v / spread) + eps)
