"""A training run: one update after another, the records of each, and everything that a checkpoint holds."""

import math
import time
from collections.abc import Generator, Mapping, Set
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.tensor import wrap
from ..data import Augmentation, Dataset, batches
from ..models import Cost
from ..models.saving import load_weights
from ..nn import Module
from ..optim import Optimizer, Schedule, clip_grad_norm
from ..storage.archive import Arrays
from ..storage.atomic import CheckpointError, PathLike, check_target
from . import checkpoint
from .checkpoint import Checkpoint
from .divergence import DivergenceError, first_anomaly, nonfinite_parameters, nonfinite_value
from .evaluate import Evaluation, cost_value, evaluate, training_mode
from .records import EpochRecord, History, Record, StepRecord
from .rng import RngStates, rng_states, rngs, set_rng_states
from .spec import Spec, dataset_spec, differences, run_spec

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """The numbers that a run is made with; see `fit`."""

    epochs: int
    batch_size: int
    clip: float | None = None
    ema: float | None = None
    patience: int | None = None

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


class Run:
    """One training, as `train` returns it: iterate over it, once, to train and to get its records.

    Attributes:
        history: the records of all epochs so far, those before an interruption included.
        step, images: updates made and images seen so far.
        seconds: time from the first batch to the last update.
        path: the checkpoint; None without one.
        overrides: a line for each setting of a resumed run that is not the checkpoint's, and for its consequences.
    """

    def __init__(
        self,
        model: Module,
        train: Dataset,
        settings: Settings,
        optimizer: Optimizer,
        schedule: Schedule | None,
        cost: Cost,
        validation: Dataset | None,
        augment: Augmentation | None,
        rng: np.random.Generator | None,
    ) -> None:
        self.model, self.settings, self.cost, self.validation = model, settings, cost, validation
        self.optimizer, self.schedule = optimizer, schedule
        self.batches = batches(train, settings.batch_size, rng=rng, augment=augment, prefetch=augment is not None)
        self.history = History()
        self.step = self.images = 0
        self.seconds = 0.0
        self.average: Arrays | None = None if settings.ema is None else model.state_dict()
        self.best: Arrays | None = None
        self.path: Path | None = None
        self.overrides: list[str] = []
        self.settings_spec = asdict(settings) | run_spec(model, optimizer, schedule, cost, augment)
        if rng is not None:  # else any order will do
            self.settings_spec["order seed"] = self.batches.seed
        self._generators = rngs(model)
        self._sums = [0.0, 0, 0]  # of this epoch: cost times images, recognised images, images
        self._started: float | None = None  # when `seconds` were 0, by time.perf_counter

    # Training ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Generator[Record, None, None]:
        """Train, and yield each record. Leaving the loop early saves the run, if it has a checkpoint."""
        if self._started is not None:
            raise ValueError("fit: this run was started before; to go on, fit again with its checkpoint and resume")
        self._started = time.perf_counter() - self.seconds
        self._saved = time.perf_counter()
        with training_mode(self.model):
            try:
                while not self.finished:
                    for images, labels in self.batches:
                        record = self._step(images, labels)
                        self._save_if_due()
                        yield record
                    yield self._end_epoch()
            except GeneratorExit:  # the loop was left between two updates
                self.save()
                raise
            self.save()
            self._load_best_weights()

    @property
    def epoch(self) -> int:
        """The number of epochs made."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """True when all epochs are made, or as many in a row as `patience` allows were not the best."""
        if self.epoch >= self.settings.epochs:
            return True
        patience = self.settings.patience or self.settings.epochs
        return self.epoch >= patience and not any(r.best for r in self.history[-patience:])

    def best_weights(self) -> Arrays:
        """Return the weights to use if training ended here: see `fit`."""
        return self.best or self.average or self.model.state_dict()

    def _load_best_weights(self) -> None:
        load_weights(self.model, self.best_weights())

    def _step(self, images: Images, labels: Labels) -> StepRecord:
        states = rng_states(self._generators)
        lr = self.optimizer.lr
        with np.errstate(all="ignore"):  # what is not finite is found below, and named
            loss, right, count = self._gradients(images, labels)
            if fault := nonfinite_value(self.model, self.optimizer.params, loss):
                raise self._divergence(fault, images, labels, states)
            self._update()
        self.step += 1
        self.images += count
        self._sums = [a + b for a, b in zip(self._sums, (loss * count, right, count), strict=True)]
        self.seconds = time.perf_counter() - (self._started or 0.0)
        batch = self.batches.state_dict()["position"]
        return StepRecord(
            self.step, self.epoch + 1, batch, len(self.batches), count, loss, right / count, lr, self.seconds
        )

    def _gradients(self, images: Images, labels: Labels) -> tuple[float, int, int]:
        """Set the gradients of a batch. Returns its cost, how many images were recognised, and how many there are."""
        scores = self.model(wrap(images))
        cost = cost_value("fit", self.cost, scores, labels)
        self.optimizer.zero_grad()
        cost.backward()
        return float(cost.item()), int((scores.data.argmax(axis=1) == labels).sum()), len(labels)

    def _update(self) -> None:
        if self.settings.clip is not None:
            clip_grad_norm(self.optimizer.params, self.settings.clip)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        if self.average is not None and self.settings.ema is not None:
            decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
            for name, now in self.model.state_dict().items():
                a = self.average[name]
                a[...] = a + (1 - decay) * (now - a) if a.dtype.kind == "f" else now

    def _end_epoch(self) -> EpochRecord:
        loss, right, images = self._sums
        evaluation = self._evaluate()
        record = EpochRecord(
            self.epoch + 1,
            self.step,
            loss / images,
            right / images,
            evaluation.loss if evaluation else None,
            evaluation.accuracy if evaluation else None,
            self._is_best(evaluation),
            self.seconds,
        )
        if evaluation is not None and record.best:
            self.best = {k: a.copy() for k, a in (self.average or self.model.state_dict()).items()}
        self.history.append(record)
        self._sums = [0.0, 0, 0]
        return record

    def _evaluate(self) -> Evaluation | None:
        """Evaluate the running average, or else the last weights, on the validation images, if there are any."""
        if self.validation is None:
            return None
        last = self.model.state_dict()
        load_weights(self.model, self.average or last)
        try:
            return evaluate(self.model, self.validation, cost=self.cost)
        finally:  # also when it is interrupted
            load_weights(self.model, last)

    def _is_best(self, evaluation: Evaluation | None) -> bool:
        """Return True for more recognised images than in any epoch before, or as many at a lower loss; no NaN."""
        if evaluation is None:
            return True
        before = [(r.validation_accuracy or 0.0, -(r.validation_loss or 0.0)) for r in self.history if r.best]
        rank = evaluation.accuracy, -evaluation.loss
        return not math.isnan(evaluation.loss) and all(rank > other for other in before)

    # When numbers are no longer finite --------------------------------------------------------------------------------

    def _divergence(self, fault: str, images: Images, labels: Labels, states: RngStates) -> DivergenceError:
        """Return the error to raise. The update is made again to find the op that made the first NaN or infinity."""
        names = nonfinite_parameters(self.model)
        set_rng_states(self._generators, states)
        self.optimizer.zero_grad()  # backward would add to gradients that are not finite
        origin = self._first_anomaly(images, labels) or "no single op made it"
        if names:
            origin = f"the update of step {self.step} left {', '.join(names)} not finite; {origin}"
        return DivergenceError(f"fit: step {self.step + 1}: {fault}: {origin}")

    def _first_anomaly(self, images: Images, labels: Labels) -> str | None:
        return first_anomaly(lambda: self.cost(self.model(wrap(images)), labels))

    # State and checkpoints --------------------------------------------------------------------------------------------

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
        changes = differences(then, self.spec)
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
        if _concern(changes, "train", "batch_size", "order"):
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

    def save_to(self, path: PathLike, save_every: float, about: Mapping[str, Any]) -> None:
        """Save to a file from now on; see `fit`."""
        self.path, self._save_every, self._about = Path(path), save_every, dict(about)

    def begin(self, resume: bool | Checkpoint = False, *, override: bool = False) -> None:
        """Check that the checkpoint can be written, and with ``resume`` go on from it; see `fit`."""
        if self.path is None:
            return
        check_target("fit: checkpoint", self.path, ".npz")
        if resume is True and self.path.exists():
            resume = checkpoint.read(self.path)
        if isinstance(resume, Checkpoint):
            try:
                self.load_state_dict(resume.state(len(self.optimizer.params)), override=override)
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                raise CheckpointError(f"{self.path}: {error}") from error

    def save(self) -> None:
        """Save the run as it is between two updates, if it has a checkpoint.

        Raises:
            DivergenceError: a weight is not finite; the file is left as it is.
            OSError: the file cannot be written.
        """
        if self.path is None:
            return
        if names := nonfinite_parameters(self.model):
            raise DivergenceError(f"fit: step {self.step}: the update left {', '.join(names)} not finite")
        self._write(self.path)
        self._saved = time.perf_counter()

    def _write(self, path: Path) -> None:
        checkpoint.write(path, self.state_dict(), self._about)

    def _save_if_due(self) -> None:
        is_due = self.path is not None and time.perf_counter() - self._saved >= self._save_every
        if is_due and not nonfinite_parameters(self.model):  # the next step raises for them, on every process alike
            self.save()


def _concern(changes: Set[str], *groups: str) -> bool:
    """Return True if one of the settings with these names belongs to one of these groups, its name's first word."""
    return any(name.split()[0] in groups for name in changes)
