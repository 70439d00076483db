"""Pictures of any format as a network takes them; one of a digit as MNIST has it (see `handwriting`)."""

import os
import warnings
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated, flag, require
from .handwriting import ink_is_dark, normalized_ink
from .idx import DataError
from .spec import Fit, ImageSpec, numbered

MAX_PIXELS = 1 << 26
"""The most pixels of a picture, by its header, before anything is decoded."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif")
"""The endings of files that are taken for pictures."""

_LUMA = (0.299, 0.587, 0.114)  # the weights of red, green and blue in brightness: ITU-R BT.601
_DEEP_MODES = ("I", "F")  # Pillow's names of 16 bits a pixel and more begin so
_GREY_MODES = ("1", "L", "LA", "La", *_DEEP_MODES)

Picture = NDArray[np.float32]
Source = str | os.PathLike[str] | IO[bytes]


class HasImageShape(Protocol):
    """A data set or a network that was trained on one."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""


def photo(path: Source, like: HasImageShape | ImageSpec | None = None, *, as_is: bool = False) -> NDArray[np.float32]:
    """Return a picture as an image (C, H, W) in [0, 1], prepared as the images of a data set or a network were.

    For MNIST and its kin the ink is found on any paper, under uneven light too, becomes light on black, and is scaled
    and centred as MNIST was made. For other images the picture is scaled, and padded or cropped to their shape; a grey
    one is inverted if its background is light and theirs is dark, or the reverse. A photograph is turned as its EXIF
    data say; transparent parts become paper, white under dark ink and black under light ink.

    Args:
        path: a file in any format that Pillow reads, or a file object.
        like: a data set or a network; MNIST by default.
        as_is: scale and fit only, without looking for ink and without inverting.

    Raises:
        DataError: the file cannot be read, or has more than 67 million pixels.
        ImportError: Pillow (extra ``cli``) is missing.
    """
    spec = spec_of(like)
    as_is = flag("photo", "as_is", as_is)
    channels, height, width = spec.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what a picture's metadata are like
        picture = read_picture(path, None if spec.fit == "ink" else (height, width))
    if spec.fit == "ink" and not as_is:
        ink = normalized_ink(brightness(picture), height)
        return (1 - ink if spec.paper == "light" else ink)[None]
    fit = "crop" if spec.fit == "ink" else spec.fit
    image = fitted(picture, channels, height, width, fit) / np.float32(255)
    if not as_is and channels == 1 and spec.paper is not None:
        grey = brightness(picture)
        if min(grey.shape) >= 3 and (ink_is_dark(grey) if spec.paper == "dark" else _ink_is_light(grey)):
            image = 1 - image
    return np.ascontiguousarray(image, np.float32)


def spec_of(like: object) -> ImageSpec:
    """Return the facts about images: those of a data set or network; MNIST's for None."""
    if isinstance(like, ImageSpec):
        return like
    spec = getattr(like, "spec", None) or getattr(like, "image_spec", None)
    if isinstance(spec, ImageSpec):
        return spec
    shape = (1, 28, 28) if like is None else getattr(like, "image_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise TypeError(f"photo: like must be a Dataset or a network trained on one, got {abbreviated(like)}")
    channels, height, width = shape
    classes = getattr(like, "num_classes", 10)
    fit: Fit = "ink" if channels == 1 and height == width else "crop"
    return ImageSpec((channels, height, width), numbered(classes), fit, "dark" if fit == "ink" else None)


def read_picture(path: Source, size: tuple[int, int] | None = None) -> Any:
    """Return a picture by Pillow: upright, on paper, as ``RGB``, ``L``, or ``F`` for more than 8 bits (0 to 255).

    Args:
        path: a file or a file object.
        size: rows and columns that are enough, which makes reading a large JPEG faster; None for all there are.

    Raises:
        DataError: the file is damaged, of no known format, or too large.
    """
    library, operations = require("PIL.Image", "cli"), require("PIL.ImageOps", "cli")
    name = path if isinstance(path, str | os.PathLike) else "standard input"
    if not isinstance(path, str | os.PathLike) and not hasattr(path, "read"):
        raise TypeError(f"photo: path must be a file's name or a file object, got {abbreviated(path)}")
    try:
        with library.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{name}: has {picture.width}x{picture.height} pixels, more than {MAX_PIXELS:,}")
            if size is not None and picture.format == "JPEG":
                picture.draft(None, (2 * max(size), 2 * max(size)))
            return _on_paper(operations.exif_transpose(picture))
    except DataError:
        raise
    except library.UnidentifiedImageError:
        raise DataError(f"{name}: is no picture of a known format, or is damaged") from None
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or f'is damaged ({error})'}") from error
    except Exception as error:  # Pillow's readers raise of every kind when a file is damaged
        raise DataError(f"{name}: is damaged ({error})") from error


def fitted(picture: Any, channels: int, height: int, width: int, fit: str) -> NDArray[np.float32]:
    """Return a picture of `read_picture` as (C, H, W), 0 to 255: scaled, and padded or cropped.

    ``fit`` "pad" keeps the whole picture and fills with the colour of its border, "crop" keeps the middle.
    """
    library = require("PIL.Image", "cli")
    if picture.mode != "F":
        picture = picture.convert("RGB" if channels == 3 else "L")
    scales = height / picture.height, width / picture.width
    scale = max(scales) if fit == "crop" else min(scales)
    rows, columns = (max(1, min(n, round(m * scale))) for n, m in zip((height, width), picture.size[::-1], strict=True))
    if fit == "crop":
        rows, columns = height, width
        box = _middle(picture.size, width / scale, height / scale)
    else:
        box = (0, 0, *picture.size)
    method = library.Resampling.BOX if scale <= 1 else library.Resampling.BICUBIC
    if (columns, rows) != picture.size or fit == "crop":
        picture = picture.resize((columns, rows), method, box=box)
    values = np.clip(np.asarray(picture, np.float32), 0, 255)
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if len(planes) != channels:
        planes = np.repeat(planes.mean(0, keepdims=True), channels, 0)
    if (rows, columns) == (height, width):
        return np.ascontiguousarray(planes)
    image = np.empty((channels, height, width), np.float32)
    border = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], axis=1)
    image[...] = np.median(border, axis=1)[:, None, None]
    top, left = (height - rows) // 2, (width - columns) // 2
    image[:, top : top + rows, left : left + columns] = planes
    return image


def is_grey(picture: Any) -> bool:
    """Return True for a picture that Pillow opened, by its header, if it has no colours."""
    if picture.mode == "P":
        palette = np.asarray(picture.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return bool(picture.mode.startswith(_GREY_MODES))


def brightness(picture: Any) -> NDArray[np.float64]:
    """Return a picture of `read_picture` as grey values (H, W) in [0, 1]."""
    values = np.asarray(picture, np.float64) / 255
    return np.clip(values if values.ndim == 2 else values @ np.array(_LUMA), 0, 1)


def _ink_is_light(grey: NDArray[np.float64]) -> bool:
    return ink_is_dark(1 - grey)


def _middle(size: tuple[int, int], width: float, height: float) -> tuple[float, float, float, float]:
    """Return the box (left, upper, right, lower) of the middle of a picture of ``size`` (columns, rows)."""
    width, height = min(width, size[0]), min(height, size[1])
    left, upper = (size[0] - width) / 2, (size[1] - height) / 2
    return left, upper, left + width, upper + height


def _on_paper(picture: Any) -> Any:
    """The picture as ``RGB``, ``L`` or ``F``; what is transparent becomes white if the ink is dark, else black."""
    library = require("PIL.Image", "cli")
    if picture.mode.startswith(_DEEP_MODES):  # Pillow's conversion to 8 bits would cut off the higher ones
        grey = np.asarray(picture, np.float32)
        highest = grey.max(initial=0)
        full = 65_535 if highest > 255 else 255 if highest > 1 else 1
        return library.fromarray(np.clip(grey * np.float32(255 / full), 0, 255))
    if "A" not in picture.mode and "a" not in picture.mode and "transparency" not in picture.info:
        return picture.convert("L" if is_grey(picture) else "RGB")
    mode, rgba = "L" if is_grey(picture) else "RGB", picture.convert("RGBA")
    values = np.asarray(rgba, np.float32) / 255
    rgb, alpha = values[..., :3], values[..., 3:]
    mean = float((rgb @ np.array(_LUMA, np.float32) * alpha[..., 0]).sum() / max(alpha.sum(), 1e-9))
    paper = library.new("RGBA", rgba.size, (255,) * 4 if mean < 0.5 else (0, 0, 0, 255))
    return library.alpha_composite(paper, rgba).convert(mode)
