"""Hypotheses about a factor that depends on the point, and about a rule that is right at another point.

Where the rule's Jacobian is the right one with each row (or column) multiplied by a number, these numbers are looked up
among the functions of the arrays at hand: y, the inputs, and what derives from them. And since a full correlation in
place of a full convolution is no turn of the right gradient, but the right one of a turned filter, the numerical
gradient is taken again with one argument turned, exchanged or replaced.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .entries import entries
from .evidence import Answer, Evidence, equals, is_one, nice, sizes, with_constant
from .probing import Array, Probe, jacobian
from .whole import Turn, turns

_QUICK_COLUMNS = 24


def _sigmoid(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-a)))


_FUNCTIONS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("{} (1 - {})", lambda a: a * (1 - a)),
    ("1 - {}^2", lambda a: 1 - a * a),
    ("{}", lambda a: a),
    ("1 / {}", lambda a: 1 / a),
    ("1 / sqrt({})", lambda a: 1 / np.sqrt(a)),
    ("sigmoid'({})", lambda a: _sigmoid(a) * (1 - _sigmoid(a))),
    ("tanh'({})", lambda a: 1 - np.tanh(a) ** 2),
    ("sigmoid({})", _sigmoid),
    ("exp({})", np.exp),
)


# A factor -------------------------------------------------------------------------------------------------------------


class _Ratios(NamedTuple):
    """rule / right at some probes, in a shape; ``proven`` if it takes more than one number to agree on each."""

    shape: tuple[int, ...]
    arrays: list[Array]
    probes: list[Probe]
    proven: bool


def wrong_factor(evidence: Evidence) -> Answer:
    """A factor on the rows or columns of the Jacobian: missing, or a slope that is taken at another point."""
    sides = [side for side in (_row_ratios(evidence), _column_ratios(evidence)) if side is not None]
    for hypothesis in (_missing, _misplaced):
        for side in sides:
            values = [_values(p, side.shape, evidence.result) for p in side.probes]
            answer = hypothesis(evidence, side.arrays, _at_all_points(values))
            if answer is not None:
                return answer
    for side in sides:
        if side.proven:
            factors = 1 / np.concatenate([r[np.isfinite(r) & (r != 0)].ravel() for r in side.arrays])
            return "missing_factor", (
                f"{evidence.gradient} lacks a factor: one number for each element of "
                f"{evidence.result if side.shape == evidence.y_shape else evidence.name}, between {factors.min():.4g} "
                f"and {factors.max():.4g} for the numbers tried. Look for a slope, a scale or a norm of the forward "
                "pass that the rule leaves out."
            )
    return None


def _row_ratios(evidence: Evidence) -> _Ratios | None:
    """rule / right for each row of the Jacobian, in y's shape; NaN where the row is 0."""
    pairs, ratios, wide = entries(evidence, 3), [], False
    for pair in pairs:
        live = pair.needed.any(1)
        if pair.used[~live].any() or not live.any():
            return None
        r = np.where(live, (pair.right * pair.rule).sum(1) / (pair.right**2).sum(1), np.nan)
        error = np.abs(pair.rule - np.nan_to_num(r)[:, None] * pair.right)
        if (error > 1e-5 * np.abs(pair.rule) + 1e-6 * np.abs(pair.rule).max(initial=0)).any():
            return None
        wide |= bool((pair.needed.sum(1) > 1).any())
        ratios.append(r.reshape(evidence.y_shape))
    return _Ratios(evidence.y_shape, ratios, [p.probe for p in pairs], wide) if ratios else None


def _column_ratios(evidence: Evidence) -> _Ratios | None:
    """rule / right for each element of x, the same for every cotangent; NaN where it is 0 or not known."""
    ratios, several = [], False
    for probe in evidence.probes:
        a = probe.analytic
        if a is None:
            return None
        live = probe.sure & (np.abs(probe.right) > 50 * probe.tolerance).any(0)
        if not live.any() or (np.abs(a[:, probe.sure & ~live]) > 1e-6 * np.abs(a).max()).any():
            return None
        right = np.where(live, probe.right, np.nan)
        r = (right * a).sum(0) / (right * right).sum(0)
        if (np.abs(a - r * right)[:, live] > 2e-5 * np.abs(a[:, live]) + 1e-6 * np.abs(a).max()).any():
            return None
        several |= bool((np.abs(probe.jacobian[:, live[probe.columns]]) > 0).sum(0).max() > 1)
        ratios.append(r.reshape(evidence.shape))
    return _Ratios(evidence.shape, ratios, evidence.probes, several)


def _values(probe: Probe, shape: tuple[int, ...], result: str) -> dict[str, Array]:
    """Arrays at a point that broadcast to the shape: y, what may have made it, the inputs, their statistics."""
    point, y = probe.point, np.asarray(probe.point.y, np.float64)
    inputs = dict(zip(point.subject.names, point.arrays, strict=True))
    inputs |= {n: np.asarray(a, np.float64) for n, a in point.subject.constants.items() if a.dtype.kind in "fiub"}
    named = {result: y} | inputs
    if y.size and y.min() > 0 and y.max() < 1:
        named.setdefault("z", np.log(y / (1 - y)))
    for name, a in inputs.items():
        axes = {4: (0, 2, 3), 2: (0,), 1: (0,)}.get(a.ndim, ())
        if axes and a.size > 2:
            std = a.std(axes, keepdims=True)
            named[f"the normalised {name}"] = (a - a.mean(axes, keepdims=True)) / std
            named[f"the standard deviation of {name}"] = std
    fitted = {name: _broadcast(a, shape) for name, a in named.items()}
    return {name: a for name, a in fitted.items() if a is not None}


def _broadcast(a: Array, shape: tuple[int, ...]) -> Array | None:
    """An array in a shape: broadcast, or one number a channel."""
    if a.ndim == 1 and len(shape) in (3, 4) and a.size == shape[-3]:
        a = a.reshape(-1, 1, 1)
    if a.ndim == 4 and a.shape[0] == a.shape[2] == a.shape[3] == 1 and shape == (a.shape[1],):
        a = a.reshape(-1)
    try:
        return np.broadcast_to(a, shape)
    except ValueError:
        return None


def _at_all_points(values: Sequence[dict[str, Array]]) -> dict[str, list[Array]]:
    """The arrays that every point has, by name."""
    return {name: [v[name] for v in values] for name in values[0] if all(name in v for v in values)}


def _steady(parts: Sequence[Array], name: str) -> float | None:
    """The value that all numbers of the arrays share, at least two, or None."""
    numbers = np.concatenate([np.ravel(p) for p in parts])
    finite = numbers[np.isfinite(numbers)]
    if np.isinf(numbers).any() or len(finite) < 2:
        return None
    middle = float(np.median(finite))
    return middle if middle and (np.abs(finite - middle) <= 0.03 * _tolerance(name) * abs(middle)).all() else None


def _tolerance(name: str) -> float:
    """Statistics are known but for the small number that normalisation adds to the variance."""
    return 3e-2 if "normalised" in name or "deviation" in name else 1e-3


def _varies(parts: Sequence[Array], ratios: Sequence[Array]) -> bool:
    """True if the numbers are far enough from all alike to prove a function."""
    numbers = np.concatenate([np.ravel(p)[np.isfinite(np.ravel(r))] for p, r in zip(parts, ratios, strict=True)])
    numbers = numbers[np.isfinite(numbers)]
    return len(numbers) > 1 and bool(np.ptp(numbers) > 1e-2 * np.abs(numbers).max())


def _missing(evidence: Evidence, ratios: Sequence[Array], values: dict[str, list[Array]]) -> Answer:
    """right = rule * f(array)."""
    for name, arrays in values.items():
        for template, function in _FUNCTIONS:
            factors = [function(a) for a in arrays]
            c = _steady([r * f for r, f in zip(ratios, factors, strict=True)], name)
            if c is None or not _varies(factors, ratios):
                continue
            likely = [1, *(n for n, _ in sizes(evidence))]
            if nice(c) or any(math.isclose(abs(c), v, rel_tol=1e-3) for n in likely for v in (n, 1 / n)):
                return "missing_factor", (
                    f"{evidence.gradient} lacks the factor {template.replace('{}', name)}{with_constant(c, evidence)}: "
                    "by the chain rule it has to be multiplied by it, element by element."
                )
    return None


def _misplaced(evidence: Evidence, ratios: Sequence[Array], values: dict[str, list[Array]]) -> Answer:
    """rule = right * f(other array) / f(array): the same function, taken at another point."""
    for template, function in _FUNCTIONS:
        factors = {name: [function(a) for a in arrays] for name, arrays in values.items()}
        for right, wrong in itertools.permutations(values, 2):
            quotients = [a / b for a, b in zip(factors[right], factors[wrong], strict=True)]
            c = _steady([r * q for r, q in zip(ratios, quotients, strict=True)], right + wrong)
            if c is None or abs(c - 1) > 0.1 * _tolerance(right + wrong) or not _varies(quotients, ratios):
                continue
            return "wrong_point", (
                f"{evidence.gradient} takes its slope at the wrong point: it has the factor "
                f"{template.replace('{}', wrong)} where the right one has {template.replace('{}', right)}. Put {right} "
                f"in the place of {wrong}."
            )
    return None


# Another point --------------------------------------------------------------------------------------------------------


def turned_cotangent(evidence: Evidence) -> Answer:
    """The right gradient for dC/dy turned or transposed."""
    for kind, words, turn in turns(evidence.y_shape):

        def candidate(probe: Probe, turn: Turn = turn) -> Array:
            return probe.scattered(turn(probe.point.cotangents).reshape(len(probe.right), -1) @ probe.jacobian)

        c = equals(evidence, candidate)
        if c is not None:
            return kind, _turned_words(evidence, f"dC/d{evidence.result}", words, c)
    return None


def _turned_words(evidence: Evidence, name: str, words: str, c: float) -> str:
    text = f"{evidence.gradient} is right for {name} {words}{with_constant(c, evidence)}"
    if words.startswith("turned"):
        return (
            f"{text}: the rule turns {name} where it should not, or leaves a turn out. correlate2d does not turn the "
            "overlay, convolve2d does: the weight gradient correlates, the gradient for the previous layer convolves."
        )
    return f"{text}. Exchange the two axes of {name}: try .T, or the factors in the other order."


def elsewhere(evidence: Evidence) -> Answer:
    """The right gradient for another point: an input turned, transposed, or replaced by another array."""
    for kind, k, words, value in _variations(evidence):
        if not evidence.clock.left():
            return None
        c, name = _constant_at(evidence, k, value), evidence.names[k]
        if c is not None and kind != "wrong_point":
            return kind, _turned_words(evidence, name, words, c)
        if is_one(c):
            return "wrong_point", (
                f"{evidence.gradient} takes its slope at the wrong point: it is right for {words} in the place of "
                f"{name}. The slope belongs to the point at which the forward pass was taken: use {name}."
            )
    return None


def _variations(evidence: Evidence) -> Iterator[tuple[str, int, str, Callable[[Probe], Array]]]:
    """Yield the kind, an input, words for other numbers in its place, and these numbers at a point."""
    arrays = evidence.probes[0].point.arrays
    for k, a in enumerate(arrays):
        for kind, words, turn in turns(a.shape):
            yield kind, k, words, lambda p, k=k, turn=turn: turn(p.point.arrays[k][None])[0]  # type: ignore[misc]
    for k, a in enumerate(arrays):
        if a.shape == evidence.y_shape:
            yield "wrong_point", k, evidence.result, lambda p: p.point.y
        for j, other in enumerate(arrays):
            if j != k and other.shape == a.shape:
                yield "wrong_point", k, evidence.names[j], lambda p, j=j: p.point.arrays[j]  # type: ignore[misc]


def _constant_at(evidence: Evidence, k: int, value: Callable[[Probe], Array]) -> float | None:
    """The constant c for which the rule is c times the right gradient with other numbers in input k, or None."""
    probes = [p for p in evidence.probes if p.sure.any()][:2]
    model = partial(_gradients, evidence, k, value)
    if not probes or equals(evidence, partial(model, most=_QUICK_COLUMNS), probes[:1]) is None:
        return None
    return equals(evidence, model, probes)


def _gradients(
    evidence: Evidence, k: int, value: Callable[[Probe], Array], probe: Probe, most: int | None = None
) -> Array | None:
    """The numerical gradients with other numbers in input k, (V, x.size), for at most so many elements."""
    point, numbers = probe.point, value(probe)
    if np.array_equal(numbers, point.arrays[k]):
        return None
    arrays = [numbers if i == k else a for i, a in enumerate(point.arrays)]
    try:
        y = point.subject.value(arrays)
        columns, rows, doubt = jacobian(
            point.subject, arrays, probe.k, y, probe.columns[:most], evidence.step, evidence.clock
        )
    except Exception:  # whatever the function raises where it is not defined
        return None
    if y.shape != point.y.shape:
        return None
    result = np.full(probe.right.shape, np.nan)
    rows = np.where(doubt <= 1e-4 * np.abs(rows).max(initial=0) + 1e-9, rows, np.nan)
    result[:, columns] = point.cotangents.reshape(len(result), -1) @ rows
    return result
