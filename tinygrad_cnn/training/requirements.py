"""What `fit` refuses before any training: better now than after an hour of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import abbreviated, instance
from ..data import Dataset
from ..models import Cost
from ..nn import Module
from ..optim import Optimizer, Schedule
from ..storage.archive import PathLike, path_text, target_fault
from .checkpoint import generators, put_back, states_of
from .evaluate import check_cost, evaluate


def check_types(
    model: Module, optimizer: Optimizer, schedule: Schedule | None, cost: Cost, validation: Dataset | None
) -> None:
    """TypeError unless everything is of its kind."""
    instance("fit", "model", model, Module)
    instance("fit", "optimizer", optimizer, Optimizer)
    if schedule is not None:
        instance("fit", "schedule", schedule, Schedule)
    if validation is not None:
        instance("fit", "validation", validation, Dataset)
    check_cost("fit", cost)


def check_validation(model: Module, train: Dataset, validation: Dataset, cost: Cost) -> None:
    """ValueError for images that the model cannot be evaluated on.

    Other sizes or more classes than the training images have may still fit a model: it is tried on one image.
    """
    if not len(validation):
        raise ValueError("fit: there is no image in validation")
    if validation.image_shape == train.image_shape and validation.num_classes <= train.num_classes:
        return
    chance = generators(model)
    before = states_of(chance)
    try:
        evaluate(model, validation[:1], cost=cost)
    except Exception as error:  # whatever the model says of images that it cannot take
        reason = " ".join(str(error).split())
        raise ValueError(f"fit: validation is {validation}, train is {train}: {reason}") from error
    finally:
        put_back(chance, before)


def check_name(checkpoint: PathLike) -> None:
    """TypeError for what is no path, ValueError for one with another ending than ``.npz``."""
    text = path_text("fit", checkpoint)
    if Path(text).suffix != ".npz":
        raise ValueError(f"fit: the checkpoint's name must end in .npz, got {text!r}")


def check_target(checkpoint: PathLike) -> None:
    """ValueError for a checkpoint that could not be written."""
    if fault := target_fault(checkpoint):
        raise ValueError(f"fit: checkpoint {checkpoint}: {fault}")


def check_about(about: Mapping[str, Any] | None) -> None:
    """TypeError for facts that no checkpoint could carry."""
    if not isinstance(about, Mapping | None):
        raise TypeError(f"fit: about must be facts by name, got {abbreviated(about)}")
    try:
        json.dumps(dict(about or {}))
    except (TypeError, ValueError) as error:
        raise TypeError(f"fit: about must be facts for JSON ({error})") from error
