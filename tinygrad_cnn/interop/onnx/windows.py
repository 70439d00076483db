"""The windows of ONNX's convolutions and pooling: their settings with the defaults, and the borders that they need."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...kernels.geometry import dilated_size
from .values import Array, check_size

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")

Borders = tuple[tuple[int, int], ...]


class Windows(NamedTuple):
    """Windows over images of any number of axes; each field has an entry for each axis.

    Attributes:
        shape, strides, dilations: the windows' sizes, their steps, and the distances of their taps.
        pads: the borders (before, after) that the node names.
        beyond: how far the last windows reach beyond those, where their number is rounded up.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Borders
    beyond: tuple[int, ...]

    @property
    def borders(self) -> Borders:
        """The borders that the image needs to have."""
        return tuple((before, after + b) for (before, after), b in zip(self.pads, self.beyond, strict=True))

    def counts(self, image: Sequence[int], include_pads: bool) -> Array:
        """Return how many pixels of the image, or of it with its pads, are in each window."""
        result: Array = np.ones(())
        for n, k, s, d, (before, after), b in zip(image, *self, strict=True):
            places = (n + before + after + b - dilated_size(k, d)) // s + 1
            taps = np.arange(places)[:, None] * s - before + np.arange(k) * d
            low, high = (-before, n + after) if include_pads else (0, n)
            result = np.multiply.outer(result, ((taps >= low) & (taps < high)).sum(1))
        return result


def windows(
    image: Sequence[int],
    shape: Sequence[int],
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> Windows:
    """Return a node's windows over an image, by its attributes, of which those that are absent have ONNX's defaults."""
    ones = (1,) * len(image)
    steps, distances = tuple(strides or ones), tuple(dilations or ones)
    if not len(shape) == len(steps) == len(distances) == len(image) or len(pads or ones * 2) != 2 * len(image):
        raise ValueError(
            f"kernel_shape {list(shape)}, strides {strides}, dilations {dilations} and pads {pads} must have as many "
            f"entries as images of shape {tuple(image)} have axes"
        )
    reach = [dilated_size(k, d) for k, d in zip(shape, distances, strict=True)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        borders = tuple(_same(*axis, auto_pad) for axis in zip(image, reach, steps, strict=True))
    elif auto_pad == "VALID" or pads is None:
        borders = ((0, 0),) * len(image)
    else:
        borders = tuple(zip(pads[: len(image)], pads[len(image) :], strict=True))
    check_size([n + max(0, a) + max(0, b) for n, (a, b) in zip(image, borders, strict=True)])
    beyond = ceil_mode * np.array(
        [_beyond(*axis) for axis in zip(image, reach, steps, borders, strict=True)], dtype=np.int64
    )
    return Windows(tuple(shape), steps, distances, borders, tuple(beyond.tolist()))


def _same(n: int, reach: int, stride: int, auto_pad: str) -> tuple[int, int]:
    total = max(0, (math.ceil(n / stride) - 1) * stride + reach - n)
    small, large = total // 2, total - total // 2
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def _beyond(n: int, reach: int, stride: int, border: tuple[int, int]) -> int:
    """The pixels that the last window, if it counts, lacks; none begins in the border after the image."""
    room = n + sum(border) - reach
    places = -(-room // stride) + 1
    if (places - 1) * stride >= n + border[0]:
        places -= 1
    return max(0, (places - 1) * stride - room)
