"""The first question to a file that is to be read."""

import os
import stat

from ..files import CheckpointError, PathLike


def regular_file(path: PathLike) -> str:
    """The path of a file that can be opened and has an end. CheckpointError for a folder, a device or no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CheckpointError(f"{path}: is not a regular file")
        with open(path, "rb"):
            return os.fspath(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
