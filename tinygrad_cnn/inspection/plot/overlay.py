"""Max pooling: the overlay, its maximum, and where the maximum goes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.tensor import Tensor, grad
from ...checks import pair, require
from ...ops import maxpool
from .canvas import (
    MARK,
    TEXT,
    WIDTH,
    Image,
    new_figure,
    scale,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

Size = int | tuple[int, int]

_FEW = 64  # maps of so many numbers have them written in


def pooling(
    feature_map: ArrayLike,
    overlay_shape: Size,
    *,
    stride: Size = 1,
    place: tuple[int, int] | None = None,
    figure: "Canvas | None" = None,
) -> "Canvas":
    """One map before and after max pooling, with one overlay, its maximum, and every neuron that won somewhere.

    Dots (in small maps, whose numbers are shown, bold print) mark the winners: a gradient goes back to them alone.

    Args:
        feature_map: (H, W).
        overlay_shape, stride: as in `maxpool`.
        place: (row, column) of the pooled neuron whose overlay is outlined; the largest by default.
        figure: where to draw; a new figure by default.

    Raises ValueError for another rank, a place outside, and what `maxpool` refuses.

    >>> picture = pooling([[8, 0, 11], [10, 2, 4]], (2, 2))
    """
    x = Tensor(np.asarray(feature_map, np.float64), requires_grad=True)
    if x.ndim != 2:
        raise ValueError(f"pooling: one map (H, W) expected (feature_map.shape={x.shape})")
    rows, columns = pair("pooling", "overlay_shape", overlay_shape, 1)
    down, right = pair("pooling", "stride", stride, 1)
    y = maxpool(x, (rows, columns), stride=(down, right))
    r, c = divmod(int(y.data.argmax()), y.shape[1]) if place is None else pair("pooling", "place", place, 0)
    if not (r < y.shape[0] and c < y.shape[1]):
        raise ValueError(f"pooling: place {place} is outside the pooled map of shape {y.shape}")
    (wins,) = grad(maxpool(x, (rows, columns), stride=(down, right)).sum(), [x])
    (here,) = grad(y[r, c], [x])
    winner = tuple(int(i) for i in np.argwhere(here.data)[0])

    canvas = new_figure(figure, WIDTH, 2.4)
    before, after = canvas.subplots(1, 2)
    drawn = show(before, x.data, f"{_size(x.data)}, overlay {rows}×{columns}")
    show(after, y.data, f"its maxima, {_size(y.data)}").set_clim(drawn.get_clim())
    _mark_winners(before, x.data, wins.data > 0)
    if x.size <= _FEW:
        _write_numbers(after, y.data, drawn.get_clim(), np.zeros(y.shape, bool))
    line = float(np.clip(14 / max(x.shape), 0.9, 2.0))
    _outline(before, c * right, r * down, columns, rows, line)
    _outline(before, winner[1], winner[0], 1, 1, line)
    _outline(after, c, r, 1, 1, line)
    scale(after, drawn, "value")
    gap = 9 if x.size <= _FEW else 3  # points: keep clear of a number
    arrow = require("matplotlib.patches", "plot").ConnectionPatch(
        (winner[1], winner[0]),
        (c, r),
        "data",
        "data",
        axesA=before,
        axesB=after,
        arrowstyle="->",
        color=MARK,
        linewidth=min(line, 1.3),
        shrinkA=gap,
        shrinkB=gap,
    )
    canvas.add_artist(arrow)
    return canvas


def _mark_winners(ax: "Axes", image: Image, won: Image) -> None:
    """The neurons that were some overlay's maximum: bold numbers in a small map, dots in a large one."""
    if image.size <= _FEW:
        _write_numbers(ax, image, (image.min(), image.max()), won)
        ax.set_xlabel("bold: the maxima", fontsize=TEXT, loc="left")
        return
    places = np.argwhere(won)
    area = (130 / max(image.shape) * 0.35) ** 2  # square points: about a third of a pixel wide
    ax.scatter(places[:, 1], places[:, 0], s=area, color=MARK, edgecolors="black", linewidths=0.4)
    ax.set_xlabel("dots: the maxima", fontsize=TEXT, loc="left")


def _write_numbers(ax: "Axes", image: Image, limits: tuple[float, float], bold: Image) -> None:
    for (r, c), value in np.ndenumerate(image):
        colour, weight = "black" if value > sum(limits) / 2 else "white", "bold" if bold[r, c] else "normal"
        ax.text(c, r, f"{value:.3g}", ha="center", va="center", fontsize=TEXT, color=colour, fontweight=weight)


def _outline(ax: "Axes", x: int, y: int, width: int, height: int, line: float) -> None:
    """A frame around some pixels that stands out on any grey."""
    rectangle = require("matplotlib.patches", "plot").Rectangle
    for thickness, colour in ((1.8 * line, "black"), (line, MARK)):
        ax.add_patch(
            rectangle((x - 0.5, y - 0.5), width, height, fill=False, lw=thickness, edgecolor=colour, clip_on=False)
        )


def _size(image: Image) -> str:
    return f"{image.shape[0]}×{image.shape[1]}"
