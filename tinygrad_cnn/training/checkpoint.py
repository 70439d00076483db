"""Checkpoints: the state of a training run as an archive of arrays and JSON, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.saving import AVERAGE, BEST, WEIGHTS, SavedFile, about, load, prefixed, save, subset
from ..models.saving import read as read_saved
from ..storage.archive import Arrays, write_archive
from ..storage.atomic import CheckpointError, PathLike
from .records import EpochRecord, History
from .spec import Spec

__all__ = ["Checkpoint", "CheckpointError", "about", "history", "load", "read", "save"]

State = dict[str, Any]

_PREFIXES = {"model": WEIGHTS, "average": AVERAGE, "best": BEST}  # by the key of a run's state
_OPTIMIZER = "optimizer"


@dataclass(frozen=True)
class Checkpoint(SavedFile):
    """The content of a checkpoint, verified, or of a weights file, which holds no run."""

    @property
    def step(self) -> int | None:
        """The number of updates that the run has made; None for a weights file."""
        return self._run.get("step")

    @property
    def finished(self) -> bool:
        """True if the run has made all its epochs."""
        return bool(self._run.get("finished"))

    @property
    def history(self) -> History:
        """The records of the epochs that the weights went through; empty if the file does not hold them."""
        try:
            records = self.metadata["run"]["history"] if "run" in self.metadata else self.about.get("history", [])
            return History(EpochRecord(**record) for record in records)
        except (TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{self.path}: its training history is damaged ({error})") from error

    @property
    def _run(self) -> dict[str, Any]:
        run = self.metadata.get("run")
        return run if isinstance(run, dict) else {}

    def state(self, parameters: int) -> State:
        """Return the `state_dict` of a run whose optimizer has so many parameters. CheckpointError without a run."""
        if "run" not in self.metadata:
            raise CheckpointError("holds weights only; a run cannot go on from it")
        run = self.metadata["run"]
        slots = [subset(f"{_OPTIMIZER}/{k}", self.arrays) for k in range(parameters)]
        optimizer = run["optimizer"] | {"state": slots}
        spec = run["spec"] if "spec" in run else _spec_of_version_0_1(run)
        return {
            **run,
            **{key: subset(prefix, self.arrays) or None for key, prefix in _PREFIXES.items()},
            "spec": spec | {"model": self.metadata["model"]},
            "optimizer": optimizer,
        }


def read(path: PathLike, op: str = "read") -> Checkpoint:
    """Read and verify a checkpoint or weights file. CheckpointError if it is neither."""
    return Checkpoint(**vars(read_saved(op, path)))


def history(path: PathLike) -> History:
    """Return the records of the epochs that the weights in a file went through; empty if it does not hold them.

    Raises:
        CheckpointError: as `load`, and for a history that is damaged.
    """
    return read(path, "history").history


def write(path: PathLike, state: State, about: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a run's `state_dict` and JSON-able facts; an existing file is kept as ``.previous``.

    ``facts`` are those by which the model can be made anew: `models.saving.file_facts`.
    """
    optimizer = dict(state["optimizer"])
    slots = optimizer.pop("state")
    arrays: Arrays = {}
    for key, prefix in _PREFIXES.items():
        arrays |= prefixed(prefix, state[key] or {})
    for k, slot in enumerate(slots):
        arrays |= prefixed(f"{_OPTIMIZER}/{k}", slot)
    run = {key: _jsonable(value) for key, value in state.items() if key not in _PREFIXES}
    metadata = {"model": state["spec"]["model"], "run": run | {"optimizer": _jsonable(optimizer)}, "about": dict(about)}
    write_archive(path, arrays, {**metadata, **facts}, keep_previous=True)


def _spec_of_version_0_1(run: Mapping[str, Any]) -> Spec:
    """Return the entries of a specification that a file of version 0.1 holds."""
    setup = dict(run["setup"])
    spec = {name: setup[name] for name in ("epochs", "batch_size", "clip", "ema", "patience")}
    spec |= {"train number": setup["images"], "validation number": setup["validation"]}
    if run.get("data"):
        spec["train sha256"] = run["data"].rpartition(" ")[2]
    if setup["cost"] != "partial":  # which was all that it said of a function with bound arguments
        spec["cost"] = setup["cost"]
    for name in ("optimizer", "schedule"):
        settings = dict(setup[name] or {"class": None})
        spec[name] = settings.pop("class")
        spec |= {f"{name} {k}": v for k, v in settings.items()}
    if "schedule first" in spec:
        spec["lr"] = spec.pop("schedule first")
    return spec


def _jsonable(value: Any) -> Any:
    """Return a value with lists in place of tuples and arrays, and Python's numbers in place of NumPy's."""
    if isinstance(value, Mapping):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_jsonable(v) for v in value] if isinstance(value, tuple | list) else value
