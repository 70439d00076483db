"""A network that was read, as an ONNX file again: its own nodes, with the weights that it has now."""

from typing import Any

import numpy as np

from ...autograd.tensor import Tensor
from ...checks import require
from ...nn import Module
from .graph import Graph, Input, Node
from .module import OnnxModule
from .values import Array, integers, numbers_of

IR_VERSION = 10
_NOT_WRITTEN = "opset", "outputs", "captured"  # arguments of readers that are no attributes


def model_of(network: OnnxModule, metadata: dict[str, str]) -> Any:
    """Return the ModelProto of a network that was read.

    It has the nodes of the file that was read, in its operator set, with constants for what was computed at load.
    """
    onnx = require("onnx", "onnx")
    writer = _Writer(onnx, network)
    inputs = [writer.input(i) for i in network._graph.inputs]
    names = [network._output] if network._output else network._graph.outputs
    outputs = [onnx.helper.make_tensor_value_info(name, network._output_types[name], None) for name in names]
    nodes = writer.nodes(network._graph)
    initializers = [onnx.numpy_helper.from_array(np.array(a, order="C"), name) for name, a in writer.arrays.items()]
    graph = onnx.helper.make_graph(nodes, "tinygrad_cnn", inputs, outputs, initializers)
    opsets = [onnx.helper.make_opsetid("", network._opset), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    proto = onnx.helper.make_model(graph, producer_name="tinygrad_cnn", ir_version=IR_VERSION, opset_imports=opsets)
    onnx.helper.set_model_props(proto, metadata)
    return proto


class _Writer:
    """The nodes and initializers of a file that grows."""

    def __init__(self, onnx: Any, network: OnnxModule) -> None:
        self.onnx, self.network = onnx, network
        self.arrays: dict[str, Array] = {}
        state = dict(network._named_tensors())
        for name, key in network._sources.items():
            self.arrays[name] = state[key].data

    def input(self, source: Input) -> Any:
        """Return an input's type: the images' with any batch where they may have it, and with channels first."""
        lengths = None if source.shape is None else list(source.shape)
        is_first = source is self.network._graph.inputs[0]
        if lengths and is_first and self.network._batch is None and len(self.network._graph.inputs) == 1:
            lengths[0] = "batch"
        name = source.name
        if is_first and self.network._channels_first and lengths:
            name, lengths = f"{source.name}_channels_first", [lengths[0], lengths[-1], *lengths[1:-1]]
        return self.onnx.helper.make_tensor_value_info(name, source.dtype, lengths)

    def nodes(self, graph: Graph) -> list[Any]:
        """Return a graph's nodes; what they read that is constant becomes initializers."""
        result = []
        if graph is self.network._graph and self.network._channels_first:
            source = graph.inputs[0]
            perm = [0, *range(2, len(source.shape or ())), 1]
            result.append(self._make("Transpose", [f"{source.name}_channels_first"], [source.name], perm=perm))
        for node in graph.nodes:
            result += self._layer(node) if node.layer else [self._node(node)]
        needed = {name for node in graph.nodes for name in node.reads} | set(graph.outputs)
        self.arrays |= {name: numbers_of(v) for name, v in graph.constants.items() if name in needed}
        return result

    def _make(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
        return self.onnx.helper.make_node(op, inputs, outputs, **attributes)

    def _node(self, node: Node) -> Any:
        """Return a node as the file had it."""
        captured = len(node.arguments.get("captured", ()))
        inputs = node.inputs[: len(node.inputs) - captured] if captured else list(node.inputs)
        attributes = {k: self._attribute(v) for k, v in node.arguments.items() if k not in _NOT_WRITTEN}
        opset = self.network._opset
        if node.op == "QuantizeLinear" and opset < 21:
            attributes.pop("output_dtype", None)
        older = {"Pad": (11, "pads"), "Reshape": (5, "shape")}.get(node.op)
        if older is not None and opset < older[0] and len(inputs) > 1:  # a node that was made here
            constants = self.network._graph.constants
            attributes[older[1]] = integers(constants[inputs[1]])
            if node.op == "Pad":
                attributes["value"] = float(numbers_of(constants[inputs[2]]))
            inputs = inputs[:1]
        domain = "ai.onnx.ml" if node.op in _OF_ML else None
        result = self.onnx.helper.make_node(node.op, inputs, list(node.outputs), name=node.name, domain=domain)
        for name, value in attributes.items():
            result.attribute.append(self.onnx.helper.make_attribute(name, value))
        return result

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, Graph):
            return self._subgraph(value)
        if isinstance(value, Tensor | np.ndarray):
            return self.onnx.numpy_helper.from_array(np.asarray(numbers_of(value)))
        return value

    def _subgraph(self, graph: Graph) -> Any:
        helper = self.onnx.helper
        inputs = [helper.make_tensor_value_info(i.name, i.dtype, i.shape) for i in graph.inputs]
        outputs = [helper.make_value_info(name, self.onnx.TypeProto()) for name in graph.outputs]
        constants = [
            self.onnx.numpy_helper.from_array(np.asarray(numbers_of(v)), n) for n, v in graph.constants.items()
        ]
        nodes = [self._node(node) for node in graph.nodes]
        return helper.make_graph(nodes, "inner", inputs, outputs, constants)

    def _layer(self, node: Node) -> list[Any]:
        """Return the nodes of a layer, with its weights as they are now under the names of its state."""
        layer, prefix = self.network.layers[node.layer], self.network._prefixes[node.layer]
        if node.op == "Dropout":
            return [self._make("Identity", node.inputs[:1], node.outputs)]
        if node.op == "Gemm":
            return self._product(node, layer, prefix)
        names: tuple[str, ...] = ("weight", "bias") if node.op in ("Conv", "ConvTranspose") else ()
        if node.op == "BatchNormalization":
            names = ("weight", "bias", "running_mean", "running_var")
        weights = [
            self._weight(layer, prefix, name) for name in names if node.op == "BatchNormalization" or _has(layer, name)
        ]
        written = self._node(Node(node.op, node.label, node.name, [node.inputs[0]], node.outputs, node.arguments))
        written.input.extend(weights)
        return [written]

    def _product(self, node: Node, layer: Any, prefix: str) -> list[Any]:
        """A matrix product and a sum, which take inputs of any number of axes."""
        self.arrays[f"{prefix}weight"] = layer.weight.data.T
        inputs = [node.inputs[0], f"{prefix}weight"]
        if not _has(layer, "bias"):
            return [self._make("MatMul", inputs, node.outputs, name=node.name)]
        product = f"{node.outputs[0]}_without_bias"
        add = self._make("Add", [product, self._weight(layer, prefix, "bias")], node.outputs)
        return [self._make("MatMul", inputs, [product], name=node.name), add]

    def _weight(self, layer: Any, prefix: str, name: str) -> str:
        value = getattr(layer, name)
        if value is None:  # a normalisation without scale and bias
            value = (
                np.ones(layer.num_features, np.float32)
                if name == "weight"
                else np.zeros(layer.num_features, np.float32)
            )
        self.arrays[f"{prefix}{name}"] = numbers_of(value)
        return f"{prefix}{name}"


def _has(layer: Module, name: str) -> bool:
    return getattr(layer, name, None) is not None


_OF_ML = {"ArrayFeatureExtractor", "Binarizer", "LinearRegressor", "Normalizer", "Scaler"}
