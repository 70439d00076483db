"""`diagnose`: from a function and a point to a `Diagnosis`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...checks import abbreviated, integer
from ..engine import GraphError
from ..tensor import Tensor
from .evidence import Verdict
from .examine import Examination, examine
from .functions import FunctionSubject
from .objects import ObjectSubject, methods_of, object_subject
from .probing import Clock, Subject
from .report import Diagnosis, Finding, derivative, picture
from .second import SecondSubject
from .signatures import input_names
from .tensors import NodeSubject, TensorSubject, ops_of
from .value import OracleSubject, check_value, oracle_value

_SECONDS = 1.2  # what one examination may take, without the last calls of the function
_SECOND_ORDER_WORDS = {
    "sign": "It has the wrong sign.",
    "factor": "It is off by a constant factor.",
    "rotated": "It is turned round.",
    "transposed": "It is transposed.",
    "nan": "It is not finite.",
}
_Subjects = TensorSubject | FunctionSubject | ObjectSubject


def diagnose(
    fn: Any,
    *inputs: Any,
    backward: Any = None,
    expected: Any = None,
    oracle: Callable[..., Any] | None = None,
    order: int | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Find which gradient of ``fn`` is wrong, and how.

    The gradients by the rules are compared with central differences in float64, for random dC/dy and at several points
    near ``inputs``; elements at kinks are left out. Where they differ, the simplest explanation that holds for all of
    them to rounding is named; `Diagnosis` has the list of kinds.

    Args:
        fn: a function of tensors, such as an op or a cost; a module, whose parameters are checked as well; with
            ``backward`` a function of arrays; or a class or object with two methods ``forward`` and ``backward``, or
            ``feed_forward`` and ``propagate_backward`` as in the article.
        inputs: the point: small arrays are enough, and of up to some hundred numbers all are compared. Floating point
            inputs are checked; if any is a tensor that requires a gradient, only those that do.
        backward: ``backward(g, ...)``, with g = dC/dy, returns one gradient, a tuple of one for each input (None for
            those without), or a dict by name; or a dict of functions of one gradient each, by the input's name. Its
            other parameters get the inputs of the same names, what ``forward`` returned after y (``out, cache =
            forward(x)``, ``backward(g, cache)``), y for names such as ``y``, ``a`` or ``out``, and else the inputs in
            their order. g is the first parameter that is not one of forward's (``dc_db(z, dc_da)``); if there is none,
            the function is a slope, and is multiplied by g (``sigmoid_prime(z)``).
        expected: the right value at ``inputs``, to check the forward pass too.
        oracle: the same as a function of the inputs.
        order: 1; or 2 to check the gradients of the gradients too. By default they are checked where the rules are
            recorded, and a rule that is not recorded is no finding.
        seed: seed of the random numbers.

    Raises:
        TypeError: ``fn`` or ``backward`` cannot be called with these inputs, or returns something else.
        ValueError: there is nothing to check, or two calls give two values.

    >>> import tinygrad_cnn as tg
    >>> def relu(z):
    ...     return np.maximum(z, 0)
    >>> def relu_backward(g, z):
    ...     return g * z
    >>> z = np.array([-1.0, 2.0, 3.0])
    >>> diagnosis = tg.diagnose(relu, z, backward=relu_backward)
    >>> diagnosis.ok, diagnosis.findings[0].input, diagnosis.findings[0].kind
    (False, 0, 'unknown')
    >>> tg.diagnose(tg.sigmoid, tg.Tensor([0.5, -1.0]))
    <Diagnosis: right, 6 numbers compared>
    """
    if order is not None and order not in (1, 2):
        raise ValueError(f"diagnose: order must be 1 or 2, got {abbreviated(order)}")
    seed = integer("diagnose", "seed", seed, 0)
    clock = Clock(_SECONDS)
    with np.errstate(all="ignore"):
        return _diagnosis(_subject(fn, inputs, backward), expected, oracle, order, seed, clock)


def _diagnosis(
    subject: _Subjects, expected: Any, oracle: Callable[..., Any] | None, order: int | None, seed: int, clock: Clock
) -> Diagnosis:
    if not subject.arrays:
        raise ValueError("diagnose: there is no floating point input to check")
    value_finding, right_rules = _forward(subject, expected, oracle, clock, seed)
    if right_rules is not None:
        return Diagnosis((value_finding,) if value_finding else (), *_summary(subject, right_rules))
    if isinstance(subject, TensorSubject):
        result, findings = examine_tensors(subject, clock, seed, order)
    else:
        result = examine(subject, clock, seed, subject.float64_inputs)
        findings = [_finding(subject, k, v) for k, v in result.verdicts.items()]
        result.notes = [*subject.notes, *result.notes]
    if value_finding is not None:
        findings.insert(0, value_finding)
    return Diagnosis(tuple(findings), *_summary(subject, result))


def _summary(subject: Subject, result: Examination) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    return tuple(result.right(subject)), tuple(result.notes), sum(result.compared.values())


def _subject(fn: Any, inputs: Sequence[Any], backward: Any) -> _Subjects:
    """What is to be examined, by the form of the arguments."""
    if backward is not None:
        if not callable(fn):
            raise TypeError(f"diagnose: fn must be a function of arrays, got {abbreviated(fn)}")
        return FunctionSubject(fn, backward, inputs)
    methods = methods_of(fn)
    if methods is not None:
        return object_subject(fn, inputs, methods)
    if not callable(fn):
        raise TypeError(
            "diagnose: fn must be a function of tensors, a module, a function of arrays with backward=, or an object "
            f"with forward and backward, got {abbreviated(fn)}"
        )
    forward = fn.forward if hasattr(fn, "named_parameters") else fn
    subject = TensorSubject(fn, inputs, input_names(forward, len(inputs)))
    try:
        subject.value(subject.arrays)
    except Exception as error:
        if not any(isinstance(x, Tensor) for x in inputs):
            error.add_note("diagnose: fn was called with tensors; for a function of arrays, pass backward= as well")
        raise
    return subject


def _forward(
    subject: _Subjects, expected: Any, oracle: Callable[..., Any] | None, clock: Clock, seed: int
) -> tuple[Finding | None, Examination | None]:
    """Check the value; and, where it is wrong, whether the rules are right for the right forward pass."""
    if expected is None and oracle is None:
        return None, None
    right = oracle_value(oracle, subject, subject.arrays) if oracle is not None else None
    if expected is not None:
        right = np.asarray(expected.data if isinstance(expected, Tensor) else expected)
    assert right is not None
    finding = check_value(subject, right, oracle)
    if finding is None or oracle is None or right.shape != subject.value(subject.arrays).shape:
        return finding, None
    try:
        result = examine(OracleSubject(subject, oracle), Clock(clock.left() / 2), seed)
    except Exception:  # the oracle need not accept other points
        return finding, None
    return finding, None if result.verdicts else result


def _finding(subject: Subject, k: int, verdict: Verdict, kind: str = "", message: str = "") -> Finding:
    drawn = ""
    if verdict.arrays is not None:
        drawn = picture(*verdict.arrays, verdict.where, (f"right {derivative(subject.names[k])}", "the rule's"))
    return Finding(
        subject.numbers[k],
        kind or verdict.kind,
        message or verdict.sentence,
        verdict.where,
        subject.names[k],
        drawn,
    )


def examine_tensors(
    subject: TensorSubject, clock: Clock, seed: int, order: int | None
) -> tuple[Examination, list[Finding]]:
    """Examine a function of tensors: its gradients, the ops that make them wrong, and gradients of gradients."""
    error = None
    try:
        result = examine(subject, Clock(0.6 * clock.left()), seed, subject.float64_inputs)
    except (GraphError, TypeError) as e:
        subject.value(subject.arrays)  # raises again if it is not a rule that fails
        result, error = Examination(), e
    if error is None and not result.verdicts:
        return result, _second(subject, clock, seed, order, result)
    findings = []
    causes = _wrong_ops(subject, clock, seed)
    wrong = list(result.verdicts) if error is None else sorted({k for _, leaves, _ in causes for k in leaves})
    for k in wrong:
        cause = next(((op, verdict) for op, leaves, verdict in causes if k in leaves), None)
        own = result.verdicts.get(k)
        if cause is None:
            assert own is not None
            findings.append(_finding(subject, k, own))
            continue
        op, verdict = cause
        message = f"{derivative(subject.names[k])} is wrong because of the op {op}: {verdict.sentence}"
        drawn = own if own is not None and own.arrays is not None else verdict
        findings.append(_finding(subject, k, Verdict(verdict.kind, message, drawn.where, drawn.arrays)))
    if error is not None and not findings:
        if not isinstance(error, GraphError):
            raise error
        findings.append(Finding(subject.numbers[0], "shape", f"{error}.", None, subject.names[0]))
    return result, findings


def _wrong_ops(subject: TensorSubject, clock: Clock, seed: int) -> list[tuple[str, set[int], Verdict]]:
    """The rules that are wrong, from the input on: op and line, the inputs that they reach, and the verdict.

    Empty for a function of a single op.
    """
    results, leaves = ops_of(subject)
    recorded = [i for i, t in enumerate(results) if t.node is not None]
    if len(recorded) < 2:
        return []
    reached: dict[int, set[int]] = {id(t): {i} for i, t in enumerate(leaves)}
    causes = []
    for position, i in enumerate(recorded):
        node = results[i].node
        assert node is not None
        reached[id(results[i])] = set().union(*(reached.get(id(t), set()) for t in node.inputs))
        part = NodeSubject(subject, results, leaves, i)
        if not part.arrays or not clock.left():
            continue
        share = Clock(clock.left() / (len(recorded) - position))
        try:
            verdicts = examine(part, share, seed).verdicts
        except (GraphError, TypeError, ValueError):
            continue
        for k, verdict in verdicts.items():
            source = node.inputs[part.numbers[k]]
            causes.append((f"{part.op} ({_short(part.line)})", reached.get(id(source), set()), verdict))
    return causes


def _short(line: str) -> str:
    """A line without the folders of its file and the function it is in."""
    return str(os.path.basename(line.rsplit(" in ", 1)[0]))


def _second(subject: TensorSubject, clock: Clock, seed: int, order: int | None, result: Examination) -> list[Finding]:
    """Check the gradients of the gradients."""
    if order == 1:
        return []
    second = SecondSubject(subject, seed + 1)
    try:
        outcome = examine(second, clock, seed + 2)
    except Exception as error:
        if order == 2:
            raise
        result.notes.append(f"The gradients of the gradients could not be checked: {error}")
        return []
    findings = []
    for k, verdict in outcome.verdicts.items():
        verdict = replace(verdict, arrays=None)
        name = derivative(subject.names[k])
        if not second.recorded[k]:
            text = (
                f"{name} is right, but its own gradient is not recorded: the rule computes on arrays. That matters "
                "for gradients of gradients only; for these, write the rule with ops on tensors."
            )
            if order is None:
                result.notes.append(text)
                continue
        else:
            text = (
                f"{name} is right, but its own gradient is not: a rule's own rule is wrong. "
                f"{_SECOND_ORDER_WORDS.get(verdict.kind, 'Differentiate the formula of each rule once more.')}"
            )
        findings.append(_finding(subject, k, verdict, "second_order", text))
    return findings
