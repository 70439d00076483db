"""A training under way: one step after another, records, and everything a checkpoint holds."""

import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.tensor import wrap
from ..data import Augmentation, Dataset, batches
from ..models import Cost
from ..models.saving import described, load_weights
from ..nn import Module
from ..optim import Optimizer, Schedule, clip_grad_norm
from ..storage.archive import Arrays, CheckpointError, PathLike, read_archive, write_archive
from .checkpoint import (
    States,
    generators,
    pack,
    put_back,
    states_of,
    unpack,
)
from .divergence import DivergenceError, first_anomaly, nonfinite_parameters, not_finite
from .evaluate import Evaluation, cost_value, evaluate
from .mpi import Share, World, all_reduce_gradients, broadcast_state, whole_masks
from .records import EpochRecord, Record, StepRecord


@dataclass(frozen=True)
class Settings:
    """The numbers that a run is told; see `fit`."""

    epochs: int
    batch_size: int
    clip: float | None = None
    ema: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)  # as plain numbers: NumPy's small integers overflow
        keep("epochs", checks.integer("fit", "epochs", self.epochs, 1))
        keep("batch_size", checks.integer("fit", "batch_size", self.batch_size, 1))
        if self.clip is not None:
            keep("clip", checks.number("fit", "clip", self.clip, 0, math.inf))
        if self.ema is not None:
            keep("ema", checks.number("fit", "ema", self.ema, 0, 1))
        if self.patience is not None:
            keep("patience", checks.integer("fit", "patience", self.patience, 1))


class Run:
    """One training, as `fit` returns it: iterate over it, once, for its records.

    Attributes:
        history: the records of all epochs so far, those before an interruption included.
        step, images: updates made and images seen so far.
        seconds: time from the first batch to the last update.
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
        team: World,
    ) -> None:
        self.model, self.settings, self.cost, self.validation = model, settings, cost, validation
        self.optimizer, self.schedule, self.team = optimizer, schedule, team
        self.stream = batches(
            train,
            settings.batch_size,
            rng=rng,
            augment=augment,
            prefetch=augment is not None,
            shard=None if team.size == 1 else team.rows,
        )
        self.generators = generators(model)
        self.total = len(train)
        self.history: list[EpochRecord] = []
        self.step = self.images = 0
        self.seconds = 0.0
        self.average: Arrays | None = None if settings.ema is None else model.state_dict()
        self.best: Arrays | None = None
        self.started: float | None = None  # when the clock would have shown 0
        self.sums = [0.0, 0, 0]  # of this epoch: cost times images, recognised images, images
        self.path: Path | None = None
        self.data: str | None = None  # the training images' fingerprint, where it is needed

    # Going on ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Generator[Record, None, None]:
        """Train, and yield each record as it comes."""
        if self.started is not None:
            raise ValueError("fit: this run was started before; to go on, fit again with its checkpoint and resume")
        self.started = time.perf_counter() - self.seconds
        self._saved = time.perf_counter()
        self.model.train()
        try:
            while not self.finished:
                for images, labels in self.stream:
                    record = self._step(images, labels)
                    self._save_if_due()
                    yield record
                yield self._end_epoch()
        except GeneratorExit:  # the loop was left between two steps
            self.save()
            raise
        self.save()
        load_weights(self.model, self.chosen())
        if self.team.size > 1:
            broadcast_state(self.model)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the patience is at an end."""
        if self.epoch == self.settings.epochs:
            return True
        patience = self.settings.patience or self.settings.epochs
        return self.epoch >= patience and not any(r.best for r in self.history[-patience:])

    def chosen(self) -> Arrays:
        """The weights to use if training ended here: see `fit`."""
        return self.best or self.average or self.model.state_dict()

    def _step(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> StepRecord:
        chance = states_of(self.generators)
        lr = self.optimizer.lr
        whole = min(self.settings.batch_size, self.total - self.images % self.total)
        share = self.team.share(whole)
        with np.errstate(all="ignore"):  # what is not finite is found below, and named
            loss, right = self._gradients(images, labels, share)
            if fault := not_finite(self.model, self.optimizer.params, loss):
                raise self._divergence(fault, images, labels, share, chance)
            self._update()
        self.step += 1
        self.images += whole
        self.sums = [a + b for a, b in zip(self.sums, (loss * whole, right, whole), strict=True)]
        self.seconds = time.perf_counter() - (self.started or 0.0)
        return StepRecord(
            self.step,
            self.epoch + 1,
            self.stream.state_dict()["position"],
            len(self.stream),
            whole,
            loss,
            right / whole,
            lr,
            self.seconds,
        )

    def _gradients(self, images: NDArray[np.float32], labels: NDArray[np.int64], share: Share) -> tuple[float, int]:
        """Give every parameter the whole batch's gradient. Returns its cost and how many images were recognised."""
        with whole_masks(self.model, share):
            scores = self.model(wrap(images))
        cost = cost_value("fit", self.cost, scores, labels)
        self.optimizer.zero_grad()
        cost.backward()
        right = float((scores.data.argmax(axis=1) == labels).sum())
        if self.team.size == 1:
            return float(cost.item()), int(right)
        all_reduce_gradients(self.optimizer.params, share.weight)
        loss, right = self.team.total(share.weight * float(cost.item()), right if share.weight else 0)
        return loss, int(right)

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
        loss, right, images = self.sums
        if self.team.size > 1:  # ranks on unlike processors must not drift apart; rank 0's running statistics count
            broadcast_state(self.model, self.optimizer)
        scored = None if self.validation is None else self.team.from_first(partial(self._validate, self.validation))
        record = EpochRecord(
            self.epoch + 1,
            self.step,
            loss / images,
            right / images,
            scored.loss if scored else None,
            scored.accuracy if scored else None,
            self._is_best(scored),
            self.seconds,
        )
        if scored is not None and record.best:
            self.best = {k: a.copy() for k, a in (self.average or self.model.state_dict()).items()}
        self.history.append(record)
        self.sums = [0.0, 0, 0]
        return record

    def _validate(self, validation: Dataset) -> Evaluation:
        last = self.model.state_dict()
        load_weights(self.model, self.average or last)
        try:
            return evaluate(self.model, validation, cost=self.cost)
        finally:  # also when it is interrupted
            load_weights(self.model, last)

    def _is_best(self, scored: Evaluation | None) -> bool:
        """More recognised than in any epoch before, or as many with a lower loss. Never with a loss of NaN."""
        if scored is None:
            return True
        before = [(r.validation_accuracy or 0.0, -(r.validation_loss or 0.0)) for r in self.history if r.best]
        return not math.isnan(scored.loss) and all((scored.accuracy, -scored.loss) > rank for rank in before)

    # When numbers are no longer finite --------------------------------------------------------------------------------

    def _divergence(
        self, fault: str, images: NDArray[np.float32], labels: NDArray[np.int64], share: Share, chance: States
    ) -> DivergenceError:
        """The error to raise: the step is run again, watched, to find the op that made the first NaN or infinity."""
        lost = nonfinite_parameters(self.model)
        put_back(self.generators, chance)
        self.optimizer.zero_grad()  # they are not finite on any rank, and backward would add to them
        with whole_masks(self.model, share):
            found = first_anomaly(lambda: self.cost(self.model(wrap(images)), labels))
        origin = next(filter(None, self.team.gathered(found)), "no single op made it")
        if lost:
            origin = f"the update of step {self.step} left {', '.join(lost)} not finite; {origin}"
        return DivergenceError(f"fit: step {self.step + 1}: {fault}: {origin}")

    # Checkpoints ------------------------------------------------------------------------------------------------------

    def keep(self, path: PathLike, save_every: float, about: Mapping[str, Any]) -> None:
        """From now on save to a file; see `fit`."""
        self.path, self._save_every, self._about = Path(path), save_every, dict(about)

    def save(self) -> None:
        """Save the run as it stands between two steps, if it has a checkpoint.

        Raises DivergenceError, and keeps the file as it is, when a weight is not finite; OSError when it cannot write.
        """
        if self.path is None:
            return
        if lost := nonfinite_parameters(self.model):
            raise DivergenceError(f"fit: step {self.step}: the update left {', '.join(lost)} not finite")
        if self.team.rank == 0:
            arrays, state = pack(self)
            about = {"model": described(self.model), "run": state, "about": self._about}
            write_archive(self.path, arrays, about, keep_previous=True)
        self._saved = time.perf_counter()

    def restore(self) -> None:
        """Go where the checkpoint was saved. Raises CheckpointError when it is damaged or of another run."""
        arrays, metadata = self.team.from_first(partial(read_archive, self.path or ""))
        try:
            unpack(self, arrays, metadata)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(f"{self.path}: {error}") from error

    def _save_if_due(self) -> None:
        due = self.path is not None and time.perf_counter() - self._saved >= self._save_every
        if due and not nonfinite_parameters(
            self.model
        ):  # else the next step says so, on all ranks, whose clocks differ
            self.save()
