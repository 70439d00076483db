# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, call-arg"
"""The three convolution kernels over flat arrays, which use one table of offsets in three directions.

An image lies batch innermost, so a row of output pixels (columns times batch) is one long run of numbers, and tap
(c, i, j) of every window of the row is the same run moved by ``offset[c, i, j]``:

    y[f, t]            += w[f, k]  x[t + offset[k]]        read through the table: the feature maps
    x'[t + offset[k]]  += w[f, k]  g[f, t]                 write through it: the gradient for the previous layer
    w'[f, k]           += g[f, t]  x[t + offset[k]]        sum over t: the weight gradient

No window is ever copied. Every output element is summed by one thread in one order, whatever the number of threads.
"""

import numpy as np

from .compiling import compiled
from .conv_tiles import (
    DOT_COLUMNS,
    DOT_ROWS,
    MAX_ROWS,
    NARROW_BYTES,
    WIDE_BYTES,
    Lines,
    Matrix,
    Rows,
    Start,
    copy,
    dot_tile,
    product_tile,
)
from .workers import tasks

_wide, _narrow = product_tile(WIDE_BYTES), product_tile(NARROW_BYTES)
_rest = product_tile(NARROW_BYTES, partial=True)
_dots = dot_tile(DOT_ROWS, DOT_COLUMNS)
_TAPS_BYTES = 1 << 18  # all taps of the pixels that are worked on at a time: they fit in the second cache
_PANEL_BYTES = 20 << 10  # all maps' gradients for the pixels that are worked on at a time: they fit in the first cache
_MAPS_BYTES = 3 << 22  # maps' gradients that stay in the third cache from one reading to the next
_MIN_TASKS = 16  # for several threads to finish at about the same time
_MIN_PART_TAPS = 60  # taps in a part of the channels that make up for copying the panel


# A convolution's place in memory is a plain tuple, which numba dispatches quicker than a named one: ``layout``, the
# image's shape in memory (channels, rows, phases of the column stride, columns of one phase, batch), ``groups``,
# ``row_step``, the numbers from one row of windows to the next, and ``dilation`` (rows, columns).


@compiled
def tap_offsets(channels, kh, kw, geometry):
    """``offset[c, i, j]``, flat: the position of each tap relative to its window."""
    (_, height, phases, columns, n), _, _, (dilation_h, dilation_w) = geometry
    offsets = np.empty(channels * kh * kw, np.intp)
    k = 0
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                row = c * height + i * dilation_h
                column = j * dilation_w
                offsets[k] = ((row * phases + column % phases) * columns + column // phases) * n
                k += 1
    return offsets


@compiled
def group_size(geometry):
    """The numbers in the images of one group."""
    (channels, height, phases, columns, n), groups, _, _ = geometry
    return channels // groups * height * phases * columns * n


@compiled
def steps(count, step):
    """The multiples of ``step`` from 0, ``count`` of them."""
    offsets = np.empty(count, np.intp)
    for i in range(count):
        offsets[i] = i * step
    return offsets


@compiled
def block_rows(rows):
    """The number of rows of the next tile, when so many are left."""
    if rows >= MAX_ROWS:
        return MAX_ROWS
    if rows >= 4:
        return 4
    return 2 if rows >= 2 else 1


@compiled
def add_products(out, first, last, start, w, x, depth, length):
    """``out[r, t] += sum over k < depth of w[r, k] x[k, t]`` for r from ``first`` to ``last`` and t below ``length``.

    ``out`` and ``x`` are `Rows`; ``w`` is a `Matrix` and ``start`` a `Start`, both with row ``first`` as their first.
    """
    wide, narrow = WIDE_BYTES // x.flat.itemsize, NARROW_BYTES // x.flat.itemsize
    w_at, start_at = w.at, start.at
    while first < last:
        rows = block_rows(last - first)
        weights, begin = Matrix(w.flat, w_at, w.row_step, w.column_step), Start(start.flat, start_at)
        t = 0
        while t + wide <= length:
            target, source = Rows(out.flat, out.at + t, out.offsets), Rows(x.flat, x.at + t, x.offsets)
            _wide(rows, target, first, begin, weights, source, depth, wide)
            t += wide
        while t + narrow <= length:
            target, source = Rows(out.flat, out.at + t, out.offsets), Rows(x.flat, x.at + t, x.offsets)
            _narrow(rows, target, first, begin, weights, source, depth, narrow)
            t += narrow
        if t < length:
            target, source = Rows(out.flat, out.at + t, out.offsets), Rows(x.flat, x.at + t, x.offsets)
            _rest(rows, target, first, begin, weights, source, depth, length - t)
        w_at += rows * w.row_step
        first += rows
        start_at += rows if start_at >= 0 else 0


@compiled
def correlate(progress, x, w, bias, y, geometry):
    """Feature maps: y (F, OH, OW N) from the flat image x and w (F, C / groups, KH, KW). A task: part of a row."""
    _, groups, row_step, _ = geometry
    filters, rows, length = y.shape
    _, channels, kh, kw = w.shape
    depth, members = channels * kh * kw, filters // groups
    offsets, maps = tap_offsets(channels, kh, kw, geometry), steps(filters, rows * length)
    flat_w, flat_y = w.reshape(w.size), y.reshape(y.size)
    tiles = min(max(_TAPS_BYTES // (depth * WIDE_BYTES), 2), 8)
    chunk = tiles * WIDE_BYTES // x.itemsize
    chunks = (length + chunk - 1) // chunk
    total = groups * rows * chunks
    for task in tasks(progress.ctypes.data, total):
        # Rows first: the next row reads most of the same taps.
        group, row, begin = task // (rows * chunks), task % rows, task // rows % chunks * chunk
        first, last = group * members, (group + 1) * members
        add_products(
            Rows(flat_y, row * length + begin, maps),
            first,
            last,
            Start(bias, first),
            Matrix(flat_w, first * depth, depth, 1),
            Rows(x, group * group_size(geometry) + row * row_step + begin, offsets),
            depth,
            min(chunk, length - begin),
        )
    return total


@compiled
def channel_parts(channels, taps):
    """The number of parts that the channels are divided into: by the shapes alone, so that the bits are the same."""
    parts = 16
    while parts > 4 and channels * taps < parts * _MIN_PART_TAPS:
        parts //= 2
    return min(parts, channels)


@compiled
def convolve_full(progress, g, w, x, geometry):
    """Images' gradient: the flat image x, from g (F, OH, OW N) and w (F, C / groups, KH, KW). A task: some channels."""
    _, groups, row_step, _ = geometry
    filters, rows, length = g.shape
    _, channels, kh, kw = w.shape
    members, taps = filters // groups, kh * kw
    size, parts = group_size(geometry) // channels, channel_parts(channels, taps)
    offsets = tap_offsets(channels, kh, kw, geometry)
    flat_g, flat_w = g.reshape(g.size), w.reshape(w.size)
    chunk = min(max(_PANEL_BYTES // (members * WIDE_BYTES), 1), 8) * WIDE_BYTES // x.itemsize
    # Maps lie a power of two apart more often than not, and then evict each other from the cache: copy what is in use.
    fits = members * rows * length * g.itemsize <= _PANEL_BYTES
    panel = flat_g if fits else np.empty(members * chunk, g.dtype)
    maps = steps(members, rows * length if fits else chunk)
    for task in tasks(progress.ctypes.data, groups * parts):
        group, part = task // parts, task % parts
        begin, end = channels * part // parts, channels * (part + 1) // parts
        image = group * channels * size
        x[image + begin * size : image + end * size] = 0
        weights = Matrix(flat_w, (group * members * channels + begin) * taps, 1, channels * taps)
        for row in range(rows):
            for t in range(0, length, chunk):
                places, at = min(chunk, length - t), (group * members * rows + row) * length + t
                if not fits:
                    for f in range(members):
                        copy(panel, f * chunk, flat_g, at + f * rows * length, places)
                add_products(
                    Rows(x, image + row * row_step + t, offsets),
                    begin * taps,
                    end * taps,
                    Start(flat_w, -1),
                    weights,
                    Rows(panel, at if fits else 0, maps),
                    members,
                    places,
                )
    return groups * parts


@compiled
def weight_blocks(members, depth, rows, length, itemsize):
    """The parts that maps and taps are divided into, and the lines and the run of each that are worked on at a time.

    Each task reads its maps' gradients anew. Once these no longer stay in the third cache, tasks are few and large:
    some of the maps and many taps, a block of pixels at a time.
    """
    map_blocks, tap_blocks = -(-members // DOT_ROWS), -(-depth // DOT_COLUMNS)
    if members * rows * length * itemsize <= _MAPS_BYTES:
        return 1 if tap_blocks >= _MIN_TASKS else map_blocks, tap_blocks, rows, length
    map_parts = min(map_blocks, 4)
    tap_parts = min(tap_blocks, _MIN_TASKS // map_parts)
    places = max(_MAPS_BYTES // 4 // (-(-members // map_parts) * itemsize), WIDE_BYTES // itemsize)
    if places >= length:
        return map_parts, tap_parts, min(places // length, rows), length
    return map_parts, tap_parts, 1, places // (WIDE_BYTES // itemsize) * (WIDE_BYTES // itemsize)


@compiled
def correlate_weight(progress, x, g, dw, geometry):
    """Filters' gradient dw (F, C / groups, KH, KW): every map's gradient times every tap. A task: a few taps."""
    _, groups, row_step, _ = geometry
    filters, rows, length = g.shape
    _, channels, kh, kw = dw.shape
    members, depth = filters // groups, channels * kh * kw
    # Beyond the last map and the last tap, blocks repeat it and drop the result.
    map_blocks, tap_blocks = -(-members // DOT_ROWS), -(-depth // DOT_COLUMNS)
    maps = padded(steps(members, rows * length), map_blocks * DOT_ROWS)
    taps = padded(tap_offsets(channels, kh, kw, geometry), tap_blocks * DOT_COLUMNS)
    flat_g, flat_dw = g.reshape(g.size), dw.reshape(dw.size)
    map_parts, tap_parts, lines, run = weight_blocks(members, depth, rows, length, x.itemsize)
    dots = np.empty(DOT_ROWS * DOT_COLUMNS, x.dtype)
    total = groups * map_parts * tap_parts
    for task in tasks(progress.ctypes.data, total):
        group, map_part, tap_part = task // (map_parts * tap_parts), task // tap_parts % map_parts, task % tap_parts
        first = map_blocks * map_part // map_parts * DOT_ROWS
        last = min(map_blocks * (map_part + 1) // map_parts * DOT_ROWS, members)
        begin = tap_blocks * tap_part // tap_parts * DOT_COLUMNS
        end = min(tap_blocks * (tap_part + 1) // tap_parts * DOT_COLUMNS, depth)
        for f in range(group * members + first, group * members + last):
            flat_dw[f * depth + begin : f * depth + end] = 0
        for row in range(0, rows, lines):
            for t in range(0, length, run):
                g_at = (group * members * rows + row) * length + t
                x_at = group * group_size(geometry) + row * row_step + t
                for k in range(begin, end, DOT_COLUMNS):
                    for f in range(first, last, DOT_ROWS):
                        gradients = Lines(flat_g, g_at, length, maps, f)
                        pixels = Lines(x, x_at, row_step, taps, k)
                        _dots(dots, gradients, pixels, min(lines, rows - row), min(run, length - t))
                        target = Matrix(flat_dw, (group * members + f) * depth + k, depth, 1)
                        add_dots(target, dots, min(DOT_ROWS, last - f), min(DOT_COLUMNS, end - k))
    return total


@compiled
def add_dots(dw, dots, rows, columns):
    """Add a block of dot products to the matrix ``dw``."""
    for r in range(rows):
        for j in range(columns):
            dw.flat[dw.at + r * dw.row_step + j] += dots[r * DOT_COLUMNS + j]


@compiled
def padded(offsets, count):
    """``offsets`` with its last one repeated, ``count`` in all."""
    out = np.empty(count, np.intp)
    for i in range(count):
        out[i] = offsets[min(i, offsets.size - 1)]
    return out
