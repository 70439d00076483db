# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Two blocks of pooling, written as the processor's instructions: one window, over as many images as a vector holds.

A window's best so far, or its gradient, stays in a register over all taps. With ``taps = (i0, i1, j0, j1)``, those on
the image are the rows from i0 to before i1 of the columns from j0 to before j1. Tap (i, j) has the number
``i * width + j`` and stands, for the b-th image, at ``x[x_at + i * steps[0] + j * steps[1] + b]``. Of the images,
``count`` are there. For a window of known shape, all of it on the image, the loop is written out.

``along_row``: instead of images, the vector holds ``count`` windows of a row of one image, ``steps[2]`` apart.
"""

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .emitter import VECTOR_BYTES, Emitter, Tile

PoolParams = tuple[int, int]


def win_tile(window: PoolParams | None = None, *, along_row: bool = False) -> Tile:
    """``y[y_at + b]``: the largest over the taps; ``winners[y_at + b]``, if there is room: the first such tap's number.

    A NaN wins against any number and is not beaten.
    """

    @intrinsic
    def tile(typing_context, x, x_at, steps, taps, width, y, winners, y_at, count):
        arguments = (x, x_at, steps, taps, width, y, winners, y_at, count)

        def generate(context, builder, signature, values):
            emit = Emitter(context, builder, signature.args[0].dtype, VECTOR_BYTES)
            taps = _Taps(emit, window, along_row, signature, values)
            y, winners = (emit.pointer(signature.args[i], values[i]) for i in (5, 6))
            y_at, count = values[7:]
            room = context.make_array(signature.args[6])(context, builder, values[6]).nitems

            def find(mask: Any) -> None:
                best, by = (emit.register(v) for v in (taps.load(*taps.first, mask), taps.number(*taps.first)))

                def look(i: Any, j: Any) -> None:
                    pixel, most = taps.load(i, j, mask), builder.load(best)
                    higher = builder.and_(
                        builder.fcmp_unordered(">", pixel, most), builder.fcmp_ordered("ord", most, most)
                    )
                    builder.store(builder.select(higher, pixel, most), best)
                    builder.store(builder.select(higher, taps.number(i, j), builder.load(by)), by)

                taps.visit(look)
                emit.store(builder.load(best), emit.at(y, y_at), mask)
                with builder.if_then(builder.icmp_signed(">", room, emit.index(0))):
                    emit.store(emit.narrowed(builder.load(by), winners), emit.at(winners, y_at), mask)

            emit.whole_or_rest(count, find)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


def send_tile(window: PoolParams | None = None, *, add: bool = False, along_row: bool = False) -> Tile:
    """``g[g_at + b]`` to the tap that won, and zeros to the others, or added to what is there."""

    @intrinsic
    def tile(typing_context, x, x_at, steps, taps, width, g, winners, g_at, count):
        arguments = (x, x_at, steps, taps, width, g, winners, g_at, count)

        def generate(context, builder, signature, values):
            emit = Emitter(context, builder, signature.args[0].dtype, VECTOR_BYTES)
            taps = _Taps(emit, window, along_row, signature, values)
            g, winners = (emit.pointer(signature.args[i], values[i]) for i in (5, 6))
            g_at, count = values[7:]

            def send(mask: Any) -> None:
                gradient = emit.load(emit.at(g, g_at), mask)
                by = emit.widened(emit.load(emit.at(winners, g_at), mask))
                zero = ir.Constant(gradient.type, None)

                def give(i: Any, j: Any) -> None:
                    passed = builder.select(builder.icmp_signed("==", by, taps.number(i, j)), gradient, zero)
                    taps.store(emit.plus(taps.load(i, j, mask), passed) if add else passed, i, j, mask)

                taps.visit(give)

            emit.whole_or_rest(count, send)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


class _Taps:
    """The taps of one window, or of those of a row: their numbers, and what stands there."""

    def __init__(self, emit: Emitter, window: PoolParams | None, along_row: bool, signature: Any, values: Any) -> None:
        self.emit, self.builder, self.window, self.along_row = emit, emit.builder, window, along_row
        self.x, self.x_at, self.width = emit.pointer(signature.args[0], values[0]), values[1], values[4]
        self.steps, self.ends = (cgutils.unpack_tuple(self.builder, values[i]) for i in (2, 3))
        self.first = (emit.index(0), emit.index(0)) if window else (self.ends[0], self.ends[2])

    def load(self, i: Any, j: Any, mask: Any) -> Any:
        if self.along_row:
            return self.emit.load_apart(self._at(i, j), self.steps[2], mask)
        return self.emit.load(self._at(i, j), mask)

    def store(self, vector: Any, i: Any, j: Any, mask: Any) -> None:
        if self.along_row:
            self.emit.store_apart(vector, self._at(i, j), self.steps[2], mask)
        else:
            self.emit.store(vector, self._at(i, j), mask)

    def _at(self, i: Any, j: Any) -> Any:
        """Where the tap stands, for the first image or window."""
        row, column = (self.builder.mul(k, step) for k, step in zip((i, j), self.steps, strict=False))
        return self.emit.at(self.x, self.builder.add(self.x_at, self.builder.add(row, column)))

    def number(self, i: Any, j: Any) -> Any:
        """A vector of the tap's number."""
        number = self.builder.add(self.builder.mul(i, self.width), j)
        return self.emit.everywhere(self.builder.trunc(number, ir.IntType(32)))

    def visit(self, look: Callable[[Any, Any], None]) -> None:
        """The taps in order: written out, or in a loop."""
        if self.window:
            for i, j in itertools.product(*map(range, self.window)):
                look(self.emit.index(i), self.emit.index(j))
            return
        i0, i1, j0, j1 = self.ends
        one = self.emit.index(1)
        with (
            cgutils.for_range_slice(self.builder, i0, i1, one) as (i, _),
            cgutils.for_range_slice(self.builder, j0, j1, one) as (j, _),
        ):
            look(i, j)
