"""Weights and biases that a file has in nodes of their own, put into the node that they belong to."""

import math
from collections.abc import Mapping

import numpy as np

from ...autograd.tensor import Tensor, wrap
from .graph import Graph, Node
from .windows import Windows, windows


def join_weights(graph: Graph, ours: bool) -> None:
    """Let convolutions and matrix products take what is added to their results, and transposed weights, as their own.

    Args:
        graph: is changed.
        ours: True for a file of `to_onnx`, of which only what was a layer is joined, by its names.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if node.op == "MatMul":
            _as_gemm(graph, node, makers.get(node.inputs[1]), ours)
    uses = graph.consumers()
    readers = {name: node for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        if node.op not in ("Conv", "ConvTranspose", "Gemm") or len(node.inputs) != 2 or uses[node.outputs[0]] != 1:
            continue
        after = readers.get(node.outputs[0])
        if after is not None and after.op == "Add":
            _take_bias(graph, node, node, after, ours)
        elif after is not None and _puts_channels_last(after) and uses[after.outputs[0]] == 1:
            add = readers.get(after.outputs[0])
            if add is not None and add.op == "Add":
                _take_bias(graph, node, after, add, ours)
    graph.prune()


def _puts_channels_last(node: Node) -> bool:
    perm = list(node.arguments.get("perm") or ()) if node.op == "Transpose" else []
    return len(perm) > 2 and perm == [0, *range(2, len(perm)), 1]


def _as_gemm(graph: Graph, node: Node, transpose: Node | None, ours: bool) -> None:
    """Make a product with a constant matrix, or with its transpose, a Gemm, which has the place for a bias."""
    if node.inputs[0] in graph.constants:
        return
    matrix = graph.constants.get(node.inputs[1])
    if matrix is not None and not ours:
        if isinstance(matrix, Tensor) and matrix.ndim == 2:
            node.op, node.arguments = "Gemm", {}
    elif transpose is not None and transpose.op == "Transpose":
        matrix = graph.constants.get(transpose.inputs[0])
        turned = list(transpose.arguments.get("perm") or (1, 0)) == [1, 0]
        if isinstance(matrix, Tensor) and matrix.ndim == 2 and turned:
            node.op, node.inputs, node.arguments = "Gemm", [node.inputs[0], transpose.inputs[0]], {"transB": 1}


def _take_bias(graph: Graph, node: Node, last: Node, add: Node, ours: bool) -> None:
    """Make a constant that is added to the node's result its third input, if it is one number a feature.

    ``last`` is the node itself, or the one that puts the channels of its result last.
    """
    w = graph.constants.get(node.inputs[1])
    if not isinstance(w, Tensor) or node.inputs[0] in graph.constants:
        return
    if node.op == "Gemm":
        features, axis = w.shape[0 if node.arguments.get("transB") else 1], -1
    elif node.op in ("Conv", "ConvTranspose"):
        groups = node.arguments.get("group", 1)
        features, axis = w.shape[0] if node.op == "Conv" else w.shape[1] * groups, 1 - w.ndim
        axis = axis if last is node else -1
    else:
        return
    other = next((name for name in add.inputs if name != last.outputs[0]), "")
    bias = graph.constants.get(other)
    if not isinstance(bias, Tensor) or not _is_bias(bias.shape, features, axis, w.ndim):
        return
    if ours and other != node.inputs[1].removesuffix("weight") + "bias":
        return
    name = other if bias.ndim == 1 else f"{other}_of_{node.outputs[0]}"
    graph.constants[name] = wrap(bias.data.reshape(-1))
    graph.origins[name] = graph.origins.get(other, other)
    if other in graph.initializers:
        graph.initializers.add(name)
    node.inputs.append(name)
    last.outputs, unused = list(add.outputs), last.outputs[0]
    add.op, add.inputs, add.arguments, add.outputs = "Identity", [last.outputs[0]], {}, [f"{unused}_without_bias"]


def _is_bias(shape: tuple[int, ...], features: int, axis: int, ndim: int) -> bool:
    """Return True for one number a feature, with axes of length 1 elsewhere, no more axes than the result has."""
    if math.prod(shape) != features or len(shape) > ndim or len(shape) < -axis:
        return False
    return shape[axis] == features


def split_borders(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Put unequal borders of convolutions and max pooling into nodes of their own: layers have equal ones.

    Args:
        graph: is changed.
        shapes: what is known of its values' shapes.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        view = _windows_of(graph, node, shapes.get(node.inputs[0]) if node.inputs else None)
        sides = () if view is None else view.pads
        if (
            view is None
            or len(sides) != 2
            or all(a == b for a, b in sides)
            or min(map(min, sides)) < 0
            or _is_same(view)
        ):
            nodes.append(node)
            continue
        names = [f"{node.outputs[0]}_{part}" for part in ("padded", "borders", "fill")]
        borders = [0, 0, *(a for a, _ in sides), 0, 0, *(b for _, b in sides)]
        graph.constants[names[1]] = np.array(borders, np.int64)
        fill = -math.inf if node.op == "MaxPool" else 0.0
        graph.constants[names[2]] = wrap(np.array(fill, np.float32))
        nodes.append(Node("Pad", node.label, "", [node.inputs[0], *names[1:]], names[:1]))
        node.inputs[0] = names[0]
        node.arguments = {k: v for k, v in node.arguments.items() if k not in ("auto_pad", "pads")}
        nodes.append(node)
    graph.nodes = nodes


def _windows_of(graph: Graph, node: Node, shape: tuple[int, ...] | None) -> Windows | None:
    """Return the windows of a convolution with constant filters or of max pooling, if the image's shape is known."""
    if node.op not in ("Conv", "MaxPool") or shape is None or len(shape) != 4 or any(node.outputs[1:]):
        return None
    a, w = node.arguments, graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
    size = a.get("kernel_shape") if w is None else w.shape[2:]
    if size is None or len(size) != 2:
        return None
    settings = (a.get("strides"), a.get("dilations"), a.get("pads"), a.get("auto_pad", "NOTSET"), a.get("ceil_mode", 0))
    return windows(shape[2:], size, *settings)


def _is_same(view: Windows) -> bool:
    """Return True for borders that a layer with ``padding="same"`` has."""
    reach = [d * (k - 1) for k, d in zip(view.shape, view.dilations, strict=True)]
    return view.strides == (1, 1) and all(p == (r // 2, r - r // 2) for p, r in zip(view.pads, reach, strict=True))
