"""The computation graph to look at: text for a terminal, and DOT, SVG or PDF through Graphviz."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd.engine import Node
from ..autograd.tensor import Tensor
from ..checks import instance, require
from ..kernels.geometry import ConvParams
from ..nn.module import Module, Parameter
from .graph_view import GraphView, graph_view, is_constant

_USUAL_SETTINGS = ConvParams()._asdict() | {"keepdims": False, "axis": None}
_STYLES = {
    "op": {"shape": "box", "style": "rounded,filled", "fillcolor": "white"},
    "output": {"shape": "box", "style": "rounded,filled", "fillcolor": "white", "peripheries": "2"},
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "gray85"},
    "input": {"shape": "ellipse", "style": "filled", "fillcolor": "gray95"},
}


def draw(output: Tensor, model: Module | None = None) -> "Drawing":
    """Return a drawing of the graph behind ``output``: each op with its name, shape, settings and inputs.

    At a prompt and by `print` it appears as text, in a notebook as a picture, in which an op under the pointer shows
    its formula and its backward rules.

    Args:
        output: usually the cost; the graph must not have been used up by `backward`.
        model: names the parameters; without it they are w1, w2, ...

    Raises:
        GraphError: there is no graph behind ``output``, or it was used up.

    >>> import tinygrad_cnn as tg
    >>> layer = tg.nn.Linear(3, 2)
    >>> draw(tg.sigmoid(layer(Tensor([[1.0, 2.0, 3.0]]))).sum(), layer)
    x       input      (1, 3)
    weight  parameter  (2, 3)
    bias    parameter  (2,)
    #1      linear     (1, 2)  <- x, weight, bias
    #2      sigmoid    (1, 2)  <- #1
    #3      sum        ()      <- #2
    """
    instance("draw", "output", output, Tensor)
    if model is not None:
        instance("draw", "model", model, Module)
    return Drawing(graph_view(output, model))


class _Row(NamedTuple):
    """A leaf or a result: a line of the text, a node of the picture."""

    name: str
    op: str  # or "parameter", "input"
    shape: str
    inputs: str = ""
    settings: str = ""
    rules: str = ""


class Drawing:
    """A graph as text and as a picture: ``print`` it, or `save` it."""

    def __init__(self, view: GraphView) -> None:
        self._rows = _rows(view)
        self._edges = [
            (view.name(x), view.name(y)) for node, y in view.steps for x in node.inputs if not is_constant(x)
        ]

    def __repr__(self) -> str:
        widths = [max(len(row[k]) for row in self._rows) for k in range(3)]
        lines = []
        for row in self._rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
            lines.append("  ".join([*cells, row.inputs, row.settings]).rstrip())
        return "\n".join(lines)

    @property
    def dot(self) -> str:
        """The graph in Graphviz's DOT language. ImportError without the ``graphviz`` library (extra ``plot``)."""
        return str(self._graph().source)

    def svg(self) -> str:
        """Return the picture as SVG. FileNotFoundError where Graphviz's program ``dot`` is not installed."""
        return self._render("svg").decode()

    def save(self, path: str | Path) -> None:
        """Write the drawing in the format of the path's ending: ``.txt``, ``.dot``, ``.svg``, ``.pdf`` or ``.png``.

        Raises:
            ValueError: another ending.
            ImportError, FileNotFoundError: as `dot` and `svg`.
        """
        path = Path(path)
        ending = path.suffix[1:]
        if ending not in ("txt", "dot", "svg", "pdf", "png"):
            raise ValueError(f"Drawing.save: path must end in .txt, .dot, .svg, .pdf or .png, got {path.name!r}")
        if ending == "txt":
            path.write_text(f"{self!r}\n", encoding="utf-8")
        elif ending == "dot":
            path.write_text(self.dot, encoding="utf-8")
        else:
            path.write_bytes(self._render(ending))

    def _repr_svg_(self) -> str | None:
        """The display of a notebook; None lets it fall back to the text."""
        try:
            return self.svg()
        except (ImportError, FileNotFoundError):
            return None

    def _graph(self) -> Any:
        graphviz = require("graphviz", "plot")
        font = {"fontname": "Helvetica", "fontsize": "10"}
        graph = graphviz.Digraph("graph", node_attr=font, edge_attr={"arrowsize": "0.6"})
        for row in self._rows:
            leaf = row.op in ("input", "parameter")
            title = row.name if leaf else f"{row.name[1:]}. {row.op}"
            lines = [graphviz.escape(line) for line in (title, row.shape, row.settings) if line]
            style = _STYLES[row.op if leaf else "output" if row is self._rows[-1] else "op"]
            tooltip = {"tooltip": graphviz.escape(row.rules)} if row.rules else {}
            graph.node(f"n{row.name}", "\n".join(lines), **style, **tooltip)
        for source, target in self._edges:
            graph.edge(f"n{source}", f"n{target}")
        return graph

    def _render(self, file_format: str) -> bytes:
        graph = self._graph()
        try:
            return bytes(graph.pipe(format=file_format))
        except require("graphviz", "plot").ExecutableNotFound:
            raise FileNotFoundError(
                "Drawing: the program dot is not installed (Debian: apt-get install graphviz); "
                "print(drawing) and drawing.dot work without it"
            ) from None


def _rows(view: GraphView) -> list[_Row]:
    leaves = [t for t in view.leaves if not is_constant(t)]
    rows = [_Row(view.name(t), "parameter" if isinstance(t, Parameter) else "input", str(t.shape)) for t in leaves]
    for node, y in view.steps:
        inputs = f"<- {', '.join(map(view.name, node.inputs))}"
        rules = "\n".join(filter(None, [node.formula, *map(node.sentence, range(len(node.inputs)))]))
        rows.append(_Row(view.name(y), node.name, str(y.shape), inputs, _settings(node, y), rules))
    return rows


def _settings(node: Node, y: Tensor) -> str:
    """``stride=(2, 2)``: an op's parameters, without usual values and without the shape of its result."""
    items = [(name, value, _short(value)) for name, value in node.params.items()]
    return " ".join(
        f"{name}={text}"
        for name, value, text in items
        if not (name in _USUAL_SETTINGS and text == str(_USUAL_SETTINGS[name])) and (name, value) != ("shape", y.shape)
    )


def _short(value: Any) -> str:
    """Return a setting in a few characters: a large array, or an index with one inside, by its shape only."""
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 4 else f"<{value.dtype} {value.shape}>"
    if isinstance(value, slice):
        parts = ["" if v is None else str(v) for v in (value.start, value.stop, value.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))}{',' * (len(value) == 1)})"
    return str(value)
