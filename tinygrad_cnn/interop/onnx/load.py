"""Read an ONNX file as a network."""

import json
import os
from typing import Any

from ...checks import abbreviated, array_shape, flag, require
from ...storage.atomic import CheckpointError, PathLike, check_regular_file
from ..onnx_nodes import BUFFERS
from . import readers as readers  # registers them
from .batch import try_out
from .external import load_external
from .graph import Graph, read_graph
from .joins import join_weights, split_borders
from .layers import Layers
from .module import OnnxModule
from .simplify import simplify
from .values import UnsupportedError

NEWEST_OPSET = 28
"""The operator set up to which the nodes were compared with their definitions; newer ones are read where a node's is
not newer."""


def from_onnx(
    path: PathLike,
    *,
    output: str | None = None,
    image_shape: tuple[int, ...] | None = None,
    channels_first: bool = False,
) -> OnnxModule:
    """Return the network of an ONNX file, in evaluation mode, ready to be used, trained and exported again.

    Nodes that are a layer become that layer; the others are computed with this library's ops, so that gradients pass
    through them; constants are computed once. Weights and biases of layers are parameters, other floats are buffers,
    integers and what is computed from them stay integers. A file that was written for one size of the batch takes any
    where that gives the same results, which is tried; where it does not, images are computed part by part.

    Everything that cannot be read is refused here, by its name. Numbers that the file keeps in other files are read
    from its own folder only.

    Args:
        path: a file of operator set 1 or newer; it is opened, not executed.
        output: the name of the output to compute; all of them, as a tuple where there are several, when None.
        image_shape: the shape of one image where the file leaves it open.
        channels_first: True for a file whose images are (rows, columns, channels), as TensorFlow's are, to take them as
            (channels, rows, columns).

    Raises:
        CheckpointError: the file cannot be read, is no ONNX file, or has a node, an attribute or a value that is not
            supported, which the message names.
        ImportError: the extra ``onnx`` is missing.

    Source: the ONNX operator specification, https://onnx.ai/onnx/operators.
    """
    require("onnx", "onnx")
    channels_first = flag("from_onnx", "channels_first", channels_first)
    shape = None if image_shape is None else array_shape("from_onnx", "image_shape", image_shape)
    name = check_regular_file(path)
    with open(name, "rb") as file:
        content = file.read()
    proto = _parsed(path, content)
    try:
        load_external(proto, os.path.dirname(os.path.abspath(name)))
        return _network(proto, output, shape, channels_first)
    except UnsupportedError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None
    except Exception as error:  # of protobuf and NumPy, of every kind, where a file is damaged
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if not reason.startswith("node ") and (damage := _damage(proto)):
            raise CheckpointError(f"{path}: is damaged ({damage})") from None
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error


def _parsed(path: PathLike, content: bytes) -> Any:
    """Return the ModelProto. CheckpointError for what is none."""
    onnx = require("onnx", "onnx")
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors have no public class
        raise CheckpointError(
            f"{path}: is not an ONNX file, or is damaged ({str(error).partition(chr(10))[0]})"
        ) from None
    if not proto.graph.output:
        raise CheckpointError(f"{path}: is not an ONNX file, or is damaged (it has no graph with an output)")
    return proto


def _damage(proto: Any) -> str:
    """Return what ONNX's checker finds wrong with a model that could not be read, "" if nothing."""
    try:
        require("onnx", "onnx").checker.check_model(proto)
    except Exception as error:
        return str(error).strip().partition("\n")[0][:300]
    return ""


def _network(proto: Any, output: str | None, shape: tuple[int, ...] | None, channels_first: bool) -> OnnxModule:
    onnx = require("onnx", "onnx")
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    opset = _opset(proto)
    graph, types = read_graph(proto.graph, opset), {v.name: v.type.tensor_type.elem_type for v in proto.graph.output}
    if output is not None and output not in graph.outputs:
        names = ", ".join(graph.outputs)
        raise UnsupportedError(f"output must be one of {names}, got {abbreviated(output)}")
    _set_image_shape(graph, shape)
    if channels_first and (not graph.inputs or len(graph.inputs[0].shape or ()) < 3):
        raise UnsupportedError("channels_first=True is for images with an axis for their channels")
    graph.prune()
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    buffers = _buffers(metadata.pop(BUFFERS, None))
    trained = () if buffers is None else graph.initializers.difference(buffers)
    graph.fold(trained)
    graph.prune()
    trial = try_out(graph)
    for simple in (buffers is None, False):  # the files of to_onnx are simple already
        graph = trial.graph.copy()
        if simple:
            simplify(graph, trial.dtypes)
            graph.fold(trained)
        join_weights(graph, ours=buffers is not None)
        if simple:
            simplify(graph, trial.dtypes)
            split_borders(graph, trial.shapes_of(graph))
        layers = Layers(graph, trial.shapes_of(graph), buffers)
        network = OnnxModule(
            graph,
            layers,
            metadata=metadata,
            free_batch=trial.free,
            channels_first=channels_first,
            output=output,
            opset=opset,
            output_types=types,
        ).eval()
        state = {name: layers.tensors[key] for name, key in layers.sources.items()}
        if trial.agrees(graph, layers.modules, state):
            break
    return network


def _buffers(text: str | None) -> list[str] | None:
    """Return the names that `to_onnx` lists of what is no parameter; None for another program's file."""
    if text is None:
        return None
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnsupportedError(f"the metadata {BUFFERS} must be a list of names, got {abbreviated(names)}")
    return names


def _set_image_shape(graph: Graph, shape: tuple[int, ...] | None) -> None:
    """Give the first input the lengths that its file leaves open. UnsupportedError where it has others."""
    if shape is None or not graph.inputs:
        return
    first = graph.inputs[0]
    declared = first.shape if first.shape is not None else (None,) * (1 + len(shape))
    fits = len(declared) == 1 + len(shape) and all(
        not isinstance(n, int) or n == m for n, m in zip(declared[1:], shape, strict=True)
    )
    if not fits:
        raise UnsupportedError(f"image_shape {shape} is not that of the input {first.name}, {declared[1:]}")
    graph.inputs[0] = first._replace(shape=(declared[0], *shape))


def _opset(proto: Any) -> int:
    """Return the version of the operator set. UnsupportedError if a node may mean something unknown in it."""
    onnx = require("onnx", "onnx")
    versions = {o.domain: o.version for o in proto.opset_import}
    version = versions.get("", versions.get("ai.onnx", 1 if proto.ir_version < 3 else None))
    if version is None:
        if any(node.domain in ("", "ai.onnx") for node in proto.graph.node):
            raise UnsupportedError("it does not say its operator set")
        return NEWEST_OPSET
    if version < 1:
        raise UnsupportedError(f"its operator set is {version}; the first is 1")
    if version <= NEWEST_OPSET:
        return int(version)
    newest = onnx.defs.onnx_opset_version()
    if version > newest:
        raise UnsupportedError(f"its operator set is {version}; those up to {max(newest, NEWEST_OPSET)} can be read")
    for node in proto.graph.node:
        if onnx.defs.get_schema(node.op_type, version).since_version > NEWEST_OPSET:
            raise UnsupportedError(f"the node {node.op_type} is of operator set {version}, which is not known")
    return int(version)
