"""The ONNX nodes that `to_onnx` writes, each computed with this library's ops.

A function here takes a node's inputs (tensors, or arrays of integers for settings such as a shape) and its attributes
by keyword; another number of inputs or another attribute is not supported.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..autograd.tensor import Tensor
from ..checks import require
from ..kernels.geometry import ConvParams
from ..ops.convolution import smallest_image
from ..ops.linear import matmul

Integers = NDArray[np.int64]
Numbers = Sequence[int]


def _conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    kernel_shape: Numbers,
    strides: Numbers,
    pads: Numbers,
    dilations: Numbers,
    group: int,
) -> Tensor:
    return ops.correlate2d(x, w, bias=b, **_conv_params(strides, pads, dilations, group)._asdict())


def _conv_transpose(
    x: Tensor,
    w: Tensor,
    *,
    kernel_shape: Numbers,
    strides: Numbers,
    pads: Numbers,
    dilations: Numbers,
    group: int,
    output_padding: Numbers,
) -> Tensor:
    params = _conv_params(strides, pads, dilations, group)
    rows, columns = smallest_image((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), params)
    shape = rows + output_padding[0], columns + output_padding[1]
    return ops.convolve2d_full(x, w, shape=shape, **params._asdict())


def _conv_params(strides: Numbers, pads: Numbers, dilations: Numbers, group: int) -> ConvParams:
    return ConvParams(_pair(strides), _padding(pads), _pair(dilations), group)


def _max_pool(x: Tensor, *, kernel_shape: Numbers, strides: Numbers, pads: Numbers, dilations: Numbers) -> Tensor:
    return ops.maxpool(x, _pair(kernel_shape), stride=_pair(strides), padding=_padding(pads), dilation=_pair(dilations))


def _average_pool(
    x: Tensor, *, kernel_shape: Numbers, strides: Numbers, pads: Numbers, count_include_pad: int
) -> Tensor:
    if not count_include_pad:
        raise ValueError("from_onnx: AveragePool: count_include_pad=0 is not supported")
    return ops.avgpool(x, _pair(kernel_shape), stride=_pair(strides), padding=_padding(pads))


def _gemm(x: Tensor, w: Tensor, b: Tensor | None = None, *, transB: int) -> Tensor:
    return ops.linear(x, w if transB else w.T, b)


def _reduce_sum(x: Tensor, axes: Integers, *, keepdims: int) -> Tensor:
    return x.sum(tuple(axes.tolist()), bool(keepdims))


def _reshape(x: Tensor, shape: Integers) -> Tensor:
    return x.reshape(tuple(x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())))


def _expand(x: Tensor, shape: Integers) -> Tensor:
    return x.broadcast_to(np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _cast(x: Tensor, *, to: int) -> Tensor:
    return x.astype(require("onnx", "onnx").helper.tensor_dtype_to_np_dtype(to))


def _pad(x: Tensor, widths: Integers, value: Tensor) -> Tensor:
    before, after = widths.reshape(2, -1).tolist()
    return ops.pad(x, tuple(zip(before, after, strict=True)), value=float(value))


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x.clip(None if low is None else float(low), None if high is None else float(high))


def _slice(x: Tensor, starts: Integers, stops: Integers, axes: Integers, steps: Integers) -> Tensor:
    index, ends = [slice(None)] * x.ndim, (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
    for start, stop, axis, step in zip(*(a.tolist() for a in (starts, stops, axes, steps)), strict=True):
        index[axis] = slice(None if start in ends else start, None if stop in ends else stop, step)
    return x[tuple(index)]


def _gather(x: Tensor, index: Integers, *, axis: int) -> Tensor:
    return x[(slice(None),) * axis + (int(index),)]


def _unsqueeze(x: Tensor, axes: Integers) -> Tensor:
    ndim = x.ndim + len(axes)
    return x[tuple(None if i in axes else slice(None) for i in range(ndim))]


def _pair(numbers: Numbers) -> tuple[int, int]:
    rows, columns = numbers
    return rows, columns


def _padding(pads: Numbers) -> tuple[int, int]:
    if list(pads[:2]) != list(pads[2:]):
        raise ValueError(f"from_onnx: pads must be the same on both sides, got {list(pads)}")
    return _pair(pads[:2])


READERS: dict[str, Callable[..., Tensor]] = {
    "Abs": lambda x: x.abs(),
    "Add": lambda a, b: a + b,
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda *parts, axis: ops.concatenate(parts, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda a, b: a / b,
    "Erf": lambda x: x.erf(),
    "Exp": lambda x: x.exp(),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, *, alpha: ops.leaky_relu(x, alpha),
    "Log": lambda x: x.log(),
    "LogSoftmax": lambda x, *, axis: ops.log_softmax(x, axis),
    "MatMul": lambda a, b: matmul(a, b),
    "MaxPool": _max_pool,
    "Mul": lambda a, b: a * b,
    "Neg": lambda x: -x,
    "Pad": _pad,
    "Pow": lambda a, b: a**b,
    "ReduceSum": _reduce_sum,
    "Relu": lambda x: ops.relu(x),
    "Reshape": _reshape,
    "Sigmoid": lambda x: ops.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda x, *, axis: ops.softmax(x, axis),
    "Sqrt": lambda x: x.sqrt(),
    "Sub": lambda a, b: a - b,
    "Tanh": lambda x: ops.tanh(x),
    "Transpose": lambda x, *, perm: x.transpose(*perm),
    "Unsqueeze": _unsqueeze,
}
"""The function that computes each node, by its ONNX name."""
