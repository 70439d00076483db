"""The checker is itself checked: a planted mistake is found, a right rule passes, a kink is called a kink."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import GradcheckError, GraphError, Tensor
from tinygrad_cnn.autograd.tensor import record

RNG = np.random.default_rng(0)
X, W, B = (Tensor(RNG.standard_normal(shape)) for shape in ((4, 3), (2, 3), (2,)))


def layer(for_x, for_w, for_b):
    """A fully connected layer whose rules are given: functions of (g, x, w)."""

    def op(x, w, b):
        z = x.data @ w.data.T + b.data
        rules = tuple(lambda g, y, rule=rule: rule(g, x, w) for rule in (for_x, for_w, for_b))
        return record("layer", z, (x, w, b), rules)

    return op


def right_x(g, x, w):
    return g @ w


def right_w(g, x, w):
    return g.T @ x


def right_b(g, x, w):
    return g.sum(0)


def test_the_right_rules_pass():
    assert tg.gradcheck(layer(right_x, right_w, right_b), X, W, B, order=2)


WRONG = {
    "sign": (lambda g, x, w: -(g @ w), right_w, right_b),
    "factor of two": (right_x, lambda g, x, w: g.T @ x * 2, right_b),
    "one part in a thousand": (right_x, lambda g, x, w: g.T @ x * 1.001, right_b),
    "mean instead of sum": (right_x, right_w, lambda g, x, w: g.mean(0)),
    "missing": (right_x, right_w, lambda g, x, w: g.sum(0) * 0),
    "one element": (right_x, lambda g, x, w: g.T @ x * np.array([[1, 1, 1], [1, 1, 0]]), right_b),
    "of the wrong input": (right_x, lambda g, x, w: g.T @ (x + 1), right_b),
    "first image only": (right_x, lambda g, x, w: g[:1].T @ x[:1], right_b),
    "rows reversed": (lambda g, x, w: (g @ w)[::-1], right_w, right_b),
    "detached from g": (lambda g, x, w: Tensor(np.ones(g.shape)) @ w, right_w, right_b),
    "offset": (right_x, right_w, lambda g, x, w: g.sum(0) + 1e-3),
}


@pytest.mark.parametrize("rules", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_rule_is_found(rules):
    with pytest.raises(GradcheckError, match=r"input \d, shape \(.*\): the rule gives"):
        tg.gradcheck(layer(*rules), X, W, B)


MISSHAPEN = {
    "transposed": (right_x, lambda g, x, w: x.T @ g, right_b),
    "no sum over the batch": (right_x, right_w, lambda g, x, w: g.sum(0, keepdims=True).T),
    "a number": (lambda g, x, w: (g @ w).sum(), right_w, right_b),
}


@pytest.mark.parametrize("rules", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_a_rule_of_the_wrong_shape_is_found(rules):
    with pytest.raises(GraphError, match="a rule of layer gave the shape"):
        tg.gradcheck(layer(*rules), X, W, B)


def test_a_square_matrix_hides_no_transposed_rule():
    def op(a):
        return record("square", a.data @ a.data, (a,), (lambda g, y: g @ a + a @ g,))  # should be g aᵀ + aᵀ g

    with pytest.raises(GradcheckError):
        tg.gradcheck(op, Tensor(RNG.standard_normal((3, 3))))


def test_a_sum_forgotten_over_places_is_found():
    """The bias gradient that takes one place of the map instead of all."""

    def op(x, b):
        data = x.data + b.data.reshape(-1, 1, 1)
        return record("bias", data, (x, b), (lambda g, y: g, lambda g, y: g.sum((0, 2))[:, 0]))

    with pytest.raises(GradcheckError, match="input 1"):
        tg.gradcheck(op, Tensor(RNG.standard_normal((2, 3, 4, 4))), Tensor(RNG.standard_normal(3)))


def test_a_pool_that_overwrites_instead_of_adding_is_found():
    def op(x):
        y = tg.maxpool(x.detach(), (1, 2))

        def rule(g, y):
            dx = np.zeros(x.shape)
            for q in range(y.shape[1]):
                winner = q + x.data[0, q : q + 2].argmax()
                dx[0, winner] = g.data[0, q]
            return Tensor(dx)

        return record("pool", y.data, (x,), (rule,))

    with pytest.raises(GradcheckError):
        tg.gradcheck(op, Tensor(np.array([[1.0, 5.0, 2.0]])))


def test_softmax_is_not_checked_with_a_cotangent_of_ones():
    """Its gradient of the sum is 0, which the rule "0" would pass."""

    def op(x):
        return record("softmax", tg.softmax(x.detach()).data, (x,), (lambda g, y: g * 0,))

    with pytest.raises(GradcheckError):
        tg.gradcheck(op, Tensor(RNG.standard_normal(4)))


def test_a_wrong_second_order_is_found_though_the_first_is_right():
    def sine(x):
        return record("sine", np.sin(x.data), (x,), (lambda g, y: g * np.cos(x.data),))  # the cosine is no tensor

    assert tg.gradcheck(sine, X)
    with pytest.raises(GradcheckError, match="second order, input 0"):
        tg.gradcheck(sine, X, order=2)


def test_a_mixed_second_derivative_is_checked():
    def product(x, y):
        rules = (lambda g, z: g * y.detach(), lambda g, z: g * x)
        return record("product", x.data * y.data, (x, y), rules)

    assert tg.gradcheck(product, X, X * 2)
    with pytest.raises(GradcheckError, match="second order"):
        tg.gradcheck(product, X, X * 2, order=2)


def test_a_detached_path_is_found():
    with pytest.raises(GradcheckError):
        tg.gradcheck(lambda x: x * x.detach(), X)
    with pytest.raises(GradcheckError):
        tg.gradcheck(lambda x: x.detach() * 2, X)


def test_an_input_that_is_ignored_has_gradient_zero():
    assert tg.gradcheck(lambda x, unused: x * x, X, B, order=2)
    assert tg.gradcheck(lambda x: Tensor(np.ones(3)), X, order=2)


# Kinks ----------------------------------------------------------------------------------------------------------------

KINKED = {
    "relu": (tg.relu, [0.0]), "abs": (abs, [0.0]), "maximum of equals": (lambda x: x.max(), [1.0, 1.0]),
    "clip": (lambda x: x.clip(-1, 1), [1.0]),
    "pool of equals": (lambda x: tg.maxpool(x.reshape(1, 2), (1, 2)), [3.0, 3.0]),
    "a jump": (lambda x: tg.where(x.data >= 0, x, x + 1), [0.0]),
}  # fmt: skip


@pytest.mark.parametrize("fn, point", KINKED.values(), ids=KINKED.keys())
def test_a_kink_is_called_a_kink(fn, point):
    with pytest.raises(GradcheckError, match=r"not differentiable here: the slope is .* on one side and"):
        tg.gradcheck(fn, Tensor(np.array(point)))


@given(st.floats(-1.5, 1.5))
def test_a_kink_near_the_point_is_called_a_kink_too(steps):
    """Anywhere the difference quotient reaches, not only at its middle."""

    def bent(x):
        return tg.relu(x - steps * 1e-6 * direction) * 1.0

    direction = np.random.default_rng(0)
    direction.standard_normal(())
    direction = direction.standard_normal(())  # the checker's own first direction for one number
    with pytest.raises(GradcheckError, match="not differentiable here"):
        tg.gradcheck(bent, Tensor(np.array(0.0)), directions=1)


@given(st.integers(0, 2**31 - 1), st.floats(-3, 3))
@example(128, 2.0)  # large numbers that cancel: the sum is small, its rounding is not
def test_smooth_functions_are_not_taken_for_kinks(seed, scale):
    x = Tensor(np.random.default_rng(seed).standard_normal(5) * 10.0**scale)
    assert tg.gradcheck(lambda x: tg.sigmoid(x) * tg.tanh(x * 3) + (x * x).sum(), x, seed=seed)


# Calls ----------------------------------------------------------------------------------------------------------------


def test_only_what_requires_a_gradient_is_checked_if_anything_does():
    wrong = layer(right_x, right_w, lambda g, x, w: g.sum(0) * 2)
    asked = Tensor(X, requires_grad=True)
    assert tg.gradcheck(wrong, asked, W, B)
    assert asked.grad is None and asked.data.dtype == np.float64


def test_float32_inputs_are_checked_in_float64():
    assert tg.gradcheck(tg.sigmoid, Tensor([0.3, -0.7]), order=2)


def test_it_works_where_nothing_is_recorded():
    with tg.no_grad():
        assert tg.gradcheck(tg.tanh, X, order=2)


def test_integers_are_passed_through():
    labels = Tensor([0, 1, 0, 2])
    assert tg.gradcheck(tg.cross_entropy, X, labels, order=2)


def test_what_is_not_finite_is_said_not_to_be():
    with pytest.raises(GradcheckError, match="not finite"):
        tg.gradcheck(Tensor.log, Tensor(np.array([-1.0])))


def test_the_same_seed_checks_the_same_directions():
    seen = []
    for _ in range(2):
        values = []
        tg.gradcheck(lambda x, values=values: (values.append(x.data.copy()), x * x)[1], X, seed=3)
        seen.append(np.array(values))
    np.testing.assert_array_equal(*seen)
    assert len(np.unique(seen[0].reshape(len(seen[0]), -1), axis=0)) > 3


@pytest.mark.parametrize(
    "kwargs, message",
    [({"order": 3}, "order must be 1 or 2"), ({"eps": 0}, "eps must be"), ({"directions": 0}, "directions must be"),
     ({"rtol": -1}, "rtol must be"), ({"atol": -1}, "atol must be"), ({"seed": -1}, "seed must be")],
)  # fmt: skip
def test_impossible_settings(kwargs, message):
    with pytest.raises(ValueError, match=f"gradcheck: {message}"):
        tg.gradcheck(tg.sigmoid, X, **kwargs)


def test_nothing_to_check():
    for inputs in ((), (Tensor([1, 2]),)):
        with pytest.raises(ValueError, match="no floating point input"):
            tg.gradcheck(lambda *t: X, *inputs)
    with pytest.raises(TypeError, match="fn must return one tensor, got float"):
        tg.gradcheck(lambda x: 3.0, X)
