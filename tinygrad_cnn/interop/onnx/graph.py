"""An ONNX graph as data: its nodes in the order of their computation, and its constants."""

import copy
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ...autograd.modes import no_grad
from ...checks import require
from ...nn import Module
from .registry import READERS, bind
from .values import (
    TooLargeError,
    UnsupportedError,
    Value,
    check_size,
    small_results,
    to_value,
)

Length = int | str | None
"""The length of an axis: a number, the name of an unknown one, or None."""

_SAME_NUMBERS = "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"
_NOT_FOLDED = {"Conv", "ConvTranspose", "Einsum", "Attention", "GridSample", "Loop", "Scan"}  # as much work as a layer


class Input(NamedTuple):
    """An input of a graph: its name, its data type by ONNX's number, and its lengths, None if their number is open."""

    name: str
    dtype: int
    shape: tuple[Length, ...] | None


@dataclass
class Node:
    """One node.

    Attributes:
        op: the operator.
        label: what messages call the node.
        name: its own name in the file, which may be empty.
        inputs, outputs: the names of its values, "" for one that is left out.
        arguments: the keyword arguments of its reader.
        layer: the name of the layer that computes it, instead of the operator's reader, from its first input.
    """

    op: str
    label: str
    name: str
    inputs: list[str]
    outputs: list[str]
    arguments: dict[str, Any] = field(default_factory=dict)
    layer: str = ""

    @property
    def reads(self) -> list[str]:
        """The names of the values that it is computed from."""
        return self.inputs[:1] if self.layer else self.inputs

    def compute(self, values: Mapping[str, Value], layers: Mapping[str, Module]) -> tuple[Value, ...]:
        """Return the node's results. ValueError, which names it, if its inputs do not fit."""
        inputs = [values[name] if name else None for name in self.reads]
        try:
            check_size((_result_size(self.op, [v for v in inputs if v is not None]),))
            if self.layer:
                return (layers[self.layer](*inputs),)
            results = READERS[self.op].compute(*inputs, **self.arguments)
        except UnsupportedError as error:
            raise UnsupportedError(self._message(error)) from None
        except TooLargeError as error:
            raise TooLargeError(self._message(error)) from None
        except (ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError, OverflowError, KeyError) as error:
            raise ValueError(self._message(error)) from error
        return results if isinstance(results, tuple) else (results,)

    def _message(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        return text if text.startswith(self.label) else f"{self.label}: {text}"


@dataclass
class Graph:
    """A graph: values by name flow through its nodes.

    Attributes:
        inputs: those that are not constant.
        outputs: the names of its results.
        nodes: sorted, so that each comes after those that it needs.
        constants: what does not depend on the inputs.
        initializers: the names of the constants that the file stores as such, or that are made from those.
        origins: the initializer whose numbers a constant has in another order or shape.
    """

    inputs: list[Input]
    outputs: list[str]
    nodes: list[Node]
    constants: dict[str, Value]
    initializers: set[str]
    origins: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        values: Mapping[str, Value],
        layers: Mapping[str, Module] | None = None,
        observe: Callable[[str, Value], None] | None = None,
    ) -> list[Value]:
        """Return the outputs for values of the inputs; ``observe`` is called with every result and its name.

        A result is dropped after its last use.
        """
        current: dict[str, Value] = {**self.constants, **values}
        uses = self.consumers()
        for node in self.nodes:
            for name, value in zip(node.outputs, node.compute(current, layers or {}), strict=False):
                if name:
                    current[name] = value
                    if observe:
                        observe(name, value)
            for name in node.reads:
                uses[name] -= 1
                if not uses[name]:
                    current.pop(name, None)
        return [current[name] for name in self.outputs]

    def copy(self) -> "Graph":
        """Return a copy whose nodes can be changed; the constants are the same."""
        nodes = [
            replace(n, inputs=list(n.inputs), outputs=list(n.outputs), arguments=dict(n.arguments)) for n in self.nodes
        ]
        return Graph(
            list(self.inputs), list(self.outputs), nodes, dict(self.constants), set(self.initializers), self.origins
        )

    def consumers(self) -> Counter[str]:
        """Return how many nodes and outputs use each value."""
        uses = Counter(name for node in self.nodes for name in node.reads)
        uses.update(self.outputs)
        return uses

    def prune(self) -> None:
        """Drop the nodes and constants that no output needs."""
        needed, nodes = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                nodes.append(node)
                needed.update(node.reads)
        self.nodes = nodes[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def fold(self, trained: Iterable[str] = ()) -> None:
        """Compute the nodes whose inputs are constant, unless their results are large; the others stay nodes.

        ``trained`` are constants that will be parameters: what is computed from them changes.
        """
        nodes: list[Node] = []
        fixed = set(trained)
        for node in self.nodes:
            inputs = [self.constants[n] for n in node.inputs if n in self.constants and n not in fixed]
            known = len(inputs) == sum(map(bool, node.inputs))
            foldable = not (node.layer or READERS[node.op].random or node.op in _NOT_FOLDED)
            if not known or not foldable:
                nodes.append(node)
                continue
            try:
                with no_grad(), small_results():
                    results = node.compute(self.constants, {})
            except TooLargeError:
                nodes.append(node)
                continue
            stored = any(name in self.initializers for name in node.inputs)
            for name, value in zip(node.outputs, results, strict=False):
                self.constants[name] = value
                if stored:
                    self.initializers.add(name)
                if node.op in _SAME_NUMBERS:
                    self.origins[name] = self.origins.get(node.inputs[0], node.inputs[0])
        self.nodes = nodes


def _result_size(op: str, inputs: Sequence[Value]) -> int:
    """Return the size of a node's result where it can be larger than the inputs together; otherwise theirs."""
    shapes = [v.shape for v in inputs]
    if op in ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul") and len(inputs) > 1:
        a, b = shapes[0], shapes[3 if op == "QLinearMatMul" else 1]
        if len(a) > 1 and len(b) > 1:
            lead = np.broadcast_shapes(a[:-2], b[:-2]) if _fit(a[:-2], b[:-2]) else ()
            return math.prod(lead) * max(a[-2:]) * max(b[-2:])
    if op in ("Gather", "GatherND", "ArrayFeatureExtractor") and len(inputs) > 1:
        shortest = min((n for n in shapes[0] if n), default=1)
        return inputs[0].size // max(shortest, 1) * (inputs[1].size + 1)
    if len(shapes) > 1 and _fit(*shapes):
        return math.prod(np.broadcast_shapes(*shapes))
    return sum(v.size for v in inputs)


def _fit(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def read_graph(proto: Any, opset: int, outer: Iterable[str] = (), prefix: str = "") -> Graph:
    """Return a graph of a file.

    Args:
        proto: its GraphProto.
        opset: the version of its operator set.
        outer: the names of the values around a graph that is the attribute of a node.
        prefix: what the labels of its nodes begin with.

    Raises:
        UnsupportedError: a node or a value cannot be read, which the message names.
    """
    onnx = require("onnx", "onnx")
    constants: dict[str, Value] = {}
    for tensor in proto.initializer:
        constants[tensor.name] = to_value(onnx.numpy_helper.to_array(tensor), f"the initializer {tensor.name}")
    for sparse in proto.sparse_initializer:
        constants[sparse.values.name] = dense(sparse)
    stored = set(constants)
    inputs = [_input(v) for v in proto.input if v.name not in stored]
    nodes, types = [], _types(proto)
    for k, node in enumerate(proto.node):
        label = f"{prefix}node {node.name or k} ({node.op_type})"
        _check_node(node, label)
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node, label)
        else:
            nodes.append(_node(node, label, opset, {*outer, *(v.name for v in proto.input), *constants}, proto, types))
    made = [name for node in nodes for name in node.outputs if name]
    names = [*made, *constants, *(i.name for i in inputs)]
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise UnsupportedError(f"two values are called {twice}")
    known = {*constants, *(i.name for i in inputs), *outer}
    graph = Graph(inputs, [v.name for v in proto.output], _sorted(nodes, known), constants, stored)
    for name in graph.outputs:
        if name not in names and name not in known:
            raise UnsupportedError(f"the output {name} is not computed by any node")
    return graph


def _input(value: Any) -> Input:
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", None):
        raise UnsupportedError(
            f"the input {value.name} is a {kind.removesuffix('_type').replace('_', ' ')}, not a tensor"
        )
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Input(value.name, tensor.elem_type, None)
    lengths = tuple(d.dim_value if d.dim_value > 0 else d.dim_param or None for d in tensor.shape.dim)
    return Input(value.name, tensor.elem_type, lengths)


def _check_node(node: Any, label: str) -> None:
    """UnsupportedError unless there is a reader for the node and for those of its outputs that have a name."""
    if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
        raise UnsupportedError(f"{label}: is of the domain {node.domain}, which is not supported")
    if node.op_type == "Constant":
        return
    if node.op_type not in READERS:
        raise UnsupportedError(f"{label}: is not supported")
    count = READERS[node.op_type].outputs
    if count is not None and any(node.output[count:]):
        raise UnsupportedError(f"{label}: its output {next(filter(None, node.output[count:]))} is not supported")


def _types(proto: Any) -> dict[str, int]:
    """Return the data types that a graph tells of its values."""
    declared = {v.name: v.type.tensor_type.elem_type for v in (*proto.input, *proto.output, *proto.value_info)}
    return declared | {t.name: t.data_type for t in proto.initializer}


def _node(proto: Any, label: str, opset: int, outer: set[str], parent: Any, types: dict[str, int]) -> Node:
    onnx = require("onnx", "onnx")
    attributes, inputs = {}, list(proto.input)
    graphs = {a.name: a.g for a in proto.attribute if a.type == onnx.AttributeProto.GRAPH}
    for a in proto.attribute:
        if a.name in graphs:
            continue
        attributes[a.name] = _attribute(onnx, a, label)
    if graphs:
        available = outer | {name for n in parent.node for name in n.output}
        read = {name: read_graph(g, opset, available, f"{label}: ") for name, g in graphs.items()}
        captured = sorted({name for g in read.values() for name in _free(g)})
        attributes |= {**read, "captured": captured}
        inputs += captured
    outputs = len(proto.output)
    while outputs > 1 and not proto.output[outputs - 1]:
        outputs -= 1
    if proto.op_type == "CastLike" and types.get(inputs[1]):  # smaller floats than float32 are not seen in a value
        arguments = bind("Cast", label, 1, {**attributes, "to": types[inputs[1]]}, opset, 1)
        return Node("Cast", label, proto.name, inputs[:1], list(proto.output), arguments)
    if proto.op_type == "QuantizeLinear" and len(inputs) > 2 and types.get(inputs[2]):
        attributes["output_dtype"] = types[inputs[2]]
    arguments = bind(proto.op_type, label, len(inputs), attributes, opset, outputs)
    return Node(proto.op_type, label, proto.name, inputs, list(proto.output), arguments)


def _free(graph: Graph) -> set[str]:
    """Return the names that a graph uses from around it."""
    own = {*graph.constants, *(i.name for i in graph.inputs), *(o for n in graph.nodes for o in n.outputs)}
    used = {name for n in graph.nodes for name in n.inputs if name} | set(graph.outputs)
    return used - own


def _attribute(onnx: Any, attribute: Any, label: str) -> Any:
    """Return an attribute's value: texts as str, tensors as values. UnsupportedError for one of another kind."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return to_value(onnx.numpy_helper.to_array(value), f"{label}: {attribute.name}")
    if isinstance(value, onnx.SparseTensorProto):
        return dense(value)
    if isinstance(value, int | float):
        return value
    items = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
    if not all(isinstance(v, str | int | float) for v in items):
        raise UnsupportedError(f"{label}: its attribute {attribute.name} is not supported")
    return items


def _constant(node: Any, label: str) -> Value:
    """Return the value of a Constant node, which has one of eight forms."""
    onnx = require("onnx", "onnx")
    (attribute,) = node.attribute
    value = _attribute(onnx, attribute, label)
    if attribute.name in ("value", "sparse_value"):
        return copy.copy(value)  # type: ignore[no-any-return]
    if attribute.name in ("value_float", "value_floats"):
        return to_value(np.asarray(value, np.float32))
    if attribute.name in ("value_int", "value_ints"):
        return to_value(np.asarray(value, np.int64))
    raise UnsupportedError(f"{label}: its attribute {attribute.name} is not supported")


def dense(sparse: Any) -> Value:
    """Return a sparse tensor of a file with its zeros."""
    onnx = require("onnx", "onnx")
    values, places = onnx.numpy_helper.to_array(sparse.values), onnx.numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    with small_results():
        check_size(shape)
    array = np.zeros(math.prod(shape), values.dtype)
    array[places if places.ndim == 1 else np.ravel_multi_index(tuple(places.T), shape)] = values
    return to_value(array.reshape(shape))


def _sorted(nodes: list[Node], known: set[str]) -> list[Node]:
    """Return the nodes in the order of their computation; where several can be next, the first of the file."""
    producer = {name: k for k, node in enumerate(nodes) for name in node.outputs if name}
    followers: list[list[int]] = [[] for _ in nodes]
    waiting = []
    for k, node in enumerate(nodes):
        needs = {name for name in node.inputs if name and name not in known}
        for name in needs:
            if name not in producer:
                raise UnsupportedError(f"{node.label}: its input {name} is never computed")
            followers[producer[name]].append(k)
        waiting.append(len(needs))
    ready, order = [k for k, count in enumerate(waiting) if not count], []
    while ready:
        k = heapq.heappop(ready)
        order.append(nodes[k])
        for follower in followers[k]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, follower)
    if len(order) < len(nodes):
        node = next(node for k, node in enumerate(nodes) if waiting[k])
        raise UnsupportedError(f"{node.label}: is computed from its own result")
    return order
