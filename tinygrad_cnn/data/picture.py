"""Pictures of any format as a network takes them; one of a digit as MNIST has it (see `handwriting`)."""

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated, flag, require
from .handwriting import normalized_ink
from .idx import DataError

_LUMA = (0.299, 0.587, 0.114)  # the weights of red, green and blue in brightness: ITU-R BT.601
_MAX_PIXELS = 1 << 26  # of a picture, by its header, before anything is decoded

Picture = NDArray[np.float64]


class HasImageShape(Protocol):
    """A data set or a named network."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""


def photo(
    path: str | os.PathLike[str], like: HasImageShape | None = None, *, as_is: bool = False
) -> NDArray[np.float32]:
    """Return a picture as an image (C, H, W) in [0, 1], for a network for such images.

    For square grey images it is taken for one of a digit or letter, and prepared as MNIST was made: the ink is found
    on any paper, under uneven light too, becomes light on black, and is scaled and centred. A colour picture is scaled
    and cropped in the middle. A photograph is turned as its EXIF data say; transparent parts become paper, white under
    dark ink and black under light ink.

    Args:
        path: a file in any format that Pillow reads.
        like: a data set or a named network, whose image shape is used; MNIST's, (1, 28, 28), by default.
        as_is: scale and crop a grey picture too, without looking for ink.

    Raises:
        DataError: the file cannot be read, or has more than 67 million pixels.
        ImportError: Pillow (extra ``data``) is missing.
    """
    channels, height, width = _shape_of(like)
    rgb = _read(path)
    if channels == 1 and height == width and not flag("photo", "as_is", as_is):
        return normalized_ink(rgb @ np.array(_LUMA), height)[None]
    scaled = _scaled(rgb, height, width)
    image = scaled.transpose(2, 0, 1) if channels == 3 else np.repeat((scaled @ np.array(_LUMA))[None], channels, 0)
    return np.ascontiguousarray(image, np.float32)


def _shape_of(like: HasImageShape | None) -> tuple[int, int, int]:
    shape = (1, 28, 28) if like is None else getattr(like, "image_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise TypeError(f"photo: like must be a Dataset or a named network, got {abbreviated(like)}")
    channels, height, width = shape
    return channels, height, width


def _read(path: str | os.PathLike[str]) -> Picture:
    """The picture as red, green and blue (H, W, 3) in [0, 1], upright, on paper."""
    library, operations = require("PIL.Image", "data"), require("PIL.ImageOps", "data")
    try:
        with library.open(path) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise DataError(f"{path}: has {picture.width}x{picture.height} pixels, more than {_MAX_PIXELS:,}")
            return _on_paper(operations.exif_transpose(picture))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # Pillow's readers raise of every kind when a file is damaged
        raise DataError(f"{path}: is damaged ({error})") from error


def _on_paper(picture: Any) -> Picture:
    """Red, green and blue in [0, 1]; what is transparent becomes white if the ink is dark, else black."""
    if picture.mode.startswith(("I", "F")):  # 16 bits a pixel and more, which Pillow's conversion would cut off
        grey = np.asarray(picture, np.float64)
        full = 65_535 if grey.max(initial=0) > 255 else 255 if grey.max(initial=0) > 1 else 1
        return np.repeat(np.clip(grey / full, 0, 1)[..., None], 3, -1)
    rgba = np.asarray(picture.convert("RGBA"), np.float64) / 255
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    brightness = float((rgb @ np.array(_LUMA) * alpha[..., 0]).sum() / max(alpha.sum(), 1e-9))
    return rgb * alpha + (1 - alpha) * (1.0 if brightness < 0.5 else 0.0)


def _scaled(rgb: Picture, height: int, width: int) -> Picture:
    """The middle of the picture in the wanted shape, its pixels averaged."""
    library = require("PIL.Image", "data")
    scale = max(height / rgb.shape[0], width / rgb.shape[1])
    rows, columns = min(rgb.shape[0], round(height / scale)), min(rgb.shape[1], round(width / scale))
    top, left = (rgb.shape[0] - rows) // 2, (rgb.shape[1] - columns) // 2
    part = rgb[top : top + rows, left : left + columns].astype(np.float32)
    size, box = (width, height), library.Resampling.BOX if scale <= 1 else library.Resampling.BICUBIC
    planes = [np.asarray(library.fromarray(part[..., k]).resize(size, box)) for k in range(3)]
    return np.clip(np.stack(planes, -1).astype(np.float64), 0, 1)
