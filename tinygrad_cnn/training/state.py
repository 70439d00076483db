"""The state of a run: everything that it needs to go on to the same bits, and how a state is taken over."""

import math
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from .. import checks
from ..data import Dataset
from ..data.batches import Batches
from ..models.saving import load_weights
from ..nn import Module
from ..optim import Optimizer, Schedule
from ..storage.archive import Arrays
from ..storage.atomic import CheckpointError
from .records import EpochRecord, History
from .rng import rng_states, set_rng_states
from .spec import Spec, dataset_spec, differences

_OPTIONAL: Spec = {"drop_last": False, "sample_weight": None}  # settings that a specification has where they are used


@dataclass(frozen=True)
class Settings:
    """The numbers that a run is made with; see `fit`."""

    epochs: int
    batch_size: int
    clip: float | None = None
    ema: float | None = None
    patience: int | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        assign = partial(object.__setattr__, self)  # plain numbers in place of NumPy's, whose small integers overflow
        assign("epochs", checks.integer("fit", "epochs", self.epochs, 1))
        assign("batch_size", checks.integer("fit", "batch_size", self.batch_size, 1))
        if self.clip is not None:
            assign("clip", checks.number("fit", "clip", self.clip, 0, math.inf))
        if self.ema is not None:
            assign("ema", checks.number("fit", "ema", self.ema, 0, 1))
        if self.patience is not None:
            assign("patience", checks.integer("fit", "patience", self.patience, 1))


class RunState:
    """The attributes of a `Run` that a checkpoint holds."""

    model: Module
    settings: Settings
    optimizer: Optimizer
    schedule: Schedule | None
    batches: Batches
    validation: Dataset | None
    average: Arrays | None
    best: Arrays | None
    history: History
    step: int
    images: int
    seconds: float
    overrides: list[str]
    settings_spec: Spec
    _generators: dict[str, np.random.Generator]
    _sums: list[Any]

    @property
    def epoch(self) -> int:
        """The number of epochs made."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """True when the run has ended."""
        raise NotImplementedError

    @cached_property
    def spec(self) -> Spec:
        """Everything that the run's bits depend on, by name: see `training.spec`."""
        data = dataset_spec("train", self.batches.dataset) | dataset_spec("validation", self.validation)
        return self.settings_spec | data

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a run needs to go on to the same bits: copies of arrays, and plain values."""
        return {
            "spec": self.spec,
            "model": self.model.state_dict(),
            "average": self.average and {k: a.copy() for k, a in self.average.items()},
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule and self.schedule.state_dict(),
            "generators": rng_states(self._generators),
            "batches": self.batches.state_dict(),
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "sums": self._sums,
            "history": [asdict(record) for record in self.history],
            "finished": self.finished,
        }

    def load_state_dict(self, state: Mapping[str, Any], *, override: bool = False) -> None:
        """Go on from the `state_dict` of a run that was made with the same settings.

        Args:
            state: arrays and plain values.
            override: where settings differ, go on with this run's, and name them in `overrides`. The epoch under way
                starts again if the training images, their order or the batch size differ; another optimizer, or one of
                other parameters, starts without a state; the best epoch is searched anew on other validation images.

        Raises:
            CheckpointError: the model differs, or a setting without ``override``; the message names all that do.
            ValueError, TypeError, KeyError: the state is not one of a run.
        """
        then = {"order seed": state["batches"]["seed"]} | state["spec"]
        if then["model"] != self.spec["model"]:
            raise CheckpointError(f"is of the model {then['model']}, this one is {self.spec['model']}")
        changes = differences(_OPTIONAL | then, _OPTIONAL | self.spec)
        if changes and not override:
            raise CheckpointError(f"is of another run: {'; '.join(changes.values())} (override takes the new ones)")
        self._load(state, changes.keys())
        self.overrides = [*changes.values(), *(self._schedule_consequences(then) if changes else [])]

    def _load(self, state: Mapping[str, Any], changes: Set[str] = frozenset()) -> None:
        """Load a state, but for the parts that depend on settings with these names."""
        load_weights(self.model, state["model"])
        self._load_optimizer(state, changes)
        self._load_batches(state, changes)
        if self.settings.ema is not None:
            self.average = {k: a.copy() for k, a in (state["average"] or state["model"]).items()}
        generators, states = self._generators, state["generators"]
        if _concern(changes, "layer"):
            generators = {name: rng for name, rng in generators.items() if name in states}
        set_rng_states(generators, states)
        self.best = state["best"]
        self.history[:] = [EpochRecord(**record) for record in state["history"]]
        if _concern(changes, "validation"):
            self.best = None
            self.history[:] = [replace(record, best=False) for record in self.history]
        self.step, self.images, self.seconds = int(state["step"]), int(state["images"]), float(state["seconds"])

    def _load_optimizer(self, state: Mapping[str, Any], changes: Set[str]) -> None:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if not changes & {"optimizer", "optimizer groups", "frozen"}:
            self.optimizer.load_state_dict(state["optimizer"])
        has_new_rate = _concern(changes, "lr", "schedule")
        if self.schedule is not None:
            own = self.schedule.state_dict() | {"steps": state["step"]}
            self.schedule.load_state_dict(own if has_new_rate else state["schedule"])
        elif has_new_rate:
            for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = lr

    def _load_batches(self, state: Mapping[str, Any], changes: Set[str]) -> None:
        batches, self._sums = state["batches"], list(state["sums"])
        if _concern(changes, "train", "batch_size", "order", "drop_last"):
            own = self.batches.state_dict()
            seed = own["seed"] if _concern(changes, "order") else batches["seed"]
            batches, self._sums = own | {"epoch": batches["epoch"], "seed": seed}, [0.0, 0, 0]
        self.batches.load_state_dict(batches)

    def _schedule_consequences(self, then: Spec) -> list[str]:
        """Return a line if the schedule goes on over another number of steps, and one if the run goes on beyond it."""
        planned = self.spec.get("schedule total_steps")
        if planned is None:
            return []
        before, lines = then.get("schedule total_steps", planned), []
        schedule, lr = f"schedule {self.spec['schedule']}", self.optimizer.lr
        if before != planned:
            what = f"was planned for {before} steps; it goes on over {planned}"
            lines = [f"{schedule} {what}, from step {self.step} at lr {lr:.3g}"]
        epochs, position = self.settings.epochs - self.epoch, self.batches.state_dict()["position"]
        last = self.step + epochs * len(self.batches) - position
        if last > planned:
            lines.append(f"{schedule} has {planned} steps; its last rate stays up to step {last}")
        return lines


def _concern(changes: Set[str], *groups: str) -> bool:
    """Return True if one of the settings with these names belongs to one of these groups, its name's first word."""
    return any(name.split()[0] in groups for name in changes)
