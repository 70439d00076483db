"""Data sets, batches and augmentation: images as bytes in memory, float32 in [0, 1] a batch at a time."""

import importlib
from typing import TYPE_CHECKING, Any

from .augment import Augmentation, affine, compose, elastic, rotate, scale, shift
from .batches import Batches, batches
from .dataset import Dataset
from .digits import digits
from .idx import DataError, read_idx
from .mnist import fashion_mnist, load_folder, mnist
from .transforms import expand_shifted, rotated, shifted

if TYPE_CHECKING:
    from .picture import photo

__all__ = [
    "Augmentation",
    "Batches",
    "DataError",
    "Dataset",
    "affine",
    "batches",
    "compose",
    "digits",
    "elastic",
    "expand_shifted",
    "fashion_mnist",
    "load_folder",
    "mnist",
    "photo",
    "read_idx",
    "rotate",
    "rotated",
    "scale",
    "shift",
    "shifted",
]


def __getattr__(name: str) -> Any:
    """Import `photo` at its first use: it needs SciPy, which takes as long to load as the rest of the package."""
    if name == "photo":
        return importlib.import_module(".picture", __name__).photo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
