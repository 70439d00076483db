"""Output shapes, parameters and multiply-adds of a model's layers, found by running it once on an image of zeros."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import checks
from ..autograd.modes import enable_grad, no_grad
from ..autograd.tensor import Tensor
from ..kernels.geometry import ConvParams, map_shape, spatial
from ..nn import Module

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSummary:
    """One call of one layer on one image.

    Attributes:
        name: the layer's dotted name in the model.
        layer: its class and settings.
        output_shape: the shape of its result, without the batch axis.
        parameters: how many numbers it learns, without those of earlier rows.
        multiply_adds: those of filters and matrices; biases, pooling and activations are left out, as is usual.
    """

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    multiply_adds: int


def summarize(model: Module, image_shape: Shape) -> list[LayerSummary]:
    """Return a row for each call of a layer, in order, for one image of shape (C, H, W).

    A copy of the model runs once, in evaluation mode. The layers are the modules without submodules. A module with
    submodules has a row too, after theirs, for the parameters and matrix products that their rows do not count.

    Raises:
        ValueError: a layer does not fit its input; the message names both.
    """
    recorder = _Recorder(model)
    with enable_grad():  # what is counted are the recorded ops
        recorder.run(checks.array_shape("summarize", "image_shape", image_shape))
    return recorder.rows


def output_shape(layer: Module, shape: Shape) -> Shape:
    """Return the shape of a layer's output for one image of this shape, both without the batch axis.

    Raises:
        ValueError: the layer does not fit such an image; the message names both.

    >>> import tinygrad_cnn as tg
    >>> output_shape(tg.nn.ConvTranspose2d(1, 3, 2, stride=2), (1, 9, 9))
    (3, 18, 18)
    """
    with no_grad():
        return _Recorder(layer).run(shape)


class _Recorder:
    """A copy of a model in evaluation mode that adds to ``rows`` while it runs."""

    def __init__(self, model: Module) -> None:
        self.rows: list[LayerSummary] = []
        self._model = copy.deepcopy(model).eval()
        self._multiply_adds = [0]  # of each running module without its submodules, the innermost last
        self._counted_ops: dict[int, Tensor] = {}  # results by id, referenced so that ids stay unique
        self._counted_parameters: set[int] = set()  # by id
        for name, module in list(self._model.named_modules()):
            if hasattr(module, "forward"):  # others only hold parameters
                module.forward = partial(self._forward, name, module, module.forward)

    def run(self, shape: Shape) -> Shape:
        """Run the model on an image of zeros; return the shape of its output, without the batch axis."""
        dtype = next((p.dtype for p in self._model.parameters()), np.float32)
        return _output_shape(self._model(Tensor(np.zeros((1, *shape)), dtype=dtype, requires_grad=True)))

    def _forward(self, name: str, module: Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a module's own ``forward``, and add its row."""
        is_layer = not any(module.children())
        self._count_ops([args, kwargs])  # ops of the caller, since the last call of a module
        self._multiply_adds.append(0)
        try:
            result = forward(*args, **kwargs)
        except ValueError as error:
            if not is_layer:
                raise
            raise _misfit(module, [args, kwargs], error) from error
        self._count_ops(result)
        multiply_adds = self._multiply_adds.pop()
        parameters = {id(p): p.size for p in module.parameters() if id(p) not in self._counted_parameters}
        self._counted_parameters |= parameters.keys()
        if is_layer or parameters or multiply_adds:
            layer = f"{type(module).__name__}({module.extra_repr()})"
            row = LayerSummary(name, layer, _output_shape(result), sum(parameters.values()), multiply_adds)
            self.rows.append(row)
        return result

    def _count_ops(self, value: Any) -> None:
        """Add the multiply-adds of the ops behind these tensors, each op once, to the innermost module."""
        stack = _tensors(value)
        while stack:
            t = stack.pop()
            if t.node is not None and id(t) not in self._counted_ops:
                self._counted_ops[id(t)] = t
                self._multiply_adds[-1] += _multiply_adds(t)
                stack.extend(t.node.inputs)


def _multiply_adds(result: Tensor) -> int:
    """Return the number of multiply-adds of the op behind a tensor, those with a border of zeros included."""
    node = result.node
    if node is None or node.kind not in ("linear", "sliding"):
        return 0
    x: Tensor = node.inputs[0]
    w: Tensor = node.inputs[1]
    if node.kind == "linear":
        return result.size * x.shape[-1]
    params = ConvParams(*(node.params[field] for field in ConvParams._fields))
    slides_over_x = map_shape(spatial(x.shape), spatial(w.shape), params) == spatial(result.shape)
    positions = spatial(result.shape if slides_over_x else x.shape)  # else x is the map, and the result the image
    return len(x) * math.prod(positions) * w.size


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors of an argument or a result: itself, or inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [t for item in items for t in _tensors(item)]


def _output_shape(result: Any) -> Shape:
    """Return the shape of a result, of the first tensor where there are several, without the batch axis."""
    tensors = _tensors(result)
    if not tensors:
        raise TypeError(f"summarize: a layer must return a Tensor, got {checks.abbreviated(result)}")
    return tensors[0].shape[1:]


def _misfit(layer: Module, arguments: Any, error: ValueError) -> ValueError:
    """Return the error for a layer that does not fit its input, the first tensor among the arguments."""
    shape = next((t.shape[1:] for t in _tensors(arguments)), ())
    size = f"on maps of {shape[1]}x{shape[2]} pixels" if len(shape) == 3 else f"an input of shape {shape}"
    return ValueError(f"{layer!r} does not fit {size} ({error})")
