"""The IDX format of MNIST: a magic number, the sizes, then the values in row-major order, all big-endian.

    byte 0, 1: zero   byte 2: type of the values   byte 3: number of dimensions   then: one uint32 a dimension

Source: the format's description by LeCun, Cortes and Burges (the page of the MNIST database).
The size of a file is compared with its header before anything is allocated.
"""

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import flag

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_DIMENSIONS = 32
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_DEFLATE_RATIO = 1032  # a header with a larger size than this allows is wrong
_CHUNK_BYTES = 1 << 20


class DataError(ValueError):
    """A data file or folder that cannot be used; the message is one line and names it."""


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def offset(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def length(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_idx(path: str | os.PathLike[str], *, memmap: bool = False) -> NDArray[Any]:
    """Read one IDX file, plain or gzipped (recognised by its first bytes, not by its name).

    Args:
        path: the file.
        memmap: map a plain file read-only instead of reading it, for data larger than memory; values are then in the
            file's byte order.

    Returns:
        an array with the header's shape and type (uint8, int8, int16, int32, float32 or float64).

    Raises:
        DataError: the file is missing, unreadable, not IDX, empty, truncated, followed by more bytes, corrupt, or
            (with memmap) compressed.
    """
    memmap, path = flag("read_idx", "memmap", memmap), Path(path)
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device could block for ever
            raise DataError(f"{path}: is not a regular file")
        with open(path, "rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not zipped:
                return _read_plain(path, file, memmap)
            if memmap:
                raise DataError(f"{path}: is compressed and cannot be mapped; unpack it first (gunzip)")
            return _read_gzip(path, file)
    except DataError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: corrupt gzip file ({error})") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _read_plain(path: Path, file: IO[bytes], memmap: bool) -> NDArray[Any]:
    header = _read_header(path, file)
    size = os.fstat(file.fileno()).st_size - header.offset
    if size != header.length:
        raise _wrong_size(path, header, size)
    if memmap:
        return np.memmap(file, header.dtype, mode="r", offset=header.offset, shape=header.shape)
    values = np.fromfile(file, header.dtype, math.prod(header.shape))
    return _native(values.reshape(header.shape))


def _read_gzip(path: Path, file: IO[bytes]) -> NDArray[Any]:
    with gzip.GzipFile(fileobj=file) as stream:
        header = _read_header(path, stream)
        packed = os.fstat(file.fileno()).st_size
        if header.length > packed * _MAX_DEFLATE_RATIO:
            raise DataError(
                f"{path}: the header promises {header.length} bytes, more than {packed} gzipped bytes can hold"
            )
        values = bytearray()
        while len(values) < header.length:
            chunk = stream.read(min(_CHUNK_BYTES, header.length - len(values)))
            if not chunk:
                raise _wrong_size(path, header, len(values))
            values += chunk
        if stream.read(1):  # this read also makes gzip check its CRC
            raise _wrong_size(path, header, header.length + 1)
    return _native(np.frombuffer(values, header.dtype).reshape(header.shape))


def _read_header(path: Path, stream: IO[bytes] | gzip.GzipFile) -> _Header:
    magic = stream.read(4)
    if not magic:
        raise DataError(f"{path}: is empty")
    if len(magic) == 4 and magic[2:] == b"\0\0" and magic[1] in _TYPES:
        raise DataError(f"{path}: the header is little-endian, IDX is big-endian")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: is not an IDX file (it starts with {magic!r})")
    if magic[2] not in _TYPES:
        raise DataError(f"{path}: unknown IDX type code 0x{magic[2]:02x}")
    if not 0 < magic[3] <= _MAX_DIMENSIONS:
        raise DataError(f"{path}: the header has {magic[3]} dimensions, expected 1 to {_MAX_DIMENSIONS}")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path}: truncated within its header")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: holds nothing (shape {shape})")
    return _Header(_TYPES[magic[2]], shape)


def _wrong_size(path: Path, header: _Header, size: int) -> DataError:
    kind = "truncated" if size < header.length else "trailing bytes"
    return DataError(
        f"{path}: {kind}: shape {header.shape} of {header.dtype.name} takes {header.length} bytes after the header,"
        f" the file has {size if size <= header.length else 'more'}"
    )


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("="), copy=False)
