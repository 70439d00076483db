"""Hypotheses about a gradient that is no array of real, finite numbers of the input's shape."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from ...checks import abbreviated
from .evidence import Evidence, Verdict, first_wrong, place
from .patterns import right_of
from .probing import Array, Probe
from .report import derivative
from .tensors import NotATensor


def not_numbers(evidence: Evidence) -> Verdict | None:
    """A gradient that is no array of numbers, or of complex numbers."""
    for probe in evidence.probes:
        for row in probe.point.returned:
            value = row[probe.k]
            if isinstance(value, NotATensor):
                got = type(value.value).__name__
                text = f"The rule for {evidence.name} returned {'an' if got[0] in 'aeiou' else 'a'} {got}; a rule of"
                return Verdict("dtype", f"{text} an op on tensors returns a Tensor: wrap it in Tensor(...).")
            dtype = np.asarray(value).dtype
            if dtype.kind not in "fiub":
                text = (
                    f"{evidence.gradient} has dtype {dtype} ({abbreviated(value)}): a gradient is an array of floats."
                )
                return Verdict("dtype", text)
    return None


def integers(evidence: Evidence) -> Verdict | None:
    """A gradient of integers or bools, which cannot be right to rounding."""
    probe = first_wrong(evidence)[0]
    dtype = np.asarray(probe.point.returned[0][probe.k]).dtype
    analytic = probe.analytic
    if dtype.kind == "f" or analytic is None:
        return None
    text = (
        f"{evidence.gradient} has dtype {dtype}: it lost everything behind the decimal point. Make the array with "
        "dtype=float; zeros_like of an array of integers makes integers."
    )
    right = probe.right[0].reshape(probe.shape)
    return Verdict("dtype", text, first_wrong(evidence)[1], (right, analytic[0].reshape(probe.shape)))


def not_finite(evidence: Evidence) -> Verdict | None:
    """NaN or infinity where the numerical derivative is finite."""
    for probe in evidence.probes:
        a = probe.analytic
        if a is None:
            continue
        bad = ~np.isfinite(a).all(0)
        if bad.any() and (probe.sure & bad).any():
            where = place(int(np.argmax(probe.sure & bad)), probe.shape)
            i = int(np.argmax(probe.sure & bad))
            value = a[np.argmax(~np.isfinite(a[:, i])), i]
            text = (
                f"{evidence.gradient} is {value} at {where}, where the numerical derivative is "
                f"{probe.right[0, i]:.6g}. Look for a division by zero, a logarithm of zero, inf - inf or 0 * inf, or "
                "an array from numpy.empty that was not filled."
            )
            return Verdict("nan", text, where, (probe.right[0].reshape(probe.shape), a[0].reshape(probe.shape)))
    return None


def wrong_shape(evidence: Evidence) -> Verdict | None:
    """A gradient of another shape than its input: transposed, not summed, cropped, or of another input."""
    probe = evidence.probes[0]
    shape = np.shape(probe.point.returned[0][probe.k])
    if shape == probe.shape:
        return None
    for test in (_exchanged, _transposed, _not_summed, _reshaped, _summed_too_much, _part, _whole):
        verdict = test(evidence, shape)
        if verdict is not None:
            return verdict
    text = f"{evidence.gradient} has the shape {shape}, but {evidence.name} has the shape {probe.shape}: they must be"
    return Verdict("shape", f"{text} the same.", None, _arrays(evidence))


def _arrays(evidence: Evidence) -> tuple[Array, Array]:
    probe = evidence.probes[0]
    return probe.right[0].reshape(probe.shape), np.asarray(probe.point.returned[0][probe.k], np.float64)


def _fits(evidence: Evidence, model: Callable[[Probe, Array], tuple[Array, Array]]) -> bool:
    """True if two arrays agree at every probe and cotangent: ``model`` makes them of the probe and what was returned.

    The first is compared where it is not NaN; the second is what the hypothesis says it should be.
    """
    compared = 0
    for probe in evidence.probes:
        for v, row in enumerate(probe.point.returned):
            returned = np.asarray(row[probe.k], np.float64)
            right, other = model(probe, returned)
            right, other = right[v], np.asarray(other)
            if right.shape != other.shape:
                return False
            known = np.isfinite(right)
            scale = np.abs(right[known]).max(initial=0)
            tolerance = 1e-5 * scale + float(np.nanmax(probe.tolerance, initial=0))
            if not (np.abs(right - other)[known] <= tolerance).all():
                return False
            compared += int((np.abs(right[known]) > tolerance).sum())
    return compared > 0


def _right(probe: Probe) -> Array:
    """The right gradients (V, *shape), NaN where they are not sure."""
    return np.asarray(np.where(probe.sure, probe.right, np.nan).reshape(-1, *probe.shape))


def _exchanged(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    """The gradient of another input: returned in another order."""
    for k, a in enumerate(evidence.probes[0].point.arrays):
        if k == evidence.k or a.shape != shape or any(right_of(p, k) is None for p in evidence.probes):
            continue

        def model(probe: Probe, returned: Array, k: int = k) -> tuple[Array, Array]:
            right = right_of(probe, k)
            assert right is not None
            return right.reshape(-1, *returned.shape), returned

        if _fits(evidence, model):
            name = evidence.other(k)
            text = (
                f"{evidence.gradient} has the shape {shape} of {name}: it is the right {derivative(name)}. Return the "
                "gradients in the order of the inputs."
            )
            return Verdict("shape", text)
    return None


def _transposed(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    goal = evidence.shape
    for order in itertools.permutations(range(len(shape))) if len(shape) <= 4 else ():
        if order == tuple(range(len(shape))) or tuple(shape[i] for i in order) != goal:
            continue
        for sign in (1, -1):

            def model(
                probe: Probe, returned: Array, order: tuple[int, ...] = order, sign: int = sign
            ) -> tuple[Array, Array]:
                return _right(probe), sign * returned.transpose(order)

            if _fits(evidence, model):
                minus = " and negative" if sign < 0 else ""
                text = (
                    f"{evidence.gradient} is the right gradient transposed{minus}: it has the shape {shape}, "
                    f"{evidence.name} has {goal}. Try .T, or the factors of the product in the other order."
                )
                return Verdict("transposed", text, None, _arrays(evidence))
    return None


def _not_summed(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    """The gradient before the sum over axes that were broadcast or shared."""
    goal = evidence.shape
    size = math.prod(goal)
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            if math.prod(n for i, n in enumerate(shape) if i not in axes) != size:
                continue

            def model(probe: Probe, returned: Array, axes: tuple[int, ...] = axes) -> tuple[Array, Array]:
                return _right(probe), returned.sum(axes).reshape(goal)

            if all(shape[i] == 1 for i in axes) or not _fits(evidence, model):
                continue
            text = (
                f"{evidence.gradient} is not summed: it has the shape {shape}, {evidence.name} has {goal}. "
                f"{_shared(evidence, shape, axes)}: add the components up, sum(axis={_axes(axes)})."
            )
            return Verdict("not_summed", text, None, _arrays(evidence))
    return None


def _axes(axes: tuple[int, ...]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(axes)


def _shared(evidence: Evidence, shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """Who shares the input."""
    name = evidence.name
    if len(shape) == 4 and {2, 3} <= set(axes):
        also = " of all images of the batch" if 0 in axes else ""
        return f"All neurons of a feature map{also} share {name}"
    if len(shape) > 1 and axes == (0,):
        return f"All images of the batch share {name}"
    return f"{name} is shared along these axes"


def _reshaped(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    goal = evidence.shape
    if math.prod(shape) != math.prod(goal):
        return None
    if not _fits(evidence, lambda p, r: (_right(p), r.reshape(goal))):
        return None
    text = (
        f"{evidence.gradient} has the right numbers in the shape {shape}, but {evidence.name} has {goal}: try "
        f".reshape({evidence.name}.shape)."
    )
    return Verdict("shape", text, None, _arrays(evidence))


def _summed_too_much(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    """The right gradient summed over axes that it has to keep."""
    goal = evidence.shape
    for count in range(1, len(goal) + 1):
        for axes in itertools.combinations(range(len(goal)), count):
            if math.prod(n for i, n in enumerate(goal) if i not in axes) != math.prod(shape):
                continue

            def model(probe: Probe, returned: Array, axes: tuple[int, ...] = axes) -> tuple[Array, Array]:
                right = _right(probe)
                return right.sum(tuple(1 + i for i in axes)).reshape(len(right), *returned.shape), returned

            if _fits(evidence, model):
                text = (
                    f"{evidence.gradient} is summed too far: it has the shape {shape}, {evidence.name} has {goal}. "
                    f"Each element of {evidence.name} has a gradient of its own: leave the sum over {_axes(axes)} out."
                )
                return Verdict("shape", text, None, _arrays(evidence))
    return None


def _part(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    """A part of the right gradient, such as a valid in place of a full convolution."""
    goal = evidence.shape
    if len(shape) != len(goal) or any(n > m for n, m in zip(shape, goal, strict=True)):
        return None
    for start in itertools.product(*(range(m - n + 1) for n, m in zip(shape, goal, strict=True))):
        here = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))

        def model(probe: Probe, returned: Array, here: tuple[slice, ...] = here) -> tuple[Array, Array]:
            return _right(probe)[(slice(None), *here)], returned

        if _fits(evidence, model):
            text = (
                f"{evidence.gradient} is a part of the right gradient: it has the shape {shape}, {evidence.name} has "
                f"{goal}, and the part starts at {start}. The gradient for the previous layer needs every place at "
                'which the overlays meet at all: mode="full" for "valid".'
            )
            return Verdict("shape", text, None, _arrays(evidence))
    return None


def _whole(evidence: Evidence, shape: tuple[int, ...]) -> Verdict | None:
    """More than the right gradient, such as a full in place of a valid correlation."""
    goal = evidence.shape
    if len(shape) != len(goal) or any(n < m for n, m in zip(shape, goal, strict=True)):
        return None
    for start in itertools.product(*(range(n - m + 1) for n, m in zip(shape, goal, strict=True))):
        here = tuple(slice(s, s + m) for s, m in zip(start, goal, strict=True))

        def model(probe: Probe, returned: Array, here: tuple[slice, ...] = here) -> tuple[Array, Array]:
            return _right(probe), returned[here]

        if _fits(evidence, model):
            text = (
                f"{evidence.gradient} contains the right gradient, from {start} on, and a border around it: it has the "
                f'shape {shape}, {evidence.name} has {goal}. Try mode="valid" for "full", or cut the padding off.'
            )
            return Verdict("shape", text, None, _arrays(evidence))
    return None


def single_precision(evidence: Evidence, float64_input: bool) -> Verdict | None:
    """float32 for an input that the caller gave in float64."""
    dtype = np.asarray(evidence.probes[0].point.returned[0][evidence.k]).dtype
    if not float64_input or dtype not in (np.float16, np.float32):
        return None
    text = (
        f"{evidence.gradient} is right to rounding, but in {dtype}, and {evidence.name} is float64: look for "
        f"dtype={dtype} or astype in the rule."
    )
    return Verdict("dtype", text)
