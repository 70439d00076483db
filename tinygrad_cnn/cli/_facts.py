"""The facts about its training that the command `train` saves in a file, checked when they are read."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..checks import abbreviated
from ..models import OPTIMIZERS, RECIPES
from ..storage.atomic import CheckpointError
from ._options import DATASETS, KERNELS

_Check = Callable[[Any], bool]


def check_training_facts(path: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``train`` that a checkpoint holds, by name.

    CheckpointError, naming all that is wrong, if one is missing or has a value that its flag does not allow.
    """
    if not about.keys() >= OPTIONS.keys():
        raise CheckpointError(
            f"{path}: was not made by 'tinygrad-cnn train'; go on with tg.fit(..., resume=True) where it was made"
        )
    facts = {name: about[name] for name in OPTIONS}
    wrong = [
        f"{name} must be {what}, got {abbreviated(facts[name])}"
        for name, (fits, what) in OPTIONS.items()
        if not fits(facts[name])
    ]
    if wrong:
        raise CheckpointError(f"{path}: its facts are damaged: {'; '.join(wrong)}")
    return facts


def check_text_fact(path: str, about: Mapping[str, Any], name: str) -> str | None:
    """Return a fact that is text, or None if the file does not hold it. CheckpointError for anything else."""
    fact = about.get(name)
    if not isinstance(fact, str | None):
        raise CheckpointError(f"{path}: its facts are damaged: {name} must be text, got {abbreviated(fact)}")
    return fact


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _number(value) and isinstance(value, int) and 1 <= value < 2**31


def _one_of(*names: str) -> tuple[_Check, str]:
    return lambda v: isinstance(v, str) and v in names, f"one of {', '.join(names)}"


def _or_none(check: tuple[_Check, str]) -> tuple[_Check, str]:
    fits, what = check
    return lambda v: v is None or fits(v), f"null or {what}"


_COUNT = _count, "an integer from 1, below 2**31"
OPTIONS: dict[str, tuple[_Check, str]] = {
    "dataset": _one_of(*DATASETS),
    "data_dir": _or_none((lambda v: isinstance(v, str), "a folder")),
    "model": _one_of(*RECIPES),
    "epochs": _COUNT,
    "batch_size": _COUNT,
    "lr": (lambda v: _number(v) and 0 < v <= sys.float_info.max, "a finite number above 0"),
    "optimizer": _one_of(*OPTIMIZERS),
    "validation": (lambda v: _number(v) and 0 <= v < 1, "a number from 0, below 1"),
    "patience": _or_none(_COUNT),
    "seed": (lambda v: _number(v) and isinstance(v, int) and v >= 0, "an integer from 0"),
    "kernels": _one_of(*KERNELS),
}
