"""A network's ops on one image: concrete shapes, the numbers that no image changes, and the layer of each op."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd.tensor import Tensor
from ...nn import Module
from ..trace import recording_copy, run, trace

CALLER = "to_c"  # the beginning of every message
Shape = tuple[int, ...]


class Op(NamedTuple):
    """One op on one image: `Node.name`, `Node.params`, the names of its inputs and result, and its layer.

    ``layer`` is the innermost module that ran the op, such as ``0 Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))``.
    """

    name: str
    params: dict[str, Any]
    inputs: tuple[str, ...]
    result: str
    layer: str


class Graph(NamedTuple):
    """A network's ops on one image, in order.

    Attributes:
        ops: those whose results depend on the image.
        shapes: the shape of every value, with a batch of one in front.
        constants: the values that no image changes: parameters, buffers, constants, and what ops make of them.
        input, output: the names of the image and of the result.
        results: the name of each recorded result, in the order of `trace.run`.
    """

    ops: list[Op]
    shapes: dict[str, Shape]
    constants: dict[str, NDArray[Any]]
    input: str
    output: str
    results: list[str]


def read_graph(model: Module, image_shape: Shape) -> Graph:
    """Return the network's graph.

    Raises:
        ValueError: what one image goes through differs from what several go through, or an op depends on more than its
            inputs; the message names the op and its layer.
        TypeError: the network's result is not a tensor.
    """
    traced = trace(CALLER, model, image_shape)
    twin = recording_copy(model)
    spans = _watch(twin)
    one = run(CALLER, twin, np.random.default_rng(1).random((1, *image_shape)))
    nodes = [t.node for t in one.results if t.node is not None]
    if [node.name for node in nodes] != [op.name for op in traced.ops]:
        raise ValueError(f"{CALLER}: the network takes other steps for one image than for several")
    constants: dict[str, NDArray[Any]] = {**traced.state, **traced.constants}
    shapes: dict[str, Shape] = {name: array.shape for name, array in constants.items()}
    shapes[traced.input.name] = one.input.shape
    ops = []
    for op, node, result in zip(traced.ops, nodes, one.results, strict=True):
        name, inputs = op.result.name, tuple(value.name for value in op.inputs)
        shapes[name] = result.shape
        if all(v in constants for v in inputs):
            constants[name] = result.data
            continue
        layer = _innermost(spans, node.serial)
        if op.varying:
            raise ValueError(f"{CALLER}: {op.name} in {layer}: its {op.varying[0]} depends on the images")
        ops.append(Op(op.name, node.params, inputs, name, layer))
    return Graph(ops, shapes, constants, traced.input.name, traced.output.name, [op.result.name for op in traced.ops])


class _Span(NamedTuple):
    """The serial numbers of the ops between the beginning and the end of a module's forward pass."""

    first: int
    last: int
    text: str


def _watch(model: Module) -> list[_Span]:
    """Return a list to which every forward pass of a module of this network adds its span from now on."""
    spans: list[_Span] = []
    for name, module in model.named_modules():
        text = f"{name} {type(module).__name__}({module.extra_repr()})"
        module.forward = _watched(module.forward, " ".join(text.split()), spans)
    return spans


def _watched(forward: Callable[..., Any], text: str, spans: list[_Span]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        first = _serial()
        result = forward(*args, **kwargs)
        spans.append(_Span(first, _serial(), text))
        return result

    return watched


def _serial() -> int:
    """Return the serial number of an op made now."""
    node = (Tensor(0.0, requires_grad=True) * 1.0).node
    assert node is not None  # ops are recorded while a network runs
    return node.serial


def _innermost(spans: list[_Span], serial: int) -> str:
    """Return the text of the shortest span around a serial number."""
    around = [span for span in spans if span.first < serial < span.last]
    return min(around, key=lambda span: span.last - span.first).text  # the network's own, at least
