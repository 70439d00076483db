"""Evidence that hypotheses are tested on: the probes of one input, and constants between arrays at all of them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .probing import Array, Clock, Probe
from .report import Place, derivative

Answer = tuple[str, str] | None  # a kind and a sentence
Candidate = Callable[[Probe], Array | None]  # the gradients of a hypothesis at one probe, (V, x.size)


@dataclass
class Evidence:
    """The probes of an input, its name, and what is needed to take more: the step and the time left."""

    name: str
    probes: list[Probe]
    step: float
    clock: Clock

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
    def names(self) -> list[str]:
        """The names of all inputs of the subject."""
        return self.probes[0].point.subject.names

    @property
    def result(self) -> str:
        """The result's name: y, or a if an input is called y."""
        return "a" if "y" in {*self.names, *self.probes[0].point.subject.constants} else "y"

    def first_wrong(self) -> tuple[Probe, Place | None]:
        """Return the first probe at which the rule is wrong, and the index of the first wrong element."""
        for probe in self.probes:
            wrong = mismatch(probe)
            if wrong.any():
                return probe, tuple(int(j) for j in np.unravel_index(int(np.argmax(wrong)), probe.shape))
        return self.probes[0], None


def mismatch(probe: Probe) -> Array:
    """Return the elements, (x.size,), at which the rule is wrong for some cotangent."""
    analytic = probe.analytic
    if analytic is None:
        return np.zeros(0, bool)
    return np.asarray((~(np.abs(analytic - probe.right) <= probe.tolerance)).any(0) & probe.sure)


def is_one(c: float | None) -> bool:
    """Return True for 1 to rounding."""
    return c is not None and math.isclose(c, 1, rel_tol=1e-5)


def constant(evidence: Evidence, candidate: Candidate) -> float | None:
    """Return c if the candidate is c times the right gradient at every probe, else None."""
    parts = []
    for probe in evidence.probes:
        array = candidate(probe)
        if array is None:
            return None
        known = probe.sure & np.isfinite(array).all(0)
        if probe.sure.any() and not known.any():
            return None
        right = probe.right[:, known]
        parts.append((right, array[:, known], probe.tolerance[:, known] + 1e-7 * np.abs(right).max(initial=0)))
    return _ratio(parts)


def equals(evidence: Evidence, model: Candidate, probes: Sequence[Probe] | None = None) -> float | None:
    """Return c if what the rule returns is c times the model, which is not 0, at every probe, else None."""
    parts = []
    for probe in probes or evidence.probes:
        array, analytic = model(probe), probe.analytic
        if array is None or analytic is None:
            return None
        known = np.isfinite(array).all(0) & np.isfinite(analytic).all(0)
        array = array[:, known]
        if not array.any():
            return None
        parts.append((array, analytic[:, known], 1.5e-6 * (np.abs(array) + np.abs(array).max())))
    return _ratio(parts)


def _ratio(parts: Iterable[tuple[Array, Array, Array]]) -> float | None:
    """The c with other = c · reference to 2 c tolerances in every (reference, other, tolerance), or None.

    None also where that would prove nothing: 0, or a single number at each point and no simple c.
    """
    parts = [(r, o, t) for r, o, t in parts if r.size]
    slopes = [float((r * o).sum()) / float((r * r).sum()) for r, o, _ in parts if (r * r).sum() > 0]
    c = sum(slopes) / len(slopes) if slopes else 0.0
    if not math.isfinite(c) or abs(c) < 1e-9:
        return None
    if any((np.abs(o - c * r) > 2 * abs(c) * t).any() for r, o, t in parts):
        return None
    return c if sum(r.shape[1] for r, _, _ in parts) > 1 or nice(c) else None


def nice(c: float) -> bool:
    """Return True for a small integer or its reciprocal, of either sign."""
    return any(math.isclose(abs(c), value, rel_tol=1e-5) for n in range(1, 13) for value in (n, 1 / n))


def sizes(evidence: Evidence) -> list[tuple[int, str]]:
    """Return the numbers that a wrong constant may be, with their meaning, the likeliest first."""
    arrays = dict(zip(evidence.names, (a.shape for a in evidence.probes[0].point.arrays), strict=True))
    y = evidence.y_shape
    found = []
    batch = next((s for s in (y, *arrays.values()) if len(s) > 1), ())
    if batch:
        found.append((batch[0], "axis 0" if len(batch) == 3 else "the batch size"))
    if len(y) >= 2:
        found += [(y[-1] * y[-2], "the number of places"), (y[0] * y[-1] * y[-2], "the places of the whole batch")]
    for name, shape in arrays.items():
        if len(shape) >= 2:
            found.append((shape[-1] * shape[-2], f"the last two axes of {name}"))
        found.append((math.prod(shape), f"the size of {name}"))
    found.append((math.prod(y), f"the size of {evidence.result}"))
    for name, shape in {evidence.result: y, evidence.name: evidence.shape}.items():
        found += [(n, f"axis {i} of {name}") for i, n in enumerate(shape)]
    return [(n, words) for n, words in found if n > 1]


def named_constant(c: float, evidence: Evidence) -> str:
    """Return a constant in words: ``2``, ``1/4 (1 / the batch size)``."""
    sign, value = ("-" if c < 0 else ""), abs(c)
    for n, words in sizes(evidence):
        if math.isclose(value, n, rel_tol=1e-5):
            return f"{sign}{n} ({words})"
        if math.isclose(value, 1 / n, rel_tol=1e-5):
            return f"{sign}1/{n} (1 / {words})"
    for d in range(1, 13):
        n = round(value * d)
        if math.isclose(value, n / d, rel_tol=1e-5):
            return f"{sign}{n}" if d == 1 else f"{sign}{n}/{d}"
    return f"{c:.6g}"


def with_constant(c: float, evidence: Evidence) -> str:
    """Return what to add to a sentence where a constant factor is wrong besides."""
    return "" if is_one(c) else f", and times {named_constant(c, evidence)}"
