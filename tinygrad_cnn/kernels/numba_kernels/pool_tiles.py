# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Blocks of pooling, emitted instruction by instruction: one window over as many images as a vector has lanes.

The window's maximum so far, or its gradient, stays in a register over all taps. Where one image alone would leave the
lanes empty (``along_row``), the vector has windows of one row instead. For a window of known shape that lies on the
image as a whole, the loop over its taps is unrolled.

A step of a LeNet-sized network takes 13 to 40 % longer with loops that numba compiles, at any batch size.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .builder import VECTOR_BYTES, Builder, Tile

Shape = tuple[int, int]


class Taps(NamedTuple):
    """The taps of a window on an image: tap (i, j) is ``flat[at + i * steps[0] + j * steps[1]]``.

    ``ends`` is (i0, i1, j0, j1): the taps on the image are the rows from i0 to before i1 of the columns from j0 to
    before j1. ``width`` is the window's, so that tap (i, j) has the number ``i * width + j``; ``steps[2]`` is the
    distance to the next window of the row.
    """

    flat: Any
    at: Any
    steps: Any
    ends: Any
    width: Any


class Pooled(NamedTuple):
    """The place of a window in the map: its number is ``flat[at]``, its winning tap's number ``winners[at]``."""

    flat: Any
    winners: Any
    at: Any


def max_tile(shape: Shape | None = None, *, along_row: bool = False) -> Tile:
    """Make ``tile(taps, pooled, count)``, which writes the maximum of ``count`` windows, and the first tap that has it.

    A NaN is larger than any number. Winners are written if their array is not empty.
    """

    @intrinsic
    def tile(typing_context, taps, pooled, count):
        def generate(context, builder, signature, values):
            emit = Builder(context, builder, signature.args[0].types[0].dtype, VECTOR_BYTES)
            window = _Window(emit, shape, along_row, signature.args[0], values[0])
            y, winners, at = emit.fields(signature.args[1], values[1])
            array = builder.extract_value(values[1], 1)
            size = context.make_array(signature.args[1].types[1])(context, builder, array).nitems

            def pool(mask: Any) -> None:
                best, winner = (
                    emit.register(v) for v in (window.load(*window.first, mask), window.number(*window.first))
                )

                def compare(i: Any, j: Any) -> None:
                    pixel, maximum = window.load(i, j, mask), builder.load(best)
                    higher = builder.and_(
                        builder.fcmp_unordered(">", pixel, maximum), builder.fcmp_ordered("ord", maximum, maximum)
                    )
                    builder.store(builder.select(higher, pixel, maximum), best)
                    builder.store(builder.select(higher, window.number(i, j), builder.load(winner)), winner)

                window.for_each_tap(compare)
                emit.store(builder.load(best), emit.at(y, at), mask)
                with builder.if_then(builder.icmp_signed(">", size, emit.index(0))):
                    emit.store(emit.narrowed(builder.load(winner), winners), emit.at(winners, at), mask)

            emit.whole_or_rest(values[2], pool)
            return context.get_dummy_value()

        return types.void(taps, pooled, count), generate

    return tile


def scatter_tile(shape: Shape | None = None, *, add: bool = False, along_row: bool = False) -> Tile:
    """Make ``tile(taps, pooled, count)``, which writes the gradient ``pooled.flat`` to each window's winning tap.

    The other taps become 0; with ``add`` the gradient is added to what is there.
    """

    @intrinsic
    def tile(typing_context, taps, pooled, count):
        def generate(context, builder, signature, values):
            emit = Builder(context, builder, signature.args[0].types[0].dtype, VECTOR_BYTES)
            window = _Window(emit, shape, along_row, signature.args[0], values[0])
            g, winners, at = emit.fields(signature.args[1], values[1])

            def scatter(mask: Any) -> None:
                gradient = emit.load(emit.at(g, at), mask)
                winner = emit.widened(emit.load(emit.at(winners, at), mask))
                zero = ir.Constant(gradient.type, None)

                def write(i: Any, j: Any) -> None:
                    passed = builder.select(builder.icmp_signed("==", winner, window.number(i, j)), gradient, zero)
                    window.store(emit.plus(window.load(i, j, mask), passed) if add else passed, i, j, mask)

                window.for_each_tap(write)

            emit.whole_or_rest(values[2], scatter)
            return context.get_dummy_value()

        return types.void(taps, pooled, count), generate

    return tile


class _Window:
    """The taps of one window over several images, or of several windows of a row: their numbers and their values."""

    def __init__(self, emit: Builder, shape: Shape | None, along_row: bool, kind: Any, value: Any) -> None:
        self.emit, self.builder, self.shape, self.along_row = emit, emit.builder, shape, along_row
        self.x, self.x_at, steps, ends, self.width = emit.fields(kind, value)
        self.steps, self.ends = (cgutils.unpack_tuple(self.builder, field) for field in (steps, ends))
        self.first = (emit.index(0), emit.index(0)) if shape else (self.ends[0], self.ends[2])

    def load(self, i: Any, j: Any, mask: Any) -> Any:
        if self.along_row:
            return self.emit.load_strided(self._at(i, j), self.steps[2], mask)
        return self.emit.load(self._at(i, j), mask)

    def store(self, vector: Any, i: Any, j: Any, mask: Any) -> None:
        if self.along_row:
            self.emit.store_strided(vector, self._at(i, j), self.steps[2], mask)
        else:
            self.emit.store(vector, self._at(i, j), mask)

    def _at(self, i: Any, j: Any) -> Any:
        """The tap's address, for the first image or window."""
        row, column = (self.builder.mul(k, step) for k, step in zip((i, j), self.steps, strict=False))
        return self.emit.at(self.x, self.builder.add(self.x_at, self.builder.add(row, column)))

    def number(self, i: Any, j: Any) -> Any:
        """A vector of the tap's number."""
        number = self.builder.add(self.builder.mul(i, self.width), j)
        return self.emit.broadcast(self.builder.trunc(number, ir.IntType(32)))

    def for_each_tap(self, emit_tap: Callable[[Any, Any], None]) -> None:
        """Emit the code of each tap in order: unrolled, or in a loop."""
        if self.shape:
            for i, j in itertools.product(*map(range, self.shape)):
                emit_tap(self.emit.index(i), self.emit.index(j))
            return
        i0, i1, j0, j1 = self.ends
        one = self.emit.index(1)
        with (
            cgutils.for_range_slice(self.builder, i0, i1, one) as (i, _),
            cgutils.for_range_slice(self.builder, j0, j1, one) as (j, _),
        ):
            emit_tap(i, j)
