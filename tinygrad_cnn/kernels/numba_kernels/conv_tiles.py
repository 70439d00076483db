# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Blocks of the convolutions' arithmetic that keep their sums in vector registers, emitted instruction by instruction.

A compiler keeps a sum in a register only while it can prove that nothing else reads it, which it rarely can for sixteen
vectors at once. So these innermost loops are emitted: load a few vectors, multiply each with each of a few numbers, add
into registers, and write the sums only at the end. That runs at the processor's peak. All loops around them are
ordinary Python that numba compiles.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .builder import VECTOR_BYTES, Builder, Tile

WIDE_BYTES = 2 * VECTOR_BYTES  # a wide tile: two whole vectors a row
NARROW_BYTES = VECTOR_BYTES // 2  # a narrow one, for the rest of a row and for rows shorter than a wide tile
# A tile of 8 rows needs 8 * 2 registers for its sums and 3 more: of 16 (AVX2) that is too many.
MAX_ROWS = 4 if VECTOR_BYTES == 32 else 8
DOT_ROWS, DOT_COLUMNS = (4, 5) if MAX_ROWS == 8 else (3, 3)  # 20 + 9 registers, or 9 + 6


class Rows(NamedTuple):
    """Rows in a flat array: row r starts at ``flat[at + offsets[r]]``."""

    flat: Any
    at: Any
    offsets: Any


class Matrix(NamedTuple):
    """A matrix in a flat array: element (r, k) is ``flat[at + r * row_step + k * column_step]``."""

    flat: Any
    at: Any
    row_step: Any
    column_step: Any


class Start(NamedTuple):
    """The numbers that sums begin with: ``flat[at + r]`` for row r; ``at`` below 0 adds to what the row holds."""

    flat: Any
    at: Any


class Lines(NamedTuple):
    """Rows of several lines each, ``step`` apart: row r's first line starts at ``flat[at + offsets[first + r]]``."""

    flat: Any
    at: Any
    step: Any
    offsets: Any
    first: Any


def product_tile(row_bytes: int, *, partial: bool = False) -> Tile:
    """Make ``tile(rows, out, first, start, w, x, depth, length)``, a block of a matrix product.

    ``out[first + r, t] += sum over k < depth of w[r, k] x[k, t]`` for ``row_bytes`` of t, or for the first ``length``
    of them if ``partial``; ``rows`` is `MAX_ROWS`, 4, 2 or 1. ``out`` and ``x`` are `Rows`, ``w`` is a `Matrix`,
    ``start`` a `Start`. Rows are added to ``out`` one after the other, so they may overlap. The output is prefetched,
    so that the final stores hit the cache.
    """

    @intrinsic
    def tile(typing_context, rows, out, first, start, w, x, depth, length):
        def generate(context, builder, signature, values):
            emit = Builder(context, builder, signature.args[1].types[0].dtype, min(row_bytes, VECTOR_BYTES))
            operands = [emit.fields(signature.args[i], values[i]) for i in (1, 3, 4, 5)]
            mask = emit.lanes_below(values[7]) if partial else None
            for count in {MAX_ROWS, 4, 2, 1}:
                with builder.if_then(builder.icmp_signed("==", values[0], emit.index(count))):
                    _product(emit, count, row_bytes, operands, values[2], values[6], mask)
            return context.get_dummy_value()

        return types.void(rows, out, first, start, w, x, depth, length), generate

    return tile


def _product(emit: Builder, rows: int, row_bytes: int, operands: Any, first: Any, depth: Any, mask: Any) -> None:
    """Emit `product_tile` for a known number of rows."""
    builder = emit.builder
    (out, out_at, out_offsets), (start, start_at), (w, w_at, row_step, column_step), (x, x_at, x_offsets) = operands
    columns = range(0, row_bytes // emit.itemsize, emit.lanes)
    targets = [[emit.at(row, at) for at in columns] for row in emit.rows(out, out_at, out_offsets, first, rows)]
    for row in targets:
        for place in row:
            emit.prefetch(place)
    sums = [[emit.register() for _ in columns] for _ in range(rows)]
    with cgutils.for_range(builder, depth) as loop:
        row = emit.at(x, builder.add(x_at, emit.number(x_offsets, loop.index)))
        pixels = [emit.load(emit.at(row, at), mask) for at in columns]
        column = emit.at(w, builder.add(w_at, builder.mul(loop.index, column_step)))
        for r, registers in enumerate(sums):
            weight = emit.broadcast(emit.number(column, builder.mul(emit.index(r), row_step)))
            for register, pixel in zip(registers, pixels, strict=True):
                emit.multiply_add(register, weight, pixel)
    with builder.if_else(builder.icmp_signed("<", start_at, emit.index(0))) as (add, begin):
        with add:
            for row, registers in zip(targets, sums, strict=True):
                for place, register in zip(row, registers, strict=True):
                    emit.store(emit.plus(emit.load(place, mask), builder.load(register)), place, mask)
        with begin:
            for r, (row, registers) in enumerate(zip(targets, sums, strict=True)):
                number = emit.broadcast(emit.number(start, builder.add(start_at, emit.index(r))))
                for place, register in zip(row, registers, strict=True):
                    emit.store(emit.plus(number, builder.load(register)), place, mask)


def dot_tile(rows: int, columns: int) -> Tile:
    """Make ``tile(out, a, b, lines, length)``, a block of dot products: ``out[r * columns + k] = a[r] . b[k]``.

    ``a`` and ``b`` are `Lines`; each row has ``lines`` lines of ``length`` numbers.
    """

    @intrinsic
    def tile(typing_context, out, a, b, lines, length):
        def generate(context, builder, signature, values):
            emit = Builder(context, builder, signature.args[0].dtype, VECTOR_BYTES)
            out = emit.pointer(signature.args[0], values[0])
            (a, a_at, a_step, a_offsets, a_first), (b, b_at, b_step, b_offsets, b_first) = (
                emit.fields(signature.args[i], values[i]) for i in (1, 2)
            )
            lines, length = values[3:]
            sums = [emit.register() for _ in range(rows * columns)]
            a_rows, b_rows = (
                emit.rows(a, a_at, a_offsets, a_first, rows),
                emit.rows(b, b_at, b_offsets, b_first, columns),
            )
            whole = builder.and_(length, emit.index(-emit.lanes))  # `length` rounded down to whole vectors
            rest = emit.lanes_below(builder.sub(length, whole))

            def multiply_all(line: Any, at: Any, load: Callable[[Any], Any]) -> None:
                a_place, b_place = (builder.add(builder.mul(line, step), at) for step in (a_step, b_step))
                a_vectors = [load(emit.at(row, a_place)) for row in a_rows]
                for k, row in enumerate(b_rows):
                    b_vector = load(emit.at(row, b_place))
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

        return types.void(out, a, b, lines, length), generate

    return tile


def line_tile(*, add: bool) -> Tile:
    """Make ``tile(out, out_at, x, x_at, length)``: ``out[out_at + i] = x[x_at + i]`` for ``length`` i, or ``+=``.

    Quicker than slices, which count references.
    """

    @intrinsic
    def tile(typing_context, out, out_at, x, x_at, length):
        def generate(context, builder, signature, values):
            wide, narrow = (
                Builder(context, builder, signature.args[0].dtype, size) for size in (VECTOR_BYTES, NARROW_BYTES)
            )
            target, source = (wide.at(wide.pointer(signature.args[i], values[i]), values[i + 1]) for i in (0, 2))
            length, done = values[4], wide.index(0)

            def write(emit: Builder, at: Any, mask: Any = None) -> None:
                vector, place = emit.load(emit.at(source, at), mask), emit.at(target, at)
                emit.store(emit.plus(emit.load(place, mask), vector) if add else vector, place, mask)

            for emit in (wide, narrow):  # masks as rarely as possible: parts of a vector are slow
                whole = builder.and_(length, emit.index(-emit.lanes))
                with cgutils.for_range_slice(builder, done, whole, emit.index(emit.lanes)) as (at, _):
                    write(emit, at)
                done = whole
            with builder.if_then(builder.icmp_signed("<", done, length)):
                write(narrow, done, narrow.lanes_below(builder.sub(length, done)))
            return context.get_dummy_value()

        return types.void(out, out_at, x, x_at, length), generate

    return tile


copy, add = line_tile(add=False), line_tile(add=True)
