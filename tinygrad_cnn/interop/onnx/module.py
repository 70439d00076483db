"""A network that was read from an ONNX file."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...autograd.tensor import Tensor, wrap
from ...nn import Module
from ...ops import concatenate
from .graph import Graph, Input
from .layers import Layers
from .values import Value, as_tensor, cast, dtype_name, to_value

_FLOATS = 1, 10, 11, 16  # FLOAT, FLOAT16, DOUBLE, BFLOAT16


class OnnxModule(Module):
    """A network read from an ONNX file: its layers, and its other nodes as functions of this library's ops.

    A node with weights, pooling and activations are layers (`Conv2d`, `BatchNorm2d`, `Linear`, `ReLU`, ...) under the
    names that the file gives them, so that the network prints, trains, and is saved and exported as one written here.
    Layers are attributes (``net.conv1``), or ``net.layers["features.0"]`` where the name has dots.

    Attributes:
        image_shape: the shape of one image, without the batch.
        metadata: the texts that the file stores.
        layers: the layers by name.
    """

    def __init__(
        self, graph: Graph, layers: Layers, *, metadata: Mapping[str, str], free_batch: bool, channels_first: bool,
        output: str | None, opset: int, output_types: Mapping[str, int],
    ) -> None:  # fmt: skip
        self._graph, self._sources = graph, dict(layers.sources)
        self._modules, self._tensors, self._prefixes = layers.modules, layers.tensors, layers.prefixes
        self._metadata, self._output, self._channels_first = dict(metadata), output, channels_first
        self._batch = None if free_batch else _batch_of(graph.inputs)
        self._opset, self._output_types = opset, dict(output_types)

    @property
    def layers(self) -> dict[str, Module]:
        """The layers by name, in the order of their use."""
        return self._modules

    @property
    def metadata(self) -> dict[str, str]:
        """The texts that the file stores."""
        return self._metadata

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image without the batch; 0 for a length that the file leaves open."""
        shape = self._graph.inputs[0].shape if self._graph.inputs else ()
        lengths = tuple(n if isinstance(n, int) else 0 for n in (shape or ())[1:])
        return (lengths[-1], *lengths[:-1]) if self._channels_first else lengths

    def __getattr__(self, name: str) -> Any:
        modules = vars(self).get("_modules", {})
        if name in modules:
            return modules[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or layer {name!r}")

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute the outputs of images (N, *image_shape); further inputs by place or by name.

        Returns:
            The output, or a tuple of several.
        """
        values = self._values(inputs, named)
        first = next(iter(values.values()), None)
        count = self._batch
        if count and first is not None and first.ndim and first.shape[0] != count:
            return self._in_parts(values, first.shape[0], count)
        return self._results(self._run(values))

    def children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over the layers with their names."""
        yield from self._modules.items()

    def extra_repr(self) -> str:
        """The images' shape, and the nodes that are no layers."""
        others = sum(1 for node in self._graph.nodes if not node.layer)
        text = f"image_shape={self.image_shape}"
        return f"{text}, {others} further nodes" if others else text

    def _named_tensors(self, prefix: str = "", above: frozenset[int] = frozenset()) -> Iterator[tuple[str, Tensor]]:
        if id(self) in above:
            return
        for name, tensor in self._tensors.items():
            yield prefix + name, tensor
        for name, module in self._modules.items():
            yield from module._named_tensors(prefix + self._prefixes[name], above | {id(self)})

    def _run(self, values: Mapping[str, Value]) -> list[Value]:
        state: dict[str, Value] = {name: self._tensors[key] for name, key in self._sources.items()}
        return self._graph.run({**state, **values}, self._modules)

    def _results(self, results: list[Value]) -> Any:
        tensors = tuple(r if isinstance(r, Tensor) else wrap(np.asarray(r)) for r in results)
        if self._output is not None:
            return tensors[self._graph.outputs.index(self._output)]
        return tensors[0] if len(tensors) == 1 else tensors

    def _in_parts(self, values: dict[str, Value], n: int, count: int) -> Any:
        """Run a graph that takes ``count`` images on n of them, part by part."""
        if n % count or len(values) != 1:
            raise ValueError(f"{type(self).__name__}: this file takes {count} images at a time, got {n}")
        ((name, x),) = values.items()
        parts = [self._run({name: x[k : k + count]}) for k in range(0, n, count)]
        joined: list[Value] = []
        for results in zip(*parts, strict=True):
            if not all(r.ndim and r.shape[0] == count for r in results):
                raise ValueError(f"{type(self).__name__}: this file takes {count} images at a time, got {n}")
            floats = any(isinstance(r, Tensor) for r in results)
            joined.append(concatenate([as_tensor(r) for r in results]) if floats else np.concatenate(list(results)))
        return self._results(joined)

    def _values(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Value]:
        """Return the inputs by name, checked."""
        declared = {i.name: i for i in self._graph.inputs}
        arguments = dict(zip(declared, inputs, strict=False))
        wrong = [name for name in named if name not in declared or name in arguments]
        arguments.update(named)
        if len(inputs) > len(declared) or wrong or len(arguments) < len(declared):
            raise TypeError(
                f"{type(self).__name__}: takes {len(declared)} inputs, {', '.join(declared)}, "
                f"got {len(inputs)}{''.join(f' and {name}' for name in named)}"
            )
        return {name: self._value(declared[name], arguments[name]) for name in declared}

    def _value(self, declared: Input, argument: Any) -> Value:
        """Return an argument as a value of the input's kind. ValueError for another shape."""
        if isinstance(argument, Tensor):
            value: Value = argument if argument.dtype.kind == "f" else argument.data
        else:
            value = to_value(np.asarray(argument), f"the input {declared.name}")
        if declared.dtype in _FLOATS:
            value = as_tensor(value)
            value = cast(value, 11) if declared.dtype == 11 else value
        elif isinstance(value, Tensor) and dtype_name(declared.dtype).startswith(("INT", "UINT", "BOOL")):
            raise ValueError(f"{type(self).__name__}: {declared.name} must be of integers or bools, got {value.dtype}")
        if self._channels_first and declared is self._graph.inputs[0]:
            if value.ndim < 3 or not _fits(value.shape[1:], self.image_shape):
                raise ValueError(self._misfit(declared, value.shape))
            return value.transpose(0, *range(2, value.ndim), 1)
        if declared.shape is not None and not _fits(value.shape, declared.shape, True):
            raise ValueError(self._misfit(declared, value.shape))
        return value

    def _misfit(self, declared: Input, shape: tuple[int, ...]) -> str:
        expected = self.image_shape if self._channels_first else tuple((declared.shape or ())[1:])
        text = f"{type(self).__name__}: {declared.name} must be (N, {', '.join(map(str, expected))}), got {shape}"
        numbers = [n for n in expected if isinstance(n, int)]
        if not self._channels_first and len(expected) == 3 and _fits(shape[1:], (expected[2], *expected[:2])):
            text += "; its channels come last: give x.transpose(0, 2, 3, 1), or read it with channels_first=True"
        elif len(expected) == 1 and math.prod(shape[1:]) == math.prod(numbers):
            text += "; its images are rows: put a Flatten() before it"
        elif shape == expected:
            text += "; a batch of one is x.reshape(1, *x.shape)"
        return text


def _fits(shape: tuple[int, ...], expected: tuple[Any, ...], any_first: bool = False) -> bool:
    if len(shape) != len(expected):
        return False
    pairs = list(zip(shape, expected, strict=True))
    return all(not isinstance(m, int) or m in (0, n) for n, m in pairs[1 if any_first and len(pairs) > 1 else 0 :])


def _batch_of(inputs: list[Input]) -> int | None:
    """The number of images that a file takes, None where it leaves that open or an input is no batch of images."""
    if len(inputs) != 1 or not inputs[0].shape or len(inputs[0].shape) < 2:
        return None
    first = inputs[0].shape[0]
    return first if isinstance(first, int) else None
