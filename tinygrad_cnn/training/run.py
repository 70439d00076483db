"""A training run: one update after another, the records of each, and when it is saved; its state is in `state`."""

import hashlib
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.tensor import Tensor, wrap
from ..data import Augmentation, Dataset, batches
from ..models import Cost
from ..models.saving import file_facts, load_weights
from ..nn import Module
from ..optim import Optimizer, Schedule, clip_grad_norm
from ..storage.archive import Arrays
from ..storage.atomic import CheckpointError, PathLike, check_target
from . import checkpoint
from .advice import Adviser
from .checkpoint import Checkpoint
from .divergence import DivergenceError, first_anomaly, nonfinite_parameters, nonfinite_value
from .evaluate import Evaluation, cost_value, evaluate, training_mode
from .records import EpochRecord, History, Record, StepRecord
from .rng import RngStates, rng_states, rngs, set_rng_states
from .spec import Spec, run_spec
from .state import RunState, Settings
from .weights import weighted_mean

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


class Run(RunState):
    """One training, as `train` returns it: iterate over it, once, to train and to get its records.

    Attributes:
        history: the records of all epochs so far, those before an interruption included.
        step, images: updates made and images seen so far.
        seconds: time from the first batch to the last update.
        path: the checkpoint; None without one.
        advice: sentences about what looks wrong, in the order in which they came up.
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
        sample_weight: NDArray[np.float64] | None = None,
        advise: bool = False,
    ) -> None:
        self.model, self.settings, self.cost, self.validation = model, settings, cost, validation
        self.optimizer, self.schedule = optimizer, schedule
        self.batches = batches(
            train,
            settings.batch_size,
            rng=rng,
            augment=augment,
            drop_last=settings.drop_last,
            prefetch=augment is not None,
        )
        model.image_spec = train.spec
        self.history = History()
        self.step = self.images = 0
        self.seconds = 0.0
        self.average: Arrays | None = None if settings.ema is None else model.state_dict()
        self.best: Arrays | None = None
        self.path: Path | None = None
        self.overrides: list[str] = []
        self.advice: list[str] = []
        self._sample_weight = sample_weight
        self._adviser = Adviser(model, train, cost) if advise else None
        self.settings_spec = _spec_of(settings, sample_weight) | run_spec(model, optimizer, schedule, cost, augment)
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
            if self._adviser is not None and not self.step:
                self.advice += self._adviser.at_start()
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
        cost = self._mean_cost(scores, labels)
        self.optimizer.zero_grad()
        cost.backward()
        if self._adviser is not None:
            self.advice += self._adviser.after_forward(self.step, images, scores)
            self.advice += self._adviser.after_backward(self.step, float(cost.item()))
        return float(cost.item()), int((scores.data.argmax(axis=1) == labels).sum()), len(labels)

    def _mean_cost(self, scores: Tensor, labels: Labels) -> Tensor:
        if self._sample_weight is None:
            return cost_value("fit", self.cost, scores, labels)
        return weighted_mean(self.cost, scores, labels, self._sample_weight[self.batches.rows])

    def _update(self) -> None:
        if self.settings.clip is not None:
            clip_grad_norm(self.optimizer.params, self.settings.clip)
        self.optimizer.step()
        if self._adviser is not None:
            self._adviser.after_update()
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
        if self._adviser is not None:
            self.advice += self._adviser.after_epoch(self.history)
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
        return first_anomaly(lambda: self._mean_cost(self.model(wrap(images)), labels))

    # Checkpoints ------------------------------------------------------------------------------------------------------

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
        checkpoint.write(path, self.state_dict(), self._about, file_facts(self.model))

    def _save_if_due(self) -> None:
        is_due = self.path is not None and time.perf_counter() - self._saved >= self._save_every
        if is_due and not nonfinite_parameters(self.model):  # the next step raises for them, on every process alike
            self.save()


def _spec_of(settings: Settings, sample_weight: NDArray[np.float64] | None) -> Spec:
    """Return the entries for the settings; those that version 0.1 had not, only where they change something."""
    spec: Spec = asdict(settings)
    if not settings.drop_last:
        del spec["drop_last"]
    if sample_weight is not None:
        spec["sample_weight"] = hashlib.sha256(sample_weight.tobytes()).hexdigest()[:16]
    return spec
