"""Bilinear sampling of whole batches, batch innermost in memory: no loop over images or pixels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated

Floats = NDArray[np.float32]
Coordinates = tuple[Floats, Floats]
"""Rows and columns to read at, in pixels from the centre of the first one; together they broadcast to (H', W', N)."""

_BLOCK_PIXELS = 25_000  # 32 images of 28x28: 100 KB in float32


def check_images(op: str, images: object) -> None:
    """TypeError unless ``images`` is a float32 array, ValueError unless its shape is (N, C, H, W) with pixels in it."""
    if not isinstance(images, np.ndarray) or images.dtype != np.float32:
        got = f"dtype {images.dtype}" if isinstance(images, np.ndarray) else abbreviated(images)
        raise TypeError(f"{op}: images must be a float32 array, got {got}")
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{op}: images must be (N, C, H, W), got shape {images.shape}")


def resample(images: Floats, coordinates: Callable[[slice], Coordinates]) -> Floats:
    """Read each image at coordinates of its own.

    The batch is worked through in blocks, small enough that temporaries stay in the cache and on the heap: with the
    whole batch at once, a thousand fresh pages of memory cost several times the arithmetic.

    Args:
        images: (N, C, H, W).
        coordinates: called with a block of images, returns where `bilinear` reads them.

    Returns:
        (N, C, H, W), a transposed view of a contiguous (C, H, W, N) array.
    """
    count, channels, height, width = images.shape
    out = np.empty((channels, height, width, count), np.float32)
    size = max(1, _BLOCK_PIXELS // (height * width))
    for start in range(0, count, size):
        block = slice(start, start + size)
        out[..., block] = bilinear(images[block].transpose(1, 2, 3, 0), *coordinates(block))
    return out.transpose(3, 0, 1, 2)


def bilinear(images: Floats, y: Floats, x: Floats) -> Floats:
    """Read images at fractional coordinates; what lies outside is black.

    Args:
        images: (C, H, W, N), the batch last.
        y, x: the `Coordinates`.

    Returns:
        (C, H', W', N), contiguous.
    """
    channels, height, width, count = images.shape
    # A black frame, one pixel before and two after: clipped to its inside, coordinates read black with both neighbours.
    framed = np.zeros((channels, height + 3, width + 3, count), np.float32)
    framed[:, 1:-2, 1:-2] = images
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = np.floor(y), np.floor(x)
    down, right = y - top, x - left
    table = framed.reshape(channels, -1)
    corner = (top.astype(np.intp) * (width + 3) + left.astype(np.intp)) * count + np.arange(count)
    below = (width + 3) * count
    upper = _between(table.take(corner, axis=1), table.take(corner + count, axis=1), right)
    lower = _between(table.take(corner + below, axis=1), table.take(corner + (below + count), axis=1), right)
    return _between(upper, lower, down)


def _between(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Return a + weight·(b - a), in b's memory; it stays within [0, 1] when a and b do, and is a when weight is 0."""
    b -= a
    b *= weight
    b += a
    return b


def pixel_coordinates(height: int, width: int) -> Coordinates:
    """Return the coordinates of the pixels themselves: y (H, 1, 1) and x (1, W, 1)."""
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    return y[:, None, None], x[None, :, None]


def affine_coordinates(
    height: int,
    width: int,
    *,
    dy: NDArray[np.float64],
    dx: NDArray[np.float64],
    degrees: NDArray[np.float64],
    scale: NDArray[np.float64],
    shear: NDArray[np.float64],
) -> Coordinates:
    """Return where each pixel of a moved image comes from, y and x, (H, W, n) for parameters of shape (n,).

    Content is sheared (x + shear·y), scaled, turned counter-clockwise about the image's centre, then shifted by
    (dy, dx); so a pixel is traced back through the inverses in the opposite order.
    """
    cosine, sine = np.cos(np.deg2rad(degrees)) / scale, np.sin(np.deg2rad(degrees)) / scale
    rows, columns = pixel_coordinates(height, width)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y, x = rows - (middle_y + dy), columns - (middle_x + dx)  # (H, 1, n) and (1, W, n), from the shifted centre
    from_y = (cosine * y + middle_y).astype(np.float32) + (sine * x).astype(np.float32)
    from_x = ((cosine - shear * sine) * x + middle_x).astype(np.float32)
    return from_y, from_x - ((sine + shear * cosine) * y).astype(np.float32)
