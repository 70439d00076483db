"""Arithmetic: an element of the result depends on the elements in its place alone."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..autograd.dtypes import FLOATS, as_dtype, cast
from ..autograd.engine import GraphError, Rule, current_lock
from ..autograd.modes import state
from ..autograd.operands import as_float, as_operand, is_operand, same_float
from ..autograd.tensor import Operand, Tensor, record, tensor_method, wrap
from ..checks import abbreviated
from ..kernels.warnings import without_warnings

Array = NDArray[Any]


def unary(
    name: str, kernel: Callable[[Array], Array], x: Tensor, rule: Rule, *, formula: str, kind: str = "arithmetic"
) -> Tensor:
    """Record an elementwise op of one input: ``kernel`` of its array, with its backward rule."""
    with np.errstate(all="ignore"):
        return record(name, kernel(x.data), (x,), (rule,), kind=kind, formula=formula)


def binary(
    name: str, ufunc: Callable[..., Array], u: Tensor, v: Tensor, rules: tuple[Rule, Rule], *, formula: str
) -> Tensor:
    """Record an elementwise op of two inputs that broadcast, by one of NumPy's functions."""
    try:
        data = without_warnings.run(ufunc, u._data, v._data)
    except ValueError:
        raise ValueError(f"{name}: shapes {u.shape} and {v.shape} do not broadcast") from None
    return record(name, data, (u, v), rules, kind="arithmetic", formula=formula)


@tensor_method("__add__", "__radd__")
def add(u: Tensor, v: Operand) -> Tensor:
    """``u + v``."""
    if not is_operand(v):
        return NotImplemented  # type: ignore[no-any-return]
    u, v = same_float(u, as_operand("add", v, u))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy"""
        return g

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = dC/dy"""
        return g  # of a bias that was broadcast, the engine sums it: `autograd.engine.unbroadcast`

    return binary("add", np.add, u, v, (grad_u, grad_v), formula="y = u + v")


@tensor_method("__sub__")
def subtract(u: Tensor, v: Operand) -> Tensor:
    """``u - v``."""
    if not is_operand(v):
        return NotImplemented  # type: ignore[no-any-return]
    u, v = same_float(u, as_operand("subtract", v, u))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy"""
        return g

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = -dC/dy"""
        return -g

    return binary("subtract", np.subtract, u, v, (grad_u, grad_v), formula="y = u - v")


@tensor_method("__mul__", "__rmul__")
def multiply(u: Tensor, v: Operand) -> Tensor:
    """``u * v``."""
    if not is_operand(v):
        return NotImplemented  # type: ignore[no-any-return]
    u, v = same_float(u, as_operand("multiply", v, u))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy * v"""
        return g * v

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = dC/dy * u"""
        return g * u

    return binary("multiply", np.multiply, u, v, (grad_u, grad_v), formula="y = u * v")


@tensor_method("__truediv__")
def divide(u: Tensor, v: Operand) -> Tensor:
    """``u / v``; as in NumPy x/0 is an infinity and 0/0 NaN."""
    if not is_operand(v):
        return NotImplemented  # type: ignore[no-any-return]
    u, v = same_float(u, as_operand("divide", v, u))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy / v"""
        return g / v

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = -dC/dy * y / v"""
        return -g * y / v

    return binary("divide", np.divide, u, v, (grad_u, grad_v), formula="y = u / v")


@tensor_method("__pow__")
def power(u: Tensor, v: Operand) -> Tensor:
    """``u ** v``. The slope for u is 0 where v = 0; the slope for v is 0 where u = 0 and v > 0."""
    if not is_operand(v):
        return NotImplemented  # type: ignore[no-any-return]
    base, exponent = same_float(u, as_operand("power", v, u))

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy * v * u^(v-1)"""
        flat: NDArray[np.bool_] = exponent.data == 0
        slope: Tensor = exponent * (base + flat) ** (exponent - 1 + flat) * ~flat
        return g * slope

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = dC/dy * y * log(u)"""
        flat: NDArray[np.bool_] = (base.data == 0) & (exponent.data > 0)
        return g * y * (base + flat).log()

    return binary("power", np.power, base, exponent, (grad_u, grad_v), formula="y = u^v")


@tensor_method("__rsub__")
def _subtract_from(v: Tensor, u: Operand) -> Tensor:
    return as_operand("subtract", u, v) - v


@tensor_method("__rtruediv__")
def _divide_into(v: Tensor, u: Operand) -> Tensor:
    return as_operand("divide", u, v) / v


@tensor_method("__rpow__")
def _power_of(v: Tensor, u: Operand) -> Tensor:
    return as_operand("power", u, v) ** v


@tensor_method("__neg__")
def negative(u: Tensor) -> Tensor:
    """``-u``."""

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = -dC/dy"""
        return -g

    return unary("negative", np.negative, as_float(u), grad_u, formula="y = -u")


@tensor_method("__abs__", "abs")
def absolute(u: Tensor) -> Tensor:
    """``|u|``; its slope at 0 is taken as 0."""
    u = as_float(u)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy * sign(u)"""
        sign: NDArray[Any] = np.sign(u.data)
        return g * sign

    return unary("abs", np.abs, u, grad_u, formula="y = |u|")


@tensor_method("exp")
def exp(u: Tensor) -> Tensor:
    """``e^u``."""

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy * y"""
        return g * y

    return unary("exp", np.exp, as_float(u), grad_u, formula="y = e^u")


@tensor_method("log")
def log(u: Tensor) -> Tensor:
    """The natural logarithm: -inf at 0, where its slope is infinite, and NaN below."""
    u = as_float(u)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy / u"""
        return g / u

    return unary("log", np.log, u, grad_u, formula="y = log(u)")


@tensor_method("sqrt")
def sqrt(u: Tensor) -> Tensor:
    """The square root: its slope is infinite at 0, and it is NaN below."""

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy / (2 y)"""
        return g / (2 * y)

    return unary("sqrt", np.sqrt, as_float(u), grad_u, formula="y = sqrt(u)")


@tensor_method("erf")
def erf(u: Tensor) -> Tensor:
    """The error function, ``2/√π`` times the integral of e^-t² from 0 to u: between -1 and 1."""
    u = as_float(u)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy * 2 / sqrt(pi) * e^(-u^2)"""
        return g * ((-u * u).exp() * (2 / math.sqrt(math.pi)))

    return unary("erf", error_function, u, grad_u, formula="y = erf(u)")


def error_function(u: Array) -> Array:
    """`erf` of an array."""
    from scipy.special import erf  # here, because importing the package loads nothing heavier than NumPy

    y: Array = erf(u)
    return y


@tensor_method("clip")
def clip(u: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """``u`` with every element below ``low`` raised to it, and above ``high`` lowered to it.

    Raises:
        ValueError: low is above high.
    """
    u = as_float(u)
    bottom = as_operand("clip", -math.inf if low is None else low, u).item()
    top = as_operand("clip", math.inf if high is None else high, u).item()
    if not bottom <= top:
        raise ValueError(f"clip: low must not be above high, got {low} and {high}")
    inside = (u.data >= bottom) & (u.data <= top)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy where u was inside, else 0"""
        return g * inside

    return record(
        "clip",
        np.clip(u.data, bottom, top),
        (u,),
        (grad_u,),
        kind="arithmetic",
        formula="y = u, kept between bounds",
        low=low,
        high=high,
    )


@tensor_method("astype")
def astype(u: Tensor, dtype: DTypeLike) -> Tensor:
    """The elements in another data type. TypeError for an integer type if ``u`` requires a gradient."""
    target = as_dtype("astype", dtype)
    if dtype is None or (target not in FLOATS and u.requires_grad):
        got = abbreviated(dtype)
        raise TypeError(f"astype: a tensor that requires a gradient stays float32 or float64, got {got}")

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy in the type of u"""
        return g

    return record(
        "astype",
        cast("astype", u._data, target),
        (u,),
        (grad_u,),
        kind="movement",
        formula="the same numbers in another type",
        dtype=target.name,
    )


def in_place(symbol: str, method: str, ufunc: Callable[..., Any]) -> None:
    """Attach an augmented assignment such as ``u += v``: where nothing is recorded it updates u's own array.

    Where the result would be part of a graph, and for integers, whose arithmetic is done in floating point, Python
    computes ``u = u + v`` instead. The update raises GraphError for a leaf that requires a gradient, outside `no_grad`,
    and for a tensor that a graph still reads; ValueError if the result has another shape.
    """

    def update(u: Tensor, v: Operand) -> Tensor:
        if not is_operand(v):
            return NotImplemented  # type: ignore[no-any-return]
        if state.recording and u.requires_grad and u.node is None:
            raise GraphError(
                f"{symbol}: a leaf that requires a gradient, shape {u.shape}, cannot be changed while its use is "
                "recorded; put the update under no_grad()"
            )
        recorded = state.recording and (u.requires_grad or (isinstance(v, Tensor) and v.requires_grad))
        if recorded or u.dtype not in FLOATS:
            return NotImplemented  # type: ignore[no-any-return]
        if current_lock(u._data) is not None or (u.node is not None and u.node.rules is not None):
            raise GraphError(
                f"{symbol}: a graph that has yet to run backward reads this tensor, shape {u.shape}; call backward() "
                "first, or assign a new tensor"
            )
        if not u._data.flags.writeable:  # a view of another tensor's array
            return NotImplemented  # type: ignore[no-any-return]
        other = as_operand(symbol, v, u)
        try:
            without_warnings.run(ufunc, u._data, other._data, out=u._data, casting="same_kind")
        except ValueError:
            raise ValueError(
                f"{symbol}: the result must have the tensor's shape {u.shape}, got an operand of shape {other.shape}"
            ) from None
        return u

    tensor_method(method)(update)


in_place("+=", "__iadd__", np.add)
in_place("-=", "__isub__", np.subtract)
in_place("*=", "__imul__", np.multiply)
in_place("/=", "__itruediv__", np.true_divide)
in_place("**=", "__ipow__", np.power)


def _compare(method: str, ufunc: Callable[..., Any]) -> None:
    """Attach a comparison: a tensor of bools, without a gradient."""

    def compare(u: Tensor, v: object) -> Tensor:
        if not is_operand(v):
            return NotImplemented  # type: ignore[no-any-return]
        try:
            return wrap(np.asarray(without_warnings.run(ufunc, u.data, v.data if isinstance(v, Tensor) else v)))
        except OverflowError:
            raise ValueError("comparison: the integer is too large") from None
        except ValueError:
            raise ValueError(f"comparison: shapes {u.shape} and {np.shape(v)} do not broadcast") from None

    tensor_method(method)(compare)


_compare("__eq__", np.equal)
_compare("__ne__", np.not_equal)
_compare("__lt__", np.less)
_compare("__le__", np.less_equal)
_compare("__gt__", np.greater)
_compare("__ge__", np.greater_equal)
