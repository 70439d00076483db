"""Training: `fit` trains a model and returns the history, `train` yields a record of every update and epoch.

A run can be interrupted at any moment and resumed to the same bits: every update follows from the state that a
checkpoint holds. That is the weights, the optimizer, the schedule, dropout's generators, and a few integers from which
the order of the images and their augmentation follow (`data.batches`).
"""

import json
import math
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..data import Augmentation, Dataset
from ..models import Cost
from ..nn import Module
from ..ops import cross_entropy
from ..optim import Adam, Optimizer, Schedule
from ..storage.atomic import PathLike, check_path
from .advice import has_lone_last_image
from .checkpoint import Checkpoint
from .divergence import DivergenceError
from .evaluate import evaluate
from .interrupt import ctrl_c
from .mpi import ALONE, DistributedRun, world
from .progress import check_progress, run_to_end
from .records import EpochRecord, History, Record, StepRecord
from .rng import rng_states, rngs, set_rng_states
from .run import Run
from .state import Settings
from .weights import ClassWeight, class_weights, sample_weights, weighted_cost

__all__ = [
    "DivergenceError",
    "EpochRecord",
    "History",
    "Record",
    "Run",
    "Settings",
    "StepRecord",
    "class_weights",
    "evaluate",
    "fit",
    "train",
]


def train(
    model: Module,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    lr: float | None = None,
    schedule: Schedule | None = None,
    cost: Cost = cross_entropy,
    class_weight: ClassWeight = None,
    sample_weight: ArrayLike | None = None,
    validation: Dataset | None = None,
    augment: Augmentation | None = None,
    drop_last: bool = False,
    rng: np.random.Generator | None = None,
    clip: float | None = None,
    ema: float | None = None,
    patience: int | None = None,
    checkpoint: PathLike | None = None,
    save_every: float = 60.0,
    resume: bool | Checkpoint = False,
    override: bool = False,
    about: Mapping[str, Any] | None = None,
    distributed: bool = False,
    advice: bool = True,
) -> Run:
    """Return a training run, which yields a record of every update and every epoch while one iterates over it.

    Arguments and errors are those of `fit`. Nothing is printed, and nothing is trained before the first record. Leaving
    the loop early saves the checkpoint, if there is one; with ``distributed``, all ranks leave it at the same record.

    >>> import tinygrad_cnn as tg
    >>> images, test = tg.data.digits()
    >>> model = tg.models.build("digits", images.image_shape, rng=np.random.default_rng(0))
    >>> run = tg.train(model, images, epochs=2, rng=np.random.default_rng(0))
    >>> [record.epoch for record in run if isinstance(record, EpochRecord)]
    [1, 2]
    """
    checks.instance("fit", "model", model, Module)
    checks.function("fit", "cost", cost, "scores and labels")
    checks.instance("batches", "dataset", train, Dataset)
    lone = has_lone_last_image(model, len(train), checks.integer("fit", "batch_size", batch_size, 1))
    drop_last = checks.flag("fit", "drop_last", drop_last) or lone
    settings = Settings(epochs, batch_size, clip, ema, patience, drop_last)
    cost = weighted_cost(cost, class_weight, train)
    weights = sample_weights(sample_weight, cost, train)
    if distributed and (class_weight is not None or weights is not None):
        raise ValueError(
            "fit: class_weight and sample_weight do not go with distributed=True, whose parts are plain means"
        )
    optimizer = _check_optimizer(model, optimizer, lr, schedule)
    if patience is not None and validation is None:
        raise ValueError("fit: patience needs validation images to judge by")
    if not isinstance(resume, Checkpoint):
        checks.flag("fit", "resume", resume)
    if checks.flag("fit", "override", override) and not resume:
        raise ValueError("fit: override=True needs resume, whose settings it overrides")
    if resume and checkpoint is None:
        raise ValueError("fit: resume=True needs the checkpoint to go on from")
    make = partial(DistributedRun, comm=world()) if checks.flag("fit", "distributed", distributed) else Run
    advise = checks.flag("fit", "advice", advice)
    run = make(model, train, settings, optimizer, schedule, cost, validation, augment, rng, weights, advise)
    if lone and advise:
        run.advice.append("the last batch of an epoch would have one image, too few for batch norm: it is left out")
    if validation is not None:
        _check_validation(model, train, validation, cost)
    if checkpoint is not None:
        check_path("fit", checkpoint)
        seconds = checks.number("fit", "save_every", save_every, 0, math.inf)
        run.save_to(checkpoint, seconds, _check_about(about))
    run.begin(resume, override=override)
    return run


_train = train  # `fit` has an argument of that name


def fit(
    model: Module,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    lr: float | None = None,
    schedule: Schedule | None = None,
    cost: Cost = cross_entropy,
    class_weight: ClassWeight = None,
    sample_weight: ArrayLike | None = None,
    validation: Dataset | None = None,
    augment: Augmentation | None = None,
    drop_last: bool = False,
    rng: np.random.Generator | None = None,
    clip: float | None = None,
    ema: float | None = None,
    patience: int | None = None,
    checkpoint: PathLike | None = None,
    save_every: float = 60.0,
    resume: bool | Checkpoint = False,
    override: bool = False,
    about: Mapping[str, Any] | None = None,
    distributed: bool = False,
    advice: bool = True,
    log_dir: PathLike | None = None,
    progress: str = "auto",
) -> History:
    """Train a model, show the progress, and return the records of its epochs.

    Afterwards the model has the weights to use: with ``validation`` those of the epoch that recognised most of it (the
    lower loss among equals), else with ``ema`` the running average, else the last ones.

    Modules that are in evaluation mode stay so, and frozen parameters stay frozen, with the running statistics beside
    them. A model that is in evaluation mode as a whole, as after `load`, is put into training mode.

    Ctrl-C ends training after the update under way, saves the checkpoint if there is one, and raises KeyboardInterrupt;
    the model has the last weights then. A second Ctrl-C does not wait.

    Args:
        model: images (N, C, H, W) in, scores (N, K) out.
        train: the training images.
        epochs: the number of passes over them.
        batch_size: images per update; the last batch of an epoch may be smaller.
        optimizer: of the model's parameters; by default `Adam` of those that are not frozen.
        lr: the default optimizer's learning rate; 0.001 by default.
        schedule: learning-rate schedule of ``optimizer``, stepped after every update.
        cost: of scores and labels, a mean over the batch.
        class_weight: how much the images of each class count: "balanced" for all classes alike, a number for each
            class, or numbers by class name. The cost must take ``weight``, as `cross_entropy` does.
        sample_weight: how much each training image counts, N numbers.
        validation: images to evaluate the model on after each epoch.
        augment: a random change of every batch.
        drop_last: leave out a smaller last batch of each epoch; one of a single image is left out under batch norm.
        rng: random generator of the order of the images and of augmentation; one number is drawn from it.
        clip: the largest norm of all gradients together; longer ones are scaled down to it.
        ema: the decay d of a running average ``a = d a + (1 - d) w`` of all weights, taken after each update, with d
            at most (1 + t) / (10 + t) at update t, so that the initial values are soon forgotten.
        patience: stop when so many epochs in a row were not the best on ``validation``.
        checkpoint: a file, ``.npz``, to save to whenever ``save_every`` seconds have passed, at the end, and when
            training is interrupted. The file before it is kept as ``.previous``.
        save_every: seconds between two saves.
        resume: go on from ``checkpoint`` if it exists, to the same bits: every setting must be as it was then. A
            checkpoint that is read already (`checkpoint.read`) is not read again.
        override: with ``resume``, go on with the settings of this call where they differ, and say which do.
        about: JSON-able facts to save in the checkpoint (`checkpoint.about` reads them).
        distributed: train together with the other processes that ``mpiexec`` started, to the weights that one process
            would reach, to rounding (see `distributed`, also for what differs: batch normalisation). All of them make
            the same call. Rank 0's weights, order and random numbers count; rank 0 alone evaluates, shows the progress,
            and reads and writes the checkpoint.
        advice: say in a sentence what looks wrong, such as dead maps or a loss that stays at chance (`Run.advice`).
        log_dir: a folder for the curves, as ``history.csv`` and as event files for TensorBoard.
        progress: ``"auto"`` (a bar on a terminal or in a notebook, else lines), ``"bar"``, ``"plain"``, ``"json"`` or
            ``"none"``; on standard error.

    Raises:
        ValueError, TypeError: arguments that do not make sense, among them a checkpoint that cannot be written and
            validation images that the model cannot take.
        DistributedError: on every rank, when they differ in the data, the settings or the program, when there are
            more of them than images in a batch, or when rank 0 failed to evaluate or to read the checkpoint.
        CheckpointError: the checkpoint is damaged, or of a run with other settings; the message names them.
        DivergenceError: a cost, a gradient or a weight is no longer finite; the message names the update and the op
            that first made it.

    >>> import tinygrad_cnn as tg
    >>> images, test = tg.data.digits()
    >>> model = tg.models.build("digits", images.image_shape, rng=np.random.default_rng(0))
    >>> history = fit(model, images, epochs=2, lr=0.005, rng=np.random.default_rng(0), progress="none")
    >>> history.loss[1] < history.loss[0]
    True
    """
    check_progress(progress)
    run = _train(
        model,
        train,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        cost=cost,
        class_weight=class_weight,
        sample_weight=sample_weight,
        validation=validation,
        augment=augment,
        drop_last=drop_last,
        rng=rng,
        clip=clip,
        ema=ema,
        patience=patience,
        checkpoint=checkpoint,
        save_every=save_every,
        resume=resume,
        override=override,
        about=about,
        distributed=distributed,
        advice=advice,
    )
    comm = world() if distributed else ALONE
    if comm.rank == 0 and progress not in ("json", "none"):
        for line in run.overrides:
            print(f"fit: {line}", file=sys.stderr)
    if run_to_end(run, progress, ctrl_c(), comm, log_dir=log_dir):
        saved = f"saved in {run.path}" if run.path is not None else "not saved (checkpoint=FILE does it)"
        raise KeyboardInterrupt(f"fit: interrupted after step {run.step}, {saved}")
    return run.history


def _check_optimizer(
    model: Module, optimizer: Optimizer | None, lr: float | None, schedule: Schedule | None
) -> Optimizer:
    """Return the optimizer, by default `Adam`. TypeError or ValueError unless it, lr and schedule fit together."""
    if optimizer is None:
        optimizer = Adam([p for p in model.parameters() if p.requires_grad], 1e-3 if lr is None else lr)
    elif lr is not None:
        raise ValueError("fit: lr is the default optimizer's; set the rate of your own where you make it")
    checks.instance("fit", "optimizer", optimizer, Optimizer)
    if schedule is not None:
        checks.instance("fit", "schedule", schedule, Schedule)
        if schedule.optimizer is not optimizer:
            raise ValueError("fit: the schedule is of another optimizer")
    return optimizer


def _check_validation(model: Module, train: Dataset, validation: Dataset, cost: Cost) -> None:
    """ValueError for images that the model cannot be evaluated on.

    Images of another size or with more classes than the training images may still fit a model: it is tried on one.
    """
    checks.instance("fit", "validation", validation, Dataset)
    if not len(validation):
        raise ValueError("fit: there is no image in validation")
    if validation.image_shape == train.image_shape and validation.num_classes <= train.num_classes:
        return
    generators = rngs(model)
    states = rng_states(generators)
    try:
        evaluate(model, validation[:1], cost=cost)
    except Exception as error:  # a model may raise anything for images that it cannot take
        reason = " ".join(str(error).split())
        raise ValueError(f"fit: validation is {validation}, train is {train}: {reason}") from error
    finally:
        set_rng_states(generators, states)


def _check_about(about: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the facts. TypeError for facts that no checkpoint can hold."""
    if not isinstance(about, Mapping | None):
        raise TypeError(f"fit: about must be facts by name, got {checks.abbreviated(about)}")
    try:
        json.dumps(dict(about or {}))
    except (TypeError, ValueError) as error:
        raise TypeError(f"fit: about must be facts for JSON ({error})") from error
    return about or {}
