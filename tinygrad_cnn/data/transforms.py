"""Fixed changes: the same for every image. They enlarge a data set, or measure how well a net stands them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ._resample import Floats, affine_places, checked, resampled
from .dataset import Dataset


def shifted(images: Floats, dy: int, dx: int) -> Floats:
    """Return the images moved down by dy and right by dx whole pixels (negative: up, left); black enters.

    Args:
        images: float32, (N, C, H, W); not changed.
        dy, dx: pixels; a shift by the image's size or more leaves black images.

    >>> image = np.array([[[[1, 2], [3, 4]]]], dtype=np.float32)
    >>> shifted(image, 1, 0).tolist()
    [[[[0.0, 0.0], [1.0, 2.0]]]]
    """
    checked("shifted", images)
    moved = np.zeros_like(images)
    down, right = (checks.integer("shifted", name, value) for name, value in (("dy", dy), ("dx", dx)))
    _copy_moved(images, moved, down, right)
    return moved


def rotated(images: Floats, degrees: float) -> Floats:
    """Return the images turned counter-clockwise about their centres, sampled bilinearly; black enters.

    Args:
        images: float32, (N, C, H, W) in [0, 1]; not changed.
        degrees: the angle; negative turns clockwise.
    """
    checked("rotated", images)
    angle = checks.number("rotated", "degrees", degrees)
    height, width = images.shape[2:]

    def places(block: slice) -> tuple[Floats, Floats]:
        none = np.zeros(len(images[block]))
        return affine_places(height, width, dy=none, dx=none, degrees=none + angle, scale=none + 1, shear=none)

    return resampled(images, places)


def expand_shifted(dataset: Dataset) -> Dataset:
    """Return a data set five times as large: all images, then all of them one pixel down, up, right and left.

    The copies are made in memory as bytes (235 MB for MNIST's training images). Nothing is shuffled: `batches` does it.

    Source: Nielsen, "Neural networks and deep learning", 2015, chapter 6 (`expand_mnist.py`).

    >>> from tinygrad_cnn.data import digits
    >>> expand_shifted(digits()[0])
    Dataset(7,185 images of 1x8x8, 10 classes)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"expand_shifted: dataset must be a Dataset, got {type(dataset).__name__}")
    pixels = dataset.pixels
    moves = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    copies = np.zeros((len(moves), *pixels.shape), np.uint8)
    for copy, (down, right) in zip(copies, moves, strict=True):
        _copy_moved(pixels, copy, down, right)
    return Dataset(
        copies.reshape(-1, *dataset.image_shape),
        np.tile(dataset.labels, len(moves)),
        num_classes=dataset.num_classes,
        full_scale=dataset.full_scale,
    )


def _copy_moved(source: NDArray[np.generic], target: NDArray[np.generic], down: int, right: int) -> None:
    """Copy the part of `source` that stays in sight to its new place in `target`, over the last two axes."""
    (from_y, to_y), (from_x, to_x) = _overlap(source.shape[-2], down), _overlap(source.shape[-1], right)
    target[..., to_y, to_x] = source[..., from_y, from_x]


def _overlap(size: int, move: int) -> tuple[slice, slice]:
    kept = max(size - abs(move), 0)
    start, end = max(-move, 0), max(move, 0)
    return slice(start, start + kept), slice(end, end + kept)
