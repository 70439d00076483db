"""One setting for threads, and what threads and forks may do at once."""

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from tinygrad_cnn.kernels import threads
from tinygrad_cnn.kernels.geometry import ConvParams

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs the extra `fast`: numba")
needs_threadpoolctl = pytest.mark.skipif(
    importlib.util.find_spec("threadpoolctl") is None, reason="needs the extra `fast`: threadpoolctl"
)


@pytest.fixture(autouse=True)
def restored_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def fresh(code: str, **environment: str) -> str:
    """What a new process prints."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_number_that_is_set_is_the_number_that_is_got():
    for n in (1, 2, np.int64(3)):
        threads.set_num_threads(n)
        assert threads.get_num_threads() == n


def test_the_environment_cannot_ask_for_more_than_the_system_has_room_for(monkeypatch):
    monkeypatch.setenv("TINYGRAD_CNN_NUM_THREADS", "100000")
    assert threads._default() == 1024


@pytest.mark.parametrize("n", [0, -1, 1025, 10**400])
def test_fewer_than_one_thread_or_far_too_many_are_refused(n):
    with pytest.raises(ValueError, match=f"set_num_threads: n must be between 1 and 1024, got {n}"):
        threads.set_num_threads(n)


@pytest.mark.parametrize("n", [True, 2.0, "2", None])
def test_only_integers_are_numbers_of_threads(n):
    with pytest.raises(TypeError, match="set_num_threads: n must be an integer, got"):
        threads.set_num_threads(n)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TINYGRAD_CNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"TINYGRAD_CNN_NUM_THREADS": "", "OMP_NUM_THREADS": " 1 "}, 1),
        ({"TINYGRAD_CNN_NUM_THREADS": "many", "OMP_NUM_THREADS": "0"}, None),
        ({}, None),
    ],
)
def test_default_comes_from_the_environment_then_from_the_affinity_mask(monkeypatch, environment, expected):
    for name in ("TINYGRAD_CNN_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(threads, "_count", None)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.get_num_threads() == (expected or processors)


def test_the_affinity_mask_counts_and_not_all_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 100}, raising=False)
    assert threads.processors() == 3


@pytest.mark.parametrize(("processors", "expected"), [(5, 5), (None, 1)])
def test_without_an_affinity_mask_all_processors_count(monkeypatch, processors, expected):
    for name in ("TINYGRAD_CNN_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(threads, "_count", None)
    assert threads.get_num_threads() == expected


def test_importing_the_setting_imports_no_compiler():
    code = """
        import sys
        from tinygrad_cnn.kernels import threads
        threads.get_num_threads()
        print([name for name in ("numba", "threadpoolctl") if name in sys.modules])
    """
    assert fresh(code) == "[]"


@needs_threadpoolctl
def test_blas_keeps_to_one_thread_beside_the_kernels():
    import threadpoolctl

    if not any(pool["user_api"] == "blas" for pool in threadpoolctl.threadpool_info()):
        pytest.skip("no BLAS that threadpoolctl knows")
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        threads.set_num_threads(2)
        assert {p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"} == {1}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_work_in_parts_reaches_every_place_once(count):
    threads.set_num_threads(count)
    done, names = np.zeros(7, int), set()

    def part(where):
        done[where] += 1
        names.add(threading.current_thread().name)

    threads.in_parts(7, 1e9, part)
    assert (done == 1).all()
    names.discard(threading.current_thread().name)
    assert len(names) < count and all(name.startswith("tinygrad_cnn_") for name in names)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_shares_its_work_out_among_threads_of_its_own():
    threads.set_num_threads(2)

    def finished():
        done = []
        threads.in_parts(2, 1e9, lambda where: done.append(where.start))
        return sorted(done) == [0, 1]

    assert finished()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # rather than to wait forever for the parent's threads
        status = 1
        try:
            status = 0 if finished() else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_error_in_any_part_reaches_the_caller():
    threads.set_num_threads(2)

    def part(where):
        if where.start:
            raise ValueError("the second half")

    with pytest.raises(ValueError, match="the second half"):
        threads.in_parts(2, 1e9, part)


def test_without_threadpoolctl_the_number_is_still_kept(monkeypatch):
    monkeypatch.setattr(threads, "_blas", None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    threads.set_num_threads(2)
    assert threads.get_num_threads() == 2


def test_helping_threads_keep_numpys_warnings_to_themselves():
    threads.set_num_threads(2)
    rows = []
    threads.in_parts(2, 1e9, lambda part: rows.append(np.full(2, 3e38, np.float32) * np.float32(10 * part.start)))
    assert sum(np.isinf(row).all() for row in rows) == 1


# -- the compiled kernels' helpers -----------------------------------------------------------------------------------


def layer():
    """A layer with work for several threads, and its result on one."""
    from tinygrad_cnn.kernels import numba_kernels

    random = np.random.default_rng(0)
    x = random.standard_normal((16, 20, 12, 12)).astype(np.float32)
    w = random.standard_normal((40, 20, 5, 5)).astype(np.float32)
    threads.set_num_threads(1)
    expected = numba_kernels.correlate2d(x, w, None, ConvParams())
    threads.set_num_threads(2)
    return lambda: numba_kernels.correlate2d(x, w, None, ConvParams()), expected


@needs_numba
def test_threads_may_call_kernels_at_once():
    call, expected = layer()
    wrong = []

    def work():
        for _ in range(100):
            if not np.array_equal(call(), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_too():
    call, expected = layer()
    for _ in range(20):
        call()
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(call(), expected) for _ in range(20)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(call(), expected)


@needs_numba
def test_arguments_are_released_after_a_call():
    import time
    import weakref

    from tinygrad_cnn.kernels import numba_kernels

    threads.set_num_threads(2)
    x = np.ones((16, 20, 12, 12), np.float32)
    for _ in range(5):
        w = np.ones((40, 20, 5, 5), np.float32)
        numba_kernels.correlate2d(x, w, None, ConvParams())
        gone = weakref.ref(w)
        del w
        deadline = time.monotonic() + 5
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)  # a helper that came late holds its arguments for a moment
        assert gone() is None


@needs_numba
def test_a_process_ends_while_helpers_wait():
    code = """
        import numpy as np
        from tinygrad_cnn.kernels import numba_kernels, threads
        from tinygrad_cnn.kernels.geometry import ConvParams
        threads.set_num_threads(3)
        x, w = np.ones((64, 8, 12, 12), np.float32), np.ones((16, 8, 5, 5), np.float32)
        for _ in range(10):
            y = numba_kernels.correlate2d(x, w, None, ConvParams())
        print(y.min())
    """
    assert fresh(code) == "200.0"


@needs_numba
def test_kernels_work_where_no_cache_can_be_written(tmp_path):
    code = """
        from numba.core import caching
        for locator in caching.CacheImpl._locator_classes:
            locator.from_function = classmethod(lambda *_: None)
        import numpy as np
        from tinygrad_cnn.kernels import numba_kernels
        from tinygrad_cnn.kernels.geometry import PoolParams
        print(numba_kernels.avgpool(np.ones((2, 1, 4, 4)), PoolParams((2, 2))).sum())
    """
    assert fresh(code) == "18.0"
