# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, call-arg"
"""The three convolution kernels for few output pixels, where rows do not fill vectors.

The lines of each tap, its pixels for each row of windows, are joined into one. What is left is one product of matrices,
small enough for one thread. In `convolution`, for more pixels, nothing is copied. On a LeNet-sized network these
kernels take a fifth off the step of one image.
"""

import numpy as np

from .compiling import compiled
from .conv_tiles import Matrix, Rows, Start, add, copy
from .convolution import add_products, group_size, steps, tap_offsets


@compiled
def correlate(x, w, bias, y, geometry):
    """Feature maps y (F, OH, OW N): filters times pixels."""
    _, groups, row_step, _ = geometry
    filters, rows, length = y.shape
    _, channels, kh, kw = w.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, geometry)
    pixels, lines, maps = np.empty(depth * places, x.dtype), steps(depth, places), steps(filters, places)
    out, joined = Rows(y.reshape(y.size), 0, maps), Rows(pixels, 0, lines)
    for group in range(groups):
        join(x, group * group_size(geometry), row_step, taps, rows, length, pixels)
        first = group * members
        weights = Matrix(w.reshape(w.size), first * depth, depth, 1)
        add_products(out, first, first + members, Start(bias, first), weights, joined, depth, places)


@compiled
def correlate_weight(x, g, dw, geometry):
    """Filters' gradient dw (F, C / groups, KH, KW): pixels times the maps' gradients, transposed to (pixels, F)."""
    _, groups, row_step, _ = geometry
    filters, rows, length = g.shape
    _, channels, kh, kw = dw.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, geometry)
    pixels, transposed = np.empty(depth * places, x.dtype), np.empty((places, members), g.dtype)
    products, zeros = np.empty((depth, members), x.dtype), np.zeros(depth, x.dtype)
    out = Rows(products.reshape(products.size), 0, steps(depth, members))
    maps = Rows(transposed.reshape(transposed.size), 0, steps(places, members))
    for group in range(groups):
        join(x, group * group_size(geometry), row_step, taps, rows, length, pixels)
        own = slice(group * members, (group + 1) * members)
        transposed[:] = g[own].reshape(members, places).T
        add_products(out, 0, depth, Start(zeros, 0), Matrix(pixels, 0, places, 1), maps, places, members)
        dw[own].reshape(members, depth)[:] = products.T


@compiled
def convolve_full(g, w, x, geometry):
    """Images' gradient, the flat image x: filters, transposed, times g, and each tap's lines added to its pixels."""
    _, groups, row_step, _ = geometry
    filters, rows, length = g.shape
    _, channels, kh, kw = w.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, geometry)
    flat_g, flat_w = g.reshape(g.size), w.reshape(w.size)
    products, zeros = np.empty(depth * places, x.dtype), np.zeros(depth, x.dtype)
    out, maps = Rows(products, 0, steps(depth, places)), steps(members, places)
    x[:] = 0
    for group in range(groups):
        weights = Matrix(flat_w, group * members * depth, 1, depth)
        gradients = Rows(flat_g, group * members * places, maps)
        add_products(out, 0, depth, Start(zeros, 0), weights, gradients, members, places)
        image = group * group_size(geometry)
        for j in range(kw):  # not tap after tap: a line that was just written, moved by one, is slow to read
            for k in range(j, depth, kw):
                for row in range(rows):
                    at = image + taps[k] + row * row_step
                    add(x, at, products, (k * rows + row) * length, length)


@compiled
def join(x, image, row_step, taps, rows, length, pixels):
    """Copy each tap's lines, ``row_step`` apart, one after the other into ``pixels``."""
    for k in range(len(taps)):
        for row in range(rows):
            copy(pixels, (k * rows + row) * length, x, image + taps[k] + row * row_step, length)
