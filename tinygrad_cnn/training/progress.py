"""What a training shows while it runs, on standard error: a bar on a terminal, lines elsewhere, JSON on request."""

import importlib.util
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, TextIO, cast

from ..checks import require
from .records import EpochRecord, Record, StepRecord, as_json

STYLES = ("auto", "bar", "plain", "json", "none")

Show = Callable[[Record], None]

_PAUSE = 10.0  # seconds between plain lines within a long epoch


@contextmanager
def meter(style: str, epochs: int, stream: TextIO | None = None) -> Iterator[Show]:
    """A function to be shown every record of a run of so many epochs.

    Args:
        style: ``"bar"`` (extra ``cli``), ``"plain"`` lines, ``"json"`` (every record as a line), ``"none"``, or
            ``"auto"``: a bar on a terminal if its library is installed, else plain lines.
        epochs: how many the run will have at most.
        stream: standard error by default.
    """
    out = cast(TextIO, _Forgiving(stream or sys.stderr))
    if style == "auto":
        on_terminal = out.isatty() and importlib.util.find_spec("rich") is not None
        style = "bar" if on_terminal else "plain"
    if style == "bar":
        with _bar(epochs, out) as show:
            yield show
    else:
        shows: dict[str, Show] = {"plain": _Lines(epochs, out), "json": partial(_json, out), "none": lambda r: None}
        yield shows[style]


class _Forgiving:
    """A stream. That its reader has left, its disk is full or its terminal closed is no reason to stop training."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out or io.StringIO()

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._out.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


class _Lines:
    """A line after each epoch, and now and then within a long one."""

    def __init__(self, epochs: int, out: TextIO) -> None:
        self.epochs, self.out = epochs, out
        self.images, self.start = 0, time.perf_counter()
        self.last = self.start

    def __call__(self, record: Record) -> None:
        now = time.perf_counter()
        if isinstance(record, StepRecord):
            self.images += record.images
            if now - self.last < _PAUSE:
                return
            place = f"epoch {record.epoch}/{self.epochs}, batch {record.batch}/{record.batches}"
        else:
            place = f"epoch {record.epoch}/{self.epochs}"
        self.last = now
        rate = self.images / max(now - self.start, 1e-9)
        print(f"{place}: {_figures(record)}, {rate:,.0f} images/s", file=self.out, flush=True)


@contextmanager
def _bar(epochs: int, out: TextIO) -> Iterator[Show]:
    """A bar over all steps, drawn by rich, with a line above it for each epoch done."""
    console = require("rich.console", "cli").Console(file=out)
    rich = require("rich.progress", "cli")
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(None),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[figures]}"),
        rich.TimeRemainingColumn(compact=True),
        rich.TextColumn("left"),
    )
    images, start = 0, time.perf_counter()
    with rich.Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"epoch 1/{epochs}", total=None, figures="")

        def show(record: Record) -> None:
            nonlocal images
            if isinstance(record, EpochRecord):
                progress.console.print(f"epoch {record.epoch}/{epochs}: {_figures(record)}", highlight=False)
                return
            done, total = (record.epoch - 1) * record.batches + record.batch, epochs * record.batches
            if not images:  # a resumed run does not start at 0: what was done before shall not count as speed
                progress.reset(task, total=total, completed=done - 1)
            images += record.images
            rate = images / max(time.perf_counter() - start, 1e-9)
            progress.update(
                task,
                completed=done,
                description=f"epoch {record.epoch}/{epochs}",
                figures=f"{_figures(record)}, {rate:,.0f} images/s",
            )

        yield show


def _figures(record: Record) -> str:
    text = f"loss {record.loss:.4f}, accuracy {record.accuracy:.2%}"
    if isinstance(record, EpochRecord) and record.validation_accuracy is not None:
        text += f", validation {record.validation_loss:.4f} and {record.validation_accuracy:.2%}"
        text += " (best)" if record.best else ""
    return text


def _json(out: TextIO, record: Record) -> None:
    kind = "epoch" if isinstance(record, EpochRecord) else "step"
    print(as_json({"record": kind} | asdict(record)), file=out, flush=True)
