"""The examination of a subject: probes at several points, and the first hypothesis that explains a difference."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...checks import plural
from .entries import left_out, masked, only_diagonal, overwritten, unmasked, wrong_axes
from .evidence import Evidence, Verdict, mismatch
from .factors import missing_or_misplaced
from .patterns import of_another_input, scaled, shifted, turned, unknown, without_g, zero
from .probing import (
    Array,
    Clock,
    Point,
    Probe,
    Subject,
    best_step,
    directional,
    jacobian,
    probe_points,
    remeasure,
    shared_columns,
)
from .report import derivative
from .shapes import integers, not_finite, not_numbers, single_precision, wrong_shape
from .variations import elsewhere, turned_cotangent

_HYPOTHESES: tuple[Callable[[Evidence], Verdict | None], ...] = (
    not_finite,
    integers,
    zero,
    scaled,
    without_g,
    turned,
    of_another_input,
    only_diagonal,
    overwritten,
    left_out,
    masked,
    wrong_axes,
    unmasked,
    missing_or_misplaced,
    shifted,
    turned_cotangent,
    elsewhere,
)
_REMEASURED = 24
_OVERHEAD_SECONDS = 2e-5  # of one value, besides the function


@dataclass
class Examination:
    """The verdicts by the input's position in the subject, and what was compared."""

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    compared: dict[int, int] = field(default_factory=dict)

    def right(self, subject: Subject) -> list[str]:
        """Return the names of the inputs whose gradients are right."""
        return [n for k, n in enumerate(subject.names) if k not in self.verdicts and k in self.compared]


def examine(subject: Subject, clock: Clock, seed: int, float64_inputs: Sequence[bool] = ()) -> Examination:
    """Compare the gradients of every input of a subject with numerical derivatives, and explain what differs."""
    rng = np.random.default_rng(seed)
    y, seconds_a_value = _first_value(subject)
    points = probe_points(subject, y, rng)
    result = Examination()
    if not points:
        result.notes.append("y is not finite at these inputs, nor near them: there is no derivative to compare with.")
        return result
    sizes = [a.size for a in subject.arrays]
    columns = 0.6 * clock.left() / (4 * (seconds_a_value + _OVERHEAD_SECONDS))  # four values of y each
    if sum(sizes) * len(points) > columns:
        points = points[:2]
    shares = shared_columns(sizes, y.size, columns / len(points))
    seconds = 0.7 * clock.left() / (sum(shares) * len(points) or 1)  # for each element at each point
    evidence = [_measured(subject, points, k, share, seconds * share, clock, rng) for k, share in enumerate(shares)]
    for k, e in enumerate(evidence):
        verdict = _not_comparable(e) or _explanation(e)
        if verdict is None:
            float64 = bool(float64_inputs[k]) if k < len(float64_inputs) else False
            verdict = single_precision(e, float64)
        if verdict is not None:
            result.verdicts[k] = verdict
        _count(e, k, result)
    _note_on_samples(evidence, result)
    return result


def _first_value(subject: Subject) -> tuple[Array, float]:
    """Return y at the subject's point and the seconds that takes. ValueError if a second call gives another y."""
    with np.errstate(all="ignore"):
        y = subject.value(subject.arrays)
        start = time.perf_counter()
        again = subject.value(subject.arrays)
        seconds = time.perf_counter() - start
    if y.shape != again.shape or not np.array_equal(y, again, equal_nan=True):
        raise ValueError(
            "diagnose: two calls with the same inputs give different values; fix the random numbers inside (a "
            "generator with a seed, made anew in each call), or put the module into evaluation mode with eval()"
        )
    return y, seconds


def _measured(
    subject: Subject,
    points: Sequence[Point],
    k: int,
    share: int,
    seconds: float,
    clock: Clock,
    rng: np.random.Generator,
) -> Evidence:
    """Take the derivatives of at most ``share`` elements of input k at every point, each in so many seconds."""
    step = best_step(subject, points[0].arrays, k, points[0].y, rng)
    size = subject.arrays[k].size
    probes = []
    for point in points:
        columns = rng.permutation(size)[:share].tolist()
        probe = Probe(point, k, *jacobian(subject, point.arrays, k, point.y, columns, step, Clock(seconds)))
        doubtful = [i for i in probe.columns if not probe.sure[i]][: _REMEASURED // 3]
        wrong = np.flatnonzero(mismatch(probe))
        if len(wrong) and len(wrong) <= max(8, len(probe.columns) // 4):  # if most differ, it is not for a kink
            doubtful += wrong[:_REMEASURED].tolist()
        if doubtful:
            remeasure(probe, doubtful, step, clock)
        point.probes[k] = probe
        probes.append(probe)
    return Evidence(subject.names[k], probes, step, clock)


def _not_comparable(evidence: Evidence) -> Verdict | None:
    """A gradient that is no array of numbers of the input's shape."""
    return not_numbers(evidence) or wrong_shape(evidence)


def _explanation(evidence: Evidence) -> Verdict | None:
    """The first hypothesis that explains a wrong gradient; None if it is right."""
    if _is_fixed(evidence):
        evidence = replace(evidence, probes=evidence.probes[:1])
    wrong = [p for p in evidence.probes if mismatch(p).any()]
    if not wrong:
        bent = [p for p in evidence.probes if not p.complete and not _right_along(p, evidence.step)]
        return unknown(evidence) if bent else None
    for probes in (evidence.probes, wrong):
        part = replace(evidence, probes=probes)
        for hypothesis in _HYPOTHESES:
            verdict = hypothesis(part)
            if verdict is not None:
                return verdict
        if len(wrong) == len(evidence.probes):
            break
    return unknown(evidence)


def _is_fixed(evidence: Evidence) -> bool:
    """True if a rule of g alone returns the same at every point: it uses arrays of the caller's point."""
    first, *others = evidence.probes
    if not getattr(first.point.subject, "may_have_captured", False) or not first.sure.any():
        return False
    return all(_same_for_same_g(first, p) for p in others)


def _same_for_same_g(first: Probe, other: Probe) -> bool:
    """True if the rule returns the same at two points for one cotangent."""
    g = [first.point.cotangents[0]]
    a, b = (p.point.subject.gradients(p.point.arrays, g)[0][p.k] for p in (first, other))
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))


def _right_along(probe: Probe, step: float) -> bool:
    """Compare along two random directions over all elements, where not every element was measured."""
    a = probe.analytic
    if a is None:
        return True
    rng = np.random.default_rng(1)
    for _ in range(2):
        direction = rng.standard_normal(probe.shape)
        slope, tolerance = directional(probe, direction, step)
        ours = a @ direction.ravel()
        size = np.abs(a) @ np.abs(direction.ravel())
        if (np.abs(ours - slope) > tolerance + 1e-5 * size / np.sqrt(max(1, direction.size)) + 1e-7 * size).any():
            return False
    return True


def _count(evidence: Evidence, k: int, result: Examination) -> None:
    """Note how many numbers were compared, and what was not."""
    sure = np.any([p.sure for p in evidence.probes], axis=0)
    result.compared[k] = int(sum(p.sure.sum() for p in evidence.probes))
    measured = np.zeros(sure.shape, bool)
    for p in evidence.probes:
        measured[p.columns] = True
    doubtful = int((measured & ~sure).sum())
    if doubtful:
        result.notes.append(
            f"{plural(doubtful, 'number')} of {derivative(evidence.name)} could not be compared: y has a kink or a "
            "jump there, or too much rounding."
        )
        if not sure.any():
            del result.compared[k]


def _note_on_samples(evidence: Sequence[Evidence], result: Examination) -> None:
    """Note of which gradients only some numbers were measured."""
    parts = [
        f"{len(e.probes[0].columns)} of {e.probes[0].sure.size:,} of {derivative(e.name)}"
        for e in evidence
        if not e.probes[0].complete
    ]
    if parts:
        result.notes.append(
            f"{', '.join(parts)} were compared one by one, the others along random directions; smaller inputs are "
            "compared in full."
        )
