"""Fixed changes, the same for every image: to enlarge a data set, or to measure the robustness of a network."""

import numpy as np
from numpy.typing import NDArray

from .. import checks
from .dataset import Dataset
from .resample import Coordinates, Floats, affine_coordinates, check_images, resample


def shifted(images: Floats, dy: int, dx: int) -> Floats:
    """Return the images moved down by dy and right by dx whole pixels (negative: up, left); black enters.

    Args:
        images: float32, (N, C, H, W); not changed.
        dy, dx: pixels; a shift by the image's size or more leaves black images.

    >>> image = np.array([[[[1, 2], [3, 4]]]], dtype=np.float32)
    >>> shifted(image, 1, 0).tolist()
    [[[[0.0, 0.0], [1.0, 2.0]]]]
    """
    check_images("shifted", images)
    moved = np.zeros_like(images)
    _copy_moved(images, moved, checks.integer("shifted", "dy", dy), checks.integer("shifted", "dx", dx))
    return moved


def rotated(images: Floats, degrees: float) -> Floats:
    """Return the images turned counter-clockwise about their centres, sampled bilinearly; black enters.

    Args:
        images: float32, (N, C, H, W) in [0, 1]; not changed.
        degrees: the angle; negative turns clockwise.
    """
    check_images("rotated", images)
    angle = checks.number("rotated", "degrees", degrees)
    height, width = images.shape[2:]

    def coordinates(block: slice) -> Coordinates:
        zero = np.zeros(len(images[block]))
        return affine_coordinates(height, width, dy=zero, dx=zero, degrees=zero + angle, scale=zero + 1, shear=zero)

    return resample(images, coordinates)


def expand_shifted(dataset: Dataset) -> Dataset:
    """Return a data set five times as large: all images, then all of them one pixel down, up, right and left.

    The copies are bytes in memory (235 MB for MNIST's training images), not shuffled.

    Source: Nielsen, "Neural networks and deep learning", 2015, chapter 6 (`expand_mnist.py`).

    >>> from tinygrad_cnn.data import digits
    >>> expand_shifted(digits()[0])
    Dataset(7,185 images of 1x8x8, 10 classes)
    """
    checks.instance("expand_shifted", "dataset", dataset, Dataset)
    pixels = dataset.pixels
    moves = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    copies = np.zeros((len(moves), *pixels.shape), pixels.dtype)
    for copy, (down, right) in zip(copies, moves, strict=True):
        _copy_moved(pixels, copy, down, right)
    return Dataset(
        copies.reshape(-1, *dataset.image_shape),
        np.tile(dataset.labels, len(moves)),
        num_classes=dataset.num_classes,
        full_scale=dataset.full_scale,
        class_names=dataset.class_names,
        fit=dataset.spec.fit,
    )


def _copy_moved(source: NDArray[np.generic], target: NDArray[np.generic], down: int, right: int) -> None:
    """Copy the part of `source` that stays visible to its new position in `target`, along the last two axes."""
    (from_y, to_y), (from_x, to_x) = _overlap(source.shape[-2], down), _overlap(source.shape[-1], right)
    target[..., to_y, to_x] = source[..., from_y, from_x]


def _overlap(size: int, move: int) -> tuple[slice, slice]:
    """Return the part of an axis that stays on it when moved, before and after the move."""
    length = max(size - abs(move), 0)
    start, end = max(-move, 0), max(move, 0)
    return slice(start, start + length), slice(end, end + length)
