"""Hypotheses about a gradient of the right shape as a whole: constants, turns, exchanges of axes, shifts."""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from .evidence import (
    Evidence,
    Verdict,
    constant,
    drawing,
    equals,
    first_wrong,
    mismatch,
    named_constant,
    of_rule,
    with_constant,
)
from .probing import Array, Probe
from .report import derivative

_LARGEST_SHIFT = 3

Turn = Callable[[Array], Array]


def zero(evidence: Evidence) -> Verdict | None:
    """The rule returns zeros."""
    if any(p.analytic is None or p.analytic.any() for p in evidence.probes):
        return None
    text = (
        f"{evidence.gradient} is 0 everywhere, but C depends on {evidence.name}. Return its gradient, and compute y "
        "so that the graph records it"
    )
    return Verdict("factor", text + ".", first_wrong(evidence)[1], drawing(evidence))


def scaled(evidence: Evidence) -> Verdict | None:
    """The right gradient times a constant: -1, 2, N, 1/N."""
    c = constant(evidence, of_rule)
    if c is None:
        return None
    gradient = evidence.gradient
    if math.isclose(c, -1, rel_tol=1e-5):
        text = (
            f"{gradient} has the wrong sign: it is the right gradient times -1, and a step against it would make C "
            "grow. Try the difference the other way round, or take the minus away."
        )
        return Verdict("sign", text, None, drawing(evidence))
    words = named_constant(c, evidence)
    text = f"{gradient} is the right gradient times {words}. {_about_constant(c, words)}"
    return Verdict("factor", text, None, drawing(evidence))


def _about_constant(c: float, words: str) -> str:
    """What to try about a constant factor."""
    if "batch" in words or "places" in words:
        if abs(c) < 1:
            return "The rule takes a mean where the article adds: try sum instead of mean."
        return "The forward pass takes a mean there: divide by that number."
    if math.isclose(abs(c), 2, rel_tol=1e-5) or math.isclose(abs(c), 0.5, rel_tol=1e-5):
        return "The slope of a square is 2 a, and the half in front of the quadratic cost takes the 2 away."
    return f"Divide by {c:.6g}, and look for that number in the forward pass."


def without_g(evidence: Evidence) -> Verdict | None:
    """The rule ignores g = dC/dy."""

    def as_if_ones(probe: Probe) -> Array:
        ones = probe.jacobian.sum(0)
        return np.tile(probe._scattered(ones[None]), (len(probe.right), 1))

    analytic = [p.analytic for p in evidence.probes]
    if any(a is None or not np.allclose(a[0], a[1], rtol=1e-9, atol=0) for a in analytic):
        return None
    if equals(evidence, as_if_ones, of_rule) is None:
        return None
    text = (
        f"{evidence.gradient} does not contain g = dC/dy: it is the same whatever g is. By the chain rule every "
        "gradient is g times the slope: multiply by g."
    )
    return Verdict("missing_factor", text, None, drawing(evidence))


def of_another_input(evidence: Evidence) -> Verdict | None:
    """The gradient of another input of the same shape."""
    point = evidence.probes[0].point
    for k, a in enumerate(point.arrays):
        if k == evidence.k or a.shape != evidence.shape:
            continue

        def other(probe: Probe, k: int = k) -> Array | None:
            return right_of(probe, k)

        c = equals(evidence, other, of_rule)
        if c is not None and math.isclose(c, 1, rel_tol=1e-5):
            name = evidence.other(k)
            text = (
                f"{evidence.gradient} is the right {derivative(name)}: the slope with respect to {name} was "
                f"taken. If the gradients are returned in another order than the inputs, exchange them."
            )
            return Verdict("wrong_point", text, None, drawing(evidence))
    return None


def right_of(probe: Probe, k: int) -> Array | None:
    """Return the right gradients of another input at a probe's point; None if they are not all known."""
    other = probe.point.probes.get(k)
    return other.right if other is not None and other.complete else None


def turns(shape: tuple[int, ...]) -> Iterator[tuple[str, str, Turn]]:
    """Yield (kind, words, the turn) for arrays (V, *shape): those that keep the shape."""
    axes = len(shape)
    if axes >= 2:
        yield "rotated", "turned by 180 degrees", lambda a: a[..., ::-1, ::-1]
    elif axes == 1:
        yield "rotated", "turned round, last element first", lambda a: a[..., ::-1]
    for order in itertools.permutations(range(axes)) if axes <= 4 else ():
        if order != tuple(range(axes)) and tuple(shape[i] for i in order) == shape:
            swapped = [i for i in range(axes) if order[i] != i]
            words = "transposed" if axes == 2 else f"with its axes {swapped} exchanged"
            yield "transposed", words, partial(np.transpose, axes=(0, *(1 + i for i in order)))
    if axes >= 2:
        for axis in (-1, -2):
            yield "unknown", f"mirrored along axis {axes + axis}", partial(np.flip, axis=axis)
        if shape[-1] == shape[-2]:
            for quarter in (1, -1):
                yield "rotated", f"turned by {90 * quarter} degrees", partial(np.rot90, k=quarter, axes=(-2, -1))


def turned(evidence: Evidence) -> Verdict | None:
    """Rotated, transposed or mirrored."""
    for kind, words, turn in turns(evidence.shape):

        def candidate(probe: Probe, turn: Turn = turn) -> Array | None:
            a = probe.analytic
            return None if a is None else turn(a.reshape(len(a), *evidence.shape)).reshape(len(a), -1)

        c = constant(evidence, candidate)
        if c is not None:
            text = f"{evidence.gradient} is the right gradient {words}{with_constant(c, evidence)}"
            return Verdict(kind, f"{text}{_about_turn(kind, words)}", None, drawing(evidence))
    return None


def _about_turn(kind: str, words: str) -> str:
    if "180" in words:
        return (
            ": the rule convolves where the article correlates, or the other way round. Convolution turns the "
            "overlay first: try correlate2d for convolve2d, or leave the turn out."
        )
    if kind == "transposed":
        return ". Exchange the two axes: try .T, or the factors in the other order."
    return ". Reverse the index that runs backwards."


def shifted(evidence: Evidence) -> Verdict | None:
    """Moved by a few elements along the last two axes; what was moved in may be anything."""
    shape = evidence.shape
    last = shape[-2:]
    steps = [range(-min(_LARGEST_SHIFT, n - 1), min(_LARGEST_SHIFT, n - 1) + 1) for n in last]
    offsets = sorted(itertools.product(*steps), key=lambda o: sum(map(abs, o)))
    for offset in offsets:
        if not any(offset):
            continue

        def candidate(probe: Probe, offset: tuple[int, ...] = offset) -> Array | None:
            return None if probe.analytic is None else _moved_back(probe.analytic, shape, offset)

        left = math.prod(n - abs(o) for n, o in zip(last, offset, strict=True)) * math.prod(shape[:-2])
        if 2 * left < math.prod(shape) or left < 2:
            continue
        c = constant(evidence, candidate)
        if c is not None and math.isclose(c, 1, rel_tol=1e-5):
            axis = len(shape) - len(last)
            parts = [f"{o:+d} along axis {axis + i}" for i, o in enumerate(offset) if o]
            text = (
                f"{evidence.gradient} is the right gradient shifted by {' and '.join(parts)}: each number stands that "
                "far from where it belongs. Look for an index that starts or ends too early, or a border cut off on "
                "the wrong side."
            )
            return Verdict("shifted", text, first_wrong(evidence)[1], drawing(evidence))
    return None


def _moved_back(a: Array, shape: tuple[int, ...], offset: tuple[int, ...]) -> Array:
    """The gradients moved by -offset, NaN where nothing was."""
    source = a.reshape(len(a), *shape)
    result = np.full_like(source, np.nan)
    here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape[-len(offset) :], strict=True))
    there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape[-len(offset) :], strict=True))
    lead = (slice(None),) * (source.ndim - len(here))
    result[lead + here] = source[lead + there]
    return result.reshape(len(a), -1)


def unknown(evidence: Evidence) -> Verdict:
    """No hypothesis fits: say where and how far off."""
    probe, where = first_wrong(evidence)
    analytic = probe.analytic
    if analytic is None or where is None:
        return Verdict("unknown", f"{evidence.gradient} is wrong somewhere among the elements not measured.")
    wrong = int(mismatch(probe).sum())
    measured = int(probe.sure.sum())
    i = int(np.ravel_multi_index(where, probe.shape)) if probe.shape else 0
    extra = ""
    if wrong < measured:
        extra = f" It is wrong in {wrong} of {measured} numbers, first at {where}."
    zero_g = _at_zero(evidence)
    if zero_g:
        extra += " It is not 0 where g = dC/dy is 0: something is added to it that is not in C."
    row = int(np.argmax(np.abs(analytic[:, i] - probe.right[:, i])))
    text = (
        f"{evidence.gradient} is wrong, and in no way that the doctor has a name for: for one dC/dy the rule gives "
        f"{analytic[row, i]:.6g}, the numerical derivative is {probe.right[row, i]:.6g}.{extra} Try the smallest input "
        "that still fails, and write down the derivative of a single y."
    )
    return Verdict("unknown", text, where, drawing(evidence))


def _at_zero(evidence: Evidence) -> bool:
    """True if the rule returns something for g = 0."""
    point = evidence.probes[0].point
    try:
        returned = point.subject.gradients(point.arrays, [np.zeros(point.y.shape)])[0][evidence.k]
    except Exception:  # of a rule that divides by g, say
        return False
    return bool(np.any(np.asarray(returned, np.float64) != 0))
