# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, call-arg"
"""The three convolution kernels over flat arrays; all of them walk one table of offsets, in three directions.

An image lies batch innermost, so a row of places (columns times batch) is one long run of numbers, and tap (c, i, j)
of every window of the row is the same run moved by ``offset[c, i, j]``:

    y[f, t]            += w[f, k]  x[t + offset[k]]        read through the table: the feature maps
    x'[t + offset[k]]  += w[f, k]  g[f, t]                 write through it: the gradient for the previous layer
    w'[f, k]           += g[f, t]  x[t + offset[k]]        sum over places: the weight gradient

No window is ever copied. Every output element is summed by one thread in one order, whatever the number of threads.
"""

import numpy as np

from .compiling import compiled
from .registers import (
    DOT_COLUMNS,
    DOT_ROWS,
    MOST_ROWS,
    NARROW_BYTES,
    WIDE_BYTES,
    copy,
    dot_tile,
    product_tile,
)
from .team import finish, take

_wide, _narrow = product_tile(WIDE_BYTES), product_tile(NARROW_BYTES)
_rest = product_tile(NARROW_BYTES, partial=True)
_dots = dot_tile(DOT_ROWS, DOT_COLUMNS)
_TAPS_BYTES = 1 << 18  # a row's places are worked on in chunks, such that all their taps fit in the second cache
_PANEL_BYTES = 20 << 10  # and all maps' gradients for a chunk of places in the first one
_MAPS_BYTES = 3 << 22  # all maps' gradients that stay in the third one from one reading to the next
_ENOUGH_TASKS = 16  # for several threads to finish at about the same time
_SHARE_TAPS = 60  # a share of the channels has at least so many taps, which makes up for copying the panel


@compiled
def tap_offsets(channels, kh, kw, layout, dilation_h, dilation_w):
    """``offset[c, i, j]``, flat, in an image laid out as (C, rows, phases, columns, N)."""
    _, height, phases, columns, n = layout
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
def image_size(layout, groups):
    """How many numbers the images of one group have."""
    return layout[0] // groups * layout[1] * layout[2] * layout[3] * layout[4]


@compiled
def steps(count, step):
    """``0, step, 2 step, ...``"""
    offsets = np.empty(count, np.intp)
    for i in range(count):
        offsets[i] = i * step
    return offsets


@compiled
def block_rows(rows):
    """How many of the ``rows`` that are left the next tile takes."""
    if rows >= MOST_ROWS:
        return MOST_ROWS
    if rows >= 4:
        return 4
    return 2 if rows >= 2 else 1


@compiled
def add_products(
    out, out_at, out_offsets, first, last, start, start_at, w, w_at, w_row, w_column, x, x_at, x_offsets, depth, length
):
    """``out[r, t] += sum over k of w[r, k] x[k, t]`` for the rows from ``first`` to ``last`` and ``length`` places.

    Where ``start_at`` is not negative, each row starts from a number, ``start[start_at]`` and onwards, instead.
    """
    wide, narrow = WIDE_BYTES // x.itemsize, NARROW_BYTES // x.itemsize
    while first < last:
        rows = block_rows(last - first)
        t = 0
        while t + wide <= length:
            _wide(
                rows,
                out,
                out_at + t,
                out_offsets,
                first,
                start,
                start_at,
                w,
                w_at,
                w_row,
                w_column,
                x,
                x_at + t,
                x_offsets,
                depth,
                wide,
            )
            t += wide
        while t + narrow <= length:
            _narrow(
                rows,
                out,
                out_at + t,
                out_offsets,
                first,
                start,
                start_at,
                w,
                w_at,
                w_row,
                w_column,
                x,
                x_at + t,
                x_offsets,
                depth,
                narrow,
            )
            t += narrow
        if t < length:
            _rest(
                rows,
                out,
                out_at + t,
                out_offsets,
                first,
                start,
                start_at,
                w,
                w_at,
                w_row,
                w_column,
                x,
                x_at + t,
                x_offsets,
                depth,
                length - t,
            )
        w_at += rows * w_row
        first += rows
        start_at += rows if start_at >= 0 else 0


@compiled
def correlate(progress, x, layout, w, bias, y, groups, row_step, dilation):
    """Feature maps: y (F, OH, OW N) from the flat image x and w (F, C / groups, KH, KW). A task: part of a row."""
    filters, rows, length = y.shape
    _, channels, kh, kw = w.shape
    depth = channels * kh * kw
    members = filters // groups
    offsets = tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1])
    maps = steps(filters, rows * length)
    flat_w, flat_y = w.reshape(w.size), y.reshape(y.size)
    tiles = min(max(_TAPS_BYTES // (depth * WIDE_BYTES), 2), 8)
    chunk = tiles * WIDE_BYTES // x.itemsize
    chunks = (length + chunk - 1) // chunk
    tasks = groups * rows * chunks
    task = take(progress)
    while task < tasks:
        # Rows first: the next row reads most of the same taps.
        group, row, begin = task // (rows * chunks), task % rows, task // rows % chunks * chunk
        places = min(chunk, length - begin)
        first, last = group * members, (group + 1) * members
        at = row * length + begin
        image = group * image_size(layout, groups)
        add_products(
            flat_y,
            at,
            maps,
            first,
            last,
            bias,
            first,
            flat_w,
            first * depth,
            depth,
            1,
            x,
            image + row * row_step + begin,
            offsets,
            depth,
            places,
        )
        finish(progress)
        task = take(progress)
    return tasks


@compiled
def share_count(channels, taps):
    """Into how many shares the channels are dealt: by the shapes alone, so that the bits are always the same."""
    shares = 16
    while shares > 4 and channels * taps < shares * _SHARE_TAPS:
        shares //= 2
    return min(shares, channels)


@compiled
def convolve_full(progress, g, w, x, layout, groups, row_step, dilation):
    """Images' gradient: the flat image x, from g (F, OH, OW N) and w (F, C / groups, KH, KW). A task: some channels."""
    filters, rows, length = g.shape
    _, channels, kh, kw = w.shape
    members, taps = filters // groups, kh * kw
    spatial = layout[1] * layout[2] * layout[3] * layout[4]
    offsets = tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1])
    shares = share_count(channels, taps)
    flat_g, flat_w = g.reshape(g.size), w.reshape(w.size)
    chunk = min(max(_PANEL_BYTES // (members * WIDE_BYTES), 1), 8) * WIDE_BYTES // x.itemsize
    # Maps lie a power of two apart more often than not, and then evict each other from the cache: copy what is in use.
    few = members * rows * length * g.itemsize <= _PANEL_BYTES
    panel = flat_g if few else np.empty(members * chunk, g.dtype)
    maps = steps(members, rows * length if few else chunk)
    task = take(progress)
    while task < groups * shares:
        group, share = task // shares, task % shares
        begin, end = channels * share // shares, channels * (share + 1) // shares
        image = group * channels * spatial
        x[image + begin * spatial : image + end * spatial] = 0
        weights = (group * members * channels + begin) * taps
        for row in range(rows):
            for t in range(0, length, chunk):
                places, at = min(chunk, length - t), (group * members * rows + row) * length + t
                if not few:
                    for f in range(members):
                        copy(panel, f * chunk, flat_g, at + f * rows * length, places)
                add_products(
                    x,
                    image + row * row_step + t,
                    offsets,
                    begin * taps,
                    end * taps,
                    flat_w,
                    -1,
                    flat_w,
                    weights,
                    1,
                    channels * taps,
                    panel,
                    at if few else 0,
                    maps,
                    members,
                    places,
                )
        finish(progress)
        task = take(progress)
    return groups * shares


@compiled
def correlate_weight(progress, x, layout, g, dw, groups, row_step, dilation):
    """Filters' gradient dw (F, C / groups, KH, KW): every map's gradient times every tap. A task: a few taps.

    Each task reads its maps' gradients anew. Once these no longer stay in the third cache, tasks are few and large:
    some of the maps and many taps, a block of places at a time.
    """
    filters, rows, length = g.shape
    _, channels, kh, kw = dw.shape
    members, depth = filters // groups, channels * kh * kw
    # Beyond the last map and the last tap, blocks repeat it and throw the result away.
    map_blocks, tap_blocks = -(-members // DOT_ROWS), -(-depth // DOT_COLUMNS)
    maps = padded(steps(members, rows * length), map_blocks * DOT_ROWS)
    taps = padded(tap_offsets(channels, kh, kw, layout, dilation[0], dilation[1]), tap_blocks * DOT_COLUMNS)
    flat_g, flat_dw = g.reshape(g.size), dw.reshape(dw.size)
    if members * rows * length * x.itemsize <= _MAPS_BYTES:
        map_parts, tap_parts = 1 if tap_blocks >= _ENOUGH_TASKS else map_blocks, tap_blocks
        lines, run = rows, length
    else:
        map_parts, tap_parts = min(map_blocks, 4), min(tap_blocks, _ENOUGH_TASKS // min(map_blocks, 4))
        lines, run = gradient_block(-(-members // map_parts), rows, length, x.itemsize)
    dots = np.empty(DOT_ROWS * DOT_COLUMNS, x.dtype)
    tasks = groups * map_parts * tap_parts
    task = take(progress)
    while task < tasks:
        group, map_part, tap_part = task // (map_parts * tap_parts), task // tap_parts % map_parts, task % tap_parts
        image = group * image_size(layout, groups)
        first = map_blocks * map_part // map_parts * DOT_ROWS
        last = min(map_blocks * (map_part + 1) // map_parts * DOT_ROWS, members)
        begin = tap_blocks * tap_part // tap_parts * DOT_COLUMNS
        end = min(tap_blocks * (tap_part + 1) // tap_parts * DOT_COLUMNS, depth)
        for f in range(group * members + first, group * members + last):
            flat_dw[f * depth + begin : f * depth + end] = 0
        for row in range(0, rows, lines):
            for t in range(0, length, run):
                for k in range(begin, end, DOT_COLUMNS):
                    for f in range(first, last, DOT_ROWS):
                        _dots(
                            dots,
                            flat_g,
                            (group * members * rows + row) * length + t,
                            length,
                            maps,
                            f,
                            x,
                            image + row * row_step + t,
                            row_step,
                            taps,
                            k,
                            min(lines, rows - row),
                            min(run, length - t),
                        )
                        add_dots(
                            flat_dw,
                            (group * members + f) * depth + k,
                            depth,
                            dots,
                            min(DOT_ROWS, last - f),
                            min(DOT_COLUMNS, end - k),
                        )
        finish(progress)
        task = take(progress)
    return tasks


@compiled
def add_dots(dw, at, depth, dots, rows, columns):
    """A block of products added to the gradient's."""
    for r in range(rows):
        for j in range(columns):
            dw[at + r * depth + j] += dots[r * DOT_COLUMNS + j]


@compiled
def gradient_block(maps, rows, length, itemsize):
    """How many rows of ``maps`` maps, and how long a run of each, are worked on at a time."""
    places = max(_MAPS_BYTES // 4 // (maps * itemsize), WIDE_BYTES // itemsize)
    if places >= length:
        return min(places // length, rows), length
    return 1, places // (WIDE_BYTES // itemsize) * (WIDE_BYTES // itemsize)


@compiled
def padded(offsets, count):
    """``offsets`` with its last one repeated, ``count`` in all."""
    out = np.empty(count, np.intp)
    for i in range(count):
        out[i] = offsets[min(i, offsets.size - 1)]
    return out
