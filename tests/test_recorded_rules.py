"""A rule may be computed in two ways, at once or recorded to be differentiated again: both give the same gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_table import OPS

import tinygrad_cnn as tg


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
@given(data=st.data())
def test_a_recorded_rule_gives_what_it_gives_unrecorded(op, data):
    case = data.draw(op.cases)
    tg.set_kernels("numpy")
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-3)):
        found = []
        for create_graph in (False, True):
            inputs = [tg.Tensor(a, dtype=dtype, requires_grad=True) for a in case.arrays]
            y = case.fn(*inputs)
            if y.requires_grad:
                y.backward(np.random.default_rng(0).standard_normal(y.shape), create_graph=create_graph)
            found.append([np.zeros(t.shape) if t.grad is None else t.grad.data for t in inputs])
        for plain, recorded in zip(*found, strict=True):
            np.testing.assert_allclose(recorded, plain, tolerance, tolerance * (1 + np.abs(plain).max(initial=0)))
