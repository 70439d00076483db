"""Long float32 sums keep their digits, along any axes, in any memory order, forward and backward; a mean divides."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_table import KERNEL_SETS

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor
from tinygrad_cnn.kernels import summation

LONG = st.sampled_from([1, 2, 3, 31, 257, 600, 1500])
CONSTANTS = st.floats(0.0625, 1, width=32)


@st.composite
def arrays(draw):
    """Positive float32 numbers, random or all the same, whose axes are permuted, stepped through or repeated."""
    shape = draw(st.lists(LONG, min_size=1, max_size=4).filter(lambda shape: math.prod(shape) <= 1_000_000))
    if draw(st.booleans()):
        a = np.full(shape, draw(CONSTANTS), np.float32)
    else:
        a = np.random.default_rng(draw(st.integers(0, 99))).uniform(0.5, 1, shape).astype(np.float32)
    a = a.transpose(draw(st.permutations(range(a.ndim))))
    a = a[tuple(slice(None, None, draw(st.sampled_from([1, 1, -1, 2]))) for _ in a.shape)]
    if draw(st.integers(0, 3)) == 0 and a.size <= 2000:
        a = np.broadcast_to(a, (draw(st.sampled_from([2, 700])), *a.shape))
    return a


@given(arrays(), st.data())
def test_a_sum_over_any_axes_in_any_memory_order_is_right_to_five_digits(a, data):
    axes = tuple(data.draw(st.permutations(range(a.ndim)))[: data.draw(st.integers(0, a.ndim))])
    keepdims = data.draw(st.booleans())
    expected = a.sum(axes, dtype=np.float64, keepdims=keepdims)
    for total in (summation.total(a, axes, keepdims), Tensor(a).sum(axes, keepdims).data):
        assert total.dtype == np.float32 and total.shape == expected.shape
        np.testing.assert_allclose(total, expected, rtol=1.6e-5)


@given(arrays(), st.data())
def test_blocks_of_any_length_give_the_same_sum(a, data):
    axes = tuple(data.draw(st.permutations(range(a.ndim)))[: data.draw(st.integers(1, a.ndim))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summation, "_MAX_CHAIN", most := data.draw(st.integers(1, 40)))
        patch.setattr(summation, "_BLOCK", data.draw(st.integers(1, most)))
        total = summation.total(a, axes)
    np.testing.assert_allclose(total, a.sum(axes, dtype=np.float64), rtol=1e-5)


def test_an_array_of_as_many_axes_as_there_may_be_is_added_up():
    assert Tensor(np.ones((*(1,) * 62, 1000, 2), np.float32)).sum(-2).data.ravel().tolist() == [1000, 1000]


def test_infinities_and_nan_come_through_without_a_warning():
    a = np.ones((5000, 3), np.float32)
    a[7, 0], a[4000, 0], a[3, 1], a[:, 2] = np.inf, -np.inf, np.inf, 3e38
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(Tensor(a).sum(0).data, [np.nan, np.inf, np.inf])


@pytest.mark.parametrize("axis", [0, 1, (0, 1), (0, 2)])
def test_the_mean_of_ten_million_tenths_is_a_tenth(axis):
    shape = {0: (10_000_000, 2), 1: (1, 10_000_000), (0, 1): (2500, 4000, 2), (0, 2): (2_500_000, 2, 4)}[axis]
    mean = Tensor(np.full(shape, 0.1, np.float32)).mean(axis).data
    np.testing.assert_allclose(mean, 0.1, rtol=0, atol=1e-6)


@given(st.integers(1, 5000), st.sampled_from([np.float32, np.float64]), st.booleans())
def test_a_mean_of_ones_is_one(count, dtype, leading):
    ones = Tensor(np.ones((count, 2) if leading else (2, count), dtype))
    assert ones.mean(0 if leading else 1).data.tolist() == [1, 1] and ones.mean().item() == 1


def test_a_mean_of_integers_is_their_sum_divided():
    assert Tensor([1, 2]).mean().item() == 1.5 and Tensor(np.arange(10)).mean().dtype == np.float64


# Backward -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [64, 1000, 100_000])
def test_the_gradients_of_a_broadcast_row_and_of_a_layers_bias_keep_their_digits(batch):
    x, g = np.ones((batch, 3), np.float32), np.full((batch, 3), 0.1, np.float32)
    row, w, b = (Tensor(np.zeros(s, np.float32), requires_grad=True) for s in ((3,), (3, 3), (3,)))
    (Tensor(x) + row).backward(g)
    tg.linear(Tensor(x), w, b).backward(g)
    for gradient in (row.grad, b.grad):
        np.testing.assert_allclose(gradient.data, batch * np.float64(np.float32(0.1)), rtol=1e-5)


@pytest.mark.parametrize("name", KERNEL_SETS)
@given(st.integers(1, 5), st.sampled_from([(1, 1), (3, 700), (60, 50), (400, 300)]), st.booleans(), CONSTANTS)
def test_the_bias_gradient_of_every_kernel_set_keeps_its_digits(name, maps, image, batch_innermost, constant):
    tg.set_kernels(name)
    g = np.full((maps, *image, 2), constant, np.float32).transpose(3, 0, 1, 2)
    g = g if batch_innermost else np.ascontiguousarray(g)
    expected = g.sum((0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(tg.kernels.current().bias_gradient(g), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNEL_SETS)
def test_a_bias_gradient_over_thirty_million_numbers_is_right_to_five_digits(name):
    tg.set_kernels(name)
    bias = Tensor(np.zeros(1, np.float32), requires_grad=True)
    x, w = Tensor(np.zeros((30, 1, 1000, 1000), np.float32)), Tensor(np.ones((1, 1, 1, 1), np.float32))
    y = tg.correlate2d(x, w, bias=bias)
    y.backward(np.full(y.shape, 0.1, np.float32))
    np.testing.assert_allclose(bias.grad.data, 3e7 * np.float64(np.float32(0.1)), rtol=1e-5)


def test_softmax_over_a_long_leading_axis_adds_up_to_one():
    a = tg.softmax(Tensor(np.zeros((1_000_000, 2), np.float32)), 0)
    np.testing.assert_allclose(a.data.sum(0, dtype=np.float64), 1, rtol=1e-5)
