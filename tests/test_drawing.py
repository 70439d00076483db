"""The drawn graph is the graph: as text without anything installed, as DOT and SVG through Graphviz."""

import shutil
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.autograd.engine import GraphError
from tinygrad_cnn.inspection.drawing import draw
from tinygrad_cnn.inspection.graph_view import graph_view

has_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's program dot is not installed")


def small_loss():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4))
    return tg.cross_entropy(model(tg.Tensor(np.zeros((5, 1, 8, 8), np.float32))), np.zeros(5, int)), model


def test_text_tells_each_op_with_shapes_settings_and_what_it_was_made_from():
    loss, model = small_loss()
    assert repr(draw(loss, model)).splitlines() == [
        "x         input          (5, 1, 8, 8)",
        "0.weight  parameter      (2, 1, 3, 3)",
        "0.bias    parameter      (2,)",
        "3.weight  parameter      (4, 18)",
        "3.bias    parameter      (4,)",
        "#1        correlate2d    (5, 2, 3, 3)  <- x, 0.weight, 0.bias  stride=(2, 2)",
        "#2        relu           (5, 2, 3, 3)  <- #1",
        "#3        reshape        (5, 18)       <- #2",
        "#4        linear         (5, 4)        <- #3, 3.weight, 3.bias",
        "#5        cross_entropy  ()            <- #4  labels=<int64 (5,)>",
    ]


def test_without_a_model_parameters_are_numbered():
    loss, _ = small_loss()
    assert [line.split()[0] for line in repr(draw(loss)).splitlines()][:5] == ["x", "w1", "w2", "w3", "w4"]


def test_a_name_is_given_once():
    class Odd(nn.Module):
        def __init__(self):
            self.x, self.w = nn.Parameter([1.0, 2.0]), nn.Parameter([3.0, 4.0])

        def forward(self, a):
            return (a * self.x * self.w * nn.Parameter([5.0, 6.0])).sum()

    model = Odd()
    view = graph_view(model(tg.Tensor([1.0, 1.0])), model)
    assert [view.name(t) for t in view.leaves] == ["x1", "x", "w", "w1"]


def test_a_tensor_used_twice_stands_there_once():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    text = repr(draw((y + y).sum()))
    assert text.splitlines() == [
        "x   input     (2,)",
        "#1  multiply  (2,)  <- x, x",
        "#2  add       (2,)  <- #1, #1",
        "#3  sum       ()    <- #2",
    ]


def test_lone_constants_stand_where_they_are_used_and_indices_in_short():
    x = tg.Tensor(np.ones((4, 3)), requires_grad=True)
    text = repr(draw((x[1:, ..., np.arange(30) % 3] * 0.25).sum(1, keepdims=True).sum()))
    assert "<- #1, 0.25" in text
    assert "index=(1:, ..., <int64 (30,)>)" in text
    assert "axis=1 keepdims=True" in text


def test_drawing_leaves_the_graph_for_backward_and_is_refused_afterwards():
    loss, model = small_loss()
    drawing = draw(loss, model)
    before = repr(drawing)
    loss.backward()
    assert repr(drawing) == before
    with pytest.raises(GraphError, match="was used up by backward"):
        draw(loss)


def test_there_must_be_a_graph():
    with pytest.raises(GraphError, match="there is no graph behind it"):
        draw(tg.Tensor([1.0]))


def test_a_chain_of_twenty_thousand_ops_is_walked():
    x = tg.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = -y
    view = graph_view(y)
    assert len(view.results) == 20_000
    assert view.results[-1] is y


def test_results_come_after_what_they_were_made_from():
    loss, _ = small_loss()
    view = graph_view(loss)
    seen = {id(t) for t in view.leaves}
    for t in view.results:
        assert all(id(i) in seen for i in t.node.inputs)
        seen.add(id(t))


def test_dot_has_a_node_for_each_tensor_and_an_edge_for_each_use():
    pytest.importorskip("graphviz", reason="the graphviz library is not installed")
    loss, model = small_loss()
    dot = draw(loss, model).dot
    assert dot.count("[label=") == 10
    assert dot.count(" -> ") == 9
    assert 'nx -> "n#1"' in dot
    assert "3. reshape\n(5, 18)" in dot


def test_the_picture_says_each_ops_formula_and_rules_on_request():
    graphviz = pytest.importorskip("graphviz", reason="the graphviz library is not installed")
    loss, model = small_loss()
    nodes = [node for node, _ in graph_view(loss).steps]
    dot = draw(loss, model).dot
    assert dot.count("tooltip=") == len(nodes) == 5
    for node in nodes:
        assert f'"{node.formula}\n{graphviz.escape(node.sentence(0))}' in dot


@has_dot
def test_svg_shows_ops_shapes_and_parameters(tmp_path):
    pytest.importorskip("graphviz", reason="the graphviz library is not installed")
    loss, model = small_loss()
    drawing = draw(loss, model)
    svg = drawing.svg()
    assert svg.startswith("<?xml") and "correlate2d" in svg and "(5, 2, 3, 3)" in svg and "0.weight" in svg
    assert drawing._repr_svg_() == svg
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph", "txt": b"x "}
    for ending, start in starts.items():
        drawing.save(tmp_path / f"graph.{ending}")
        assert (tmp_path / f"graph.{ending}").read_bytes().startswith(start)


def test_without_the_program_dot_text_and_source_still_work_and_the_message_says_so(monkeypatch, tmp_path):
    pytest.importorskip("graphviz", reason="the graphviz library is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    loss, _ = small_loss()
    drawing = draw(loss)
    with pytest.raises(FileNotFoundError, match=r"dot is not installed .*print\(drawing\) and drawing.dot work"):
        drawing.svg()
    assert drawing._repr_svg_() is None
    assert "correlate2d" in repr(drawing) and drawing.dot.startswith("digraph")


def test_without_the_library_text_still_works(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    loss, _ = small_loss()
    drawing = draw(loss)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_cnn\[plot\]'"):
        _ = drawing.dot
    assert drawing._repr_svg_() is None
    drawing.save(tmp_path / "graph.txt")
    assert (tmp_path / "graph.txt").read_text() == f"{drawing!r}\n"


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.txt, \.dot, \.svg, \.pdf or \.png, got 'graph.gif'"):
        draw(small_loss()[0]).save(tmp_path / "graph.gif")


# Notebooks ------------------------------------------------------------------------------------------------------------


def test_a_small_tensor_shows_itself_in_a_notebook_as_a_table():
    shown = tg.Tensor([[1.0, 2.5], [-3.0, 4.0]], requires_grad=True)._repr_html_()
    assert shown.count("<tr>") == 2 and shown.count("<td") == 4 and ">2.5<" in shown
    assert "(2, 2) float32 requires_grad<" in shown
    assert "(1,) float32<" in tg.Tensor([1.0])._repr_html_()


def test_a_large_tensor_is_shortened():
    shown = (tg.Tensor(np.ones((40, 50)), requires_grad=True) * 2)._repr_html_()
    assert "made by multiply" in shown and "..." in shown and len(shown) < 1000


@pytest.mark.parametrize("data", [True, 3, [], [[]], [1, 2], [True, False], 2.0, np.zeros((0, 3))])
def test_every_kind_of_tensor_has_a_notebook_form(data):
    assert tg.Tensor(data)._repr_html_().startswith("<div><b>Tensor</b>")


def test_a_module_lists_its_layers_and_counts_each_parameter_once():
    class Net(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(1, 2, 3)
            self.body = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
            self.scale = nn.Parameter(np.ones(7, np.float32))

    shown = Net()._repr_html_()
    assert [name in shown for name in ("conv", "body.0", "body.1")] == [True] * 3
    assert ">20<" in shown and ">10<" in shown and ">7<" in shown and ">37</td></tr></table>" in shown


def test_what_a_module_says_about_itself_is_escaped():
    class Odd(nn.Module):
        def extra_repr(self):
            return "<b>&"

    assert "&lt;b&gt;&amp;" in Odd()._repr_html_()
