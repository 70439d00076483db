"""What two places hold together: views of one array, layers under two names, a schedule and its optimizer."""

import threading

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn


def test_a_view_made_before_the_graph_cannot_be_edited_under_it():
    w = nn.Parameter([1.0, 2.0])
    for view in (w.detach().reshape(2), w.detach()[:], w.detach().transpose()):
        with pytest.raises(ValueError, match="read-only"):
            view.data[0] = 100


def test_a_layer_used_twice_stands_under_both_names_and_once_among_the_parameters():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]


def test_adam_counts_the_steps_of_each_parameter():
    early, late = nn.Parameter([1.0]), nn.Parameter([1.0])
    adam = tg.optim.Adam([early, late], 0.1)
    for _ in range(5):
        early.grad = tg.Tensor([1.0])
        adam.step()
    early.grad, late.grad = None, tg.Tensor([1.0])
    adam.step()
    assert late.item() == pytest.approx(0.9, abs=1e-6)


def test_a_state_of_another_optimizer_is_refused():
    p = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="another optimizer, 'SGD'"):
        tg.optim.Adam([p]).load_state_dict(tg.optim.SGD([p], 0.1, 0.9).state_dict())


@pytest.mark.parametrize("schedule", [lambda o: tg.optim.CosineDecay(o, 10), lambda o: tg.optim.StepDecay(o, 3)])
def test_a_schedule_goes_on_where_it_was(schedule):
    p = nn.Parameter([1.0])
    first = tg.optim.SGD([p], 0.1)
    running = schedule(first)
    for _ in range(5):
        running.step()
    second = tg.optim.SGD([p], 0.1)
    second.load_state_dict(first.state_dict())
    resumed = schedule(second)
    resumed.load_state_dict(running.state_dict())
    assert second.lr == first.lr


def test_one_switch_serves_two_threads_at_once():
    switch, inside, outside = tg.no_grad(), threading.Event(), threading.Event()
    seen = []

    def other():
        with tg.no_grad(), switch:
            inside.set()
            outside.wait()
        x = tg.Tensor([1.0], requires_grad=True)
        seen.append((x * 2).requires_grad)

    thread = threading.Thread(target=other)
    with switch:
        thread.start()
        inside.wait()
    outside.set()
    thread.join()
    assert (tg.Tensor([1.0], requires_grad=True) * 2).requires_grad and seen == [True]


def test_numpys_transpose_takes_a_tuple_too():
    assert tg.Tensor(np.zeros((2, 3))).transpose((1, 0)).shape == (3, 2)
