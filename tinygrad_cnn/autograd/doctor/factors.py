"""Hypotheses about a factor that depends on the point: one is missing, or is taken at the wrong point.

Where the rule's Jacobian is the right one with each row (or column) multiplied by a number, these numbers are looked up
among the functions of the arrays at hand: y, the inputs, and what they derive from.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .entries import entries
from .evidence import Evidence, Verdict, drawing, equals, first_wrong, nice, of_rule, sizes, with_constant
from .probing import Array, Probe

Named = tuple[str, Array]


def sigmoid(a: Array) -> Array:
    """``1 / (1 + e^-a)``."""
    return np.asarray(1 / (1 + np.exp(-a)))


_FUNCTIONS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("{} (1 - {})", lambda a: a * (1 - a)),
    ("1 - {}^2", lambda a: 1 - a * a),
    ("{}", lambda a: a),
    ("1 / {}", lambda a: 1 / a),
    ("{}^2", lambda a: a * a),
    ("1 / {}^2", lambda a: 1 / (a * a)),
    ("1 - {}", lambda a: 1 - a),
    ("1 + {}", lambda a: 1 + a),
    ("1 / (1 - {})", lambda a: 1 / (1 - a)),
    ("sqrt({})", np.sqrt),
    ("1 / sqrt({})", lambda a: 1 / np.sqrt(a)),
    ("sign({})", np.sign),
    ("sigmoid'({})", lambda a: sigmoid(a) * (1 - sigmoid(a))),
    ("tanh'({})", lambda a: 1 - np.tanh(a) ** 2),
    ("sigmoid({})", sigmoid),
    ("tanh({})", np.tanh),
    ("exp({})", np.exp),
    ("exp(-{})", lambda a: np.exp(-a)),
    ("cos({})", np.cos),
    ("sin({})", np.sin),
    ("log({})", np.log),
    ("1 + {}^2", lambda a: 1 + a * a),
    ("{}^3", lambda a: a**3),
)


def missing_or_misplaced(evidence: Evidence) -> Verdict | None:
    """A factor on the rows or columns of the Jacobian: missing, or a slope that is taken at another point."""
    mask = _mask_of_g(evidence)
    if mask is not None:
        return mask
    sides = [side for side in (_row_ratios(evidence), _column_ratios(evidence)) if side is not None]
    for name in (_missing, _misplaced, _superfluous):
        for shape, ratios, probes, _ in sides:
            values = [_values(p, shape, evidence.result) for p in probes]
            if any(not v for v in values) or not ratios:
                continue
            verdict = name(evidence, ratios, values)
            if verdict is not None:
                return verdict
    telling = [side for side in sides if side[3]]
    if not telling:
        return None
    shape, ratios, _, _ = telling[0]
    side = evidence.result if shape == evidence.y_shape else evidence.name
    inverse = 1 / np.concatenate([r[np.isfinite(r) & (r != 0)].ravel() for r in ratios])
    least, most = float(inverse.min()), float(inverse.max())
    text = (
        f"{evidence.gradient} lacks a factor: one number for each element of {side}, between {least:.4g} and "
        f"{most:.4g} for the numbers tried. Look for a slope, a scale or a norm of the forward pass that the rule "
        "leaves out."
    )
    return Verdict("missing_factor", text, first_wrong(evidence)[1], drawing(evidence))


Side = tuple[tuple[int, ...], list[Array], list[Probe], bool]  # shape, ratios, probes, worth a verdict by itself


def _row_ratios(evidence: Evidence) -> Side | None:
    """rule / right for each row of the Jacobian, in y's shape; NaN where the row is 0."""
    pairs = entries(evidence, 3)
    ratios = []
    wide = False
    for pair in pairs:
        square = (pair.right**2).sum(1)
        live = pair.needed.any(1)
        if pair.used[~live].any() or not live.any():
            return None
        with np.errstate(all="ignore"):
            r = np.where(live, (pair.right * pair.rule).sum(1) / square, np.nan)
        error = np.abs(pair.rule - np.nan_to_num(r)[:, None] * pair.right)
        if (error > 1e-5 * np.abs(pair.rule) + 1e-6 * np.abs(pair.rule).max(initial=0)).any():
            return None
        wide |= bool((pair.needed.sum(1) > 1).any())
        ratios.append(r.reshape(evidence.y_shape))
    return (evidence.y_shape, ratios, [p.probe for p in pairs], wide and bool(ratios)) if ratios else None


def _column_ratios(evidence: Evidence) -> Side | None:
    """rule / right for each element of x, the same for every cotangent; NaN where it is 0 or not known."""
    ratios, several = [], False
    for probe in evidence.probes:
        a = probe.analytic
        if a is None:
            return None
        live = probe.sure & (np.abs(probe.right) > 50 * probe.tolerance).any(0)
        if not live.any() or (np.abs(a[:, probe.sure & ~live]) > 1e-6 * np.abs(a).max()).any():
            return None
        with np.errstate(all="ignore"):
            right = np.where(live, probe.right, np.nan)
            r = (right * a).sum(0) / (right * right).sum(0)
            error = np.abs(a - r * right)
        if (error[:, live] > 2e-5 * np.abs(a[:, live]) + 1e-6 * np.abs(a).max()).any():
            return None
        several |= bool((np.abs(probe.jacobian[:, live[probe.columns]]) > 0).sum(0).max() > 1)
        ratios.append(r.reshape(evidence.shape))
    return evidence.shape, ratios, evidence.probes, several


def _values(probe: Probe, shape: tuple[int, ...], result: str) -> list[Named]:
    """Arrays at a point that broadcast to the shape: y, what may have made it, the inputs, their spread."""
    point = probe.point
    y = np.asarray(point.y, np.float64)
    named: list[Named] = [(result, y)]
    named += [(n, np.asarray(a)) for n, a in zip(point.subject.names, point.arrays, strict=True)]
    named += [(n, np.asarray(a, np.float64)) for n, a in point.subject.constants.items() if a.dtype.kind in "fiub"]
    with np.errstate(all="ignore"):
        if y.size and y.min() > 0 and y.max() < 1:
            named.append(("z", np.log(y / (1 - y))))
        if y.size and np.abs(y).max() < 1:
            named.append(("z", np.arctanh(y)))
        for name, a in list(named[1:]):
            for axes in _statistics_axes(a.shape):
                std = a.std(axes, keepdims=True)
                named += [(f"the normalised {name}", (a - a.mean(axes, keepdims=True)) / std)]
                named += [(f"the standard deviation of {name}", std)]
    fitted = [(name, _broadcast(a, shape)) for name, a in named]
    return [(name, a) for name, a in fitted if a is not None]


def _statistics_axes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    if len(shape) == 4:
        return [(0, 2, 3)]
    return [(0,), (len(shape) - 1,)] if len(shape) == 2 else [(0,)] if len(shape) == 1 and shape[0] > 2 else []


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


def _steady(parts: Sequence[Array], loose: bool = False) -> float | None:
    """The value that all numbers of the arrays share, or None; of at least two numbers."""
    with np.errstate(all="ignore"):
        numbers = np.concatenate([np.ravel(p) for p in parts])
    if np.isinf(numbers).any():
        return None
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < 2:
        return None
    middle = float(np.median(numbers))
    limit = 1e-3 if loose else 3e-5
    return middle if middle and (np.abs(numbers - middle) <= limit * abs(middle)).all() else None


def _varies(parts: Sequence[Array]) -> bool:
    """True if the numbers are far enough from all alike to prove a function."""
    numbers = np.concatenate([np.ravel(p) for p in parts])
    numbers = numbers[np.isfinite(numbers)]
    return len(numbers) > 1 and bool(np.ptp(numbers) > 1e-2 * np.abs(numbers).max())


def _functions(values: Sequence[Sequence[Named]], which: int) -> Iterator[tuple[str, list[Array]]]:
    """Yield every function of one array, with its numbers at every probe."""
    name = values[0][which][0]
    for template, function in _FUNCTIONS:
        with np.errstate(all="ignore"):
            yield template.replace("{}", name), [np.asarray(function(v[which][1])) for v in values]


def _alike(values: Sequence[Sequence[Named]]) -> list[int]:
    """The positions of arrays that every probe has."""
    names = [[n for n, _ in v] for v in values]
    return [i for i, n in enumerate(names[0]) if all(len(other) > i and other[i] == n for other in names)]


def _missing(evidence: Evidence, ratios: Sequence[Array], values: Sequence[Sequence[Named]]) -> Verdict | None:
    """right = rule * f(array)."""
    found = _lookup(evidence, ratios, values, lambda r, f: r * f)
    if found is None:
        return None
    words, c = found
    text = (
        f"{evidence.gradient} lacks the factor {words}{with_constant(c, evidence)}: by the chain rule it has to be "
        "multiplied by it, element by element."
    )
    return Verdict("missing_factor", text, first_wrong(evidence)[1], drawing(evidence))


def _superfluous(evidence: Evidence, ratios: Sequence[Array], values: Sequence[Sequence[Named]]) -> Verdict | None:
    """rule = right * f(array)."""
    found = _lookup(evidence, ratios, values, lambda r, f: r / f)
    if found is None:
        return None
    text = (
        f"{evidence.gradient} has the factor {found[0]} once too often, or lacks 1 / ({found[0]}): write down the "
        "slope of one y, and compare factor by factor."
    )
    return Verdict("missing_factor", text, first_wrong(evidence)[1], drawing(evidence))


def _lookup(
    evidence: Evidence,
    ratios: Sequence[Array],
    values: Sequence[Sequence[Named]],
    combine: Callable[[Array, Array], Array],
) -> tuple[str, float] | None:
    """The first function of an array for which the combination with the ratio is one plausible constant."""
    for which in _alike(values):
        loose = "normalised" in values[0][which][0] or "deviation" in values[0][which][0]
        for words, f in _functions(values, which):
            with np.errstate(all="ignore"):
                c = _steady([combine(r, part) for r, part in zip(ratios, f, strict=True)], loose)
            live = [np.where(np.isfinite(r), part, np.nan) for r, part in zip(ratios, f, strict=True)]
            if c is not None and _varies(live) and _plausible(c, evidence, 1e-3 if loose else 1e-4):
                return words, c
    return None


def _plausible(c: float, evidence: Evidence, tolerance: float) -> bool:
    return nice(c) or any(
        math.isclose(abs(c), value, rel_tol=tolerance) for n, _ in [(1, ""), *sizes(evidence)] for value in (n, 1 / n)
    )


def _misplaced(evidence: Evidence, ratios: Sequence[Array], values: Sequence[Sequence[Named]]) -> Verdict | None:
    """rule = right * f(other array) / f(array): the same function, taken at another point."""
    arrays = _alike(values)
    functions = {which: list(_functions(values, which)) for which in arrays}
    for i in range(len(_FUNCTIONS)):
        for right, wrong in itertools.permutations(arrays, 2):
            (words, f), (other_words, other) = functions[right][i], functions[wrong][i]
            right_name, wrong_name = values[0][right][0], values[0][wrong][0]
            if right_name == wrong_name:
                continue
            loose = "normalised" in right_name + wrong_name
            with np.errstate(all="ignore"):
                c = _steady([r * a / b for r, a, b in zip(ratios, f, other, strict=True)], loose)
                live = [np.where(np.isfinite(r), a / b, np.nan) for r, a, b in zip(ratios, f, other, strict=True)]
            if c is None or not math.isclose(c, 1, rel_tol=1e-3 if loose else 1e-4) or not _varies(live):
                continue
            text = (
                f"{evidence.gradient} takes its slope at the wrong point: it has the factor {other_words} where the "
                f"right one has {words}. Put {right_name} in the place of {wrong_name}."
            )
            return Verdict("wrong_point", text, first_wrong(evidence)[1], drawing(evidence))
    return None


def _mask_of_g(evidence: Evidence) -> Verdict | None:
    """A mask that is taken from dC/dy instead of z."""
    if evidence.y_shape != evidence.shape:
        return None

    def by_g(probe: Probe) -> Array:
        g = probe.point.cotangents.reshape(len(probe.right), -1)
        return np.asarray(np.where(g > 0, g, 0))

    def both(probe: Probe) -> Array:
        return np.asarray(by_g(probe) * (probe.right != 0))

    for candidate in (by_g, both):
        c = equals(evidence, candidate, of_rule)
        if c is not None and math.isclose(c, 1, rel_tol=1e-5):
            text = (
                f"{evidence.gradient} takes its mask from g = dC/dy: it passes a g on where g > 0. The mask belongs to "
                "the point: pass g on where z > 0."
            )
            return Verdict("wrong_point", text, first_wrong(evidence)[1], drawing(evidence))
    return None
