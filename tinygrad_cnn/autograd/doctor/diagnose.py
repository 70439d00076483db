"""`diagnose`: from a function and a point to a `Diagnosis`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...checks import abbreviated, integer
from ..engine import GraphError
from ..tensor import Tensor
from .examine import Examination, examine
from .functions import FunctionSubject, input_names
from .probing import Clock
from .report import Diagnosis, Finding, derivative
from .tensors import SecondSubject, TensorSubject, ops_of
from .value import check_value

_SECONDS = 1.2  # what one examination may take, without the last calls of the function


def diagnose(
    fn: Callable[..., Any],
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
        fn: a function of tensors, such as an op or a cost; a module, whose parameters are checked as well; or, with
            ``backward``, a function of arrays.
        inputs: the point: small arrays are enough, and of up to some hundred numbers all are compared. Floating point
            inputs are checked; if any is a tensor that requires a gradient, only those that do.
        backward: ``backward(g, ...)``, with g = dC/dy, returns one gradient, a tuple of one for each input (None for
            those without), or a dict by name; or a dict of functions of one gradient each, by the input's name. Its
            other parameters get the inputs of the same names, what ``forward`` returned after y (``out, cache =
            forward(x)``, ``backward(g, cache)``), y for names such as ``y``, ``a`` or ``out``, and else the inputs in
            their order. g is the first parameter that is not one of forward's (``dc_db(z, dc_da)``); if there is none,
            the function is a slope, and is multiplied by g (``sigmoid_prime(z)``).
        expected: the right value at ``inputs``, to check the forward pass first.
        oracle: the same as a function of the inputs.
        order: 1; or 2 to check the gradients of the gradients too. By default they are checked where the rules are
            recorded, and a rule that is not recorded is no finding.
        seed: seed of the random numbers.

    Raises:
        TypeError: ``fn`` or ``backward`` cannot be called with these inputs, or returns something else.
        ValueError: there is nothing to check, or two calls give two values.

    >>> import tinygrad_cnn as tg
    >>> def bias_gradient(dc_dz):
    ...     return dc_dz.mean(axis=0)
    >>> z, b = np.ones((4, 3)), np.zeros(3)
    >>> diagnosis = tg.diagnose(lambda z, b: z + b, z, b, backward={"b": bias_gradient})
    >>> diagnosis.ok, diagnosis.findings[0].input, diagnosis.findings[0].kind
    (False, 1, 'factor')
    >>> diagnosis.findings[0].message[:69]
    'dC/db is the right gradient times 1/4 (1 / the batch size). The rule '
    >>> tg.diagnose(tg.sigmoid, tg.Tensor([0.5, -1.0]))
    <Diagnosis: right, 6 numbers compared>
    """
    if order not in (None, 1, 2):
        raise ValueError(f"diagnose: order must be 1 or 2, got {abbreviated(order)}")
    seed = integer("diagnose", "seed", seed, 0)
    clock = Clock(_SECONDS)
    with np.errstate(all="ignore"):
        subject = _subject(fn, inputs, backward)
        if not subject.arrays:
            raise ValueError("diagnose: there is no floating point input to check")
        finding = check_value(subject, expected, oracle)
        if finding is not None:
            return Diagnosis((finding,))
        if isinstance(subject, TensorSubject):
            result = _examine_tensors(subject, clock, seed, order)
        else:
            result = examine(subject, clock, seed)
            result.notes[:0] = subject.notes
    second = {k for k, f in result.findings.items() if f.kind == "second_order"}
    wrong = result.findings.keys() - second
    right = tuple(n for k, n in enumerate(subject.names) if k in result.compared and k not in wrong)
    findings = tuple(result.findings[k] for k in sorted(result.findings))
    return Diagnosis(findings, right, tuple(result.notes), sum(result.compared.values()))


def _subject(fn: Any, inputs: Sequence[Any], backward: Any) -> TensorSubject | FunctionSubject:
    """Return the subject of the examination, by the form of the arguments."""
    if not callable(fn):
        raise TypeError(
            "diagnose: fn must be a function of tensors, a module, or a function of arrays with backward=, got "
            f"{abbreviated(fn)}"
        )
    if backward is not None:
        return FunctionSubject(fn, backward, inputs)
    forward = fn.forward if hasattr(fn, "named_parameters") else fn
    subject = TensorSubject(fn, inputs, input_names(forward, len(inputs)))
    try:
        subject.value(subject.arrays)
    except Exception as error:
        if not any(isinstance(x, Tensor) for x in inputs):
            error.add_note("diagnose: fn was called with tensors; for a function of arrays, pass backward= as well")
        raise
    return subject


def _examine_tensors(subject: TensorSubject, clock: Clock, seed: int, order: int | None) -> Examination:
    """Examine a function of tensors: its gradients, the ops that make them wrong, and gradients of gradients."""
    error = None
    try:
        result = examine(subject, Clock(0.6 * clock.left()), seed)
    except (GraphError, TypeError) as e:
        subject.value(subject.arrays)  # raises again if it is not a rule that fails
        result, error = Examination(), e
    if error is None and not result.findings:
        if order != 1:
            _examine_second(subject, clock, seed, order, result)
        return result
    for op, reach, cause in _wrong_ops(subject, clock, seed):
        for k in reach if error is not None else reach & result.findings.keys():
            finding = result.findings.get(k)
            if finding is None or not finding.message.startswith("The op"):
                message = f"The op {op} makes {derivative(subject.names[k])} wrong. In it, {cause.message}"
                shown = finding if finding is not None and finding.picture else cause
                result.findings[k] = replace(
                    shown, input=subject.numbers[k], kind=cause.kind, message=message, name=subject.names[k]
                )
    if error is not None and not result.findings:
        if not isinstance(error, GraphError):
            raise error
        result.findings[0] = Finding(subject.numbers[0], "shape", f"{error}.", None, subject.names[0])
    return result


def _wrong_ops(subject: TensorSubject, clock: Clock, seed: int) -> list[tuple[str, set[int], Finding]]:
    """The wrong rules from the input on: the op, the inputs behind that gradient, and the finding. Of one op: none."""
    nodes = ops_of(subject)
    causes = []
    for i, node in enumerate(nodes) if len(nodes) > 1 else ():
        try:
            findings = examine(node, Clock(clock.left() / (len(nodes) - i)), seed).findings
        except (GraphError, TypeError, ValueError):
            continue
        causes += [(node.op, node.reach[k], finding) for k, finding in findings.items()]
    return causes


def _examine_second(subject: TensorSubject, clock: Clock, seed: int, order: int | None, result: Examination) -> None:
    """Add findings on the gradients of the gradients."""
    second = SecondSubject(subject, seed + 1)
    try:
        findings = examine(second, clock, seed + 2).findings
    except Exception as error:
        if order == 2:
            raise
        result.notes.append(f"The gradients of the gradients could not be checked: {error}")
        return
    for k, finding in findings.items():
        text = (
            f"{derivative(subject.names[k])} is right, but its own gradient is not: the rule's own rule is wrong "
            f"({finding.kind}). Differentiate the formula of the rule once more."
        )
        if not second.recorded[k]:
            text = (
                f"{derivative(subject.names[k])} is right, but its own gradient is not recorded: the rule computes on "
                "arrays. That matters for gradients of gradients only; for these, write the rule with ops on tensors."
            )
            if order is None:
                result.notes.append(text)
                continue
        result.findings[k] = replace(finding, kind="second_order", message=text, picture="")
