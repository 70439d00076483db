"""Arrays of images and labels, in memory or in ``.npz`` and ``.npy`` files, with their axes in any usual order."""

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import abbreviated
from .classes import as_classes
from .dataset import Dataset, has_channels_last
from .idx import DataError
from .loaded import Loaded, Options, check_not_empty, oriented, split_off_test

Layout = Literal["NHWC", "NCHW", "HWCN"]

# Names without case, "_", "-" and the word for the part: images, then labels.
_IMAGES, _LABELS = ("images", "x", "data", "image", "features", "pixels", "arr0"), ("labels", "y", "targets", "target")
_MORE_LABELS = ("label", "classes", "class", "arr1")
_PARTS = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation", "dev")}
_CHANNELS = (1, 3, 4)
_MAX_BYTES_PER_PACKED_BYTE = 1100  # deflate's largest ratio is 1,032

Pair = tuple[NDArray[Any], NDArray[Any]]


def arrays(
    images: ArrayLike | str | os.PathLike[str],
    labels: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
    transpose: bool = False,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Dataset, Dataset]:
    """Return (train, test) from arrays of images and labels, or from an ``.npz`` file that holds them.

    In a file the usual names are recognised: ``x_train``, ``y_train``, ``x_test`` and ``y_test``; ``train_images`` and
    ``train_labels``; ``images`` and ``labels``; ``X`` and ``y``; ``data`` and ``target``.

    Args:
        images: (N, H, W), (N, H, W, C), (N, C, H, W), (H, W, C, N) or rows of pixels (N, H * W); uint8, uint16, other
            integers from 0 to 255 or 65,535, or floats in [0, 1], [-1, 1] or 0 to 255. Or the path of a file; or of a
            folder with ``x_train.npy`` and so on.
        labels: N integers, texts, or rows with one 1; not with a path.
        class_names: a name for each class; by default the labels themselves.
        layout: "NHWC", "NCHW" or "HWCN", where the shape leaves it open.
        size: (rows, columns), for rows of pixels that are not square.
        transpose: exchange rows and columns of every image, as EMNIST's need it.
        test: the fraction of test images, where the file has none.
        seed: of that split.

    Raises:
        DataError: a file without images and labels, or damaged; counts that differ; a layout that cannot be told.
    """
    options = Options(layout=layout, size=size, transpose=transpose, test=test, seed=seed)
    options.check("arrays")
    if isinstance(images, str | os.PathLike):
        if labels is not None:
            raise DataError("arrays: labels goes with arrays, not with a path")
        return read_arrays(Path(images), options, class_names).pair
    if labels is None:
        raise DataError("arrays: labels are missing")
    pair = np.asarray(images), np.asarray(labels)
    return _load("arrays", [pair], class_names, "arrays", [], options).pair


def read_arrays(path: Path, options: Options, class_names: Sequence[str] | None = None) -> Loaded:
    """Read an ``.npz`` file, or a folder of ``.npy`` files. See `arrays`."""
    options.refuse(f"{path}", "channels", "fit", "skip_damaged", "label_column", "split")
    named = _read_folder(path) if path.is_dir() else _read_npz(path)
    pairs, notes = find_pairs(named, f"{path}")
    origin = "a folder of arrays" if path.is_dir() else "arrays in a file"
    return _load(f"{path}", pairs, class_names, origin, notes, options)


def find_pairs(named: Mapping[str, NDArray[Any]], where: str) -> tuple[list[Pair], list[str]]:
    """Return (images, labels) of training and test images, or of all in one, and notes about what is not used.

    DataError, naming the arrays that there are, if no images or labels are among them.
    """
    by_part: dict[str, dict[str, NDArray[Any]]] = {}
    used = {}
    for name, array in named.items():
        part, kind = _part_and_kind(name)
        if kind and kind not in by_part.setdefault(part, {}):
            by_part[part][kind] = array
            used[name] = part
    pairs = {p: (a["images"], a["labels"]) for p, a in by_part.items() if len(a) == 2}
    train = pairs.get("train") or pairs.get("")
    if train is None:
        listed = ", ".join(f"{k} {v.shape}" for k, v in list(named.items())[:8]) or "nothing"
        raise DataError(
            f"{where}: needs images and labels under names such as x_train and y_train, or images and labels; "
            f"it holds {listed}"
        )
    test_part = next((p for p in ("test", "val") if p in pairs), None) if "train" in pairs else None
    parts = ["train" if "train" in pairs else "", *([test_part] if test_part else [])]
    rest = [name for name in named if used.get(name) not in parts]
    return [pairs[p] for p in parts], [f"not used: {', '.join(rest)}"] if rest else []


def ordered(values: NDArray[Any], count: int, where: str, options: Options) -> tuple[NDArray[Any], list[str]]:
    """Return images (N, C, H, W) with 1 or 3 channels, and sentences about what was decided.

    Args:
        values: as `arrays` takes them.
        count: the number of labels.
        where: the beginning of a message.
        options: layout, size and transpose.
    """
    values, notes = _ordered(values, count, where, options)
    if values.shape[1] in (2, 4):
        values, notes = values[:, :-1], [*notes, "the last channel (alpha) is not used"]
    return oriented(values) if options.transpose else values, notes


def scaled(sets: Sequence[NDArray[Any]], where: str) -> tuple[list[NDArray[Any]], int, list[str]]:
    """Return pixels in a type and scale that a `Dataset` takes, the same for all sets; the full scale; sentences."""
    kinds = {values.dtype.kind for values in sets}
    lowest = min(values.min(initial=0) for values in sets)
    highest = max(values.max(initial=0) for values in sets)
    if kinds <= {"b", "u", "i"}:
        if lowest < 0 or highest > 65_535:
            raise DataError(f"{where}: pixels must be from 0 to 255 or 65,535, got {lowest} to {highest}")
        kind = np.uint8 if highest <= 255 else np.uint16
        return [values.astype(kind, copy=False) for values in sets], _full_scale(int(highest)), []
    if not all(np.isfinite(values).all() for values in sets):
        raise DataError(f"{where}: pixels must be finite, got NaN or infinity")
    if 1 < highest <= 255 and lowest >= 0 and all((values == np.rint(values)).all() for values in sets):
        return [values.astype(np.uint8) for values in sets], _full_scale(int(highest)), []
    start, span, notes = 0.0, 1.0, []
    if lowest < 0 or highest > 1:
        if lowest >= -1 and highest <= 1:
            start, span = -1.0, 2.0
        elif lowest >= 0 and 1 < highest <= 255:
            span = 255.0
        else:
            start, span = float(lowest), float(highest) - float(lowest)
        notes = [f"pixels from {start:g} to {start + span:g} were brought to 0 to 1"]
    return (
        [np.clip((v - start) / span, 0, 1).astype(np.float32) for v in sets]
        if notes
        else [v.astype(np.float32, copy=False) for v in sets],
        1,
        notes,
    )


def _load(
    where: str, pairs: list[Pair], class_names: Sequence[str] | None, origin: str, notes: list[str], options: Options
) -> Loaded:
    counts = [len(np.atleast_1d(labels)) for _, labels in pairs]
    classes, names = as_classes(np.concatenate([_labels(labels) for _, labels in pairs]), where)
    if class_names is not None:
        if len(class_names) != len(names):
            raise DataError(
                f"{where}: {len(class_names)} class names for {len(names)} classes: {', '.join(names[:20])}"
            )
        names = tuple(class_names)
    check_not_empty(where, np.bincount(classes, minlength=len(names)), names)
    ordered_sets = []
    for (values, _), count in zip(pairs, counts, strict=True):
        pixels, more = ordered(values, count, where, options)
        notes = notes + [note for note in more if note not in notes]
        ordered_sets.append(pixels)
    shapes = [pixels.shape[1:] for pixels in ordered_sets]
    if len(set(shapes)) > 1:
        raise DataError(f"{where}: training images are {shapes[0]}, test images {shapes[1]}")
    stored, full_scale, more = scaled(ordered_sets, where)
    parts = np.split(classes, np.cumsum(counts)[:-1])
    sets = [
        Dataset(pixels, own, full_scale=full_scale, class_names=names)
        for pixels, own in zip(stored, parts, strict=True)
    ]
    if len(sets) == 1:
        train, test, note = split_off_test(sets[0], options)
        return Loaded(train, test, origin, [*notes, *more, note])
    return Loaded(sets[0], sets[1], origin, [*notes, *more])


def _labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as (N,) or (N, K): one-hot rows as classes, so that parts can be joined."""
    flat = np.atleast_1d(labels)
    if flat.ndim == 2 and flat.shape[1] > 1:
        return as_classes(flat, "labels")[0]
    return flat.reshape(len(flat)) if flat.ndim == 2 and flat.shape[1] == 1 else flat


def _part_and_kind(name: str) -> tuple[str, str]:
    """Return ("train", "test", "val" or "", "images", "labels" or "") of an array by its name."""
    words = re.findall(r"[a-z]+|\d+", Path(name).stem.casefold())
    part = next((p for p, names in _PARTS.items() if any(w in names for w in words)), "")
    rest = "".join(w for w in words if not any(w in names for names in _PARTS.values()))
    if not part:  # xtrain, ytest: written as one word
        part = next((p for p in _PARTS if len(rest) > len(p) and (rest.endswith(p) or rest.startswith(p))), "")
        rest = rest.removesuffix(part).removeprefix(part)
    kind = "images" if rest in _IMAGES else "labels" if rest in (*_LABELS, *_MORE_LABELS) else ""
    return part, kind


def _ordered(values: NDArray[Any], count: int, where: str, options: Options) -> tuple[NDArray[Any], list[str]]:
    """Return images as (N, C, H, W), and a sentence if their axes were in another order."""
    if values.dtype.kind not in "uifb":
        raise DataError(f"{where}: images must be numbers, got {values.dtype} of shape {values.shape}")
    layout = options.layout
    if values.ndim == 2:
        return _unflattened(values, where, options)
    if layout == "HWCN" or (layout is None and values.ndim in (3, 4) and values.shape[-1] == count != len(values)):
        moved = np.moveaxis(values, -1, 0)  # MATLAB's order, as in SVHN
        values = moved if moved.ndim == 3 else np.moveaxis(moved, -1, 1)
        notes = ["the last axis counts the images"]
    elif values.ndim == 4 and (layout == "NHWC" or (layout is None and _is_channels_last(values.shape, where))):
        values, notes = np.moveaxis(values, -1, 1), ["the channels were last"]
    else:
        notes = []
    if values.ndim not in (3, 4) or 0 in values.shape[1:]:
        raise DataError(f"{where}: images must be (N, H, W), (N, H, W, C) or (N, C, H, W), got shape {values.shape}")
    if len(values) != count:
        raise DataError(f"{where}: {len(values):,} images, but {count:,} labels (images.shape={values.shape})")
    values = values if values.ndim == 4 else values[:, None]
    return (np.ascontiguousarray(values) if notes else values), notes


def _is_channels_last(shape: tuple[int, ...], where: str) -> bool:
    """Return True for (N, H, W, C) and False for (N, C, H, W). DataError where the numbers leave it open."""
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first != last:
        return last
    if first and shape[1] != shape[3] and min(shape[1:]) < 4:  # (N, 1, H, 3) and the like
        return shape[3] == 3 and shape[2] > 3 if shape[1] == 1 else False
    if first or has_channels_last(shape):
        raise DataError(
            f"{where}: images of shape {shape} may have their channels first or last; say --layout NCHW or NHWC"
        )
    if max(shape[1], shape[3]) <= 64 and shape[1] != shape[3]:
        return shape[3] < shape[1]
    raise DataError(f"{where}: images of shape {shape} have no axis of 1, 3 or 4 channels; say --layout NCHW or NHWC")


def _unflattened(values: NDArray[Any], where: str, options: Options) -> tuple[NDArray[Any], list[str]]:
    """Return rows of pixels as images."""
    number = values.shape[1]
    for channels in (1, 3):
        rows, columns = options.size or (int((number / channels) ** 0.5),) * 2
        if number and rows * columns * channels == number:
            note = f"rows of {number} numbers are images of {rows}x{columns}" + (
                " in 3 planes" if channels == 3 else ""
            )
            if channels == 3 and options.layout == "NHWC":
                return np.ascontiguousarray(values.reshape(-1, rows, columns, 3).transpose(0, 3, 1, 2)), [note]
            return values.reshape(-1, channels, rows, columns), [note]
    what = f"{options.size[0]}x{options.size[1]}" if options.size else "square"
    raise DataError(f"{where}: rows of {number} numbers are no {what} images; say their --size ROWSxCOLUMNS")


def _full_scale(highest: int) -> int:
    """Return the value that means 1: 1 or 16 for as few levels (scikit-learn's digits have 17), else all of a type."""
    if highest <= 16:
        return max(highest, 1)
    return 255 if highest <= 255 else 65_535


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file. Nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > _MAX_BYTES_PER_PACKED_BYTE * max(entry.compress_size, 1) + 4096:
                    raise DataError(f"{path}: {entry.filename} promises more bytes than its packed ones can hold")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if _part_and_kind(name)[1] or len(stored.files) <= 8}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy's reader raises of every kind when a file is damaged
        reason = "holds Python objects, which are not read" if "pickle" in str(error).casefold() else error
        raise DataError(f"{path}: is no .npz file of arrays, or is damaged ({abbreviated(str(reason))})") from error


def _read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {}
    for file in sorted(folder.glob("*.npy")):
        try:
            named[file.name] = np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # as above
            raise DataError(f"{file}: is no .npy file, or is damaged ({error})") from error
    return named
