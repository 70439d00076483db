"""Tables of pixels: a CSV file with a row for each image, its label in one column, or a file name beside a label."""

import csv as csv_module
import gzip
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated, plural
from .array_files import ordered, scaled
from .classes import as_classes
from .dataset import Dataset
from .folders import TEST_FOLDERS, TRAIN_FOLDERS, read_pictures
from .idx import DataError
from .loaded import Loaded, Options, check_not_empty, split_off_test
from .picture import SUFFIXES as PICTURE_SUFFIXES

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""The endings of files that are taken for tables."""

_LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit", "category", "species", "emotion", "letter", "name")
_ID_NAMES = ("id", "index", "idx", "imageid", "image_id", "row", "row_id", "", "unnamed: 0")
_SNIFFED_ROWS = 500
_ROWS_AT_A_TIME = 20_000
_MAX_LINE_BYTES = 1 << 24


@dataclass(frozen=True)
class _Layout:
    """The form of a table: its columns, and which of them is the label."""

    delimiter: str
    header: list[str] | None
    columns: int
    label: int | None  # None: the table has no labels
    texts: bool  # labels that are not numbers
    left_out: tuple[int, ...] = ()  # columns that number the rows


def csv(
    path: str | os.PathLike[str],
    *,
    label_column: str | int | None = None,
    size: tuple[int, int] | None = None,
    transpose: bool = False,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Dataset, Dataset]:
    """Return (train, test) from a table with a row for each image, such as Kaggle's of MNIST.

    The other columns than the label's are the pixels, row after row, 0 to 255. Commas, semicolons and tabs are told
    apart, a first line of names is recognised, and ``.gz`` is unpacked. A table that names a picture file in each row
    instead of pixels is read too. With ``train.csv`` comes ``test.csv`` beside it, if that has labels.

    Args:
        path: a file, or a folder with ``train.csv`` and ``test.csv``.
        label_column: its name, or its number from 0 (-1: the last); by default ``label`` or the like, else the first or
            the last column, whichever has classes in it.
        size: (rows, columns), for images that are not square.
        transpose: exchange rows and columns of every image, as EMNIST's need it.
        test: the fraction of test images, where there is no table of them.
        seed: of that split.

    Raises:
        DataError: a table that cannot be read, or with rows of different lengths, values that are not numbers, missing
            labels, or no column that could be the label.
    """
    options = Options(label_column=label_column, size=size, transpose=transpose, test=test, seed=seed)
    options.check("csv")
    return read_table(Path(path), options).pair


def read_table(path: Path, options: Options) -> Loaded:
    """Read a table, or a folder with one for training and one for testing. See `csv`."""
    options.refuse(f"{path}", "layout", "split")
    train, test = _files(path)
    layout = _sniff(train, options)
    if layout.label is None:
        raise DataError(
            f"{train}: no column can be told to be the label; name one of {_columns(layout)} by --label-column"
        )
    files = _picture_column(train, layout)
    if files is not None:
        return _read_list(train, layout, files, options)
    options.refuse(f"{path}", "channels", "fit", "skip_damaged")
    sets, notes = [_read(train, layout)], []
    if test is not None:
        other = _sniff(test, options)
        if other.label is None or other.columns != layout.columns:
            notes.append(f"{test.name} has no labels: not used")
        else:
            sets.append(_read(test, other))
    classes, names = as_classes(np.concatenate([labels for _, labels in sets]), f"{train}")
    check_not_empty(f"{train}", np.bincount(classes, minlength=len(names)), names)
    images = []
    for values, labels in sets:
        pixels, more = ordered(values, len(labels), f"{train}", options)
        images.append(pixels)
        notes += [note for note in more if note not in notes]
    stored, full_scale, more = scaled(images, f"{train}")
    parts = np.split(classes, [len(sets[0][1])])
    whole = [
        Dataset(pixels, own, full_scale=full_scale, class_names=names)
        for pixels, own in zip(stored, parts, strict=False)
    ]
    notes += more
    if len(whole) == 2:
        return Loaded(whole[0], whole[1], "two tables", notes)
    held, rest, note = split_off_test(whole[0], options)
    return Loaded(held, rest, "a table", [*notes, note])


def _files(path: Path) -> tuple[Path, Path | None]:
    """Return the tables of training and test images."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: No such file or directory")
        folder, chosen = path.parent, [path]
        if not _is_part(path, TRAIN_FOLDERS):
            return path, None
    else:
        folder, chosen = path, []
    tables = sorted(f for f in folder.iterdir() if f.name.lower().endswith(SUFFIXES) and not f.name.startswith("."))
    train = chosen or [f for f in tables if _is_part(f, TRAIN_FOLDERS)] or tables
    if len(train) != 1:
        names = ", ".join(f.name for f in tables[:8]) or "none"
        raise DataError(f"{path}: needs one table, or train.csv and test.csv; there are {names}")
    test = [f for name in TEST_FOLDERS for f in tables if _is_part(f, (name,)) and f != train[0]]
    return train[0], test[0] if test else None


def _is_part(path: Path, names: Sequence[str]) -> bool:
    words = path.name.casefold().split(".")[0].replace("-", "_").replace(" ", "_").split("_")
    return any(name in words for name in names)


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    """Open a table as text. DataError for what cannot be read."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(stream, "utf-8-sig", errors="replace") as text:
                yield text
    except DataError:
        raise
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: corrupt gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _sniff(path: Path, options: Options) -> _Layout:
    """Return where a table's numbers are, by its first rows."""
    with _open(path) as file:
        lines = [line for line in itertools.islice(_lines(file, path), _SNIFFED_ROWS + 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty")
    delimiter = max(",;\t", key=lines[-1].count)
    rows = list(csv_module.reader(lines, delimiter=delimiter))
    header = None if any(_is_number(cell) for cell in rows[0]) and len(rows[0]) > 2 else [c.strip() for c in rows[0]]
    if header is not None and len(rows[0]) <= 2 and not any(c.casefold() in _LABEL_NAMES for c in header):
        header = None if len(rows) == 1 or any(map(_is_picture, rows[0])) else header
    body = rows[1:] if header else rows
    if not body:
        raise DataError(f"{path}: has names of columns, and no row of numbers")
    wrong = next((k for k, row in enumerate(body) if len(row) != len(body[0])), None)
    if wrong is not None:
        line = wrong + (2 if header else 1)
        raise DataError(f"{path}: line {line} has {len(body[wrong])} cells, the first row {len(body[0])}")
    label = _label_column(path, header, body, options.label_column)
    texts = label is not None and not all(_is_number(row[label]) for row in body)
    numbers = tuple(k for k, name in enumerate(header or ()) if name.casefold() in _ID_NAMES and k != label)
    return _Layout(delimiter, header, len(body[0]), label, texts, numbers)


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    while line := file.readline(_MAX_LINE_BYTES):
        if len(line) == _MAX_LINE_BYTES:
            raise DataError(f"{path}: has a line of over {_MAX_LINE_BYTES:,} characters; this is no table of images")
        yield line


def _label_column(path: Path, header: list[str] | None, body: list[list[str]], chosen: str | int | None) -> int | None:
    """Return the number of the label's column; None if no column has classes in it."""
    columns = len(body[0])
    if chosen is not None:
        if header is not None and str(chosen) in header:
            return header.index(str(chosen))
        if not str(chosen).lstrip("-").isdecimal():
            listed = "it has no names of columns" if header is None else f"there are {abbreviated(header)}"
            raise DataError(f"{path}: there is no column {chosen!r}; {listed}")
        if not -columns <= int(chosen) < columns:
            raise DataError(f"{path}: there is no column {chosen}; there are {columns}, from 0")
        return int(chosen) % columns
    if header is not None:
        lowered = [name.casefold() for name in header]
        named = [k for name in _LABEL_NAMES for k, other in enumerate(lowered) if other == name]
        if named:
            return named[0]
        if (
            len(body) > 0
            and lowered[0].startswith(("pixel", "p0", "0"))
            and lowered[-1].startswith(("pixel", "p", "7"))
        ):
            return None  # all columns are pixels: Kaggle's test.csv
    return _likely_label(body)


def _likely_label(body: list[list[str]]) -> int | None:
    """Return the first or the last column if it, and not the other, has several classes in it."""

    def classes(k: int) -> int:
        values = {row[k].strip() for row in body}
        whole = all(not _is_number(v) or float(v).is_integer() for v in values)
        return len(values) if whole and 1 < len(values) <= max(2, len(body) // 2) else 0

    first, last = classes(0), classes(-1)
    texts = [k for k in (0, len(body[0]) - 1) if not all(_is_number(row[k]) for row in body)]
    if len(texts) == 1 and len(body[0]) > 2:
        return texts[0]
    if len(body[0]) == 2 and texts:
        return 1 if _is_picture(body[0][0]) else 0
    if bool(first) != bool(last):
        return 0 if first else len(body[0]) - 1
    pixels = len(body[0]) - 1
    square = int(pixels**0.5) ** 2 == pixels
    return 0 if first and square else None


def _read(path: Path, layout: _Layout) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return the pixels (N, columns - 1), as bytes where all are whole numbers from 0 to 255, and the labels (N,)."""
    label = layout.label or 0
    wanted = [k for k in range(layout.columns) if k != label and k not in layout.left_out]
    blocks, labels = [], []
    with _open(path) as file:
        if layout.header is not None:
            next(_lines(file, path))
        start = 1 if layout.header is None else 2
        while lines := [line for line in itertools.islice(_lines(file, path), _ROWS_AT_A_TIME) if line.strip()]:
            try:
                if layout.texts:
                    table = np.loadtxt(
                        lines, np.float32, delimiter=layout.delimiter, usecols=wanted, ndmin=2, quotechar='"'
                    )
                    own = np.loadtxt(
                        lines, str, delimiter=layout.delimiter, usecols=[label], ndmin=1, quotechar='"', comments=None
                    )
                else:
                    whole = np.loadtxt(lines, np.float32, delimiter=layout.delimiter, ndmin=2, quotechar='"')
                    table, own = whole[:, wanted], whole[:, label]
            except ValueError as error:
                raise DataError(_unreadable(path, lines, layout, start)) from error
            is_bytes = bool(((table >= 0) & (table <= 255) & (table == np.rint(table))).all())
            blocks.append(table.astype(np.uint8) if is_bytes else table)
            labels.append(own)
            start += len(lines)
    if not blocks:
        raise DataError(f"{path}: has no row of numbers")
    return np.concatenate(blocks), np.concatenate(labels)


def _unreadable(path: Path, lines: list[str], layout: _Layout, start: int) -> str:
    """Return a sentence about the first row that is not one of numbers."""
    for k, row in enumerate(csv_module.reader(lines, delimiter=layout.delimiter), start):
        if len(row) != layout.columns:
            return f"{path}: line {k} has {plural(len(row), 'cell')}, the first row {layout.columns}"
        for column, cell in enumerate(row):
            if not _is_number(cell) and (column != layout.label or not layout.texts):
                name = column if layout.header is None else repr(layout.header[column])
                return f"{path}: line {k}, column {name}: {abbreviated(cell)} is not a number"
    return f"{path}: cannot be read as a table of numbers"


def _picture_column(path: Path, layout: _Layout) -> int | None:
    """Return the number of a column that names picture files, if there is one."""
    with _open(path) as file:
        lines = list(itertools.islice(_lines(file, path), 2))
    row = next(csv_module.reader(lines[-1:], delimiter=layout.delimiter))
    return next((k for k, cell in enumerate(row) if k != layout.label and _is_picture(cell)), None)


def _read_list(path: Path, layout: _Layout, column: int, options: Options) -> Loaded:
    """Read the pictures that a table names."""
    with _open(path) as file:
        rows = [row for row in csv_module.reader(_lines(file, path), delimiter=layout.delimiter) if row]
    body = rows[1:] if layout.header else rows
    classes, names = as_classes(np.array([row[layout.label or 0] for row in body]), f"{path}")
    folders = [path.parent, *(f for f in sorted(path.parent.iterdir()) if f.is_dir())]
    names_of_files = [row[column].strip() for row in body]
    base = next((f for f in folders if (f / names_of_files[0]).is_file()), None)
    if base is None:
        raise DataError(f"{path}: names {names_of_files[0]!r}, which is not in {path.parent} or a folder in it")
    files = [base / name for name in names_of_files]
    absent = [name for name, file in zip(names_of_files, files, strict=True) if not file.is_file()]
    if absent:
        count = plural(len(absent), "file")
        raise DataError(f"{path}: {count} named in it cannot be found in {base}: {', '.join(absent[:5])}")
    return read_pictures(path, [(files, classes.tolist())], names, "a table of pictures", [], options)


def _columns(layout: _Layout) -> str:
    return abbreviated(layout.header) if layout.header else f"the columns 0 to {layout.columns - 1}"


def _is_picture(cell: str) -> bool:
    return cell.strip().lower().endswith(PICTURE_SUFFIXES)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
