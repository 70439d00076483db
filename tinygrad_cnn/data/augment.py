"""Random changes that keep an image's class, made for a whole batch at once.

A step is made from its bounds and called as `step(images, rng)`: float32 images (N, C, H, W) in [0, 1] in, new images
of the same shape and range out (batch innermost in memory), the input left alone, every random number from `rng`.
Each image draws its own change, uniform within the bounds; what enters from outside is black.

>>> from tinygrad_cnn.data import digits
>>> images, _ = digits()[0].take(slice(64))
>>> step = compose(affine(max_pixels=1, max_degrees=10), elastic(alpha=8, sigma=3))
>>> step(images, np.random.default_rng(0)).shape
(64, 1, 8, 8)
"""

import math
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks
from .resample import Coordinates, Floats, affine_coordinates, check_images, pixel_coordinates, resample

_MAX_BOUND = 1e6  # coordinates computed from smaller bounds stay finite in float32


class Augmentation(Protocol):
    """The type of a step, `step(images, rng) -> images`; a plain function of your own is one too."""

    def __call__(self, images: Floats, rng: np.random.Generator, /) -> Floats:
        """Return changed copies of `images`."""
        ...


def shift(max_pixels: int) -> Augmentation:
    """Move each image by a whole number of pixels from -max_pixels to max_pixels, down and right independently."""
    return partial(_shift, max_pixels=checks.integer("shift", "max_pixels", max_pixels, 0))


def rotate(max_degrees: float) -> Augmentation:
    """Turn each image about its centre by up to max_degrees either way."""
    return affine(max_degrees=max_degrees)


def scale(max_fraction: float) -> Augmentation:
    """Magnify each image about its centre by a factor between 1 - max_fraction and 1 + max_fraction, below 1."""
    return affine(max_fraction=max_fraction)


def affine(
    *, max_pixels: float = 0.0, max_degrees: float = 0.0, max_fraction: float = 0.0, max_shear: float = 0.0
) -> Augmentation:
    """Shear, magnify, turn and shift each image, in this order, with one resampling.

    Args:
        max_pixels: shifts down and right, each up to this, fractions of a pixel included.
        max_degrees: the turn, as in `rotate`.
        max_fraction: the magnification, as in `scale`; below 1.
        max_shear: a point that is y below the centre moves right by up to max_shear·y.

    Raises:
        TypeError: a bound that is not a number.
        ValueError: a bound that is negative or a million or more, max_fraction of 1 or more.
    """
    return partial(
        _affine,
        max_pixels=checks.number("affine", "max_pixels", max_pixels, 0.0, _MAX_BOUND, below=True),
        max_degrees=checks.number("affine", "max_degrees", max_degrees, 0.0, _MAX_BOUND, below=True),
        max_fraction=checks.number("affine", "max_fraction", max_fraction, 0.0, 1.0, below=True),
        max_shear=checks.number("affine", "max_shear", max_shear, 0.0, _MAX_BOUND, below=True),
    )


def elastic(alpha: float, sigma: float) -> Augmentation:
    """Bend each image: every pixel is read at coordinates displaced by a smooth random field.

    The field is uniform noise in [-1, 1] for each pixel and direction, blurred by a Gaussian, times alpha. For 28x28
    digits alpha 34 with sigma 4 moves strokes by about 1.4 pixels.

    Args:
        alpha: strength, in pixels, from 0 to a million.
        sigma: the Gaussian's standard deviation, 0.1 to 1000 pixels: the larger, the smoother and weaker the field.

    Raises:
        TypeError: alpha or sigma is not a number.
        ValueError: alpha or sigma is out of its range.

    Source: Simard, Steinkraus & Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", ICDAR 2003.
    """
    return partial(
        _elastic,
        alpha=checks.number("elastic", "alpha", alpha, 0.0, _MAX_BOUND, below=True),
        sigma=checks.number("elastic", "sigma", sigma, 0.1, 1000.0, below=True),
    )


def compose(*steps: Augmentation) -> Augmentation:
    """Return the step that applies these steps from left to right, all with the same generator."""
    for step in steps:
        checks.function("compose", "each step", step, "images and rng")
    return partial(_compose, steps=steps)


def _shift(images: Floats, rng: np.random.Generator, *, max_pixels: int) -> Floats:
    rng = checks.generator("shift", rng)
    check_images("shift", images)
    count, _, height, width = images.shape
    dy, dx = rng.integers(-max_pixels, max_pixels, (2, count), endpoint=True).astype(np.float32)
    y, x = pixel_coordinates(height, width)
    return resample(images, lambda block: (y - dy[block], x - dx[block]))


def _affine(
    images: Floats,
    rng: np.random.Generator,
    *,
    max_pixels: float,
    max_degrees: float,
    max_fraction: float,
    max_shear: float,
) -> Floats:
    rng = checks.generator("affine", rng)
    check_images("affine", images)
    count, _, height, width = images.shape
    dy, dx, turn, growth, slant = rng.uniform(-1.0, 1.0, (5, count))

    def coordinates(block: slice) -> Coordinates:
        return affine_coordinates(
            height,
            width,
            dy=dy[block] * max_pixels,
            dx=dx[block] * max_pixels,
            degrees=turn[block] * max_degrees,
            scale=1.0 + growth[block] * max_fraction,
            shear=slant[block] * max_shear,
        )

    return resample(images, coordinates)


def _elastic(images: Floats, rng: np.random.Generator, *, alpha: float, sigma: float) -> Floats:
    rng = checks.generator("elastic", rng)
    check_images("elastic", images)
    count, _, height, width = images.shape
    noise = _noise(rng, (2, height, width, count))
    blur_down, blur_right = _gaussian(height, sigma), _gaussian(width, sigma)
    y, x = pixel_coordinates(height, width)

    def coordinates(block: slice) -> Coordinates:
        field = (noise[..., block] - np.float32(127.5)) * np.float32(alpha / 127.5)
        field = np.matmul(blur_down, field.reshape(2, height, -1)).reshape(2 * height, width, -1)
        dy, dx = np.matmul(blur_right, field).reshape(2, height, width, -1)
        return y + dy, x + dx

    return resample(images, coordinates)


def _compose(images: Floats, rng: np.random.Generator, *, steps: tuple[Augmentation, ...]) -> Floats:
    for step in steps:
        images = step(images, rng)
    return images


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return uniform random bytes: drawn seven times faster than floats, and fine enough for a blur over many."""
    size = math.prod(shape)
    words = rng.integers(2**64 - 1, size=math.ceil(size / 8), dtype=np.uint64, endpoint=True)
    return words.view(np.uint8)[:size].reshape(shape)


def _gaussian(length: int, sigma: float) -> Floats:
    """Return the (length, length) matrix that blurs a row of pixels; beyond its ends the row counts as 0."""
    radius = max(length, math.ceil(6 * sigma))
    weights: NDArray[np.float64] = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    pixels = np.arange(length)
    band: Floats = weights[radius + pixels[:, None] - pixels].astype(np.float32)
    return band
