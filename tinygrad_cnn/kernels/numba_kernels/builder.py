# mypy: disable-error-code="no-untyped-call, import-untyped"
"""Vector instructions in LLVM's intermediate language, which numba inserts into compiled code."""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

Tile = Callable[..., None]


def _vector_bytes() -> int:
    """Return the width of this processor's vector registers."""
    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


VECTOR_BYTES = _vector_bytes()
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


class Builder:
    """The few instructions that tiles are made of, on values of the emitted program.

    A vector has ``lanes`` numbers of ``dtype``.
    """

    def __init__(self, context: Any, builder: Any, dtype: Any, vector_bytes: int) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.itemsize = dtype.bitwidth // 8
        self.lanes = vector_bytes // self.itemsize

    def index(self, value: int) -> Any:
        """Return a constant of the arrays' index type."""
        return self.context.get_constant(types.intp, value)

    def pointer(self, array_type: Any, array: Any) -> Any:
        """Return the address of an array's first number."""
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def fields(self, kind: Any, value: Any) -> list[Any]:
        """Return a named tuple's fields, arrays as the addresses of their first numbers."""
        fields = cgutils.unpack_tuple(self.builder, value)
        return [
            self.pointer(t, v) if isinstance(t, types.Array) else v for t, v in zip(kind.types, fields, strict=True)
        ]

    def at(self, pointer: Any, offset: Any) -> Any:
        """Return the address ``offset`` numbers further on."""
        return self.builder.gep(pointer, [self.index(offset) if isinstance(offset, int) else offset])

    def number(self, pointer: Any, offset: Any) -> Any:
        """Load the number ``offset`` numbers after an address."""
        return self.builder.load(self.at(pointer, offset))

    def rows(self, pointer: Any, start: Any, offsets: Any, first: Any, count: int) -> list[Any]:
        """Return the addresses ``start + offsets[first + i]`` for i below ``count``."""
        numbers = [self.number(offsets, self.builder.add(first, self.index(i))) for i in range(count)]
        return [self.at(pointer, self.builder.add(start, number)) for number in numbers]

    def register(self, value: Any = None) -> Any:
        """Return a local variable, zeros or ``value`` at first, which the compiler keeps in a register."""
        value = ir.Constant(self._vector(self.element), None) if value is None else value
        variable = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, variable)
        return variable

    def broadcast(self, number: Any) -> Any:
        """Return a vector with one number in all lanes."""
        undefined = ir.Constant(self._vector(number.type), ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(_INT32, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(self._vector(_INT32), None))

    def lanes_below(self, count: Any) -> Any:
        """Return a mask that is true in the first ``count`` lanes."""
        lanes = ir.Constant(self._vector(_INT32), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, self.broadcast(self.builder.trunc(count, _INT32)))

    def whole_or_rest(self, count: Any, write: Callable[[Any], None]) -> None:
        """Emit ``write(None)`` for a whole vector, and ``write(mask)`` for ``count`` lanes if those are fewer."""
        with self.builder.if_else(self.builder.icmp_signed(">=", count, self.index(self.lanes))) as (whole, rest):
            with whole:
                write(None)
            with rest:
                write(self.lanes_below(count))

    def load(self, place: Any, mask: Any = None) -> Any:
        """Load a vector; lanes that the mask leaves out are zero, and their memory is not read."""
        vector = self._vector(place.type.pointee)
        pointer, alignment = self.builder.bitcast(place, vector.as_pointer()), self._alignment(place)
        if mask is None:
            return self.builder.load(pointer, align=alignment.constant)
        zeros = ir.Constant(vector, None)
        return self._call(f"llvm.masked.load.{_type_name(vector)}.p0", vector, pointer, alignment, mask, zeros)

    def store(self, vector: Any, place: Any, mask: Any = None) -> None:
        """Store a vector, or the lanes in the mask."""
        pointer, alignment = self.builder.bitcast(place, vector.type.as_pointer()), self._alignment(place)
        if mask is None:
            self.builder.store(vector, pointer, align=alignment.constant)
        else:
            self._call(
                f"llvm.masked.store.{_type_name(vector.type)}.p0", ir.VoidType(), vector, pointer, alignment, mask
            )

    def load_strided(self, place: Any, step: Any, mask: Any = None) -> Any:
        """Load a vector of numbers that are ``step`` apart."""
        pointers, vector, mask = self._pointers(place, step), self._vector(place.type.pointee), self._mask(mask)
        name, zeros = f"llvm.masked.gather.{_type_name(vector)}.v{self.lanes}p0", ir.Constant(vector, None)
        return self._call(name, vector, pointers, self._alignment(place), mask, zeros)

    def store_strided(self, vector: Any, place: Any, step: Any, mask: Any = None) -> None:
        """Store a vector to addresses that are ``step`` apart."""
        name, pointers = f"llvm.masked.scatter.{_type_name(vector.type)}.v{self.lanes}p0", self._pointers(place, step)
        self._call(name, ir.VoidType(), vector, pointers, self._alignment(place), self._mask(mask))

    def prefetch(self, place: Any) -> None:
        """Prefetch the cache line at an address for writing."""
        byte = self.builder.bitcast(place, ir.IntType(8).as_pointer())
        for_writing, soon, data = (ir.Constant(_INT32, number) for number in (1, 3, 1))
        self._call("llvm.prefetch.p0", ir.VoidType(), byte, for_writing, soon, data)

    def narrowed(self, numbers: Any, pointer: Any) -> Any:
        """Return 32-bit integers in the pointer's integer type, which is no wider."""
        kind = self._vector(pointer.type.pointee)
        return self.builder.trunc(numbers, kind) if kind.element.width < _INT32.width else numbers

    def widened(self, numbers: Any) -> Any:
        """Return unsigned integers of up to 32 bits as 32-bit integers."""
        narrow = numbers.type.element.width < _INT32.width
        return self.builder.zext(numbers, self._vector(_INT32)) if narrow else numbers

    def plus(self, a: Any, b: Any) -> Any:
        """Return the sum, lane by lane."""
        return self.builder.fadd(a, b)

    def multiply_add(self, register: Any, a: Any, b: Any) -> None:
        """Emit ``register += a * b`` as one fused instruction."""
        product = self.builder.fmul(a, b, flags=("contract",))
        self.builder.store(self.builder.fadd(self.builder.load(register), product, flags=("contract",)), register)

    def total(self, register: Any) -> Any:
        """Return the sum over the lanes, by halves."""
        vector, zero = self.builder.load(register), ir.Constant(self.element, 0.0)
        name = f"llvm.vector.reduce.fadd.{_type_name(vector.type)}"
        return self._call(name, self.element, zero, vector, fastmath=("reassoc",))

    def _vector(self, element: Any) -> Any:
        """The type of a vector of such elements."""
        return ir.VectorType(element, self.lanes)

    def _mask(self, mask: Any) -> Any:
        """The mask, or one that is true in all lanes."""
        return ir.Constant(self._vector(ir.IntType(1)), [1] * self.lanes) if mask is None else mask

    def _pointers(self, place: Any, step: Any) -> Any:
        """A vector of addresses that are ``step`` apart."""
        lanes = ir.Constant(self._vector(_INT64), list(range(self.lanes)))
        size = self.index(self.context.get_abi_sizeof(place.type.pointee))
        offsets = self.builder.mul(lanes, self.broadcast(self.builder.mul(step, size)))
        start = self.broadcast(self.builder.ptrtoint(place, _INT64))
        return self.builder.inttoptr(self.builder.add(start, offsets), self._vector(place.type))

    def _alignment(self, place: Any) -> Any:
        """The alignment of one number."""
        return ir.Constant(_INT32, self.context.get_abi_sizeof(place.type.pointee))

    def _call(self, name: str, result: Any, *arguments: Any, fastmath: tuple[str, ...] = ()) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments, fastmath=fastmath)


def _type_name(vector: Any) -> str:
    """LLVM's name of a vector type."""
    element = vector.element
    if isinstance(element, ir.IntType):
        return f"v{vector.count}i{element.width}"
    return f"v{vector.count}f{64 if element == ir.DoubleType() else 32}"
