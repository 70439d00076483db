"""Numerical derivatives of y by every element of every input, and the points and cotangents at which they are taken.

Five values of y on a line through x give two slopes, at one and at two steps, and Richardson's extrapolation of them.
Where y is smooth they agree, so that their difference says how far the derivative can be trusted: at a kink, in
rounding noise, or where y is not finite, the `doubt` is large, and the element is not compared.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MAX_JACOBIAN_NUMBERS = 2_000_000
_MAX_UNIT_COTANGENTS = 1024
_LEAST_COLUMNS = 6
_RTOL = 2e-6
_ZERO = 1e-13  # of |dC/dy|: the rounding of a gradient of 0


class Subject(Protocol):
    """A function y = f(x_0, x_1, ...) with its backward rules.

    Attributes:
        names, numbers, arrays: of each input that is checked, its name, its number among the caller's, and the point,
            in float64.
        constants: the inputs that are not checked, by name.
    """

    names: list[str]
    numbers: list[int]
    arrays: list[Array]
    constants: dict[str, Array]

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return for each cotangent g = dC/dy what the rules return for each input; None for no gradient."""


class Clock:
    """A budget of this thread's processor time: what is found does not depend on what else the machine does."""

    def __init__(self, seconds: float) -> None:
        self.end = time.thread_time() + seconds

    def left(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self.end - time.thread_time())


@dataclass(eq=False)
class Point:
    """A point, its value y, and the cotangents (V, *y.shape) with what the rules return for them."""

    subject: Subject
    arrays: list[Array]
    y: Array
    cotangents: Array
    returned: list[list[Any]]
    probes: "dict[int, Probe]" = field(default_factory=dict)  # by input
    seconds_a_gradient: float = 0.0
    _units: list[list[Any]] | None = None

    def unit_gradients(self, k: int, clock: Clock) -> Array | None:
        """Return the rule's own Jacobian (y.size, x.size), from a cotangent that is 1 at one place, 0 elsewhere.

        None if there are too many places, or the rule returns no gradient of the input's shape.
        """
        if self.y.size > _MAX_UNIT_COTANGENTS or self.y.size * self.arrays[k].size > _MAX_JACOBIAN_NUMBERS:
            return None
        if self._units is None and self.y.size * self.seconds_a_gradient > 0.6 * clock.left():
            return None
        if self._units is None:
            eye = np.eye(self.y.size).reshape(self.y.size, *self.y.shape)
            self._units = self.subject.gradients(self.arrays, list(eye))
        return _stacked([row[k] for row in self._units], self.arrays[k].shape)


@dataclass(eq=False)
class Probe:
    """Gradients of input k at one point, given and numerical: arrays of (V, x.size) for V cotangents.

    Attributes:
        columns: the elements of x, counted through, that were measured: all of them, if there is time.
        jacobian, doubt: dy/dx at these, (y.size, columns), and its uncertainty.
        right: the numerical gradients, NaN where not measured.
        size: the sums of the magnitudes of their summands.
        tolerance: the difference that rounding and the uncertainty explain.
        sure: the elements (x.size,) whose derivative can be trusted.
    """

    point: Point
    k: int
    columns: list[int]
    jacobian: Array
    doubt: Array
    right: Array = field(init=False)
    size: Array = field(init=False)
    tolerance: Array = field(init=False)
    sure: Array = field(init=False)

    def __post_init__(self) -> None:
        self.refresh()

    @property
    def complete(self) -> bool:
        """True if every element was measured."""
        return len(self.columns) == self.point.arrays[self.k].size

    def refresh(self) -> None:
        """Compute what depends on the Jacobian."""
        v = self.point.cotangents.reshape(len(self.point.cotangents), -1)
        right, size = v @ self.jacobian, np.abs(v) @ np.abs(self.jacobian)
        infinite = np.isinf(self.doubt).any(0)
        doubt = np.where(infinite, np.inf, np.abs(v) @ np.where(infinite, 0, self.doubt))
        largest = float(size.max(initial=0.0))
        typical = doubt[np.isfinite(doubt) & (doubt < 1e-3 * largest)] if largest else doubt[np.isfinite(doubt)]
        noise = float(np.median(typical)) if typical.size else 0.0
        v_size = np.abs(v).sum(1, keepdims=True)
        x_scale = float(np.abs(self.point.arrays[self.k]).max(initial=0)) or 1.0
        usual = v_size * float(np.abs(self.point.y).max(initial=0)) / x_scale  # a gradient that is not specially small
        zero = _ZERO * v_size * min(1.0, x_scale)
        tolerance = _RTOL * size + 4 * doubt + 6 * noise + self._rule_noise(size) + zero
        sure = tolerance <= 1e-2 * np.maximum(size, largest)
        if (largest <= 1e-6 * usual).all():  # as good as 0
            tolerance = tolerance + 1e-9 * usual
            sure |= tolerance <= 1e-4 * usual
        sure = (sure | (tolerance <= 10 * zero)).all(0)
        self.right, self.size, self.tolerance = (self.scattered(a) for a in (right, size, tolerance))
        self.sure = np.zeros(self.point.arrays[self.k].size, bool)
        self.sure[self.columns] = sure

    def scattered(self, measured: Array) -> Array:
        """Return numbers of the measured elements, (V, columns), among NaN for the others, (V, x.size)."""
        whole = np.full((len(measured), self.point.arrays[self.k].size), np.nan)
        whole[:, self.columns] = measured
        return whole

    def _rule_noise(self, size: Array) -> Array:
        """The rounding of the rule, from its third cotangent, the sum of the others: a rule is linear in it."""
        if self.analytic is None:
            return np.zeros((1, 1))
        a = self.analytic[:, self.columns]
        defect = np.abs(a[0] + a[1] - a[2])
        rounding = defect[defect <= 1e-3 * size[2]]
        single = any(np.asarray(r[self.k]).dtype in (np.float16, np.float32) for r in self.point.returned)
        return np.asarray(10 * (np.sqrt((rounding**2).mean()) if rounding.size else 0.0) + 1e-5 * single * size)

    @property
    def shape(self) -> tuple[int, ...]:
        """The input's shape."""
        return self.point.arrays[self.k].shape

    @property
    def analytic(self) -> Array | None:
        """The rule's gradients, (V, x.size); None where they have another shape or are no real numbers."""
        return _stacked([r[self.k] for r in self.point.returned], self.shape)


def _stacked(gradients: list[Any], shape: tuple[int, ...]) -> Array | None:
    """Gradients of that shape as rows of floats; None if one has another shape, or is no array of real numbers."""
    if any(g is None or np.shape(g) != shape or np.asarray(g).dtype.kind not in "fiub" for g in gradients):
        return None
    return np.array([np.asarray(g).ravel() for g in gradients], np.float64).reshape(len(gradients), -1)


def _move(x: Array, rng: np.random.Generator, scale: float, *, permute: bool) -> Array:
    """Another point of the same domain: signs stay, what lies between 0 and 1 stays there.

    ``scale`` is the relative size of the step; if ``permute`` is True, the elements are exchanged too.
    """
    base = rng.permutation(x.ravel()).reshape(x.shape) if permute else x
    step = scale * rng.uniform(0.2, 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
    if x.size and x.min() >= 0 and x.max() <= 1:
        inner = np.clip(base, 0.05 * scale, 1 - 0.05 * scale)
        return np.asarray(inner + inner * (1 - inner) * step)
    rms = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    small = np.abs(base) <= 1e-3 * rms
    if x.size and (x.min() >= 0 or x.max() <= 0):
        step = np.where(small, np.abs(step) * (1 if x.min() >= 0 else -1), step)
    return np.asarray(np.where(small, base + step * (rms or 1.0), base * (1 + step)))


def _looks_like_labels(x: Array) -> bool:
    """True for zeros and ones, and for rows that are probabilities: rules may rely on their sum."""
    if not x.size or x.min() < 0 or not x.ndim:
        return False
    return bool(np.isin(x, (0, 1)).all()) or (x.shape[-1] > 1 and bool(np.allclose(x.sum(-1), 1)))


def best_step(subject: Subject, arrays: Sequence[Array], k: int, y: Array, rng: np.random.Generator) -> float:
    """Return the relative step (see `_steps`) at which the slope along a random direction is least in doubt."""
    x = arrays[k]
    direction = rng.choice([-1.0, 1.0], x.shape)
    v = np.abs(rng.standard_normal(y.size)) + 0.1
    best, least = 1e-4, np.inf
    for relative in (1e-4, 1e-5, 1e-3, 1e-6, 1e-2, 3e-2):
        steps = _steps(x, relative)
        slope, doubt = _slope(lambda a: subject.value(_replaced(arrays, k, a)), x, steps * direction, y, 1.0)
        scale = float(v @ np.abs(slope))
        measure = float(v @ doubt) / scale if scale else float(v @ doubt)
        if measure < 0.5 * least:  # another step must be clearly better
            best, least = relative, measure
        if least < 1e-8:
            break
    return best


def _steps(x: Array, relative: float) -> Array:
    """The step for each element: in proportion to it, but not much less than the array's own scale."""
    rms = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    return np.asarray(relative * np.maximum(np.abs(x), 0.1 * rms if rms else 1.0))


def _replaced(arrays: Sequence[Array], k: int, x: Array) -> list[Array]:
    return [x if i == k else a for i, a in enumerate(arrays)]


def _slope(
    value: Callable[[Array], Array], x: Array, step: Array, y: Array, unit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return dy / unit for a move of x by ``step``, and its doubt, both (y.size,)."""
    low2, low, high, high2 = (np.asarray(value(x + j * step), np.float64).ravel() for j in (-2, -1, 1, 2))
    middle = np.asarray(y, np.float64).ravel()
    near, far = (high - low) / (2 * unit), (high2 - low2) / (4 * unit)
    bend = (high - 2 * middle + low) / unit  # of a smooth y in proportion to the step, of a kink constant
    bend2 = (high2 - 2 * middle + low2) / (2 * unit)
    precision = np.finfo(y.dtype).eps if y.dtype.kind == "f" else np.finfo(np.float64).eps
    doubt = np.abs(near - far) + np.abs(2 * bend - bend2) + 4 * precision * np.abs(middle) / unit
    slope = (4 * near - far) / 3
    bad = ~np.isfinite(slope) | ~np.isfinite(doubt)
    return np.where(bad, 0.0, slope), np.where(bad, np.inf, doubt)


def jacobian(
    subject: Subject, arrays: Sequence[Array], k: int, y: Array, columns: Sequence[int], relative: float, clock: Clock
) -> tuple[list[int], Array, Array]:
    """Return the elements of input k that there was time for, dy/dx at these, (y.size, columns), and its doubt."""
    steps = _steps(arrays[k], relative).ravel()
    pairs: list[tuple[Array, Array]] = []
    for i in columns:
        if len(pairs) >= _LEAST_COLUMNS and not clock.left():
            break
        pairs.append(_column(subject, arrays, k, y, i, float(steps[i])))
    slopes, doubts = (np.array([p[j] for p in pairs]).reshape(len(pairs), y.size).T for j in (0, 1))
    return list(columns[: len(pairs)]), slopes, doubts


def _column(
    subject: Subject, arrays: Sequence[Array], k: int, y: Array, i: int, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    move_by = np.zeros(arrays[k].shape)
    move_by.flat[i] = step
    return _slope(lambda a: subject.value(_replaced(arrays, k, a)), arrays[k], move_by, y, step)


def remeasure(probe: Probe, elements: Sequence[int], relative: float, clock: Clock) -> None:
    """Measure elements that disagree or are in doubt again, with other steps; keep what is least in doubt."""
    point, k = probe.point, probe.k
    steps = _steps(point.arrays[k], relative).ravel()
    tiny = np.maximum(np.abs(point.arrays[k].ravel()), 1e-300)
    position = {i: j for j, i in enumerate(probe.columns)}
    for i in elements:
        j = position[i]
        for step in (0.03 * steps[i], 10 * steps[i], 1e-3 * steps[i], 1e-4 * tiny[i], 1e-4):
            if not clock.left():
                break
            slope, doubt = _column(point.subject, point.arrays, k, point.y, i, float(step))
            if doubt.sum() < probe.doubt[:, j].sum():
                probe.jacobian[:, j], probe.doubt[:, j] = slope, doubt
    probe.refresh()


def probe_points(subject: Subject, y: Array, rng: np.random.Generator) -> list[Point]:
    """Return the caller's point and up to two others at which y is finite, each with three cotangents.

    A move that makes the function raise, or makes y infinite or NaN, leaves its domain: then a smaller one is tried.
    """
    points = [_point(subject, subject.arrays, y, rng)] if np.isfinite(y).all() else []
    fixed = [_looks_like_labels(a) for a in subject.arrays]
    if all(fixed):
        fixed = [k > 0 and bool(np.isin(a, (0, 1)).all()) for k, a in enumerate(subject.arrays)]
    for permute in (False, True):
        for scale in (0.9 if permute else 0.3, 0.05, 0.005):
            arrays = [
                a if f else _move(a, rng, scale, permute=permute) for a, f in zip(subject.arrays, fixed, strict=True)
            ]
            try:
                value = subject.value(arrays)
                if value.shape == y.shape and np.isfinite(value).all():
                    points.append(_point(subject, arrays, value, rng))
                    break
            except Exception:  # whatever the function raises where it is not defined
                continue
    return points


def _point(subject: Subject, arrays: list[Array], y: Array, rng: np.random.Generator) -> Point:
    cotangents = rng.standard_normal((3, *y.shape))
    cotangents[2] = cotangents[0] + cotangents[1]
    start = time.thread_time()
    returned = subject.gradients(arrays, list(cotangents))
    seconds = (time.thread_time() - start) / len(cotangents)
    return Point(subject, list(arrays), y, cotangents, returned, seconds_a_gradient=seconds)
