"""Decoded pictures on disk: read once, then mapped into memory, so that data may be larger than it."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .download import cache_root

_MIN_BYTES = 4 << 20  # smaller data are decoded anew each time
_MAX_AGE_SECONDS = 30 * 24 * 3600  # after which an unused file goes
_SUFFIX = ".pixels"

Pixels = NDArray[np.uint8]
Fill = Callable[[Pixels], NDArray[np.bool_]]
"""A function that fills an array and returns which of its images it could read."""


def decoded(key: str, shape: tuple[int, ...], fill: Fill) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return the pixels (N, C, H, W) and which images are good: from the cache, else from ``fill``, and then cached.

    Args:
        key: everything that the pixels follow from, such as names, sizes and dates of files.
        shape: of the result.
        fill: writes into an array of that shape.
    """
    size = int(np.prod(shape))
    path = cache_root() / "pictures" / (hashlib.sha256(key.encode()).hexdigest()[:32] + _SUFFIX)
    if size < _MIN_BYTES:
        pixels = np.zeros(shape, np.uint8)
        return pixels, fill(pixels)
    with suppress(OSError, ValueError):
        return _open(path, shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old(path.parent)
        handle, name = tempfile.mkstemp(_SUFFIX, "", path.parent)
        os.close(handle)
    except OSError:  # no place to write
        pixels = np.zeros(shape, np.uint8)
        return pixels, fill(pixels)
    try:
        mapped = np.memmap(name, np.uint8, "w+", shape=(size + shape[0],))
        good = fill(mapped[:size].reshape(shape))
        mapped[size:] = good
        mapped.flush()
        del mapped
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    return _open(path, shape)


def _open(path: Path, shape: tuple[int, ...]) -> tuple[Pixels, NDArray[np.bool_]]:
    size = int(np.prod(shape))
    stored = np.memmap(path, np.uint8, "r")
    if stored.size != size + shape[0]:
        raise ValueError("of another size")
    os.utime(path)
    return stored[:size].reshape(shape), np.array(stored[size:], bool)


def _remove_old(folder: Path) -> None:
    for file in folder.glob("*" + _SUFFIX):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _MAX_AGE_SECONDS:
                file.unlink()
