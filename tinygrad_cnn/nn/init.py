"""Initial values of parameters."""

import math

import numpy as np

from ..autograd.tensor import Tensor
from ..checks import generator
from .module import Parameter


def uniform(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator | None) -> Parameter:
    """Uniform in ±1/√fan_in, PyTorch's default initialisation of filters, weights and biases.

    Source: K. He et al., "Delving Deep into Rectifiers" (2015), with PyTorch's slope √5.
    """
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return Parameter(generator("init", rng).uniform(-bound, bound, shape).astype(np.float32))


def normal(shape: tuple[int, ...], std: float, rng: np.random.Generator | None) -> Parameter:
    """Normal with mean 0; ``std=1`` is the article's ``randn``, ``std=1/√fan_in`` Nielsen's."""
    return Parameter((generator("init", rng).standard_normal(shape) * std).astype(np.float32))


def fill_normal(parameter: Tensor, std: float, rng: np.random.Generator) -> None:
    """Fill a parameter in place with normal numbers of mean 0."""
    parameter.writable()[...] = rng.standard_normal(parameter.shape) * std
