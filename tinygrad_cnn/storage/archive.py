"""Archives of arrays and JSON metadata that are verified as a whole before any of it is used.

An archive is an `.npz` (an uncompressed zip of `.npy` members, which `numpy.load` reads as well) with two members more:
`metadata.json`, which also lists every array's type, shape and SHA-256, and `metadata.sha256`, the digest of that.
So every bit that is read is checked, and sizes are known before anything is allocated. Nothing is ever unpickled.
"""

import hashlib
import io
import json
import math
import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import CheckpointError, PathLike, atomic_writer, check_regular_file

Arrays = dict[str, NDArray[Any]]

_FORMAT, _VERSION = "tinygrad_cnn", 1
_METADATA, _DIGEST = "metadata.json", "metadata.sha256"
_MAX_HEADER_BYTES = 16_384  # of an .npy member; usual are 128
_DATE = (1980, 1, 1, 0, 0, 0)  # of every member, so that the same arrays make the same bytes


def write_archive(
    path: PathLike, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], *, keep_previous: bool = False
) -> None:
    """Write arrays and JSON-able metadata as one archive, atomically. OSError when it cannot be written."""
    members = {name: _npy(array) for name, array in arrays.items()}
    table = {
        name: [arrays[name].dtype.str, list(arrays[name].shape), hashlib.sha256(member).hexdigest()]
        for name, member in members.items()
    }
    text = json.dumps({**metadata, "format": _FORMAT, "version": _VERSION, "arrays": table}, indent=1).encode()
    with atomic_writer(path, keep_previous=keep_previous) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_METADATA, _DATE), text)
        archive.writestr(zipfile.ZipInfo(_DIGEST, _DATE), hashlib.sha256(text).hexdigest())
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), member)


def read_archive(path: PathLike) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the metadata of an archive, verified.

    Raises:
        CheckpointError: the file is anything else. The message mentions its ``.previous``, if that is whole.
    """
    try:
        return _verified(path)
    except CheckpointError as error:
        previous = os.path.realpath(path) + ".previous"
        if not _is_whole(previous):
            raise
        raise CheckpointError(f"{error}; {previous}, the file before it, is whole") from error


def _is_whole(path: PathLike) -> bool:
    try:
        _verified(path)
    except CheckpointError:
        return False
    return True


def _verified(path: PathLike) -> tuple[Arrays, dict[str, Any]]:
    name = check_regular_file(path)
    try:
        with zipfile.ZipFile(name) as archive:
            return _read(archive, os.path.getsize(name))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # the readers of zip, JSON and arrays raise errors of every type for a damaged file
        raise CheckpointError(f"{path}: is not a weights file or checkpoint, or is damaged ({error})") from error


def _read(archive: zipfile.ZipFile, file_bytes: int) -> tuple[Arrays, dict[str, Any]]:
    members = archive.infolist()
    _check_no_faults(_structural_faults(members, file_bytes))
    infos = {m.filename: m for m in members}
    metadata = _read_metadata(archive, infos)
    table: dict[str, Any] = metadata.pop("arrays")
    _check_no_faults(_table_faults(table, infos))
    arrays, faults = {}, []
    for name, (dtype, shape, digest) in table.items():
        content = archive.read(f"{name}.npy")
        if hashlib.sha256(content).hexdigest() != digest:
            faults.append(f"{name} is damaged (its checksum differs)")
            continue
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        if array.dtype.str != dtype or list(array.shape) != shape:
            faults.append(f"{name} is {array.dtype} {array.shape}, listed as {dtype} {tuple(shape)}")
        arrays[name] = array
    _check_no_faults(faults)
    return arrays, metadata


def _check_no_faults(faults: list[str]) -> None:
    if faults:
        raise CheckpointError("; ".join(faults))


def _structural_faults(members: list[zipfile.ZipInfo], file_bytes: int) -> list[str]:
    """List what is wrong with the zip according to its directory, before any member is read."""
    counts = Counter(m.filename for m in members)
    faults = [f"{count} members are called {name!r}" for name, count in counts.items() if count > 1]
    for m in members:
        parts = PurePosixPath(m.filename).parts
        if m.filename.startswith("/") or "\\" in m.filename or ".." in parts or m.is_dir():
            faults.append(f"member name {m.filename!r} is not allowed")
        if m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size or m.flag_bits & 0x1:
            faults.append(f"member {m.filename!r} is compressed or encrypted")
    if sum(m.file_size for m in members) > file_bytes:
        faults.append("the members are larger than the file")
    return faults


def _read_metadata(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if _METADATA not in infos or _DIGEST not in infos:
        raise CheckpointError(f"is not a file that tinygrad_cnn wrote (it lacks {_METADATA} or {_DIGEST})")
    text = archive.read(_METADATA)
    if archive.read(_DIGEST) != hashlib.sha256(text).hexdigest().encode():
        raise CheckpointError(f"is damaged (the checksum of {_METADATA} differs)")
    metadata = json.loads(text)
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise CheckpointError(f"is not a file that tinygrad_cnn wrote (its format is not {_FORMAT!r})")
    if metadata.get("version") != _VERSION:
        raise CheckpointError(f"has format version {metadata.get('version')!r}; this program reads {_VERSION}")
    if not isinstance(metadata.get("arrays"), dict):
        raise CheckpointError(f"is damaged ({_METADATA} lists no arrays)")
    return metadata


def _table_faults(table: Mapping[str, Any], infos: Mapping[str, zipfile.ZipInfo]) -> list[str]:
    """List the differences between the metadata's list of arrays and the members."""
    present = {n.removesuffix(".npy") for n in infos if n not in (_METADATA, _DIGEST)}
    faults = [f"missing: {n}" for n in table if n not in present]
    faults += [f"unexpected: {n}" for n in sorted(present) if n not in table]
    for name, entry in table.items():
        try:
            dtype, shape, _ = entry
            needed = math.prod(map(_axis_length, shape)) * np.dtype(dtype).itemsize
        except (TypeError, ValueError):
            faults.append(f"{name} is listed as {str(entry)[:80]}")
            continue
        if np.dtype(dtype).kind not in "fiub":
            faults.append(f"{name} has dtype {dtype}")
        elif f"{name}.npy" in infos and not 0 <= infos[f"{name}.npy"].file_size - needed <= _MAX_HEADER_BYTES:
            faults.append(f"{name} takes {infos[f'{name}.npy'].file_size} bytes, its shape {shape} needs {needed}")
    return faults


def _axis_length(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
    return content.getvalue()
