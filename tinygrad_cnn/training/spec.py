"""A run's specification: all settings that its bits depend on, as plain values by name, to compare two runs by."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..data import Dataset
from ..models import Cost
from ..models.saving import model_spec
from ..nn import Module
from ..optim import Optimizer, Schedule

Spec = dict[str, Any]

_TITLES = {"train": "the training images'", "validation": "the validation images'", "order": "the order's"}
_BLOCK_IMAGES = 4096  # read at a time for a digest
_MAX_DEPTH = 4  # of functions that are settings of functions
_STATE = ("lr", "steps", "first")  # of optimizers and schedules: they change, or have an entry of their own


def run_spec(model: Module, optimizer: Optimizer, schedule: Schedule | None, cost: Cost, augment: object) -> Spec:
    """Return the entries for a model and for what trains it, as they are before the first step."""
    names = {id(p): name for name, p in model.named_parameters()}
    updated = {id(p) for p in optimizer.params if p.requires_grad}
    keeps_modes = any(m.training for m in model.modules())
    layers: Spec = {}
    for name, m in model.named_modules():
        layers |= _with_settings(f"layer {name or '(all)'}", m)
    groups = optimizer.param_groups
    rates = [group["lr"] for group in groups] if schedule is None else schedule.rates
    return {
        "model": model_spec(model),
        **layers,
        "frozen": [name for key, name in names.items() if key not in updated],
        "evaluation": [name for name, m in model.named_modules() if keeps_modes and not m.training],
        "lr": rates[0] if len(rates) == 1 else list(rates),
        **_with_settings("optimizer", optimizer),
        **{f"optimizer {name}": plain(value) for name, value in optimizer.settings().items()},
        "optimizer groups": [[names.get(id(p), "?") for p in group["params"]] for group in groups],
        **_with_settings("schedule", schedule),
        "cost": plain(cost),
        "augment": plain(augment),
    }


def dataset_spec(name: str, dataset: Dataset | None) -> Spec:
    """Return the entries for a data set, with a digest of its images and labels."""
    if dataset is None:
        return {f"{name} number": None}
    return {
        f"{name} number": len(dataset),
        f"{name} shape": list(dataset.image_shape),
        f"{name} classes": dataset.num_classes,
        f"{name} full_scale": dataset.full_scale,
        f"{name} sha256": digest(dataset),
    }


def digest(dataset: Dataset) -> str:
    """Return the first 16 digits of the SHA-256 of all labels and pixels."""
    sha256 = hashlib.sha256(dataset.labels.tobytes())
    for start in range(0, len(dataset), _BLOCK_IMAGES):
        sha256.update(dataset[start : start + _BLOCK_IMAGES].pixels.tobytes())
    return sha256.hexdigest()[:16]


def differences(then: Mapping[str, Any], now: Spec) -> dict[str, str]:
    """Return a message for each entry that differs, by name. Entries that ``then`` lacks are not compared, but layers.

    >>> differences({"lr": 0.1, "clip": None}, {"lr": 0.01, "clip": None, "ema": 0.9})
    {'lr': 'lr was 0.1, now 0.01'}
    """
    names = [name for name in now if name in then]
    if any(_is_layer(name) for name in then):
        names += [name for name in {**then, **now} if _is_layer(name) and name not in names]
    changed = {name for name in names if then.get(name) != now.get(name)}
    messages = {}
    for name in filter(changed.__contains__, names):
        group, _, entry = name.partition(" ")
        title = f"{_TITLES[group]} {entry}" if group in _TITLES else name
        if entry != "sha256":
            messages[name] = f"{title} was {_text(then.get(name))}, now {_text(now.get(name))}"
        elif f"{group} number" not in changed:
            messages[name] = f"{_TITLES[group][:-1]} or labels are others, though as many"
    return messages


def plain(value: object, depth: int = _MAX_DEPTH) -> Any:
    """Return a setting as JSON has it: numbers and text as they are, tuples as lists, a function as its description.

    None for what is no setting: modules, arrays, generators and the like.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        items = [plain(item, depth) for item in value]
        return None if None in items else items
    if not callable(value) or isinstance(value, Module | Tensor) or depth == 0:
        return None
    return _describe_function(value, depth - 1)


def _is_layer(name: str) -> bool:
    """Return True for the entry of a layer's class."""
    return name.startswith("layer ") and name.count(" ") == 1


def _with_settings(name: str, thing: Module | Optimizer | Schedule | None) -> Spec:
    """Return the entry of an object's class, and one for each of its settings."""
    if thing is None:
        return {name: None}
    state = ("training",) if isinstance(thing, Module) else _STATE
    return {name: type(thing).__name__} | {f"{name} {k}": v for k, v in _settings(thing).items() if k not in state}


def _settings(thing: object, depth: int = _MAX_DEPTH) -> dict[str, Any]:
    """Return the attributes that are plain values."""
    values = {k: plain(v, depth) for k, v in getattr(thing, "__dict__", {}).items()}
    return {k: v for k, v in values.items() if v is not None}


def _describe_function(function: Callable[..., object], depth: int) -> str:
    """Return a function's name with the values that are bound to it: by `partial`, a closure, or an object."""
    if isinstance(function, partial):
        bound = {str(k): v for k, v in enumerate(function.args)} | function.keywords
        return _call(plain(function.func, depth) or "partial", {k: plain(v, depth) for k, v in bound.items()})
    if isinstance(function, FunctionType):
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        values = {name: plain(cell.cell_contents, depth) for name, cell in cells if cell != CellType()}
        return _call(function.__name__.lstrip("_"), {k: v for k, v in values.items() if v is not None})
    if isinstance(function, MethodType):
        return f"{_describe_object(function.__self__, depth)}.{function.__name__}"
    return getattr(function, "__name__", None) or _describe_object(function, depth)


def _describe_object(thing: object, depth: int) -> str:
    return _call(type(thing).__name__, _settings(thing, depth))


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={_text(v)}' for k, v in arguments.items())})" if arguments else name


def _text(value: object) -> str:
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, list) else str(value)
