# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: window by window, a vector of images at a time.

One image alone would leave vectors empty: under the usual overlay of 2 x 2 they then go along a row of windows.
"""

import numpy as np

from .compiling import compiled
from .emitter import VECTOR_BYTES
from .team import finish, take
from .windows import send_tile, win_tile

_win, _win_2x2, _win_row = win_tile(), win_tile((2, 2)), win_tile((2, 2), along_row=True)
_add, _send_2x2, _send_row = send_tile(add=True), send_tile((2, 2)), send_tile((2, 2), along_row=True)
_ALL = (0, 2, 0, 2)  # taps of an overlay of 2 x 2


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
    steps = (dilation[0] * width * n, dilation[1] * n, stride[1] * n)
    flat_x, flat_y, flat_winners = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
    whole, lanes = kernel == (2, 2) and padding == (0, 0), VECTOR_BYTES // x.itemsize
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        at, target = ((c * height + p * stride[0] - padding[0]) * width - padding[1]) * n, task * columns * n
        if whole and n == 1:
            for q in range(0, columns, lanes):
                _win_row(flat_x, at + q * steps[2], steps, _ALL, 2, flat_y, flat_winners, target + q, columns - q)
        elif whole:
            for q in range(columns):
                for b in range(0, n, lanes):
                    _win_2x2(
                        flat_x, at + q * steps[2] + b, steps, _ALL, 2, flat_y, flat_winners, target + q * n + b, n - b
                    )
        else:
            for q in range(columns):
                taps = (down[p, 0], down[p, 1], across[q, 0], across[q, 1])
                for b in range(0, n, lanes):
                    _win(
                        flat_x,
                        at + q * steps[2] + b,
                        steps,
                        taps,
                        kernel[1],
                        flat_y,
                        flat_winners,
                        target + q * n + b,
                        n - b,
                    )
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def scatter(progress, g, winners, x, kernel, stride, padding, dilation, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel.

    ``tiles``: no two windows share a pixel; ``covered``: nor is there one without.
    """
    channels, rows, columns, n = g.shape
    _, height, width, _ = x.shape
    down, across = taps_of_windows((height, width), (rows, columns), kernel, stride, padding, dilation)
    steps = (dilation[0] * width * n, dilation[1] * n, stride[1] * n)
    flat_x, flat_g, flat_winners = x.reshape(x.size), g.reshape(g.size), winners.reshape(winners.size)
    whole, lanes = tiles and kernel == (2, 2) and padding == (0, 0), VECTOR_BYTES // x.itemsize
    task = take(progress)
    while task < channels:
        if not (covered and whole):
            x[task] = 0
        for p in range(rows):
            at = ((task * height + p * stride[0] - padding[0]) * width - padding[1]) * n
            source = (task * rows + p) * columns * n
            if whole and n == 1:
                for q in range(0, columns, lanes):
                    _send_row(flat_x, at + q * steps[2], steps, _ALL, 2, flat_g, flat_winners, source + q, columns - q)
            elif whole:
                for q in range(columns):
                    for b in range(0, n, lanes):
                        _send_2x2(
                            flat_x,
                            at + q * steps[2] + b,
                            steps,
                            _ALL,
                            2,
                            flat_g,
                            flat_winners,
                            source + q * n + b,
                            n - b,
                        )
            else:
                for q in range(columns):
                    taps = (down[p, 0], down[p, 1], across[q, 0], across[q, 1])
                    for b in range(0, n, lanes):
                        _add(
                            flat_x,
                            at + q * steps[2] + b,
                            steps,
                            taps,
                            kernel[1],
                            flat_g,
                            flat_winners,
                            source + q * n + b,
                            n - b,
                        )
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
