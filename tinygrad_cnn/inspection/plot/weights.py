"""Filters that a network learned."""

from typing import TYPE_CHECKING

import numpy as np

from ...autograd.tensor import Tensor
from ...checks import abbreviated, plural, shapes
from ...nn.layers import Conv2d
from .canvas import WIDTH_INCHES, colour_bar, mosaic, new_figure, show

if TYPE_CHECKING:
    from .canvas import Canvas

_FILTERS_PER_ROW = 8
_MAX_ROWS = 16  # also of columns, where a filter reads several channels


def filters(weight: Tensor | Conv2d, *, figure: "Canvas | None" = None) -> "Canvas":
    """Draw the filters of a convolutional layer: bright taps add to the feature, dark ones speak against it.

    Args:
        weight: a `Conv2d`, or filters (F, C, KH, KW). With one channel, the F filters stand side by side; with more,
            each row is one filter and each column the channel it reads (at most 16 of each).
        figure: where to draw; a new figure by default.

    Raises:
        TypeError, ValueError: not a layer or filters of this shape.

    >>> import tinygrad_cnn as tg
    >>> picture = filters(tg.nn.Conv2d(1, 6, 5))
    """
    if not isinstance(weight, Conv2d | Tensor | np.ndarray):
        raise TypeError(f"filters: weight must be a Conv2d or filters (F, C, KH, KW), got {abbreviated(weight)}")
    w = np.asarray(weight.weight if isinstance(weight, Conv2d) else weight)
    if w.ndim != 4 or not w.size:
        raise ValueError(f"filters: weight must be (F, C, KH, KW) and not empty {shapes(weight=w)}")
    count, channels, rows, columns = w.shape
    if channels == 1:
        sheet = mosaic(w[:, 0], _FILTERS_PER_ROW)
        title = f"{plural(count, 'filter')} of {rows}×{columns}"
    else:
        part = w[:_MAX_ROWS, :_MAX_ROWS]
        sheet = mosaic(part.reshape(-1, rows, columns), part.shape[1])
        title = f"{rows}×{columns} filters: {_part_of(count)} (rows) for {_part_of(channels)} maps"
    canvas = new_figure(figure, WIDTH_INCHES, 2.9 * sheet.shape[0] / sheet.shape[1] + 0.4)
    ax = canvas.subplots()
    colour_bar(ax, show(ax, sheet, title, signed=True), "weight")
    return canvas


def _part_of(count: int) -> str:
    return str(count) if count <= _MAX_ROWS else f"{_MAX_ROWS} of {count}"
