"""Every kernel set computes what the article's literal `scipy.signal` calls compute."""

import importlib
import importlib.util
from types import ModuleType

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinygrad_cnn.kernels import scipy_kernels as reference
from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.geometry import ConvParams, PoolParams, dilated_size

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs the extra `fast`: numba")
each_set = pytest.mark.parametrize("name", ["numpy", pytest.param("numba", marks=needs_numba)])
each_setting, small_setting = examples(60), examples(25)


def kernels(name: str) -> ModuleType:
    return importlib.import_module(f"tinygrad_cnn.kernels.{name}_kernels")


@pytest.fixture(autouse=True)
def restored_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


# -- cases, built forwards: a filter and its movement first, then an image that it fits on ---------------------------

sizes = st.integers(1, 3)
pairs = st.tuples(sizes, sizes)
batches = st.sampled_from([0, 1, 2, 5, 8, 33])
dtypes = st.sampled_from([np.float64, np.float32])


class Numbers:
    """Arrays drawn from a seed, in a memory order that is drawn too; all of them read-only."""

    def __init__(self, seed: int, dtype: type, order: int) -> None:
        self.random, self.dtype, self.order = np.random.default_rng(seed), dtype, order

    def array(self, *shape: int) -> np.ndarray:
        return self.lay(self.random.standard_normal(shape).astype(self.dtype))

    def with_ties(self, *shape: int) -> np.ndarray:
        """Many equal numbers, some NaN, some minus infinity."""
        a = self.random.integers(-3, 3, shape).astype(self.dtype)
        a[a == -3] = -np.inf
        a[self.random.random(shape) < 0.05] = np.nan
        return self.lay(a)

    def lay(self, a: np.ndarray) -> np.ndarray:
        if a.ndim == 4 and self.order == 1:  # batch innermost
            a = np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
        elif self.order == 2:  # every second number of something larger, backwards
            wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
            wide[..., ::-2] = a
            a = wide[..., ::-2]
        a.flags.writeable = False
        return a


numbers = st.builds(Numbers, st.integers(0, 2**32), dtypes, st.integers(0, 2))


@st.composite
def slidings(draw):
    """How filters slide, the shapes of filters and images, and numbers to fill them with."""
    groups = draw(st.integers(1, 2))
    how = ConvParams(draw(pairs), draw(st.tuples(st.integers(0, 2), st.integers(0, 2))), draw(pairs), groups)
    kernel = draw(pairs)
    filters = groups * draw(st.sampled_from([1, 2, 3, 5, 9]))
    channels = groups * draw(st.integers(1, 3))
    image = fitting(draw, kernel, how)
    return how, (draw(batches), channels, *image), (filters, channels // groups, *kernel), draw(numbers)


@st.composite
def poolings(draw):
    kernel = draw(pairs)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    window = PoolParams(kernel, draw(st.one_of(pairs, st.just(kernel))), padding, draw(pairs))
    image = fitting(draw, kernel, window._replace(padding=(0, 0)))
    return window, (draw(batches), draw(sizes), *image), draw(numbers)


def fitting(draw, kernel, how):
    """An image at least as large as the window on it."""
    least = [max(1, dilated_size(k, d) - 2 * p) for k, d, p in zip(kernel, how.dilation, how.padding, strict=True)]
    return tuple(size + draw(st.integers(0, 5)) for size in least)


def agree(ours: np.ndarray, theirs: np.ndarray, terms: int = 1) -> None:
    """Equal up to the rounding of a sum of so many terms of size one."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert_allclose(ours, theirs, rtol=1e-5 if ours.dtype == np.float32 else 1e-12,
                    atol=8 * np.finfo(ours.dtype).eps * np.sqrt(terms + 1))  # fmt: skip


# -- the sets agree --------------------------------------------------------------------------------------------------


@each_set
@given(slidings(), st.booleans())
@each_setting
def test_sliding_kernels_agree(name, case, biased):
    how, image, filters, numbers = case
    x, w = numbers.array(*image), numbers.array(*filters)
    bias = numbers.array(filters[0]) if biased else None
    y = reference.correlate2d(x, w, bias, how)
    agree(kernels(name).correlate2d(x, w, bias, how), y, w[0].size)
    g = numbers.array(*y.shape)
    agree(kernels(name).correlate2d_weight(x, g, how, w.shape[2:]),
          reference.correlate2d_weight(x, g, how, w.shape[2:]), g[:, 0].size)  # fmt: skip
    agree(kernels(name).convolve2d_full(g, w, how, x.shape[2:]),
          reference.convolve2d_full(g, w, how, x.shape[2:]), w[:, 0].size)  # fmt: skip


@each_set
@given(poolings())
@each_setting
def test_maxpool_agrees_on_ties_and_nan(name, case):
    window, image, numbers = case
    x = numbers.with_ties(*image)
    expected, winners = reference.maxpool(x, window, True)
    y, found = kernels(name).maxpool(x, window, True)
    assert y.dtype == x.dtype and np.issubdtype(found.dtype, np.integer)
    assert_array_equal(y, expected)
    assert_array_equal(found, winners)
    without, _ = kernels(name).maxpool(x, window, False)
    assert_array_equal(without, expected)
    assert_array_equal(kernels(name).maxpool_gather(x, found, window), expected)


@each_set
@given(poolings())
@each_setting
def test_pooling_rules_agree(name, case):
    window, image, numbers = case
    ours, x = kernels(name), numbers.array(*image)
    y, winners = reference.maxpool(x, window, True)
    g = numbers.array(*y.shape)
    for same in (winners, ours.maxpool(x, window, True)[1]):
        agree(ours.maxpool_scatter(g, same, window, x.shape[2:]),
              reference.maxpool_scatter(g, winners, window, x.shape[2:]), 9)  # fmt: skip
        assert_array_equal(ours.maxpool_gather(x, same, window), y)
    agree(ours.avgpool(x, window), reference.avgpool(x, window), 9)
    agree(ours.avgpool_backward(g, window, x.shape[2:]), reference.avgpool_backward(g, window, x.shape[2:]), 9)


@each_set
@given(st.tuples(st.integers(1, 9), sizes, sizes, sizes), numbers, st.sampled_from([0, 1000]))
@small_setting
def test_batch_norm_is_its_formula(name, shape, numbers, far):
    if not hasattr(kernels(name), "batch_norm"):
        pytest.skip(f"{name} has no batch_norm")
    x = numbers.lay(numbers.array(*shape) + numbers.dtype(far))
    weight, bias, g = numbers.array(shape[1]), numbers.array(shape[1]), numbers.array(*shape)
    y, mean, inv_std = kernels(name).batch_norm(x, weight, bias, 1e-3)
    dx, dweight, dbias = kernels(name).batch_norm_backward(g, x, weight, mean, inv_std)
    assert {a.dtype for a in (y, mean, inv_std, dx, dweight, dbias)} == {x.dtype}

    wide, axes, column = x.astype(np.float64), (0, 2, 3), (-1, 1, 1)
    scale = 1 / np.sqrt(wide.var(axes) + 1e-3)
    normal = (wide - wide.mean(axes).reshape(column)) * scale.reshape(column)
    tolerance = {"rtol": 1e-3, "atol": 1e-3 if far == 0 else 0.05} if x.dtype == np.float32 else {"atol": 1e-9}
    assert_allclose(mean, wide.mean(axes), **tolerance)
    assert_allclose(inv_std, scale, **tolerance)
    assert_allclose(y, normal * weight.reshape(column) + bias.reshape(column), **tolerance)
    assert_allclose(dbias, g.sum(axes, dtype=float), **tolerance)
    tolerance["atol"] *= 30 * g.size**0.5 if far else 1
    assert_allclose(dweight, (g * normal).sum(axes), **tolerance)
    expected = g - g.mean(axes, keepdims=True) - normal * (g * normal).mean(axes, keepdims=True)
    assert_allclose(dx, expected * (weight * scale).reshape(column), **tolerance)


@each_set
@pytest.mark.parametrize("order", [0, 1], ids=["channels innermost", "batch innermost"])
def test_batch_norm_sums_in_float64(name, order):
    """Added up in float32 one by one, so many numbers would be off by ten times what is allowed here."""
    numbers = Numbers(0, np.float32, order)
    x = numbers.lay(np.random.default_rng(0).random((1 << 16, 2, 1, 1), np.float32))
    one, zero, wide = np.ones(2, np.float32), np.zeros(2, np.float32), x.astype(np.float64)
    _, mean, inv_std = kernels(name).batch_norm(x, one, zero, 1e-3)
    _, dweight, dbias = kernels(name).batch_norm_backward(x, x, one, mean, inv_std)
    for sums, expected in (
        (mean, wide.mean((0, 2, 3))),
        (inv_std, (wide.var((0, 2, 3)) + 1e-3) ** -0.5),
        (dbias, wide.sum((0, 2, 3))),
        (dweight, len(x) * wide.var((0, 2, 3)) * (wide.var((0, 2, 3)) + 1e-3) ** -0.5),
    ):
        assert_allclose(sums, expected, rtol=2e-7)


@each_set
@pytest.mark.parametrize("shape", [(), (0, 3), (5, 2, 3, 1), (40, 3, 20, 20)])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_gate_lets_pass_what_it_is_told_to_whatever_is_elsewhere(name, shape, order):
    numbers = Numbers(0, np.float32, order if len(shape) == 4 else 0)
    g, a = numbers.with_ties(*shape), numbers.array(*shape)
    passed = kernels(name).relu_backward(g, a)
    assert passed.dtype == g.dtype
    assert_array_equal(passed, np.where(a > 0, g, np.float32(0)))


@each_set
@pytest.mark.parametrize("batch", [1, 7, 8, 9, 33])
def test_pooling_is_the_same_for_few_images_and_for_many(name, batch):
    window, numbers = PoolParams((2, 3), (2, 1), (1, 1), (1, 2)), Numbers(0, np.float32, 0)
    x = numbers.with_ties(batch, 3, 6, 8)
    ours = kernels(name)
    y, winners = reference.maxpool(x, window, True)
    assert_array_equal(ours.maxpool(x, window, False)[0], y)
    for result, expected in zip(ours.maxpool(x, window, True), (y, winners), strict=True):
        assert_array_equal(result, expected)
    g = numbers.array(*y.shape)
    agree(ours.maxpool_scatter(g, winners, window, (6, 8)), reference.maxpool_scatter(g, winners, window, (6, 8)), 9)
    assert_array_equal(ours.maxpool_gather(x, winners, window), y)


@each_set
@pytest.mark.parametrize("batch", [1, 5, 21])
@pytest.mark.parametrize("stride", [(2, 2), (1, 1), (3, 2)], ids=str)
def test_the_usual_overlay_has_a_way_of_its_own(name, stride, batch):
    """2 x 2 without padding: on images whose sides no power of two divides."""
    window, x = PoolParams((2, 2), stride), np.random.default_rng(batch).standard_normal((batch, 3, 7, 38))
    y, winners = reference.maxpool(x, window, True)
    for result, expected in zip(kernels(name).maxpool(x, window, True), (y, winners), strict=True):
        assert_array_equal(result, expected)
    back = reference.maxpool_scatter(y, winners, window, (7, 38))
    agree(kernels(name).maxpool_scatter(y, winners, window, (7, 38)), back, 4)


@each_set
@pytest.mark.parametrize("kernel", [(5, 51), (16, 16), (16, 17), (300, 1), (1, 300)])
@pytest.mark.parametrize("batch", [1, 9])
def test_the_last_of_many_taps_can_win(name, kernel, batch):
    """There may be more of them than a byte can tell apart."""
    x, window = np.zeros((batch, 2, *kernel), np.float32), PoolParams(kernel, kernel)
    x[..., -1, -1] = 1
    y, winners = kernels(name).maxpool(x, window, True)
    assert (y == 1).all() and (winners == kernel[0] * kernel[1] - 1).all()
    assert_array_equal(kernels(name).maxpool_scatter(y, winners, window, kernel), x)
    assert_array_equal(kernels(name).maxpool_gather(x, winners, window), y)


# -- shapes that fill tiles, and those that just do not --------------------------------------------------------------


@pytest.mark.slow
@each_set
@pytest.mark.parametrize(
    ("image", "filters", "how"),
    [
        ((64, 1, 12, 12), (20, 1, 5, 5), ConvParams()),
        ((32, 5, 8, 8), (10, 5, 5, 5), ConvParams()),
        ((1, 20, 12, 12), (40, 20, 5, 5), ConvParams()),
        ((37, 3, 9, 9), (17, 3, 3, 3), ConvParams(padding=(1, 1))),
        ((64, 8, 8, 8), (16, 4, 3, 3), ConvParams(stride=(2, 2), padding=(1, 1), groups=2)),
        ((3, 7, 6, 6), (7, 1, 3, 3), ConvParams(groups=7)),
        ((2, 4, 9, 9), (4, 4, 1, 1), ConvParams(stride=(3, 3))),
        (
            (16, 18, 8, 9),
            (8, 9, 3, 5),
            ConvParams(padding=(2, 4), dilation=(2, 2), groups=2),
        ),  # maps as large as images
        ((130, 2, 33, 33), (26, 2, 3, 3), ConvParams()),  # gradients beyond what the third cache is taken to hold
    ],
)
def test_larger_shapes_agree(name, image, filters, how):
    numbers = Numbers(0, np.float32, 0)
    x, w, bias = numbers.array(*image), numbers.array(*filters), numbers.array(filters[0])
    y = reference.correlate2d(x, w, bias, how)
    g = numbers.array(*y.shape)
    ours = kernels(name)
    for result, expected in (
        (ours.correlate2d(x, w, bias, how), y),
        (ours.correlate2d_weight(x, g, how, w.shape[2:]), reference.correlate2d_weight(x, g, how, w.shape[2:])),
        (ours.convolve2d_full(g, w, how, x.shape[2:]), reference.convolve2d_full(g, w, how, x.shape[2:])),
    ):
        assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@each_set
@given(slidings())
@small_setting
def test_arguments_stay_as_they_are(name, case):
    how, image, filters, numbers = case
    ours, window = kernels(name), PoolParams((1, 1))
    given_arrays = x, w, bias = numbers.array(*image), numbers.array(*filters), numbers.array(filters[0])
    before = [a.copy() for a in given_arrays]
    y = ours.correlate2d(x, w, bias, how)
    g = numbers.lay(y)
    ours.correlate2d_weight(x, g, how, w.shape[2:])
    ours.convolve2d_full(g, w, how, x.shape[2:])
    ours.maxpool_scatter(g, ours.maxpool(g, window, True)[1], window, y.shape[2:])
    for a, as_it_was in zip((*given_arrays, g), (*before, y), strict=True):
        assert_array_equal(a, as_it_was)


@each_set
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_spreads_to_its_windows_only(name, value):
    x = np.zeros((33, 1, 6, 7), np.float32)
    x[4, 0, 2, 3] = value
    w = np.ones((3, 1, 2, 2), np.float32)
    y = kernels(name).correlate2d(x, w, None, ConvParams())
    touched = np.zeros(y.shape, bool)
    touched[4, :, 1:3, 2:4] = True
    assert_array_equal(~np.isfinite(y), touched)
    assert_array_equal(np.isnan(y), touched & np.isnan(value))
    dx = kernels(name).convolve2d_full(x, np.ones((1, 2, 3, 2), np.float32), ConvParams(), (8, 8))
    touched = np.zeros(dx.shape, bool)
    touched[4, :, 2:5, 3:5] = True
    assert_array_equal(~np.isfinite(dx), touched)
    assert not np.isfinite(kernels(name).correlate2d_weight(x, y, ConvParams(), (2, 2))).any()


@each_set
def test_images_of_nothing(name):
    ours, how, window = kernels(name), ConvParams(padding=(1, 1)), PoolParams((2, 2), (2, 2))
    x, w = np.zeros((0, 2, 4, 4)), np.ones((3, 2, 3, 3))
    assert ours.correlate2d(x, w, np.ones(3), how).shape == (0, 3, 4, 4)
    assert_array_equal(ours.correlate2d_weight(x, np.zeros((0, 3, 4, 4)), how, (3, 3)), np.zeros(w.shape))
    assert ours.convolve2d_full(np.zeros((0, 3, 4, 4)), w, how, (4, 4)).shape == x.shape
    y, winners = ours.maxpool(x, window, True)
    assert y.shape == winners.shape == (0, 2, 2, 2)
    assert ours.maxpool_scatter(y, winners, window, (4, 4)).shape == x.shape


# -- threads ---------------------------------------------------------------------------------------------------------


@each_set
@given(slidings())
@small_setting
def test_bits_do_not_depend_on_threads(name, case):
    how, image, filters, numbers = case
    x, w, bias = numbers.array(*image), numbers.array(*filters), numbers.array(filters[0])
    assert_same_bits_on_any_number_of_threads(name, x, w, bias, how)


@each_set
@pytest.mark.parametrize("batch", [7, 64])
def test_bits_of_large_layers_do_not_depend_on_threads(name, batch):
    numbers = Numbers(1, np.float32, 0)
    x, w = numbers.array(batch, 20, 12, 12), numbers.array(40, 20, 5, 5)
    for _ in range(5):
        assert_same_bits_on_any_number_of_threads(name, x, w, numbers.array(40), ConvParams())


@pytest.mark.slow
@each_set
def test_bits_of_gradients_beyond_the_third_cache_do_not_depend_on_threads(name):
    numbers = Numbers(1, np.float32, 1)
    x, w = numbers.array(130, 2, 33, 33), numbers.array(26, 2, 3, 3)
    for _ in range(5):
        assert_same_bits_on_any_number_of_threads(name, x, w, None, ConvParams(), counts=(1, 8))


def assert_same_bits_on_any_number_of_threads(name, x, w, bias, how, counts=(1, 2, 3)):
    ours, window = kernels(name), PoolParams((2, 2), (1, 1))
    results = []
    for count in counts:
        threads.set_num_threads(count)
        y = ours.correlate2d(x, w, bias, how)
        parts = [y, ours.correlate2d_weight(x, y, how, w.shape[2:]), ours.convolve2d_full(y, w, how, x.shape[2:])]
        if min(y.shape[2:]) > 1 and len(y):
            pooled, winners = ours.maxpool(y, window, True)
            parts += [pooled, winners, ours.maxpool_scatter(pooled, winners, window, y.shape[2:])]
            parts += [ours.avgpool(y, window), ours.avgpool_backward(pooled, window, y.shape[2:])]
        results.append(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    assert len(set(results)) == 1


@needs_numba
@given(slidings(), poolings())
@small_setting
def test_a_compiled_kernel_counts_its_tasks(sliding, pooling):
    """`workers.run` waits until so many are finished: with fewer, it would go on while a worker still computes."""
    ours = kernels("numba")
    how, image, filters, numbers = sliding
    window, larger, _ = pooling

    def counted(kernel, work, *arguments):
        progress = np.zeros(2, np.intp)
        tasks = kernel(progress, *arguments)
        assert progress.tolist() == [tasks + 1, tasks]  # the last one asked for was one too many
        assert kernel(progress, *arguments) == tasks  # a helper that comes late
        assert progress.tolist() == [tasks + 2, tasks]  # finds nothing to do
        assert kernel.nopython_signatures  # and was compiled, to leave Python to the other threads

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "run", counted)
        x, w = numbers.array(*image), numbers.array(*filters)
        y = ours.correlate2d(x, w, None, how)
        ours.correlate2d_weight(x, y, how, w.shape[2:])
        ours.convolve2d_full(y, w, how, x.shape[2:])
        x = numbers.array(*larger)
        y, winners = ours.maxpool(x, window, True)
        ours.maxpool_scatter(y, winners, window, x.shape[2:])
        ours.maxpool_gather(x, winners, window)
        ours.avgpool_backward(ours.avgpool(x, window), window, x.shape[2:])
        ours.relu_backward(x, x)
        ours.bias_gradient(x)
        if len(x):
            channel = np.ones(x.shape[1], x.dtype)
            ours.batch_norm_backward(x, x, channel, *ours.batch_norm(x, channel, channel, 1e-3)[1:])


@needs_numba
@pytest.mark.parametrize("filters", [3, 4, 11])
@pytest.mark.parametrize("batch", [1, 5, 6])
def test_few_places_and_many_are_one_formula(filters, batch):
    """5 x 8 places an image: at most 200 of them, and at least 4 filters a group, are a product of their own."""
    random = np.random.default_rng(batch)
    x, w = random.standard_normal((batch, 4, 7, 12)), random.standard_normal((2 * filters, 2, 3, 5))
    g, how, ours = random.standard_normal((batch, 2 * filters, 5, 8)), ConvParams(groups=2), kernels("numba")
    agree(ours.correlate2d(x, w, None, how), reference.correlate2d(x, w, None, how), w[0].size)
    agree(ours.convolve2d_full(g, w, how, (7, 12)), reference.convolve2d_full(g, w, how, (7, 12)), w[:, 0].size)
    agree(ours.correlate2d_weight(x, g, how, (3, 5)), reference.correlate2d_weight(x, g, how, (3, 5)), g[:, 0].size)
