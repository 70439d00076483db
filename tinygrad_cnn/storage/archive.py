"""Files that are whole or not there at all: the atomic writer, and an archive of arrays that is checked before use.

An archive is an `.npz` (an uncompressed zip of `.npy` members, which `numpy.load` reads as well) with two members more:
`metadata.json`, which also lists every array's type, shape and SHA-256, and `metadata.sha256`, the digest of that.
So no bit of what is read goes unchecked, and sizes are known before anything is allocated. Nothing is ever unpickled.
"""

import glob
import hashlib
import io
import json
import math
import os
import secrets
import shutil
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated

if sys.platform != "win32":
    import fcntl

FORMAT, VERSION = "tinygrad_cnn", 1
Arrays = dict[str, NDArray[Any]]
PathLike = str | os.PathLike[str]

_METADATA, _DIGEST = "metadata.json", "metadata.sha256"
_HEADER_LIMIT = 16_384  # bytes of an .npy header; real ones take 128
_DATE = (1980, 1, 1, 0, 0, 0)  # the same arrays make the same bytes


class CheckpointError(ValueError):
    """A weights file or checkpoint cannot be used; the message names everything that is wrong with it."""


@contextmanager
def atomic_writer(path: PathLike, *, keep_previous: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes its name only once it is complete and on the disk.

    It is written as a temporary file in the same folder, flushed, synced and renamed, and the folder is synced. If
    anything fails on the way, power included, ``path`` is still what it was. Temporaries that killed writers left
    behind are removed.

    Args:
        path: the file to make or replace; a link is followed.
        keep_previous: keep the file that was there as ``path + ".previous"``.

    Raises OSError, naming ``path``, when it cannot be written, also when ``path`` is a folder or a device.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_writer(folder + "/a") as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['a']
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: is not a regular file")
    _sweep(target)
    temporary, file = _locked_temporary(target)
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        if keep_previous and target.exists():
            _keep(target)
        if sys.platform == "win32":
            file.close()  # an open file cannot be renamed there
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):  # what is buffered may still not fit on a full disk
            file.close()
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and _ours(error.filename, target):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    file.close()
    _sync_folder(target.parent)


def path_text(op: str, path: object) -> str:
    """A path as text. TypeError for what is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{op}: the path must be a str or an os.PathLike of one, got {abbreviated(path)}")
    return text


def target_fault(path: PathLike) -> str | None:
    """Why a file could not be written under this name, if that can be told beforehand: a temporary is tried."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        return f"there is no folder {target.parent}"
    if target.is_dir():
        return "is a folder"
    try:
        temporary, file = _locked_temporary(target)
    except OSError as error:
        return f"cannot be written ({error.strerror})"
    file.close()
    temporary.unlink()
    return None


def regular_file(path: PathLike) -> str:
    """The path of a file that can be opened and has an end. CheckpointError for a folder, a device or no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path}: is not a regular file")
        with open(path, "rb"):
            return os.fspath(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error


def write_archive(
    path: PathLike, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], *, keep_previous: bool = False
) -> None:
    """Write arrays and JSON-able metadata as one archive, atomically. Raises OSError when it cannot be written."""
    members = {name: _npy(array) for name, array in arrays.items()}
    table = {
        name: [arrays[name].dtype.str, list(arrays[name].shape), hashlib.sha256(member).hexdigest()]
        for name, member in members.items()
    }
    head = {"format": FORMAT, "version": VERSION, "arrays": table}
    described = json.dumps(dict(metadata) | head, indent=1).encode()
    with atomic_writer(path, keep_previous=keep_previous) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_METADATA, _DATE), described)
        archive.writestr(zipfile.ZipInfo(_DIGEST, _DATE), hashlib.sha256(described).hexdigest())
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), member)


def read_archive(path: PathLike) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the metadata of an archive, checked whole. Raises `CheckpointError` for anything else.

    The message mentions the file before it, if that was kept (``.previous``) and is whole.
    """
    try:
        return _checked(path)
    except CheckpointError as error:
        before = os.path.realpath(path) + ".previous"
        if not _is_whole(before):
            raise
        raise CheckpointError(f"{error}; {before}, the file before it, is whole") from error


def _is_whole(path: PathLike) -> bool:
    try:
        _checked(path)
    except CheckpointError:
        return False
    return True


def _checked(path: PathLike) -> tuple[Arrays, dict[str, Any]]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path}: is not a regular file")
        with open(path, "rb") as file:
            return _read(file, os.path.getsize(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # the readers of zip, JSON and arrays raise of every kind when a file is damaged
        raise CheckpointError(f"{path}: is not a weights file or checkpoint, or is damaged ({error})") from error


def _read(file: BinaryIO, size: int) -> tuple[Arrays, dict[str, Any]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _refuse(_structural_faults(members, size))
        names = {m.filename: m for m in members}
        metadata = _metadata(archive, names)
        table: dict[str, Any] = metadata.pop("arrays")
        _refuse(_table_faults(table, names))
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
        _refuse(faults)
        return arrays, metadata


def _refuse(faults: list[str]) -> None:
    if faults:
        raise CheckpointError("; ".join(faults))


def _structural_faults(members: list[zipfile.ZipInfo], size: int) -> list[str]:
    """What is wrong with the zip itself, judged by its directory, before any member is read."""
    counts = Counter(m.filename for m in members)
    faults = [f"{count} members are called {name!r}" for name, count in counts.items() if count > 1]
    for m in members:
        parts = PurePosixPath(m.filename).parts
        if m.filename.startswith("/") or "\\" in m.filename or ".." in parts or m.is_dir():
            faults.append(f"member name {m.filename!r} is not allowed")
        if m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size or m.flag_bits & 0x1:
            faults.append(f"member {m.filename!r} is compressed or encrypted")
    if sum(m.file_size for m in members) > size:
        faults.append("the members are larger than the file")
    return faults


def _metadata(archive: zipfile.ZipFile, names: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if _METADATA not in names or _DIGEST not in names:
        raise CheckpointError(f"is not a file that tinygrad_cnn wrote (it lacks {_METADATA} or {_DIGEST})")
    described = archive.read(_METADATA)
    if archive.read(_DIGEST) != hashlib.sha256(described).hexdigest().encode():
        raise CheckpointError(f"is damaged (the checksum of {_METADATA} differs)")
    metadata = json.loads(described)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CheckpointError(f"is not a file that tinygrad_cnn wrote (its format is not {FORMAT!r})")
    if metadata.get("version") != VERSION:
        raise CheckpointError(f"has format version {metadata.get('version')!r}; this program reads {VERSION}")
    if not isinstance(metadata.get("arrays"), dict):
        raise CheckpointError(f"is damaged ({_METADATA} lists no arrays)")
    return metadata


def _table_faults(table: Mapping[str, Any], names: Mapping[str, zipfile.ZipInfo]) -> list[str]:
    """Where the list of arrays and the members disagree."""
    present = {n.removesuffix(".npy") for n in names if n not in (_METADATA, _DIGEST)}
    faults = [f"missing: {n}" for n in table if n not in present]
    faults += [f"unexpected: {n}" for n in sorted(present) if n not in table]
    for name, entry in table.items():
        try:
            dtype, shape, _ = entry
            expected = math.prod(map(_length, shape)) * np.dtype(dtype).itemsize
        except (TypeError, ValueError):
            faults.append(f"{name} is listed as {str(entry)[:80]}")
            continue
        if np.dtype(dtype).kind not in "fiub":
            faults.append(f"{name} has dtype {dtype}")
        elif f"{name}.npy" in names and not 0 <= names[f"{name}.npy"].file_size - expected <= _HEADER_LIMIT:
            faults.append(f"{name} takes {names[f'{name}.npy'].file_size} bytes, its shape {shape} needs {expected}")
    return faults


def _length(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
    return content.getvalue()


def _locked_temporary(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target, locked for as long as it is open, so that no sweep takes it for abandoned."""
    while True:
        path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            file = open(path, "xb")  # noqa: SIM115  (the caller closes it)
        except OSError as error:  # of the file that was asked for, not of one that nobody knows
            raise OSError(error.errno, error.strerror, str(target)) from None
        if sys.platform == "win32":
            return path, file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else another's sweep came between
            return path, file
        file.close()


def _ours(name: Any, target: Path) -> bool:
    """Whether an error is about the target: under no name, or that of a temporary, which tells nobody anything."""
    return name is None or os.path.basename(str(name)).startswith(f".{target.name}.")


def _sweep(target: Path) -> None:
    """Remove temporaries of this target whose writer is gone: those that nobody has locked."""
    if sys.platform == "win32":
        return
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _keep(target: Path) -> None:
    """Make ``target.previous`` the file that target is now, without a moment in which target is not there."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            os.link(target, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(target, temporary)
        os.replace(temporary, target.with_name(target.name + ".previous"))
    finally:  # it is still there if that failed, or if both were links to one file already: renaming then does nothing
        with suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
