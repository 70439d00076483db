# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: for each tap of a window, one pass over the batch."""

import numpy as np

from .compiling import compiled
from .team import finish, take

_FEW = 8  # images, which do not fill a vector: then the places of a row do


@compiled
def inside(place, stride, tap, dilation, padding, size):
    """The pixel under a tap along one axis, or -1 on the border."""
    pixel = place * stride + tap * dilation - padding
    return pixel if pixel < size else -1


@compiled
def places_inside(places, taps, stride, dilation, padding, size):
    """For each tap along one axis: the first place that has it on the image, one after the last, the first pixel."""
    spans = np.empty((taps, 3), np.intp)
    for tap in range(taps):
        offset = tap * dilation - padding
        begin = max(0, -(offset // stride))
        spans[tap, 0], spans[tap, 2] = begin, begin * stride + offset
        spans[tap, 1] = max(begin, min(places, (size - 1 - offset) // stride + 1))
    return spans


@compiled
def maxpool(progress, x, y, winners, kernel, stride, padding, dilation):
    """Each window's maximum y, (C, OH, OW, N), and if there is room its winning tap. A task: a row of windows."""
    channels, rows, columns, n = y.shape
    spans = places_inside(columns, kernel[1], stride[1], dilation[1], padding[1], x.shape[2])
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        for b in range(n if n < _FEW else 0):
            if winners.size:
                winners_of_one(winners[c, p, :, b], y[c, p, :, b], x[c, :, :, b], p, spans,
                               kernel, stride, padding, dilation)  # fmt: skip
            else:
                row_of_one(y[c, p, :, b], x[c, :, :, b], p, spans, kernel, stride, padding, dilation)
        if n >= _FEW and winners.size:
            winners_of_many(winners[c, p], y[c, p], x[c], p, spans, kernel, stride, padding, dilation)
        elif n >= _FEW:
            row_of_many(y[c, p], x[c], p, spans, kernel, stride, padding, dilation)
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def row_of_many(best, x, p, spans, kernel, stride, padding, dilation):
    """One row of maxima (OW, N) over images (H, W, N): the whole batch for each place of each tap. A NaN stays."""
    best[:] = -np.inf
    n = x.shape[2]
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], len(x))
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                at = column + (q - begin) * stride[1]
                for b in range(n):
                    pixel = pixels[at, b]
                    best[q, b] = pixel if (pixel > best[q, b]) | (pixel != pixel) else best[q, b]


@compiled
def row_of_one(best, x, p, spans, kernel, stride, padding, dilation):
    """One row of maxima (OW,) over one image (H, W): all places for each tap."""
    best[:] = -np.inf
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], len(x))
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                pixel = pixels[column + (q - begin) * stride[1]]
                best[q] = pixel if (pixel > best[q]) | (pixel != pixel) else best[q]


@compiled
def winners_of_many(winners, best, x, p, spans, kernel, stride, padding, dilation):
    """`row_of_many`, and which tap it was; -1 is none yet. Nothing wins against a NaN; the first among equals stays."""
    n, none = x.shape[2], winners.dtype.type(-1)
    winners[:] = none
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], len(x))
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            k = i * kernel[1] + j
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                at = column + (q - begin) * stride[1]
                for b in range(n):
                    pixel, most, by = pixels[at, b], best[q, b], winners[q, b]
                    higher = (not (pixel <= most) and most == most) | (by == none)
                    best[q, b], winners[q, b] = pixel if higher else most, k if higher else by


@compiled
def winners_of_one(winners, best, x, p, spans, kernel, stride, padding, dilation):
    """The same for one image."""
    none = winners.dtype.type(-1)
    winners[:] = none
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], len(x))
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            k = i * kernel[1] + j
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                pixel, most, by = pixels[column + (q - begin) * stride[1]], best[q], winners[q]
                higher = (not (pixel <= most) and most == most) | (by == none)
                best[q], winners[q] = pixel if higher else most, k if higher else by


@compiled
def scatter(progress, g, winners, x, kernel, stride, padding, dilation, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel."""
    channels, rows, columns, n = g.shape
    spans = places_inside(columns, kernel[1], stride[1], dilation[1], padding[1], x.shape[2])
    task = take(progress)
    while task < channels:
        if not covered:
            x[task] = 0
        for p in range(rows):
            if n < _FEW:
                for b in range(n):
                    send_of_one(g[task, p, :, b], winners[task, p, :, b], x[task, :, :, b], p, spans,
                                kernel, stride, padding, dilation, tiles)  # fmt: skip
            else:
                send_of_many(g[task, p], winners[task, p], x[task], p, spans, kernel, stride, padding, dilation, tiles)
        finish(progress)
        task = take(progress)
    return channels


@compiled
def send_of_many(g, winners, x, p, spans, kernel, stride, padding, dilation, tiles):
    """The gradients of one row of windows (OW, N) into images (H, W, N)."""
    height, n, zero = x.shape[0], x.shape[2], g.dtype.type(0)
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], height)
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            k = i * kernel[1] + j
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                at = column + (q - begin) * stride[1]
                if tiles:
                    for b in range(n):
                        pixels[at, b] = g[q, b] if winners[q, b] == k else zero
                else:
                    for b in range(n):
                        pixels[at, b] += g[q, b] if winners[q, b] == k else zero


@compiled
def send_of_one(g, winners, x, p, spans, kernel, stride, padding, dilation, tiles):
    """The gradients of one row of windows (OW,) into one image (H, W)."""
    height, zero = x.shape[0], g.dtype.type(0)
    for i in range(kernel[0]):
        row = inside(p, stride[0], i, dilation[0], padding[0], height)
        if row < 0:
            continue
        pixels = x[row]
        for j in range(kernel[1]):
            k = i * kernel[1] + j
            begin, end, column = spans[j, 0], spans[j, 1], spans[j, 2]
            for q in range(begin, end):
                passed = g[q] if winners[q] == k else zero
                at = column + (q - begin) * stride[1]
                pixels[at] = passed if tiles else pixels[at] + passed


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
    _, height, width, n = x.shape
    channels, rows, columns, _ = y.shape
    share = x.dtype.type(1 / (kernel[0] * kernel[1]))
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        for q in range(columns):
            mean = y[c, p, q]
            mean[:] = 0
            for i in range(kernel[0]):
                row = inside(p, stride[0], i, dilation[0], padding[0], height)
                for j in range(kernel[1]):
                    column = inside(q, stride[1], j, dilation[1], padding[1], width)
                    if row >= 0 and column >= 0:
                        pixels = x[c, row, column]
                        for b in range(n):
                            mean[b] += pixels[b]
            for b in range(n):
                mean[b] *= share
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def spread(progress, g, x, kernel, stride, padding, dilation):
    """x (C, H, W, N): each g shared equally by its window. A task: a channel."""
    channels, height, width, n = x.shape
    _, rows, columns, _ = g.shape
    share = g.dtype.type(1 / (kernel[0] * kernel[1]))
    task = take(progress)
    while task < channels:
        x[task] = 0
        for p in range(rows):
            for q in range(columns):
                gradient = g[task, p, q]
                for i in range(kernel[0]):
                    row = inside(p, stride[0], i, dilation[0], padding[0], height)
                    for j in range(kernel[1]):
                        column = inside(q, stride[1], j, dilation[1], padding[1], width)
                        if row >= 0 and column >= 0:
                            pixels = x[task, row, column]
                            for b in range(n):
                                pixels[b] += gradient[b] * share
        finish(progress)
        task = take(progress)
    return channels
