# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Pooling over images that lie batch innermost: for each tap of a window, one pass over the batch."""

from .compiling import compiled
from .team import finish, take


@compiled
def inside(place, stride, tap, dilation, padding, size):
    """The pixel under a tap along one axis, or -1 on the border."""
    pixel = place * stride + tap * dilation - padding
    return pixel if pixel < size else -1


@compiled
def maxpool(progress, x, y, winners, kernel, stride, padding, dilation):
    """Each window's maximum y and its winning tap, (C, OH, OW, N). A task: a row of windows."""
    _, height, width, n = x.shape
    channels, rows, columns, _ = y.shape
    kh, kw = kernel
    task = take(progress)
    while task < channels * rows:
        c, p = task // rows, task % rows
        for q in range(columns):
            best, winner = y[c, p, q], winners[c, p, q]
            first = True
            for i in range(kh):
                row = inside(p, stride[0], i, dilation[0], padding[0], height)
                for j in range(kw):
                    column = inside(q, stride[1], j, dilation[1], padding[1], width)
                    if row < 0 or column < 0:
                        continue
                    pixels = x[c, row, column]
                    k = i * kw + j
                    if first:
                        for b in range(n):
                            best[b] = pixels[b]
                            winner[b] = k
                        first = False
                    else:
                        for b in range(n):
                            # A NaN is not <=, so it wins; nothing wins against a NaN.
                            wins = not (pixels[b] <= best[b]) and best[b] == best[b]
                            best[b] = pixels[b] if wins else best[b]
                            winner[b] = k if wins else winner[b]
        finish(progress)
        task = take(progress)
    return channels * rows


@compiled
def scatter(progress, g, winners, x, kernel, stride, padding, dilation, tiles, covered):
    """x (C, H, W, N): each g added at its window's winner. A task: a channel."""
    channels, height, width, n = x.shape
    _, rows, columns, _ = g.shape
    kh, kw = kernel
    task = take(progress)
    while task < channels:
        if not covered:
            x[task] = 0
        for p in range(rows):
            for q in range(columns):
                gradient, winner = g[task, p, q], winners[task, p, q]
                for i in range(kh):
                    row = inside(p, stride[0], i, dilation[0], padding[0], height)
                    for j in range(kw):
                        column = inside(q, stride[1], j, dilation[1], padding[1], width)
                        if row < 0 or column < 0:
                            continue
                        pixels, k = x[task, row, column], i * kw + j
                        if tiles:
                            for b in range(n):
                                pixels[b] = gradient[b] if winner[b] == k else 0
                        else:
                            for b in range(n):
                                pixels[b] += gradient[b] if winner[b] == k else 0
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
