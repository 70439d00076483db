"""The doctor names what is wrong with a rule, and finds nothing wrong with a right one."""

import sys
import time

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from op_table import OPS
from planted_rules import PLANTED, numbers, op, sigmoid
from random_compositions import composition

import tinygrad_cnn as tg
from tinygrad_cnn.autograd.doctor import KINDS

ROOT = np.random.default_rng(0)


# Wrong rules ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers():
    """The diagnosis of every planted rule, and the processor time it took."""
    results = {}
    tg.set_kernels("numpy")  # compiling is no part of a diagnosis
    for rule in PLANTED:
        start = time.thread_time()
        results[rule.name] = rule.diagnosis(), time.thread_time() - start
    return results


@pytest.mark.parametrize("rule", PLANTED, ids=[rule.name for rule in PLANTED])
def test_a_wrong_rule_is_never_given_a_wrong_name(rule, answers):
    diagnosis, _ = answers[rule.name]
    assert not diagnosis.ok and not diagnosis
    assert {f.input for f in diagnosis.findings} == set(rule.wrong)
    assert all(f.kind in (rule.wrong[f.input], "unknown") for f in diagnosis.findings), str(diagnosis)


def test_nine_in_ten_wrong_rules_are_named(answers):
    named = [rule.name for rule in PLANTED if rule.named_rightly(answers[rule.name][0])]
    assert len(PLANTED) >= 60 and len(named) >= 0.9 * len(PLANTED), {r.name for r in PLANTED} - set(named)


def test_every_kind_is_planted():
    assert {kind for rule in PLANTED for kind in rule.wrong.values()} == set(KINDS)


def test_a_diagnosis_takes_at_most_two_seconds(answers):
    assert max(seconds for _, seconds in answers.values()) <= 2 or sys.gettrace() is not None


def test_every_finding_is_a_sentence_and_fits_on_the_screen(answers):
    for diagnosis, _ in answers.values():
        for finding in diagnosis.findings:
            assert finding.message.endswith((".", "?")) and finding.message[0] in "dTI", finding.message
            assert finding.where is None or all(isinstance(i, int) for i in finding.where)
            assert all(len(line) <= 60 for line in finding.picture.splitlines()), finding.picture
        assert all(len(line) <= 80 for line in str(diagnosis).splitlines())
        assert str(diagnosis).isascii()


def test_a_failing_gradcheck_ends_with_the_sentence():
    rule = next(rule for rule in PLANTED if rule.name == "sigmoid: minus")
    with pytest.raises(tg.GradcheckError, match=r"input 0.*the rule gives.*\)\. dC/d.* wrong sign: .*minus away$"):
        tg.gradcheck(rule.fn, tg.Tensor(rule.inputs[0]))
    rule = next(rule for rule in PLANTED if rule.name == "exp: the rule's own rule has the wrong sign")
    with pytest.raises(tg.GradcheckError, match=r"second order, input 0.*the rule's own rule is wrong"):
        tg.gradcheck(rule.fn, tg.Tensor(rule.inputs[0]), order=2)


# Right rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
@examples(3)
@given(data=st.data())
def test_no_rule_of_the_library_is_called_wrong(op, data):
    case = data.draw(op.cases)
    tg.set_kernels("numpy")
    if not any(np.asarray(a).dtype.kind == "f" for a in case.arrays):
        return
    if op.name == "gelu" and np.abs(case.arrays[0]).max(initial=0) > 4:  # differences of nearly equal numbers
        return
    start = time.thread_time()
    diagnosis = tg.diagnose(case.fn, *case.arrays)
    assert diagnosis.ok, str(diagnosis)
    assert time.thread_time() - start <= 2 or sys.gettrace() is not None, "a tracer, as of coverage, takes its time"


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(s, marks=pytest.mark.slow) for s in range(8, 200))])
def test_no_composition_of_right_rules_is_called_wrong(seed):
    fn, arrays = composition(seed)
    start = time.thread_time()
    diagnosis = tg.diagnose(fn, *arrays)
    assert diagnosis.ok, str(diagnosis)
    assert time.thread_time() - start <= 2 or sys.gettrace() is not None, "a tracer, as of coverage, takes its time"


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-4, 1e4, 1e12, 1e30])
def test_no_scale_makes_a_right_rule_wrong(scale):
    x, w = scale * numbers(1, 5, 4), numbers(2, 2, 2)
    assert tg.diagnose(tg.correlate2d, x, w).ok
    assert tg.diagnose(tg.correlate2d, numbers(1, 5, 4), scale * w).ok
    assert tg.diagnose(lambda x: x * x * scale, numbers(3, 4)).ok
    assert tg.diagnose(lambda x: x * x, x).ok


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_no_scale_hides_a_wrong_rule(scale):
    diagnosis = tg.diagnose(lambda x: x * x, scale * numbers(1, 5, 4), backward=lambda g, x: -2 * g * x)
    assert [f.kind for f in diagnosis.findings] == ["sign"]


@pytest.mark.parametrize(
    "fn",
    [
        tg.relu,
        abs,
        lambda x: tg.maxpool(x.reshape(1, 1, 3, 4), 2),
        lambda x: x.max(1),
        lambda x: x.clip(0, 1),
    ],
)
def test_a_kink_is_no_mistake(fn):
    x = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [0, -1.0, 1e-9, 2]])
    assert tg.diagnose(fn, x).ok


def test_a_gradient_that_is_zero_is_right():
    assert tg.diagnose(lambda x: tg.softmax(x).sum(), numbers(1, 3, 4)).ok
    assert tg.diagnose(lambda x: x * 0.0, numbers(1, 3, 4)).ok
    assert tg.diagnose(lambda x, y: x * x, numbers(1, 3), numbers(2, 3)).ok
    assert tg.diagnose(np.sign, numbers(1, 3), backward=lambda g, x: 0 * x).ok


def test_a_saturated_sigmoid_is_right():
    assert tg.diagnose(tg.sigmoid, np.array([-800.0, -40.0, 0.0, 40.0, 800.0])).ok


def test_rounding_in_float32_is_no_mistake():
    x, w = (a.astype(np.float32) for a in (numbers(1, 6, 5), numbers(2, 3, 2)))
    assert tg.diagnose(tg.correlate2d, tg.Tensor(x), tg.Tensor(w)).ok
    assert tg.diagnose(tg.nn.Sequential(tg.nn.Linear(5, 4), tg.nn.Tanh(), tg.nn.Linear(4, 2)), x).ok

    def forward(z):
        return (1 / (1 + np.exp(-z.astype(np.float32)))).astype(np.float32)

    assert tg.diagnose(
        forward, numbers(3, 4).astype(np.float32), backward=lambda g, z: forward(z) * (1 - forward(z)) * g
    )


def test_modules_are_right_with_their_parameters():
    model = tg.nn.Sequential(
        tg.nn.Conv2d(1, 2, 2),
        tg.nn.BatchNorm2d(2),
        tg.nn.ReLU(),
        tg.nn.MaxPool2d(2),
        tg.nn.Flatten(),
        tg.nn.Linear(8, 3),
    )
    before = [p.data.copy() for p in model.parameters()]
    diagnosis = tg.diagnose(model, numbers(1, 3, 1, 5, 5))
    assert diagnosis.ok, str(diagnosis)
    assert {"0.weight", "0.bias", "1.weight", "5.weight"} <= set(diagnosis.right)
    assert all(np.array_equal(a, p.data) for a, p in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


# What it takes --------------------------------------------------------------------------------------------------------


def kinds(diagnosis):
    return {f.name: f.kind for f in diagnosis.findings}


def affine(x, w, b):
    return x @ w + b


AFFINE = numbers(1, 4, 3), numbers(2, 3, 2), numbers(3, 2)


def test_a_function_of_one_gradient_is_checked_by_its_inputs_name():
    def bias_gradient(dc_dz):
        return dc_dz.mean(0)

    diagnosis = tg.diagnose(affine, *AFFINE, backward={"b": bias_gradient})
    assert kinds(diagnosis) == {"b": "factor"} and diagnosis.findings[0].input == 2
    assert "1/4" in diagnosis.findings[0].message and "sum" in diagnosis.findings[0].message
    assert tg.diagnose(affine, *AFFINE, backward={"b": lambda dc_dz: dc_dz.sum(0)}).ok


def test_arguments_of_backward_are_found_by_name():
    assert tg.diagnose(affine, *AFFINE, backward=lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0))).ok
    assert tg.diagnose(affine, *AFFINE, backward=lambda g, w, x: (g @ w.T, x.T @ g, g.sum(0))).ok
    assert tg.diagnose(
        affine, *AFFINE, backward={"w": lambda x, dc_dz: x.T @ dc_dz, "x": lambda w, dc_dz: dc_dz @ w.T}
    ).ok
    assert tg.diagnose(sigmoid, numbers(1, 3), backward=lambda g, y: g * y * (1 - y)).ok
    assert tg.diagnose(sigmoid, numbers(1, 3), backward=lambda z: sigmoid(z) * (1 - sigmoid(z))).ok
    assert kinds(tg.diagnose(sigmoid, numbers(1, 3), backward=lambda z: z * (1 - z))) == {"z": "wrong_point"}


def test_a_cache_goes_from_forward_to_backward():
    def forward(x):
        return np.tanh(x), np.tanh(x)

    assert tg.diagnose(forward, numbers(1, 3), backward=lambda g, cache: g * (1 - cache**2)).ok
    assert kinds(tg.diagnose(forward, numbers(1, 3), backward=lambda g, cache: g * (1 + cache**2))) != {}


def test_inputs_without_a_gradient_are_left_out():
    diagnosis = tg.diagnose(affine, *AFFINE, backward=lambda g, x, w, b: (None, x.T @ g, g.sum(0)))
    assert diagnosis.ok and diagnosis.right == ("w", "b") and "x" in diagnosis.notes[0]


def test_inputs_that_require_a_gradient_are_checked_alone():
    x, w = tg.Tensor(AFFINE[0]), tg.Tensor(AFFINE[1], requires_grad=True)
    assert tg.diagnose(lambda x, w: x @ w, x, w).right == ("w",)


def test_the_callers_arrays_stay():
    x = numbers(1, 3)
    before = x.copy()

    def forward(x):
        x *= 2
        return x * x

    tg.diagnose(forward, x, backward=lambda g, x: g * x)
    assert np.array_equal(x, before)


def test_a_forward_pass_is_compared_with_an_oracle():
    diagnosis = tg.diagnose(lambda x: x * 2, numbers(1, 3), backward=lambda g, x: g * 3, oracle=lambda x: 3 * x)
    assert kinds(diagnosis) == {"y": "forward"} and diagnosis.findings[0].input is None
    assert tg.diagnose(tg.sigmoid, numbers(1, 3), oracle=sigmoid).ok
    assert kinds(tg.diagnose(tg.sigmoid, numbers(1, 3), expected=numbers(1, 3))) == {"y": "forward"}


def test_gradients_of_gradients_on_request():
    detached = op("my_sigmoid", sigmoid, lambda g, y, z: tg.Tensor(g.data * y.data * (1 - y.data)))
    diagnosis = tg.diagnose(detached, numbers(1, 3))
    assert diagnosis.ok and "not recorded" in diagnosis.notes[0]
    assert kinds(tg.diagnose(detached, numbers(1, 3), order=2)) == {"input 0": "second_order"}
    assert tg.diagnose(detached, numbers(1, 3), order=1).notes == ()


def test_what_has_no_simple_explanation_is_unknown_and_says_where():
    diagnosis = tg.diagnose(np.sin, numbers(1, 3, 4), backward=lambda g, x: g * (x + np.cos(3 * x)))
    (finding,) = diagnosis.findings
    assert finding.kind == "unknown" and finding.where == (0, 0) and "numerical derivative" in finding.message
    assert "right" in finding.picture and "*" in finding.picture

    def one_number(g, x):
        dx = g * np.cos(x)
        dx[1, 2] += 0.3 * x[0, 0]
        return dx

    (finding,) = tg.diagnose(np.sin, numbers(1, 3, 4), backward=one_number).findings
    assert finding.kind == "unknown" and finding.where == (1, 2)


def test_large_inputs_are_sampled_and_still_checked():
    x = numbers(1, 300, 300)
    diagnosis = tg.diagnose(lambda x: x * x, x)
    assert diagnosis.ok and "of 90,000 numbers of dC/dx were compared" in diagnosis.notes[0]

    def almost(g, x):
        dx = 2 * g * x
        dx[:150] = 0
        return dx

    assert not tg.diagnose(lambda x: x * x, x, backward=almost).ok


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tg.diagnose(3, numbers(1, 3)), TypeError, "fn must be"),
        (lambda: tg.diagnose(np.sin, numbers(1, 3), backward=3), TypeError, "backward must be"),
        (lambda: tg.diagnose(tg.sigmoid, np.array([1, 2])), ValueError, "no floating point input"),
        (lambda: tg.diagnose(tg.sigmoid, numbers(1, 3), order=3), ValueError, "order must be 1 or 2, got 3"),
        (lambda: tg.diagnose(tg.sigmoid, numbers(1, 3), seed=-1), ValueError, "seed must be"),
        (lambda: tg.diagnose(lambda x: x.data, numbers(1, 3)), TypeError, "must return one tensor"),
        (lambda: tg.diagnose(np.sin, numbers(1, 3), backward=lambda g, a, b, c: g), TypeError, "'c'"),
        (lambda: tg.diagnose(np.sin, numbers(1, 3), backward={"q": np.cos}), ValueError, "'q'"),
        (lambda: tg.diagnose(lambda x: x * float(ROOT.random()), numbers(1, 3)), ValueError, "different values"),
        (lambda: tg.diagnose(np.sin, numbers(1, 3), backward=lambda g, x: (g, g)), TypeError, "2 gradients"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_what_a_rule_raises_is_passed_on():
    def backward(g, x):
        raise RuntimeError("not written yet")

    with pytest.raises(RuntimeError, match="not written yet"):
        tg.diagnose(np.sin, numbers(1, 3), backward=backward)
