"""The random generators of a model's layers, and their states."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn import Module
from ..nn.module import named_values

Rngs = dict[str, np.random.Generator]
RngStates = dict[str, dict[str, Any]]


def rngs(model: Module) -> Rngs:
    """Return every random generator of the model's layers, also inside lists, tuples and dicts, by dotted name."""
    return {
        f"{prefix}.{name}" if prefix else name: value
        for prefix, module in model.named_modules()
        for name, value in named_values(vars(module))
        if isinstance(value, np.random.Generator)
    }


def rng_states(generators: Rngs) -> RngStates:
    """Return the state of each generator."""
    return {name: dict(rng.bit_generator.state) for name, rng in generators.items()}


def set_rng_states(generators: Rngs, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Set each generator to its state."""
    for name, rng in generators.items():
        rng.bit_generator.state = states[name]
