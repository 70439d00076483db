# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Blocks of arithmetic that live in vector registers, written as the processor's instructions.

A compiler keeps a sum in a register only while it can see that nobody else looks at it, and it rarely sees that for
sixteen vectors at once. So the innermost loops of the convolutions are emitted here instruction by instruction: load a
few vectors, multiply each with each of a few numbers, add into registers, and write the sums out only at the end. That
runs at the processor's peak.

Everything around these blocks is ordinary Python that numba compiles.
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .emitter import VECTOR_BYTES, Emitter, Tile

WIDE_BYTES = 2 * VECTOR_BYTES  # a wide tile: two whole vectors a row
NARROW_BYTES = VECTOR_BYTES // 2  # a narrow one, for what is left over and for rows shorter than a wide tile
# A tile of 8 rows needs 8 * 2 registers for its sums and 3 more: of 16 (AVX2) that is too many.
MOST_ROWS = 4 if VECTOR_BYTES == 32 else 8
DOT_ROWS, DOT_COLUMNS = (4, 5) if MOST_ROWS == 8 else (3, 3)  # 20 + 9 registers, or 9 + 6


def product_tile(row_bytes: int, *, partial: bool = False) -> Tile:
    """A block of a matrix product, ``out[r, t] += sum over k of w[r, k] x[k, t]``, for ``row_bytes`` of t.

    It has 8, 4, 2 or 1 ``rows``; of a ``partial`` tile only the first ``places`` t are there.

    The arrays are flat. Row r of ``out`` starts at ``out_at + out_offsets[first + r]``, row k of ``x`` at
    ``x_at + x_offsets[k]``; ``w[r, k]`` stands at ``w_at + r * w_row + k * w_column``. Rows are added to ``out`` one
    after the other, so they may overlap; where ``start_at`` is not negative, they replace what was there and begin with
    ``start[start_at + r]``. Asked for at the beginning, they have come from memory by the end.
    """

    @intrinsic
    def tile(
        typing_context,
        rows,
        out,
        out_at,
        out_offsets,
        first,
        start,
        start_at,
        w,
        w_at,
        w_row,
        w_column,
        x,
        x_at,
        x_offsets,
        depth,
        places,
    ):
        arguments = (
            rows,
            out,
            out_at,
            out_offsets,
            first,
            start,
            start_at,
            w,
            w_at,
            w_row,
            w_column,
            x,
            x_at,
            x_offsets,
            depth,
            places,
        )

        def generate(context, builder, signature, values):
            emit = Emitter(context, builder, signature.args[1].dtype, min(row_bytes, VECTOR_BYTES))
            out, out_offsets, start, w, x, x_offsets = (
                emit.pointer(signature.args[i], values[i]) for i in (1, 3, 5, 7, 11, 13)
            )
            rows, out_at, first, start_at, w_at, w_row, w_column, x_at, depth, places = (
                values[i] for i in (0, 2, 4, 6, 8, 9, 10, 12, 14, 15)
            )
            starts = range(0, row_bytes // emit.itemsize, emit.lanes)
            mask = emit.lanes_below(places) if partial else None

            def block(rows: int) -> None:
                out_rows = emit.rows(out, out_at, out_offsets, first, rows)
                targets = [[emit.at(row, at) for at in starts] for row in out_rows]
                for row in targets:
                    for place in row:
                        emit.ask_for(place)
                sums = [[emit.register() for _ in starts] for _ in range(rows)]
                with cgutils.for_range(builder, depth) as loop:
                    row = emit.at(x, builder.add(x_at, emit.number(x_offsets, loop.index)))
                    pixels = [emit.load(emit.at(row, at), mask) for at in starts]
                    column = emit.at(w, builder.add(w_at, builder.mul(loop.index, w_column)))
                    for r, registers in enumerate(sums):
                        weight = emit.everywhere(emit.number(column, builder.mul(emit.index(r), w_row)))
                        for register, pixel in zip(registers, pixels, strict=True):
                            emit.multiply_add(register, weight, pixel)
                with builder.if_else(builder.icmp_signed("<", start_at, emit.index(0))) as (add, begin):
                    with add:
                        for row, registers in zip(targets, sums, strict=True):
                            for place, register in zip(row, registers, strict=True):
                                emit.store(emit.plus(emit.load(place, mask), builder.load(register)), place, mask)
                    with begin:
                        for r, (row, registers) in enumerate(zip(targets, sums, strict=True)):
                            number = emit.everywhere(emit.number(start, builder.add(start_at, emit.index(r))))
                            for place, register in zip(row, registers, strict=True):
                                emit.store(emit.plus(number, builder.load(register)), place, mask)

            for count in {MOST_ROWS, 4, 2, 1}:
                with builder.if_then(builder.icmp_signed("==", rows, emit.index(count))):
                    block(count)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


def dot_tile(rows: int, columns: int) -> Tile:
    """A block of dot products, ``out[r * columns + k] = a[r] . b[k]``.

    ``a[r]`` is ``lines`` lines of ``length`` numbers, ``a_step`` apart, the first at ``a_at + a_offsets[a_first + r]``;
    ``b`` likewise.
    """

    @intrinsic
    def tile(
        typing_context, out, a, a_at, a_step, a_offsets, a_first, b, b_at, b_step, b_offsets, b_first, lines, length
    ):
        arguments = (out, a, a_at, a_step, a_offsets, a_first, b, b_at, b_step, b_offsets, b_first, lines, length)

        def generate(context, builder, signature, values):
            emit = Emitter(context, builder, signature.args[0].dtype, VECTOR_BYTES)
            out, a, a_offsets, b, b_offsets = (emit.pointer(signature.args[i], values[i]) for i in (0, 1, 4, 6, 9))
            a_at, a_step, a_first, b_at, b_step, b_first, lines, length = (
                values[i] for i in (2, 3, 5, 7, 8, 10, 11, 12)
            )
            sums = [emit.register() for _ in range(rows * columns)]
            a_rows = emit.rows(a, a_at, a_offsets, a_first, rows)
            b_rows = emit.rows(b, b_at, b_offsets, b_first, columns)
            whole = builder.and_(length, emit.index(-emit.lanes))  # `length` rounded down to whole vectors
            rest = emit.lanes_below(builder.sub(length, whole))

            def multiply_all(line: Any, at: Any, load: Callable[[Any], Any]) -> None:
                a_at, b_at = (builder.add(builder.mul(line, step), at) for step in (a_step, b_step))
                a_vectors = [load(emit.at(row, a_at)) for row in a_rows]
                for k, row in enumerate(b_rows):
                    b_vector = load(emit.at(row, b_at))
                    for r, a_vector in enumerate(a_vectors):
                        emit.multiply_add(sums[r * columns + k], a_vector, b_vector)

            with cgutils.for_range(builder, lines) as line:
                with cgutils.for_range_slice(builder, emit.index(0), whole, emit.index(emit.lanes)) as (at, _):
                    multiply_all(line.index, at, emit.load)
                with builder.if_then(builder.icmp_signed("<", whole, length)):
                    multiply_all(line.index, whole, lambda place: emit.load(place, rest))
            for i, register in enumerate(sums):
                builder.store(emit.total(register), emit.at(out, i))
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


def line(*, add: bool) -> Tile:
    """``out[out_at + i] = x[x_at + i]`` for ``length`` i, or ``+=``: quicker than slices, which are counted."""

    @intrinsic
    def tile(typing_context, out, out_at, x, x_at, length):
        arguments = (out, out_at, x, x_at, length)

        def generate(context, builder, signature, values):
            wide, narrow = (
                Emitter(context, builder, signature.args[0].dtype, size) for size in (VECTOR_BYTES, NARROW_BYTES)
            )
            target, source = (wide.at(wide.pointer(signature.args[i], values[i]), values[i + 1]) for i in (0, 2))
            length, done = values[4], wide.index(0)

            def write(emit: Emitter, at: Any, mask: Any = None) -> None:
                vector, place = emit.load(emit.at(source, at), mask), emit.at(target, at)
                emit.store(emit.plus(emit.load(place, mask), vector) if add else vector, place, mask)

            for emit in (wide, narrow):  # with masks as rarely as possible: under one, parts of a vector are slow
                whole = builder.and_(length, emit.index(-emit.lanes))
                with cgutils.for_range_slice(builder, done, whole, emit.index(emit.lanes)) as (at, _):
                    write(emit, at)
                done = whole
            with builder.if_then(builder.icmp_signed("<", done, length)):
                write(narrow, done, narrow.lanes_below(builder.sub(length, done)))
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


copy, add = line(add=False), line(add=True)
