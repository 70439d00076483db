"""A recipe: the function that builds a network, and the settings to train it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import optim
from ..checks import abbreviated
from ..data import Augmentation
from ..nn import Module
from ..ops import cross_entropy
from .network import BuildFn, Cost

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}


def one_cycle(optimizer: optim.Optimizer, total_steps: int) -> optim.Schedule:
    """Return `OneCycle` with the optimizer's learning rate as the highest."""
    return optim.OneCycle(optimizer, optimizer.lr, total_steps)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and the settings it is trained with; each can be overridden on the command line.

    Attributes:
        build: appends the layers to a `Builder`.
        source: where the network and its settings come from.
        epochs, batch_size: passes over the training images, and images per update.
        optimizer: a key of `OPTIMIZERS`.
        lr: the learning rate; the highest one where a schedule changes it.
        options: the optimizer's other arguments.
        schedule: makes the learning-rate schedule of an optimizer for a number of steps; None keeps the rate.
        cost: the cost of scores and labels that training makes small.
        augment: a random change of every batch; None for none.
        shifted: train on five times the images, shifted by a pixel each way (`expand_shifted`).
        validation: the fraction of the training images held out; the epoch that does best on them counts.
        patience: the epochs without a new best after which training stops; None for all epochs.
        ema: the decay per update of the running average of the weights that is used in the end; None for the last
            weights.
    """

    build: BuildFn
    source: str
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Callable[[optim.Optimizer, int], optim.Schedule] | None = None
    cost: Cost = cross_entropy
    augment: Augmentation | None = None
    shifted: bool = False
    validation: float = 0.0
    patience: int | None = None
    ema: float | None = None

    def make_optimizer(self, model: Module, name: str | None = None, lr: float | None = None) -> optim.Optimizer:
        """Return the recipe's optimizer for a model's parameters, or another one with its own defaults.

        Args:
            model: the network.
            name: a key of `OPTIMIZERS`; the recipe's when None.
            lr: the learning rate; the recipe's when None.

        Raises:
            ValueError: there is no optimizer of that name.
        """
        if name is not None and name not in list(OPTIMIZERS):
            raise ValueError(f"make_optimizer: name must be one of {', '.join(OPTIMIZERS)}, got {abbreviated(name)}")
        options = self.options if name in (None, self.optimizer) else {}
        return OPTIMIZERS[name or self.optimizer](model.parameters(), self.lr if lr is None else lr, **options)
