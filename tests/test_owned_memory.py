"""Nobody's numbers change behind his back: gradients have memory of their own, and so has what a rule will read."""

import signal
import time

import numpy as np
import pytest

import tinygrad_cnn as tg


@pytest.mark.parametrize("as_labels", [np.asarray, tg.Tensor])
def test_labels_edited_before_backward_are_not_read_again(as_labels):
    z = tg.Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    labels = as_labels(np.array([0, 1]))
    cost = tg.cross_entropy(z, labels)
    (labels if isinstance(labels, np.ndarray) else labels.data)[:] = 2
    cost.backward()
    np.testing.assert_allclose(z.grad.data, (np.full((2, 3), 1 / 3) - np.eye(3)[:2]) / 2, rtol=1e-6)


@pytest.mark.parametrize("create_graph", [False, True])
def test_grad_gives_each_input_a_gradient_of_its_own(create_graph):
    a, b = tg.Tensor([1.0, 2.0], requires_grad=True), tg.Tensor([3.0, 4.0], requires_grad=True)
    s = a + b
    ga, gb = tg.grad((s * s).sum(), [a, b], create_graph=create_graph)
    assert ga is not gb and not np.shares_memory(ga.data, gb.data)
    np.testing.assert_array_equal(ga.data, gb.data)


@pytest.mark.slow
def test_a_signal_handler_s_ops_take_no_memory_that_is_in_use():
    x, kept = tg.Tensor(np.ones(40_000, np.float32)), []

    def beat(*_):
        with tg.no_grad():
            kept.append(tg.relu(x * 7))
        del kept[:-3]

    before = signal.signal(signal.SIGALRM, beat)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            y = tg.relu(x)
            assert not any(np.shares_memory(y.data, other.data) for other in tuple(kept))
            assert (y.data == 1).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert kept and all((t.data == 7).all() for t in kept)


def test_a_tensor_that_two_layers_share_takes_one_value():
    layer = tg.nn.Linear(2, 2)
    shared = tg.nn.Sequential(layer, layer)
    state = shared.state_dict()
    state["1.weight"] = state["1.weight"] + 1
    with pytest.raises(tg.nn.StateError, match=r"0\.weight and 1\.weight are one tensor here"):
        shared.load_state_dict(state)


def test_a_rule_must_return_a_tensor_for_each_input():
    x = tg.Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="the rule of square for its input 0 must return a Tensor, got ndarray"):
        tg.record("square", x.data**2, (x,), (lambda g, y: 2 * x.data * g.data,)).backward()
    with pytest.raises(ValueError, match="product: takes one pullback for each of its 2 inputs, got 1"):
        tg.record("product", x.data * x.data, (x, x), (lambda g, y: g * x,))


def test_an_optimizer_takes_floating_point_parameters_only():
    with pytest.raises(TypeError, match="SGD: parameter 1 must be float32 or float64 to be changed, got int64"):
        tg.optim.SGD([tg.Tensor([1.0], requires_grad=True), tg.Tensor([1])], 0.1)


def test_a_gradient_that_is_no_tensor_is_named():
    w = tg.nn.Parameter([1.0, 2.0])
    w.grad = np.ones(2)
    with pytest.raises(ValueError, match=r"of parameter 0 must be a tensor of its shape \(2,\), got ndarray"):
        tg.optim.SGD([w], 0.1).step()
