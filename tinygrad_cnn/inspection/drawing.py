"""The computation graph to look at: text for a terminal, and DOT, SVG or PDF through Graphviz."""

from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..checks import instance, require
from ..nn.module import Module, Parameter
from .graph_view import GraphView, is_constant, walk

_USUAL = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "keepdims": False, "axis": None}
_IN_THE_SHAPE = {"reshape", "broadcast_to"}  # ops whose only parameter is the shape of their result
_STYLES = {
    "op": {"shape": "box", "style": "rounded,filled", "fillcolor": "white"},
    "output": {"shape": "box", "style": "rounded,filled", "fillcolor": "white", "peripheries": "2"},
    "parameter": {"shape": "box", "style": "filled", "fillcolor": "gray85"},
    "input": {"shape": "ellipse", "style": "filled", "fillcolor": "gray95"},
}


def draw(output: Tensor, model: Module | None = None) -> "Drawing":
    """The computation graph behind ``output``: each op with its name, shape and settings, and what it was made from.

    At a prompt and by `print` it appears as text, in a notebook as a picture.

    Args:
        output: usually the cost; the graph must not have been used up by `backward`.
        model: the module whose names the parameters are to carry; without it they are w1, w2, ...

    Raises GraphError when there is no graph behind ``output``.

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
    return Drawing(walk(output, model))


class Drawing:
    """What `draw` returns: ``print`` it, or `save` it as a picture."""

    def __init__(self, found: GraphView) -> None:
        self._rows = _rows(found)
        self._edges = _edges(found)

    def __repr__(self) -> str:
        widths = [max(len(row[k]) for row in self._rows) for k in range(3)]
        lines = []
        for name, what, shape, made_from, settings in self._rows:
            cells = [cell.ljust(width) for cell, width in zip((name, what, shape), widths, strict=True)]
            lines.append("  ".join([*cells, made_from, settings]).rstrip())
        return "\n".join(lines)

    @property
    def dot(self) -> str:
        """The graph in Graphviz's DOT language. ImportError without the ``graphviz`` library (extra ``plot``)."""
        return str(self._graph().source)

    def svg(self) -> str:
        """The picture as SVG. FileNotFoundError where Graphviz's program ``dot`` is not installed."""
        return self._rendered("svg").decode()

    def save(self, path: str | Path) -> None:
        """Write the drawing; the ending decides what: ``.txt``, ``.dot``, ``.svg``, ``.pdf`` or ``.png``.

        Raises ValueError for another ending, and what `dot` and `svg` raise.
        """
        path = Path(path)
        kind = path.suffix[1:]
        if kind not in ("txt", "dot", "svg", "pdf", "png"):
            raise ValueError(f"Drawing.save: the name must end in .txt, .dot, .svg, .pdf or .png, got {path.name!r}")
        if kind == "txt":
            path.write_text(f"{self!r}\n", encoding="utf-8")
        elif kind == "dot":
            path.write_text(self.dot, encoding="utf-8")
        else:
            path.write_bytes(self._rendered(kind))

    def _repr_svg_(self) -> str | None:
        """What a notebook shows; None lets it fall back to the text."""
        try:
            return self.svg()
        except (ImportError, FileNotFoundError):
            return None

    def _graph(self) -> Any:
        graphviz = require("graphviz", "plot")
        font = {"fontname": "Helvetica", "fontsize": "10"}
        graph = graphviz.Digraph("graph", node_attr=font, edge_attr={"arrowsize": "0.6"})
        outputs = {self._rows[-1][0]}
        for name, what, shape, _, settings in self._rows:
            style = "output" if name in outputs else what if what in ("input", "parameter") else "op"
            title = name if style in ("input", "parameter") else f"{name[1:]}. {what}"
            lines = [graphviz.escape(line) for line in (title, shape, settings) if line]
            graph.node(f"n{name}", "\n".join(lines), **_STYLES[style])
        for source, target in self._edges:
            graph.edge(f"n{source}", f"n{target}")
        return graph

    def _rendered(self, kind: str) -> bytes:
        graph = self._graph()
        try:
            return bytes(graph.pipe(format=kind))
        except require("graphviz", "plot").ExecutableNotFound:
            raise FileNotFoundError(
                "Drawing: the program dot is not installed (Debian: apt-get install graphviz); "
                "print(drawing) and drawing.dot work without it"
            ) from None


def setting(value: Any) -> str:
    """An op's setting in a few characters: a large array, or an index with one inside, by its shape only."""
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 4 else f"<{value.dtype} {value.shape}>"
    if isinstance(value, slice):
        parts = ["" if v is None else str(v) for v in (value.start, value.stop, value.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple):
        return f"({', '.join(map(setting, value))}{',' * (len(value) == 1)})"
    return str(value)


def settings(t: Tensor) -> str:
    """``stride=(2, 2)``: what the op was told and is not the usual."""
    if t.node is None or t.node.name in _IN_THE_SHAPE:
        return ""
    shown = {k: v for k, v in t.node.params.items() if not (k in _USUAL and setting(v) == setting(_USUAL[k]))}
    return " ".join(f"{k}={setting(v)}" for k, v in shown.items())


def _rows(found: GraphView) -> list[tuple[str, str, str, str, str]]:
    """(name, op or kind, shape, made from, settings), one for each leaf and result."""
    rows = [
        (found.name(t), "parameter" if isinstance(t, Parameter) else "input", str(t.shape), "", "")
        for t in found.leaves
        if not is_constant(t)
    ]
    for t in found.results:
        if t.node is not None:
            sources = ", ".join(map(found.name, t.node.inputs))
            rows.append((found.name(t), t.node.name, str(t.shape), f"<- {sources}", settings(t)))
    return rows


def _edges(found: GraphView) -> list[tuple[str, str]]:
    return [
        (found.name(source), found.name(t))
        for t in found.results
        if t.node is not None
        for source in t.node.inputs
        if not is_constant(source)
    ]
