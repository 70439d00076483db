"""The facts about a network's images: their shape, class names, and how pictures become such images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..checks import abbreviated

Fit = Literal["ink", "pad", "crop"]
FITS = ("ink", "pad", "crop")
_PAPERS = ("dark", "light", None)
_SAMPLE = 200  # images that are looked at to tell how a data set was made
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class ImageSpec:
    """The facts that a picture needs to become an image like those that a network was trained on.

    Attributes:
        shape: (C, H, W) of the images.
        class_names: the name of each class, in the order of the labels.
        fit: how a picture of another size is fitted: ``"ink"`` finds a sign on its paper, and scales and centres it as
            MNIST was made; ``"pad"`` keeps the whole picture; ``"crop"`` keeps the middle of it.
        paper: the brightness of a grey image's background: ``"dark"``, ``"light"``, or None where it varies. A picture
            with the opposite one is inverted.
    """

    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    fit: Fit = "pad"
    paper: Literal["dark", "light"] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the facts ready for JSON."""
        return asdict(self) | {"shape": list(self.shape), "class_names": list(self.class_names)}

    @classmethod
    def from_dict(cls, facts: object) -> Self:
        """Return the facts that `as_dict` gave. ValueError, naming what is wrong, for anything else."""
        if not isinstance(facts, Mapping) or not facts.keys() >= {"shape", "class_names", "fit", "paper"}:
            raise ValueError(f"the facts about its images are incomplete: {abbreviated(facts)}")
        shape, names = facts["shape"], facts["class_names"]
        if not isinstance(shape, list) or len(shape) != 3:
            raise ValueError(f"the shape of its images must be [C, H, W], got {abbreviated(shape)}")
        channels, height, width = checks.array_shape("ImageSpec", "shape", tuple(shape))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"its class names must be a list of texts, got {abbreviated(names)}")
        if facts["fit"] not in FITS or facts["paper"] not in _PAPERS:
            raise ValueError(f"its pictures' fit and paper are unknown: {abbreviated(facts)}")
        return cls((channels, height, width), tuple(names), facts["fit"], facts["paper"])

    def renamed(self, class_names: Sequence[str]) -> Self:
        """Return the same facts with other names of the classes."""
        return replace(self, class_names=tuple(class_names))


def numbered(classes: int) -> tuple[str, ...]:
    """Return the names of classes that have none: ``0``, ``1`` and so on."""
    return tuple(map(str, range(classes)))


def check_class_names(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Return the names of the classes. TypeError or ValueError unless they are one text for each class, all different.

    Line breaks and other control characters become spaces.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"Dataset: class_names must be texts, got {abbreviated(names)}")
    plain = tuple("".join(c if c.isprintable() else " " for c in name)[:_MAX_NAME_CHARACTERS] for name in names)
    if len(plain) != classes:
        raise ValueError(f"Dataset: class_names has {checks.plural(len(plain), 'name')} for {classes} classes")
    if len(set(plain)) != len(plain):
        double = next(name for k, name in enumerate(plain) if name in plain[:k])
        raise ValueError(f"Dataset: class_names has {abbreviated(double)} twice")
    return plain


def background(pixels: NDArray[Any], full_scale: float) -> Literal["dark", "light"] | None:
    """Return the brightness of the background of grey images (N, 1, H, W), None where it varies: of most borders."""
    sample = _sample(pixels)
    if not len(sample) or sample.shape[1] != 1:
        return None
    edges = np.concatenate([sample[:, 0, 0], sample[:, 0, -1], sample[:, 0, :, 0], sample[:, 0, :, -1]], axis=1)
    border = np.median(edges / full_scale, axis=1)
    if np.mean(border < 0.3) > 0.8:
        return "dark"
    return "light" if np.mean(border > 0.7) > 0.8 else None


def shows_signs(pixels: NDArray[Any], full_scale: float) -> bool:
    """Return True if most grey images are signs in ink, scaled and centred as MNIST's: see `handwriting`."""
    sample = _sample(pixels)
    if not len(sample) or sample.shape[1] != 1 or sample.shape[2] != sample.shape[3] or sample.shape[2] < 12:
        return False
    return float(np.mean([_is_framed(image[0] / np.float32(full_scale)) for image in sample])) > 0.8


def _is_framed(image: NDArray[np.float32]) -> bool:
    """Return True for an even border around ink of MNIST's size, centred by its mass."""
    side = len(image)
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    ink = np.abs(image - np.median(edge))
    mask = ink > 0.3
    if not mask.any() or np.ptp(edge) > 0.1:
        return False
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    places = np.arange(side)
    centre = np.array([ink.sum(1) @ places, ink.sum(0) @ places]) / ink.sum()
    return bool(0.8 <= longer / side * 28 / 20 <= 1.15 and np.abs(centre - (side - 1) / 2).max() <= side / 14)


def _sample(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return some images from all over a data set."""
    return pixels[:: max(1, len(pixels) // _SAMPLE)][:_SAMPLE]
