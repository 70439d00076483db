"""The facts about its training that the command `train` saves in a file, checked when they are read."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..checks import abbreviated
from ..models import OPTIMIZERS, RECIPES
from ..storage.atomic import CheckpointError
from ._augment import AUGMENTATIONS
from ._data import READING, Facts
from ._options import KERNELS

_Check = Callable[[Any], bool]
# Options that files of version 0.1 lack, as they were then.
_LATER: dict[str, Any] = {
    "data": None,
    "reading": {},
    "augment": None,
    "balance": False,
    "normalize": False,
    "drop_last": False,
}


def check_training_facts(path: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``train`` that a checkpoint holds, by name.

    CheckpointError, naming all that is wrong, if one is missing or has a value that its flag does not allow.
    """
    known = _LATER | dict(about)
    if not known.keys() >= OPTIONS.keys():
        raise CheckpointError(
            f"{path}: was not made by 'tinygrad-cnn train'; go on with tg.fit(..., resume=True) where it was made"
        )
    facts = {name: known[name] for name in OPTIONS}
    _check(path, facts)
    return facts


def check_data_facts(path: str, about: Mapping[str, Any]) -> Facts | None:
    """Return where the images are from that a network was trained on; None if the file does not say."""
    known = _LATER | {"dataset": None, "data_dir": None} | dict(about)
    facts = {name: known[name] for name in ("dataset", "data_dir", "data", "reading")}
    _check(path, facts)
    return None if facts["dataset"] is None and facts["data"] is None else facts


def _check(path: str, facts: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} must be {what}, got {abbreviated(value)}"
        for name, value in facts.items()
        for fits, what in [OPTIONS[name]]
        if not fits(value)
    ]
    if wrong:
        raise CheckpointError(f"{path}: its facts are damaged: {'; '.join(wrong)}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _number(value) and isinstance(value, int) and 1 <= value < 2**31


def _reading(value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() <= set(READING):
        return False
    size = value.get("size", [1, 1])
    plain = all(isinstance(v, str | int | float | bool) for name, v in value.items() if name != "size")
    return plain and isinstance(size, list) and len(size) == 2 and all(_count(n) for n in size)


def _one_of(*names: str) -> tuple[_Check, str]:
    return lambda v: isinstance(v, str) and v in names, f"one of {', '.join(names)}"


def _or_none(check: tuple[_Check, str]) -> tuple[_Check, str]:
    fits, what = check
    return lambda v: v is None or fits(v), f"null or {what}"


def _augment(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and v in AUGMENTATIONS for v in value)


_COUNT = _count, "an integer from 1, below 2**31"
_FLAG = (lambda v: isinstance(v, bool)), "true or false"
OPTIONS: dict[str, tuple[_Check, str]] = {
    "dataset": _or_none((lambda v: isinstance(v, str), "the name of a data set")),
    "data_dir": _or_none((lambda v: isinstance(v, str), "a folder")),
    "data": _or_none((lambda v: isinstance(v, str) and v != "", "a path")),
    "reading": (_reading, "the options of --data"),
    "model": _or_none(_one_of(*RECIPES)),
    "epochs": _COUNT,
    "batch_size": _COUNT,
    "lr": (lambda v: _number(v) and 0 < v <= sys.float_info.max, "a finite number above 0"),
    "optimizer": _one_of(*OPTIMIZERS),
    "validation": (lambda v: _number(v) and 0 <= v < 1, "a number from 0, below 1"),
    "patience": _or_none(_COUNT),
    "seed": (lambda v: _number(v) and isinstance(v, int) and v >= 0, "an integer from 0"),
    "kernels": _one_of(*KERNELS),
    "augment": _or_none((_augment, f"a list of {', '.join(AUGMENTATIONS)}")),
    "balance": _FLAG,
    "normalize": _FLAG,
    "drop_last": _FLAG,
}
