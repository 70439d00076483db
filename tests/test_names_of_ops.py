"""An op goes by one name: in what its result remembers, for drawings and exports, and in what it refuses with."""

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor
from tinygrad_cnn.tensor import put

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
]


@pytest.mark.parametrize(("name", "params", "make"), [(name, {}, make) for name, make in MADE.items()] + MADE_SO)
def test_a_result_remembers_the_op_what_it_was_told_and_from_what(name, params, make):
    x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    node = make(x).node
    assert (node.name, node.params) == (name, params)
    assert node.inputs[0] is x and not node.line


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


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_a_reduction_refuses_in_its_own_name(name):
    reduce = getattr(Tensor, name)
    with pytest.raises(ValueError, match=f"^{name}: axis 2 does not exist in 2 axes$"):
        reduce(Tensor(np.ones((2, 3))), 2)
    if name != "sum":
        word = "average" if name == "mean" else "compare"
        with pytest.raises(ValueError, match=f"^{name}: no numbers to {word} over axis 0 of shape \\(0, 3\\)$"):
            reduce(Tensor(np.ones((0, 3))), 0)
