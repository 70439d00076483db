"""Small ONNX files, made node by node."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg

onnx = pytest.importorskip("onnx")
FILES = pathlib.Path(__file__).parent / "files" / "onnx"

Shape = Sequence[int | str | None]


def node(op: str, inputs: str, outputs: str = "y", name: str = "", **attributes: Any) -> Any:
    """A node; the names of its inputs and outputs are separated by spaces, ``-`` is one that is left out."""
    names = [["" if n == "-" else n for n in text.split()] for text in (inputs, outputs)]
    return onnx.helper.make_node(op, *names, name=name, **attributes)


def graph(
    nodes: Sequence[Any], inputs: Mapping[str, Any], outputs: Sequence[str], constants: Mapping[str, Any] | None = None
) -> Any:
    """A graph: the inputs are floats of a shape, or arrays as examples; the constants are its initializers."""
    infos = [_info(name, value) for name, value in inputs.items()]
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    stored = [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    return onnx.helper.make_graph(list(nodes), "test", infos, results, stored)


def _info(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        return onnx.helper.make_tensor_value_info(name, kind, list(value.shape))
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value)


def model(
    nodes: Sequence[Any], inputs: Mapping[str, Any], outputs: Sequence[str] = ("y",),
    constants: Mapping[str, Any] | None = None, opset: int = 17,
) -> Any:  # fmt: skip
    """A model of one graph."""
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph(nodes, inputs, outputs, constants), opset_imports=opsets, ir_version=9)


def write(path: pathlib.Path, *args: Any, **named: Any) -> pathlib.Path:
    """Write a `model`, and return its path."""
    path.write_bytes(model(*args, **named).SerializeToString())
    return path


def read(folder: pathlib.Path, *args: Any, **named: Any) -> Any:
    """Return the network of a `model`."""
    return tg.from_onnx(write(folder / "net.onnx", *args, **named))


def compute(folder: pathlib.Path, nodes: Sequence[Any], arrays: Mapping[str, Any], **named: Any) -> Any:
    """Run nodes on arrays, given as inputs, and return the array of the output ``y``."""
    inputs = {name: np.asarray(a) for name, a in arrays.items()}
    with tg.no_grad():
        return read(folder, nodes, inputs, **named)(*inputs.values()).data


def in_onnxruntime(path: pathlib.Path, *inputs: Any) -> list[Any]:
    """Return what ONNX Runtime makes of a file."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))  # type: ignore[no-any-return]
