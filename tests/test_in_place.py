"""Augmented assignments update a tensor in place where nothing is recorded, and never under a graph that reads it."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.autograd.engine import GraphError

UPDATES = {
    "+=": (operator.iadd, operator.add),
    "-=": (operator.isub, operator.sub),
    "*=": (operator.imul, operator.mul),
    "/=": (operator.itruediv, operator.truediv),
    "**=": (operator.ipow, operator.pow),
    "@=": (operator.imatmul, operator.matmul),
}
every_update = pytest.mark.parametrize("symbol", UPDATES)
SQUARE = np.array([[1.0, 2.0], [3.0, 4.0]])


@every_update
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_under_no_grad_the_tensor_itself_changes_to_what_the_operator_gives(symbol, dtype, data):
    in_place, out_of_place = UPDATES[symbol]
    shape = data.draw(st.sampled_from([(2, 2), (3, 3)]))
    numbers = np.random.default_rng(data.draw(st.integers(0, 99)))
    u = tg.nn.Parameter(tg.Tensor(numbers.uniform(0.5, 2, shape), dtype=dtype))
    operands = [numbers.uniform(0.5, 2, shape), tg.Tensor(numbers.uniform(0.5, 2, shape), dtype=dtype)]
    if symbol != "@=":
        operands += [2, 0.5, numbers.uniform(0.5, 2, shape[1:]), numbers.uniform(0.5, 2, (shape[0], 1))]
    v = data.draw(st.sampled_from(operands))
    with tg.no_grad():
        expected = out_of_place(u, v).data
        array, same = u.data, in_place(u, v)
    assert same is u and u.data is array and u.dtype == dtype
    np.testing.assert_allclose(u.data, expected, rtol=1e-6)


def test_gradient_descent_by_hand_trains():
    w = tg.nn.Parameter([4.0])
    for _ in range(100):
        (w * w).sum().backward()
        with tg.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    assert abs(w.item()) < 1e-6 and isinstance(w, tg.nn.Parameter)


def test_a_parameter_of_a_module_stays_that_parameter():
    layer = tg.nn.Linear(2, 2)
    weight = layer.weight
    with tg.no_grad():
        layer.weight *= 0
    assert layer.weight is weight and not weight.data.any()


@every_update
def test_a_leaf_that_requires_a_gradient_changes_under_no_grad_only(symbol):
    w = tg.nn.Parameter(SQUARE)
    with pytest.raises(GraphError, match=rf"^{symbol.replace('*', '[*]').replace('+', '[+]')}.*under no_grad"):
        UPDATES[symbol][0](w, SQUARE)
    np.testing.assert_array_equal(w.data, SQUARE)


@every_update
@pytest.mark.parametrize("reader", ["leaf", "result", "input without a gradient"])
def test_a_tensor_that_a_graph_reads_does_not_change(symbol, reader):
    w, x = tg.nn.Parameter(SQUARE), tg.Tensor(SQUARE)
    product = w * x
    cost = product.exp().sum()
    target = {"leaf": w, "result": product, "input without a gradient": x}[reader]
    before = target.data.copy()
    with tg.no_grad(), pytest.raises(GraphError, match=r"a graph that has yet to run backward reads this tensor"):
        UPDATES[symbol][0](target, SQUARE)
    np.testing.assert_array_equal(target.data, before)
    cost.backward()
    with tg.no_grad():
        UPDATES[symbol][0](w, SQUARE)


@every_update
def test_a_recorded_update_is_an_op_like_any_other(symbol):
    in_place, out_of_place = UPDATES[symbol]
    w = tg.nn.Parameter(SQUARE)
    total = w * 1
    first, second = in_place(total, SQUARE), out_of_place(w * 1, SQUARE)
    assert first is not total and first.node.name == second.node.name
    np.testing.assert_array_equal(tg.grad(first.sum(), w)[0].data, tg.grad(second.sum(), w)[0].data)


def test_integers_become_floating_point_as_in_every_arithmetic():
    n = before = tg.Tensor([1, 2])
    n += 1
    assert n is not before and n.dtype.kind == "f" and before.data.tolist() == [1, 2]


@pytest.mark.parametrize("symbol", [s for s in UPDATES if s != "@="])
def test_a_result_of_another_shape_is_an_error(symbol):
    u = tg.Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"must have the tensor's shape \(2,\), got an operand of shape \(2, 2\)"):
        UPDATES[symbol][0](u, SQUARE)
    np.testing.assert_array_equal(u.data, [1, 2])


@every_update
def test_what_is_no_number_is_a_type_error(symbol):
    with tg.no_grad(), pytest.raises(TypeError):
        UPDATES[symbol][0](tg.Tensor(SQUARE), "two")


def test_a_view_s_owner_is_not_changed_through_it():
    x = tg.Tensor([1.0, 2.0])
    with tg.no_grad():
        row = x.reshape(1, 2)
        row += 1
    assert row.data.tolist() == [[2, 3]] and x.data.tolist() == [1, 2]
