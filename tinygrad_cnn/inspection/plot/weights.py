"""Learned filters."""

from typing import TYPE_CHECKING

import numpy as np

from ...autograd.tensor import Tensor
from ...checks import abbreviated, plural
from ...nn.layers import Conv2d
from .canvas import WIDTH, mosaic, new_figure, scale, show

if TYPE_CHECKING:
    from .canvas import Canvas

_COLUMNS = 8


def filters(weight: Tensor | Conv2d, *, figure: "Canvas | None" = None) -> "Canvas":
    """The filters of a convolutional layer: bright taps add to the feature, dark ones speak against it.

    Args:
        weight: a `Conv2d`, or filters (F, C, KH, KW). With one channel, the F filters stand side by side; with more,
            each row is one filter and each column the channel it reads (at most 16 of each).
        figure: where to draw; a new figure by default.

    >>> import tinygrad_cnn as tg
    >>> picture = filters(tg.nn.Conv2d(1, 6, 5))
    """
    if not isinstance(weight, Conv2d | Tensor | np.ndarray):
        raise TypeError(f"filters: weight must be a Conv2d or filters (F, C, KH, KW), got {abbreviated(weight)}")
    w = np.asarray(weight.weight if isinstance(weight, Conv2d) else weight)
    if w.ndim != 4 or not w.size:
        raise ValueError(f"filters: the weights must be (F, C, KH, KW) and not empty (weight.shape={w.shape})")
    count, channels, rows, columns = w.shape
    if channels == 1:
        sheet = mosaic(w[:, 0], _COLUMNS)
        title = f"{plural(count, 'filter')} of {rows}×{columns}"
    else:
        some = w[:16, :16]
        sheet = mosaic(some.reshape(-1, rows, columns), some.shape[1])
        title = f"{rows}×{columns} filters: {_some(count)} (rows) for {_some(channels)} maps"
    canvas = new_figure(figure, WIDTH, 2.9 * sheet.shape[0] / sheet.shape[1] + 0.4)
    ax = canvas.subplots()
    scale(ax, show(ax, sheet, title, signed=True), "weight")
    return canvas


def _some(count: int) -> str:
    return str(count) if count <= 16 else f"16 of {count}"
