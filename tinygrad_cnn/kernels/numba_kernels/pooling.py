# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: for each tap of a row of windows, one pass over its places.

A pass goes over the whole batch at each place, since that lies together in memory; with a few images, over all places
of one image after the other.
"""

import numpy as np

from .compiling import compiled
from .team import finish, take

_FEW = 8  # images, which do not fill a vector
K, ROW, BEGIN, END, COLUMN = range(5)  # what a table of taps says of each


@compiled
def new_taps(columns, width, kernel, stride, padding, dilation):
    """A table for the taps of a row of windows, with what is the same for all rows.

    That is the first place that has the tap on the image, the place after the last one, and the column that the tap
    would have at place 0; `taps_of_row` adds the rest.
    """
    spans = np.empty((kernel[1], 3), np.intp)
    for j in range(kernel[1]):
        column = j * dilation[1] - padding[1]
        spans[j, 0] = -(column // stride[1]) if column < 0 else 0
        spans[j, 1] = min(columns, (width - 1 - column) // stride[1] + 1) if column < width else 0
        spans[j, 2] = column
    return spans, np.empty((kernel[0] * kernel[1], 5), np.intp)


@compiled
def taps_of_row(table, p, height, kernel, stride, padding, dilation):
    """The taps of row p of windows that meet the image, each with its number, its row of the image, and its places."""
    spans, taps = table
    count = 0
    for i in range(kernel[0]):
        row = p * stride[0] + i * dilation[0] - padding[0]
        for j in range(kernel[1] if 0 <= row < height else 0):
            taps[count, K], taps[count, ROW] = i * kernel[1] + j, row
            taps[count, BEGIN], taps[count, END], taps[count, COLUMN] = spans[j, 0], spans[j, 1], spans[j, 2]
            count += 1
    return taps[:count]


@compiled
def maxpool(progress, x, y, winners, kernel, stride, padding, dilation):
    """Each window's maximum y, (C, OH, OW, N), and if there is room its winning tap. A task: a row of windows."""
    channels, rows, columns, n = y.shape
    table = new_taps(columns, x.shape[2], kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        taps = taps_of_row(table, p, x.shape[1], kernel, stride, padding, dilation)
        y[c, p] = -np.inf
        if winners.size:
            winners[c, p] = -1  # none yet
        if winners.size and n >= _FEW:
            win(y[c, p], winners[c, p], x[c], taps, stride[1])
        elif n >= _FEW:
            rise(y[c, p], x[c], taps, stride[1])
        else:
            for b in range(n):
                if winners.size:
                    win_of_one(y[c, p, :, b], winners[c, p, :, b], x[c, :, :, b], taps, stride[1])
                else:
                    rise_of_one(y[c, p, :, b], x[c, :, :, b], taps, stride[1])
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def rise(best, x, taps, step):
    """The larger of the best so far (OW, N) and each tap's pixels. A NaN, which is not equal to itself, stays."""
    for t in range(len(taps)):
        pixels, column = x[taps[t, ROW]], taps[t, COLUMN]
        for q in range(taps[t, BEGIN], taps[t, END]):
            for b in range(best.shape[1]):
                pixel, most = pixels[column + q * step, b], best[q, b]
                best[q, b] = pixel if (pixel > most) | (pixel != pixel) else most


@compiled
def rise_of_one(best, x, taps, step):
    """`rise` in one image."""
    for t in range(len(taps)):
        pixels, column = x[taps[t, ROW]], taps[t, COLUMN]
        for q in range(taps[t, BEGIN], taps[t, END]):
            pixel, most = pixels[column + q * step], best[q]
            best[q] = pixel if (pixel > most) | (pixel != pixel) else most


@compiled
def win(best, winners, x, taps, step):
    """`rise`, and which tap it was; -1 is none yet.

    A NaN is not <=, so it wins; nothing wins against a NaN; the first among equals stays.
    """
    none = winners.dtype.type(-1)
    for t in range(len(taps)):
        pixels, column, k = x[taps[t, ROW]], taps[t, COLUMN], taps[t, K]
        for q in range(taps[t, BEGIN], taps[t, END]):
            for b in range(best.shape[1]):
                pixel, most, by = pixels[column + q * step, b], best[q, b], winners[q, b]
                higher = (not (pixel <= most) and most == most) | (by == none)
                best[q, b], winners[q, b] = pixel if higher else most, k if higher else by


@compiled
def win_of_one(best, winners, x, taps, step):
    """`win` in one image."""
    none = winners.dtype.type(-1)
    for t in range(len(taps)):
        pixels, column, k = x[taps[t, ROW]], taps[t, COLUMN], taps[t, K]
        for q in range(taps[t, BEGIN], taps[t, END]):
            pixel, most, by = pixels[column + q * step], best[q], winners[q]
            higher = (not (pixel <= most) and most == most) | (by == none)
            best[q], winners[q] = pixel if higher else most, k if higher else by


@compiled
def scatter(progress, g, winners, x, kernel, stride, padding, dilation, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel."""
    channels, rows, columns, n = g.shape
    table = new_taps(columns, x.shape[2], kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels:
        if not covered:
            x[task] = 0
        for p in range(rows):
            taps = taps_of_row(table, p, x.shape[1], kernel, stride, padding, dilation)
            if n >= _FEW:
                send(g[task, p], winners[task, p], x[task], taps, stride[1], tiles)
            else:
                for b in range(n):
                    send_of_one(g[task, p, :, b], winners[task, p, :, b], x[task, :, :, b], taps, stride[1],
                                tiles)  # fmt: skip
        finish(progress)
        task = take(progress)
    return channels


@compiled
def send(g, winners, x, taps, step, alone):
    """Each gradient (OW, N) to the tap that won; where overlays overlap, it is added."""
    zero = g.dtype.type(0)
    for t in range(len(taps)):
        pixels, column, k = x[taps[t, ROW]], taps[t, COLUMN], taps[t, K]
        for q in range(taps[t, BEGIN], taps[t, END]):
            at = column + q * step
            if alone:
                for b in range(g.shape[1]):
                    pixels[at, b] = g[q, b] if winners[q, b] == k else zero
            else:
                for b in range(g.shape[1]):
                    pixels[at, b] += g[q, b] if winners[q, b] == k else zero


@compiled
def send_of_one(g, winners, x, taps, step, alone):
    """`send` into one image."""
    zero = g.dtype.type(0)
    for t in range(len(taps)):
        pixels, column, k = x[taps[t, ROW]], taps[t, COLUMN], taps[t, K]
        for q in range(taps[t, BEGIN], taps[t, END]):
            passed, at = g[q] if winners[q] == k else zero, column + q * step
            pixels[at] = passed if alone else pixels[at] + passed


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
    table = new_taps(columns, x.shape[2], kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        mean = y[c, p]
        mean[:] = 0
        taps = taps_of_row(table, p, x.shape[1], kernel, stride, padding, dilation)
        for t in range(len(taps)):
            pixels, column = x[c, taps[t, ROW]], taps[t, COLUMN]
            for q in range(taps[t, BEGIN], taps[t, END]):
                for b in range(n):
                    mean[q, b] += pixels[column + q * stride[1], b]
        for q in range(columns):
            for b in range(n):
                mean[q, b] *= share
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def spread(progress, g, x, kernel, stride, padding, dilation):
    """x (C, H, W, N): each g shared equally by its window. A task: a channel."""
    channels, rows, columns, n = g.shape
    share = g.dtype.type(1 / (kernel[0] * kernel[1]))
    table = new_taps(columns, x.shape[2], kernel, stride, padding, dilation)
    task = take(progress)
    while task < channels:
        x[task] = 0
        for p in range(rows):
            gradient = g[task, p]
            taps = taps_of_row(table, p, x.shape[1], kernel, stride, padding, dilation)
            for t in range(len(taps)):
                pixels, column = x[task, taps[t, ROW]], taps[t, COLUMN]
                for q in range(taps[t, BEGIN], taps[t, END]):
                    for b in range(n):
                        pixels[column + q * stride[1], b] += gradient[q, b] * share
        finish(progress)
        task = take(progress)
    return channels
