"""The result of reading somebody's images: training and test images, and what there is to say about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..checks import abbreviated, plural
from .dataset import Dataset
from .idx import DataError
from .spec import Fit, ImageSpec
from .splits import stratified

_MAX_NAMED_CLASSES = 12
DEFAULT_TEST_FRACTION = 0.2
_NO_TEST = "there are no test images"


@dataclass(frozen=True)
class Loaded:
    """Training and test images.

    Attributes:
        train, test: both with the same classes.
        origin: how they were stored, as the end of a sentence: "a folder for each class".
        notes: sentences about what was decided or left out.
    """

    train: Dataset
    test: Dataset
    origin: str
    notes: list[str] = field(default_factory=list)

    @property
    def was_split(self) -> bool:
        """True if the test images were drawn from all images, as there were none."""
        return any(note.startswith(_NO_TEST) for note in self.notes)

    def whole(self) -> Dataset:
        """Return all images of data that were split, in their order."""
        return self.train.joined(self.test)

    def described(self, images: Dataset) -> str:
        """Return a line about some images of these."""
        return f"{plural(len(images), 'image')} of {plural(images.num_classes, 'class', 'classes')} from {self.origin}"

    @property
    def pair(self) -> tuple[Dataset, Dataset]:
        """(train, test)."""
        return self.train, self.test

    def __str__(self) -> str:
        """One line: the classes, the numbers of images, their size, and where they are from."""
        channels, height, width = self.train.image_shape
        kind = {1: "grey", 3: "RGB"}.get(channels, f"with {channels} channels")
        names = self.train.class_names
        listed = ", ".join(names[:_MAX_NAMED_CLASSES]) + (" ..." if len(names) > _MAX_NAMED_CLASSES else "")
        classes = plural(len(names), "class", "classes")
        numbers = f"{len(self.train):,} + {len(self.test):,} images"
        return f"{classes}: {listed}; {numbers}, {height}x{width} {kind}, from {self.origin}"


@dataclass(frozen=True)
class Options:
    """Options of reading images, which `open_data` takes by name.

    Every reader uses those that concern it, and refuses the others.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: Fit | None = None
    skip_damaged: bool = False
    label_column: str | int | None = None
    layout: Literal["NHWC", "NCHW", "HWCN"] | None = None
    transpose: bool = False
    split: str | None = None
    test: float = DEFAULT_TEST_FRACTION
    seed: int = 0
    like: ImageSpec | None = None

    def check(self, op: str) -> None:
        """TypeError or ValueError for values that make no sense."""
        if self.size is not None:
            object.__setattr__(self, "size", checks.pair(op, "size", self.size, 1))
        if self.channels not in (None, 1, 3):
            raise ValueError(f"{op}: channels must be 1 (grey) or 3 (RGB), got {abbreviated(self.channels)}")
        if self.fit not in (None, "pad", "crop"):
            raise ValueError(f"{op}: fit must be 'pad' or 'crop', got {abbreviated(self.fit)}")
        if self.layout not in (None, "NHWC", "NCHW", "HWCN"):
            raise ValueError(f"{op}: layout must be NHWC, NCHW or HWCN, got {abbreviated(self.layout)}")
        checks.flag(op, "skip_damaged", self.skip_damaged)
        checks.flag(op, "transpose", self.transpose)
        checks.number(op, "test", self.test, 0.0, 1.0, below=True)
        checks.integer(op, "seed", self.seed, 0)

    def refuse(self, where: str, *names: str) -> None:
        """DataError if an option with one of these names is set, which means nothing for such data."""
        flags = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) != getattr(Options(), name)]
        if flags:
            raise DataError(f"{where}: {' and '.join(flags)} do{'' if len(flags) > 1 else 'es'} not apply to such data")


def split_off_test(dataset: Dataset, options: Options) -> tuple[Dataset, Dataset, str]:
    """Return (train, test, a sentence about it): a stratified test split of images that have none."""
    train, test = stratified(dataset.labels, options.test, options.seed)
    if not len(test):
        raise DataError(
            f"there are too few images to test on: {plural(len(dataset), 'image')} in "
            f"{plural(dataset.num_classes, 'class', 'classes')}"
        )
    share = f"{options.test:.0%} of each class"
    lone = [name for k, name in enumerate(dataset.class_names) if (dataset.labels == k).sum() == 1]
    without = f"; of {', '.join(lone)} there is one image, and none to test on" if lone else ""
    return dataset[train], dataset[test], f"{_NO_TEST}: {share}, drawn at random, became them{without}"


def check_not_empty(where: str, counts: NDArray[np.int64], names: Sequence[str]) -> None:
    """DataError if there is nothing to tell apart."""
    if not counts.sum():
        raise DataError(f"{where}: holds no images")
    if len(names) < 2:
        raise DataError(f"{where}: holds the one class {names[0]!r}; a network tells at least two apart")


def oriented(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return images (..., H, W) with rows and columns exchanged, in memory order."""
    return np.ascontiguousarray(pixels.swapaxes(-1, -2))
