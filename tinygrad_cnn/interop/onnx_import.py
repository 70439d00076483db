"""An ONNX file that `to_onnx` wrote, as a network again: the same ops, with parameters that can be trained."""

import inspect
import json
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..autograd.tensor import Tensor
from ..checks import require
from ..nn import Buffer, Module, Parameter
from ..storage.atomic import CheckpointError, PathLike, check_regular_file
from .onnx_export import BUFFERS
from .onnx_read import READERS

OPSETS = range(13, 26)
"""The operator sets in which the supported nodes mean the same; below 13 softmax and the reductions differ."""


def from_onnx(path: PathLike) -> "OnnxModule":
    """Return the network of a file that `to_onnx` wrote.

    Files of other programs can be read if they use no other nodes and attributes than `to_onnx`, in one of the operator
    sets 13 to 25.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or has a node or an operator set that is not supported,
            which the message names.
        ImportError: the extra ``onnx`` is missing.
    """
    onnx = require("onnx", "onnx")
    with open(check_regular_file(path), "rb") as file:
        content = file.read()
    try:
        proto = onnx.load_model_from_string(content)
        onnx.checker.check_model(proto, full_check=True)
        _check_opsets(proto)
        return OnnxModule(proto)
    except Exception as error:  # protobuf's and the checker's errors have no common class
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: is not an ONNX file that can be read, or is damaged ({reason})") from None


def _check_opsets(proto: Any) -> None:
    """ValueError for an operator set in which a node may mean something else."""
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in OPSETS:
            raise ValueError(f"its operator set is {opset.version}; {OPSETS[0]} to {OPSETS[-1]} can be read")


class OnnxModule(Module):
    """A network read from an ONNX file: its nodes, computed one after another.

    Parameters and buffers keep their names, so that the original's `state_dict` fits. The nodes are those of evaluation
    mode: there is no dropout, and batch normalisation uses its running statistics, also in training.

    Attributes:
        image_shape: the shape of one image, without the batch.
        metadata: the texts that the file stores.
    """

    def __init__(self, proto: Any) -> None:
        helper = require("onnx", "onnx")
        self.metadata = {entry.key: entry.value for entry in proto.metadata_props}
        buffers = set(json.loads(self.metadata.pop(BUFFERS, "[]")))
        (self._input,), (self._output,) = ([v.name for v in vs] for vs in (_inputs(proto.graph), proto.graph.output))
        (shape,) = (v.type.tensor_type.shape.dim for v in _inputs(proto.graph))
        self.image_shape = tuple(d.dim_value for d in shape[1:])
        self._constants: dict[str, Tensor | NDArray[Any]] = {}
        self._steps: list[_Step] = []
        for tensor in proto.graph.initializer:
            self._add_initializer(tensor.name, helper.numpy_helper.to_array(tensor), tensor.name in buffers)
        for node in proto.graph.node:
            if node.op_type == "Constant":
                (value,) = (helper.numpy_helper.to_array(a.t) for a in node.attribute)
                self._constants[node.output[0]] = Tensor(value) if value.dtype.kind == "f" else value
            else:
                self._steps.append(_step(node))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network's result for images (N, *image_shape)."""
        values: dict[str, Any] = {**dict(self._named_tensors()), **self._constants, self._input: x, "": None}
        for step in self._steps:
            values[step.result] = READERS[step.op](*(values[name] for name in step.inputs), **step.attributes)
        return values[self._output]  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The number of nodes, and the images' shape."""
        return f"{len(self._steps)} nodes, image_shape={self.image_shape}"

    def _add_initializer(self, name: str, array: NDArray[Any], is_buffer: bool) -> None:
        """Add a parameter or buffer under its dotted name. Integers are constants."""
        if array.dtype.kind != "f":
            self._constants[name] = array
            return
        *path, last = name.split(".")
        module: Module = self
        for part in path:
            if not isinstance(vars(module).get(part), Module):
                _add(module, part, Module())
            module = getattr(module, part)
        _add(module, last, Buffer(array) if is_buffer else Parameter(array))


def _add(module: Module, name: str, value: Tensor | Module) -> None:
    if hasattr(module, name):
        raise ValueError(f"an initializer cannot be called {name}: a module has that already")
    setattr(module, name, value)


class _Step(NamedTuple):
    """One node, ready to be computed."""

    op: str
    inputs: list[str]
    result: str
    attributes: dict[str, Any]


def _step(node: Any) -> _Step:
    """Return the step of a node. ValueError if it is not supported."""
    if node.op_type not in READERS or node.domain or len(node.output) != 1:
        raise ValueError(f"the node {node.op_type} is not supported")
    value = require("onnx", "onnx").helper.get_attribute_value
    attributes = {a.name: value(a) for a in node.attribute}
    try:
        inspect.signature(READERS[node.op_type]).bind(*node.input, **attributes)
    except TypeError as error:
        raise ValueError(f"the node {node.op_type} is not written as to_onnx writes it: {error}") from None
    return _Step(node.op_type, list(node.input), node.output[0], attributes)


def _inputs(graph: Any) -> list[Any]:
    """Return the inputs that are not initializers: older files list those too."""
    initial = {t.name for t in graph.initializer}
    return [v for v in graph.input if v.name not in initial]
