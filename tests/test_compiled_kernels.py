"""What the compiled kernels promise to the threads that run them, beyond their results."""

import inspect
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the extra `fast`: numba")

import numba

from tinygrad_cnn.kernels import numba_kernels as ours
from tinygrad_cnn.kernels import numpy_kernels, threads
from tinygrad_cnn.kernels.geometry import ConvParams, PoolParams, map_shape
from tinygrad_cnn.kernels.numba_kernels import pooling, workers

A_LOT, LITTLE = 1e9, 1.0  # multiply-adds


@pytest.fixture(autouse=True)
def restored_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def call_every_kernel(batch: int) -> None:
    x, window = numbers(batch, 4, 9, 8), PoolParams((2, 3), (2, 3), (1, 1))
    for how, w in (
        (ConvParams(groups=2), numbers(10, 2, 3, 3)),
        (ConvParams(stride=(2, 2), padding=(1, 1)), numbers(5, 4, 3, 3)),
    ):
        y = ours.correlate2d(x, w, None, how)
        ours.correlate2d_weight(x, y, how, (3, 3))
        ours.convolve2d_full(y, w, how, (9, 8))
    ours.maxpool(x, window, True)
    y, winners = numpy_kernels.maxpool(x, window, True)
    ours.maxpool_scatter(y, winners, window, (9, 8))
    ours.maxpool_gather(x, winners, window)
    ours.avgpool(x, window)
    ours.avgpool_backward(y, window, (9, 8))
    ours.relu_backward(x, x)
    ours.bias_gradient(x)
    channel = numbers(4)
    ours.batch_norm(x, channel, channel, 1e-3)
    ours.batch_norm_backward(x, x, channel, channel, channel)


# -- what `run` is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 16], ids=["few images", "many"])
def test_twice_the_images_are_twice_the_work(batch, monkeypatch):
    """By that number `workers.run` decides whether helpers are worth waking."""

    def told(batch):
        works = []
        monkeypatch.setattr(ours, "run", lambda kernel, work, *_: works.append((kernel.__name__, work)))
        call_every_kernel(batch)
        return works

    once = told(batch)
    assert all(work > 0 for _, work in once)
    assert told(2 * batch) == [(name, 2 * work) for name, work in once]


# -- tasks -----------------------------------------------------------------------------------------------------------

RESULTS = {  # the parameters that a kernel writes to
    "layout.to_layout": ["image"],
    "layout.from_layout": ["x"],
    "convolution.correlate": ["y"],
    "convolution.correlate_weight": ["dw"],
    "convolution.convolve_full": ["x"],
    "pooling.maxpool": ["y", "winners"],
    "pooling.scatter": ["x"],
    "pooling.gather": ["y"],
    "pooling.avgpool": ["y"],
    "pooling.avgpool_backward": ["x"],
    "elementwise.relu_backward": ["out"],
    "elementwise.sums": ["out"],
    "normalization.batch_norm": ["y", "mean", "inv_std"],
    "normalization.batch_norm_backward": ["dx", "dweight", "dbias"],
}


workers_load = workers._load


@numba.njit
def one_task(progress, total):
    """`workers.tasks` for a thread that is given one task only: the number that stands in the first counter."""
    yield workers_load(progress, 0)


def fresh() -> np.ndarray:
    """Two counters at 0: the ``progress`` of a call."""
    return np.zeros(2, np.intp)


def name_of(kernel) -> str:
    return f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"


def alone(kernel):
    """The kernel, compiled to do one task only: the one that ``progress`` begins with."""
    function = kernel.py_func
    return numba.njit(error_model="numpy")(
        FunctionType(function.__code__, function.__globals__ | {"tasks": one_task}, function.__name__)
    )


def forget(a: np.ndarray) -> None:
    a.fill(np.nan if a.dtype.kind == "f" else 77)


def known(a: np.ndarray) -> np.ndarray:
    return ~np.isnan(a) if a.dtype.kind == "f" else a != 77


@pytest.mark.slow
def test_every_place_of_a_result_is_written_by_one_task(monkeypatch):
    """So threads never add to the same number, and what memory held before is nowhere left."""
    versions, shared = {}, set()

    def run(kernel, work, *arguments):
        name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"
        versions.setdefault(name, alone(kernel))
        given = inspect.signature(kernel.py_func).bind(None, *arguments).arguments
        results = [given[parameter] for parameter in RESULTS[name]]
        times = [np.zeros(result.shape, int) for result in results]
        tasks = kernel(fresh(), *arguments)
        for task in range(tasks):
            for result in results:
                forget(result)
            versions[name](np.array([task, 0]), *arguments)
            for result, written in zip(results, times, strict=True):
                written += known(result)
        assert all((written == 1).all() for written in times), name
        kernel(fresh(), *arguments)  # whoever reads the result next finds all of it
        if tasks > 1:
            shared.add(name)

    monkeypatch.setattr(ours, "run", run)
    for batch in (3, 64):
        call_every_kernel(batch)
    # Beyond what the third cache is taken to hold: blocks of maps in four parts that cannot be equal.
    ours.correlate2d_weight(numbers(130, 2, 33, 33), numbers(130, 26, 31, 31), ConvParams(), (3, 3))
    assert shared == set(RESULTS)


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize(
    "window", [PoolParams((2, 2), (2, 2)), PoolParams((3, 2), (2, 2)), PoolParams((2, 2), (3, 3))], ids=str
)
def test_pooling_writes_nothing_beyond_its_results(window, batch):
    def roomy(shape, kind=np.float32):
        wide = np.full((shape[0] + 1, *shape[1:]), 77, kind)
        return wide, wide[:-1]

    x = numbers(3, 8, 8, batch)
    rows, columns = map_shape((8, 8), window.shape, window)
    (wide_y, y), (wide_winners, winners) = roomy((3, rows, columns, batch)), roomy((3, rows, columns, batch), np.uint8)
    pooling.maxpool(fresh(), x, y, winners, tuple(window))
    wide_x, back = roomy(x.shape)
    pooling.scatter(fresh(), y, winners, back, tuple(window), window.tiles, False)
    assert all((wide[-1] == 77).all() for wide in (wide_y, wide_winners, wide_x))


def test_rows_longer_than_a_cache_holds_are_worked_on_in_runs():
    x, g = numbers(1600, 1, 2, 5), numbers(1600, 512, 1, 4)
    expected = numpy_kernels.correlate2d_weight(x, g, ConvParams(), (2, 2))
    dw = ours.correlate2d_weight(x, g, ConvParams(), (2, 2))
    np.testing.assert_allclose(dw, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# -- threads ---------------------------------------------------------------------------------------------------------


_increment = workers._increment


@numba.njit
def finish(progress):
    """What `workers.tasks` does when a task is done."""
    _increment(progress.ctypes.data, 1)


@pytest.fixture
def new_workers(monkeypatch):
    monkeypatch.setattr(workers, "_workers", workers._Workers())
    return workers._workers


def until(condition) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


@pytest.mark.parametrize(("count", "work", "helpers"), [(1, A_LOT, 0), (3, LITTLE, 0), (2, A_LOT, 1), (3, A_LOT, 2)])
def test_only_much_work_is_shared_and_with_as_many_threads_as_are_set(new_workers, count, work, helpers):
    threads.set_num_threads(count)
    together = threading.Barrier(helpers + 1)
    met = []

    def kernel(progress, word):
        together.wait(30)
        met.append((threading.current_thread(), word))
        finish(progress)
        return helpers + 1

    workers.run(kernel, work, "hello")
    assert len({thread for thread, _ in met}) == len(met) == helpers + 1
    assert {word for _, word in met} == {"hello"}


def test_the_caller_waits_for_the_last_task(new_workers):
    threads.set_num_threads(2)
    together, finished = threading.Barrier(2), []

    def kernel(progress):
        together.wait(30)
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)
            finished.append(True)
            finish(progress)
        return 1

    workers.run(kernel, A_LOT)
    assert finished


def test_helpers_fall_asleep_and_are_woken(new_workers):
    threads.set_num_threads(3)
    for _ in range(3):
        together = threading.Barrier(3)

        def kernel(progress, together=together):
            together.wait(30)
            finish(progress)
            return 3

        workers.run(kernel, A_LOT)
        assert until(lambda: len(new_workers.idle) == 2)


def test_of_many_helpers_no_more_take_part_than_are_set(new_workers):
    together, met = threading.Barrier(4), set()

    def all_four(progress):
        together.wait(30)
        finish(progress)
        return 4

    def who(progress):
        met.add(threading.current_thread().name)
        time.sleep(0.05)  # long enough for whoever wakes up
        finish(progress)
        return 1

    threads.set_num_threads(4)
    workers.run(all_four, A_LOT)
    threads.set_num_threads(2)
    for _ in range(3):
        workers.run(who, A_LOT)
    assert met <= {threading.main_thread().name, "tinygrad_cnn-1"}


def test_after_ctrl_c_nobody_writes_any_more(new_workers):
    threads.set_num_threads(2)
    together, written = threading.Barrier(2), []

    def kernel(progress):
        together.wait(30)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.2)
        written.append(True)
        return 1

    with pytest.raises(KeyboardInterrupt):
        workers.run(kernel, A_LOT)
    assert written
    assert new_workers.job is None


def test_a_helper_without_memory_leaves_its_tasks_to_the_others(new_workers):
    threads.set_num_threads(2)
    together = threading.Barrier(2)

    def kernel(progress):
        together.wait(30)
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        finish(progress)
        return 1

    for _ in range(2):
        workers.run(kernel, A_LOT)


# -- the cache on disk -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_edit_of_any_of_the_sources_makes_all_cached_kernels_stale(tmp_path):
    """numba itself looks at the file of the function alone."""
    package, cache = tmp_path / "tinygrad_cnn", tmp_path / "cache"
    shutil.copytree(Path(ours.__file__).parents[2], package, ignore=shutil.ignore_patterns("__pycache__"))
    call = "import numpy, tinygrad_cnn.kernels.numba_kernels as k; k.bias_gradient(numpy.ones((1, 1, 2, 2)))"

    def cached():
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(cache)}
        subprocess.run([sys.executable, "-c", call], check=True, env=environment, cwd=tmp_path)
        return {p.name for p in cache.rglob("elementwise.sums*.nbi")}

    (first,) = cached()
    assert cached() == {first}
    with open(package / "kernels" / "numba_kernels" / "workers.py", "a") as file:  # whose `tasks` is part of `sums`
        file.write("# another thought\n")
    assert len(cached() - {first}) == 1
