"""What a Tensor is: types, numbers at the edges, indexing, and Python's protocols."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor

NAN, INF = np.nan, np.inf


def slope(fn, *numbers):
    """The gradient of sum(fn(x)) at x."""
    x = Tensor(np.array(numbers), requires_grad=True)
    fn(x).sum().backward()
    return x.grad.data


# Types ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [1.5, [1.5, 2.5], [[1.0], [2.0]], np.float32(1), np.ones(2, np.float32)])
def test_python_numbers_become_float32(data):
    assert Tensor(data).dtype == np.float32


def test_arrays_keep_their_type():
    for dtype in (np.float32, np.float64, np.uint8, np.int16, np.int64, bool):
        assert Tensor(np.ones(3, dtype)).dtype == dtype
        assert Tensor(Tensor(np.ones(3, dtype))).dtype == dtype
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor(np.ones(2, np.float16), dtype=np.float32).dtype == np.float32


def test_data_is_copied():
    a = np.ones(2)
    x = Tensor(a)
    a[0] = 5
    np.testing.assert_array_equal(x.data, 1)
    y = Tensor(x)
    y.data[0] = 7
    np.testing.assert_array_equal(x.data, 1)


SCALARS = [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.array(2, np.uint8)]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "operation", [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b],
    ids=["add", "subtract", "multiply", "divide", "power"],
)  # fmt: skip
def test_float32_stays_float32_beside_any_number(operation, scalar):
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y in (operation(x, scalar), operation(scalar, x)):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32
    assert operation(Tensor(np.ones(2)), scalar).dtype == np.float64


def test_of_two_float_types_the_wider_is_kept_unless_it_is_a_lone_number():
    single, double = Tensor([1.0, 2.0]), Tensor(np.ones(2))
    assert (single + double).dtype == np.float64
    assert (single + Tensor(np.float64(1))).dtype == np.float32
    assert (single * np.ones(2)).dtype == np.float64
    assert (Tensor([1, 2]) + single).dtype == (single + Tensor([1, 2])).dtype == np.float32
    assert (Tensor(np.float64(1)) + single).dtype == np.float32
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * double).sum().backward()
    assert x.grad.dtype == np.float32


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.int8, np.int16, np.uint16]), 3),
    hnp.arrays(st.sampled_from([np.uint8, np.int8, np.int16, np.uint16]), 3),
)
def test_integers_never_overflow(a, b):
    x, y, wide_a, wide_b = Tensor(a), Tensor(b), a.astype(np.float64), b.astype(np.float64)
    np.testing.assert_array_equal((x + y).data, wide_a + wide_b)
    np.testing.assert_array_equal((x - y).data, wide_a - wide_b)
    np.testing.assert_allclose((x * y).data, wide_a * wide_b, 1e-6)
    np.testing.assert_array_equal((-x).data, -wide_a)
    np.testing.assert_array_equal((x + 300).data, wide_a + 300)
    np.testing.assert_array_equal((1000 - x).data, 1000 - wide_a)
    np.testing.assert_array_equal(x.sum().data, wide_a.sum())
    np.testing.assert_allclose((x @ y).data, wide_a @ wide_b, 0, 1e-6 * (abs(wide_a) @ abs(wide_b)))
    np.testing.assert_allclose((x**2).data, wide_a**2, 1e-6)


def test_floats_that_are_too_large_become_infinite_whatever_numpy_is_set_to_do():
    x = Tensor([3e38, -3e38], requires_grad=True)
    with np.errstate(all="raise"):
        w = np.full((2, 2), 1e38, np.float32)
        for y in (x * 2, x + x, x - (-x), 1e300 * x, x @ w, x * x, x / 1e-3, (x * x).sum()):
            assert np.isinf(y.data).any() or np.isnan(y.data).all()
        assert Tensor([1e300]).item() == Tensor(1e300, dtype=np.float32).item() == np.inf
        assert Tensor(np.array([1e300])).astype(np.float32).item() == np.inf
        (x * x).sum().backward(Tensor(3e38))
    assert x.grad.data.tolist() == [np.inf, -np.inf]
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="multiply made inf"):
        x * 2


def test_large_integers_are_computed_in_float64():
    assert (Tensor(np.array([2**31 - 1])) + 1).data[0] == 2**31
    assert Tensor(np.full(300, 255, np.uint8)).mean().item() == 255


def test_a_narrow_integer_type_refuses_what_it_cannot_hold():
    for make in (lambda: Tensor([300], dtype=np.uint8), lambda: Tensor([-1]).astype(np.uint8)):
        with pytest.raises(ValueError, match="uint8 cannot hold the numbers from"):
            make()
    for bad in (NAN, INF, 2.0**63):
        with pytest.raises(ValueError, match="int64 cannot hold"):
            Tensor(np.array([bad])).astype(np.int64)
    assert Tensor([1.9, -1.9]).astype(int).data.tolist() == [1, -1]
    assert Tensor([255], dtype=np.uint8).item() == 255
    assert Tensor([-(2**63)]).astype(np.int64).item() == -(2**63)


def test_float16_complex_and_objects_are_no_operands():
    x = Tensor([1.0, 2.0])
    for other in (1j, np.complex64(1), np.array([1j, 2]), np.float16(1), np.array(None), np.str_("a"), None, "a", [1]):
        with pytest.raises(TypeError):
            x + other
        with pytest.raises(TypeError):
            other * x
    with pytest.raises(ValueError, match="add: the integer is too large"):
        x + 10**400


def test_an_array_on_the_left_leaves_the_work_to_the_tensor():
    a, x = np.array([[1.0, 2.0], [3.0, 4.0]]), Tensor(np.array([[5.0, 6.0], [7.0, 8.0]]), requires_grad=True)
    for left in (a, a[0], np.float64(2)):
        for op in (np.add, np.subtract, np.multiply, np.divide, np.power):
            ours = {np.add: left + x, np.subtract: left - x, np.multiply: left * x, np.divide: left / x,
                    np.power: left**x}[op]  # fmt: skip
            assert isinstance(ours, Tensor) and ours.requires_grad
            np.testing.assert_allclose(ours.data, op(left, x.data))
    np.testing.assert_allclose((a @ x).data, a @ x.data)
    for compare in (a < x, a <= x, a == x, a != x, a > x, a >= x):
        assert isinstance(compare, Tensor)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.sin(x)


# Numbers at the edges -------------------------------------------------------------------------------------------------


def test_log_sqrt_and_division_at_zero_are_what_their_docstrings_say():
    zero = Tensor(np.array([0.0]))
    assert zero.log().item() == -INF and slope(Tensor.log, 0.0) == INF
    assert zero.sqrt().item() == 0 and slope(Tensor.sqrt, 0.0) == INF
    assert (1 / zero).item() == INF and (-1 / zero).item() == -INF and np.isnan((zero / 0).item())
    assert slope(lambda x: 1 / x, 0.0) == -INF
    assert np.isnan(Tensor([-1.0]).log().item()) and np.isnan(Tensor([-1.0]).sqrt().item())


def test_abs_and_relu_have_slope_zero_at_their_kink():
    assert slope(abs, 0.0, -1.0, 2.0).tolist() == [0, -1, 1]
    assert slope(tg.relu, 0.0, -1.0, 2.0).tolist() == [0, 0, 1]


def test_clip_passes_gradient_at_its_bounds_and_none_outside():
    assert slope(lambda x: x.clip(-1, 1), -2.0, -1.0, 0.0, 1.0, 2.0).tolist() == [0, 1, 1, 1, 0]
    assert Tensor([-5.0, 5.0]).clip(high=0).data.tolist() == [-5, 0]
    assert Tensor([-5.0, 5.0]).clip(2, 2).data.tolist() == [2, 2]
    assert np.isnan(Tensor([NAN]).clip(0, 1).item())


@pytest.mark.parametrize("exponent, expected", [(0, 0), (1, 1), (2, 0), (3, 0), (0.5, INF), (-1, -INF)])
def test_the_slope_of_a_power_at_zero(exponent, expected):
    assert slope(lambda x: x**exponent, 0.0).item() == expected


def test_powers_of_negative_numbers():
    assert slope(lambda x: x**2, -3.0).item() == -6
    assert slope(lambda x: x**3, -2.0).item() == 12
    assert np.isnan((Tensor([-2.0]) ** 0.5).item())
    assert (Tensor([-2.0]) ** 3).item() == -8


def test_the_slope_of_an_exponent():
    b = Tensor(np.array([0.0, 1.0, 2.0]), requires_grad=True)
    (Tensor(np.array([0.0, 0.0, 0.0])) ** b).sum().backward()
    assert b.grad.data.tolist() == [-INF, 0, 0]  # 0^b falls off from 1 at b = 0, and is flat beyond
    np.testing.assert_allclose(slope(lambda b: 2.0**b, 3.0), 8 * np.log(2))


def test_a_tie_goes_to_the_first_in_row_major_order():
    x = Tensor(np.array([[2.0, 1.0, 2.0], [2.0, 0.0, 0.0]]), requires_grad=True)
    for expected, cost in [
        ([[1, 0, 0], [0, 0, 0]], x.max()),
        ([[1, 0, 0], [1, 0, 0]], x.max(1).sum()),
        ([[1, 1, 1], [0, 0, 0]], x.max(0).sum()),
        ([[0, 0, 0], [0, 1, 0]], x.min()),
        ([[0, 1, 0], [0, 1, 0]], x.min(1, keepdims=True).sum()),
    ]:
        x.grad = None
        cost.backward()
        assert x.grad.data.tolist() == expected
    assert x.argmax().item() == 0 and x.argmax(1).data.tolist() == [0, 0]


def test_a_nan_wins_a_maximum_and_a_minimum():
    x = Tensor([3.0, NAN, 5.0])
    assert np.isnan(x.max().item()) and np.isnan(x.min().item())
    assert slope(Tensor.max, 3.0, NAN, 5.0).tolist() == [0, 1, 0]


def test_reductions_over_nothing():
    empty = Tensor(np.ones((0, 3)))
    assert empty.sum().item() == 0 and empty.sum(0).data.tolist() == [0, 0, 0]
    for reduce in (Tensor.mean, Tensor.max, Tensor.min, Tensor.argmax):
        with pytest.raises(ValueError, match="no numbers to"):
            reduce(empty)
        with pytest.raises(ValueError, match="no numbers to"):
            reduce(empty, 0)
    assert empty.max(1).shape == (0,) and empty.mean(1, keepdims=True).shape == (0, 1)
    assert empty.argmax(1).shape == (0,)


@pytest.mark.parametrize("reduce", [Tensor.sum, Tensor.mean, Tensor.max, Tensor.min], ids=lambda f: f.__name__)
def test_a_reduction_drops_its_axes_unless_they_shall_be_kept(reduce):
    x = Tensor(np.ones((2, 3)))
    assert reduce(x).shape == () and reduce(x, 1).shape == (2,)
    assert reduce(x, keepdims=True).shape == (1, 1) and reduce(x, 0, keepdims=True).shape == (1, 3)


@pytest.mark.parametrize("make", [tg.sigmoid, tg.tanh, tg.softmax, tg.log_softmax, tg.relu], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_give_finite_values_and_slopes(make, dtype):
    z = Tensor(np.array([1e4, -1e4, 0.0]), dtype=dtype, requires_grad=True)
    a = make(z)
    a.backward(np.array([1.0, 2.0, 3.0]))
    assert np.isfinite(a.data).all() and np.isfinite(z.grad.data).all()


def test_infinite_logits():
    infinite = Tensor([INF, -INF])
    assert tg.sigmoid(infinite).data.tolist() == [1, 0]
    assert tg.tanh(infinite).data.tolist() == [1, -1]
    assert tg.relu(infinite).data.tolist() == [INF, 0]
    assert slope(tg.sigmoid, INF, -INF).tolist() == [0, 0]
    assert tg.softmax(Tensor([-INF, 0.0])).data.tolist() == [0, 1]
    assert np.isnan(tg.softmax(infinite).data).all()  # inf - inf has no answer
    assert np.isnan(tg.relu(Tensor([NAN])).item()) and np.isnan(tg.sigmoid(Tensor([NAN])).item())


def test_cross_entropy_at_the_edges():
    assert tg.cross_entropy(Tensor([[1e4, -1e4]]), [1]).item() == 20000
    assert tg.cross_entropy(Tensor([[1e4, -1e4]]), [0]).item() == 0
    assert tg.cross_entropy(Tensor([[-INF, 1.0]]), [0]).item() == INF
    assert tg.cross_entropy(Tensor([[-INF, 1.0]]), [1]).item() == 0
    z = Tensor([[1e4, -1e4]], requires_grad=True)
    tg.cross_entropy(z, [1]).backward()
    assert z.grad.data.tolist() == [[1, -1]]


# Dropout, batch norm, pooling: the edges of their arguments -----------------------------------------------------------


def test_dropout_of_nothing_and_of_everything():
    x = Tensor([1.0, INF, NAN])
    assert tg.dropout(x, 0.0) is x and tg.dropout(x, 0.9, training=False) is x
    assert tg.dropout(x, 1.0).data.tolist() == [0, 0, 0]
    assert slope(lambda x: tg.dropout(x, 1.0), 1.0, INF).tolist() == [0, 0]


def test_dropout_keeps_the_mean_and_follows_its_generator():
    x = Tensor(np.ones(20000))
    kept = tg.dropout(x, 0.25, rng=np.random.default_rng(0)).data
    assert abs(kept.mean() - 1) < 0.02 and set(np.unique(kept)) == {0.0, 1 / 0.75}
    again = tg.dropout(x, 0.25, rng=np.random.default_rng(0)).data
    np.testing.assert_array_equal(kept, again)
    assert (tg.dropout(x, 0.25).data != tg.dropout(x, 0.25).data).any()


def test_batch_norm_of_equal_numbers_is_its_bias():
    x = Tensor(np.full((2, 3, 2, 2), 7.0), requires_grad=True)
    weight, bias = Tensor(np.ones(3) * 4, requires_grad=True), Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = tg.batch_norm(x, None, None, weight, bias, training=True)
    np.testing.assert_array_equal(y.data, np.broadcast_to([[[[1]], [[2]], [[3]]]], y.shape))
    (y * np.random.default_rng(0).standard_normal(y.shape)).sum().backward()
    assert np.isfinite(x.grad.data).all() and weight.grad.data.tolist() == [0, 0, 0]


def test_batch_norm_follows_the_mean_and_the_unbiased_variance():
    rng = np.random.default_rng(0)
    x, mean, var = rng.standard_normal((3, 2, 2, 2)), Tensor(np.array([1.0, 2.0])), Tensor(np.array([3.0, 4.0]))
    one, zero = Tensor(np.ones(2)), Tensor(np.zeros(2))
    tg.batch_norm(Tensor(x), mean, var, one, zero, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.data, 0.75 * np.array([1, 2]) + 0.25 * x.mean((0, 2, 3)))
    np.testing.assert_allclose(var.data, 0.75 * np.array([3, 4]) + 0.25 * x.var((0, 2, 3), ddof=1))
    before = mean.data.copy(), var.data.copy()
    tg.batch_norm(Tensor(x), mean, var, one, zero)
    np.testing.assert_array_equal((mean.data, var.data), before)


def test_batch_norm_keeps_the_images_type():
    x = Tensor(np.random.default_rng(0).standard_normal((3, 2, 2, 2)))
    wide, narrow = (Tensor(np.ones(2), dtype=d, requires_grad=True) for d in (np.float64, np.float32))
    for training in (True, False):
        for image, other in ((x.astype(np.float32), wide), (x, narrow)):
            running = Tensor(np.zeros(2), dtype=other.dtype), Tensor(np.ones(2), dtype=other.dtype)
            y = tg.batch_norm(image, *running, other, other, training=training)
            assert y.dtype == image.dtype
            other.grad = None
            y.sum().backward()
            assert other.grad.dtype == other.dtype


POOLED = np.array([[1.0, 1.0, 0.0], [1.0, NAN, 0.0], [0.0, 0.0, 0.0]])


def test_a_pool_of_equals_sends_its_gradient_to_the_first(kernel_set):
    x = Tensor(np.ones((1, 1, 2, 4)), requires_grad=True)
    tg.maxpool(x, 2, stride=2).sum().backward()
    assert x.grad.data[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_overlapping_pools_add_up(kernel_set):
    x = Tensor(np.array([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]), requires_grad=True)
    tg.maxpool(x, (2, 2)).sum().backward()
    assert x.grad.data.tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]


def test_a_nan_in_a_window_wins_it(kernel_set):
    x = Tensor(np.array([[1.0, NAN, 5.0, 1.0]]).reshape(1, 1, 1, 4), requires_grad=True)
    y = tg.maxpool(x, (1, 2))
    assert np.isnan(y.data.ravel()[:2]).all() and y.data.ravel()[2] == 5
    y.sum().backward()
    assert x.grad.data.ravel().tolist() == [0, 2, 1, 0]


def test_padding_never_wins(kernel_set):
    x = Tensor(np.full((1, 1, 2, 2), -5.0), requires_grad=True)
    y = tg.maxpool(x, 2, padding=1)
    assert (y.data == -5).all()
    y.sum().backward()
    assert x.grad.data.sum() == 9
    y = tg.maxpool(Tensor(np.full((1, 1, 2, 2), -INF), requires_grad=True), 2, padding=1)
    assert (y.data == -INF).all()


def test_minus_infinity_in_a_window_still_gets_the_gradient(kernel_set):
    x = Tensor(np.full((1, 1, 2, 2), -INF), requires_grad=True)
    tg.maxpool(x, 2, padding=1, stride=2).sum().backward()
    assert x.grad.data[0, 0].tolist() == [[1, 1], [1, 1]]


def test_empty_batches_pass_through_every_layer(kernel_set):
    x = Tensor(np.ones((0, 2, 6, 6), np.float32), requires_grad=True)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(2, 3, 3), tg.nn.ReLU(), tg.nn.MaxPool2d(2), tg.nn.AvgPool2d(1), tg.nn.Flatten(),
        tg.nn.Linear(12, 4), tg.nn.Softmax(),
    )  # fmt: skip
    y = net(x)
    assert y.shape == (0, 4)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert all((p.grad.data == 0).all() for p in net.parameters())


# Indexing -------------------------------------------------------------------------------------------------------------

TABLE = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    "index",
    [
        Tensor([0, 0, 2]), (slice(None), Tensor([1, 1])), [Tensor(0), Tensor(2)], slice(Tensor(0), Tensor(2)),
        Tensor(TABLE > 5), (Tensor(1), 2), np.bool_(True), [], ([], slice(None)), None, ..., (np.int8(1), np.array(2)),
    ],
)  # fmt: skip
def test_indices_of_every_kind(index):
    def plain(i):
        if isinstance(i, tuple | list):
            return type(i)(map(plain, i))
        return i.data if isinstance(i, Tensor) else i

    x = Tensor(TABLE, requires_grad=True)
    y = x[index]
    expected, times = TABLE[plain(index)], np.zeros(12)
    np.testing.assert_array_equal(y.data, expected)
    np.add.at(times, np.asarray(expected, int).ravel(), 1)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data.ravel(), times)


@pytest.mark.parametrize(
    "index", [3, -4, (0, 4), (0, 0, 0), 1.5, "a", Tensor([1.5]), np.ones(2, bool), [[0], [1, 2]], slice(0, 1.5),
              slice(0, 2, 0), [3], {}, (..., ...)], ids=repr,
)  # fmt: skip
def test_indices_that_name_nothing(index):
    with pytest.raises((IndexError, TypeError, ValueError), match=r"^indexing: .*\(shape \(3, 4\)\)$"):
        Tensor(TABLE)[index]


def test_tensors_are_not_assigned_into():
    with pytest.raises(TypeError, match="item assignment"):
        Tensor(TABLE)[0] = 1


def test_an_index_edited_later_does_not_move_the_gradient():
    x, index = Tensor([1.0, 2.0], requires_grad=True), np.array([0, 0])
    y = x[index]
    index[:] = 1
    y.sum().backward()
    assert x.grad.data.tolist() == [2, 0]


def test_a_condition_edited_later_does_not_move_the_gradient():
    x, condition = Tensor([1.0, 2.0], requires_grad=True), np.array([True, False])
    y = tg.where(condition, x, 0.0)
    condition[:] = [False, True]
    y.sum().backward()
    assert x.grad.data.tolist() == [1, 0]


# Products -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a, b", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
                                  ((5, 1, 2, 3), (4, 3, 2)), ((0,), (0,)), ((0, 2, 3), (3, 1))])  # fmt: skip
def test_matmul_has_numpys_ranks(a, b):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(a), rng.standard_normal(b)
    np.testing.assert_allclose((Tensor(x) @ Tensor(y)).data, x @ y)
    assert tg.gradcheck(tg.matmul, Tensor(x), Tensor(y))


# Protocols ------------------------------------------------------------------------------------------------------------


def test_numbers_in_and_out():
    assert float(Tensor(2.5)) == 2.5 and int(Tensor([3])) == 3 and Tensor([[7]]).item() == 7
    assert [10, 20, 30][Tensor(1)] == 20 and bool(Tensor(0.0)) is False and bool(Tensor([1.0])) is True
    assert len(Tensor([1.0, 2.0])) == 2 and [t.item() for t in Tensor([1.0, 2.0])] == [1, 2]
    assert np.asarray(Tensor([1.0])).dtype == np.float32 and np.array(Tensor([1.0]), dtype=int).tolist() == [1]
    assert 1.0 in Tensor([1.0, 2.0]) and 3.0 not in Tensor([1.0, 2.0])
    assert {Tensor([1.0]): 1}  # hashed by identity


def test_an_array_of_a_tensor_is_its_own_memory_unless_a_copy_is_asked_for():
    x = Tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(x), x.data) and not np.shares_memory(np.array(x), x.data)
    assert x.__array__(np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        x.__array__(np.float64, copy=False)


def test_numpy_takes_over_memory_that_no_graph_reads():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for free in (x, Tensor(3.0), Tensor(np.ones((0, 2)))):
        assert np.from_dlpack(free).__array_interface__["data"][0] == free.data.__array_interface__["data"][0]
        np.testing.assert_array_equal(np.from_dlpack(free), free.data)
    assert not np.shares_memory(np.from_dlpack(x, copy=True), x.data)
    backwards, y = x.detach()[::-1], x * x
    for held in (x, y, backwards):
        assert not np.shares_memory(np.from_dlpack(held), held.data)
        np.testing.assert_array_equal(np.from_dlpack(held), held.data)
        with pytest.raises(BufferError, match=r"^this tensor's memory is read by .* it can only be copied$"):
            np.from_dlpack(held, copy=False)


def test_comparisons_hold_no_gradient():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y, expected in [(x == 1, [1, 0]), (x != 1, [0, 1]), (x < 2, [1, 0]), (x <= 2, [1, 1]), (x > 1, [0, 1]),
                        (x >= Tensor([1.0, 3.0]), [1, 0])]:  # fmt: skip
        assert y.dtype == bool and not y.requires_grad and y.data.tolist() == expected
    assert (Tensor(np.array([250], np.uint8)) == -1).data.tolist() == [False]
    assert (x == "a") is False and (x == None) is False  # noqa: E711
    with pytest.raises(ValueError, match="comparison: the integer is too large"):
        x < 10**400  # noqa: B015
    with pytest.raises(ValueError, match=r"^comparison: shapes \(2,\) and \(3,\) do not broadcast$"):
        x < np.ones(3)  # noqa: B015


def test_repr_shows_numbers_type_and_making():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], op=multiply)"
    assert repr(Tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"
    assert repr(Tensor([True])) == "Tensor([ True])" and repr(Tensor(np.array([1], np.int8))).endswith("dtype=int8)")
    assert repr(Tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]])"
    assert repr(tg.nn.Parameter([[1.0], [2.0]])).startswith("Parameter([[1.],\n           [2.]]")
    assert len(repr(Tensor(np.zeros((1000, 1000))))) < 1000
    assert "..." in repr(Tensor(np.zeros(101))) and "..." not in repr(Tensor(np.zeros(100)))
    assert repr(Tensor(np.zeros((0, 3), np.float32))) == "Tensor([], shape=(0, 3))" and repr(Tensor([])) == "Tensor([])"


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_leaves(twin):
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = twin(x * 3)
    assert y.is_leaf and y.requires_grad and y.data.tolist() == [3, 6]
    assert twin(tg.nn.Parameter([1.0])).requires_grad and type(twin(tg.nn.Parameter([1.0]))) is tg.nn.Parameter


def test_a_deep_copy_is_apart_even_while_a_graph_reads_the_original():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    twin = copy.deepcopy([x, x])
    assert twin[0] is twin[1]
    twin[0].data[0] = 9
    y.sum().backward()
    assert x.grad.data.tolist() == [2, 4]


def test_new_data_keeps_shape_and_type():
    x = Tensor([1.0, 2.0])
    x.data = np.array([3.0, 4.0])
    assert x.dtype == np.float32 and x.data.tolist() == [3, 4]
    x.data = [5, 6]
    assert x.data.tolist() == [5, 6]
    other = np.zeros(2, np.float32)
    x.data = other
    other[0] = 1
    assert x.data.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"the new data has shape \(3,\), this tensor \(2,\)"):
        x.data = np.ones(3)


def test_shape_words():
    x = Tensor(np.arange(6.0).reshape(1, 2, 3))
    assert (x.shape, x.ndim, x.size) == ((1, 2, 3), 3, 6)
    assert x.reshape((3, 2)).shape == x.reshape([3, -1]).shape == (3, 2)
    assert x.flatten().shape == (6,) and x.flatten(1).shape == (1, 6) and Tensor(1.0).flatten().shape == (1,)
    assert x.T.shape == (3, 2, 1) and x.swapaxes(0, -1).shape == (3, 2, 1) and x.transpose(2, 0, 1).shape == (3, 1, 2)
    assert x.broadcast_to((4, 1, 2, 3)).shape == (4, 1, 2, 3) and x.broadcast_to(x.shape) is x


@pytest.mark.parametrize("number", [1e300, -1e300, 10**30])
def test_a_number_beyond_the_tensors_range_is_compared_without_a_warning(number):
    x = Tensor(np.ones(2, np.float32))
    assert (x < number).data.all() == (number > 0) and not (x == number).data.any()
