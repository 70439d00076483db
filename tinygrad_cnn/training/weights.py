"""Costs in which some classes or some images count more than others."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.tensor import Tensor
from ..checks import abbreviated
from ..data import Dataset
from ..models import Cost

ClassWeight = str | Sequence[float] | Mapping[str, float] | None
"""``"balanced"``, a number for each class, or numbers by class name; None counts all images alike."""


def class_weights(dataset: Dataset) -> list[float]:
    """Return a weight for each class by which all of them count alike: ``N / (K n_k)``; 0 for one without images.

    >>> class_weights(Dataset(np.zeros((4, 1, 1), np.uint8), [0, 0, 0, 1]))
    [0.6666666666666666, 2.0]
    """
    counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
    present = max(int((counts > 0).sum()), 1)
    return [len(dataset) / (present * int(n)) if n else 0.0 for n in counts]


def weighted_cost(cost: Cost, weight: ClassWeight, train: Dataset) -> Cost:
    """Return a cost that counts each image by the weight of its class.

    Raises:
        TypeError: a cost that takes no ``weight``, as `cross_entropy` does, or weights of another kind.
        ValueError: a number of weights that is not the number of classes, or an unknown name.
    """
    if weight is None:
        return cost
    _check_takes(cost, "weight", "class_weight")
    options: dict[str, Any] = {"weight": tuple(_by_class(weight, train))}
    return partial(cost, **options)


def sample_weights(weight: Any, cost: Cost, train: Dataset) -> NDArray[np.float64] | None:
    """Return a weight for each image, None for none. TypeError or ValueError for anything else."""
    if weight is None:
        return None
    _check_takes(cost, "reduction", "sample_weight")
    values = np.asarray(weight, np.float64)
    if values.shape != (len(train),) or not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise ValueError(
            f"fit: sample_weight must be a number from 0 for each of {len(train)} images, got {abbreviated(weight)}"
        )
    return values


def weighted_mean(cost: Cost, scores: Tensor, labels: NDArray[np.int64], weights: NDArray[np.float64]) -> Tensor:
    """Return ``sum(w c) / sum(w)`` of the costs c of a batch's images; 0 where no image counts."""
    each = cast(Callable[..., Tensor], cost)(scores, labels, reduction="none")
    total = float(weights.sum())
    mean: Tensor = (each * weights.astype(scores.dtype)).sum() / (total or 1.0)
    return mean


def _by_class(weight: str | Sequence[float] | Mapping[str, float], train: Dataset) -> list[float]:
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f"fit: class_weight must be 'balanced' or a number for each class, got {weight!r}")
        return class_weights(train)
    if isinstance(weight, Mapping):
        names = [str(name) for name in weight]
        if unknown := [name for name in names if name not in train.class_names]:
            raise ValueError(f"fit: class_weight has {unknown[0]!r}; the classes are {', '.join(train.class_names)}")
        given = dict(zip(names, weight.values(), strict=True))
        weight = [given.get(name, 1.0) for name in train.class_names]
    values = [checks.number("fit", "each class_weight", w, 0) for w in weight]
    if not any(values):
        raise ValueError("fit: class_weight must not be 0 for every class")
    if len(values) != train.num_classes:
        raise ValueError(f"fit: class_weight must have {train.num_classes} numbers, got {len(values)}")
    return values


def _check_takes(cost: Cost, name: str, flag: str) -> None:
    parameters = inspect.signature(cost).parameters
    if name not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        text = getattr(cost, "__name__", abbreviated(cost))
        raise TypeError(f"fit: {flag} needs a cost that takes {name}=, as cross_entropy does, got {text}")
