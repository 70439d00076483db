"""Every backward rule, also of the rules themselves, says in its docstring what it computes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_table import OPS

import tinygrad_cnn as tg
from tinygrad_cnn.inspection.graph_view import graph_view

KINDS = {
    "sliding",
    "pooling",
    "linear",
    "activation",
    "normalization",
    "regularization",
    "cost",
    "arithmetic",
    "reduction",
    "movement",
}


def nodes_of(result):
    return [node for node, _ in graph_view(result).steps] if result.node is not None else []


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
@given(data=st.data())
def test_every_rule_has_a_sentence_and_every_op_a_formula_and_a_kind(op, data):
    case = data.draw(op.cases)
    tg.set_kernels("numpy")
    inputs = [tg.Tensor(a, dtype=np.float64, requires_grad=True) for a in case.arrays]
    y = case.fn(*inputs)
    nodes = nodes_of(y)
    if y.requires_grad:
        y.backward(np.ones(y.shape), create_graph=True)
        nodes += [node for t in inputs if t.grad is not None for node in nodes_of(t.grad)]
    for node in nodes:
        assert node.kind in KINDS, node.name
        assert node.formula and node.formula.isascii(), node.name
        for k in range(len(node.inputs)):
            sentence = node.sentence(k)
            assert sentence.startswith("dC/d") and " = " in sentence and sentence.isascii(), (node.name, k, sentence)
