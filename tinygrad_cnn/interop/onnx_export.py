"""A network as an ONNX file, for every runtime that reads one."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import abbreviated, array_shape, instance, require
from ..models import Network
from ..nn import Module
from ..storage.atomic import PathLike, atomic_writer
from .onnx_nodes import Nodes, translate
from .trace import Trace, Value, trace, unused

OPSET = 17
"""The operator set of the files: the oldest with all nodes, so that most runtimes read them."""
IR_VERSION = 8
"""The version of the file format that belongs to it."""
BUFFERS = "buffers"
"""The metadata key under which a file lists, as JSON, which of its initializers no optimizer changes."""


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
        image_shape: the shape of one image without the batch, such as (1, 28, 28); a named network's own when None.
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
        image_shape = image_shape or model.image_shape
        texts["model"] = json.dumps(model.settings())
    if image_shape is None:
        raise ValueError("to_onnx: image_shape is needed, the shape of one image such as (1, 28, 28)")
    proto = _proto(trace("to_onnx", model, array_shape("to_onnx", "image_shape", image_shape)), texts)
    with atomic_writer(path) as file:
        file.write(proto.SerializeToString())


def _proto(traced: Trace, metadata: dict[str, str]) -> Any:
    """Return the checked ONNX model."""
    onnx = require("onnx", "onnx")
    nodes = Nodes({*traced.state, *traced.constants, traced.input.name, *(op.result.name for op in traced.ops)})
    for key, array in traced.constants.items():
        nodes.constant(array, array.dtype, key)
    for op in traced.ops:
        translate(op, nodes)
    output = traced.output
    if output == traced.input:
        output = output._replace(name=nodes.add("Identity", [output.name], unused("output", nodes.taken)))
    graph = onnx.helper.make_graph(
        nodes.list,
        "tinygrad_cnn",
        [_info(traced.input)],
        [_info(output)],
        initializer=[onnx.numpy_helper.from_array(np.array(a, order="C"), k) for k, a in traced.state.items()],
        value_info=[_info(op.result) for op in traced.ops if op.result != output],
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
