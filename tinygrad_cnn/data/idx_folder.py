"""Folders of IDX files: images and labels for training and for testing, under MNIST's names or names like them."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import plural
from .classes import as_classes
from .dataset import Dataset
from .idx import DataError, read_idx
from .loaded import Loaded, Options, check_not_empty, oriented

STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NAME = re.compile(
    r"(?P<prefix>.*?)[-_.]?(?P<part>train|t10k|test)[-_.](?P<kind>image|label)s?[-_.]idx[134][-_.]ubyte(?:\.gz)?", re.I
)
_MAX_DEPTH = 3  # of folders in folders: archives are unpacked into folders of the files' names

Files = dict[str, Path]
"""The path of each of `STEMS`."""


def load_folder(
    folder: str | os.PathLike[str], *, split: str | None = None, memmap: bool = False
) -> tuple[Dataset, Dataset]:
    """Return (train, test) from a folder with four IDX files in MNIST's format.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or `.gz`; `train-images.idx3-ubyte` and the like, `test` for `t10k`, a prefix
    such as `emnist-letters-`, and files in folders of their own are read too. Images are uint8, (N, H, W), or
    (N, C, H, W) with `idx4` allowed in the name. The classes are 0 to the largest training label.

    Args:
        folder: where the files are.
        split: the prefix, or its last word, where there are files with several.
        memmap: map the image files (unpacked ones only), for data larger than memory.

    Raises:
        DataError: missing files (all are named), files that `read_idx` refuses, values that are not uint8, images and
            labels swapped or of different counts, training and test images of different shapes, a test label
            above all training labels.
    """
    return load_files(Path(folder), find_files(Path(folder), split)[1], None, memmap)


def find_files(folder: Path, split: str | None = None) -> tuple[str, Files]:
    """Return the prefix and the four files of a folder. DataError, naming them, if some are missing."""
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: is not a folder")
    sets = idx_files(folder)
    if split is not None:
        chosen = {p: f for p, f in sets.items() if p == split.casefold() or p.split("-")[-1] == split.casefold()}
        if not chosen:
            raise DataError(f"{folder}: has no files of {split!r}; there are {_listed(sets)}")
        sets = chosen
    complete = {p: f for p, f in sets.items() if len(f) == len(STEMS)}
    if len(complete) > 1:
        names = ", ".join(p.split("-")[-1] or "(none)" for p in sorted(complete))
        raise DataError(f"{folder}: holds several sets: {names}; choose one by --split NAME (split= in Python)")
    if complete:
        return next(iter(complete.items()))
    _, files = max(sets.items(), key=lambda item: len(item[1]), default=("", {}))
    missing = ", ".join(f"{stem}-{_suffix(stem)}" for stem in STEMS if stem not in files)
    raise DataError(f"{folder}: lacks {missing} (plain or .gz)")


def idx_files(folder: Path) -> dict[str, Files]:
    """Return the IDX files of a folder, by prefix and stem; a plain one rather than a packed, the outer of two."""
    sets: dict[str, Files] = {}
    level = [folder]
    for _ in range(_MAX_DEPTH):
        inner: list[Path] = []
        for where in level:
            for path in _entries(where):
                match = _NAME.fullmatch(path.name)
                if path.is_dir():
                    inner.append(path)
                elif match and path.stat().st_size:
                    part = "train" if match["part"].lower() == "train" else "t10k"
                    files = sets.setdefault(match["prefix"].casefold(), {})
                    files.setdefault(f"{part}-{match['kind'].lower()}s", path)
        level = inner
    return sets


def read_idx_folder(folder: Path, options: Options, origin: str = "IDX files") -> Loaded:
    """Read a folder of IDX files, its labels from any start and with gaps. See `load_folder`.

    EMNIST's images are stored with rows and columns exchanged: they are recognised by their names, and put upright.
    """
    options.refuse(f"{folder}", "size", "channels", "fit", "skip_damaged", "label_column", "layout")
    prefix, files = find_files(folder, options.split)
    pixels = [_read_bytes(files[f"{part}-images"], False) for part in ("train", "t10k")]
    labels = [_read_bytes(files[f"{part}-labels"], False) for part in ("train", "t10k")]
    for p, own, part in zip(pixels, labels, ("train", "t10k"), strict=True):
        _check_pair(p, own, files[f"{part}-images"], files[f"{part}-labels"])
    classes, names = as_classes(np.concatenate(labels), f"{folder}")
    check_not_empty(f"{folder}", np.bincount(classes, minlength=len(names)), names)
    names = _names(files["train-images"].parent, prefix, names)
    notes = []
    is_emnist = "emnist" in prefix
    if is_emnist != options.transpose:
        pixels = [oriented(p) for p in pixels]
        notes.append("rows and columns were exchanged" + (", as EMNIST needs it" if is_emnist else ""))
    if pixels[0].shape[1:] != pixels[1].shape[1:]:
        raise DataError(f"{folder}: training images are {pixels[0].shape[1:]}, test images {pixels[1].shape[1:]}")
    train, test = (
        Dataset(p, own, class_names=names) for p, own in zip(pixels, np.split(classes, [len(labels[0])]), strict=True)
    )
    return Loaded(train, test, origin, notes)


def load_files(folder: Path, files: Files, num_classes: int | None, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of four files; ``num_classes`` None: as many as the training labels have."""
    train = _read_pair(files["train-images"], files["train-labels"], num_classes, memmap)
    test = _read_pair(files["t10k-images"], files["t10k-labels"], train.num_classes, memmap)
    if train.image_shape != test.image_shape:
        raise DataError(f"{folder}: training images are {train.image_shape}, test images {test.image_shape}")
    return train, test


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda f: (f.name.lower().endswith(".gz"), f.name))
    except OSError:  # a folder that may not be read holds nothing of use
        return []


def _names(folder: Path, prefix: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the classes: of EMNIST's mapping file (label, code points), or else the labels."""
    mapping = next((f for f in folder.glob("*mapping.txt") if f.name.casefold().startswith(prefix)), None)
    if not prefix or mapping is None:
        return labels
    try:
        rows = [line.split() for line in mapping.read_text("ascii").splitlines() if line.strip()]
        names = {row[0]: "/".join(dict.fromkeys(chr(int(code)) for code in row[1:])) for row in rows}
        named = tuple(names[label] for label in labels)
    except (OSError, ValueError, KeyError, OverflowError):
        return labels
    return named if len(set(named)) == len(labels) else labels


def _suffix(stem: str) -> str:
    return "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"


def _listed(sets: dict[str, Files]) -> str:
    return ", ".join(sorted(p or "files without a prefix" for p in sets)) or "no IDX files"


def _read_pair(images: Path, labels: Path, num_classes: int | None, memmap: bool) -> Dataset:
    pixels, classes = _read_bytes(images, memmap), _read_bytes(labels, False)
    _check_pair(pixels, classes, images, labels)
    if num_classes is not None and classes.max(initial=0) >= num_classes:
        raise DataError(f"{labels}: label {classes.max()}, but the classes are 0 to {num_classes - 1}")
    return Dataset(pixels, classes, num_classes=num_classes)


def _check_pair(pixels: NDArray[Any], classes: NDArray[Any], images: Path, labels: Path) -> None:
    if pixels.ndim == 1 and classes.ndim in (3, 4):
        raise DataError(f"{images}: holds labels, and {labels.name} holds images: they are swapped")
    if pixels.ndim not in (3, 4):
        raise DataError(f"{images}: has {pixels.ndim} dimensions, images have 3 (N, H, W) or 4 (N, C, H, W)")
    if classes.ndim != 1:
        raise DataError(f"{labels}: has {classes.ndim} dimensions, labels have 1")
    if len(pixels) != len(classes):
        raise DataError(f"{labels}: {plural(len(classes), 'label')} for the {len(pixels)} images of {images.name}")


def _read_bytes(path: Path, memmap: bool) -> NDArray[Any]:
    values = read_idx(path, memmap=memmap)
    if values.dtype != np.uint8:
        raise DataError(f"{path}: holds {values.dtype.name}, images and labels are uint8")
    return values
