"""Nodes that are a layer become that layer: the network prints, trains and is saved as one that was written here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...autograd.tensor import Tensor
from ...nn import Buffer, Module, Parameter
from ...nn.normalization import _BatchNorm
from .builders import BUILDERS, Shape
from .graph import Graph, Node
from .registry import READERS

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of values, of a run on some images."""

WEIGHTS: dict[str, tuple[int, ...]] = {
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


_SETTINGS = {"Clip": (1, 2), "Dropout": (1,), "Pad": (2,), "Resize": (1, 2), "Upsample": (1,), "Range": (0, 1, 2)}
"""The inputs of operators that are read as plain numbers."""

_KEEPS_RANK = frozenset(
    "AveragePool BatchNormalization Clip Dropout Identity LeakyRelu MaxPool Relu Sigmoid Tanh".split()  # noqa: SIM905
)


class Layers:
    """The layers of a graph, and its other tensors, by the names that the network's state has for them.

    Attributes:
        modules: the layers.
        prefixes: what the names of each layer's tensors begin with.
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
        self.buffers = None if buffers is None else set(buffers)
        self.modules: dict[str, Module] = {}
        self.prefixes: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        self.sources: dict[str, str] = {}
        self._taken = {_sanitized(name) for name in graph.initializers}
        self._shared: dict[tuple[Any, ...], str] = {}
        self._parameters: dict[tuple[str, str], Parameter] = {}
        self._producers = {name: replace(node) for node in graph.nodes for name in node.outputs}
        self._ranks = {name: value.ndim for name, value in graph.constants.items()}
        for node in graph.nodes:
            self._replace(node)
        graph.prune()
        self._add_tensors()

    def _replace(self, node: Node) -> None:
        """Make the node a layer if it is one."""
        builder = BUILDERS.get(node.op)
        if builder is None or any(node.outputs[1:]) or not node.inputs or node.inputs[0] in self.graph.constants:
            return
        weights = [self.graph.constants.get(name) if name else None for name in node.inputs[1:]]
        if any(w is None and name for w, name in zip(weights, node.inputs[1:], strict=True)):
            return
        layer = builder(node, weights, self._shape(node.inputs[0]))
        if layer is None or not self._keeps_names(node):
            return
        if isinstance(layer, _BatchNorm) and self._is_plain(layer, node.inputs[1:3]):
            layer.affine, layer.weight, layer.bias = False, None, None
        stateless = node.op not in WEIGHTS
        key = (node.op, *node.inputs[1:], repr(node.arguments))
        if stateless or key not in self._shared:
            prefix = self._prefix(node)
            name = _layer_name(node) if not prefix else _sanitized(prefix)
            self._shared[key] = name = self._free_name(name)
            self._tie(node, layer)
            self.modules[name] = layer
            self.prefixes[name] = "" if prefix == "" else f"{name}."
        node.layer = self._shared[key]

    def _is_plain(self, layer: _BatchNorm, names: list[str]) -> bool:
        """Return True for a scale of 1 and a bias of 0 that the file has as constants, not as initializers."""
        if self.graph.initializers.intersection(names) or layer.weight is None or layer.bias is None:
            return False
        return bool((layer.weight.data == 1).all() and (layer.bias.data == 0).all())

    def _origins(self, node: Node) -> list[str]:
        """Return the initializers that a node's weights are, None where there is none."""
        return [self.graph.origins.get(name, name) for name in node.inputs[1:]]

    def _prefix(self, node: Node) -> str | None:
        """Return what comes before ``weight`` or ``bias`` in the names of a layer's weights, None for other names."""
        if node.op not in WEIGHTS:
            return None
        for origin, name in zip(self._origins(node), ("weight", "bias"), strict=False):
            if origin == name and self.buffers is not None:
                return ""
            if origin.endswith(f".{name}") and len(origin) > len(name) + 1:
                return origin.removesuffix(f".{name}")
        return None

    def _keeps_names(self, node: Node) -> bool:
        """Return True if the layer's tensors would have the names that `to_onnx` wrote; of other files, always."""
        if self.buffers is None or node.op not in WEIGHTS:
            return True
        prefix = self._prefix(node)
        if prefix is None:
            return False
        start = f"{prefix}." if prefix else ""
        origins = {o for o in self._origins(node) if o in self.graph.initializers}
        trained = {start + "weight", start + "bias"}
        fixed = {start + "running_mean", start + "running_var"} if node.op == "BatchNormalization" else set()
        if node.op != "BatchNormalization" and start + "weight" not in origins:
            return False
        return origins <= trained | fixed and not origins & trained & self.buffers and origins & fixed <= self.buffers

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

    def _add_tensors(self) -> None:
        """Turn the float initializers that nodes still read into parameters and buffers."""
        trained = {
            node.inputs[i]
            for node in self.graph.nodes
            for i in WEIGHTS.get(node.op, ())
            if i < len(node.reads) and (node.op != "MatMul" or numbers_of_dims(self.graph, node.inputs[i]) > 1)
        }
        settings = {
            name for node in self.graph.nodes for i, name in enumerate(node.reads) if i in _SETTINGS.get(node.op, ())
        } - {
            name
            for node in self.graph.nodes
            for i, name in enumerate(node.reads)
            if i not in _SETTINGS.get(node.op, ())
        }
        for name, value in list(self.graph.constants.items()):
            if not isinstance(value, Tensor) or name not in self.graph.initializers or name in settings:
                continue
            trains = name in trained if self.buffers is None else name not in self.buffers
            key = _sanitized(name)
            key = key if key not in (*self.tensors, *self.modules) else self._free_name(key)
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


def _sanitized(name: str) -> str:
    """Return a name of letters, digits, underscores and single dots."""
    text = re.sub(r"[^\w.]+", "_", name).strip("_.")
    return re.sub(r"\.{2,}", ".", text) or "constant"


_SCOPES = re.compile(r"(StatefulPartitionedCall|PartitionedCall|sequential|model|functional)(_\d+)?$", re.IGNORECASE)


def _layer_name(node: Node) -> str:
    """Return a layer's name: that of its weight or of its node, as exporters make them, else its operator's."""
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
    if node.op in WEIGHTS or (is_operator and re.search(node.op, path[-1], re.IGNORECASE)):
        return _sanitized(".".join(path))
    return _sanitized(".".join(path) if node.name.startswith("/") else f"{'.'.join(path)}_{last.lower()}")


_OWN_NAMES = {"Gemm": "linear", "BatchNormalization": "norm", "AveragePool": "avgpool"}
