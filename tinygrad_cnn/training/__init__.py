"""Training: `fit` yields records of what happened and prints nothing.

A run can be interrupted at any moment and resumed to the same bits: every step follows from the state that a
checkpoint holds. That is the weights, the optimizer, the schedule, dropout's generators, and a few integers from which
the order of the images and their augmentation follow (`data.batches`).
"""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..checks import flag
from ..data import Augmentation, Dataset
from ..models import Cost
from ..nn import Module
from ..ops import cross_entropy
from ..optim import Optimizer, Schedule
from ..storage.archive import PathLike
from .checkpoint import join
from .divergence import DivergenceError
from .mpi import ALONE, fingerprint, world
from .requirements import (
    check_about,
    check_name,
    check_target,
    check_types,
    check_validation,
)
from .run import Run, Settings

__all__ = ["DivergenceError", "Run", "Settings", "fit"]


def fit(
    model: Module,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    schedule: Schedule | None = None,
    cost: Cost = cross_entropy,
    validation: Dataset | None = None,
    augment: Augmentation | None = None,
    rng: np.random.Generator | None = None,
    clip: float | None = None,
    ema: float | None = None,
    patience: int | None = None,
    checkpoint: PathLike | None = None,
    save_every: float = 60.0,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    distributed: bool = False,
) -> "Run":
    """Train a model; iterate over what is returned to make it happen.

    When the loop is over the model holds the weights to use: with ``validation`` those of the epoch that recognised
    most of it (the lower loss among equals), else with ``ema`` the running average, else the last ones.

    Args:
        model: images (N, C, H, W) in, scores (N, K) out.
        train: the images to learn from.
        epochs: how often each of them is seen.
        batch_size: how many images an update sees; the last batch of an epoch may be smaller.
        optimizer: over the model's parameters.
        schedule: of that optimizer; goes on by one with each update.
        cost: of scores and labels, a mean over the batch.
        validation: images held out, evaluated after each epoch.
        augment: a random change of every batch.
        rng: decides the order of the images and the augmentation; drawn from once.
        clip: the largest norm of all gradients together; longer ones are scaled down to it.
        ema: the decay d of a running average ``a = d a + (1 - d) w`` of all weights, taken after each update, with d
            at most (1 + t) / (10 + t) at update t so that the first values are forgotten soon.
        patience: stop when so many epochs in a row were not the best on ``validation``.
        checkpoint: a file, ``.npz``, to save to whenever ``save_every`` seconds have passed, at the end, and when the
            loop is left early. The file before it is kept as ``.previous``.
        save_every: how many seconds of training may be lost.
        resume: go on from ``checkpoint`` if it is there; everything else must be as it was then.
        about: facts for JSON that the checkpoint shall carry along (`checkpoint.about` reads them).
        distributed: train together with the other processes that ``mpiexec`` started, to the weights that one process
            would reach, to rounding (see `distributed`, also for what is not the same: batch normalisation). Call
            `fit` with the same arguments on all of them and leave the loop at the same record, if early. Rank 0's
            first weights, order and chance count; rank 0 alone evaluates, and reads and writes the checkpoint.

    Raises:
        ValueError, TypeError: arguments that do not make sense, among them a checkpoint that cannot be written and
            validation images that the model cannot take.
        DistributedError: on every rank, when they differ in the data, the settings or the program, when there are
            more of them than images in a batch, or when rank 0 failed to evaluate or to read the checkpoint.
        CheckpointError: the checkpoint is damaged, or of another run or other training images; the message says what
            differs.
        DivergenceError: while iterating, when a cost, a gradient or a weight is no longer finite. It names the step
            and the op that first made it.

    >>> import tinygrad_cnn as tg
    >>> from tinygrad_cnn import models, records
    >>> train, test = tg.data.digits()
    >>> model = models.build("digits", train.image_shape, rng=np.random.default_rng(0))
    >>> adam = tg.optim.Adam(model.parameters(), 0.005)
    >>> run = fit(model, train, epochs=2, batch_size=32, optimizer=adam, rng=np.random.default_rng(0))
    >>> [record.epoch for record in run if isinstance(record, records.EpochRecord)]
    [1, 2]
    """
    settings = Settings(epochs, batch_size, clip, ema, patience)
    check_types(model, optimizer, schedule, cost, validation)
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("fit: the schedule is of another optimizer")
    if patience is not None and validation is None:
        raise ValueError("fit: patience needs validation images to judge by")
    if flag("fit", "resume", resume) and checkpoint is None:
        raise ValueError("fit: resume=True needs the checkpoint to go on from")
    if checkpoint is not None:
        check_name(checkpoint)
        check_about(about)
    team = world() if flag("fit", "distributed", distributed) else ALONE
    run = Run(model, train, settings, optimizer, schedule, cost, validation, augment, rng, team)
    if validation is not None:
        check_validation(model, train, validation, cost)
    if team.size > 1:
        join(run, train)
    if checkpoint is not None:
        team.from_first(partial(check_target, checkpoint))
        run.data = run.data or team.from_first(lambda: fingerprint(train)["data"])
        run.keep(checkpoint, checks.number("fit", "save_every", save_every, 0, math.inf), about or {})
        if resume and team.from_first(Path(checkpoint).exists):
            run.restore()
    return run
