"""Windows over images: the sizes, strides, paddings and dilations that all kernels share.

All images are ``(N, C, H, W)``: batch, channels, rows, columns; filters are ``(F, C // groups, KH, KW)``.
"""

from typing import NamedTuple

from ..checks import Pair as Pair


class ConvParams(NamedTuple):
    """The movement of filters over images; ``padding`` is zeros on both sides, ``groups`` splits the channels."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


class PoolParams(NamedTuple):
    """A pooling overlay's shape and movement; max pooling pads with minus infinity, the average with zeros."""

    shape: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def tiles(self) -> bool:
        """True if no two windows share a pixel, so that a gradient can be written instead of added."""
        return all(s >= dilated_size(k, d) for s, k, d in zip(self.stride, self.shape, self.dilation, strict=True))


def spatial(shape: tuple[int, ...]) -> Pair:
    """Return rows and columns: the last two lengths of a shape."""
    rows, columns = shape[-2:]
    return rows, columns


def dilated_size(size: int, dilation: int) -> int:
    """Return the pixels that a window of ``size`` taps covers along one axis."""
    return dilation * (size - 1) + 1


def output_size(length: int, size: int, stride: int, padding: int, dilation: int) -> int:
    """Return ``(length + 2 padding - dilated size) // stride + 1``, the windows along one axis, or 0 if none fits."""
    room = length + 2 * padding - dilated_size(size, dilation)
    return room // stride + 1 if room >= 0 else 0


def map_shape(image: Pair, window: Pair, params: ConvParams | PoolParams) -> Pair:
    """Return the rows and columns of the map that windows of this shape make from an image of this shape."""
    (height, width), (kh, kw) = image, window
    (sh, sw), (ph, pw), (dh, dw) = params.stride, params.padding, params.dilation
    return output_size(height, kh, sh, ph, dh), output_size(width, kw, sw, pw, dw)
