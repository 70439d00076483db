"""Numerical check of backward rules: central differences along random directions, in float64."""

import inspect
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..checks import abbreviated, plural
from .doctor import diagnose
from .modes import enable_grad
from .tensor import Tensor, as_tensor, grad


class GradcheckError(ValueError):
    """A rule and the numerical derivative disagree, or the function has a kink at the point.

    Of a wrong rule the message ends with what `diagnose` says about it.
    """


class _WrongGradientError(GradcheckError):
    """A gradient is wrong or not finite."""


def gradcheck(
    fn: Callable[..., Tensor],
    *inputs: Tensor,
    order: int = 1,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    directions: int = 3,
    seed: int = 0,
) -> bool:
    """Check the gradients of ``fn`` at ``inputs`` against central differences.

    For random directions d and a random cotangent v it compares ``Σ v·(fn(x + εd) - fn(x - εd)) / 2ε`` with
    ``Σ d·∂(v·fn)/∂x``. A cotangent of ones would not do: the gradient of ``softmax(x).sum()`` is 0, right or wrong.

    Args:
        fn: a function of as many tensors as there are inputs, which returns one tensor and is not random.
        inputs: the point; those that require a gradient are checked (all, if none does), in float64.
        order: 1, or 2 to check the rules of the rules as well.
        eps: the step; smaller than the distance to any kink.
        rtol, atol: the allowed difference, relative to the larger and absolute.
        directions: the number of random directions for each input.
        seed: seed of the random directions and cotangents.

    Returns:
        True.

    Raises:
        GradcheckError: a gradient is wrong, missing or not finite, or ``fn`` bends or jumps within two steps of the
            point, so that there is no gradient to check.

    >>> import tinygrad_cnn as tg
    >>> tg.gradcheck(tg.sigmoid, tg.Tensor([0.5, -1.0]), order=2)
    True
    """
    if not isinstance(order, int | np.integer) or order not in (1, 2):
        raise ValueError(f"gradcheck: order must be 1 or 2, got {abbreviated(order)}")
    eps, rtol, atol = (
        checks.number("gradcheck", name, value, low, 1)
        for name, value, low in (("eps", eps, 1e-12), ("rtol", rtol, 0), ("atol", atol, 0))
    )
    settings = eps, rtol, atol, checks.integer("gradcheck", "directions", directions, 1)
    rng = np.random.default_rng(checks.integer("gradcheck", "seed", seed, 0))
    points = [as_tensor("gradcheck", t) for t in inputs]
    _check_call(fn, len(points))
    required = [t.requires_grad for t in points]
    checked = [r or (not any(required) and t.dtype.kind == "f") for r, t in zip(required, points, strict=True)]
    if not any(checked):
        raise ValueError("gradcheck: there is no floating point input to check")
    fixed = [t.astype(np.float64).detach() if t.dtype.kind == "f" else t for t in points]
    arrays = [t.data for t in fixed]

    def at(values: Sequence[NDArray[np.float64]]) -> list[Tensor]:
        return [Tensor(a, requires_grad=True) if c else t for a, c, t in zip(values, checked, fixed, strict=True)]

    def check() -> None:
        cotangent = _check(fn, at, arrays, checked, rng, settings, "")

        def first_gradients(*tensors: Tensor) -> Tensor:
            """One number from all first gradients: its gradient has the second derivatives in every pair of inputs."""
            targets = [t for t, c in zip(tensors, checked, strict=True) if c]
            unused = [(t * 0).sum() for t in targets]  # gives an input that fn ignores a gradient: 0
            slopes = grad(_sum([(fn(*tensors) * cotangent).sum(), *unused]), targets, create_graph=True)
            inner = np.random.default_rng(seed + 1)
            return _sum([(s * inner.standard_normal(s.shape)).sum() for s in slopes])

        if order == 2:
            _check(first_gradients, at, arrays, checked, rng, settings, "second order, ")

    with enable_grad():
        try:
            check()
        except _WrongGradientError as error:
            raise GradcheckError(f"{error}{_explanation(fn, at(arrays), order)}") from None
    return True


def _explanation(fn: Callable[..., Tensor], tensors: list[Tensor], order: int) -> str:
    """Return the doctor's sentence; "" if it finds nothing, or cannot examine the function."""
    try:
        findings = diagnose(fn, *tensors, order=order).findings
    except Exception:  # whatever fn raises at other points
        return ""
    return "".join(f". {finding.message.removesuffix('.')}" for finding in findings[:1])


def _check_call(fn: object, inputs: int) -> None:
    """TypeError unless ``fn`` can be called with so many arguments."""
    if not callable(fn):
        raise TypeError(f"gradcheck: fn must be a function of tensors, got {abbreviated(fn)}")
    try:
        signature = inspect.signature(fn)
    except ValueError:  # of a function that does not tell
        return
    try:
        signature.bind(*range(inputs))
    except TypeError as error:
        raise TypeError(f"gradcheck: fn does not take {plural(inputs, 'input')}: {error}") from None


def _check(
    fn: Callable[..., Tensor],
    at: Callable[[Sequence[NDArray[np.float64]]], list[Tensor]],
    arrays: list[NDArray[np.float64]],
    checked: list[bool],
    rng: np.random.Generator,
    settings: tuple[float, float, float, int],
    what: str,
) -> NDArray[np.float64]:
    """Check every input that is marked in ``checked``, at ``arrays``; returns the cotangent."""
    eps, rtol, atol, directions = settings
    tensors = at(arrays)
    y = fn(*tensors)
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: fn must return one tensor, got {type(y).__name__}")
    cotangent = rng.standard_normal(y.shape)
    gradients = _gradients(y, cotangent, tensors, checked)
    size = float(np.abs(y.data * cotangent).sum())
    for k, gradient in enumerate(gradients):
        if not checked[k]:
            continue
        for _ in range(directions):
            d = rng.standard_normal(arrays[k].shape)
            expected = float((gradient * d).sum())
            values = [_value(fn, at, arrays, k, step * d, cotangent) for step in (-2 * eps, -eps, 0.0, eps, 2 * eps)]
            _compare(values, size, expected, (eps, rtol, atol), f"{what}input {k}, shape {arrays[k].shape}")
    return cotangent


def _compare(
    values: list[float], size: float, expected: float, settings: tuple[float, float, float], where: str
) -> None:
    """Compare the rule's slope with the slopes between five points on a line, ``eps`` apart.

    ``size`` is the sum of the magnitudes of a value's summands: its rounding error is in proportion to that.
    """
    eps, rtol, atol = settings
    if not np.isfinite([*values, expected]).all():
        raise _WrongGradientError(f"gradcheck: {where}: not finite: the rule gives {expected}, the values are {values}")
    slopes = np.diff(values) / eps
    slope = (values[3] - values[1]) / (2 * eps)
    rounding = 64 * np.finfo(np.float64).eps * max(1.0, size) / eps
    allowed = atol + rtol * max(abs(slope), abs(expected)) + rounding
    # From each slope to the next, a smooth fn changes by the same little; a kink or a jump changes one of them.
    if np.ptp(np.diff(slopes)) > 4 * allowed:
        raise GradcheckError(
            f"gradcheck: {where}: not differentiable here: the slope is {slopes[0]:.9g} on one side and "
            f"{slopes[3]:.9g} on the other (the rule gives {expected:.9g}); move the point, or shrink eps={eps:g}"
        )
    if abs(slope - expected) > allowed:
        raise _WrongGradientError(
            f"gradcheck: {where}: the rule gives {expected:.9g}, the numbers {slope:.9g} "
            f"(difference {abs(slope - expected):.3g}, allowed {allowed:.3g})"
        )


def _value(
    fn: Callable[..., Tensor],
    at: Callable[[Sequence[NDArray[np.float64]]], list[Tensor]],
    arrays: list[NDArray[np.float64]],
    k: int,
    step: NDArray[np.float64],
    cotangent: NDArray[np.float64],
) -> float:
    moved = [a + step if i == k else a for i, a in enumerate(arrays)]
    return float((fn(*at(moved)).data * cotangent).sum())


def _gradients(
    y: Tensor, cotangent: NDArray[np.float64], tensors: list[Tensor], checked: list[bool]
) -> list[NDArray[np.float64]]:
    """The gradients by the rules; zeros for an input that the result does not depend on."""
    if y.requires_grad:
        y.backward(cotangent)
    return [
        t.grad.data if c and t.grad is not None else np.zeros(t.shape) for t, c in zip(tensors, checked, strict=True)
    ]


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for t in terms[1:]:
        total = total + t
    return total
