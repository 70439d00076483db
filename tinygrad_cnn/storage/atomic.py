"""Files that are complete or unchanged, whatever interrupts their writer, and checks of paths before any work."""

import errno
import glob
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..checks import abbreviated

if sys.platform != "win32":
    import fcntl

PathLike = str | os.PathLike[str]

_NOT_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENOSYS)  # of a folder, by fsync


class CheckpointError(ValueError):
    """A weights file or checkpoint cannot be used; the message names everything that is wrong with it."""


@contextmanager
def atomic_writer(path: PathLike, *, keep_previous: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file for writing that takes its name only once it is complete and on the disk.

    It is written as a temporary file in the same folder, flushed, synced and renamed, and the folder is synced. If any
    of this fails, power included, ``path`` is unchanged. Temporaries of killed writers are removed.

    Args:
        path: the file to make or replace; a link is followed.
        keep_previous: keep the file that is replaced as ``path + ".previous"``.

    Raises:
        OSError: the file cannot be written; it names ``path``, also where ``path`` is a folder or a device.

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
    _remove_abandoned(target)
    temporary, file = _locked_temporary(target)
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        if keep_previous and target.exists():
            _keep_previous(target)
        if sys.platform == "win32":
            file.close()  # an open file cannot be renamed there
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):  # flushing the buffer may fail again on a full disk
            file.close()
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and _is_temporary(error.filename, target):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    file.close()
    _sync_folder(target.parent)


def check_path(op: str, path: object) -> str:
    """Return a path as text. TypeError for anything else than a str or an os.PathLike of one."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{op}: the path must be a str or an os.PathLike of one, got {abbreviated(path)}")
    return text


def check_target(name: str, path: PathLike, *endings: str) -> None:
    """ValueError unless a file can be written under this path, which is tried with a temporary.

    Args:
        name: what the message calls the file, such as ``--save``.
        path: the file that will be written.
        endings: the endings that its name may have; any if there are none.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise ValueError(f"{name} {path}: there is no folder {target.parent}")
    if target.is_dir():
        raise ValueError(f"{name} {path}: is a folder")
    if endings and not os.fspath(path).endswith(endings):
        raise ValueError(f"{name} {path}: the name must end in {' or '.join(endings)}")
    try:
        temporary, file = _locked_temporary(target)
    except OSError as error:
        raise ValueError(f"{name} {path}: cannot be written ({error.strerror})") from error
    file.close()
    temporary.unlink()


def check_regular_file(path: PathLike) -> str:
    """Return the path of a file that can be read. CheckpointError for a folder, a device or no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path}: is not a regular file")
        with open(path, "rb"):
            return os.fspath(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error


def _locked_temporary(target: Path) -> tuple[Path, BinaryIO]:
    """Create a file beside the target, locked while it is open, so that `_remove_abandoned` leaves it alone."""
    while True:
        path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            file = open(path, "xb")  # noqa: SIM115  (the caller closes it)
        except OSError as error:  # names the target, as the caller has never heard of the temporary
            raise OSError(error.errno, error.strerror, str(target)) from None
        if sys.platform == "win32":
            return path, file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else another writer removed it before it was locked
            return path, file
        file.close()


def _is_temporary(name: object, target: Path) -> bool:
    """True for the name of one of the target's temporaries, and for no name."""
    return name is None or os.path.basename(str(name)).startswith(f".{target.name}.")


def _remove_abandoned(target: Path) -> None:
    """Remove the target's temporaries whose writers are gone: those without a lock."""
    if sys.platform == "win32":
        return
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _keep_previous(target: Path) -> None:
    """Give the target a second name, ``target.previous``; it keeps its own at every moment."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            os.link(target, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(target, temporary)
        os.replace(temporary, target.with_name(target.name + ".previous"))
    finally:  # it still exists if that failed, and if both names were links to one file: renaming then does nothing
        with suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries, where its file system can: on some network shares it cannot, and the file is whole."""
    if sys.platform == "win32":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise
