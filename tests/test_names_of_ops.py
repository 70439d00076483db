"""An op goes by one name: in what its result remembers, for drawings and exports, and in what it refuses with."""

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor
from tinygrad_cnn.ops.movement import put

MADE = {
    "add": lambda x: x + x,
    "subtract": lambda x: x - x,
    "multiply": lambda x: x * x,
    "divide": lambda x: x / x,
    "power": lambda x: x**x,
    "negative": lambda x: -x,
    "abs": abs,
    "exp": Tensor.exp,
    "log": Tensor.log,
    "sqrt": Tensor.sqrt,
    "erf": Tensor.erf,
    "matmul": lambda x: x @ x.T,
    "sigmoid": tg.sigmoid,
    "tanh": tg.tanh,
    "relu": tg.relu,
}
MADE_SO = [
    ("clip", {"low": 0.5, "high": None}, lambda x: x.clip(0.5)),
    ("clip", {"low": None, "high": 2}, lambda x: x.clip(high=2)),
    ("astype", {"dtype": "float64"}, lambda x: x.astype(np.float64)),
    ("sum", {"axis": 1, "keepdims": True}, lambda x: x.sum(1, keepdims=True)),
    ("sum", {"axis": None, "keepdims": False}, Tensor.sum),
    ("reshape", {"shape": (3, 2)}, lambda x: x.reshape(3, -1)),
    ("transpose", {"axes": (1, 0)}, lambda x: x.T),
    ("broadcast_to", {"shape": (4, 2, 3)}, lambda x: x.broadcast_to((4, 2, 3))),
    ("getitem", {"index": (0, slice(1, None))}, lambda x: x[0, 1:]),
    ("put", {"index": 1}, lambda x: put(x, 1, (4, 2, 3))),
    ("softmax", {"axis": 1}, tg.softmax),
    ("log_softmax", {"axis": 0}, lambda x: tg.log_softmax(x, 0)),
    ("softmax", {"axis": 0}, lambda x: tg.softmax(x, dim=0)),
    ("sum", {"axis": (0, 1), "keepdims": True}, lambda x: x.sum(dim=[0, 1], keepdim=True)),
    ("reshape", {"shape": (3, 2)}, lambda x: x.view(3, -1)),
    ("reshape", {"shape": (2, 1, 3)}, lambda x: x.unsqueeze(1)),
    ("transpose", {"axes": (1, 0)}, lambda x: x.permute(1, 0)),
    ("leaky_relu", {"negative_slope": 0.1}, lambda x: tg.leaky_relu(x, 0.1)),
    ("gelu", {"approximate": "tanh"}, lambda x: tg.gelu(x, "tanh")),
]


@pytest.mark.parametrize(("name", "params", "make"), [(name, {}, make) for name, make in MADE.items()] + MADE_SO)
def test_a_result_remembers_the_op_what_it_was_told_and_from_what(name, params, make):
    x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    node = make(x).node
    assert (node.name, node.params) == (name, params)
    assert node.inputs[0] is x and not node.line


SLIDING = {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1), "groups": 2}
WHOLE = {"shape": (9, 13)} | SLIDING
POOLING = {"shape": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
TILES = {"shape": (2, 2), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)}
W, TWO = Tensor(np.ones((4, 1, 2, 2)), requires_grad=True), np.ones(2)
IMAGE_OPS = [
    ("correlate2d", SLIDING, lambda x: tg.correlate2d(x, W, **SLIDING)),
    ("correlate2d_weight", SLIDING, lambda x: tg.correlate2d_weight(x, maps(), shape=(2, 2), **SLIDING)),
    ("convolve2d_full", WHOLE, lambda x: tg.convolve2d_full(maps(), W, **WHOLE)),
    ("maxpool", POOLING, lambda x: tg.maxpool(x, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))),
    ("avgpool", TILES, lambda x: tg.avgpool(x, 2, stride=2, padding=1)),
    ("pad", {"widths": ((0, 0), (0, 0), (1, 1), (1, 1)), "value": 2.0}, lambda x: tg.pad(x, 1, value=2.0)),
    ("concatenate", {"axis": 1}, lambda x: tg.concatenate([x, x], -3)),
    ("where", {}, lambda x: tg.where(True, x, 0.0)),
    ("dropout", {"p": 0.25}, lambda x: tg.dropout(x, 0.25)),
    ("batch_norm", {"eps": 0.5}, lambda x: tg.batch_norm(x, None, None, TWO, TWO, training=True, eps=0.5)),
    ("linear", {}, lambda x: tg.linear(x, np.ones((3, 13)))),
    ("quadratic_cost", {}, lambda x: tg.quadratic_cost(x, np.zeros(x.shape))),
]


def maps():
    return Tensor(np.ones((1, 4, 7, 7)), requires_grad=True)


@pytest.mark.parametrize(("name", "params", "make"), IMAGE_OPS, ids=[name for name, *_ in IMAGE_OPS])
def test_an_op_on_images_remembers_what_it_was_told(name, params, make):
    y = make(Tensor(np.random.default_rng(0).random((1, 2, 9, 13)), requires_grad=True))
    assert (y.node.name, y.node.params) == (name, params)


def test_rules_that_are_ops_have_names_and_were_told_the_same():
    x, z = Tensor(np.ones((1, 2, 9, 13)), requires_grad=True), Tensor([[1.0, 2.0]], requires_grad=True)
    sliding = tg.correlate2d(x, W, bias=Tensor(np.ones(4), requires_grad=True), **SLIDING)
    for y, k, name, params in [
        (sliding, 0, "convolve2d_full", WHOLE),
        (sliding, 1, "correlate2d_weight", SLIDING),
        (sliding, 2, "bias_gradient", {}),
        (tg.maxpool(x, 2, stride=2, padding=1), 0, "maxpool_scatter", TILES),
        (tg.avgpool(x, 2, stride=2, padding=1), 0, "avgpool_backward", TILES),
        (tg.relu(x), 0, "relu_backward", {}),
        (tg.sigmoid(x), 0, "sigmoid_backward", {}),
        (tg.cross_entropy(z, [1]), 0, "cross_entropy_backward", {}),
    ]:
        rule = y.node.rules[k](Tensor(np.ones(y.shape), requires_grad=True), y)
        assert (rule.node.name, rule.node.params) == (name, params)


REFUSED = {
    "add": [lambda a, x: x + a, lambda a, x: a + x],
    "subtract": [lambda a, x: x - a, lambda a, x: a - x],
    "multiply": [lambda a, x: x * a, lambda a, x: a * x],
    "divide": [lambda a, x: x / a, lambda a, x: a / x],
    "power": [lambda a, x: x**a, lambda a, x: a**x],
    "matmul": [lambda a, x: x @ a, lambda a, x: a @ x, lambda a, x: tg.matmul(x, a), lambda a, x: tg.matmul(a, x)],
    "clip": [lambda a, x: x.clip(a), lambda a, x: x.clip(high=a)],
}


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in REFUSED.items() for call in calls])
def test_a_refused_operand_is_refused_in_the_name_of_the_op(name, call):
    for number in (np.complex64(1), np.array([1j, 2])):
        with pytest.raises(TypeError, match=f"^{name}: expected a Tensor \\(Tensor: dtype complex"):
            call(number, Tensor([1.0, 2.0]))


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "max", "min"])
def test_a_reduction_refuses_in_its_own_name(name):
    reduce = getattr(Tensor, name)
    with pytest.raises(ValueError, match=f"^{name}: axis 2 does not exist in 2 axes$"):
        reduce(Tensor(np.ones((2, 3))), 2)
    if name != "sum":
        word = "compare" if name in ("max", "min") else "average"
        with pytest.raises(ValueError, match=f"^{name}: no numbers to {word} over axis 0 of shape \\(0, 3\\)$"):
            reduce(Tensor(np.ones((0, 3))), 0)


LINE, IMAGE = np.ones(3), np.ones((1, 1, 3, 3))
COMPLEX = np.array([1j, 2])
WRONG = [
    ("correlate2d_weight: x must be (N, C, H, W), got 1", lambda: tg.correlate2d_weight(LINE, IMAGE, shape=(1, 1))),
    ("correlate2d_weight: g must be (N, C, H, W), got 1", lambda: tg.correlate2d_weight(IMAGE, LINE, shape=(1, 1))),
    ("convolve2d_full: x must be (N, C, H, W), got 1", lambda: tg.convolve2d_full(LINE, IMAGE)),
    ("convolve2d_full: w must be (N, C, H, W), got 1", lambda: tg.convolve2d_full(IMAGE, LINE)),
    ("maxpool: overlay_shape must be at least 1, got 0", lambda: tg.maxpool(IMAGE, 0)),
    ("maxpool: stride must be at least 1, got 0", lambda: tg.maxpool(IMAGE, 2, stride=0)),
    ("maxpool: padding must be at least 0, got -1", lambda: tg.maxpool(IMAGE, 2, padding=-1)),
    ("maxpool: dilation must be at least 1, got 0", lambda: tg.maxpool(IMAGE, 2, dilation=0)),
    ("where: expected a Tensor", lambda: tg.where(True, COMPLEX, 0.0)),
    ("where: expected a Tensor", lambda: tg.where(True, 0.0, COMPLEX)),
    ("batch_norm: expected a Tensor", lambda: tg.batch_norm(IMAGE, None, None, COMPLEX, LINE, training=True)),
    ("batch_norm: expected a Tensor", lambda: tg.batch_norm(IMAGE, None, None, LINE, COMPLEX, training=True)),
    ("pad: expected a Tensor", lambda: tg.pad(IMAGE, 1, value=1j)),
    ("relu: expected a Tensor", lambda: tg.relu(COMPLEX)),
    ("sigmoid: expected a Tensor", lambda: tg.sigmoid(COMPLEX)),
    ("tanh: expected a Tensor", lambda: tg.tanh(COMPLEX)),
    ("convolve2d: takes (H, W) with (KH, KW)", lambda: tg.convolve2d(np.ones((1, 3, 3)), np.ones((2, 2)))),
    ("matmul: inner lengths must match (a.shape=(), b.shape=(3,))", lambda: 3 @ Tensor(LINE)),
    ("matmul: inner lengths must match (a.shape=(3,), b.shape=())", lambda: Tensor(LINE) @ 3),
    ("astype: 'nothing' is no data type", lambda: Tensor(LINE).astype("nothing")),
    ("astype: uint8 cannot hold the numbers from 300 to 300", lambda: Tensor([300]).astype(np.uint8)),
    ("Tensor: 'nothing' is no data type", lambda: Tensor(LINE, dtype="nothing")),
    ("Tensor: uint8 cannot hold the numbers from 300 to 300", lambda: Tensor([300], dtype=np.uint8)),
    ("transpose: axis (0, 5) does not exist in 1 axis", lambda: Tensor(LINE).transpose(0, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call"), WRONG)
def test_an_argument_is_refused_by_its_name_in_the_name_of_the_op(message, call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value).startswith(message)
