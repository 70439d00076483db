"""What the hypotheses are tested on: all probes of one input; and the verdict that explains them."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .probing import Array, Clock, Probe
from .report import Place, derivative

Candidate = Callable[[Probe], Array | None]  # the gradients of a hypothesis at one probe, (V, x.size)


@dataclass(frozen=True)
class Verdict:
    """One explanation: the kind, its sentence, the index of the first wrong number, and what to draw beside what."""

    kind: str
    sentence: str
    where: Place | None = None
    arrays: tuple[Array, Array] | None = None


@dataclass
class Evidence:
    """The probes of input k, with what is needed to take more.

    Attributes:
        name: the input's name; step: the relative step of its derivatives.
    """

    name: str
    probes: list[Probe]
    step: float
    clock: Clock
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def k(self) -> int:
        """The input's position in the subject."""
        return self.probes[0].k

    @property
    def shape(self) -> tuple[int, ...]:
        """The input's shape."""
        return self.probes[0].shape

    @property
    def y_shape(self) -> tuple[int, ...]:
        """The shape of y."""
        return self.probes[0].point.y.shape

    @property
    def gradient(self) -> str:
        """The gradient's name, ``dC/dw``."""
        return derivative(self.name)

    @property
    def input_names(self) -> list[str]:
        """The names of the subject's inputs."""
        return self.probes[0].point.subject.names

    @property
    def result(self) -> str:
        """The name of y, which an input may have."""
        subject = self.probes[0].point.subject
        return "the result" if "y" in subject.names or "y" in subject.constants else "y"

    def other(self, k: int) -> str:
        """Return the name of another input."""
        return self.input_names[k]


def mismatch(probe: Probe) -> Array:
    """Return the elements, (x.size,), at which the rule is wrong for some cotangent."""
    analytic = probe.analytic
    if analytic is None:
        return np.zeros(0, bool)
    with np.errstate(invalid="ignore"):
        different = ~(np.abs(analytic - probe.right) <= probe.tolerance)
    return np.asarray(different.any(0) & probe.sure)


def constant(evidence: Evidence, candidate: Candidate, probes: Sequence[Probe] | None = None) -> float | None:
    """Return c if the candidate is c times the right gradient at every probe and cotangent, else None.

    None also where that would prove nothing: the right gradient is 0, or a single number at a single point.
    """
    pairs = []
    for probe in probes or evidence.probes:
        array = candidate(probe)
        if array is None:
            return None
        sure = probe.sure & np.isfinite(array).all(0)
        if not sure.any() and probe.sure.any():
            return None
        pairs.append((probe.right[:, sure], array[:, sure], probe.tolerance[:, sure]))
    weight = [1 / (r * r).sum() if (r * r).sum() > 0 else 0.0 for r, _, _ in pairs]
    total = sum(w > 0 for w in weight)
    if not total:
        return None
    c = sum(w * float((r * a).sum()) for w, (r, a, _) in zip(weight, pairs, strict=True)) / total
    if not math.isfinite(c) or abs(c) < 1e-9:
        return None
    numbers = 0
    for right, array, tolerance in pairs:
        spread = 1e-7 * np.abs(right).max(initial=0)
        if (np.abs(array - c * right) > 2 * abs(c) * (tolerance + spread)).any():
            return None
        numbers += right.shape[1]
    return c if numbers > 1 or nice(c) else None


def equals(
    evidence: Evidence, candidate: Candidate, target: Candidate, probes: Sequence[Probe] | None = None
) -> float | None:
    """Return c if what the rule returns is c times the candidate at every probe, and the candidate is not 0."""
    total, weight, parts = 0.0, 0, []
    for probe in probes or evidence.probes:
        model, array = candidate(probe), target(probe)
        if model is None or array is None:
            return None
        known = np.isfinite(model).all(0) & np.isfinite(array).all(0)
        model, array = model[:, known], array[:, known]
        square = float((model * model).sum())
        if not square:
            return None
        total, weight = total + float((model * array).sum()) / square, weight + 1
        parts.append((model, array))
    c = total / max(1, weight)
    if not weight or not math.isfinite(c) or abs(c) < 1e-9:
        return None
    for model, array in parts:
        largest = np.abs(model).max(initial=0)
        if (np.abs(array - c * model) > abs(c) * (3e-6 * np.abs(model) + 3e-6 * largest)).any():
            return None
    return c if sum(m.shape[1] for m, _ in parts) > 1 or nice(c) else None


def nice(c: float) -> bool:
    """Return True for a small integer or its reciprocal, of either sign."""
    return any(math.isclose(abs(c), value, rel_tol=1e-5) for n in range(1, 13) for value in (n, 1 / n))


def sizes(evidence: Evidence) -> list[tuple[int, str]]:
    """Return the numbers that a wrong constant may be, with their meaning, the likeliest first."""
    arrays = evidence.probes[0].point.arrays
    y, x = evidence.y_shape, evidence.shape
    found = []
    batch = next((s for s in (y, *(a.shape for a in arrays)) if len(s) > 1), ())
    if batch:
        found.append((batch[0], "axis 0" if len(batch) == 3 else "the batch size"))
    if len(y) >= 2:
        found += [(y[-1] * y[-2], "the number of places"), (y[0] * y[-1] * y[-2], "the places of the whole batch")]
    for k, a in enumerate(arrays):
        name = evidence.other(k)
        if a.ndim >= 2:
            inner = a.shape[-1] * a.shape[-2]
            found += [
                (inner, f"the last two axes of {name}"),
                (a.shape[0] * inner, f"{name}'s first and last two axes"),
            ]
        found += [(a.size, f"the size of {name}")]
    found += [(math.prod(y), "the size of y"), (math.prod(x), f"the size of {evidence.name}")]
    axes = [(n, f"axis {i} of y") for i, n in enumerate(y)]
    axes += [(n, f"axis {i} of {evidence.name}") for i, n in enumerate(x)]
    return [(n, words) for n, words in [*found, *axes] if n > 1]


def named_constant(c: float, evidence: Evidence) -> str:
    """Return a constant in words: ``2``, ``1/4, 1 / the batch size``."""
    sign, value = ("-" if c < 0 else ""), abs(c)
    for n, words in sizes(evidence):
        if math.isclose(value, n, rel_tol=1e-5):
            return f"{sign}{n} ({words})"
        if math.isclose(value, 1 / n, rel_tol=1e-5):
            return f"{sign}1/{n} (1 / {words})"
    for n, d in itertools.product(range(1, 13), range(1, 13)):
        if math.isclose(value, n / d, rel_tol=1e-5):
            return f"{sign}{n}" if d == 1 else f"{sign}{n}/{d}"
    return f"{c:.6g}"


def first_wrong(evidence: Evidence) -> tuple[Probe, Place | None]:
    """Return the first probe at which the rule is wrong, and the index of the first wrong element."""
    for probe in evidence.probes:
        wrong = mismatch(probe)
        if wrong.any():
            return probe, place(int(np.argmax(wrong)), probe.shape)
    return evidence.probes[0], None


def place(i: int, shape: tuple[int, ...]) -> Place:
    """Return the index of an element that is counted through."""
    return tuple(int(j) for j in np.unravel_index(i, shape))


def drawing(evidence: Evidence) -> tuple[Array, Array] | None:
    """Return the right gradient and the rule's, for the first wrong probe and its first cotangent."""
    probe, _ = first_wrong(evidence)
    analytic = probe.analytic
    if analytic is None:
        return None
    return probe.right[0].reshape(probe.shape), analytic[0].reshape(probe.shape)


def of_rule(probe: Probe) -> Array | None:
    """Return the rule's gradients."""
    return probe.analytic


def with_constant(c: float, evidence: Evidence) -> str:
    """Return what to add to a sentence where a constant factor is wrong besides."""
    return "" if math.isclose(c, 1, rel_tol=1e-5) else f", and times {named_constant(c, evidence)}"
