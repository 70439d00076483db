"""Folders with a folder of pictures for each class, and lists of pictures with their classes."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import plural, require
from ..kernels.threads import processors
from .cache import Pixels, decoded
from .classes import natural_key
from .dataset import Dataset
from .idx import DataError
from .loaded import Loaded, Options, check_not_empty, split_off_test
from .picture import MAX_PIXELS, SUFFIXES, fitted, is_grey, photo, read_picture
from .spec import Fit

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation", "dev")  # the first one there is, is for testing
_LARGEST_KEPT_SIDE = 128  # pictures of one size stay as they are up to this
_USUAL_SIDE = 64  # to which others are scaled
_MAX_NAMED_FILES = 5
_FORMAT = 1  # of the cached pixels: another number for another way to decode

Labelled = tuple[list[Path], list[int]]


def image_folder(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    fit: Fit | None = None,
    test: float = 0.2,
    seed: int = 0,
    skip_damaged: bool = False,
) -> tuple[Dataset, Dataset]:
    """Return (train, test) from a folder that has a folder of pictures for each class.

    The classes are named after their folders, in natural order. If there are folders ``train`` and ``test`` (or
    ``val``) with the folders of the classes in them, the split is theirs; else it is drawn at random, the same fraction
    of each class. Pictures are read once: large sets are kept, decoded, in the user's cache folder and mapped into
    memory.

    Args:
        path: the folder; pictures in folders of folders count too, hidden files and others than pictures do not.
        size: (rows, columns) of the images; by default that of the pictures if they agree and have at most 128 pixels a
            side, else 64x64, or less for smaller ones.
        channels: 1 (grey) or 3 (RGB); by default what most pictures have.
        fit: for pictures of another shape, "pad" keeps all of them, "crop" the middle; "pad" when None.
        test: the fraction of test images, where there is no folder of them.
        seed: of that split.
        skip_damaged: leave out files that cannot be read; by default they are an error that names them.

    Raises:
        DataError: no such folder, fewer than two classes, damaged files.
        ImportError: Pillow (extra ``cli``) is missing.
    """
    options = Options(size=size, channels=channels, fit=fit, test=test, seed=seed, skip_damaged=skip_damaged)
    options.check("image_folder")
    return read_image_folder(Path(path), options).pair


def read_image_folder(root: Path, options: Options) -> Loaded:
    """Read a folder with a folder of pictures for each class. See `image_folder`."""
    options.refuse(f"{root}", "label_column", "layout", "split")
    parts, notes = _parts(root)
    classes = class_folders(parts[0])
    if not classes:
        raise DataError(f"{root}: has no folders with pictures in them, one for each class")
    names = [folder.name for folder in classes]
    if empty := [f.name for f in _entries(parts[0]) if f.is_dir() and f not in classes]:
        notes.append(f"no class: {', '.join(sorted(empty))} (no pictures with an ending such as .png or .jpg in it)")
    sets: list[Labelled] = []
    for part in parts:
        others = [f.name for f in class_folders(part) if f.name not in names]
        if others:
            raise DataError(f"{part}: has the class {others[0]!r}, which {parts[0].name} has not")
        sets.append(_labelled(part, names))
    origin = "a folder for each class"
    return read_pictures(root, sets, names, origin, notes, options)


def read_pictures(
    root: Path, sets: Sequence[Labelled], names: Sequence[str], origin: str, notes: list[str], options: Options
) -> Loaded:
    """Read pictures with their classes: one set to be split, or the training and the test set.

    Args:
        root: the folder or list that they are from, for messages.
        sets: files and their classes.
        names: of the classes.
        origin, notes: of `Loaded`.
        options: how to read them.
    """
    if options.like is None:
        check_not_empty(f"{root}", np.bincount(sets[0][1], minlength=len(names)), names)
    files = [file for paths, _ in sets for file in paths]
    headers, options = _headers(files), _like_network(options)
    shape, more = _choose_shape([h for h in headers if h is not None], root, options)
    pixels, good = _decode(files, headers, shape, options)
    notes = notes + more + _report_damage(root, files, good, options)
    labels = np.array([k for _, classes in sets for k in classes], np.int64)
    if options.transpose:
        pixels = pixels.swapaxes(-1, -2)
    whole = Dataset(pixels, labels, class_names=names, fit=None if options.fit is None else options.fit)
    first = len(sets[0][0])
    if len(sets) == 2:
        rows = np.arange(len(files))
        train, test = whole[rows[:first][good[:first]]], whole[rows[first:][good[first:]]]
        return Loaded(train, test, origin, notes)
    train, test, note = split_off_test(whole if good.all() else whole[good], options)
    return Loaded(train, test, origin, [*notes, note])


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that have pictures in them, in natural order of their names."""
    found = [f for f in _entries(folder) if f.is_dir() and next(_pictures_below(f), None) is not None]
    return sorted(found, key=lambda f: natural_key(f.name))


def _parts(root: Path) -> tuple[list[Path], list[str]]:
    """Return the folders of (training and test) images, or the one folder of all, and notes about others."""
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder")
    inner = {f.name.casefold(): f for f in _entries(root) if f.is_dir()}
    train = next((inner[name] for name in TRAIN_FOLDERS if name in inner), None)
    if train is None or not class_folders(train):
        return [root], []
    tests = [inner[name] for name in TEST_FOLDERS if name in inner and class_folders(inner[name])]
    rest = [f.name for f in inner.values() if f != train and f not in tests[:1]]
    notes = [f"not used: {', '.join(sorted(rest))}"] if rest else []
    return [train, *tests[:1]], notes


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds, but for hidden files and those that archives leave."""
    try:
        return [Path(e.path) for e in os.scandir(folder) if not e.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}") from error


def _pictures_below(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(base, name)


def _labelled(part: Path, names: Sequence[str]) -> Labelled:
    files: list[Path] = []
    classes: list[int] = []
    for k, name in enumerate(names):
        own = list(_pictures_below(part / name)) if (part / name).is_dir() else []
        files += own
        classes += [k] * len(own)
    return files, classes


def _headers(files: Sequence[Path]) -> list[tuple[int, int, bool] | None]:
    """Return (rows, columns, is grey) of each picture by its header; None for one that has none."""
    library = require("PIL.Image", "cli")

    def header(path: Path) -> tuple[int, int, bool] | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with library.open(path) as picture:
                    columns, rows = picture.size
                    if picture.getexif().get(0x0112, 1) >= 5:  # turned by a quarter
                        rows, columns = columns, rows
                    return (rows, columns, is_grey(picture)) if rows * columns <= MAX_PIXELS else None
        except Exception:  # whatever Pillow raises: such a file is counted as damaged
            return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [header(path) for path in files]


def _choose_shape(
    headers: Sequence[tuple[int, int, bool]], root: Path, options: Options
) -> tuple[tuple[int, int, int], list[str]]:
    """Return (C, H, W) of the images, and sentences about what was decided."""
    if not headers:
        raise DataError(f"{root}: none of the pictures can be read")
    notes = []
    grey = sum(g for _, _, g in headers)
    channels = options.channels or (1 if 2 * grey > len(headers) else 3)
    other = len(headers) - grey if channels == 1 else grey
    if other:
        kinds = ("colour", "grey") if channels == 1 else ("grey", "colour")
        notes.append(f"{plural(other, kinds[0] + ' picture')} became {kinds[1]}")
    sizes = Counter((rows, columns) for rows, columns, _ in headers)
    smallest, largest = (f(r * c for r, c in sizes) for f in (min, max))
    size = options.size or _usual_size(sizes)
    if len(sizes) > 1 or size not in sizes:
        texts = [next(f"{r}x{c}" for r, c in sizes if r * c == area) for area in (smallest, largest)]
        how = "cropped to" if options.fit == "crop" else "scaled and padded to"
        extent = f"of {texts[0]}" if len(sizes) == 1 else f"from {texts[0]} to {texts[1]} pixels"
        notes.append(f"pictures {extent} were {how} {size[0]}x{size[1]} (--size and --fit change that)")
    return (channels, *size), notes


def _like_network(options: Options) -> Options:
    """Return options by which pictures become what a network takes, but for those that are set."""
    if options.like is None:
        return options
    channels, *size = options.like.shape
    fit = options.fit or (None if options.like.fit == "ink" else options.like.fit)
    rows, columns = options.size or size
    return replace(options, channels=options.channels or channels, size=(rows, columns), fit=fit)


def _usual_size(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    if len(sizes) == 1 and max(next(iter(sizes))) <= _LARGEST_KEPT_SIDE:
        return next(iter(sizes))
    longer = np.repeat([max(size) for size in sizes], list(sizes.values()))
    side = min(_USUAL_SIDE, max(8, int(np.median(longer)) // 8 * 8))
    return side, side


def _decode(
    files: Sequence[Path], headers: Sequence[Any], shape: tuple[int, int, int], options: Options
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return the pixels (N, C, H, W), and which of the pictures could be read."""
    channels, height, width = shape
    fit, like = options.fit or "pad", options.like
    sizes = Counter(h[:2] for h in headers if h is not None)
    if like is not None and (like.fit != "ink" or sizes.most_common(1)[0][0] == like.shape[1:]):
        like = None  # fitted is all that there is to do

    def read(k: int, pixels: Pixels) -> bool:
        if headers[k] is None:
            return False
        try:
            if like is not None:
                pixels[k] = np.rint(photo(files[k], like) * 255)
            else:
                pixels[k] = np.rint(fitted(read_picture(files[k], (height, width)), channels, height, width, fit))
        except DataError:
            return False
        return True

    def fill(pixels: Pixels) -> NDArray[np.bool_]:
        with ThreadPoolExecutor(processors()) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(list(pool.map(lambda k: read(k, pixels), range(len(files)))), bool)

    stats = [os.stat(file) for file in files]
    facts = [(str(f.absolute()), s.st_size, s.st_mtime_ns) for f, s in zip(files, stats, strict=True)]
    return decoded(repr((_FORMAT, shape, fit, like, facts)), (len(files), *shape), fill)


def _report_damage(root: Path, files: Sequence[Path], good: NDArray[np.bool_], options: Options) -> list[str]:
    """Return a sentence about files that were left out. DataError if they may not be."""
    damaged = [file for file, is_good in zip(files, good, strict=True) if not is_good]
    bad = [str(file.relative_to(root) if file.is_relative_to(root) else file) for file in damaged]
    if not bad:
        return []
    named = ", ".join(bad[:_MAX_NAMED_FILES]) + (" ..." if len(bad) > _MAX_NAMED_FILES else "")
    what = f"{plural(len(bad), 'picture')} cannot be read: {named}"
    if not options.skip_damaged:
        raise DataError(f"{root}: {what}; --skip-damaged (skip_damaged=True) leaves them out")
    return [f"left out: {what}"]
