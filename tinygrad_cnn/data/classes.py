"""Labels of any kind as classes from 0, each with its name."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import plural
from .idx import DataError

_MAX_CLASSES = 10_000


def as_classes(labels: NDArray[Any], where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each image, from 0, and the names of the classes.

    Texts keep their own names and are in natural order (2 before 10). Integers that are exactly 0 to K-1 stay what they
    are; with gaps, or from another start, they become classes in their order, named by the number.

    Args:
        labels: (N,) or (N, 1) of texts, integers, whole floats or booleans, or (N, K) with one 1 in each row.
        where: the beginning of a message.

    Raises:
        DataError: labels of another form, missing ones, or more than 10,000 classes.
    """
    flat = _flat(labels, where)
    if flat.dtype.kind in "OSU":
        texts = np.array([_text(v) for v in flat.tolist()])
        if not all(texts.tolist()):
            raise DataError(f"{where}: {plural(int((texts == '').sum()), 'label')} missing, of {len(texts):,}")
        values, codes = np.unique(texts, return_inverse=True)
        if all(re.fullmatch(r"[+-]?\d{1,18}", v) for v in values.tolist()):
            return as_classes(texts.astype(np.int64), where)
        order = sorted(range(len(values)), key=lambda k: natural_key(str(values[k])))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        names, classes = tuple(str(values[k]) for k in order), rank[codes]
    else:
        if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and (flat == np.round(flat)).all()):
            raise DataError(
                f"{where}: labels must be classes, got numbers such as {float(flat[flat != flat.round()][0]):g}"
            )
        values, classes = np.unique(flat.astype(np.int64), return_inverse=True)
        names = tuple(map(str, values.tolist()))
    if len(names) > _MAX_CLASSES:
        raise DataError(f"{where}: {len(names):,} different labels for {len(flat):,} images are no classes")
    return classes.astype(np.int64), names


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts texts as people do: img2 before img10, and a before B."""
    parts = re.split(r"(\d{1,18})", text.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p] + [(2, 0, text)]


def _flat(labels: NDArray[Any], where: str) -> NDArray[Any]:
    """Return the labels as (N,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "iufb":
        one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
        if not one_hot:
            raise DataError(f"{where}: labels of shape {labels.shape} must have one 1 in each row, and else zeros")
        classes: NDArray[np.int64] = labels.argmax(axis=1)
        return classes
    if labels.ndim != 1:
        raise DataError(f"{where}: labels must be one for each image, (N,), got shape {labels.shape}")
    if labels.dtype.kind not in "iufbOSU":
        raise DataError(f"{where}: labels must be numbers or texts, got {labels.dtype}")
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return text.strip()
