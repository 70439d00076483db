"""Max pooling: the overlay, its maximum, and the neurons that a gradient goes back to."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor, grad
from ...checks import Pair, pair, require, shapes
from ...ops import maxpool
from .canvas import MARK, TEXT_POINTS, WIDTH_INCHES, Image, colour_bar, new_figure, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

_MAX_PRINTED_NUMBERS = 64  # of a map; larger ones show grey levels only


def pooling(
    feature_map: ArrayLike,
    overlay_shape: int | Pair,
    *,
    stride: int | Pair = 1,
    place: Pair | None = None,
    figure: "Canvas | None" = None,
) -> "Canvas":
    """Draw a map before and after max pooling, with one overlay, its maximum, and the winners of all overlays.

    Dots (in small maps, whose numbers are shown, bold print) mark the winners: a gradient goes back to them alone.

    Args:
        feature_map: (H, W).
        overlay_shape, stride: as in `maxpool`.
        place: (row, column) of the pooled neuron whose overlay is outlined; the largest by default.
        figure: where to draw; a new figure by default.

    Raises:
        ValueError: another rank, a place outside, or arguments that `maxpool` refuses.

    >>> picture = pooling([[8, 0, 11], [10, 2, 4]], (2, 2))
    """
    x = Tensor(np.asarray(feature_map, np.float64), requires_grad=True)
    if x.ndim != 2:
        raise ValueError(f"pooling: feature_map must be (H, W) {shapes(feature_map=x)}")
    rows, columns = pair("pooling", "overlay_shape", overlay_shape, 1)
    down, right = pair("pooling", "stride", stride, 1)
    y = maxpool(x, (rows, columns), stride=(down, right))
    r, c = divmod(int(y.data.argmax()), y.shape[1]) if place is None else pair("pooling", "place", place, 0)
    if not (r < y.shape[0] and c < y.shape[1]):
        raise ValueError(f"pooling: place must be inside the pooled map of shape {y.shape}, got {place}")
    (wins,) = grad(maxpool(x, (rows, columns), stride=(down, right)).sum(), [x])
    (here,) = grad(y[r, c], [x])
    winner = tuple(int(i) for i in np.argwhere(here.data)[0])

    canvas = new_figure(figure, WIDTH_INCHES, 2.4)
    before, after = canvas.subplots(1, 2)
    picture = show(before, x.data, f"{_size(x.data)}, overlay {rows}×{columns}")
    show(after, y.data, f"its maxima, {_size(y.data)}").set_clim(picture.get_clim())
    _mark_winners(before, x.data, wins.data > 0)
    if x.size <= _MAX_PRINTED_NUMBERS:
        _write_numbers(after, y.data, picture.get_clim(), np.zeros(y.shape, bool))
    width_points = float(np.clip(14 / max(x.shape), 0.9, 2.0))
    _outline(before, c * right, r * down, columns, rows, width_points)
    _outline(before, winner[1], winner[0], 1, 1, width_points)
    _outline(after, c, r, 1, 1, width_points)
    colour_bar(after, picture, "value")
    gap_points = 9 if x.size <= _MAX_PRINTED_NUMBERS else 3  # keep clear of a number
    ends = {"xyA": (winner[1], winner[0]), "xyB": (c, r), "coordsA": "data", "axesA": before, "axesB": after}
    look = {"arrowstyle": "->", "color": MARK, "linewidth": min(width_points, 1.3)}
    patches = require("matplotlib.patches", "plot")
    canvas.add_artist(patches.ConnectionPatch(**ends, **look, shrinkA=gap_points, shrinkB=gap_points))
    return canvas


def _mark_winners(ax: "Axes", image: Image, wins: Image) -> None:
    """Mark the neurons that are some overlay's maximum: bold numbers in a small map, dots in a large one."""
    if image.size <= _MAX_PRINTED_NUMBERS:
        _write_numbers(ax, image, (image.min(), image.max()), wins)
        ax.set_xlabel("bold: the maxima", fontsize=TEXT_POINTS, loc="left")
        return
    winners = np.argwhere(wins)
    area = (130 / max(image.shape) * 0.35) ** 2  # square points: about a third of a pixel wide
    ax.scatter(winners[:, 1], winners[:, 0], s=area, color=MARK, edgecolors="black", linewidths=0.4)
    ax.set_xlabel("dots: the maxima", fontsize=TEXT_POINTS, loc="left")


def _write_numbers(ax: "Axes", image: Image, limits: tuple[float, float], bold: Image) -> None:
    for (r, c), value in np.ndenumerate(image):
        colour, weight = "black" if value > sum(limits) / 2 else "white", "bold" if bold[r, c] else "normal"
        ax.text(c, r, f"{value:.3g}", ha="center", va="center", fontsize=TEXT_POINTS, color=colour, fontweight=weight)


def _outline(ax: "Axes", x: int, y: int, width: int, height: int, width_points: float) -> None:
    """Draw a frame around some pixels that stands out on any grey."""
    rectangle = require("matplotlib.patches", "plot").Rectangle
    for thickness, colour in ((1.8 * width_points, "black"), (width_points, MARK)):
        ax.add_patch(
            rectangle((x - 0.5, y - 0.5), width, height, fill=False, lw=thickness, edgecolor=colour, clip_on=False)
        )


def _size(image: Image) -> str:
    return f"{image.shape[0]}×{image.shape[1]}"
