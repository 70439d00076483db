"""Records of a run: one for each update and each epoch, and the history of its epochs."""

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
        epoch: the pass over the data, from 1.
        batch, batches: the batch of this epoch, from 1, and how many there are.
        images: how many images the batch had.
        loss, accuracy: cost and fraction of recognised images of this batch, before the update.
        lr: the learning rate of the update.
        seconds: time from the first batch to the end of this update, without interruptions.
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
        epoch, step: epochs and updates made so far.
        loss, accuracy: means over the epoch's images, each before its update.
        validation_loss, validation_accuracy: on the validation images; None without them.
        best: True if no epoch before did as well on the validation images, or without them; False if their loss is NaN.
        seconds: time from the first batch to the epoch's last update, without interruptions.
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


class History(list[EpochRecord]):
    """The records of a run's epochs: a list with each figure as a list too, printed as a table.

    >>> history = History([EpochRecord(1, 45, 1.25, 0.5, None, None, True, 0.5)])
    >>> history.loss
    [1.25]
    >>> history
    epoch    loss  accuracy  seconds
        1  1.2500    50.00%      0.5
    """

    @property
    def loss(self) -> list[float]:
        """The mean cost of each epoch."""
        return [record.loss for record in self]

    @property
    def accuracy(self) -> list[float]:
        """The fraction of recognised training images of each epoch, 0 to 1."""
        return [record.accuracy for record in self]

    @property
    def validation_loss(self) -> list[float | None]:
        """The mean cost of the validation images after each epoch; None without them."""
        return [record.validation_loss for record in self]

    @property
    def validation_accuracy(self) -> list[float | None]:
        """The fraction of recognised validation images after each epoch, 0 to 1; None without them."""
        return [record.validation_accuracy for record in self]

    @property
    def best(self) -> EpochRecord | None:
        """The epoch that did best on the validation images, the last one without them; None if there is none."""
        return next((record for record in reversed(self) if record.best), None)

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)).rstrip() for row in rows)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        head, *rows = self._rows()
        lines = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        return f"<table><tr><th>{'</th><th>'.join(head)}</th></tr>{lines}</table>"

    def _rows(self) -> list[list[str]]:
        """Return the cells of the table, the titles first."""
        validated = any(record.validation_loss is not None for record in self)
        titles = ["epoch", "loss", "accuracy"]
        titles += ["validation loss", "validation accuracy", "best"] if validated else []
        rows = [[*titles, "seconds"]]
        for r in self:
            row = [str(r.epoch), f"{r.loss:.4f}", f"{r.accuracy:.2%}"]
            if validated:
                loss, accuracy = r.validation_loss, r.validation_accuracy
                row += ["" if loss is None else f"{loss:.4f}", "" if accuracy is None else f"{accuracy:.2%}"]
                row += ["best" if r.best else ""]
            rows.append([*row, f"{r.seconds:.1f}"])
        return rows


def as_json(value: Any) -> str:
    """Return strict JSON, which has no NaN and no infinity: null stands for both."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
