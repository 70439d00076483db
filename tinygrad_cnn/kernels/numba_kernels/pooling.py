# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: window by window, a vector of images at a time."""

import numpy as np

from .compiling import compiled
from .emitter import VECTOR_BYTES
from .team import finish, take
from .windows import send_tile, win_tile

_win, _win_2x2 = win_tile(), win_tile((2, 2))
_send, _send_2x2, _add = send_tile(), send_tile((2, 2)), send_tile(add=True)


@compiled
def taps_on(places, length, taps, stride, padding, dilation):
    """Along one axis, for each place of the window: its first tap on the image, and the one after the last."""
    on = np.empty((places, 2), np.intp)
    for p in range(places):
        at = p * stride - padding
        on[p, 0] = (dilation - 1 - at) // dilation if at < 0 else 0
        on[p, 1] = min(taps, (length - 1 - at) // dilation + 1) if at < length else 0
    return on


@compiled
def taps_of_windows(image, places, kernel, stride, padding, dilation):
    """`taps_on` for rows and columns."""
    return (
        taps_on(places[0], image[0], kernel[0], stride[0], padding[0], dilation[0]),
        taps_on(places[1], image[1], kernel[1], stride[1], padding[1], dilation[1]),
    )


@compiled
def maxpool(progress, x, y, winners, kernel, stride, padding, dilation):
    """Each window's maximum y, (C, OH, OW, N), and if there is room its winning tap. A task: a row of windows."""
    channels, rows, columns, n = y.shape
    _, height, width, _ = x.shape
    down, across = taps_of_windows((height, width), (rows, columns), kernel, stride, padding, dilation)
    steps = (dilation[0] * width * n, dilation[1] * n)
    flat_x, flat_y, flat_winners = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
    whole = kernel == (2, 2) and padding == (0, 0)
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        for q in range(columns):
            at = ((c * height + p * stride[0] - padding[0]) * width + q * stride[1] - padding[1]) * n
            taps, target = (down[p, 0], down[p, 1], across[q, 0], across[q, 1]), (task * columns + q) * n
            for b in range(0, n, VECTOR_BYTES // x.itemsize):
                if whole:
                    _win_2x2(flat_x, at + b, steps, taps, 2, flat_y, flat_winners, target + b, n - b)
                else:
                    _win(flat_x, at + b, steps, taps, kernel[1], flat_y, flat_winners, target + b, n - b)
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def scatter(progress, g, winners, x, kernel, stride, padding, dilation, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel."""
    channels, rows, columns, n = g.shape
    _, height, width, _ = x.shape
    down, across = taps_of_windows((height, width), (rows, columns), kernel, stride, padding, dilation)
    steps = (dilation[0] * width * n, dilation[1] * n)
    flat_x, flat_g, flat_winners = x.reshape(x.size), g.reshape(g.size), winners.reshape(winners.size)
    whole = kernel == (2, 2) and padding == (0, 0)
    task = take(progress)
    while task < channels:
        if not covered:
            x[task] = 0
        for window in range(rows * columns):
            p, q = window // columns, window % columns
            at = ((task * height + p * stride[0] - padding[0]) * width + q * stride[1] - padding[1]) * n
            taps, source = (down[p, 0], down[p, 1], across[q, 0], across[q, 1]), (task * rows * columns + window) * n
            for b in range(0, n, VECTOR_BYTES // x.itemsize):
                if tiles and whole:
                    _send_2x2(flat_x, at + b, steps, taps, 2, flat_g, flat_winners, source + b, n - b)
                elif tiles:
                    _send(flat_x, at + b, steps, taps, kernel[1], flat_g, flat_winners, source + b, n - b)
                else:
                    _add(flat_x, at + b, steps, taps, kernel[1], flat_g, flat_winners, source + b, n - b)
        finish(progress)
        task = take(progress)
    return channels


@compiled
def gather(progress, x, winners, y, kernel, stride, padding, dilation):
    """The pixel of x at each winner, y (C, OH, OW, N). A task: a channel."""
    channels, rows, columns, n = y.shape
    task = take(progress)
    while task < channels:
        for p in range(rows):
            for q in range(columns):
                for b in range(n):
                    i, j = divmod(winners[task, p, q, b], kernel[1])
                    row = p * stride[0] + i * dilation[0] - padding[0]
                    column = q * stride[1] + j * dilation[1] - padding[1]
                    y[task, p, q, b] = x[task, row, column, b]
        finish(progress)
        task = take(progress)
    return channels


@compiled
def avgpool(progress, x, y, kernel, stride, padding, dilation):
    """Each window's mean y (C, OH, OW, N), zeros beyond the border counted. A task: a row of windows."""
    channels, rows, columns, n = y.shape
    share = x.dtype.type(1 / (kernel[0] * kernel[1]))
    down, across = taps_of_windows(x.shape[1:3], (rows, columns), kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        mean = y[c, p]
        mean[:] = 0
        for i in range(down[p, 0], down[p, 1]):
            pixels = x[c, p * stride[0] + i * dilation[0] - padding[0]]
            for q in range(columns):
                for j in range(across[q, 0], across[q, 1]):
                    column = q * stride[1] + j * dilation[1] - padding[1]
                    for b in range(n):
                        mean[q, b] += pixels[column, b]
        mean *= share
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def spread(progress, g, x, kernel, stride, padding, dilation):
    """x (C, H, W, N): each g shared equally by its window. A task: a channel."""
    channels, rows, columns, n = g.shape
    share = g.dtype.type(1 / (kernel[0] * kernel[1]))
    down, across = taps_of_windows(x.shape[1:3], (rows, columns), kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels:
        x[task] = 0
        for p in range(rows):
            gradient = g[task, p]
            for i in range(down[p, 0], down[p, 1]):
                pixels = x[task, p * stride[0] + i * dilation[0] - padding[0]]
                for q in range(columns):
                    for j in range(across[q, 0], across[q, 1]):
                        column = q * stride[1] + j * dilation[1] - padding[1]
                        for b in range(n):
                            pixels[column, b] += gradient[q, b] * share
        finish(progress)
        task = take(progress)
    return channels
