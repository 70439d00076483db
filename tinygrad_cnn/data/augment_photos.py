"""Random changes for photographs, as steps like those of `augment`: flips, crops, brightness, hidden squares."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .. import checks
from .augment import Augmentation
from .resample import Floats, check_images


def flip(p: float = 0.5) -> Augmentation:
    """Mirror each image, left for right, with probability ``p``: for things that have no writing on them."""
    return partial(_flip, p=checks.number("flip", "p", p, 0.0, 1.0))


def crop(max_pixels: int) -> Augmentation:
    """Move each image by up to ``max_pixels`` each way; what enters repeats the pixels of its border, mirrored.

    It is the crop of a padded image: with `affine` or `shift`, black enters.
    """
    return partial(_crop, max_pixels=checks.integer("crop", "max_pixels", max_pixels, 0))


def brightness(max_change: float = 0.2, max_contrast: float = 0.2) -> Augmentation:
    """Change brightness and contrast of each image: ``(x - mean) (1 + c) + mean + b``, cut to 0 to 1.

    Args:
        max_change: b is from -max_change to max_change, below 1.
        max_contrast: c is from -max_contrast to max_contrast, below 1.
    """
    return partial(
        _brightness,
        max_change=checks.number("brightness", "max_change", max_change, 0.0, 1.0, below=True),
        max_contrast=checks.number("brightness", "max_contrast", max_contrast, 0.0, 1.0, below=True),
    )


def cutout(fraction: float = 0.3) -> Augmentation:
    """Hide a square of each image, anywhere, behind its mean colour.

    Args:
        fraction: the square's side, of the image's shorter one; from 0 to 1.

    Source: DeVries & Taylor, "Improved regularization of convolutional neural networks with cutout",
    arXiv:1708.04552, 2017.
    """
    return partial(_cutout, fraction=checks.number("cutout", "fraction", fraction, 0.0, 1.0))


def _flip(images: Floats, rng: np.random.Generator, *, p: float) -> Floats:
    rng = checks.generator("flip", rng)
    check_images("flip", images)
    mirrored = rng.random(len(images)) < p
    x = _batch_last(images)
    changed: Floats = np.where(mirrored, x[:, :, ::-1], x)
    return changed.transpose(3, 0, 1, 2)


def _crop(images: Floats, rng: np.random.Generator, *, max_pixels: int) -> Floats:
    rng = checks.generator("crop", rng)
    check_images("crop", images)
    count, _, height, width = images.shape
    dy, dx = rng.integers(-max_pixels, max_pixels, (2, count), endpoint=True)
    rows, columns = (_mirrored(np.arange(n) - d[:, None], n) for n, d in ((height, dy), (width, dx)))
    changed = images[np.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return np.ascontiguousarray(changed.transpose(3, 1, 2, 0)).transpose(3, 0, 1, 2)


def _brightness(images: Floats, rng: np.random.Generator, *, max_change: float, max_contrast: float) -> Floats:
    rng = checks.generator("brightness", rng)
    check_images("brightness", images)
    change, contrast = rng.uniform(-1, 1, (2, len(images))).astype(np.float32)
    x = _batch_last(images)
    mean = x.mean((0, 1, 2), dtype=np.float32)
    scale = 1 + contrast * np.float32(max_contrast)
    changed: Floats = np.clip(x * scale + (mean * (1 - scale) + change * np.float32(max_change)), 0, 1)
    return changed.transpose(3, 0, 1, 2)


def _cutout(images: Floats, rng: np.random.Generator, *, fraction: float) -> Floats:
    rng = checks.generator("cutout", rng)
    check_images("cutout", images)
    count, _, height, width = images.shape
    side = round(fraction * min(height, width))
    top, left = (rng.integers(-side // 2, n - side // 2 or 1, count) for n in (height, width))
    y, x = np.arange(height)[:, None, None], np.arange(width)[:, None]
    hidden = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    pixels = _batch_last(images)
    changed: Floats = np.where(hidden, pixels.mean((1, 2), keepdims=True, dtype=np.float32), pixels)
    return changed.transpose(3, 0, 1, 2)


def _batch_last(images: Floats) -> Floats:
    """Return images as (C, H, W, N), as `Dataset.take` has them in memory."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0))


def _mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return places on a row that goes on, mirrored at its ends."""
    period = max(2 * (length - 1), 1)
    places = np.abs(places) % period
    return np.minimum(places, period - places) if length > 1 else np.zeros_like(places)
