"""Nodes that are a layer become that layer: the network prints, trains and is saved as one that was written here."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...autograd.tensor import Tensor, wrap
from ...nn import Buffer, Module, Parameter
from .builders import BUILDERS, Shape
from .graph import Graph, Node
from .registry import READERS

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of values, of a run on some images."""

_WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "PRelu": (1,),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "Gather": (0,),  # an embedding
}
"""The inputs of operators that are weights or biases of a layer."""


_KEEPS_RANK = {
    "BatchNormalization",
    "Relu",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "Clip",
    "MaxPool",
    "AveragePool",
    "Dropout",
    "Identity",
}


class Layers:
    """The layers of a graph, and its other tensors, by the names that the network's state has for them.

    Attributes:
        modules: the layers.
        tensors: parameters and buffers that nodes read.
        sources: the name in ``tensors`` of each value of the graph that is there.
    """

    def __init__(self, graph: Graph, shapes: Shapes, buffers: Iterable[str] | None) -> None:
        """Replace nodes of the graph by layers.

        Args:
            graph: is changed.
            shapes: what is known of its values' shapes.
            buffers: the initializers that are not parameters; None where only the weights of layers are parameters.
        """
        self.graph, self.shapes = graph, shapes
        self.modules: dict[str, Module] = {}
        self.tensors: dict[str, Tensor] = {}
        self.sources: dict[str, str] = {}
        self._taken: set[str] = set()
        self._shared: dict[tuple[Any, ...], str] = {}
        self._parameters: dict[tuple[str, str], Parameter] = {}
        _join_biases(graph)
        self._producers = {name: replace(node) for node in graph.nodes for name in node.outputs}
        self._ranks = {name: value.ndim for name, value in graph.constants.items()}
        for node in graph.nodes:
            self._replace(node)
        graph.prune()
        self._add_tensors(buffers)

    def _replace(self, node: Node) -> None:
        """Make the node a layer if it is one."""
        builder = BUILDERS.get(node.op)
        if builder is None or any(node.outputs[1:]) or not node.inputs or node.inputs[0] in self.graph.constants:
            return
        weights = [self.graph.constants.get(name) if name else None for name in node.inputs[1:]]
        if any(w is None and name for w, name in zip(weights, node.inputs[1:], strict=True)):
            return
        layer = builder(node, weights, self._shape(node.inputs[0]))
        if layer is None:
            return
        stateless = node.op not in _WEIGHTS
        key = (node.op, *node.inputs[1:], repr(node.arguments))
        if stateless or key not in self._shared:
            self._shared[key] = name = self._free_name(_layer_name(node))
            self._tie(node, layer)
            self.modules[name] = layer
        node.op, node.layer, node.inputs, node.arguments = "Layer", self._shared[key], node.inputs[:1], {}

    def _shape(self, name: str) -> Shape:
        """Return what is known of a value's shape: that of a trial, or the number of axes by the nodes that make it."""
        if name in self.shapes:
            return self.shapes[name]
        while (node := self._producers.get(name)) is not None and node.op in _KEEPS_RANK:
            name = node.inputs[0]
        if node is not None and node.op in ("Conv", "ConvTranspose"):
            return (None,) * self._ranks.get(node.inputs[1], 0) or None
        return (None, None) if node is not None and node.op == "Gemm" else None

    def _tie(self, node: Node, layer: Module) -> None:
        """Let layers that have one initializer in one form share a parameter."""
        for name, source in zip(("weight", "bias"), node.inputs[1:3], strict=False):
            own = getattr(layer, name, None)
            if isinstance(own, Parameter) and source:
                form = f"{type(layer).__name__}.{name}{own.shape}{node.arguments.get('transB')}"
                setattr(layer, name, self._parameters.setdefault((source, form), own))

    def _add_tensors(self, buffers: Iterable[str] | None) -> None:
        """Turn the float initializers that nodes still read into parameters and buffers."""
        trained = {
            node.inputs[i]
            for node in self.graph.nodes
            for i in _WEIGHTS.get(node.op, ())
            if i < len(node.inputs) and (node.op != "MatMul" or numbers_of_dims(self.graph, node.inputs[i]) > 1)
        }
        fixed = None if buffers is None else set(buffers)
        for name, value in list(self.graph.constants.items()):
            if not isinstance(value, Tensor) or name not in self.graph.initializers:
                continue
            trains = name in trained if fixed is None else name not in fixed
            key = self._free_name(_sanitized(name))
            self.tensors[key] = Parameter(value.data) if trains else Buffer(value.data)
            self.sources[name] = key
            del self.graph.constants[name]

    def _free_name(self, name: str) -> str:
        """Return the name, with a number if there is one like it."""
        number, free = 0, name
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free


def numbers_of_dims(graph: Graph, name: str) -> int:
    """Return the number of axes of a constant, 0 for what is none."""
    value = graph.constants.get(name)
    return 0 if value is None else value.ndim


def _join_biases(graph: Graph) -> None:
    """Let a convolution or a matrix product take the constant that is added to its result as its bias."""
    uses = graph.consumers()
    adds = {name: node for node in graph.nodes if node.op == "Add" for name in node.inputs}
    for node in graph.nodes:
        w = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if not isinstance(w, Tensor) or node.inputs[0] in graph.constants or len(node.inputs) > 2:
            continue
        if node.op == "MatMul" and w.ndim == 2:
            node.op, node.arguments, features, axis = "Gemm", {}, w.shape[1], -1
        elif node.op == "Conv" or (node.op == "ConvTranspose" and node.arguments.get("group", 1) == 1):
            features, axis = w.shape[0 if node.op == "Conv" else 1], 1 - w.ndim
        else:
            continue
        add = adds.get(node.outputs[0])
        if add is None or uses[node.outputs[0]] != 1 or add.op != "Add":
            continue
        (other,) = (name for name in add.inputs if name != node.outputs[0]) if add.inputs[0] != add.inputs[1] else ("",)
        bias = graph.constants.get(other)
        if not isinstance(bias, Tensor) or not _is_bias(bias.shape, features, axis, w.ndim):
            continue
        name = other if bias.ndim == 1 and axis == -1 else f"{other}_of_{node.outputs[0]}"
        graph.constants[name] = wrap(bias.data.reshape(-1)) if bias.size == features else bias
        if other in graph.initializers:
            graph.initializers.add(name)
        node.inputs.append(name)
        node.outputs, dropped = list(add.outputs), node.outputs[0]
        add.op, add.inputs, add.arguments, add.outputs = "Identity", [node.outputs[0]], {}, [dropped]
    graph.prune()


def _is_bias(shape: tuple[int, ...], features: int, axis: int, ndim: int) -> bool:
    """Return True for one number a feature, with axes of length 1 elsewhere, no more axes than the result has."""
    if math.prod(shape) != features or len(shape) > ndim or len(shape) < -axis:
        return False
    return shape[axis] == features


def _sanitized(name: str) -> str:
    """Return a name of letters, digits, underscores and single dots."""
    text = re.sub(r"[^\w.]+", "_", name).strip("_.")
    return re.sub(r"\.{2,}", ".", text) or "constant"


_SCOPES = re.compile(r"(StatefulPartitionedCall|PartitionedCall|sequential|model|functional)(_\d+)?$", re.IGNORECASE)


def _layer_name(node: Node) -> str:
    """Return a layer's name: that of its weight or of its node, as exporters make them, else its operator's."""
    for source, ending in zip(node.inputs[1:3], (".weight", ".bias"), strict=False):
        if source.endswith(ending) and len(source) > len(ending):
            return _sanitized(source.removesuffix(ending))
    steps = [step for step in node.name.split("/") if step and not _SCOPES.match(step)]
    if not steps:
        return _OWN_NAMES.get(node.op, node.op).lower()
    last = steps[-1]
    is_operator = re.sub(r"_?\d+$", "", last) in READERS
    if "/" not in node.name:
        plain = re.sub(r"^node_", "", last)
        return _sanitized(plain.lower() if is_operator else plain)
    path: list[str] = []
    for step in steps[:-1]:  # PyTorch's scopes repeat what they are in: layer1/layer1.0/conv1
        if path and step.startswith(path[-1] + "."):
            path[-1] = step
        else:
            path.append(step)
    if not path:
        return _sanitized(last.lower())
    if node.op in _WEIGHTS or (is_operator and re.search(node.op, path[-1], re.IGNORECASE)):
        return _sanitized(".".join(path))
    return _sanitized(".".join(path) if node.name.startswith("/") else f"{'.'.join(path)}_{last.lower()}")


_OWN_NAMES = {"Gemm": "linear", "BatchNormalization": "norm", "AveragePool": "avgpool"}
