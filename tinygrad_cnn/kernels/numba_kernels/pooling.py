# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: window by window, a vector of images at a time.

One image alone would leave vectors empty: under the usual overlay of 2 x 2 they then go along a row of windows.
"""

import numpy as np

from .builder import VECTOR_BYTES
from .compiling import compiled
from .pool_tiles import Pooled, Taps, max_tile, scatter_tile
from .workers import tasks

_max, _max_2x2, _max_row = max_tile(), max_tile((2, 2)), max_tile((2, 2), along_row=True)
_add, _scatter_2x2, _scatter_row = scatter_tile(add=True), scatter_tile((2, 2)), scatter_tile((2, 2), along_row=True)
_WHOLE_2X2 = (0, 2, 0, 2)  # all taps of an overlay of 2 x 2


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
def taps_of_windows(image, places, params):
    """`taps_on` for rows and columns."""
    kernel, stride, padding, dilation = params
    return (
        taps_on(places[0], image[0], kernel[0], stride[0], padding[0], dilation[0]),
        taps_on(places[1], image[1], kernel[1], stride[1], padding[1], dilation[1]),
    )


@compiled
def maxpool(progress, x, y, winners, params):
    """Each window's maximum y, (C, OH, OW, N), and its winning tap if ``winners`` is not empty. A task: a row."""
    channels, rows, columns, n = y.shape
    _, height, width, _ = x.shape
    kernel, stride, padding, dilation = params
    down, across = taps_of_windows((height, width), (rows, columns), params)
    steps = (dilation[0] * width * n, dilation[1] * n, stride[1] * n)
    flat_x, flat_y, flat_winners = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
    whole, lanes = kernel == (2, 2) and padding == (0, 0), VECTOR_BYTES // x.itemsize
    for task in tasks(progress.ctypes.data, channels * rows):
        c, p = task // rows, task % rows
        at, to = ((c * height + p * stride[0] - padding[0]) * width - padding[1]) * n, task * columns * n
        if whole and n == 1:
            for q in range(0, columns, lanes):
                taps = Taps(flat_x, at + q * steps[2], steps, _WHOLE_2X2, 2)
                _max_row(taps, Pooled(flat_y, flat_winners, to + q), columns - q)
        elif whole:
            for q in range(columns):
                for b in range(0, n, lanes):
                    taps = Taps(flat_x, at + q * steps[2] + b, steps, _WHOLE_2X2, 2)
                    _max_2x2(taps, Pooled(flat_y, flat_winners, to + q * n + b), n - b)
        else:
            for q in range(columns):
                ends = (down[p, 0], down[p, 1], across[q, 0], across[q, 1])
                for b in range(0, n, lanes):
                    part = Taps(flat_x, at + q * steps[2] + b, steps, ends, kernel[1])
                    _max(part, Pooled(flat_y, flat_winners, to + q * n + b), n - b)
    return channels * rows


@compiled
def scatter(progress, g, winners, x, params, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel.

    ``tiles``: no two windows share a pixel; ``covered``: every pixel lies in a window.
    """
    channels, rows, columns, n = g.shape
    _, height, width, _ = x.shape
    kernel, stride, padding, dilation = params
    down, across = taps_of_windows((height, width), (rows, columns), params)
    steps = (dilation[0] * width * n, dilation[1] * n, stride[1] * n)
    flat_x, flat_g, flat_winners = x.reshape(x.size), g.reshape(g.size), winners.reshape(winners.size)
    whole, lanes = tiles and kernel == (2, 2) and padding == (0, 0), VECTOR_BYTES // x.itemsize
    for task in tasks(progress.ctypes.data, channels):
        if not (covered and whole):
            x[task] = 0
        for p in range(rows):
            at = ((task * height + p * stride[0] - padding[0]) * width - padding[1]) * n
            source = (task * rows + p) * columns * n
            if whole and n == 1:
                for q in range(0, columns, lanes):
                    taps = Taps(flat_x, at + q * steps[2], steps, _WHOLE_2X2, 2)
                    _scatter_row(taps, Pooled(flat_g, flat_winners, source + q), columns - q)
            elif whole:
                for q in range(columns):
                    for b in range(0, n, lanes):
                        taps = Taps(flat_x, at + q * steps[2] + b, steps, _WHOLE_2X2, 2)
                        _scatter_2x2(taps, Pooled(flat_g, flat_winners, source + q * n + b), n - b)
            else:
                for q in range(columns):
                    ends = (down[p, 0], down[p, 1], across[q, 0], across[q, 1])
                    for b in range(0, n, lanes):
                        part = Taps(flat_x, at + q * steps[2] + b, steps, ends, kernel[1])
                        _add(part, Pooled(flat_g, flat_winners, source + q * n + b), n - b)
    return channels


@compiled
def gather(progress, x, winners, y, params):
    """The pixel of x at each winner, y (C, OH, OW, N). A task: a channel."""
    channels, rows, columns, n = y.shape
    kernel, stride, padding, dilation = params
    for task in tasks(progress.ctypes.data, channels):
        for p in range(rows):
            for q in range(columns):
                for b in range(n):
                    i, j = divmod(winners[task, p, q, b], kernel[1])
                    row = p * stride[0] + i * dilation[0] - padding[0]
                    column = q * stride[1] + j * dilation[1] - padding[1]
                    y[task, p, q, b] = x[task, row, column, b]
    return channels


@compiled
def avgpool(progress, x, y, params):
    """Each window's mean y (C, OH, OW, N), zeros beyond the border included. A task: a row of windows."""
    channels, rows, columns, n = y.shape
    kernel, stride, padding, dilation = params
    weight = x.dtype.type(1 / (kernel[0] * kernel[1]))
    down, across = taps_of_windows(x.shape[1:3], (rows, columns), params)
    for task in tasks(progress.ctypes.data, channels * rows):
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
        mean *= weight
    return channels * rows


@compiled
def avgpool_backward(progress, g, x, params):
    """x (C, H, W, N): each g divided equally among its window's pixels. A task: a channel."""
    channels, rows, columns, n = g.shape
    kernel, stride, padding, dilation = params
    weight = g.dtype.type(1 / (kernel[0] * kernel[1]))
    down, across = taps_of_windows(x.shape[1:3], (rows, columns), params)
    for task in tasks(progress.ctypes.data, channels):
        x[task] = 0
        for p in range(rows):
            gradient = g[task, p]
            for i in range(down[p, 0], down[p, 1]):
                pixels = x[task, p * stride[0] + i * dilation[0] - padding[0]]
                for q in range(columns):
                    for j in range(across[q, 0], across[q, 1]):
                        column = q * stride[1] + j * dilation[1] - padding[1]
                        for b in range(n):
                            pixels[column, b] += gradient[q, b] * weight
    return channels
