# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Two blocks of arithmetic that live in vector registers, written as the processor's instructions.

A compiler keeps a sum in a register only while it can see that nobody else looks at it, and it rarely sees that for
sixteen vectors at once. So the innermost loops of the convolutions are emitted here instruction by instruction (in
LLVM's intermediate language, which numba splices into the compiled function): load a few vectors, multiply each with
each of a few numbers, add into registers, and write the sums out only at the end. That runs at the processor's peak.

Everything around these two blocks is ordinary Python that numba compiles.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _vector_bytes() -> int:
    """The width of this processor's vector registers."""
    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


VECTOR_BYTES = _vector_bytes()
WIDE_BYTES = 2 * VECTOR_BYTES  # a wide tile: two whole vectors a row
NARROW_BYTES = VECTOR_BYTES // 2  # a narrow one, for what is left over and for rows shorter than a wide tile
# A tile of 8 rows needs 8 * 2 registers for its sums and 3 more: of 16 (AVX2) that is too many.
MOST_ROWS = 4 if VECTOR_BYTES == 32 else 8
DOT_ROWS, DOT_COLUMNS = (4, 5) if MOST_ROWS == 8 else (3, 3)  # 20 + 9 registers, or 9 + 6
Tile = Callable[..., None]


def product_tile(rows: int, row_bytes: int) -> Tile:
    """A block of a matrix product, ``out[r, t] += sum over k of w[k, r] x[k, t]``, for ``rows`` r, ``row_bytes`` of t.

    The arrays are flat. Row r of ``out`` starts at ``out_at + out_offsets[first + r]``, row k of ``x`` at
    ``x_at + x_offsets[k]``; ``w`` is packed, ``depth`` times ``rows`` numbers from ``w_at`` on. Rows are added to
    ``out`` one after the other, so they may overlap; where ``start_at`` is not negative, they replace what was there
    and begin with ``start[start_at + r]``. Asked for at the beginning, they have come from memory by the end.
    """

    @intrinsic
    def tile(typing_context, out, out_at, out_offsets, first, start, start_at, w, w_at, x, x_at, x_offsets, depth):
        arguments = (out, out_at, out_offsets, first, start, start_at, w, w_at, x, x_at, x_offsets, depth)

        def generate(context, builder, signature, values):
            emit = _Emitter(context, builder, signature.args[0].dtype, min(row_bytes, VECTOR_BYTES))
            out, out_offsets, start, w, x, x_offsets = (
                emit.pointer(signature.args[i], values[i]) for i in (0, 2, 4, 6, 8, 10)
            )
            out_at, first, start_at, w_at, x_at, depth = (values[i] for i in (1, 3, 5, 7, 9, 11))
            starts = range(0, row_bytes // emit.itemsize, emit.lanes)
            out_rows = emit.rows(out, out_at, out_offsets, first, rows)
            for row in out_rows:
                for at in starts:
                    emit.ask_for(emit.at(row, at))
            sums = [[emit.register() for _ in starts] for _ in range(rows)]
            with cgutils.for_range(builder, depth) as loop:
                row = emit.at(x, builder.add(x_at, emit.number(x_offsets, loop.index)))
                pixels = [emit.load(emit.at(row, at)) for at in starts]
                weights = emit.at(w, builder.add(w_at, builder.mul(loop.index, emit.index(rows))))
                for r in range(rows):
                    weight = emit.everywhere(emit.number(weights, r))
                    for register, pixel in zip(sums[r], pixels, strict=True):
                        emit.multiply_add(register, weight, pixel)
            with builder.if_else(builder.icmp_signed("<", start_at, emit.index(0))) as (add, begin):
                with add:
                    for row, registers in zip(out_rows, sums, strict=True):
                        for place, register in zip((emit.at(row, at) for at in starts), registers, strict=True):
                            emit.store(emit.plus(emit.load(place), builder.load(register)), place)
                with begin:
                    for r, (row, registers) in enumerate(zip(out_rows, sums, strict=True)):
                        number = emit.everywhere(emit.number(start, builder.add(start_at, emit.index(r))))
                        for at, register in zip(starts, registers, strict=True):
                            emit.store(emit.plus(number, builder.load(register)), emit.at(row, at))
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
            emit = _Emitter(context, builder, signature.args[0].dtype, VECTOR_BYTES)
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
                    multiply_all(line.index, whole, lambda place: emit.load_some(place, rest))
            for i, register in enumerate(sums):
                builder.store(emit.total(register), emit.at(out, i))
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


class _Emitter:
    """The few instructions that the tiles are made of; every number below is a value of the program being written."""

    def __init__(self, context: Any, builder: Any, dtype: Any, vector_bytes: int) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.itemsize = dtype.bitwidth // 8
        self.lanes = vector_bytes // self.itemsize
        self.vector = ir.VectorType(self.element, self.lanes)

    def index(self, value: int) -> Any:
        return self.context.get_constant(types.intp, value)

    def pointer(self, array_type: Any, array: Any) -> Any:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.gep(pointer, [self.index(offset) if isinstance(offset, int) else offset])

    def number(self, pointer: Any, offset: Any) -> Any:
        return self.builder.load(self.at(pointer, offset))

    def rows(self, pointer: Any, start: Any, offsets: Any, first: Any, count: int) -> list[Any]:
        numbers = [self.number(offsets, self.builder.add(first, self.index(i))) for i in range(count)]
        return [self.at(pointer, self.builder.add(start, number)) for number in numbers]

    def register(self) -> Any:
        """A variable, zero at first; it is never seen from outside, so it becomes a register."""
        variable = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(ir.Constant(self.vector, None), variable)
        return variable

    def total(self, register: Any) -> Any:
        """The sum over the lanes, by halves."""
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.itemsize}"
        kind = ir.FunctionType(self.element, [self.element, self.vector])
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        vector = self.builder.load(register)
        return self.builder.call(reduce, [ir.Constant(self.element, 0.0), vector], fastmath=("reassoc",))

    def load(self, place: Any) -> Any:
        return self.builder.load(self._as_vector(place), align=self.itemsize)

    def ask_for(self, place: Any) -> None:
        """Have the cache line at a place fetched, to be written to."""
        byte, flag = self.builder.bitcast(place, ir.IntType(8).as_pointer()), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.type, flag, flag, flag])
        prefetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(prefetch, [byte, ir.Constant(flag, 1), ir.Constant(flag, 3), ir.Constant(flag, 1)])

    def store(self, vector: Any, place: Any) -> None:
        self.builder.store(vector, self._as_vector(place), align=self.itemsize)

    def everywhere(self, number: Any) -> Any:
        """A vector of one number."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        )

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b)

    def multiply_add(self, register: Any, a: Any, b: Any) -> None:
        product = self.builder.fmul(a, b, flags=("contract",))
        self.builder.store(self.builder.fadd(self.builder.load(register), product, flags=("contract",)), register)

    def lanes_below(self, count: Any) -> Any:
        """A mask: true in the first ``count`` lanes."""
        mask = ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), ir.Undefined)
        for lane in range(self.lanes):
            below = self.builder.icmp_signed("<", self.index(lane), count)
            mask = self.builder.insert_element(mask, below, ir.Constant(ir.IntType(32), lane))
        return mask

    def load_some(self, place: Any, mask: Any) -> Any:
        """A vector whose other lanes are zero, and whose other places are not touched."""
        vector_pointer = self.vector.as_pointer()
        mask_type = ir.VectorType(ir.IntType(1), self.lanes)
        name = f"llvm.masked.load.v{self.lanes}f{8 * self.itemsize}.p0"
        kind = ir.FunctionType(self.vector, [vector_pointer, ir.IntType(32), mask_type, self.vector])
        masked_load = cgutils.get_or_insert_function(self.builder.module, kind, name)
        alignment = ir.Constant(ir.IntType(32), self.itemsize)
        return self.builder.call(masked_load, [self._as_vector(place), alignment, mask, ir.Constant(self.vector, None)])

    def _as_vector(self, place: Any) -> Any:
        return self.builder.bitcast(place, self.vector.as_pointer())
