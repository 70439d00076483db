"""Fewer nodes that compute the same: without those that change nothing, and with images in one layout."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from .graph import Graph, Node

_EACH_ELEMENT = {
    *(
        "Cast",
        "Celu",
        "Clip",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
    ),
    *(
        "Log",
        "Mish",
        "Neg",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
    ),
}
_FLOAT_TYPES = {1: np.dtype(np.float32), 11: np.dtype(np.float64)}  # by ONNX's numbers


def simplify(graph: Graph, dtypes: Mapping[str, np.dtype[Any]]) -> None:
    """Drop the nodes that change nothing, and move transpositions until they meet their opposites.

    Args:
        graph: is changed.
        dtypes: what is known of the data types of its values.
    """
    _drop(graph, [node for node in graph.nodes if _is_idle(node, dtypes)])
    while _move_transpositions(graph):
        pass
    graph.prune()


def _is_idle(node: Node, dtypes: Mapping[str, np.dtype[Any]]) -> bool:
    """Return True for a node whose result is its first input."""
    if any(node.outputs[1:]) or not node.inputs or not node.inputs[0]:
        return False
    if node.op == "Transpose":
        perm = node.arguments.get("perm")
        return perm is not None and list(perm) == list(range(len(perm)))
    if node.op == "Cast":
        target = _FLOAT_TYPES.get(node.arguments["to"])
        return target is not None and dtypes.get(node.inputs[0]) == target
    return node.op == "Identity"


def _drop(graph: Graph, nodes: list[Node]) -> None:
    """Let the consumers of these nodes read their inputs, but for the nodes that the graph's outputs need."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    uses = graph.consumers()
    gone, names = set(), dict[str, str]()
    for node in nodes:
        source, result = names.get(node.inputs[0], node.inputs[0]), node.outputs[0]
        if result in graph.outputs:
            maker = makers.get(source)
            if maker is None or uses[source] != 1 or id(maker) in gone:
                continue
            maker.outputs[maker.outputs.index(source)] = result
            makers[result] = maker
        else:
            names[result] = source
            uses[source] += uses[result] - 1
        gone.add(id(node))
    graph.nodes = [node for node in graph.nodes if id(node) not in gone]
    for node in graph.nodes:
        node.inputs = [names.get(name, name) for name in node.inputs]


def _move_transpositions(graph: Graph) -> bool:
    """Move each transposition behind the functions of single elements after it; return True if two have met."""
    uses = graph.consumers()
    readers: dict[str, Node] = {name: node for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        if node.op != "Transpose" or "perm" not in node.arguments:
            continue
        path: list[Node] = []
        after = _only_reader(node, uses, readers)
        while after is not None and _is_of_elements(after, path[-1] if path else node, graph):
            path.append(after)
            after = _only_reader(after, uses, readers)
        if after is None or after.op != "Transpose" or "perm" not in after.arguments:
            continue
        order = [node.arguments["perm"][i] for i in after.arguments["perm"]]
        _lead_around(node, path, after)
        if order == sorted(order):
            _drop(graph, [after])
            if after in graph.nodes:  # it makes an output
                after.op, after.arguments = "Identity", {}
        else:
            after.arguments = {**after.arguments, "perm": order}
        graph.nodes = [other for other in graph.nodes if other is not node]
        return True
    return False


def _only_reader(node: Node, uses: Counter[str], readers: Mapping[str, Node]) -> Node | None:
    return readers.get(node.outputs[0]) if uses[node.outputs[0]] == 1 and not any(node.outputs[1:]) else None


def _is_of_elements(node: Node, before: Node, graph: Graph) -> bool:
    """Return True if the node computes each element alone, from the one before it and settings."""
    settings = all(not name or name in graph.constants for name in node.inputs[1:])
    return node.op in _EACH_ELEMENT and node.inputs[0] == before.outputs[0] and settings


def _lead_around(first: Node, path: list[Node], last: Node) -> None:
    """Let the nodes between two transpositions read what the first one reads."""
    for node in (*path, last):
        if node.inputs[0] == first.outputs[0]:
            node.inputs[0] = first.inputs[0]
