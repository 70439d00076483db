"""MNIST, Fashion-MNIST, and any other data set in MNIST's four-file format."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import download
from .dataset import Dataset
from .idx import DataError, read_idx

_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NUM_CLASSES = 10  # of MNIST and Fashion-MNIST


def mnist(data_dir: str | os.PathLike[str] | None = None, *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of MNIST: 60,000 + 10,000 handwritten digits, 28x28, 10 classes.

    The files are looked for in this order:

    1. `data_dir`, if it is not None: exactly there;
    2. the folder that the environment variable TINYGRAD_CNN_DATA names: its subfolder `mnist` if there is one, else
       the folder itself;
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
    return _load(_locate(download.MNIST) if data_dir is None else data_dir, _NUM_CLASSES, memmap)


def fashion_mnist(data_dir: str | os.PathLike[str] | None = None, *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) of Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28, 10 classes.

    As `mnist`, but under TINYGRAD_CNN_DATA only a subfolder `fashion-mnist` counts: the files have MNIST's names.

    Source: Xiao, Rasul & Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747, 2017.
    """
    return _load(_locate(download.FASHION_MNIST) if data_dir is None else data_dir, _NUM_CLASSES, memmap)


def load_folder(folder: str | os.PathLike[str], *, memmap: bool = False) -> tuple[Dataset, Dataset]:
    """Return (train, test) from a folder with four IDX files in MNIST's format.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or `.gz`; `train-images.idx3-ubyte` and the like are read too. Images are
    uint8, (N, H, W), or (N, C, H, W) with `idx4` allowed in the name. The classes are 0 to the largest training label.

    Args:
        folder: where the files are.
        memmap: map the image files (unpacked ones only), for data larger than memory.

    Raises:
        DataError: missing files (all are named), files that `read_idx` refuses, values that are not uint8, images and
            labels swapped or of different counts, training and test images of different shapes, a test label
            above all training labels.
    """
    return _load(folder, None, memmap)


def _load(folder: str | os.PathLike[str], num_classes: int | None, memmap: bool) -> tuple[Dataset, Dataset]:
    """`load_folder`; `num_classes` None: as many as the training labels have."""
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: is not a folder")
    files = {stem: path for stem in _STEMS if (path := _find(folder, stem))}
    if missing := [f"{stem}-{_suffix(stem)}" for stem in _STEMS if stem not in files]:
        raise DataError(f"{folder}: lacks {', '.join(missing)} (plain or .gz)")
    train = _read_pair(files["train-images"], files["train-labels"], num_classes, memmap)
    test = _read_pair(files["t10k-images"], files["t10k-labels"], train.num_classes, memmap)
    if train.image_shape != test.image_shape:
        raise DataError(f"{folder}: training images are {train.image_shape}, test images {test.image_shape}")
    return train, test


def _suffix(stem: str) -> str:
    return "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"


def _find(folder: Path, stem: str) -> Path | None:
    """Return the file of that stem under any of its names; a plain one first, because it opens faster."""
    suffixes = (_suffix(stem), "idx4-ubyte") if stem.endswith("images") else (_suffix(stem),)
    names = [f"{stem}{mark}{suffix}{end}" for end in ("", ".gz") for suffix in suffixes for mark in "-."]
    return next((folder / name for name in names if os.path.exists(folder / name)), None)


def _locate(source: download.Source) -> Path:
    """Return the folder with the files of `source`: the environment's, else the cache, filled if need be."""
    if root := os.environ.get("TINYGRAD_CNN_DATA"):
        folder = Path(root) / source.name
        if source is download.MNIST and not os.path.isdir(folder):
            folder = Path(root)
        if any(_find(folder, stem) for stem in _STEMS):
            return folder
    cache = download.cache_folder(source)
    if not all(_find(cache, stem) for stem in _STEMS):
        download.fetch(source, cache)
    return cache


def _read_pair(images: Path, labels: Path, num_classes: int | None, memmap: bool) -> Dataset:
    pixels, classes = _read_bytes(images, memmap), _read_bytes(labels, False)
    if pixels.ndim == 1 and classes.ndim in (3, 4):
        raise DataError(f"{images}: holds labels, and {labels.name} holds images: they are swapped")
    if pixels.ndim not in (3, 4):
        raise DataError(f"{images}: has {pixels.ndim} dimensions, images have 3 (N, H, W) or 4 (N, C, H, W)")
    if classes.ndim != 1:
        raise DataError(f"{labels}: has {classes.ndim} dimensions, labels have 1")
    if len(pixels) != len(classes):
        raise DataError(f"{labels}: {len(classes)} labels for the {len(pixels)} images of {images.name}")
    if num_classes is not None and classes.max(initial=0) >= num_classes:
        raise DataError(f"{labels}: label {classes.max()}, but the classes are 0 to {num_classes - 1}")
    return Dataset(pixels, classes, num_classes=num_classes)


def _read_bytes(path: Path, memmap: bool) -> NDArray[Any]:
    values = read_idx(path, memmap=memmap)
    if values.dtype != np.uint8:
        raise DataError(f"{path}: holds {values.dtype.name}, images and labels are uint8")
    return values
