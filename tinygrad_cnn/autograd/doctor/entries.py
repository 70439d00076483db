"""Hypotheses about single contributions: which of the dy/dx the rule uses, which it leaves out, which it invents.

A rule that is called with a cotangent of a single 1 returns one row of its own Jacobian. Beside the numerical one,
entry by entry, it shows whether contributions are missing (and of which outputs), were overwritten, or are too many.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .evidence import Candidate, Evidence, Verdict, constant, drawing, equals, first_wrong, of_rule, with_constant
from .probing import Array, Probe


@dataclass
class Entries:
    """Both Jacobians at one point, (y.size, measured and sure elements of x).

    Attributes:
        right, rule: the numerical one, and the rule's.
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
    """Return the Jacobians at the first probes where the rule is wrong; empty if there are too many outputs."""
    pairs: list[Entries] = []
    for probe in evidence.probes:
        if len(pairs) == probes or not evidence.clock.left():
            break
        rule = probe.point.unit_gradients(probe.k, evidence.clock)
        if rule is None or not np.isfinite(rule).all():
            return []
        sure = probe.sure[probe.columns]
        columns = np.array(probe.columns, int)[sure]
        right, doubt, rule = probe.jacobian[:, sure], probe.doubt[:, sure], rule[:, columns]
        largest = np.abs(right).max(initial=0)
        zero = 1e-7 * largest + 6 * doubt + 6 * float(np.median(doubt)) if doubt.size else doubt
        match = np.abs(rule - right) <= 1e-5 * np.abs(right) + zero
        pairs.append(Entries(probe, right, rule, columns, match, np.abs(rule) > zero, np.abs(right) > zero))
    return pairs


def overwritten(evidence: Evidence) -> Verdict | None:
    """Of several contributions to an element one survives: assigned where they add up."""
    pairs = entries(evidence)
    if not pairs or pairs[0].right.shape[0] < 2:
        return None
    for labels in _groupings(evidence.y_shape):
        survivors = [s for pair in pairs for s in [_survivors(pair, labels)]]
        if any(s is None for s in survivors):
            continue
        groups = np.unique(np.concatenate([s for s in survivors if s is not None]))
        if not len(groups):
            continue
        if len(groups) == 1 and groups[0] != labels.max():
            continue  # only one output counts, and not the last: `left_out` names it
        where = first_wrong(evidence)[1]
        ending = "only the last is left" if len(groups) == 1 or _are_last(pairs, labels) else "only one of them is left"
        text = (
            f"{evidence.gradient} is overwritten: where several contributions meet in one element, {ending}. They add "
            "up: try += for =, or numpy.add.at for an index that comes more than once."
        )
        return Verdict("overwritten", text, where, drawing(evidence))
    return None


def _groupings(y_shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield labels (y.size,) of outputs that a loop may write together: each by itself, one place, one axis."""
    size = int(np.prod(y_shape))
    index = np.indices(y_shape).reshape(len(y_shape), size)
    yield np.arange(size)
    if len(y_shape) > 2:
        yield np.ravel_multi_index(tuple(index[-2:]), y_shape[-2:])
    yield from index


def _survivors(pair: Entries, labels: Array) -> Array | None:
    """The groups that survive in elements of several contributions; None if the rule is not of that kind."""
    count = int(labels.max()) + 1
    member = np.zeros((count, len(labels)), bool)
    member[labels, np.arange(len(labels))] = True
    needed = member @ pair.needed.astype(np.int32) > 0
    used = member @ pair.used.astype(np.int32) > 0
    wrong = member @ (pair.used & ~pair.match).astype(np.int32) > 0
    lost = member @ (pair.needed & ~pair.match).astype(np.int32) > 0
    if wrong.any() or (used & lost).any() or (used.sum(0) > 1).any():
        return None
    met = (needed.sum(0) > 1) & (used.sum(0) == 1)
    return np.asarray(used[:, met].argmax(0))


def _are_last(pairs: list[Entries], labels: Array) -> bool:
    """True if the last contribution of each element survives."""
    for pair in pairs:
        for j in range(pair.right.shape[1]):
            needed, used = labels[pair.needed[:, j]], labels[pair.used[:, j]]
            if len(needed) and len(used) and used.max() != needed.max():
                return False
    return True


def left_out(evidence: Evidence) -> Verdict | None:
    """Whole outputs do not contribute: only the first image, all rows but the last."""
    pairs = entries(evidence)
    if not pairs or pairs[0].right.shape[0] < 2:
        return None
    words = _missing_outputs(evidence.y_shape, pairs)
    if words is None:
        return None
    text = f"{evidence.gradient} is not summed over all outputs: {words}. Add up the contributions of all of them."
    return Verdict("not_summed", text, first_wrong(evidence)[1], drawing(evidence))


def only_diagonal(evidence: Evidence) -> Verdict | None:
    """Each output is taken to depend on the input at its own index only."""
    pairs = entries(evidence)
    if not pairs or evidence.y_shape != evidence.shape:
        return None
    for pair in pairs:
        own = pair.columns[None, :] == np.arange(pair.right.shape[0])[:, None]
        if (pair.used & ~own).any() or not pair.match[own].all() or not (pair.needed & ~own).any():
            return None
    text = (
        f"{evidence.gradient} counts only how each output depends on the input at its own index. Here each output "
        "depends on other inputs as well: sum g times the slope over all outputs (as in softmax)."
    )
    return Verdict("not_summed", text, first_wrong(evidence)[1], drawing(evidence))


def _missing_outputs(y_shape: tuple[int, ...], pairs: list[Entries]) -> str | None:
    """Which outputs contribute, if they are all that have certain indices along certain axes."""
    matters, use = np.zeros(y_shape, bool), np.zeros(y_shape, bool)
    for pair in pairs:
        nonzero = pair.needed.any(1) | pair.used.any(1)
        complete, missing = pair.match.all(1), ~pair.used.any(1)
        if (nonzero & ~(complete | missing)).any():
            return None
        matters |= nonzero.reshape(y_shape)
        use |= (complete & nonzero).reshape(y_shape)
    if not use.any() or (use == matters).all():
        return None
    parts = []
    block = np.ones(y_shape, bool)
    for axis in range(len(y_shape)):
        others = tuple(i for i in range(len(y_shape)) if i != axis)
        present, all_of = use.any(others), matters.any(others)
        if (present == all_of).all():
            continue
        shape = [1] * len(y_shape)
        shape[axis] = -1
        block &= present.reshape(shape)
        parts.append(_subset(np.flatnonzero(present), np.flatnonzero(all_of), _axis_name(y_shape, axis)))
    return " and ".join(parts) if parts and (use == (matters & block)).all() else None


def _axis_name(y_shape: tuple[int, ...], axis: int) -> str:
    return ("image", "map", "row", "column")[axis] if len(y_shape) == 4 else f"index of axis {axis}"


def _subset(present: Array, every: Array, noun: str) -> str:
    if len(present) == 1 and present[0] == every[0]:
        return f"only the first {noun} of the output counts"
    if len(present) == 1 and present[0] == every[-1]:
        return f"only the last {noun} of the output counts"
    missing = sorted({*every.tolist()} - {*present.tolist()})
    if len(missing) == 1:
        return f"{noun} {missing[0]} of the output is left out"
    return f"only {len(present)} of {len(every)} {noun} of the output count"


def masked(evidence: Evidence) -> Verdict | None:
    """Right where it is not zero."""
    pairs = entries(evidence)
    if pairs:
        if any((p.used & ~p.match).any() for p in pairs) or not any(p.used.any() for p in pairs):
            return None
    elif not _masked_gradients(evidence):
        return None
    text = (
        f"{evidence.gradient} is right where it is not zero, but zero in places where it should not be: a mask, or a "
        "range of indices, leaves them out. Check the condition, and that the loops run over every place."
    )
    return Verdict("masked", text, first_wrong(evidence)[1], drawing(evidence))


def _masked_gradients(evidence: Evidence) -> bool:
    nonzero = 0
    for probe in evidence.probes:
        a = probe.analytic
        if a is None or len(probe.columns) < 2:
            return False
        agree = np.abs(a - probe.right) <= probe.tolerance
        if (probe.sure & ~(agree | (a == 0)).all(0)).any():
            return False
        nonzero += int(((a != 0).any(0) & probe.sure).sum())
    return nonzero > 0


def unmasked(evidence: Evidence) -> Verdict | None:
    """Right where the right gradient is not zero, but not zero elsewhere."""
    pairs = entries(evidence)
    if pairs:
        if any((p.needed & ~p.match).any() for p in pairs) or not any((p.used & ~p.needed).any() for p in pairs):
            return None
        nothing = not any(p.needed.any() for p in pairs)
    else:
        if not _unmasked_gradients(evidence):
            return None
        nothing = False
    gradient, name = evidence.gradient, evidence.name
    if nothing:
        text = f"{gradient} should be 0: {evidence.result} does not depend on {name} here."
    else:
        text = (
            f"{gradient} is right where it should not be zero, but not zero where it should be: neurons get a gradient "
            "that did not pass their activation on. Multiply by the mask: where z > 0 for relu, each overlay's maximum "
            "for max pooling."
        )
    return Verdict("unmasked", text, first_wrong(evidence)[1], drawing(evidence))


def _unmasked_gradients(evidence: Evidence) -> bool:
    nonzero = 0
    for probe in evidence.probes:
        a = probe.analytic
        if a is None:
            return False
        needed = (np.abs(probe.right) > probe.tolerance).any(0) & probe.sure
        agree = (np.abs(a - probe.right) <= probe.tolerance).all(0)
        if (needed & ~agree).any():
            return False
        nonzero += int(needed.sum())
    return nonzero > 0


def wrong_axes(evidence: Evidence) -> Verdict | None:
    """Of an input that was only broadcast: dC/dy summed over other axes than those of the broadcast."""
    y_shape, ndim = evidence.y_shape, len(evidence.y_shape)
    size = int(np.prod(evidence.shape))
    sums = []
    for count in range(ndim + 1):
        for axes in itertools.combinations(range(ndim), count):
            rest = [n for i, n in enumerate(y_shape) if i not in axes]
            if int(np.prod(rest)) == size:
                sums.append(axes)
    if len(sums) < 2 or size < 2:
        return None

    def over(axes: tuple[int, ...]) -> Candidate:
        return lambda p: np.asarray(p.point.cotangents.sum(tuple(1 + i for i in axes)).reshape(len(p.right), -1))

    right = next((axes for axes in sums if constant(evidence, over(axes)) is not None), None)
    if right is None:
        return None
    for axes in sums:
        c = None if axes == right else equals(evidence, over(axes), of_rule)
        if c is not None:
            along = f"over the axes {list(axes)} of {evidence.result}" if axes else "over no axis"
            text = (
                f"{evidence.gradient} is dC/dy summed {along}{with_constant(c, evidence)}. {evidence.name} was "
                f"broadcast along the axes {list(right)} of {evidence.result}: sum over these."
            )
            return Verdict("not_summed", text, None, drawing(evidence))
    return None
