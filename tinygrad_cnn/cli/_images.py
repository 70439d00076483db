"""Image files for ``predict``: pictures of any format, arrays and IDX files; nothing is unpickled."""

import io
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import DataError, ImageSpec, photo, read_idx
from ..data.picture import SUFFIXES

_STANDARD_INPUT = "-"
_IDX_STARTS = (b"\0\0", b"\x1f\x8b")  # of a plain and of a gzipped file


@dataclass(frozen=True)
class Picture:
    """Images of one file as a network takes them: float32 in [0, 1], (N, C, H, W).

    ``several`` is True for a file that may hold more than one image.
    """

    path: str
    images: NDArray[np.float32]
    several: bool


def files_below(path: str) -> list[str]:
    """Return the pictures in a folder and those in it, by name; the path itself if it is no folder."""
    if not os.path.isdir(path):
        return [path]
    found = [
        os.path.join(base, name)
        for base, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not found:
        raise DataError(f"{path}: holds no pictures")
    return sorted(found)


def read_images(path: str, spec: ImageSpec, *, as_is: bool = False) -> Picture:
    """Return the images of a file, prepared as those that the network was trained on.

    Args:
        path: a picture in any format that Pillow reads, or ``-`` for one from standard input; ``.npy`` or an IDX file
            of one or several images of the network's own size.
        spec: what the network takes.
        as_is: scale and fit a picture only, without looking for ink and without inverting.

    Raises:
        DataError: the file cannot be read, its images are of another size, or a picture is blank.
        ImportError: Pillow is missing.
    """
    if path == _STANDARD_INPUT:
        return _read_picture(path, io.BytesIO(sys.stdin.buffer.read()), spec, as_is)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: is not a regular file")
        if not os.path.getsize(path):
            raise DataError(f"{path}: is empty")
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return Picture(path, _as_images(path, _read_npy(path), spec), True)
    if start in _IDX_STARTS and suffix not in SUFFIXES:
        return Picture(path, _as_images(path, read_idx(path), spec), True)
    return _read_picture(path, path, spec, as_is)


def _read_picture(name: str, source: Any, spec: ImageSpec, as_is: bool) -> Picture:
    image = photo(source, spec, as_is=as_is)
    if not as_is and float(np.ptp(image)) < 1 / 255:
        what = "no ink was found on it" if spec.fit == "ink" else "all of it has one colour"
        raise DataError(f"{name}: is blank, {what} (--as-is classifies it all the same)")
    return Picture(name, image[None], False)


def _read_npy(path: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header allocates nothing
    except Exception as error:  # NumPy's reader raises anything when a file is damaged
        raise DataError(f"{path}: is not a .npy image, or is damaged ({error})") from error
    if not isinstance(values, np.memmap) or values.offset + values.nbytes != os.path.getsize(path):
        raise DataError(f"{path}: holds more than one array")
    return values


def _as_images(path: str, values: NDArray[Any], spec: ImageSpec) -> NDArray[np.float32]:
    """Return arrays as images in [0, 1]. DataError unless they are of the network's size."""
    channels, height, width = spec.shape
    if not values.size:
        raise DataError(f"{path}: holds no image (its shape is {values.shape})")
    single = values.shape in ((height, width), (channels, height, width), (height, width, channels))
    several = values[None] if single else values
    fits = several.shape[1:] in ((height, width), (channels, height, width), (height, width, channels))
    if not fits or (several.ndim == 3 and channels != 1):
        raise DataError(f"{path}: has shape {values.shape}, the network takes images of shape {spec.shape}")
    if several.ndim == 4 and several.shape[1:] != spec.shape:
        several = several.transpose(0, 3, 1, 2)
    floats = np.asarray(several, np.float32).reshape(-1, *spec.shape)
    if values.dtype.kind in "ui":
        floats = floats / np.float32(255)
    if values.dtype.kind not in "uif" or not ((floats >= 0) & (floats <= 1)).all():
        raise DataError(f"{path}: holds {values.dtype} outside its range: floats are 0 to 1, integers 0 to 255")
    return np.ascontiguousarray(floats)


def printable(text: str) -> str:
    """Return a file's name with escapes for what the terminal cannot show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def each_file(paths: list[str]) -> Iterator[str]:
    """Iterate over files, and over the pictures in folders."""
    for path in paths:
        yield from files_below(path)
