"""Hypotheses about single contributions: which of the dy/dx the rule uses, which it leaves out, which it invents.

A rule that is called with a cotangent of a single 1 returns one row of its own Jacobian. Beside the numerical one,
entry by entry, it shows whether contributions are missing (and of which outputs), were overwritten, or are too many.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .evidence import Answer, Candidate, Evidence, constant, equals, with_constant
from .probing import Array, Probe
from .whole import linear_in_g


@dataclass
class Entries:
    """Both Jacobians at one point, (y.size, measured and sure elements of x).

    Attributes:
        right, rule: the numerical one, and the rule's.
        columns: the elements of x.
        match, used, needed: entries that agree; that the rule has (not 0); that are right and not 0.
    """

    probe: Probe
    right: Array
    rule: Array
    columns: Array
    match: Array
    used: Array
    needed: Array


def entries(evidence: Evidence, probes: int = 2) -> list[Entries]:
    """Return the Jacobians at the first probes; empty if there are too many outputs, or g is no factor of the rule."""
    pairs: list[Entries] = []
    for probe in evidence.probes[:probes]:
        if pairs and not evidence.clock.left():
            break
        rule = probe.point.unit_gradients(probe.k, evidence.clock)
        if rule is None or not np.isfinite(rule).all() or not linear_in_g(probe):
            return []
        sure = probe.sure[probe.columns]
        columns = np.array(probe.columns, int)[sure]
        right, doubt, rule = probe.jacobian[:, sure], probe.doubt[:, sure], rule[:, columns]
        zero = 1e-7 * np.abs(right).max(initial=0) + 6 * doubt + (6 * float(np.median(doubt)) if doubt.size else 0)
        match = np.abs(rule - right) <= 1e-5 * np.abs(right) + zero
        pairs.append(Entries(probe, right, rule, columns, match, np.abs(rule) > zero, np.abs(right) > zero))
    return pairs


def only_diagonal(evidence: Evidence) -> Answer:
    """Each output is taken to depend on the input at its own index only."""
    pairs = entries(evidence)
    if not pairs or evidence.y_shape != evidence.shape:
        return None
    for pair in pairs:
        own = pair.columns[None, :] == np.arange(len(pair.right))[:, None]
        if (pair.used & ~own).any() or not pair.match[own].all() or not (pair.needed & ~own).any():
            return None
    return "not_summed", (
        f"{evidence.gradient} counts only how each output depends on the input at its own index. Here each output "
        "depends on other inputs as well: sum g times the slope over all outputs (as in softmax)."
    )


def overwritten(evidence: Evidence) -> Answer:
    """Of several contributions to an element one survives: assigned where they add up."""
    pairs = entries(evidence)
    for labels in _groupings(evidence.y_shape) if pairs and len(pairs[0].right) > 1 else ():
        survivors = [_survivors(pair, labels) for pair in pairs]
        if any(s is None for s in survivors):
            continue
        groups = np.unique(np.concatenate([s for s in survivors if s is not None]))
        if len(groups) > 1 or (len(groups) and groups[0] == labels.max()):  # if not the last: `left_out` names it
            return "overwritten", (
                f"{evidence.gradient} is overwritten: where several contributions meet in one element, only one of "
                "them is left. They add up: try += for =, or numpy.add.at for an index that comes more than once."
            )
    return None


def _groupings(y_shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield labels (y.size,) of outputs that a loop may write together: each by itself, one place, one axis."""
    index = np.indices(y_shape).reshape(len(y_shape), -1)
    yield np.arange(math.prod(y_shape))
    if len(y_shape) > 2:
        yield np.ravel_multi_index(tuple(index[-2:]), y_shape[-2:])
    yield from index


def _survivors(pair: Entries, labels: Array) -> Array | None:
    """The groups that survive in elements of several contributions; None if the rule is not of that kind."""
    member = (np.arange(labels.max() + 1)[:, None] == labels).astype(np.int32)
    needed, used, wrong, lost = (
        member @ array.astype(np.int32) > 0
        for array in (pair.needed, pair.used, pair.used & ~pair.match, pair.needed & ~pair.match)
    )
    if wrong.any() or (used & lost).any() or (used.sum(0) > 1).any():
        return None
    return np.asarray(used[:, (needed.sum(0) > 1) & (used.sum(0) == 1)].argmax(0))


def left_out(evidence: Evidence) -> Answer:
    """Whole outputs do not contribute: only the first image, all rows but the last."""
    pairs, y_shape = entries(evidence), evidence.y_shape
    if not pairs or len(pairs[0].right) < 2:
        return None
    matters, use = np.zeros(y_shape, bool), np.zeros(y_shape, bool)
    for pair in pairs:
        nonzero = pair.needed.any(1) | pair.used.any(1)
        complete = pair.match.all(1)
        if (nonzero & ~complete & pair.used.any(1)).any():
            return None
        matters |= nonzero.reshape(y_shape)
        use |= (complete & nonzero).reshape(y_shape)
    if not use.any() or (use == matters).all():
        return None
    parts, block = [], np.ones(y_shape, bool)
    for axis in range(len(y_shape)):
        others = tuple(i for i in range(len(y_shape)) if i != axis)
        present, every = use.any(others), matters.any(others)
        if (present != every).any():
            block &= np.expand_dims(present, others)
            noun = ("image", "map", "row", "column")[axis] if len(y_shape) == 4 else f"index of axis {axis}"
            parts.append(_subset(np.flatnonzero(present).tolist(), np.flatnonzero(every).tolist(), noun))
    if not parts or (use != (matters & block)).any():
        return None
    return "not_summed", (
        f"{evidence.gradient} is not summed over all outputs: {' and '.join(parts)}. Add up the contributions of "
        "all of them."
    )


def _subset(present: list[int], every: list[int], noun: str) -> str:
    if present in (every[:1], every[-1:]):
        return f"only the {'first' if present == every[:1] else 'last'} {noun} of the output counts"
    if len(present) == len(every) - 1:
        return f"{noun} {min({*every} - {*present})} of the output is left out"
    return f"only {len(present)} of {len(every)} {noun} of the output count"


def masked(evidence: Evidence) -> Answer:
    """Right where it is not zero."""
    pairs = entries(evidence)
    if any((p.used & ~p.match).any() for p in pairs) or not any(p.used.any() for p in pairs):
        return None
    return "masked", (
        f"{evidence.gradient} is right where it is not zero, but zero in places where it should not be: a mask, or a "
        "range of indices, leaves them out. Check the condition, and that the loops run over every place."
    )


def unmasked(evidence: Evidence) -> Answer:
    """Right where the right gradient is not zero, but not zero elsewhere."""
    pairs = entries(evidence)
    if any((p.needed & ~p.match).any() for p in pairs) or not any((p.used & ~p.needed).any() for p in pairs):
        return None
    if not any(p.needed.any() for p in pairs):
        return (
            "unmasked",
            f"{evidence.gradient} should be 0: {evidence.result} does not depend on {evidence.name} here.",
        )
    return "unmasked", (
        f"{evidence.gradient} is right where it should not be zero, but not zero where it should be: neurons get a "
        "gradient that did not pass their activation on. Multiply by the mask: where z > 0 for relu, each overlay's "
        "maximum for max pooling."
    )


def wrong_axes(evidence: Evidence) -> Answer:
    """Of an input that was only broadcast: dC/dy summed over other axes than those of the broadcast."""
    axes_of_y, size = range(len(evidence.y_shape)), math.prod(evidence.shape)
    sums = [
        axes
        for count in range(len(axes_of_y) + 1)
        for axes in itertools.combinations(axes_of_y, count)
        if math.prod(n for i, n in enumerate(evidence.y_shape) if i not in axes) == size
    ]
    if len(sums) < 2 or size < 2:
        return None

    def over(axes: tuple[int, ...]) -> Candidate:
        return lambda p: np.asarray(p.point.cotangents.sum(tuple(1 + i for i in axes)).reshape(len(p.right), -1))

    right = next((axes for axes in sums if constant(evidence, over(axes)) is not None), None)
    for axes in sums if right is not None else ():
        c = None if axes == right else equals(evidence, over(axes))
        if c is not None:
            return "not_summed", (
                f"{evidence.gradient} is dC/d{evidence.result} summed over the axes {list(axes)}"
                f"{with_constant(c, evidence)}. {evidence.name} was broadcast along the axes {list(right or ())}: sum "
                "over these."
            )
    return None
