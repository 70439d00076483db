"""The named networks, each with its recipe: the settings that it was tuned with and where they come from.

>>> model = build("nielsen", image_shape=(1, 28, 28), num_classes=10, rng=np.random.default_rng(0))
>>> sum(row.parameters for row in summarize(model, (1, 28, 28)))
85670
"""

from collections.abc import Sequence

import numpy as np

from .. import checks, nn
from .network import Builder, BuildFn, Cost, Network, as_network, cost_of, probabilities
from .recipe import OPTIMIZERS, Recipe, one_cycle
from .recipes import RECIPES
from .summary import LayerSummary, output_shape, summarize

__all__ = [
    "OPTIMIZERS",
    "RECIPES",
    "BuildFn",
    "Builder",
    "Cost",
    "LayerSummary",
    "Network",
    "Recipe",
    "as_network",
    "build",
    "cost_of",
    "one_cycle",
    "output_shape",
    "probabilities",
    "summarize",
]


def build(
    name: str,
    image_shape: tuple[int, ...] = (1, 28, 28),
    num_classes: int = 10,
    *,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
    rng: np.random.Generator | None = None,
) -> Network:
    """Return the named network, freshly initialised, for images of shape (C, H, W).

    Args:
        name: a key of `RECIPES`.
        image_shape: the images' shape; the network adapts to it.
        num_classes: the number of scores.
        normalize: the mean and the standard deviation of each channel, for an `nn.Normalize` before all other layers
            (`Dataset.mean_and_std` measures them); None for none.
        rng: random generator for initialisation and dropout; the same state gives the same network.

    Raises:
        ValueError: an unknown name, or images that are too small for the network or larger than 256 pixels.
    """
    if name not in RECIPES:
        raise ValueError(f"models: there is no model {name!r}; there are {', '.join(RECIPES)}")
    builder, recipe = Builder(image_shape, num_classes, checks.generator("models", rng)), RECIPES[name]
    recipe.build(builder)
    first = [] if normalize is None else [nn.Normalize(*normalize)]
    return Network(name, builder.image_shape, builder.num_classes, [*first, *builder.layers], recipe.cost)
