"""Data sets, batches and augmentation: images as they are stored, float32 in [0, 1] a batch at a time."""

import importlib
from typing import TYPE_CHECKING, Any

from .augment import Augmentation, affine, compose, elastic, rotate, scale, shift
from .augment_photos import brightness, crop, cutout, flip
from .batches import Batches, batches
from .dataset import Dataset
from .digits import digits
from .idx import DataError, read_idx
from .idx_folder import load_folder
from .mnist import emnist, fashion_mnist, kmnist, mnist
from .spec import ImageSpec
from .transforms import expand_shifted, rotated, shifted

if TYPE_CHECKING:
    from .array_files import arrays
    from .folders import image_folder
    from .picture import photo
    from .recognise import open_data
    from .tables import csv

# Imported at their first use: they need SciPy or much else that takes as long to load as the rest of the package.
_LAZY = {
    "arrays": "array_files",
    "csv": "tables",
    "image_folder": "folders",
    "open_data": "recognise",
    "photo": "picture",
}

__all__ = [
    "Augmentation",
    "Batches",
    "DataError",
    "Dataset",
    "ImageSpec",
    "affine",
    "arrays",
    "batches",
    "brightness",
    "compose",
    "crop",
    "csv",
    "cutout",
    "digits",
    "elastic",
    "emnist",
    "expand_shifted",
    "fashion_mnist",
    "flip",
    "image_folder",
    "kmnist",
    "load_folder",
    "mnist",
    "open_data",
    "photo",
    "read_idx",
    "rotate",
    "rotated",
    "scale",
    "shift",
    "shifted",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
