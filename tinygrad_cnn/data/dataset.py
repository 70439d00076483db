"""Labelled images: stored as they come, returned as float32 in [0, 1]."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import abbreviated, plural
from .spec import Fit, ImageSpec, background, check_class_names, numbered, shows_signs

_BLOCK_IMAGES = 4096  # whose floats are in memory at a time


class Dataset:
    """N images of one size, each with a class.

    Memory holds the pixels in their own type, bytes as a rule (`pixels`, which may be a `numpy.memmap`: only `pixels`
    and `images` read it as a whole). `images` makes floats of all images at once, `take` those of a batch. Subsets,
    `dataset[index]` and `split`, share the pixels of the whole: they hold row numbers, not copies.

    Args:
        pixels: uint8, uint16, or floats in [0, 1]; (N, H, W) or (N, C, H, W); not copied.
        labels: N integers from 0; copied.
        num_classes: the number of classes; when None that of ``class_names``, else `max(labels) + 1`.
        full_scale: the pixel value that means 1.0; when None 255 for uint8, 65,535 for uint16 and 1 for floats.
        class_names: a text for each class; "0", "1" and so on when None.
        fit: how `photo` makes a picture like these (see `ImageSpec`); when None, "ink" if they are like MNIST's, else
            "pad".

    Raises:
        TypeError: pixels of another type, labels that are not integers, names that are not texts.
        ValueError: ranks or counts that do not agree, labels outside 0..num_classes-1, pixels above full_scale, floats
            outside 0 to 1, images with their channels last.

    >>> pixels = np.array([[[0, 255]], [[51, 0]], [[255, 255]]], dtype=np.uint8)
    >>> dataset = Dataset(pixels, [0, 1, 0])
    >>> dataset
    Dataset(3 images of 1x1x2, 2 classes)
    >>> dataset[1:].images.tolist()
    [[[[0.20000000298023224, 0.0]]], [[[1.0, 1.0]]]]
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        labels: ArrayLike,
        *,
        num_classes: int | None = None,
        full_scale: int | None = None,
        class_names: Sequence[str] | None = None,
        fit: Fit | None = None,
    ) -> None:
        self._full_scale, self._stored = _as_pixels(pixels, full_scale)
        self._labels = _as_labels(labels)
        if len(self._stored) != len(self._labels):
            raise ValueError(
                f"Dataset: {len(self._stored)} images, but {len(self._labels)} labels "
                f"{checks.shapes(pixels=pixels, labels=self._labels)}"
            )
        highest = int(self._labels.max(initial=-1))
        if num_classes is None and class_names is not None:
            num_classes = len(class_names)
        self._num_classes = highest + 1
        if num_classes is not None:
            self._num_classes = checks.integer("Dataset", "num_classes", num_classes, 0)
            if highest >= self._num_classes:
                raise ValueError(f"Dataset: label {highest} is outside 0..{self._num_classes - 1}")
        self._class_names = check_class_names(class_names or numbered(self._num_classes), self._num_classes)
        self._fit = fit
        self._rows: NDArray[np.int64] | None = None  # None: all rows of _stored, in order

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.image_shape))
        classes = plural(self.num_classes, "class", "classes")
        return f"Dataset({plural(len(self), 'image')} of {size}, {classes})"

    def __getitem__(self, index: Any) -> Self:
        """Return the Dataset of some rows: an integer, a slice, a sequence of integers, or N booleans."""
        rows = _as_rows(index, len(self))
        subset = copy.copy(self)
        subset._labels = self._labels[rows]
        subset._rows = rows if self._rows is None else self._rows[rows]
        return subset

    @property
    def pixels(self) -> NDArray[Any]:
        """(N, C, H, W): the stored pixels themselves, or for a subset a fresh copy of its rows."""
        return self._stored if self._rows is None else self._stored[self._rows]

    @property
    def images(self) -> NDArray[np.float32]:
        """All images as a fresh float32 array in [0, 1], (N, C, H, W), in C order; 4 times the bytes of `pixels`."""
        images: NDArray[np.float32] = np.divide(self.pixels, np.float32(self._full_scale), dtype=np.float32)
        return images

    @property
    def labels(self) -> NDArray[np.int64]:
        """The classes, int64, (N,), each in 0..num_classes-1."""
        return self._labels

    @property
    def num_classes(self) -> int:
        """The number of classes of the whole data set; that of a subset is the same, whichever classes it holds."""
        return self._num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class; "0", "1" and so on where none were given."""
        return self._class_names

    @property
    def spec(self) -> ImageSpec:
        """The facts that `photo` needs to make a picture like these images, and that a weights file keeps."""
        stored, scale = self._stored, self._full_scale
        fit = self._fit or ("ink" if shows_signs(stored, scale) else "pad")
        return ImageSpec(self.image_shape, self._class_names, fit, background(stored, scale))

    @property
    def full_scale(self) -> int:
        """The pixel value that means 1.0 in `images`."""
        return self._full_scale

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self._stored.shape[1:]
        return channels, height, width

    def joined(self, other: "Dataset") -> Self:
        """Return this subset and another one of the same images as one, in the order of the whole."""
        if other._stored is not self._stored or self._rows is None or other._rows is None:
            raise ValueError("Dataset: joined takes two subsets of one data set")
        twin = copy.copy(self)
        order = np.argsort(np.concatenate([self._rows, other._rows]), kind="stable")
        twin._rows = np.concatenate([self._rows, other._rows])[order]
        twin._labels = np.concatenate([self._labels, other._labels])[order]
        return twin

    def renamed(self, class_names: Sequence[str]) -> Self:
        """Return the same images with other names of the classes."""
        twin = copy.copy(self)
        twin._class_names = check_class_names(class_names, self._num_classes)
        return twin

    def relabelled(self, classes: NDArray[np.int64], class_names: Sequence[str]) -> Self:
        """Return the same images with class ``classes[k]`` of ``class_names`` in place of class k."""
        twin = copy.copy(self)
        twin._labels, twin._num_classes = classes[self._labels], len(class_names)
        twin._class_names = check_class_names(class_names, twin._num_classes)
        return twin

    def take(self, rows: NDArray[np.int64] | slice) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (images, labels) of some rows; nothing else is read.

        The images are float32 in [0, 1] of logical shape (B, C, H, W), but the batch is innermost in memory: a
        transposed view of a contiguous (C, H, W, B) array. Sliding a filter over it then moves long contiguous runs.

        Raises:
            TypeError: rows of another kind.
            IndexError: a row that does not exist.
        """
        if not isinstance(rows, slice):
            rows = _as_rows(rows, len(self))
        pixels = self._stored[rows if self._rows is None else self._rows[rows]]
        innermost = np.ascontiguousarray(pixels.transpose(1, 2, 3, 0))
        return np.divide(innermost, np.float32(self._full_scale), dtype=np.float32).transpose(3, 0, 1, 2), self._labels[
            rows
        ]

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Return the mean and the standard deviation of each channel of all images in [0, 1], for `nn.Normalize`."""
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(self), _BLOCK_IMAGES):
            images = np.asarray(self[start : start + _BLOCK_IMAGES].pixels, np.float64) / self._full_scale
            count += images[:, 0].size
            total += images.sum((0, 2, 3))
            squares += (images**2).sum((0, 2, 3))
        if not count:
            raise ValueError("mean_and_std: the data set is empty")
        mean = np.asarray(total) / count
        std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0))
        return mean.tolist(), np.where(std > 0, std, 1.0).tolist()

    def split(self, size: float, rng: np.random.Generator) -> tuple[Self, Self]:
        """Return (rest, held out): `size` images drawn at random, without repetition, go to the second.

        Args:
            size: an integer is a count, 1..N-1; a float is a fraction of N in (0, 1), rounded to a count.
            rng: random generator; the same state gives the same split.

        Raises:
            TypeError: size is not a number, rng not a Generator.
            ValueError: one of the two parts would be empty.
        """
        rng = checks.generator("split", rng)
        if isinstance(size, float):
            count = round(checks.number("split", "size as a fraction", size, 0.0, 1.0, below=True) * len(self))
        else:
            count = checks.integer("split", "size", size, 1)
        if not 0 < count < len(self):
            raise ValueError(f"split: size {size} of {len(self)} images leaves one part empty")
        order = rng.permutation(len(self))
        return self[np.sort(order[count:])], self[np.sort(order[:count])]  # sorted: neighbours on disk stay so


_FULL_SCALES = {"uint8": 255, "uint16": 65_535, "float32": 1, "float64": 1}


def _as_pixels(pixels: NDArray[Any], full_scale: int | None) -> tuple[int, NDArray[Any]]:
    """Return the full scale, and the pixels (N, C, H, W), not copied.

    TypeError or ValueError for anything else than the arguments promise.
    """
    kind = pixels.dtype.name if isinstance(pixels, np.ndarray) else ""
    if kind not in _FULL_SCALES:
        got = f"dtype {pixels.dtype}" if kind else abbreviated(pixels)
        raise TypeError(f"Dataset: pixels must be a uint8, uint16 or float array, got {got}")
    if pixels.ndim not in (3, 4) or 0 in pixels.shape[1:]:
        raise ValueError(f"Dataset: pixels must be (N, H, W) or (N, C, H, W), got shape {pixels.shape}")
    if pixels.ndim == 4 and has_channels_last(pixels.shape):
        raise ValueError(
            f"Dataset: pixels must be (N, C, H, W), got shape {pixels.shape}, whose channels seem to be last; "
            "tg.data.arrays takes them, and so does pixels.transpose(0, 3, 1, 2)"
        )
    most = _FULL_SCALES[kind]
    scale = most if full_scale is None else checks.integer("Dataset", "full_scale", full_scale, 1, below=most + 1)
    plain = np.asarray(pixels, np.float32 if kind == "float64" else None)  # a memmap becomes a view of the same pages
    if most == 1 and plain.size and not (plain.min() >= 0 and plain.max() <= 1):
        raise ValueError(
            f"Dataset: floats must be in [0, 1], got {plain.min():g} to {plain.max():g}; "
            "divide by the largest, or pass uint8"
        )
    if scale < most and plain.max(initial=0) > scale:
        raise ValueError(f"Dataset: a pixel is {plain.max()}, above full_scale={scale}")
    return scale, plain if plain.ndim == 4 else plain[:, None]


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Return True for images (N, H, W, C) of 3 or 4 channels, and False where the first axis may hold channels."""
    return shape[3] in (3, 4) and shape[1] > 4 and min(shape[1:3]) >= 8


def _as_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Return a copy as int64 (N,). TypeError or ValueError for anything else than integers from 0."""
    try:
        array = np.asarray(labels)
    except ValueError:
        raise ValueError("Dataset: labels must be one number an image, (N,), got a ragged list") from None
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"Dataset: labels must be integers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"Dataset: labels must be one number an image, (N,), got shape {array.shape}")
    if array.size and array.min() < 0:
        raise ValueError(f"Dataset: label {array.min()} is negative")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"Dataset: label {array.max()} is above those of int64")
    return array.astype(np.int64)


def _as_rows(index: Any, length: int) -> NDArray[np.int64]:
    """Return the row numbers, each in 0..length-1, of an index. TypeError or IndexError for one that has none."""
    if isinstance(index, slice):
        return np.arange(length)[index]
    try:
        rows = np.atleast_1d(np.asarray(index))
    except ValueError:  # a ragged list
        rows = np.empty((1, 1))
    integers = rows.dtype.kind in "iub" or all(isinstance(k, int) for k in rows.flat)  # huge ones have dtype object
    if isinstance(index, tuple) or rows.ndim > 1 or not integers:
        raise TypeError(f"Dataset: index must be an integer, a slice, integers or booleans, got {abbreviated(index)}")
    if rows.dtype == bool:
        if rows.shape != (length,):
            raise IndexError(f"Dataset: index must have a boolean for each of {length} images, got {rows.size}")
        return np.flatnonzero(rows)
    if rows.size and not (-length <= rows.min() and rows.max() < length):
        outside = next(k for k in rows.tolist() if not -length <= k < length)
        raise IndexError(f"Dataset: index {abbreviated(outside)} is outside the {plural(length, 'image')}")
    return rows.astype(np.int64) % max(length, 1)
