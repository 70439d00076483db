"""Elementwise ops that the library lacks, each with its rule; their names are those of ONNX's operators, lowered."""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....autograd.operands import same_float
from ....autograd.tensor import Tensor, record
from ....ops import relu, sigmoid
from ....ops.activation import relu_backward
from ....ops.arithmetic import binary, unary
from ....ops.movement import put


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), without overflow."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy * sigmoid(x)"""
        return g * sigmoid(x)

    return unary("softplus", lambda a: np.logaddexp(a, a.dtype.type(0)), x, grad_x, formula="y = log(1 + e^x)")


def sin(x: Tensor) -> Tensor:
    """The sine of x in radians."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy * cos(x)"""
        return g * cos(x)

    return unary("sin", np.sin, x, grad_x, formula="y = sin(x)")


def cos(x: Tensor) -> Tensor:
    """The cosine of x in radians."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = -dC/dy * sin(x)"""
        return -g * sin(x)

    return unary("cos", np.cos, x, grad_x, formula="y = cos(x)")


def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy * cosh(x)"""
        return g * cosh(x)

    return unary("sinh", np.sinh, x, grad_x, formula="y = sinh(x)")


def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy * sinh(x)"""
        return g * sinh(x)

    return unary("cosh", np.cosh, x, grad_x, formula="y = cosh(x)")


def tan(x: Tensor) -> Tensor:
    """The tangent."""

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy * (1 + y^2)"""
        return g * (1 + y * y)

    return unary("tan", np.tan, x, grad_x, formula="y = tan(x)")


def _inverse(name: str, kernel: Callable[[Any], Any], slope: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return an inverse function whose slope is an algebraic function of x."""

    def op(x: Tensor) -> Tensor:
        def grad_x(g: Tensor, y: Tensor) -> Tensor:
            """dC/dx = dC/dy * the slope at x"""
            return g * slope(x)

        return unary(name, kernel, x, grad_x, formula=f"y = {name}(x)")

    return op


asin = _inverse("asin", np.arcsin, lambda x: (1 - x * x) ** -0.5)
acos = _inverse("acos", np.arccos, lambda x: -((1 - x * x) ** -0.5))
atan = _inverse("atan", np.arctan, lambda x: 1 / (1 + x * x))
asinh = _inverse("asinh", np.arcsinh, lambda x: (x * x + 1) ** -0.5)
acosh = _inverse("acosh", np.arccosh, lambda x: (x * x - 1) ** -0.5)
atanh = _inverse("atanh", np.arctanh, lambda x: 1 / (1 - x * x))


def _step(name: str, kernel: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """Return a function that is constant but for its steps."""

    def op(x: Tensor) -> Tensor:
        def grad_x(g: Tensor, y: Tensor) -> Tensor:
            """dC/dx = 0: the function is flat between its steps"""
            return g * np.zeros((), g.dtype)

        return unary(name, kernel, x, grad_x, formula=f"y = {name}(x)")

    return op


floor = _step("floor", np.floor)
ceil = _step("ceil", np.ceil)
round_half_even = _step("round", np.rint)
sign = _step("sign", np.sign)


def larger(u: Tensor, v: Tensor) -> Tensor:
    """The larger of two numbers in each place; a NaN wins, and of equals the first gets the gradient."""
    return _extreme("larger", np.maximum, np.greater_equal, u, v)


def smaller(u: Tensor, v: Tensor) -> Tensor:
    """The smaller of two numbers in each place; a NaN wins, and of equals the first gets the gradient."""
    return _extreme("smaller", np.minimum, np.less_equal, u, v)


def _extreme(name: str, kernel: Callable[..., Any], first: Callable[..., Any], u: Tensor, v: Tensor) -> Tensor:
    u, v = same_float(u, v)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy where u was taken, else 0"""
        return relu_backward(g, np.broadcast_to(first(u.data, v.data), g.shape))

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = dC/dy where v was taken, else 0"""
        return relu_backward(g, ~np.broadcast_to(first(u.data, v.data), g.shape))

    return binary(name, kernel, u, v, (grad_u, grad_v), formula=f"y = the {name} of u and v")


def fmod(u: Tensor, v: Tensor) -> Tensor:
    """The rest of u / v, with the sign of u."""
    u, v = same_float(u, v)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy"""
        return g

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = -dC/dy * trunc(u / v)"""
        turns: Tensor = -g * np.trunc(u.data / v.data)
        return turns

    return binary("fmod", np.fmod, u, v, (grad_u, grad_v), formula="y = u - v trunc(u / v)")


def floor_mod(u: Tensor, v: Tensor) -> Tensor:
    """The rest of u / v, with the sign of v."""
    u, v = same_float(u, v)

    def grad_u(g: Tensor, y: Tensor) -> Tensor:
        """dC/du = dC/dy"""
        return g

    def grad_v(g: Tensor, y: Tensor) -> Tensor:
        """dC/dv = -dC/dy * floor(u / v)"""
        turns: Tensor = -g * np.floor(u.data / v.data)
        return turns

    return binary("mod", np.mod, u, v, (grad_u, grad_v), formula="y = u - v floor(u / v)")


def extreme_over(x: Tensor, axes: tuple[int, ...], keepdims: bool, largest: bool) -> Tensor:
    """The largest or smallest number over some axes; the gradient goes to the first of equals, and a NaN wins."""
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*rest, *axes)
    moved = x.data.transpose(order)
    rows = moved.reshape(math.prod(moved.shape[: len(rest)]), -1)
    best = (np.argmax if largest else np.argmin)(rows, axis=1)
    numbers = np.arange(len(rows))
    shape, rows_shape, back = moved.shape, rows.shape, np.argsort(order).tolist()

    def grad_x(g: Tensor, y: Tensor) -> Tensor:
        """dC/dx = dC/dy at the number that was taken, else 0"""
        return put(g.reshape(-1), (numbers, best), rows_shape).reshape(shape).transpose(back)

    name = "reduce_max" if largest else "reduce_min"
    taken = rows[numbers, best].reshape([1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i in rest])
    formula = "y = the largest of x" if largest else "y = the smallest of x"
    return record(name, taken, (x,), (grad_x,), kind="reduction", formula=formula, axes=axes, keepdims=keepdims)


def negative_part(x: Tensor) -> Tensor:
    """min(x, 0), also of infinities."""
    return -relu(-x)
