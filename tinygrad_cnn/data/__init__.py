"""Data sets, batches and augmentation: images as bytes in memory, float32 in [0, 1] a batch at a time."""

from .augment import Augmentation, affine, compose, elastic, rotate, scale, shift
from .batches import Batches, batches
from .dataset import Dataset
from .digits import digits
from .idx import DataError, read_idx
from .mnist import fashion_mnist, load_folder, mnist
from .transforms import expand_shifted, rotated, shifted

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
    "read_idx",
    "rotate",
    "rotated",
    "scale",
    "shift",
    "shifted",
]
