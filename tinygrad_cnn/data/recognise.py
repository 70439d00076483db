"""Whatever people keep their images in, recognised by what is there."""

import os
from pathlib import Path
from typing import Any

from .array_files import read_arrays
from .folders import TRAIN_FOLDERS, class_folders, read_image_folder
from .idx import DataError
from .idx_folder import idx_files, read_idx_folder
from .loaded import Loaded, Options
from .picture import SUFFIXES as PICTURE_SUFFIXES
from .tables import SUFFIXES as TABLE_SUFFIXES
from .tables import read_table

_KINDS = "a folder with a folder of pictures for each class, a .csv, an .npz, or a folder of IDX files"


def open_data(path: str | os.PathLike[str], **options: Any) -> Loaded:
    """Return the training and test images that a path holds, recognised by what is there.

    It may be a folder with a folder of pictures for each class (`image_folder`), a table (`csv`), a file or a folder of
    arrays (`arrays`), or a folder of IDX files (`load_folder`).

    Args:
        path: a file or folder; ``~`` is the home folder.
        options: the keyword arguments of those functions: size, channels, fit, skip_damaged, label_column, layout,
            transpose, split, test, seed. One that means nothing for such data is an error. With ``like``, an
            `ImageSpec`, pictures are brought to the images of a network.

    Returns:
        the data sets ``train`` and ``test``, ``pair`` of both, ``notes`` about what was decided; its text is one line
        that describes them.

    Raises:
        DataError: there is nothing at the path that can be read.
    """
    wanted = Options(**options)
    wanted.check("open_data")
    place = Path(path).expanduser()
    if place.is_dir():
        return _open_folder(place, wanted)
    if not place.exists():
        raise DataError(f"{place}: is not there")
    if not place.is_file():
        raise DataError(f"{place}: is neither a file nor a folder")
    name = place.name.lower()
    if name.endswith(".npz"):
        return read_arrays(place, wanted)
    if name.endswith(TABLE_SUFFIXES):
        return read_table(place, wanted)
    if "ubyte" in name or "idx" in name:
        return read_idx_folder(place.parent, wanted)
    if name.endswith(PICTURE_SUFFIXES):
        raise DataError(f"{place}: is one picture; training needs {_KINDS}")
    if name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")):
        raise DataError(f"{place}: is an archive; unpack it, and name the folder")
    raise DataError(f"{place}: is not recognised; images are read from {_KINDS}")


def _open_folder(folder: Path, options: Options) -> Loaded:
    if any(len(files) > 1 for files in idx_files(folder).values()):
        return read_idx_folder(folder, options)
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    folders = {entry.name.casefold(): entry for entry in entries if entry.is_dir()}
    train = next((folders[name] for name in TRAIN_FOLDERS if name in folders), None)
    if (train is not None and class_folders(train)) or len(class_folders(folder)) > 1:
        return read_image_folder(folder, options)
    if any(entry.name.lower().endswith(TABLE_SUFFIXES) for entry in entries):
        return read_table(folder, options)
    packed = [entry for entry in entries if entry.name.lower().endswith(".npz")]
    if len(packed) == 1:
        return read_arrays(packed[0], options)
    if any(entry.name.lower().endswith(".npy") for entry in entries):
        return read_arrays(folder, options)
    only = next(iter(folders.values())) if len(folders) == 1 else None
    if only is not None and class_folders(folder) and not class_folders(only):
        if options.like is not None:  # pictures of one class, for a network that knows it
            return read_image_folder(folder, options)
        raise DataError(f"{folder}: has pictures of one class, {only.name!r}; training needs two")
    if only is not None:  # an archive that was unpacked into a folder of its own
        return _open_folder(only, options)
    if any(entry.name.lower().endswith(PICTURE_SUFFIXES) for entry in entries):
        raise DataError(f"{folder}: has pictures, but no folder for each class that would say what they show")
    raise DataError(f"{folder}: is not recognised; images are read from {_KINDS}")
