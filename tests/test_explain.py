"""The explanation of a backward pass has the true numbers, in the article's words, for every op."""

import io

import numpy as np
import pytest
from scipy import signal

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd.engine import GraphError
from tinygrad_cnn.autograd.tensor import record
from tinygrad_cnn.cli import main
from tinygrad_cnn.inspection.explain import article_example, explain, explanation
from tinygrad_cnn.inspection.graph_view import graph_view


def explained(loss, model=None):
    out = io.StringIO()
    explain(loss, model, file=out)
    return out.getvalue()


def printed(array):
    """The numbers as they are printed, spaces aside."""
    text = np.array2string(np.asarray(array), precision=4, suppress_small=True)
    return " ".join(text.split())


def test_the_articles_example_has_the_articles_numbers():
    text = " ".join(explained(*article_example()).split())
    x = np.arange(1, 10).reshape(3, 3) / 10
    w = np.array([[0.1, 0.2], [0.3, 0.4]])
    z = signal.correlate2d(x, w, mode="valid") + 0.1
    a = 1 / (1 + np.exp(-z))
    a_gradient = a - np.eye(2)
    b_gradient_components = a * (1 - a) * a_gradient
    for numbers in (
        z, a, b_gradient_components,
        signal.correlate2d(a * (1 - a), a_gradient, mode="valid"),
        signal.correlate2d(x, b_gradient_components, mode="valid"),
        signal.convolve2d(w, b_gradient_components, mode="full"),
    ):  # fmt: skip
        assert printed(numbers) in text
    assert printed(np.sum(a_gradient**2) / 2) in text


def test_the_rules_appear_in_the_articles_notation_and_in_backward_order():
    text = explained(*article_example())
    places = [
        text.index(part)
        for part in (
            "Backward:",
            "dC/dz = dC/da * sigmoid'(z)",
            "dC/db = correlate2d(sigmoid'(z), dC/da, valid)",
            "dC/da^{L-1} = convolve2d(dC/dz, w, full)",
            "dC/dw = correlate2d(a^{L-1}, dC/dz, valid)",
            "w -= dC/dw * step_size",
        )
    ]
    assert places == sorted(places)


def test_it_ends_with_the_gradients_that_backward_leaves():
    loss, layer = article_example()
    text = " ".join(explained(loss, layer).split())
    end = text[text.index("What backward()") :]
    loss.backward()
    for name, p in layer.named_parameters():
        assert f"dC/d{name} {p.shape} {printed(p.grad.data)}" in end


def test_explaining_changes_nothing():
    loss, layer = article_example()
    first = explained(loss, layer)
    assert all(p.grad is None for p in layer.parameters())
    assert explained(loss, layer) == first
    loss.backward()
    assert layer.w.grad is not None


def test_gradients_from_several_uses_are_added_up():
    x = tg.Tensor([2.0], requires_grad=True)
    y = x * 3
    text = " ".join(explained((y * y + y).sum()).split())
    assert "#1 was used in 3 places: what came back from them was added up [13.]" in text
    assert "dC/dx (1,) [39.]" in text


def test_what_asks_for_no_gradient_is_said_to_and_what_is_many_is_summed_up():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3, bias=False))
    text = explained(tg.cross_entropy(model(tg.Tensor(np.ones((4, 1, 8, 8), np.float32))), [0, 1, 2, 0]), model)
    assert "x asks for no gradient: its rule is not run" in text
    assert "216 numbers from" in text
    assert "z = w a^{L-1}   with" in text  # no bias, so none in the formula
    assert "z = correlate2d(a^{L-1}, w) + b   with a^{L-1} = x, w = 0.weight, b = 0.bias" in text


def test_an_op_without_formula_and_sentences_is_explained_by_name_and_shapes():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = record("mystery", x.data * 3, (x,), (lambda g, y: g * 3,))
    text = " ".join(explained(y.sum()).split())
    assert "#1 mystery with x gives (2,)" in text
    assert "the gradient for x (2,) [3. 3.]" in text


def used_ops():
    """A cost through every op that networks are made of, and through all arithmetic."""
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.random((2, 2, 6, 6)), requires_grad=True)
    w, b, c = (tg.Tensor(rng.random(s), requires_grad=True) for s in ((3, 2, 3, 3), (3,), (3,)))
    y = tg.batch_norm(tg.correlate2d(x, w, bias=b), None, None, b, c, training=True)
    y = tg.dropout(tg.relu(y), 0.5, rng=rng) + tg.tanh(y) * tg.sigmoid(y)
    y = tg.concatenate([tg.maxpool(y, 2, stride=2), tg.avgpool(tg.pad(y, 1), 3, stride=3)], 1)
    y = tg.convolve2d_full(y, tg.Tensor(rng.random((6, 2, 2, 2)), requires_grad=True))
    u = tg.linear(y.transpose(0, 1, 3, 2).flatten(1)[:, :4], tg.Tensor(rng.random((3, 4)), requires_grad=True))
    v = tg.softmax(u) / (u.abs() + 1).sqrt() - tg.log_softmax(u).exp() ** 2 + (u * u + 1).log().clip(0.1, 5)
    v = tg.where(v.data > 0, v, -v) @ tg.Tensor(rng.random((3, 3)), requires_grad=True)
    g = tg.correlate2d_weight(x, tg.correlate2d(x, w), shape=(3, 3))
    c = tg.cross_entropy(v, [0, 2]) + tg.quadratic_cost(u, np.ones((2, 3)))
    return c + g.max() + u.astype(np.float32).broadcast_to((2, 2, 3)).mean()


def test_the_rule_that_runs_is_the_one_that_is_explained():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = tg.correlate2d(x, tg.Tensor([[1.0]], requires_grad=True))
    before = explained(y.sum())
    correlate = next(t.node for t in graph_view(y).results if t.node.name == "correlate2d")
    assert "dC/dz slides over the previous layer as a filter" in before
    correlate.rules[1].__doc__ = "dC/dw = another formula: with another reason"
    after = explained(y.sum())
    assert "dC/dw = another formula   for" in after and "      with another reason\n" in after
    assert "slides over the previous layer" not in after


def test_it_can_be_printed_on_any_terminal():
    assert explained(used_ops()).isascii()
    assert all(len(line) < 140 for line in explanation(article_example()[0]))


def test_it_needs_one_number_and_an_unused_graph():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"explain: the cost must be one number, got shape \(2,\)"):
        explained(x * 2)
    loss = (x * 2).sum()
    loss.backward()
    with pytest.raises(GraphError, match="used up"):
        explained(loss)


def test_a_stale_graph_is_refused():
    w = nn.Parameter(np.ones(2, np.float32))
    loss = (w * w).sum()
    w.writable()[...] = 5
    with pytest.raises(GraphError, match="was changed"):
        explained(loss)


def test_the_command_explains_the_articles_example(capsys):
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("One feature map: x1 is its 3x3 input")
    assert explained(*article_example()) in out


def test_the_command_explains_a_trained_network(capsys, tmp_path):
    path = str(tmp_path / "w.npz")
    tg.checkpoint.save(tg.models.build("digits", (1, 8, 8), rng=np.random.default_rng(0)), path)
    assert main(["explain", path, "--image", "5"]) == 0
    label = tg.data.digits()[1].labels[5]
    out = capsys.readouterr().out
    assert out.startswith(f"Test image 5 of digits, class {label}")
    assert "cross_entropy: C = -log softmax(z)[label]" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--image", "1"], "go with WEIGHTS"), (["no-such-file.npz"], "no-such-file.npz")],
)
def test_the_command_says_in_one_line_what_is_wrong(arguments, message, capsys):
    assert main(["explain", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
