"""What several files of this folder need: the real MNIST where it exists, and IDX bytes made by hand."""

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[NDArray[np.generic]], bytes]:
    """Write an array as IDX: an independent statement of the format."""

    def write(array: NDArray[np.generic]) -> bytes:
        code = CODES[array.dtype.str[1:]]
        header = bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
        body = array.astype(array.dtype.newbyteorder(">")).tobytes()
        assert len(body) == math.prod(array.shape) * array.itemsize
        return header + body

    return write


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder with the real files, or skip the test."""
    named = os.environ.get("TINYGRAD_CNN_DATA")
    beside = Path(__file__).parents[2] / ".." / "shared" / "mnist"
    places = [*([Path(named) / "mnist", Path(named)] if named else []), beside]
    for folder in places:
        if any(folder.glob("train-images*")):
            return folder
    pytest.skip("the MNIST files are not on this machine (TINYGRAD_CNN_DATA names no folder with them)")


@pytest.fixture
def small_folder(tmp_path: Path, idx_bytes: Callable[[NDArray[np.generic]], bytes]) -> Path:
    """Make a folder in MNIST's format: 12 + 5 images of 6x4, 3 classes."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("t10k", 5)):
        images = rng.integers(0, 256, (count, 6, 4), dtype=np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes((np.arange(count) % 3).astype(np.uint8)))
    return tmp_path
