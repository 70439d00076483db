"""The graph: how gradients travel, when the walk is refused, what is switched on where."""

import gc
import threading

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import GraphError, Tensor
from tinygrad_cnn.autograd import engine
from tinygrad_cnn.autograd.tensor import record


def leaf(*numbers):
    return Tensor(np.array(numbers), requires_grad=True)


# Walking --------------------------------------------------------------------------------------------------------------


def test_a_tensor_used_many_times_receives_the_sum():
    x = leaf(2.0)
    y = x * x + x * 3 + sum([x] * 5) - x / x
    y.backward()
    assert x.grad.item() == 2 * 2 + 3 + 5


def test_gradients_add_up_over_backward_calls_without_touching_the_earlier_ones():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert first.data.tolist() == [2, 4] and x.grad.data.tolist() == [4, 8]


def test_only_leaves_that_require_it_keep_a_gradient():
    x, constant = leaf(1.0), Tensor(np.array([2.0]))
    middle = x * constant
    middle.sum().backward()
    assert x.grad.item() == 2 and constant.grad is None and middle.grad is None
    assert x.is_leaf and not middle.is_leaf


def test_rules_run_only_for_inputs_that_need_a_gradient():
    def refused(g, y):
        raise AssertionError("this rule must not run")

    x, image = leaf(3.0), Tensor(np.array([1.0]))
    record("probe", x.data * 2, (image, x), (refused, lambda g, y: g * 2)).sum().backward()
    assert x.grad.item() == 2
    y = record("probe", x.data * 2, (x, x * 1), (refused, lambda g, y: g * 2))
    with pytest.raises(AssertionError):
        y.sum().backward()


def test_grad_returns_and_leaves_nothing_behind():
    x = leaf(1.0, 2.0)
    middle = x * x
    for_middle, for_x = tg.grad((middle * 3).sum(), [middle, x])
    assert for_middle.data.tolist() == [3, 3] and for_x.data.tolist() == [6, 12] and x.grad is None
    (alone,) = tg.grad((x * 5).sum(), x)
    assert alone.data.tolist() == [5, 5]
    assert tg.grad(x.sum(), [x, x])[1].data.tolist() == [1, 1]
    assert tg.grad(x.sum(), []) == ()


def test_grad_runs_only_the_rules_that_lead_to_its_inputs():
    def refused(g, y):
        raise AssertionError("this rule must not run")

    x, other = leaf(3.0), leaf(2.0)
    aside = record("probe", other.data * 5, (other,), (refused,))
    assert tg.grad((x * aside).sum(), [x])[0].data.tolist() == [10]


def test_gradients_of_several_graphs_add_up_to_one_that_has_a_gradient():
    x = leaf(3.0)
    (x**2).sum().backward(create_graph=True)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.data.tolist() == [2 * 3 + 3 * 9]
    assert tg.grad(x.grad.sum(), x)[0].data.tolist() == [2 + 6 * 3]


def test_third_derivatives():
    x = leaf(2.0)
    d1 = tg.grad((x**4).sum(), x, create_graph=True)[0]
    d2 = tg.grad(d1, x, create_graph=True)[0]
    d3 = tg.grad(d2, x)[0]
    assert (d1.item(), d2.item(), d3.item()) == (32, 48, 48)


def test_create_graph_leaves_gradients_that_have_gradients():
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    slope, x.grad = x.grad, None
    slope.sum().backward()
    assert slope.item() == 27 and x.grad.item() == 18


def test_with_create_graph_too_every_leaf_has_a_gradient_of_its_own():
    x, y = leaf(3.0, 4.0), leaf(1.0, 1.0)
    seed = Tensor(np.ones(2))
    (x + y).backward(seed, create_graph=True)
    assert x.grad is not y.grad and x.grad is not seed
    assert not np.shares_memory(x.grad.data, y.grad.data) and not np.shares_memory(x.grad.data, seed.data)
    tg.optim.clip_grad_norm([x, y], 1.0)
    np.testing.assert_allclose(x.grad.data, 0.5)
    assert seed.data.tolist() == [1, 1]


def test_a_seed_takes_the_results_type():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for seed in ([1, 2], np.array([1, 2]), Tensor(np.array([1.0, 2.0])), Tensor([1, 2])):
        x.grad = None
        x.backward(seed)
        assert x.grad.dtype == np.float32 and x.grad.data.tolist() == [1, 2]


def test_broadcast_gradients_are_summed_back():
    x, y = leaf(1.0, 2.0, 3.0), Tensor(np.ones((4, 1)), requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.data.tolist() == [4, 4, 4] and y.grad.data.tolist() == [[6]] * 4
    empty = Tensor(np.ones((0, 3)))
    x.grad = None
    (x * empty).sum().backward()
    assert x.grad.data.tolist() == [0, 0, 0]


# Refusals -------------------------------------------------------------------------------------------------------------


def test_a_used_up_graph_says_so():
    x = leaf(1.0, 2.0)
    cost = (x * x).sum()
    cost.backward()
    with pytest.raises(GraphError, match=r"used up by an earlier backward.*retain_graph=True"):
        cost.backward()


def test_a_shared_part_that_was_used_up_says_so():
    x = leaf(1.0)
    shared = x * 2
    (shared * 3).sum().backward()
    with pytest.raises(GraphError, match="the graph through multiply was used up"):
        (shared * 5).sum().backward()


def test_a_retained_graph_is_walked_again():
    x = leaf(1.0, 2.0)
    cost = (x * x).sum()
    cost.backward(retain_graph=True)
    cost.backward(retain_graph=True)
    cost.backward()
    assert x.grad.data.tolist() == [6, 12]


def test_a_vector_needs_a_seed():
    with pytest.raises(GraphError, match=r"has shape \(2,\); pass the gradient.* with sum\(\) or mean\(\), first$"):
        (leaf(1.0, 2.0) * 2).backward()


def test_a_seed_of_another_shape():
    with pytest.raises(GraphError, match=r"the gradient has shape \(3,\), this tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(np.ones(3))


def test_nothing_to_differentiate():
    with pytest.raises(GraphError, match="nothing that this tensor was made from requires a gradient"):
        Tensor([1.0]).backward()
    with pytest.raises(GraphError, match="input 0, shape \\(1,\\), is not among"):
        tg.grad(leaf(1.0).sum(), [leaf(1.0)])
    for bad in ((3, [leaf(1.0)]), (leaf(1.0), ["a"]), (leaf(1.0), 3)):
        with pytest.raises(TypeError):
            tg.grad(*bad)


def test_a_result_cannot_leave_the_graph_by_a_flag():
    y = leaf(1.0) * 2
    with pytest.raises(GraphError, match=r"a result of multiply; detach\(\)"):
        y.requires_grad = False
    y.requires_grad = True
    assert not y.detach().requires_grad


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 1), (), (2, 2, 2, 3)], ids=str)
def test_a_rule_of_the_wrong_shape_is_named(shape):
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = record("crooked", x.data, (x,), (lambda g, y: Tensor(np.ones(shape)),))
    if len(shape) > 2:  # more axes than the input: they were broadcast, and are summed
        y.sum().backward()
        assert x.grad.data.tolist() == [[4, 4, 4]] * 2
        return
    with pytest.raises(GraphError, match=r"a rule of crooked gave the shape"):
        y.sum().backward()


# Edits between forward and backward -----------------------------------------------------------------------------------


def test_a_leaf_cannot_be_edited_by_hand_before_backward():
    x = leaf(1.0, 2.0)
    cost = (x * x).sum()
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1
    cost.backward()
    x.data[0] = 5
    assert x.data.tolist() == [5, 2]


def test_a_constant_that_a_rule_will_read_cannot_be_edited_either():
    x, constant = leaf(1.0, 2.0), Tensor(np.array([3.0, 4.0]))
    cost = (x * constant).sum()
    with pytest.raises(ValueError, match="read-only"):
        constant.data[0] = 9
    del cost
    constant.data[0] = 9


def test_nor_a_result():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 9


@pytest.mark.parametrize("change", ["assign", "writable", "step"])
def test_a_graph_over_changed_numbers_is_stale(change):
    x = leaf(1.0, 2.0)
    cost = (x * x).sum()
    if change == "assign":
        x.data = np.array([5.0, 5.0])
    elif change == "writable":
        x.writable()[...] = 5
    else:
        cost.backward(retain_graph=True)
        tg.optim.SGD([x], 0.1).step()
    with pytest.raises(GraphError, match=r"input 0 of multiply, shape \(2,\), was changed after multiply read it") as e:
        cost.backward()
    assert str(e.value).endswith(
        "(by an optimizer's step or an assignment); call backward() first, or run the forward pass again"
    )


def test_a_changed_result_is_stale():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.writable()[...] = 0
    with pytest.raises(GraphError, match="the result of exp, shape \\(2,\\), was changed"):
        y.sum().backward()


def test_running_statistics_that_moved_on_are_stale():
    layer = tg.nn.BatchNorm2d(1).eval()
    x = Tensor(np.random.default_rng(0).standard_normal((2, 1, 2, 2)), dtype=np.float32, requires_grad=True)
    cost = layer(x).sum()
    layer.train()(x)
    with pytest.raises(GraphError, match="was changed"):
        cost.backward()


def test_an_array_operand_is_kept_as_it_was():
    x, a = leaf(1.0, 2.0), np.array([3.0, 4.0])
    y = x * a
    a[:] = 0
    y.sum().backward()
    assert x.grad.data.tolist() == [3, 4]


def test_what_its_owner_made_read_only_stays_so():
    x = Tensor(np.array([1.0, 2.0]))
    x.data.setflags(write=False)
    x.requires_grad = True
    (x * x).sum().backward()
    assert not x.data.flags.writeable


def test_two_graphs_hold_one_leaf_until_the_last_is_done():
    x = leaf(1.0, 2.0)
    first, second = (x * x).sum(), (x * x).sum()
    first.backward()
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 5
    del second
    x.data[0] = 5


def test_two_tensors_of_one_array_are_held_until_both_are_done():
    x, weight = leaf(1.0, 2.0), leaf(3.0, 4.0)
    twin = x.detach()
    first = (x * x).sum()
    second = (weight * twin).sum()
    first.backward()
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 9
    second.backward()
    assert weight.grad.data.tolist() == [1, 2]
    x.data[0] = 9


def test_a_view_of_a_held_array_is_let_go_in_peace():
    x, weight = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with tg.no_grad():
        view = x.reshape(2, 1)
    over_view = (weight * view).sum()
    over_x = (x * x).sum()
    del over_view
    over_x.backward()
    assert x.grad.data.tolist() == [2, 4]


# Switches -------------------------------------------------------------------------------------------------------------


def recording():
    return (leaf(1.0) * 2).requires_grad


def test_no_grad_as_block_decorator_and_nested():
    switch = tg.no_grad()
    with switch:
        with switch:
            assert not recording()
            with tg.enable_grad():
                assert recording()
        assert not recording()
    assert recording()

    @tg.no_grad()
    def depth(n):
        return [recording(), *(depth(n - 1) if n else [])]

    assert depth(3) == [False] * 4 and recording() and depth.__name__ == "depth"


def test_no_grad_ends_with_an_exception():
    with pytest.raises(RuntimeError), tg.no_grad():
        raise RuntimeError
    assert recording()


def test_no_grad_around_a_generator_holds_inside_it_and_not_between_its_items():
    @tg.no_grad()
    def items(n):
        for _ in range(n):
            yield recording()
        return "done"

    found = []
    for inside in items(3):
        found.append((inside, recording()))
    assert found == [(False, True)] * 3
    stopped = items(0)
    with pytest.raises(StopIteration) as end:
        next(stopped)
    assert end.value.value == "done"


def test_no_grad_is_of_its_own_thread():
    seen = []
    with tg.no_grad():
        worker = threading.Thread(target=lambda: seen.append(recording()))
        worker.start()
        worker.join()
    assert seen == [True]


def test_backward_works_inside_no_grad_and_records_only_when_asked():
    x = leaf(3.0)
    y = (x**2).sum()
    with tg.no_grad():
        y.backward(retain_graph=True)
        assert not x.grad.requires_grad
        x.grad = None
        y.backward(create_graph=True)
        assert x.grad.requires_grad


# Anomalies ------------------------------------------------------------------------------------------------------------


def test_the_first_nan_names_the_op_and_the_line():
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError) as caught:
        Tensor([1.0, -1.0]).log() + 1
    message = str(caught.value)
    assert message.startswith("log made nan, first at index (1,) of a result of shape (2,), at ")
    assert "test_graph.py" in message and "test_the_first_nan" in message


def test_a_nan_that_came_in_is_said_to_have_come_in():
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="its inputs had one already"):
        Tensor([np.nan]) * 2


def test_a_rule_that_makes_an_infinity_is_named_with_the_line_of_its_op():
    with tg.detect_anomaly():
        x = leaf(0.0, 1.0)
        y = x.sqrt()
        with pytest.raises(tg.AnomalyError, match=r"the rule of sqrt for its input 0 made inf.*test_graph.py"):
            y.sum().backward()
    assert x.sqrt().data.tolist() == [0, 1]


def test_a_message_ends_with_the_place_or_with_what_came_in():
    for x, ending in (([-1.0], r" at \S+:\d+ in [a-z_]+$"), ([np.nan], r" in \w+ \(its inputs had one already\)$")):
        with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match=ending):
            Tensor(x).log()


def test_after_a_rule_was_watched_ops_are_watched_again():
    with tg.detect_anomaly():
        x = leaf(0.0, 1.0)
        x.exp().sum().backward()
        np.testing.assert_array_equal(x.grad.data, np.exp(x.data))
        with pytest.raises(tg.AnomalyError, match="log made -inf"):
            x.log()


def test_a_clean_run_passes_the_detector():
    with tg.detect_anomaly():
        x = leaf(1.0, 2.0)
        tg.cross_entropy(x.reshape(1, 2), [0]).backward()
    assert np.isfinite(x.grad.data).all()


# Memory ---------------------------------------------------------------------------------------------------------------


def test_nothing_is_remembered_of_an_array_that_no_graph_reads_any_more():
    gc.collect()
    before, x = len(engine._locks), leaf(1.0, 2.0)
    y = x * x
    assert len(engine._locks) == before + 1
    del y
    assert len(engine._locks) == before and x.data.flags.writeable


def test_results_kept_alive_do_not_keep_a_walked_graph():
    x = leaf(1.0, 2.0)
    gc.disable()
    try:
        middle = x * 2
        cost = (middle * middle).sum()
        cost.backward()
        assert cost.node.inputs == () and middle.node.inputs == ()
    finally:
        gc.enable()
