"""Tensors whose numbers are in files beside an ONNX file: read from its folder only."""

import math
import os
from collections.abc import Iterator
from typing import Any

from ...checks import require
from .values import UnsupportedError


def load_external(proto: Any, folder: str) -> None:
    """Put the numbers that are in other files into the model.

    Args:
        proto: the ModelProto.
        folder: the folder of its file. Nothing outside of it is read, also through a link, nor anything in the current
            folder.

    Raises:
        UnsupportedError: a tensor names another place, a file that is not there, or a part that the file does not have.
    """
    onnx = require("onnx", "onnx")
    root = os.path.realpath(folder)
    for tensor in tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        tensor.raw_data = _read(tensor, entries, root, _byte_count(onnx, tensor))
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def tensors(proto: Any) -> Iterator[Any]:
    """Iterate over all tensors of a model: initializers and attributes, also of the graphs and functions inside it."""
    stack = [proto.graph]
    for function in proto.functions:
        stack.extend(function.node)
    while stack:
        item = stack.pop()
        if hasattr(item, "initializer"):  # a graph
            yield from item.initializer
            for sparse in item.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            stack.extend(item.node)
            continue
        for attribute in item.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            stack.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])


def _byte_count(onnx: Any, tensor: Any) -> int:
    """Return how many bytes the numbers of a tensor take."""
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name in ("STRING", "UNDEFINED"):
        raise UnsupportedError(f"the tensor {tensor.name} holds texts in another file; numbers can be read")
    bits = int(name.removeprefix("U")[3:]) if name in ("INT4", "UINT4", "INT2", "UINT2") else 0
    bits = bits or (4 if name == "FLOAT4E2M1" else 6 if name.startswith("FLOAT6") else 0)
    bits = bits or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(math.prod(tensor.dims) * bits + 7) // 8


def _read(tensor: Any, entries: dict[str, str], root: str, count: int) -> bytes:
    """Return the bytes of a tensor, once its place is found to be inside the folder and its part inside the file."""
    location = entries.get("location", "")
    path = os.path.realpath(os.path.join(root, location))
    if not location or os.path.isabs(location) or os.path.commonpath([root, path]) != root or path == root:
        raise UnsupportedError(
            f"the tensor {tensor.name} is in {location!r}, which is not inside the folder of the file; copy it there"
        )
    if not os.path.isfile(path):
        raise UnsupportedError(f"the tensor {tensor.name} is in {location!r}, which is not beside the file")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or count)
    except ValueError:
        raise UnsupportedError(f"the tensor {tensor.name} names a part of {location!r} that is no number") from None
    if offset < 0 or length != count or offset + length > os.path.getsize(path):
        raise UnsupportedError(
            f"the tensor {tensor.name} needs {count} bytes, its part of {location!r} has {length} at {offset}, and the "
            f"file {os.path.getsize(path)}"
        )
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
