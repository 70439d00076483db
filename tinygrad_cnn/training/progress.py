"""Progress of a training run on standard error: a bar on a terminal or in a notebook, lines elsewhere, or JSON."""

import importlib
import importlib.util
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, TextIO, cast

from ..checks import abbreviated, require
from ..storage.atomic import PathLike
from .interrupt import Interrupt
from .logs import LogWriter
from .mpi import ALONE, World
from .records import EpochRecord, Record, StepRecord, as_json
from .run import Run

STYLES = ("auto", "bar", "plain", "json", "none")

Show = Callable[[Record | str], None]
"""Shows a record, or a sentence of advice."""

_LINE_SECONDS = 10.0  # between plain lines within a long epoch
_NOTEBOOK_SECONDS = 0.2  # between updates of a notebook's bar
_BAR_CHARACTERS = 30


def check_progress(style: object) -> None:
    """ValueError unless ``style`` is one of `STYLES`."""
    if style not in list(STYLES):
        raise ValueError(f"fit: progress must be one of {', '.join(STYLES)}, got {abbreviated(style)}")


def run_to_end(
    run: Run,
    style: str,
    interrupt: AbstractContextManager[Interrupt],
    comm: World = ALONE,
    *,
    log_dir: PathLike | None = None,
) -> int:
    """Train to the end, or to a signal after the update under way, and show every record.

    Args:
        run: not started; leaving it early saves it, if it has a checkpoint.
        style: one of `STYLES`; rank 0 alone shows anything.
        interrupt: receives the signals.
        log_dir: a folder to write the curves into.
        comm: the processes that train together.

    Returns:
        The exit status of the signal, or 0.
    """
    style = style if comm.rank == 0 else "none"
    log = LogWriter(log_dir) if log_dir is not None and comm.rank == 0 else nullcontext()
    said = 0
    with log, interrupt as signals, meter(style, run.settings.epochs) as show, closing(iter(run)) as records:
        for record in records:
            if isinstance(log, LogWriter):
                log.write(record)
            for sentence in run.advice[said:]:
                show(sentence)
            said = len(run.advice)
            show(record)
            if any(comm.total(signals.status)):  # another rank alone may have received the signal
                return signals.status or 130
    return signals.status


@contextmanager
def meter(style: str, epochs: int, stream: TextIO | None = None) -> Iterator[Show]:
    """Yield a function that shows a record of a run.

    Args:
        style: ``"bar"`` (on a terminal with the extra ``cli``), ``"plain"`` lines, ``"json"`` (every record as a line),
            ``"none"``, or ``"auto"``: a bar in a notebook, and on a terminal if its library is installed, else lines.
        epochs: of the run, at most.
        stream: standard error by default.
    """
    out = cast(TextIO, _Forgiving(stream or sys.stderr))
    display = _notebook_display() if stream is None else None
    if style == "auto":
        has_bar = display is not None or (out.isatty() and importlib.util.find_spec("rich") is not None)
        style = "bar" if has_bar else "plain"
    if style == "bar":
        with _bar(epochs, out) if display is None else _notebook_bar(epochs, display) as show:
            yield show
    else:
        shows: dict[str, Show] = {"plain": _Lines(epochs, out), "json": partial(_json, out), "none": lambda r: None}
        yield shows[style]


class _Forgiving:
    """A stream that ignores errors: a reader that has left, a full disk or a closed terminal does not stop training."""

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


class _Speed:
    """Images per second since it was made."""

    def __init__(self) -> None:
        self.images, self.start = 0, time.perf_counter()

    def __call__(self, record: Record, now: float) -> str:
        self.images += record.images if isinstance(record, StepRecord) else 0
        return f"{self.images / max(now - self.start, 1e-9):,.0f} images/s"


class _Lines:
    """A line after each epoch, and now and then within a long one."""

    def __init__(self, epochs: int, out: TextIO) -> None:
        self.epochs, self.out, self.speed = epochs, out, _Speed()
        self.last = self.speed.start

    def __call__(self, record: Record | str) -> None:
        if isinstance(record, str):
            print(f"advice: {record}", file=self.out, flush=True)
            return
        now = time.perf_counter()
        speed = self.speed(record, now)
        if isinstance(record, EpochRecord) or now - self.last >= _LINE_SECONDS:
            self.last = now
            batch = "" if isinstance(record, EpochRecord) else f", batch {record.batch}/{record.batches}"
            line = f"epoch {record.epoch}/{self.epochs}{batch}: {_figures(record)}, {speed}"
            print(line, file=self.out, flush=True)


@contextmanager
def _notebook_bar(epochs: int, display: Callable[..., Any]) -> Iterator[Show]:
    """A bar in a notebook's cell, with a line above it for each epoch made: text that is updated in place."""
    handle = display({"text/plain": "training"}, raw=True, display_id=True)
    speed, lines, last = _Speed(), [""], 0.0

    def show(record: Record | str) -> None:
        nonlocal last
        if isinstance(record, str):
            lines.insert(-1, f"advice: {record}")
            return
        now = time.perf_counter()
        text = f"epoch {record.epoch}/{epochs}: {_figures(record)}"
        rate = speed(record, now)
        if isinstance(record, EpochRecord):
            lines.insert(-1, text)
        else:
            done = ((record.epoch - 1) * record.batches + record.batch) / (epochs * record.batches)
            bar = "█" * round(done * _BAR_CHARACTERS)
            lines[-1] = f"{bar:░<{_BAR_CHARACTERS}} {done:4.0%} {text}, {rate}"
        if now - last >= _NOTEBOOK_SECONDS:
            last = now
            handle.update({"text/plain": "\n".join(lines)}, raw=True)

    try:
        yield show
    finally:
        handle.update({"text/plain": "\n".join(lines[:-1])}, raw=True)


@contextmanager
def _bar(epochs: int, out: TextIO) -> Iterator[Show]:
    """A bar over all updates, drawn by rich, with a line above it for each epoch made."""
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
    speed = _Speed()
    with rich.Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"epoch 1/{epochs}", total=None, figures="")

        def show(record: Record | str) -> None:
            if isinstance(record, str):
                progress.console.print(f"advice: {record}", highlight=False, markup=False)
                return
            if isinstance(record, EpochRecord):
                progress.console.print(f"epoch {record.epoch}/{epochs}: {_figures(record)}", highlight=False)
                return
            done, total = (record.epoch - 1) * record.batches + record.batch, epochs * record.batches
            if not speed.images:  # the updates before a resumed run's first do not count for its remaining time
                progress.reset(task, total=total, completed=done - 1)
            progress.update(
                task,
                completed=done,
                description=f"epoch {record.epoch}/{epochs}",
                figures=f"{_figures(record)}, {speed(record, time.perf_counter())}",
            )

        yield show


def _notebook_display() -> Callable[..., Any] | None:
    """Return IPython's `display` in a notebook's kernel, None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return importlib.import_module("IPython.display").display if hasattr(shell, "kernel") else None


def _figures(record: Record) -> str:
    text = f"loss {record.loss:.4f}, accuracy {record.accuracy:.2%}"
    if isinstance(record, EpochRecord) and record.validation_accuracy is not None:
        text += f", validation {record.validation_loss:.4f} and {record.validation_accuracy:.2%}"
        text += " (best)" if record.best else ""
    return text


def _json(out: TextIO, record: Record | str) -> None:
    if isinstance(record, str):
        print(as_json({"record": "advice", "text": record}), file=out, flush=True)
        return
    kind = "epoch" if isinstance(record, EpochRecord) else "step"
    print(as_json({"record": kind} | asdict(record)), file=out, flush=True)
