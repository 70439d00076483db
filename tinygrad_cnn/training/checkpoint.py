"""A run's state as arrays and JSON, and back: what stands in a checkpoint beside the weights."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Dataset
from ..models.saving import AVERAGE, BEST, WEIGHTS, about, described, load, load_weights, prefixed, read, save, section
from ..nn import Module
from ..nn.module import _spread
from ..optim import Optimizer, Schedule
from ..storage.archive import Arrays, CheckpointError, PathLike
from .mpi import DistributedError, fingerprint, layout
from .records import EpochRecord

if TYPE_CHECKING:
    from . import Run

__all__ = ["CheckpointError", "about", "history", "load", "save"]

_OPTIMIZER = "optimizer"

Generators = dict[str, np.random.Generator]
States = dict[str, dict[str, Any]]


def history(path: PathLike) -> list[EpochRecord]:
    """The records of the epochs that the weights in a file went through; none where the file does not tell.

    Raises `CheckpointError` as `load` does.
    """
    metadata = read("history", path)[1]
    try:
        records = metadata["run"]["history"] if "run" in metadata else metadata.get("about", {}).get("history", [])
        return [EpochRecord(**record) for record in records]
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: its training history is damaged ({error})") from error


def generators(model: Module) -> Generators:
    """Every random generator that the model's layers hold, also inside lists, tuples and dicts, by dotted name."""
    return {
        f"{prefix}.{name}" if prefix else name: value
        for prefix, module in model.named_modules()
        for name, value in _spread(vars(module))
        if isinstance(value, np.random.Generator)
    }


def states_of(found: Generators) -> States:
    """Where the generators are."""
    return {name: dict(rng.bit_generator.state) for name, rng in found.items()}


def put_back(found: Generators, states: States) -> None:
    """Put the generators where they were."""
    for name, rng in found.items():
        rng.bit_generator.state = states[name]


def pack(run: "Run") -> tuple[Arrays, dict[str, Any]]:
    """The run's arrays, and the rest of its state, ready for JSON."""
    arrays = prefixed(WEIGHTS, run.model.state_dict())
    arrays |= prefixed(AVERAGE, run.average or {}) | prefixed(BEST, run.best or {})
    optimizer = run.optimizer.state_dict()
    for k, kept in enumerate(optimizer.pop("state")):
        arrays |= prefixed(f"{_OPTIMIZER}/{k}", kept)
    return arrays, {
        "setup": setup(run),
        "data": run.data,
        "optimizer": optimizer,
        "schedule": run.schedule and run.schedule.state_dict(),
        "generators": _plain(states_of(generators(run.model))),
        "batches": run.stream.state_dict(),
        "step": run.step,
        "images": run.images,
        "seconds": run.seconds,
        "sums": run.sums,
        "history": [asdict(record) for record in run.history],
        "finished": run.finished,
    }


def unpack(run: "Run", arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Put a run where the checkpoint was saved. CheckpointError, naming every difference, if it is of another run."""
    if "run" not in metadata:
        raise CheckpointError("holds weights only; a run cannot go on from it")
    state, own = metadata["run"], setup(run)
    if metadata["model"] != described(run.model):
        raise CheckpointError(f"is of the model {metadata['model']}, this one is {described(run.model)}")
    wrong = [f"{k} was {state['setup'].get(k)!r}, now {v!r}" for k, v in own.items() if state["setup"].get(k) != v]
    then, same_size = state.get("data"), state["setup"].get("images") == own["images"]  # old files do not tell
    if same_size and then is not None and run.data is not None and then != run.data:
        wrong.append(f"the training images or labels are others, though as many: they were {then}, now {run.data}")
    if wrong:
        raise CheckpointError("is of another run: " + "; ".join(wrong))
    kept = [section(f"{_OPTIMIZER}/{k}", arrays) for k in range(len(run.optimizer.params))]
    run.optimizer.load_state_dict(state["optimizer"] | {"state": kept})
    if run.schedule is not None:
        run.schedule.load_state_dict(state["schedule"])
    run.stream.load_state_dict(state["batches"])
    put_back(generators(run.model), state["generators"])
    if run.average is not None:
        run.average = section(AVERAGE, arrays)
    run.best = section(BEST, arrays) or None
    load_weights(run.model, section(WEIGHTS, arrays))
    run.step, run.images, run.seconds = int(state["step"]), int(state["images"]), float(state["seconds"])
    run.sums = list(state["sums"])
    run.history[:] = [EpochRecord(**record) for record in state["history"]]


def join(run: "Run", train: Dataset) -> None:
    """Make the runs of all ranks one, with rank 0's state. DistributedError on every rank if they cannot be one."""
    facts = fingerprint(train)
    run.data = facts["data"]
    run.team.agree(facts | {"model": described(run.model)} | layout(run.model) | setup(run))
    images = min(run.settings.batch_size, len(train))
    if images < run.team.size:
        raise DistributedError(
            f"fit: {run.team.size} ranks cannot share batches of {images} images: start fewer, or raise batch_size"
        )
    arrays, state = run.team.from_first(lambda: pack(run))
    unpack(run, arrays, {"model": described(run.model), "run": state})


def setup(run: "Run") -> dict[str, Any]:
    """What must be the same for a run to be the same, ready for JSON."""
    return asdict(run.settings) | {
        "images": run.stream.state_dict()["images"],
        "cost": getattr(run.cost, "__name__", type(run.cost).__name__),
        "validation": None if run.validation is None else len(run.validation),
        "optimizer": _settings(run.optimizer),
        "schedule": None if run.schedule is None else _settings(run.schedule),
    }


def _settings(thing: Optimizer | Schedule) -> dict[str, Any]:
    """Its class and what it was told; what changes as it goes on is left out."""
    told = {k: _plain(v) for k, v in vars(thing).items() if isinstance(v, int | float | tuple)}
    return {"class": type(thing).__name__} | {k: v for k, v in told.items() if k not in ("lr", "steps")}


def _plain(value: Any) -> Any:
    """A value made of what JSON knows: lists for tuples and arrays."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
