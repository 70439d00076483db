"""The named networks, each with its recipe: the settings that it was tuned with and where they come from.

>>> model = build("nielsen", image_shape=(1, 28, 28), num_classes=10, rng=np.random.default_rng(0))
>>> sum(row.parameters for row in summarize(model, (1, 28, 28)))
85670
"""

import numpy as np

from .answer import cost_of, probabilities
from .network import Builder, Network
from .recipe import OPTIMIZERS, Cost, Recipe
from .recipes import RECIPES
from .summary import LayerSummary, output_shape, summarize

__all__ = [
    "OPTIMIZERS",
    "RECIPES",
    "Cost",
    "Draft",
    "LayerSummary",
    "Network",
    "Recipe",
    "build",
    "cost_of",
    "output_shape",
    "probabilities",
    "summarize",
]


def build(
    name: str,
    image_shape: tuple[int, ...] = (1, 28, 28),
    num_classes: int = 10,
    *,
    rng: np.random.Generator | None = None,
) -> Network:
    """The named network with fresh first values, for images of shape (C, H, W).

    Args:
        name: a key of `RECIPES`.
        image_shape: the images' shape; the network adapts to it.
        num_classes: how many classes there are.
        rng: where first values and dropout's masks come from; the same state gives the same network.

    Raises ValueError for an unknown name, or images that are too small for the network or larger than 256 pixels.
    """
    if name not in RECIPES:
        raise ValueError(f"models: there is no model {name!r}; there are {', '.join(RECIPES)}")
    draft = Builder(tuple(image_shape), num_classes, rng or np.random.default_rng())
    RECIPES[name].draw(draft)
    return Network(name, tuple(image_shape), num_classes, draft.layers)
