"""Gradients pass through what is read: every reader that takes floats is checked, most of them to second order."""

from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.interop.onnx.readers import READERS, elementwise
from tinygrad_cnn.interop.onnx.registry import bind

RNG = np.random.default_rng(13)
X, Y = RNG.uniform(0.15, 0.85, (3, 4)), RNG.uniform(0.15, 0.85, (3, 4))
IMAGE = RNG.normal(0, 1, (2, 4, 5, 6))
TOKENS = RNG.normal(0, 1, (2, 3, 8))
ROWS = RNG.normal(0, 1, (4, 2, 3))


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


UNARY = """
    Abs Acos Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg
    Reciprocal Relu Selu Sigmoid Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh Softmax LogSoftmax Round Floor Ceil Sign
    Shrink ThresholdedRelu Flatten Transpose LpNormalization MeanVarianceNormalization ReduceSum ReduceMean ReduceMax
    ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare Normalizer
""".split()  # noqa: SIM905 - a list of so many is harder to read
BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu", "SwiGLU"]
WITHOUT = """
    And Or Xor Not BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift Equal Greater GreaterOrEqual Less LessOrEqual
    IsNaN IsInf ArgMax ArgMin NonZero Unique Shape Size ConstantOfShape Range EyeLike OneHot QuantizeLinear Hardmax
    DequantizeLinear DynamicQuantizeLinear ConvInteger QLinearConv MatMulInteger QLinearMatMul Binarizer CastLike If
    Loop Scan Dropout Upsample Scatter LinearRegressor
""".split()  # noqa: SIM905
"""Readers of integers, of shapes or bits, without floats as results, or of graphs; the last four are others' forms."""

CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    **{op: (op, [X], {}) for op in UNARY},
    "Acosh": ("Acosh", [X + 1.5], {}),
    "MeanVarianceNormalization": ("MeanVarianceNormalization", [IMAGE], {}),
    "Gelu, tanh": ("Gelu", [X], {"approximate": "tanh"}),
    **{op: (op, [X, Y], {}) for op in BINARY},
    "Mod": ("Mod", [X * 7, Y], {"fmod": 1}),
    "Mod, floor": ("Mod", [X * 7, -Y], {}),
    "Clip": ("Clip", [X, np.float32(0.3), np.float32(0.6)], {}),
    "Where": ("Where", [X > 0.5, X, Y], {}),
    "Cast": ("Cast", [X], {"to": 11}),
    "MatMul": ("MatMul", [X, Y.T.copy()], {}),
    "Gemm": ("Gemm", [X, Y, Y[0, :3]], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    "Einsum": ("Einsum", [ROWS, ROWS * 2], {"equation": "bij,bkj->bik"}),
    "Einsum, diagonal": ("Einsum", [ROWS[:3, :, :]], {"equation": "iji->j"}),
    "Det": ("Det", [RNG.normal(0, 1, (2, 3, 3))], {}),
    "CumSum": ("CumSum", [X, ints(1)], {"reverse": 1}),
    "CumProd": ("CumProd", [X, ints(0)], {"exclusive": 1}),
    "TopK": ("TopK", [X, ints(2)], {}),
    "Reshape": ("Reshape", [X, ints(2, -1)], {}),
    "Squeeze": ("Squeeze", [X[:, None], ints(1)], {}),
    "Unsqueeze": ("Unsqueeze", [X, ints(0, -1)], {}),
    "Concat": ("Concat", [X, Y], {"axis": 1}),
    "Split": ("Split", [X], {"axis": 1, "num_outputs": 3}),
    "Expand": ("Expand", [X[:, :1], ints(2, 3, 4)], {}),
    "Tile": ("Tile", [X, ints(2, 3)], {}),
    "Pad": ("Pad", [X, ints(1, 0, -1, 2)], {"mode": "reflect"}),
    "Trilu": ("Trilu", [X], {}),
    "DepthToSpace": ("DepthToSpace", [IMAGE], {"blocksize": 2}),
    "SpaceToDepth": ("SpaceToDepth", [IMAGE[:, :, :4]], {"blocksize": 2}),
    "Slice": ("Slice", [X, ints(2), ints(-5), ints(0), ints(-1)], {}),
    "Gather": ("Gather", [X, ints(0, 2, 0)], {}),
    "GatherElements": ("GatherElements", [X, np.array([[0, 1, 0, 2]])], {}),
    "GatherND": ("GatherND", [X, np.array([[0, 1], [2, 2], [0, 1]])], {}),
    "ScatterElements": ("ScatterElements", [X, np.array([[2, 0, 1, 1]]), Y[:1]], {"reduction": "add"}),
    "ScatterND": ("ScatterND", [X, np.array([[1], [0]]), Y[:2]], {}),
    "Compress": ("Compress", [X, np.array([True, False, True])], {"axis": 0}),
    "ReverseSequence": ("ReverseSequence", [X, ints(1, 2, 3, 2)], {}),
    "Resize": ("Resize", [IMAGE, None, None, ints(2, 4, 8, 4)], {"mode": "linear"}),
    "Resize, cubic": ("Resize", [IMAGE, None, np.array([1, 1, 0.5, 2], np.float32)], {"mode": "cubic"}),
    "GridSample": ("GridSample", [IMAGE, RNG.uniform(-0.9, 0.9, (2, 3, 3, 2))], {"padding_mode": "zeros"}),
    "GridSample, cubic": ("GridSample", [IMAGE, RNG.uniform(-0.9, 0.9, (2, 2, 2, 2))], {"mode": "cubic"}),
    "AffineGrid": ("AffineGrid", [RNG.normal(0, 1, (2, 2, 3)), ints(2, 1, 3, 4)], {}),
    "Conv": ("Conv", [IMAGE, RNG.normal(0, 1, (2, 2, 3, 2)), X[0, :2]], {"group": 2, "auto_pad": "SAME_UPPER"}),
    "Conv, 1 axis": ("Conv", [IMAGE[:, :, 0], RNG.normal(0, 1, (3, 4, 2))], {"strides": [2]}),
    "Conv, 3 axes": ("Conv", [IMAGE[:, None], RNG.normal(0, 1, (1, 1, 2, 2, 2))], {"pads": [1, 0, 0, 0, 1, 0]}),
    "ConvTranspose": ("ConvTranspose", [IMAGE[:, :, :3], RNG.normal(0, 1, (4, 2, 2, 2))], {"pads": [1, 0, 0, 1]}),
    "ConvTranspose, 3 axes": ("ConvTranspose", [IMAGE[:, :1, None], RNG.normal(0, 1, (1, 2, 2, 2, 1))], {}),
    "MaxPool": ("MaxPool", [IMAGE], {"kernel_shape": [2, 3], "ceil_mode": 1, "strides": [2, 2]}),
    "MaxPool, 3 axes": ("MaxPool", [IMAGE[:, None]], {"kernel_shape": [2, 2, 2]}),
    "AveragePool": ("AveragePool", [IMAGE], {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1]}),
    "LpPool": ("LpPool", [np.abs(IMAGE) + 0.1], {"kernel_shape": [2, 2], "p": 3}),
    "GlobalAveragePool": ("GlobalAveragePool", [IMAGE], {}),
    "GlobalMaxPool": ("GlobalMaxPool", [IMAGE], {}),
    "GlobalLpPool": ("GlobalLpPool", [np.abs(IMAGE) + 0.1], {}),
    "LRN": ("LRN", [IMAGE], {"size": 3}),
    "Col2Im": ("Col2Im", [RNG.normal(0, 1, (1, 4, 6)), ints(3, 4), ints(2, 2)], {}),
    "BatchNormalization": ("BatchNormalization", [IMAGE, *np.abs(IMAGE[:1, :, 0, :4].reshape(4, 4)) + 0.5], {}),
    "BatchNormalization, training": (
        "BatchNormalization", [IMAGE, *np.abs(IMAGE[:1, :, 0, :4].reshape(4, 4)) + 0.5], {"training_mode": 1}
    ),
    "InstanceNormalization": ("InstanceNormalization", [IMAGE, X[0], Y[0]], {}),
    "GroupNormalization": ("GroupNormalization", [IMAGE, X[0], Y[0]], {"num_groups": 2}),
    "LayerNormalization": ("LayerNormalization", [X, X[0], Y[0]], {}),
    "RMSNormalization": ("RMSNormalization", [X, X[0]], {}),
    "SoftmaxCrossEntropyLoss": ("SoftmaxCrossEntropyLoss", [X, ints(0, 3, 1)], {"ignore_index": 3}),
    "NegativeLogLikelihoodLoss": ("NegativeLogLikelihoodLoss", [X, ints(0, 3, 1), X[0]], {}),
    "Attention": ("Attention", [TOKENS, TOKENS * 2, TOKENS + 1], {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": 1}),
    "RotaryEmbedding": ("RotaryEmbedding", [TOKENS, TOKENS[:, :, :2], TOKENS[:, :, 2:4]], {"num_heads": 2}),
    "RNN": ("RNN", [ROWS, RNG.normal(0, 1, (1, 2, 3)), RNG.normal(0, 1, (1, 2, 2)), RNG.normal(0, 1, (1, 4))], {}),
    "GRU": ("GRU", [ROWS, RNG.normal(0, 1, (2, 6, 3)), RNG.normal(0, 1, (2, 6, 2)), RNG.normal(0, 1, (2, 12)),
                    np.array([4, 2], np.int32)], {"direction": "bidirectional"}),
    "LSTM": ("LSTM", [ROWS, RNG.normal(0, 1, (1, 8, 3)), RNG.normal(0, 1, (1, 8, 2)), RNG.normal(0, 1, (1, 16)),
                      np.array([2, 4], np.int32)], {"direction": "reverse"}),
    "ArrayFeatureExtractor": ("ArrayFeatureExtractor", [X, ints(2, 0)], {}),
    "Scaler": ("Scaler", [X], {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.5]}),
    "TensorScatter": ("TensorScatter", [IMAGE, IMAGE[:, :, :2] + 1, ints(1, 2)], {}),
    "MaxUnpool": ("MaxUnpool", [IMAGE[:1, :1, :2, :2], ints(5, 2, 8, 14).reshape(1, 1, 2, 2)],
                  {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "CenterCropPad": ("CenterCropPad", [X, ints(5, 2)], {}),
}  # fmt: skip


def test_every_reader_is_among_the_cases():
    assert {op for op, _, _ in CASES.values()} == set(READERS) - set(WITHOUT)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_function(name):
    op, inputs, attributes = CASES[name]
    outputs = 3 if op == "Split" else 1
    arguments = bind(op, op, len(inputs), attributes, 22, outputs)
    floats = [i for i, a in enumerate(inputs) if isinstance(a, np.ndarray) and a.dtype == np.float64]

    def function(*tensors: tg.Tensor) -> tg.Tensor:
        values: list[Any] = [tg.Tensor(a) if isinstance(a, np.floating) else a for a in inputs]
        for i, tensor in zip(floats, tensors, strict=True):
            values[i] = tensor
        result = READERS[op].compute(*values, **arguments)
        if isinstance(result, tuple):
            result = result[1] if op == "Split" else result[0]
        assert isinstance(result, tg.Tensor)
        return result

    second = (
        op not in ("Round", "Floor", "Ceil", "Sign", "LSTM", "GRU")
        and not name.startswith("Conv")
        and "3 axes" not in name
    )
    tensors = [tg.Tensor(inputs[i], requires_grad=True) for i in floats]
    tg.gradcheck(function, *tensors, order=2 if second else 1)


def test_functions_at_infinity_have_no_nan():
    x = tg.Tensor(np.array([-np.inf, np.inf, -1e30, 1e30, 0.0]), requires_grad=True)
    for op in ("Elu", "Selu", "Celu", "LeakyRelu", "PRelu", "Softplus"):
        values = [x, tg.Tensor(0.5)] if op == "PRelu" else [x]
        y = READERS[op].compute(*values, **bind(op, op, len(values), {}, 22, 1))
        assert not np.isnan(y.data).any(), op
    assert elementwise.larger(x, tg.Tensor(np.full(5, np.nan))).data.tolist() != [0] * 5
