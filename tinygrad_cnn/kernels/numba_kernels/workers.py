# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Threads that share the tasks of one kernel call, without a barrier.

A kernel is compiled once, as ``kernel(progress, ...)``, and loops over `tasks`: each takes the next number that no
thread has begun. The caller runs the kernel, and the workers, ordinary Python threads, run the same call beside it
(compiled code does not hold the interpreter's lock). A worker that is asleep, or whose processor is busy, merely leaves
more tasks to the others; two threads may call kernels at once; and a forked process starts workers of its own.
"""

import contextlib
import os
import threading
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .. import threads
from .compiling import compiled, compiled_with_its_caller

MIN_SHARED_WORK = 2_000_000  # multiply-adds, some 60 microseconds: about the time that it takes to wake a thread
_SPIN_LIMIT = 30_000  # reads of a counter, some 100 microseconds: about the time between two kernels of a training step


def run(kernel: Any, work: float, *arguments: Any) -> None:
    """Run ``kernel(progress, *arguments)`` on the threads that are set; ``work`` is its size in multiply-adds."""
    progress = np.zeros(2, np.intp)  # tasks begun, tasks finished
    count = threads.get_num_threads()
    if count == 1 or work < MIN_SHARED_WORK:
        kernel(progress, *arguments)
        return
    _workers.submit(count - 1, kernel, progress, arguments)
    try:
        total = kernel(progress, *arguments)
        _workers.job = None
        while not all_finished(progress, total):
            time.sleep(0)  # a worker's processor is busy with something else: offer it this one
    except BaseException:  # Ctrl-C: no worker may write to the arrays once the caller has them back
        _workers.stop()
        raise


class _Workers:
    """The worker threads and their current job, the latest one submitted."""

    def __init__(self) -> None:
        self.job: tuple[int, Any, Any, tuple[Any, ...]] | None = None  # number of workers, kernel, progress, arguments
        self.epoch = np.zeros(1, np.intp)  # the number of jobs submitted
        self.idle: list[threading.Lock] = []  # the locks that sleeping workers wait for
        self.active: set[int] = set()  # workers that run a job, or are about to read it
        self.count = 0

    def submit(self, workers: int, *job: Any) -> None:
        self.job = (workers, *job)
        self.epoch[0] += 1
        while self.count < workers:
            self.count += 1
            name = f"tinygrad_cnn-{self.count}"
            threading.Thread(target=self._work, args=(self.count,), daemon=True, name=name).start()
        try:
            while self.idle:
                self.idle.pop().release()
        except IndexError:  # another caller woke the last one
            pass

    def stop(self) -> None:
        """Withdraw the job, and wait until no worker runs it."""
        self.job = None
        while self.active:
            time.sleep(0)

    def _work(self, number: int) -> None:
        lock = threading.Lock()
        lock.acquire()
        seen = 0
        while True:
            if not has_changed(self.epoch, seen, _SPIN_LIMIT):
                self.idle.append(lock)
                if self.epoch[0] == seen:
                    lock.acquire()
                else:
                    self._leave_idle(lock)
            seen = int(self.epoch[0])
            self.active.add(number)
            if (job := self.job) is not None and number <= job[0]:
                _, kernel, progress, arguments = job
                with contextlib.suppress(MemoryError):  # before its first task: those are left to the other threads
                    kernel(progress, *arguments)
                del kernel, progress, arguments  # or they would live until the next call
            del job
            self.active.discard(number)

    def _leave_idle(self, lock: threading.Lock) -> None:
        """Leave the list of idle workers; a caller that has taken the lock from it already is about to release it."""
        try:
            self.idle.remove(lock)
        except ValueError:
            lock.acquire()


_workers = _Workers()


def _reset_after_fork() -> None:
    """Threads do not survive a fork: the child starts without workers."""
    global _workers
    _workers = _Workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _atomic(instruction: str) -> Any:
    """Make ``f(address, i)``: the i-th counter read ("load"), or read and increased ("add"), visibly to all threads."""

    @intrinsic
    def access(typing_context, address, i):
        def generate(context, builder, signature, values):
            number = ir.IntType(64)
            place = builder.gep(builder.inttoptr(values[0], number.as_pointer()), [values[1]])
            if instruction == "load":
                return builder.load_atomic(place, "acquire", 8)
            return builder.atomic_rmw("add", place, ir.Constant(number, 1), "acq_rel")

        return types.intp(address, i), generate

    return access


_load, _increment = _atomic("load"), _atomic("add")


@compiled_with_its_caller
def tasks(progress, total):
    """Iterate over this thread's tasks: numbers below ``total``, each of which one thread gets.

    ``progress`` is the address of the counters: a generator would never release an array.
    """
    task = _increment(progress, 0)
    while task < total:
        yield task
        _increment(progress, 1)
        task = _increment(progress, 0)


@compiled
def all_finished(progress, total):
    """True once every task is finished, False after a moment's wait."""
    for _ in range(_SPIN_LIMIT):  # noqa: SIM110 - a generator expression would not compile
        if _load(progress.ctypes.data, 1) >= total:
            return True
    return False


@compiled
def has_changed(counter, seen, reads):
    """True once the counter differs from ``seen``, False after so many reads."""
    for _ in range(reads):  # noqa: SIM110 - a generator expression would not compile
        if _load(counter.ctypes.data, 0) != seen:
            return True
    return False
