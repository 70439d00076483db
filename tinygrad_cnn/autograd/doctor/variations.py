"""Hypotheses about the arguments: the rule is right for another point, or for another dC/dy.

A full correlation in place of a full convolution is no turn of the right gradient: it is the right gradient of a turned
filter. So the numerical gradient is taken again with one argument turned, exchanged or replaced, and compared.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .evidence import Evidence, Verdict, drawing, equals, first_wrong, of_rule, with_constant
from .factors import sigmoid
from .patterns import Turn, turns
from .probing import Array, Probe, jacobian

_QUICK_COLUMNS = 24

Slope = Callable[[Array], Array]
_SLOPES: tuple[Slope, ...] = (np.ones_like, lambda a: a * (1 - a), lambda a: 1 - a * a)


@dataclass(frozen=True)
class _Variation:
    """One argument with other numbers: kind and words for it, and its new value at a point."""

    kind: str
    words: str
    k: int
    value: Callable[[Probe], Array | None]


def turned_cotangent(evidence: Evidence) -> Verdict | None:
    """The right gradient for dC/dy turned or transposed."""
    for kind, words, turn in turns(evidence.y_shape):
        if kind == "unknown":
            continue

        def candidate(probe: Probe, turn: Turn = turn) -> Array:
            v = turn(probe.point.cotangents).reshape(len(probe.right), -1)
            return probe._scattered(v @ probe.jacobian)

        c = equals(evidence, candidate, of_rule)
        if c is not None:
            text = f"{evidence.gradient} is right for dC/dy {words}{with_constant(c, evidence)}{_about(kind, 'dC/dy')}"
            return Verdict(kind, text, first_wrong(evidence)[1], drawing(evidence))
    return None


def _about(kind: str, name: str) -> str:
    if kind == "rotated":
        return (
            f": the rule turns {name} where it should not, or leaves a turn out. correlate2d does not turn the "
            "overlay, convolve2d does: the weight gradient correlates, the gradient for the previous layer convolves."
        )
    return f". Exchange the two axes of {name}: try .T, or the factors in the other order."


def elsewhere(evidence: Evidence) -> Verdict | None:
    """The right gradient for another point: an input turned, transposed, or replaced by another array."""
    for variation in _variations(evidence):
        if not evidence.clock.left():
            return None
        c = _fits(evidence, variation)
        if c is None:
            continue
        where = first_wrong(evidence)[1]
        if variation.kind != "wrong_point":
            text = f"{evidence.gradient} is right for {variation.words}{with_constant(c, evidence)}"
            text += _about(variation.kind, evidence.other(variation.k))
            return Verdict(variation.kind, text, where, drawing(evidence))
        if math.isclose(c, 1, rel_tol=1e-5):
            name = evidence.other(variation.k)
            text = (
                f"{evidence.gradient} takes its slope at the wrong point: it is right for {variation.words} in the "
                f"place of {name}. The slope belongs to the point at which the forward pass was taken: use {name}."
            )
            return Verdict("wrong_point", text, where, drawing(evidence))
    return None


def _variations(evidence: Evidence) -> Iterator[_Variation]:
    """Yield the arguments to try, the likeliest first."""
    arrays = evidence.probes[0].point.arrays
    names = evidence.input_names
    for k, a in enumerate(arrays):
        for kind, words, turn in turns(a.shape):
            if kind != "unknown" and "90" not in words:
                yield _Variation(kind, f"{names[k]} {words}", k, _of_input(k, lambda x, t=turn: t(x[None])[0]))
    for k, a in enumerate(arrays):
        if a.shape == evidence.y_shape:
            yield _Variation("wrong_point", evidence.result, k, lambda p: p.point.y)
        for j, other in enumerate(arrays):
            if j != k and other.shape == a.shape:
                yield _Variation("wrong_point", names[j], k, _of_input(j, np.asarray))
        for word, function in (("-", np.negative), ("sigmoid", sigmoid), ("tanh", np.tanh)):
            words = f"-{names[k]}" if word == "-" else f"{word}({names[k]})"
            yield _Variation("wrong_point", words, k, _of_input(k, function))


def _of_input(k: int, function: Any) -> Callable[[Probe], Array]:
    return lambda probe: np.asarray(function(probe.point.arrays[k]))


def _fits(evidence: Evidence, variation: _Variation) -> float | None:
    """The constant c for which the rule is c times the right gradient at the other point, or None."""
    probes = [p for p in evidence.probes if p.sure.any()][:2]
    if not probes:
        return None
    for slope in _SLOPES:
        quick = _gradients(evidence, probes[0], variation, slope, probes[0].columns[:_QUICK_COLUMNS])
        if quick is None:
            continue
        if equals(evidence, _constantly(quick), of_rule, probes[:1]) is None:
            continue
        c = equals(evidence, partial(_at_all_columns, evidence, variation, slope), of_rule, probes)
        if c is not None:
            return c
    return None


def _constantly(gradients: Array) -> Callable[[Probe], Array]:
    return lambda probe: gradients


def _at_all_columns(evidence: Evidence, variation: _Variation, slope: Slope, probe: Probe) -> Array | None:
    return _gradients(evidence, probe, variation, slope, probe.columns)


def _gradients(
    evidence: Evidence, probe: Probe, variation: _Variation, slope: Slope, columns: list[int]
) -> Array | None:
    """The numerical gradients at the other point, (V, x.size), with dC/dy adjusted to the first point's slope."""
    point, k = probe.point, probe.k
    value = variation.value(probe)
    if value is None or value.shape != point.arrays[variation.k].shape:
        return None
    arrays = [value if i == variation.k else a for i, a in enumerate(point.arrays)]
    if np.array_equal(value, point.arrays[variation.k]):
        return None
    try:
        with np.errstate(all="ignore"):
            y = point.subject.value(arrays)
            factor = slope(point.y) / slope(y)
            if y.shape != point.y.shape or not np.isfinite(factor).all():
                return None
            columns, rows, doubt = jacobian(point.subject, arrays, k, y, columns, evidence.step, evidence.clock)
    except Exception:  # whatever the function raises where it is not defined
        return None
    v = (point.cotangents * factor).reshape(len(probe.right), -1)
    rows = np.where(doubt <= 1e-4 * np.abs(rows).max(initial=0) + 1e-9, rows, np.nan)
    result = np.full((len(v), point.arrays[k].size), np.nan)
    result[:, columns] = v @ rows
    return result
