"""Nodes that are a layer become that layer: the network prints, trains and is saved as one that was written here."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ... import nn
from ...autograd.tensor import Tensor, wrap
from ...nn import Buffer, Module, Parameter
from .graph import Graph, Node
from .values import number
from .windows import windows

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


class BatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` of inputs with any number of axes, of which the second is the channels'."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features, ...) to the same."""
        return super().forward(x.reshape(*x.shape[:2], -1, 1)).reshape(x.shape)


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
        for node in graph.nodes:
            self._replace(node)
        graph.prune()
        self._add_tensors(buffers)

    def _replace(self, node: Node) -> None:
        """Make the node a layer if it is one."""
        builder = _BUILDERS.get(node.op)
        if builder is None or any(node.outputs[1:]) or not node.inputs or node.inputs[0] in self.graph.constants:
            return
        weights = [self.graph.constants.get(name) if name else None for name in node.inputs[1:]]
        if any(w is None and name for w, name in zip(weights, node.inputs[1:], strict=True)):
            return
        layer = builder(node, weights, self.shapes.get(node.inputs[0]))
        if layer is None:
            return
        stateless = node.op not in _WEIGHTS
        key = (node.op, *node.inputs[1:], repr(node.arguments))
        if stateless or key not in self._shared:
            self._shared[key] = name = self._free_name(_layer_name(node))
            self._tie(node, layer)
            self.modules[name] = layer
        node.op, node.layer, node.inputs, node.arguments = "Layer", self._shared[key], node.inputs[:1], {}

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
    """Return a layer's name: that of its weight, or of its node, as the file's exporter makes them, or its operator's."""
    for source, ending in zip(node.inputs[1:3], (".weight", ".bias"), strict=False):
        if source.endswith(ending) and len(source) > len(ending):
            return _sanitized(source.removesuffix(ending))
    steps = [step for step in node.name.split("/") if step and not _SCOPES.match(step)]
    if not steps:
        return _OWN_NAMES.get(node.op, node.op).lower()
    last = steps[-1]
    is_operator = re.fullmatch(rf"{node.op}(_?\d+)?", last) is not None
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
    if node.op in _WEIGHTS or is_operator and re.search(node.op, path[-1], re.IGNORECASE):
        return _sanitized(".".join(path))
    return _sanitized(".".join(path) if node.name.startswith("/") else f"{'.'.join(path)}_{last.lower()}")


_OWN_NAMES = {"Gemm": "linear", "BatchNormalization": "norm", "AveragePool": "avgpool"}

_Builder = Callable[[Node, list[Any], tuple[int, ...] | None], Module | None]


def _conv(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    w, arguments = weights[0], node.arguments
    auto_pad = arguments.get("auto_pad", "NOTSET")
    if w.ndim != 4 or (shape is None and auto_pad.startswith("SAME")):
        return None
    if list(arguments.get("kernel_shape") or w.shape[2:]) != list(w.shape[2:]):
        return None
    view = windows(
        shape[2:] if shape else (1, 1), w.shape[2:], arguments.get("strides"), arguments.get("dilations"),
        arguments.get("pads"), auto_pad,
    )  # fmt: skip
    padding: Any = tuple(before for before, _ in view.pads)
    if any(before != after for before, after in view.pads):
        reach = [d * (k - 1) for k, d in zip(view.shape, view.dilations, strict=True)]
        if view.strides != (1, 1) or any(p != (r // 2, r - r // 2) for p, r in zip(view.pads, reach, strict=True)):
            return None
        padding = "same"
    elif min(padding) < 0:
        return None
    groups = arguments.get("group", 1)
    if w.shape[0] % groups:
        return None
    layer = nn.Conv2d(
        w.shape[1] * groups, w.shape[0], view.shape, view.strides, padding, view.dilations, groups, len(weights) > 1
    )  # type: ignore[arg-type]
    return _with_weights(layer, w, weights[1] if len(weights) > 1 else None)


def _conv_transpose(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    w, arguments = weights[0], node.arguments
    pads = list(arguments.get("pads") or (0, 0, 0, 0))
    if w.ndim != 4 or arguments.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in arguments:
        return None
    strides, dilations = tuple(arguments.get("strides") or (1, 1)), tuple(arguments.get("dilations") or (1, 1))
    extra, groups = tuple(arguments.get("output_padding") or (0, 0)), arguments.get("group", 1)
    if pads[:2] != pads[2:] or min(pads) < 0 or w.shape[0] % groups or any(e >= s for e, s in zip(extra, strides, strict=True)):
        return None
    layer = nn.ConvTranspose2d(
        w.shape[0], w.shape[1] * groups, w.shape[2:], strides, tuple(pads[:2]), extra, groups, len(weights) > 1, dilations
    )  # type: ignore[arg-type]
    return _with_weights(layer, w, weights[1] if len(weights) > 1 else None)


def _linear(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    arguments = node.arguments
    w, b = weights[0], weights[1] if len(weights) > 1 else None
    if arguments.get("transA") or arguments.get("alpha", 1.0) != 1 or w.ndim != 2 or not isinstance(w, Tensor):
        return None
    rows = w.data if arguments.get("transB") else w.data.T
    if b is not None:
        if arguments.get("beta", 1.0) != 1 or b.shape not in ((rows.shape[0],), (1, rows.shape[0])):
            return None
        b = wrap(b.data.reshape(-1))
    layer = nn.Linear(rows.shape[1], rows.shape[0], b is not None)
    return _with_weights(layer, wrap(np.ascontiguousarray(rows)), b)


def _with_weights(layer: Any, w: Tensor, b: Tensor | None) -> Module | None:
    if not isinstance(w, Tensor) or (b is not None and b.shape != layer.bias.shape):
        return None
    layer.weight = Parameter(w.data)
    if b is not None:
        layer.bias = Parameter(b.data)
    return layer  # type: ignore[no-any-return]


def _batch_norm(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    arguments = node.arguments
    if arguments.get("training_mode") or arguments.get("spatial", 1) != 1 or len(weights) != 4:
        return None
    if any(not isinstance(w, Tensor) or w.ndim != 1 for w in weights) or (shape is not None and len(shape) < 2):
        return None
    kind = nn.BatchNorm2d if shape is not None and len(shape) == 4 else BatchNorm
    momentum = min(max(1 - arguments.get("momentum", 0.9), 0.0), 1.0)
    layer = kind(weights[0].size, arguments.get("epsilon", 1e-5), round(momentum, 6))
    layer.weight, layer.bias = Parameter(weights[0].data), Parameter(weights[1].data)
    layer.running_mean, layer.running_var = Buffer(weights[2].data), Buffer(weights[3].data)
    return layer


def _max_pool(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    view = _pool_windows(node, shape)
    if view is None:
        return None
    size, strides, padding, dilations = view
    return nn.MaxPool2d(size, strides, padding, dilations)


def _average_pool(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    view = _pool_windows(node, shape)
    if view is None or view[3] != (1, 1) or (view[2] != (0, 0) and not node.arguments.get("count_include_pad")):
        return None
    return nn.AvgPool2d(*view[:3])


def _pool_windows(node: Node, shape: tuple[int, ...] | None) -> tuple[Any, ...] | None:
    """Return size, strides, padding and dilations of pooling with one border on both sides; None for other pooling."""
    arguments = dict(node.arguments)
    if shape is None or len(shape) != 4:
        return None
    names = ("kernel_shape", "strides", "dilations", "pads")
    settings = [arguments.get(name) for name in names]
    view = windows(shape[2:], settings[0], *settings[1:], arguments.get("auto_pad", "NOTSET"), arguments.get("ceil_mode", 0))  # type: ignore[arg-type]
    simple = all(a == b and 0 <= 2 * a <= k for (a, b), k in zip(view.pads, view.shape, strict=True))
    if not simple or any(view.beyond):
        return None
    return view.shape, view.strides, tuple(a for a, _ in view.pads), view.dilations


def _softmax(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    arguments = node.arguments
    axis = arguments.get("axis")
    if arguments["opset"] >= 13:
        return nn.Softmax(-1 if axis is None else axis)
    axis = 1 if axis is None else axis
    if axis == -1 or (shape is not None and axis == len(shape) - 1):
        return nn.Softmax(axis)
    return None


def _flatten(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    axis = node.arguments.get("axis", 1)
    return nn.Flatten() if axis == 1 and shape is not None and len(shape) > 1 else None


def _dropout(node: Node, weights: list[Any], shape: tuple[int, ...] | None) -> Module | None:
    ratio = weights[0] if weights and weights[0] is not None else node.arguments.get("ratio", 0.5)
    p = number(ratio)
    return nn.Dropout(p) if 0 <= p < 1 else None


_BUILDERS: dict[str, _Builder] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _linear,
    "MaxPool": _max_pool,
    "Relu": lambda node, weights, shape: nn.ReLU(),
    "Sigmoid": lambda node, weights, shape: nn.Sigmoid(),
    "Softmax": _softmax,
    "Tanh": lambda node, weights, shape: nn.Tanh(),
}
"""The layer of a node, by its weights and the shape of its input, None if it is none."""
