"""MNIST and its kin by name: looked for on this machine, else downloaded."""

import os
from pathlib import Path

from ..checks import abbreviated
from . import download
from .dataset import Dataset
from .idx import DataError
from .idx_folder import find_files, idx_files, load_files, read_idx_folder
from .loaded import Options

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The names of Fashion-MNIST's classes, as its authors list them."""
KMNIST_CLASSES = ("お o", "き ki", "す su", "つ tsu", "な na", "は ha", "ま ma", "や ya", "れ re", "を wo")
"""The signs of Kuzushiji-MNIST's classes, and how they are read."""
EMNIST_SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
"""The parts that EMNIST comes in."""

_NUM_CLASSES = 10  # of MNIST, Fashion-MNIST and KMNIST

PathLike = str | os.PathLike[str]


def mnist(data_dir: PathLike | None = None, *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of MNIST: 60,000 + 10,000 handwritten digits, 28x28, 10 classes.

    The files are looked for in this order:

    1. `data_dir`, if it is not None: exactly there;
    2. the folder that the environment variable TINYGRAD_CNN_DATA names (`~` is the home folder): its subfolder `mnist`
       if there is one, else the folder itself. A folder that is not there is an error;
    3. the user's cache folder;
    4. the public mirrors, downloaded into the cache and checked against SHA-256 (needs the extra `data`).

    Args:
        data_dir: a folder with the four files of `load_folder`; image sizes and counts may differ from MNIST's, the
            classes are 0 to 9.
        memmap: map the image files instead of reading them (they must then be unpacked).

    Raises:
        DataError: as `load_folder`; a label above 9; or there are no files and none could be downloaded (the message
            lists the remedies).

    Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    return _load(download.MNIST, data_dir, memmap)


def fashion_mnist(data_dir: PathLike | None = None, *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28, 10 classes.

    As `mnist`, but under TINYGRAD_CNN_DATA only a subfolder `fashion-mnist` counts: the files have MNIST's names.

    Source: Xiao, Rasul & Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747, 2017.
    """
    train, test = _load(download.FASHION_MNIST, data_dir, memmap)
    return train.renamed(FASHION_CLASSES), test.renamed(FASHION_CLASSES)


def kmnist(data_dir: PathLike | None = None, *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of Kuzushiji-MNIST: 60,000 + 10,000 cursive Japanese signs, 28x28, 10 classes.

    As `fashion_mnist`, in a subfolder `kmnist`; the published hashes are MD5.

    Source: Clanuwat et al., "Deep learning for classical Japanese literature", arXiv:1812.01718, 2018 (CC BY-SA 4.0).
    """
    train, test = _load(download.KMNIST, data_dir, memmap)
    return train.renamed(KMNIST_CLASSES), test.renamed(KMNIST_CLASSES)


def emnist(split: str = "balanced", data_dir: PathLike | None = None) -> tuple[Dataset, Dataset]:
    """Return (train, test) of EMNIST: handwritten letters and digits, 28x28, upright, with the signs as class names.

    The files (`emnist-letters-train-images-idx3-ubyte.gz` and so on) are looked for in `data_dir`, else in the
    subfolder `emnist` of TINYGRAD_CNN_DATA, else in the user's cache folder. The archive of 560 MB is not downloaded:
    unpack https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip into one of them.

    Args:
        split: "balanced" (47 classes), "byclass" (62), "bymerge" (47), "digits" (10), "letters" (26) or "mnist" (10).
        data_dir: a folder with the files.

    Raises:
        DataError: the files are not there; as `load_folder`.

    Source: Cohen, Afshar, Tapson & van Schaik, "EMNIST: an extension of MNIST to handwritten letters",
    arXiv:1702.05373, 2017.
    """
    if split not in EMNIST_SPLITS:
        raise DataError(f"emnist: split must be one of {', '.join(EMNIST_SPLITS)}, got {abbreviated(split)}")
    source = download.EMNIST
    folder = Path(data_dir) if data_dir is not None else _local_folder(source)
    if folder is None or not idx_files(folder):
        raise DataError(
            f"emnist: not on this machine; unpack {source.mirrors[0]}gzip.zip (560 MB) into "
            f"{download.cache_folder(source)}, or pass its folder: --data-dir FOLDER, or data_dir= in Python"
        )
    return read_idx_folder(folder, Options(split=split)).pair


def _load(source: download.Source, data_dir: PathLike | None, memmap: bool) -> tuple[Dataset, Dataset]:
    folder = Path(data_dir) if data_dir is not None else _local_folder(source)
    if folder is None:
        folder = download.cache_folder(source)
        download.fetch(source, folder)
    return load_files(folder, find_files(folder)[1], _NUM_CLASSES, memmap)


def _local_folder(source: download.Source) -> Path | None:
    """Return the folder with the files of `source`: the environment's, else the cache if they are there."""
    if root := os.environ.get("TINYGRAD_CNN_DATA"):
        base = Path(root).expanduser()
        if not base.is_dir():
            raise DataError(f"{base}: is not a folder (the environment variable TINYGRAD_CNN_DATA names it)")
        folder = base / source.name
        if source is download.MNIST and not folder.is_dir():
            folder = base
        if idx_files(folder):
            return folder
    cache = download.cache_folder(source)
    complete = cache.is_dir() and any(len(files) == 4 for files in idx_files(cache).values())
    return cache if complete else None
