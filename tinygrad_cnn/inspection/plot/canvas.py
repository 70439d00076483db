"""Common to all pictures: a place to draw, colours that survive grey print and colour blindness, mosaics of maps.

Grey levels stand for activations and pixels. Numbers with a sign are drawn in *cividis*, zero in the middle: from dark
blue (negative) through grey to bright yellow (positive), it grows lighter all the way, so that it reads the same in
grey. Lines differ in dash and marker, not in colour alone.
"""

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    Canvas = Figure | SubFigure

Image = NDArray[Any]

PLAIN, SIGNED = "gray", "cividis"
MARK = "#e69f00"  # orange, from the palette of Okabe and Ito (2008); always with a black or white edge
TITLE_POINTS, TEXT_POINTS = 9, 8
WIDTH_INCHES = 3.8  # on a telephone, text of this size is still readable
_GAP = "white"  # between the tiles of a mosaic
_MIN_TILE_PIXELS = 16
_NOTEBOOK_DOTS_PER_INCH = 110


def new_figure(figure: "Canvas | None", width: float, height: float) -> "Canvas":
    """Return ``figure``, or for None a new one of this size in inches, which belongs to no window."""
    if figure is not None:
        return figure
    return _figure_class()(figsize=(width, height), layout="constrained")  # type: ignore[no-any-return]


def new_axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return ``ax``, or for None the axes of a new figure."""
    if ax is not None:
        return ax
    return new_figure(None, width, height).subplots(subplot_kw={"axes_class": _axes_class()})


@cache
def _figure_class() -> Any:
    """Return a class of figures that a notebook shows where one is the value of a cell."""
    base: Any = require("matplotlib.figure", "plot").Figure

    class Figure(base):  # type: ignore[misc]
        def _repr_png_(self) -> bytes:
            return _png(self)

    return Figure


@cache
def _axes_class() -> Any:
    """Return a class of axes that a notebook shows as the figure they are in."""
    base: Any = require("matplotlib.axes", "plot").Axes

    class Axes(base):  # type: ignore[misc]
        def _repr_png_(self) -> bytes:
            return _png(self.figure)

    return Axes


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_NOTEBOOK_DOTS_PER_INCH)
    return content.getvalue()


def show(ax: "Axes", image: Image, title: str, *, signed: bool = False) -> "AxesImage":
    """Draw an image without ticks, under its title.

    Args:
        ax: where to draw.
        image: (H, W), or (H, W, 3) in colour; NaN where there is nothing; infinite numbers are not drawn either.
        title: text above the image.
        signed: draw with 0 in the middle of the colours.
    """
    matplotlib = require("matplotlib", "plot")
    colours = matplotlib.colormaps[SIGNED if signed else PLAIN].with_extremes(bad=_GAP)
    picture = ax.imshow(image, cmap=colours, interpolation="nearest")
    if signed:
        limit = float(np.abs(image[np.isfinite(image)]).max(initial=0)) or 1.0
        picture.set_clim(-limit, limit)
    ax.set_title(title, fontsize=TITLE_POINTS, loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    return picture


def colour_bar(ax: "Axes", picture: "AxesImage", label: str) -> None:
    """Draw the scale of an image beside it, with the name of the numbers."""
    bar = ax.figure.colorbar(picture, ax=ax, fraction=0.05, pad=0.02, aspect=12)
    bar.set_label(label, fontsize=TEXT_POINTS)
    bar.ax.tick_params(labelsize=TEXT_POINTS)
    bar.outline.set_visible(False)
    bar.locator = require("matplotlib.ticker", "plot").MaxNLocator(3)
    bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
    bar.ax.yaxis.get_offset_text().set_fontsize(TEXT_POINTS)
    bar.update_ticks()


def mosaic(maps: Image, columns: int) -> Image:
    """Return maps (C, H, W) as one image, row by row, a line of NaN between the tiles.

    Pixels of small maps are repeated, so that the line stays thin beside them.

    >>> tiles = mosaic(np.ones((3, 16, 20)), columns=2)
    >>> tiles.shape, bool(np.isnan(tiles[16]).all()), bool(np.isnan(tiles[:, 20]).all())
    ((33, 41), True, True)
    """
    repeat = -(-_MIN_TILE_PIXELS // max(maps.shape[1:]))
    maps = maps.repeat(repeat, axis=1).repeat(repeat, axis=2)
    count, height, width = maps.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.full((rows, height + 1, columns, width + 1), np.nan)
    for k, tile in enumerate(maps):
        sheet[k // columns, :height, k % columns, :width] = tile
    return sheet.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]
