"""A network as an ONNX file, for every runtime that reads one."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import abbreviated, array_shape, instance, require
from ..models import Network
from ..nn import Module
from ..storage.atomic import PathLike, atomic_writer
from .onnx.module import OnnxModule
from .onnx.write import model_of
from .onnx_fuse import Fusion
from .onnx_nodes import BUFFERS, Nodes, translate
from .trace import Value, trace, unused

OPSET = 17
"""The operator set of the files: the oldest with all nodes, so that most runtimes read them."""
IR_VERSION = 8
"""The version of the file format that belongs to it."""


def to_onnx(
    model: Module,
    path: PathLike,
    image_shape: tuple[int, ...] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the network, as it computes in evaluation mode, as an ONNX file.

    A copy of the network runs, and every op that it records becomes a node; the parameters and buffers that the ops
    read become initializers under their `state_dict` names. The input, ``input``, is ``(batch, *image_shape)`` with any
    batch; the result is called ``output``. ONNX's own checker checks the file, with full shape inference, before it is
    written.

    Args:
        model: the network; its float type is the file's (onnxruntime convolves float32 only).
        path: where to write; an existing file is replaced.
        image_shape: the shape of one image without the batch, such as (1, 28, 28); when None, a named network's own, or
            that of the file that the network was read from.
        metadata: texts to store in the file. A named network's settings are added as JSON, under ``model``.

    Raises:
        ValueError: an op that ONNX cannot express, which the message names, or a network that computes differently for
            different batches.
        ImportError: the extra ``onnx`` is missing.

    Source: the ONNX operator specification, https://onnx.ai/onnx/operators.
    """
    instance("to_onnx", "model", model, Module)
    texts = dict(metadata or {})
    if not all(isinstance(text, str) for entry in texts.items() for text in entry):
        raise TypeError(f"to_onnx: metadata must be texts under texts, got {abbreviated(metadata)}")
    if isinstance(model, Network):
        texts["model"] = json.dumps(model.settings())
    if isinstance(model, Network | OnnxModule) and image_shape is None and 0 not in model.image_shape:
        image_shape = model.image_shape
    if image_shape is None and not isinstance(model, OnnxModule):
        raise ValueError("to_onnx: image_shape is needed, the shape of one image such as (1, 28, 28)")
    shape = None if image_shape is None else array_shape("to_onnx", "image_shape", image_shape)
    proto = _retraced(model, shape, texts) if isinstance(model, OnnxModule) else _proto(model, shape or (), texts)
    with atomic_writer(path) as file:
        file.write(proto.SerializeToString())


def _retraced(network: OnnxModule, shape: tuple[int, ...] | None, metadata: dict[str, str]) -> Any:
    """Return the model of a network that was read: of its ops, or, where they cannot be exported, of its own nodes."""
    try:
        if shape is not None:
            return _proto(network, shape, metadata)
    except (TypeError, ValueError):  # several outputs, integers that depend on the input, a fixed batch
        pass
    return model_of(network, metadata)


def _proto(model: Module, shape: tuple[int, ...], metadata: dict[str, str]) -> Any:
    """Return the checked ONNX model."""
    onnx, traced = require("onnx", "onnx"), trace("to_onnx", model, shape)
    nodes = Nodes({*traced.state, *traced.constants, traced.input.name, *(op.result.name for op in traced.ops)})
    for key, array in traced.constants.items():
        nodes.constant(array, array.dtype, key)
    for op in traced.ops:
        translate(op, nodes)
    output = traced.output
    if output == traced.input:
        output = output._replace(name=nodes.add("Identity", [output.name], unused("output", nodes.taken)))
    listed = Fusion(nodes.list, [output.name]).run()
    made = {name for node in listed for name in node.output}
    graph = onnx.helper.make_graph(
        listed,
        "tinygrad_cnn",
        [_info(traced.input)],
        [_info(output)],
        initializer=[onnx.numpy_helper.from_array(np.array(a, order="C"), k) for k, a in traced.state.items()],
        value_info=[_info(op.result) for op in traced.ops if op.result != output and op.result.name in made],
    )
    proto = onnx.helper.make_model(
        graph, producer_name="tinygrad_cnn", ir_version=IR_VERSION, opset_imports=[onnx.helper.make_opsetid("", OPSET)]
    )
    onnx.helper.set_model_props(proto, {**metadata, BUFFERS: json.dumps(traced.buffers)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _info(value: Value) -> Any:
    """Return the array's type and lengths as ONNX has them; None is an unknown length there too."""
    helper = require("onnx", "onnx").helper
    return helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
