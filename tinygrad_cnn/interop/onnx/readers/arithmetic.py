"""Arithmetic, comparisons and logic of ONNX; integers are computed as integers."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, UnsupportedError, Value, as_tensor, by_kind, cast, numbers_of, same_kind, to_value
from . import elementwise


def _aligned(a: Value, b: Value, axis: int | None, broadcast: int, opset: int) -> Value:
    """Return b with the axes of a below operator set 7, where ``axis`` is the axis of a at which b's begin."""
    if opset >= 7 or not broadcast or axis is None or b.ndim == 0:
        return b
    return b.reshape(b.shape + (1,) * (a.ndim - axis % a.ndim - b.ndim))


def _register_binary(name: str, of_tensors: Callable[..., Value], of_arrays: Callable[..., Any]) -> None:
    both = by_kind(of_tensors, of_arrays)

    @reader(name)
    def compute(a: Value, b: Value, *, axis: int | None = None, broadcast: int = 0, opset: int) -> Value:
        return both(a, _aligned(a, b, axis, broadcast, opset))


def _divide(a: Array, b: Array) -> Array:
    """Return the quotient of integers, rounded towards zero; 0 where b is 0."""
    if a.dtype.kind == "b" or b.dtype.kind == "b":
        raise UnsupportedError("bools cannot be divided")
    quotient = np.floor_divide(a, b)
    return np.asarray(quotient + ((np.mod(a, b) != 0) & ((a < 0) != (b < 0))).astype(quotient.dtype))


def _no_floats(*values: Tensor) -> Value:
    raise UnsupportedError("takes bools or integers, not floats")


def _no_integers(array: Array) -> Array:
    raise UnsupportedError(f"takes floats, not {array.dtype}")


_ARITHMETIC: dict[str, tuple[Callable[..., Value], Callable[..., Any]]] = {
    "Add": (lambda a, b: a + b, np.add),
    "Sub": (lambda a, b: a - b, np.subtract),
    "Mul": (lambda a, b: a * b, np.multiply),
    "Div": (lambda a, b: a / b, _divide),
    "And": (_no_floats, np.logical_and),
    "Or": (_no_floats, np.logical_or),
    "Xor": (_no_floats, np.logical_xor),
    "BitwiseAnd": (_no_floats, np.bitwise_and),
    "BitwiseOr": (_no_floats, np.bitwise_or),
    "BitwiseXor": (_no_floats, np.bitwise_xor),
    "Equal": (lambda a, b: numbers_of(a) == numbers_of(b), np.equal),
    "Greater": (lambda a, b: numbers_of(a) > numbers_of(b), np.greater),
    "GreaterOrEqual": (lambda a, b: numbers_of(a) >= numbers_of(b), np.greater_equal),
    "Less": (lambda a, b: numbers_of(a) < numbers_of(b), np.less),
    "LessOrEqual": (lambda a, b: numbers_of(a) <= numbers_of(b), np.less_equal),
}
for _name, (_of_tensors, _of_arrays) in _ARITHMETIC.items():
    _register_binary(_name, _of_tensors, _of_arrays)


@reader("Pow")
def power(a: Value, b: Value, *, axis: int | None = None, broadcast: int = 0, opset: int) -> Value:
    """The result has the type of a, whatever b's is."""
    b = _aligned(a, b, axis, broadcast, opset)
    if isinstance(a, Tensor):
        return a ** (b if isinstance(b, Tensor) else b.astype(a.dtype))
    exponent = numbers_of(b)
    with np.errstate(all="ignore"):
        whole = exponent.dtype.kind in "iu" and bool((exponent >= 0).all())
        powers = np.power(a, exponent) if whole else np.power(a.astype(np.float64), exponent)
        return np.asarray(powers.astype(a.dtype))


@reader("Mod", allowed={"fmod": (0, 1)})
def mod(a: Value, b: Value, *, fmod: int = 0) -> Value:
    """The rest with the sign of b, or of a with ``fmod``."""
    if isinstance(a, Tensor):
        return (elementwise.fmod if fmod else elementwise.floor_mod)(a, as_tensor(b))
    with np.errstate(all="ignore"):
        return np.asarray((np.fmod if fmod else np.mod)(a, numbers_of(b)))


@reader("BitShift", allowed={"direction": ("LEFT", "RIGHT")})
def bit_shift(a: Array, b: Array, *, direction: str) -> Value:
    """Bits moved by b places."""
    return np.asarray((np.left_shift if direction == "LEFT" else np.right_shift)(a, b))


def _register_unary(name: str, of_tensors: Callable[[Tensor], Value], of_arrays: Callable[[Array], Any]) -> None:
    one = by_kind(of_tensors, of_arrays)

    @reader(name)
    def compute(x: Value) -> Value:
        return one(x)


_UNARY: dict[str, tuple[Callable[[Tensor], Value], Callable[[Array], Any]]] = {
    "Abs": (lambda x: x.abs(), np.abs),
    "Acos": (elementwise.acos, np.arccos),
    "Acosh": (elementwise.acosh, np.arccosh),
    "Asin": (elementwise.asin, np.arcsin),
    "Asinh": (elementwise.asinh, np.arcsinh),
    "Atan": (elementwise.atan, np.arctan),
    "Atanh": (elementwise.atanh, np.arctanh),
    "BitwiseNot": (_no_floats, np.bitwise_not),
    "Ceil": (elementwise.ceil, np.ceil),
    "Cos": (elementwise.cos, np.cos),
    "Cosh": (elementwise.cosh, np.cosh),
    "Erf": (lambda x: x.erf(), _no_integers),
    "Exp": (lambda x: x.exp(), np.exp),
    "Floor": (elementwise.floor, np.floor),
    "Identity": (lambda x: x, lambda a: a),
    "IsNaN": (lambda x: np.isnan(x.data), np.isnan),
    "Log": (lambda x: x.log(), np.log),
    "Neg": (lambda x: -x, np.negative),
    "Not": (_no_floats, np.logical_not),
    "Reciprocal": (lambda x: 1 / x, _no_integers),
    "Round": (elementwise.round_half_even, np.rint),
    "Sign": (elementwise.sign, np.sign),
    "Sin": (elementwise.sin, np.sin),
    "Sinh": (elementwise.sinh, np.sinh),
    "Sqrt": (lambda x: x.sqrt(), np.sqrt),
    "Tan": (elementwise.tan, np.tan),
}
for _name, (_one, _array) in _UNARY.items():
    _register_unary(_name, _one, _array)


@reader("IsInf")
def is_infinite(x: Value, *, detect_negative: int = 1, detect_positive: int = 1) -> Value:
    """True where x is an infinity of a sign that is to be detected."""
    a = numbers_of(x)
    return np.asarray((np.isposinf(a) & bool(detect_positive)) | (np.isneginf(a) & bool(detect_negative)))


@reader("Max")
def largest(*values: Value) -> Value:
    """The largest of the inputs in each place."""
    return reduce(by_kind(elementwise.larger, np.maximum), values)


@reader("Min")
def smallest(*values: Value) -> Value:
    """The smallest of the inputs in each place."""
    return reduce(by_kind(elementwise.smaller, np.minimum), values)


@reader("Sum")
def total(*values: Value) -> Value:
    """The sum of the inputs."""
    return reduce(by_kind(lambda a, b: a + b, np.add), values)


@reader("Mean")
def mean(*values: Value) -> Value:
    """The mean of the inputs."""
    result: Value = as_tensor(total(*values)) * (1 / len(values))
    return result


@reader("Clip")
def clip(x: Value, min: Any = None, max: Any = None) -> Value:
    """x between bounds; where min is above max, max."""
    if not isinstance(x, Tensor):
        for bound, take in ((min, np.maximum), (max, np.minimum)):
            x = x if bound is None else take(x, np.asarray(numbers_of(bound)).astype(x.dtype))
        return np.asarray(x)
    low, high = (None if n is None else float(np.asarray(numbers_of(n)).item()) for n in (min, max))
    if low is not None and high is not None and low > high:
        return x * 0 + high
    return x.clip(low, high) if (low, high) != (None, None) else x


@reader("Where")
def where(condition: Value, a: Value, b: Value) -> Value:
    """a where the condition holds, else b."""
    mask = numbers_of(condition).astype(bool)
    if isinstance(a, Tensor):
        return ops.where(mask, a, as_tensor(b))
    return np.where(mask, a, numbers_of(b))


@reader("Cast")
def cast_to(x: Value, *, to: Any, saturate: int = 1, round_mode: str = "up") -> Value:
    """x in another data type; operator sets below 6 name it by a text."""
    if isinstance(to, str):
        to = {"FLOAT": 1, "DOUBLE": 11, "INT32": 6, "INT64": 7, "BOOL": 9}.get(to, 0)
    return cast(x, to, saturate=bool(saturate), round_mode=round_mode)


@reader("CastLike")
def cast_like(x: Value, like: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    """x in the data type of another value."""
    if isinstance(like, Tensor):
        return as_tensor(x).astype(like.dtype) if isinstance(x, Tensor) else to_value(x.astype(like.dtype))
    if like.dtype == bool:
        return np.asarray(numbers_of(x) != 0)
    with np.errstate(all="ignore"):
        return same_kind(np.trunc(numbers_of(x)) if isinstance(x, Tensor) else x, like)
