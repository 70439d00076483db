"""The store of large temporaries: memory is used again once nothing else refers to it, and only then."""

import functools
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinygrad_cnn.kernels import memory

KIB = 1 << 10


def in_a_thread_of_its_own(test):
    """Each thread has a store of its own: the test begins with an empty one."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(test, *args, **kwargs).result()

    return run


def made(size):
    """Memory that is in use, and a way to look at it later without using it."""
    a = memory.empty((size,), np.uint8)
    return a, weakref.ref(a.base)


@in_a_thread_of_its_own
def test_memory_that_is_not_used_any_more_is_used_again():
    a, buffer = made(100 * KIB)
    del a
    assert memory.empty((100 * KIB,), np.uint8).base is buffer()
    assert memory.empty((25, 1, KIB), np.float32).base is buffer()


@in_a_thread_of_its_own
def test_memory_is_in_use_as_long_as_any_view_of_it_is():
    a, buffer = made(100 * KIB)
    view = a.reshape(100, KIB)[3:, ::2].T
    del a
    other = memory.empty((100 * KIB,), np.uint8)
    assert other.base is not buffer() and not np.shares_memory(other, view)
    del view
    assert memory.empty((100 * KIB,), np.uint8).base is buffer()


@pytest.mark.parametrize(
    ("size", "again"), [(400 * KIB, True), (400 * KIB + 1, False), (200 * KIB, True), (200 * KIB - 1, False)]
)
@in_a_thread_of_its_own
def test_memory_is_used_again_for_what_fits_and_fills_half_of_it(size, again):
    a, buffer = made(400 * KIB)
    del a
    assert (memory.empty((size,), np.uint8).base is buffer()) == again


@in_a_thread_of_its_own
def test_a_later_buffer_is_found_behind_one_that_does_not_fit_and_one_that_is_in_use():
    (small, _), (used, _), (a, buffer) = made(64 * KIB), made(300 * KIB), made(300 * KIB)
    del small, a
    assert memory.empty((300 * KIB,), np.uint8).base is buffer()
    assert used.size == 300 * KIB


def test_small_arrays_are_numpys_own():
    assert memory.empty((64 * KIB - 1,), np.uint8).base is None
    assert memory.empty((64 * KIB,), np.uint8).base is not None
    assert memory.empty((8 * KIB - 1,), np.float64).base is None


@pytest.mark.parametrize(("limit", "given_back"), [(100 * KIB + 300 * KIB - 1, True), (100 * KIB + 300 * KIB, False)])
@in_a_thread_of_its_own
def test_idle_memory_beyond_the_limit_goes_back_to_the_system(limit, given_back):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_MAX_IDLE_BYTES", limit)
        (a, first), (b, second), (used, third) = made(100 * KIB), made(300 * KIB), made(1000 * KIB)
        del a, b
        large, _ = made(3000 * KIB)
        assert [first() is None, second() is None, third() is None] == [given_back, given_back, False]
        del used
        assert memory.empty((1000 * KIB,), np.uint8).base is third()
        assert large.size == 3000 * KIB


@in_a_thread_of_its_own
def test_threads_do_not_share_their_idle_memory():
    a, buffer = made(100 * KIB)
    del a
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(made, 100 * KIB).result()[0]
    assert other.base is not buffer()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3), (40, 1, 5, 301)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_an_array_has_the_shape_and_type_that_were_asked_for(shape, dtype):
    a = memory.empty(shape, dtype)
    assert a.shape == shape and a.dtype == dtype and a.flags.carray
    a.fill(7)
    del a
    a = memory.zeros(shape, dtype)  # in the same memory, where it was large
    assert a.shape == shape and a.dtype == dtype and not a.any()


@pytest.mark.parametrize("scale", [1, 20], ids=["small", "large"])
def test_an_array_like_another_lies_in_memory_as_that_one_does(scale):
    a = np.zeros((2 * scale, 3, 5 * scale, 7), np.float32)
    for b in (a, a.transpose(1, 0, 3, 2), a.transpose(3, 2, 1, 0)):
        for dtype in (np.float32, np.float64):
            like = memory.empty_like(b, dtype)
            assert like.shape == b.shape and like.dtype == dtype
            assert like.strides == tuple(s * like.itemsize // b.itemsize for s in b.strides)
        assert memory.empty_like(b).dtype == np.float32 and memory.empty_like(b).strides == b.strides
    assert memory.empty_like(a[:, :, ::-2]).shape == a[:, :, ::-2].shape


@pytest.mark.parametrize("n", [2, 500])
def test_images_lie_batch_innermost(n):
    images = memory.empty_images(n, 3, 4, 5, np.float32)
    assert images.shape == (n, 3, 4, 5) and images.dtype == np.float32
    assert images.transpose(1, 2, 3, 0).flags.carray
    assert np.shares_memory(memory.batch_innermost(images), images)  # as they are
    images[...] = np.random.default_rng(0).random(images.shape)
    copy = memory.batch_innermost(np.ascontiguousarray(images))
    assert copy.flags.carray and copy.dtype == np.float32 and not np.shares_memory(copy, images)
    np.testing.assert_array_equal(copy.transpose(3, 0, 1, 2), images)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_kept_is_an_exact_zero(dtype):
    g = np.array([[1.5, np.nan, -np.inf], [-0.0, 2.0, np.nan]], dtype)
    kept = np.array([[True, False, False], [True, True, False]])
    out = np.full_like(g, 9)
    for a, b, c in ((g, kept, out), (g.T, kept.T, out.T), (g[:, ::-1], kept[:, ::-1], out[:, ::-1])):
        assert memory.keep_where(a, b, c) is c
        assert out.tobytes() == np.array([[1.5, 0, 0], [-0.0, 2, 0]], dtype).tobytes()


@in_a_thread_of_its_own
def test_a_view_is_alone_once_nothing_else_lives_in_its_memory():
    whole = np.ones(4)
    assert memory.is_alone(whole)
    view = whole[1:]
    assert not memory.is_alone(view)
    del whole
    assert memory.is_alone(view)
    a = memory.empty((100 * KIB,), np.uint8)
    assert memory.is_alone(a)
    b = a[::2]
    assert not memory.is_alone(a) and not memory.is_alone(b)
    del a
    assert memory.is_alone(b)
