"""The rules of the rules: the first gradients as a subject."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import backward_pass
from ..modes import enable_grad
from ..tensor import Tensor, wrap
from .probing import Array
from .tensors import TensorSubject


class SecondSubject:
    """One number made of all first gradients of a function of tensors; see `probing.Subject`.

    Its gradients contain the second derivatives in every pair of inputs.

    Attributes:
        recorded: by input, False if the first gradients do not depend on it as far as the graph records.
    """

    float64_inputs: Sequence[bool] = ()

    def __init__(self, parent: TensorSubject, seed: int) -> None:
        self.parent, self.seed = parent, seed
        self.names, self.numbers, self.arrays = parent.names, parent.numbers, parent.arrays
        self.constants = parent.constants
        self.recorded = [True] * len(self.names)

    def _total(self, arrays: Sequence[Array]) -> tuple[Tensor, list[Tensor]]:
        """Return Σ s · dC/dx over all inputs, with fixed random s and dC/dy, and the inputs."""
        rng = np.random.default_rng(self.seed)
        y, leaves = self.parent.result(arrays)
        with enable_grad():
            total = wrap(np.zeros(()))
            if not y.requires_grad:
                return total, leaves
            g = wrap(rng.standard_normal(y.shape).astype(y.dtype))
            gradients = {id(t): s for t, s in backward_pass(y, g, leaves, retain_graph=True, record=True)}
            for t in leaves:
                weights = rng.standard_normal(t.shape)
                if id(t) in gradients:
                    total = total + (gradients[id(t)] * wrap(weights)).sum()
        return total, leaves

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return the number."""
        return self._total(arrays)[0].data

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return its gradient for each input."""
        total, leaves = self._total(arrays)
        rows = []
        for g in cotangents:
            pairs = {}
            if total.requires_grad:
                seed = wrap(np.array(g, total.dtype))
                pairs = {id(t): s.data for t, s in backward_pass(total, seed, leaves, retain_graph=True, record=False)}
            self.recorded = [id(t) in pairs for t in leaves]
            rows.append([pairs.get(id(t), np.zeros(t.shape)) for t in leaves])
        return rows
