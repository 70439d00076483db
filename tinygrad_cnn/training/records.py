"""What `fit` reports: one record for each update and one for each pass over the data."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """One update.

    Attributes:
        step: updates made so far.
        epoch: which pass over the data this is, from 1.
        batch, batches: which batch of this epoch it was, from 1, and how many there are.
        images: how many images the batch had.
        loss, accuracy: the cost and the share of recognised images in this batch, before the update.
        lr: the learning rate of the update.
        seconds: time from the first batch to the end of this update, over all interruptions.
    """

    step: int
    epoch: int
    batch: int
    batches: int
    images: int
    loss: float
    accuracy: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the data.

    Attributes:
        epoch, step: how many of each are done.
        loss, accuracy: means over the epoch's images, as they were while learning.
        validation_loss, validation_accuracy: on the images held out; None without them.
        best: whether no epoch before did as well on them; always True without them, never with a loss of NaN.
        seconds: time from the first batch to the epoch's last update, over all interruptions.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    best: bool
    seconds: float


Record = StepRecord | EpochRecord


def as_json(value: Any) -> str:
    """JSON in the strict sense, which has no NaN and no infinity: null stands for both."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
