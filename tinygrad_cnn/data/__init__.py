"""Data sets, batches and augmentation: images as bytes in memory, float32 in [0, 1] a batch at a time."""

from tinygrad_cnn.data.augment import Augmentation, affine, compose, elastic, rotate, scale, shift
from tinygrad_cnn.data.batches import Batches, batches
from tinygrad_cnn.data.dataset import Dataset
from tinygrad_cnn.data.digits import digits
from tinygrad_cnn.data.idx import DataError, read_idx
from tinygrad_cnn.data.mnist import fashion_mnist, load_folder, mnist
from tinygrad_cnn.data.transforms import expand_shifted, rotated, shifted

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
