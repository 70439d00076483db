"""Hypotheses about a gradient as a whole: its shape and type, constants, turns, exchanged axes, shifts."""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ...checks import abbreviated
from .evidence import Answer, Evidence, constant, equals, is_one, mismatch, named_constant, with_constant
from .probing import Array, Probe
from .report import derivative
from .tensors import NotATensor

_LARGEST_SHIFT = 3

Turn = Callable[[Array], Array]
Shape = tuple[int, ...]
_Model = Callable[[Array, Array], tuple[Array, Array]]  # what should agree, of (V, *x.shape) and (V, *returned.shape)


def not_numbers(evidence: Evidence) -> Answer:
    """A gradient that is no array of numbers, or of complex numbers."""
    for probe in evidence.probes:
        for row in probe.point.returned:
            value = row[probe.k]
            if isinstance(value, NotATensor):
                got = type(value.value).__name__
                return "dtype", (
                    f"The rule for {evidence.name} returned {'an' if got[0] in 'aeiou' else 'a'} {got}; a rule of an "
                    "op on tensors returns a Tensor: wrap it in Tensor(...)."
                )
            dtype = np.asarray(value).dtype
            if dtype.kind not in "fiub":
                got = f"{evidence.gradient} has dtype {dtype} ({abbreviated(value)})"
                return "dtype", f"{got}: a gradient is an array of floats."
    return None


def not_finite(evidence: Evidence) -> Answer:
    """NaN or infinity where the numerical derivative is finite."""
    probe, where = evidence.first_wrong()
    analytic = probe.analytic
    if analytic is None or where is None:
        return None
    bad = np.argwhere(~np.isfinite(analytic) & probe.sure)
    if not len(bad):
        return None
    v, i = bad[0]
    return "nan", (
        f"{evidence.gradient} is {analytic[v, i]}, where the numerical derivative is {probe.right[v, i]:.6g}. Look for "
        "a division by zero, a logarithm of zero, inf - inf or 0 * inf, or an array from numpy.empty."
    )


def integers(evidence: Evidence) -> Answer:
    """A gradient of integers or bools, which cannot be right to rounding."""
    dtype = np.asarray(evidence.probes[0].point.returned[0][evidence.k]).dtype
    if dtype.kind == "f":
        return None
    return "dtype", (
        f"{evidence.gradient} has dtype {dtype}: it lost everything behind the decimal point. Make the array with "
        "dtype=float; zeros_like of an array of integers makes integers."
    )


def single_precision(evidence: Evidence) -> Answer:
    """float32 for an input in float64, right besides."""
    dtype = np.asarray(evidence.probes[0].point.returned[0][evidence.k]).dtype
    if dtype not in (np.float16, np.float32):
        return None
    return "dtype", (
        f"{evidence.gradient} is right to rounding, but in {dtype}, and {evidence.name} is float64: look for "
        f"dtype={dtype} or astype in the rule."
    )


# The shape ------------------------------------------------------------------------------------------------------------


def wrong_shape(evidence: Evidence) -> Answer:
    """A gradient of another shape than its input: transposed, not summed, cropped, or of another input."""
    shape, goal = np.shape(evidence.probes[0].point.returned[0][evidence.k]), evidence.shape
    if shape == goal:
        return None
    exchanged = of_another_input(evidence)
    if exchanged is not None:
        return exchanged
    has = f"it has the shape {shape}, {evidence.name} has {goal}"
    for kind, sentence, model in _shape_models(evidence, shape, goal):
        if _fits(evidence, model):
            return kind, f"{evidence.gradient} {sentence.format(has=has)}"
    text = (
        f"{evidence.gradient} has the shape {shape}, but {evidence.name} has the shape {goal}: they must be the same."
    )
    return "shape", text


def _fits(evidence: Evidence, model: _Model) -> bool:
    """True if the two arrays that the model makes agree at every probe where the right gradients are sure."""
    compared = 0
    for probe in evidence.probes:
        right = np.where(probe.sure, probe.right, np.nan).reshape(-1, *probe.shape)
        a, b = model(right, np.array([np.asarray(row[probe.k], np.float64) for row in probe.point.returned]))
        if a.shape != b.shape:
            return False
        known = np.isfinite(a)
        tolerance = 1e-5 * np.abs(a[known]).max(initial=0) + float(np.nanmax(probe.tolerance, initial=0))
        if not (np.abs(a - b)[known] <= tolerance).all():
            return False
        compared += int((np.abs(a[known]) > tolerance).sum())
    return compared > 0


def _shape_models(evidence: Evidence, shape: Shape, goal: Shape) -> Iterator[tuple[str, str, _Model]]:
    """Yield kind, sentence and model of what gives a gradient another shape, the simplest first."""
    for order in _orders(len(shape)):
        if tuple(shape[i] for i in order) == goal:
            words = "is the right gradient transposed: {has}. Try .T, or the factors of the product in the other order."
            for sign, minus in ((1, ""), (-1, " It has the wrong sign, too.")):
                yield "transposed", words + minus, partial(_reordered, order, sign)
    for axes in _axes_to_sum(shape, math.prod(goal)):
        if any(shape[i] > 1 for i in axes):
            words = f"is not summed: {{has}}. {_shared(evidence.name, shape, axes)}: add the components up, "
            yield "not_summed", f"{words}sum(axis={_listed(axes)}).", partial(_summed, axes)
    if math.prod(shape) == math.prod(goal):
        words = f"has the right numbers in another shape: {{has}}. Try .reshape({evidence.name}.shape)."
        yield "shape", words, lambda r, g: (r, g.reshape(r.shape))
    if len(shape) == len(goal):
        yield from _part_models(shape, goal)


def _reordered(order: Shape, sign: int, right: Array, returned: Array) -> tuple[Array, Array]:
    return right, sign * returned.transpose(0, *(1 + i for i in order))


def _summed(axes: Shape, right: Array, returned: Array) -> tuple[Array, Array]:
    return right, returned.sum(tuple(1 + i for i in axes)).reshape(right.shape)


def _part(here: tuple[slice, ...], right: Array, returned: Array) -> tuple[Array, Array]:
    return (right, returned[here]) if returned[0].size > right[0].size else (right[here], returned)


def _orders(ndim: int) -> list[Shape]:
    """All exchanges of the axes."""
    return list(itertools.permutations(range(ndim)))[1:] if ndim <= 4 else []


def _axes_to_sum(shape: Shape, size: int) -> Iterator[Shape]:
    """Yield the axes over which a sum leaves so many numbers."""
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            if math.prod(n for i, n in enumerate(shape) if i not in axes) == size:
                yield axes


def _listed(axes: Shape) -> str:
    return str(axes[0]) if len(axes) == 1 else str(axes)


def _shared(name: str, shape: Shape, axes: Shape) -> str:
    """A clause on what shares the input."""
    if len(shape) == 4 and {2, 3} <= set(axes):
        return f"All neurons of a feature map{' of all images of the batch' if 0 in axes else ''} share {name}"
    return f"All images of the batch share {name}" if len(shape) > 1 and axes == (0,) else f"{name} is shared there"


def _part_models(shape: Shape, goal: Shape) -> Iterator[tuple[str, str, _Model]]:
    """Yield models of a part of the right gradient, and of more than it: valid for full, full for valid."""
    within, around = (all(n <= m for n, m in zip(*pair, strict=True)) for pair in ((shape, goal), (goal, shape)))
    if not within and not around:
        return
    for start in itertools.product(*(range(abs(m - n) + 1) for n, m in zip(shape, goal, strict=True))):
        here = (slice(None), *(slice(s, s + min(n, m)) for s, n, m in zip(start, shape, goal, strict=True)))
        if within:
            words = (
                f"is a part of the right gradient, the one that starts at {start}: {{has}}. The gradient for the "
                'previous layer needs every place at which the overlays meet at all: mode="full" for "valid".'
            )
            yield "shape", words, partial(_part, here)
        else:
            words = f'contains the right gradient, from {start} on: {{has}}. Try mode="valid" for "full", or cut the '
            yield "shape", words + "padding off.", partial(_part, here)


# Constants, turns, shifts ---------------------------------------------------------------------------------------------


def zero(evidence: Evidence) -> Answer:
    """The rule returns zeros."""
    if any(p.analytic is None or p.analytic.any() for p in evidence.probes):
        return None
    return "factor", (
        f"{evidence.gradient} is 0 everywhere, but C depends on {evidence.name}. Return its gradient, and compute "
        f"{evidence.result} so that the graph records it."
    )


def scaled(evidence: Evidence) -> Answer:
    """The right gradient times a constant: -1, 2, N, 1/N."""
    c = constant(evidence, lambda p: p.analytic)
    if c is None:
        return None
    if is_one(-c):
        return "sign", (
            f"{evidence.gradient} has the wrong sign: it is the right gradient times -1, and a step against it would "
            "make C grow. Try the difference the other way round, or take the minus away."
        )
    words = named_constant(c, evidence)
    advice = f"Divide by {c:.6g}, and look for that number in the forward pass."
    if "batch" in words or "places" in words:
        advice = "The forward pass takes a mean there: divide by that number."
        if abs(c) < 1:
            advice = "The rule takes a mean where the article adds: try sum instead of mean."
    elif is_one(abs(c) / 2) or is_one(abs(c) * 2):
        advice = "The slope of a square is 2 a, and the half in front of the quadratic cost takes the 2 away."
    return "factor", f"{evidence.gradient} is the right gradient times {words}. {advice}"


def without_g(evidence: Evidence) -> Answer:
    """The rule ignores g = dC/dy."""
    analytic = [p.analytic for p in evidence.probes]
    if any(a is None or not np.allclose(a[0], a[1], rtol=1e-9, atol=0) for a in analytic):
        return None
    if equals(evidence, lambda p: np.tile(p.scattered(p.jacobian.sum(0)[None]), (len(p.right), 1))) is None:
        return None
    return "missing_factor", (
        f"{evidence.gradient} does not contain g = dC/d{evidence.result}: it is the same whatever g is. By the chain "
        "rule every gradient is g times the slope: multiply by g."
    )


def of_another_input(evidence: Evidence) -> Answer:
    """The gradient of another input, of the same shape or not."""
    shape = np.shape(evidence.probes[0].point.returned[0][evidence.k])
    for k, name in enumerate(evidence.names):
        if k != evidence.k and all(_is_right_for(k, probe, evidence.k) for probe in evidence.probes):
            return "wrong_point" if shape == evidence.shape else "shape", (
                f"{evidence.gradient} is the right {derivative(name)}. Return the gradients in the order of the "
                f"inputs, and take the slope with respect to {evidence.name} here."
            )
    return None


def _is_right_for(k: int, probe: Probe, own: int) -> bool:
    """True if what the rule of an input returned is the right gradient of input k."""
    other, rows = probe.point.probes.get(k), [row[own] for row in probe.point.returned]
    if other is None or not other.complete or not other.right.any() or np.shape(rows[0]) != other.shape:
        return False
    gradients = np.array(rows, np.float64).reshape(len(rows), -1)
    return bool((np.abs(gradients - other.right) <= other.tolerance)[:, other.sure].all())


def turns(shape: Shape) -> Iterator[tuple[str, str, Turn]]:
    """Yield (kind, words, the turn) for arrays (V, *shape): those that keep the shape."""
    if len(shape) >= 2:
        yield "rotated", "turned by 180 degrees", lambda a: a[..., ::-1, ::-1]
    elif shape:
        yield "rotated", "turned round, last element first", lambda a: a[..., ::-1]
    for order in _orders(len(shape)):
        if tuple(shape[i] for i in order) == shape:
            swapped = [i for i, j in enumerate(order) if i != j]
            words = "transposed" if len(shape) == 2 else f"with its axes {swapped} exchanged"
            yield "transposed", words, partial(np.transpose, axes=(0, *(1 + i for i in order)))


def turned(evidence: Evidence) -> Answer:
    """Rotated or transposed."""
    for kind, words, turn in turns(evidence.shape):

        def candidate(probe: Probe, turn: Turn = turn) -> Array | None:
            a = probe.analytic
            return None if a is None else turn(a.reshape(len(a), *evidence.shape)).reshape(len(a), -1)

        c = constant(evidence, candidate)
        if c is None:
            continue
        advice = ". Exchange the two axes: try .T, or the factors in the other order."
        if kind == "rotated":
            advice = (
                ": the rule convolves where the article correlates, or the other way round. Convolution turns the "
                "overlay first: try correlate2d for convolve2d, or leave the turn out."
            )
        return kind, f"{evidence.gradient} is the right gradient {words}{with_constant(c, evidence)}{advice}"
    return None


def shifted(evidence: Evidence) -> Answer:
    """Moved by a few elements along the last two axes; what was moved in may be anything."""
    shape, last = evidence.shape, evidence.shape[-2:]
    steps = [range(-min(_LARGEST_SHIFT, n - 1), min(_LARGEST_SHIFT, n - 1) + 1) for n in last]
    for offset in sorted(itertools.product(*steps), key=lambda o: sum(map(abs, o)))[1:]:
        left = math.prod(n - abs(o) for n, o in zip(last, offset, strict=True)) * math.prod(shape[:-2])
        if 2 * left < math.prod(shape) or left < 2:
            continue

        def candidate(probe: Probe, offset: Shape = offset) -> Array | None:
            return None if probe.analytic is None else _moved_back(probe.analytic, shape, offset)

        if is_one(constant(evidence, candidate)):
            axis = len(shape) - len(last)
            parts = [f"{o:+d} along axis {axis + i}" for i, o in enumerate(offset) if o]
            return "shifted", (
                f"{evidence.gradient} is the right gradient shifted by {' and '.join(parts)}: each number stands that "
                "far from where it belongs. Look for an index that starts or ends too early, or a border cut off on "
                "the wrong side."
            )
    return None


def _moved_back(a: Array, shape: Shape, offset: Shape) -> Array:
    """The gradients moved by -offset, NaN where nothing was."""
    source = a.reshape(len(a), *shape)
    result = np.full_like(source, np.nan)
    pairs = list(zip(offset, shape[-len(offset) :], strict=True))
    here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in pairs)
    there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in pairs)
    lead = (slice(None),) * (source.ndim - len(offset))
    result[lead + here] = source[lead + there]
    return result.reshape(len(a), -1)


def unknown(evidence: Evidence) -> tuple[str, str]:
    """No hypothesis fits: say where and how far off."""
    probe, where = evidence.first_wrong()
    analytic = probe.analytic
    assert analytic is not None
    wrong, measured = int(mismatch(probe).sum()), int(probe.sure.sum())
    i = int(np.argmax(mismatch(probe)))
    v = int(np.argmax(np.abs(analytic[:, i] - probe.right[:, i])))
    extra = f" It is wrong in {wrong} of {measured} numbers, first at {where}." if wrong < measured else ""
    if not linear_in_g(probe):
        extra += " It is not in proportion to g = dC/dy, as the chain rule makes it: g appears other than as a factor."
    return "unknown", (
        f"{evidence.gradient} is wrong, and in no way that the doctor has a name for: for one dC/dy the rule gives "
        f"{analytic[v, i]:.6g}, the numerical derivative is {probe.right[v, i]:.6g}.{extra} Try the smallest input "
        "that still fails, and write down the derivative of a single y."
    )


def linear_in_g(probe: Probe) -> bool:
    """Return True if the rule of a sum of two cotangents, the third, is the sum of their rules."""
    a = probe.analytic
    return a is None or bool(np.abs(a[0] + a[1] - a[2]).max(initial=0) <= 1e-4 * np.abs(a).max(initial=0))
