"""Image files for ``predict``: nothing is unpickled, and a header is compared with the file's size before its use."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import require
from ..data import DataError, read_idx

_LUMA = 0.299, 0.587, 0.114  # the weights of red, green and blue in brightness: ITU-R BT.601
# Tokens stand between white space and comments, which run from # to the end of a line.
_PGM_HEADER = re.compile(rb"(P[25])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")


def read_images(path: str, image_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the images of a file as float32 in [0, 1], (N, C, H, W), of the shape that a network takes.

    Args:
        path: ``.npy`` (uint8, or floats in [0, 1]), IDX, ``.pgm``, or ``.png`` (needs matplotlib). One image (H, W)
            or (C, H, W), or several, with N first.
        image_shape: (C, H, W).

    Raises:
        DataError: the file is not one of these, is damaged, or has images of another shape.
        ImportError: ``.png`` without matplotlib.
    """
    channels, height, width = image_shape
    suffix = Path(path).suffix.lower()
    read = {".npy": _read_npy, ".pgm": _read_pgm, ".png": _read_png}.get(suffix, _read_idx)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: is not a regular file")
        if not os.path.getsize(path):
            raise DataError("is empty")
        values = _to_unit_range(read(path))
    except ImportError:
        raise
    except DataError as error:
        raise DataError(str(error) if str(error).startswith(path) else f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy's and matplotlib's readers raise anything when a file is damaged
        reason = str(error) if read is _read_idx else f"is not a {suffix} image, or is damaged ({error})"
        advice = f"save it as .png (extra plot), .pgm or .npy of {height}x{width} pixels, or as an IDX file"
        raise DataError(f"{path}: {reason}; {advice}") from error
    if not values.size:
        raise DataError(f"{path}: holds no image (its shape is {values.shape})")
    fits = {
        2: channels == 1,  # one image
        3: channels in (1, *values.shape[:1]),  # one image of several channels, or several images of one
        4: values.shape[1:2] == (channels,),
    }
    if values.shape[-2:] != (height, width) or not fits.get(values.ndim, False):
        raise DataError(f"{path}: has shape {values.shape}, the network takes images of shape {image_shape}")
    return values.reshape(-1, channels, height, width)


def _read_npy(path: str) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a wrong header allocates nothing
    if not isinstance(values, np.memmap) or values.offset + values.nbytes != os.path.getsize(path):
        raise DataError("holds more than one array")
    return values


def _read_idx(path: str) -> NDArray[Any]:
    with open(path, "rb") as file:
        start = file.read(2)
    if start not in (b"\0\0", b"\x1f\x8b"):  # IDX, gzip
        raise ValueError("is of no format that is read here")
    return read_idx(path)


def _read_pgm(path: str) -> NDArray[Any]:
    """Return a grey Netpbm image, binary (P5) or text (P2)."""
    content = Path(path).read_bytes()
    header = _PGM_HEADER.match(content)
    width, height, highest = map(int, header.groups()[1:]) if header else (0, 0, 0)
    if not header or not 0 < highest < 256 or min(width, height) < 1:
        raise ValueError("it must begin with P2 or P5, a size, and a largest value below 256")
    body = content[header.end() :]
    flat = np.frombuffer(body, np.uint8) if header[1] == b"P5" else np.array(body.split(), dtype=np.uint8)
    if flat.size != width * height:
        raise DataError(f"has {flat.size} pixels, its header says {width}x{height}")
    return flat.reshape(height, width).astype(np.float32) / np.float32(highest)


def _read_png(path: str) -> NDArray[Any]:
    values: NDArray[Any] = require("matplotlib.image", "plot").imread(path)
    return values if values.ndim == 2 else np.clip(values[..., :3] @ np.array(_LUMA, values.dtype), 0, 1)


def _to_unit_range(values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255)
    if values.dtype.kind != "f":
        raise DataError(f"holds {values.dtype}; images are uint8, or floats from 0 to 1")
    floats = values.astype(np.float32)
    if not ((floats >= 0) & (floats <= 1)).all():
        raise DataError("holds floats outside 0 to 1")
    return floats
