"""A network as an ONNX file, for every runtime that reads one."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import checks
from ..checks import abbreviated, instance, require
from ..models import Network
from ..nn import Module
from ..storage.atomic import PathLike, atomic_writer
from .onnx_nodes import Nodes, translate
from .trace import Trace, Value, trace, unused

OPSET = 17
"""The operator set that files are written in: the oldest with all that is needed, so that most runtimes read them."""
IR_VERSION = 8
"""The file format that came with it."""
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

    The network is run (a copy of it, so that it stays as it is), and every op that it used becomes a node; parameters
    and buffers become initializers under their `state_dict` names, as far as they were used. The input, ``input``, is
    ``(batch, *image_shape)`` with any batch; the result is called ``output``. The file is checked by ONNX's own
    checker, with full shape inference, before it is written.

    Args:
        model: the network; its float type is the file's (onnxruntime convolves float32 only).
        path: where to write; an existing file is replaced.
        image_shape: the shape of one image without the batch, such as (1, 28, 28); a named network knows it.
        metadata: texts that the file shall carry. A named network's settings are added as JSON, under ``model``.

    Raises ValueError, which names it, for an op that ONNX cannot express, or when the network computes differently for
    different batches; ImportError without the extra ``onnx``.

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
    if not isinstance(image_shape, tuple | list):
        raise TypeError(f"to_onnx: image_shape must be a tuple such as (1, 28, 28), got {abbreviated(image_shape)}")
    shape = tuple(checks.integer("to_onnx", "each of image_shape", n, 1) for n in image_shape)
    proto = _proto(trace("to_onnx", model, shape), texts)
    with atomic_writer(path) as file:
        file.write(proto.SerializeToString())


def _proto(traced: Trace, metadata: dict[str, str]) -> Any:
    """The checked ONNX model."""
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
    """The array's type and lengths: None, unknown to ONNX too, where one changes with the batch."""
    helper = require("onnx", "onnx").helper
    return helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
