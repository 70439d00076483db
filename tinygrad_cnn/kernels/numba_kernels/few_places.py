# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, call-arg"
"""The three convolution kernels for few places: where lines do not fill vectors, or there are hardly any.

Each tap's lines are joined: its pixels at all ``places`` (rows times length), in a row. What is left is one product of
matrices, small enough for one thread. In `convolution`, for more places, nothing is copied.
"""

import numpy as np

from .compiling import compiled
from .convolution import add_products, image_size, steps, tap_offsets
from .registers import add, copy


@compiled
def correlate(x, layout, w, bias, y, groups, row_step, dilation):
    """Feature maps y (F, OH, OW N): filters times pixels."""
    filters, rows, length = y.shape
    _, channels, kh, kw = w.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1])
    flat_w, flat_y = w.reshape(w.size), y.reshape(y.size)
    pixels, lines, maps = np.empty(depth * places, x.dtype), steps(depth, places), steps(filters, places)
    for group in range(groups):
        join(x, group * image_size(layout, groups), row_step, taps, rows, length, pixels)
        first = group * members
        add_products(
            flat_y,
            0,
            maps,
            first,
            first + members,
            bias,
            first,
            flat_w,
            first * depth,
            depth,
            1,
            pixels,
            0,
            lines,
            depth,
            places,
        )


@compiled
def correlate_weight(x, layout, g, dw, groups, row_step, dilation):
    """Filters' gradient dw (F, C / groups, KH, KW): pixels times the maps' gradients, turned to (places, F)."""
    filters, rows, length = g.shape
    _, channels, kh, kw = dw.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1])
    pixels, turned = np.empty(depth * places, x.dtype), np.empty((places, members), g.dtype)
    products, zeros = np.empty((depth, members), x.dtype), np.zeros(depth, x.dtype)
    taps_at, places_at = steps(depth, members), steps(places, members)
    for group in range(groups):
        join(x, group * image_size(layout, groups), row_step, taps, rows, length, pixels)
        own = slice(group * members, (group + 1) * members)
        turned[:] = g[own].reshape(members, places).T
        add_products(
            products.reshape(products.size),
            0,
            taps_at,
            0,
            depth,
            zeros,
            0,
            pixels,
            0,
            places,
            1,
            turned.reshape(turned.size),
            0,
            places_at,
            places,
            members,
        )
        dw[own].reshape(members, depth)[:] = products.T


@compiled
def convolve_full(g, w, x, layout, groups, row_step, dilation):
    """Images' gradient, the flat image x: filters, turned, times g, and each tap's lines added where they came from."""
    filters, rows, length = g.shape
    _, channels, kh, kw = w.shape
    members, depth, places = filters // groups, channels * kh * kw, rows * length
    taps = tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1])
    flat_g, flat_w = g.reshape(g.size), w.reshape(w.size)
    products, zeros = np.empty(depth * places, x.dtype), np.zeros(depth, x.dtype)
    lines, maps = steps(depth, places), steps(members, places)
    x[:] = 0
    for group in range(groups):
        add_products(
            products,
            0,
            lines,
            0,
            depth,
            zeros,
            0,
            flat_w,
            group * members * depth,
            1,
            depth,
            flat_g,
            group * members * places,
            maps,
            members,
            places,
        )
        image = group * image_size(layout, groups)
        for j in range(kw):  # not tap after tap: a line that was just written, moved by one, is slow to read
            for k in range(j, depth, kw):
                for row in range(rows):
                    add(x, image + taps[k] + row * row_step, products, (k * rows + row) * length, length)


@compiled
def join(x, image, row_step, taps, rows, length, pixels):
    """Each tap's pixels at all places: its lines, ``row_step`` apart, one after the other."""
    for k in range(len(taps)):
        for row in range(rows):
            copy(pixels, (k * rows + row) * length, x, image + taps[k] + row * row_step, length)
