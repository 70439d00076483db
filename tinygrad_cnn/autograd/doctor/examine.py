"""The examination of a subject: probes at several points, and the first hypothesis that explains a difference."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...checks import plural
from . import entries, factors, probing, whole
from .evidence import Answer, Evidence, mismatch
from .probing import Array, Clock, Point, Probe, Subject
from .report import Finding, picture

_HYPOTHESES: tuple[Callable[[Evidence], Answer], ...] = (
    whole.not_finite,
    whole.integers,
    whole.zero,
    whole.scaled,
    whole.without_g,
    whole.turned,
    whole.of_another_input,
    entries.only_diagonal,
    entries.overwritten,
    entries.left_out,
    entries.masked,
    entries.wrong_axes,
    entries.unmasked,
    factors.wrong_factor,
    whole.shifted,
    factors.turned_cotangent,
    factors.elsewhere,
)
_REMEASURED = 24
_LEAST_COLUMNS = 6
_MAX_JACOBIAN_NUMBERS = 2_000_000
_OVERHEAD_SECONDS = 2e-5  # of one value, besides the function


@dataclass
class Examination:
    """The findings and how many numbers were compared, by the input's position in the subject; and notes."""

    findings: dict[int, Finding] = field(default_factory=dict)
    compared: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def examine(subject: Subject, clock: Clock, seed: int) -> Examination:
    """Compare the gradients of every input of a subject with numerical derivatives, and explain what differs."""
    rng = np.random.default_rng(seed)
    y, seconds_a_value = _first_value(subject)
    points = probing.probe_points(subject, y, rng)
    result = Examination()
    if not points:
        result.notes.append("y is not finite at these inputs, nor near them: there is no derivative to compare with.")
        return result
    sizes = [a.size for a in subject.arrays]
    columns = 0.6 * clock.left() / (4 * (seconds_a_value + _OVERHEAD_SECONDS))  # four values of y each
    if sum(sizes) * len(points) > columns:
        points = points[:2]
    shares, left = [0] * len(sizes), columns / len(points)
    for position, k in enumerate(sorted(range(len(sizes)), key=lambda k: sizes[k])):  # small inputs in full
        part = max(_LEAST_COLUMNS, int(left / (len(sizes) - position)))
        shares[k] = min(sizes[k], part, max(_LEAST_COLUMNS, _MAX_JACOBIAN_NUMBERS // (y.size or 1)))
        left -= shares[k]
    seconds = 0.7 * clock.left() / (sum(shares) * len(points) or 1)  # for each element at each point
    evidence = [_measured(subject, points, k, share, seconds * share, clock, rng) for k, share in enumerate(shares)]
    float64_inputs = getattr(subject, "float64_inputs", [False] * len(sizes))
    for k, e in enumerate(evidence):
        answer = (
            whole.not_numbers(e)
            or whole.wrong_shape(e)
            or _explanation(e)
            or (whole.single_precision(e) if float64_inputs[k] else None)
        )
        if answer is not None:
            result.findings[k] = _finding(subject.numbers[k], e, *answer)
        _note_comparisons(e, k, result)
    return result


def _first_value(subject: Subject) -> tuple[Array, float]:
    """Return y at the subject's point and the seconds that takes. ValueError if a second call gives another y."""
    y = subject.value(subject.arrays)
    start = time.thread_time()
    again = subject.value(subject.arrays)
    seconds = time.thread_time() - start
    if not np.array_equal(y, again, equal_nan=True):
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
    step = probing.best_step(subject, points[0].arrays, k, points[0].y, rng)
    probes = []
    for point in points:
        columns = rng.permutation(subject.arrays[k].size)[:share].tolist()
        probe = Probe(point, k, *probing.jacobian(subject, point.arrays, k, point.y, columns, step, Clock(seconds)))
        doubtful = [i for i in probe.columns if not probe.sure[i]][: _REMEASURED // 3]
        wrong = np.flatnonzero(mismatch(probe))
        if len(wrong) and len(wrong) <= max(8, len(probe.columns) // 4):  # if most differ, it is not for a kink
            doubtful += wrong[:_REMEASURED].tolist()
        if doubtful:
            probing.remeasure(probe, doubtful, step, clock)
        point.probes[k] = probe
        probes.append(probe)
    return Evidence(subject.names[k], probes, step, clock)


def _explanation(evidence: Evidence) -> Answer:
    """The first hypothesis that explains a wrong gradient; None if it is right."""
    if _uses_first_point(evidence):
        evidence = replace(evidence, probes=evidence.probes[:1])
    wrong = [p for p in evidence.probes if mismatch(p).any()]
    if not wrong:
        return None
    for probes in (evidence.probes, wrong) if len(wrong) < len(evidence.probes) else (wrong,):
        for hypothesis in _HYPOTHESES:
            answer = hypothesis(replace(evidence, probes=probes))
            if answer is not None:
                return answer
    return whole.unknown(evidence)


def _uses_first_point(evidence: Evidence) -> bool:
    """True if a rule of g alone returns the same at every point: it uses arrays of the caller's point."""
    first = evidence.probes[0]
    if not getattr(first.point.subject, "may_have_captured", False) or not first.sure.any():
        return False
    g = [first.point.cotangents[0]]
    rows = [p.point.subject.gradients(p.point.arrays, g)[0][evidence.k] for p in evidence.probes]
    return all(np.array_equal(rows[0], row, equal_nan=True) for row in rows)


def _finding(number: int, evidence: Evidence, kind: str, message: str) -> Finding:
    """The finding on a gradient, with its first wrong number and a picture."""
    probe, where = evidence.first_wrong()
    drawn, given = "", np.asarray(probe.point.returned[0][evidence.k])
    if given.dtype.kind in "fiub" and given.ndim:
        drawn = picture(probe.right[0].reshape(probe.shape), given, where, (f"right {evidence.gradient}", "the rule's"))
    return Finding(number, kind, message, where, evidence.name, drawn)


def _note_comparisons(evidence: Evidence, k: int, result: Examination) -> None:
    """Note how many numbers were compared, and what was not."""
    gradient, first = evidence.gradient, evidence.probes[0]
    measured = np.zeros(first.sure.shape, bool)
    for p in evidence.probes:
        measured[p.columns] = True
    sure = np.any([p.sure for p in evidence.probes], axis=0)
    if sure.any() or not measured.any():
        result.compared[k] = int(sum(p.sure.sum() for p in evidence.probes))
    doubtful = int((measured & ~sure).sum())
    if doubtful:
        result.notes.append(
            f"{plural(doubtful, 'number')} of {gradient} could not be compared: y has a kink or a jump there, or too "
            "much rounding."
        )
    if not first.complete:
        result.notes.append(
            f"{len(first.columns)} of {first.sure.size:,} numbers of {gradient} were compared; "
            "smaller inputs are compared in full."
        )
