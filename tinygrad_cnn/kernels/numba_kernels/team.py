# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Threads that help with one kernel call: they take its tasks one by one, and nobody waits for one that comes late.

A kernel is compiled once, as ``kernel(progress, ...)``: it takes the next task until none is left. The caller runs it;
the helpers, ordinary Python threads, run the same call beside it (compiled code does not hold the interpreter's lock).
A helper that is still asleep, or whose processor is busy with something else, merely leaves more tasks to the others.
So there is no barrier to stall at, two threads may call kernels at once, and a forked process starts its own helpers.
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
from .compiling import compiled

SMALL_WORK = 2_000_000  # multiply-adds, some 60 microseconds: about what it takes to wake a thread
_PATIENCE = 30_000  # looks at the bell, some 100 microseconds: about the time between two kernels of a training step


def run(kernel: Any, work: float, *arguments: Any) -> None:
    """Run ``kernel(progress, *arguments)``, ``work`` multiply-adds or the like, on as many threads as are set."""
    progress = np.zeros(2, np.intp)
    count = threads.get_num_threads()
    if count == 1 or work < SMALL_WORK:
        kernel(progress, *arguments)
        return
    _team.invite(count - 1, kernel, progress, arguments)
    try:
        tasks = kernel(progress, *arguments)
        _team.job = None
        while not all_done(progress, tasks):
            time.sleep(0)  # a helper's processor is busy elsewhere: offer it this one
    except BaseException:  # Ctrl-C: nobody writes to the arrays once the caller has them back
        _team.stop()
        raise


class _Team:
    """The helpers, and the one job that they are invited to: the latest."""

    def __init__(self) -> None:
        self.job: tuple[int, Any, Any, tuple[Any, ...]] | None = None  # for how many helpers, and what
        self.bell = np.zeros(1, np.intp)
        self.asleep: list[threading.Lock] = []
        self.at_work: set[int] = set()  # or about to look whether there is a job
        self.helpers = 0

    def invite(self, helpers: int, *job: Any) -> None:
        self.job = (helpers, *job)
        self.bell[0] += 1
        while self.helpers < helpers:
            self.helpers += 1
            name = f"tinygrad_cnn-{self.helpers}"
            threading.Thread(target=self.help, args=(self.helpers,), daemon=True, name=name).start()
        try:
            while self.asleep:
                self.asleep.pop().release()
        except IndexError:  # another caller woke the last one
            pass

    def help(self, number: int) -> None:
        bed = threading.Lock()
        bed.acquire()
        heard = 0
        while True:
            if not rung(self.bell, heard, _PATIENCE):
                self.asleep.append(bed)
                if self.bell[0] == heard:
                    bed.acquire()
                else:
                    self._get_up(bed)
            heard = int(self.bell[0])
            self.at_work.add(number)
            if (job := self.job) is not None and number <= job[0]:
                _, kernel, progress, arguments = job
                with contextlib.suppress(MemoryError):  # before its first task: those are left to the others
                    kernel(progress, *arguments)
                del kernel, progress, arguments  # or they would live until the next call
            del job
            self.at_work.discard(number)

    def stop(self) -> None:
        """Withdraw the job, and wait until nobody is at it."""
        self.job = None
        while self.at_work:
            time.sleep(0)

    def _get_up(self, bed: threading.Lock) -> None:
        """Leave the list of sleepers; whoever has taken the bed from it already is about to release it."""
        try:
            self.asleep.remove(bed)
        except ValueError:
            bed.acquire()


_team = _Team()


def _start_anew() -> None:
    """Threads do not survive a fork: the child has a team without helpers."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def _atomic(instruction: str) -> Any:
    """``a[i]`` read, or read and then increased by one, such that other threads see it."""

    @intrinsic
    def look(typing_context, a, i):
        def generate(context, builder, signature, values):
            data = context.make_array(signature.args[0])(context, builder, values[0]).data
            place = builder.gep(data, [values[1]])
            if instruction == "load":
                return builder.load_atomic(place, "acquire", 8)
            return builder.atomic_rmw("add", place, ir.Constant(place.type.pointee, 1), "acq_rel")

        return types.intp(a, i), generate

    return look


_read, _count = _atomic("load"), _atomic("add")


@compiled
def take(progress):
    """The number of the next task that nobody has begun."""
    return _count(progress, 0)


@compiled
def finish(progress):
    """Note that a task is done."""
    _count(progress, 1)


@compiled
def all_done(progress, tasks):
    """Whether every task is finished, after a moment's wait."""
    for _ in range(_PATIENCE):  # noqa: SIM110 - a generator would not compile
        if _read(progress, 1) >= tasks:
            return True
    return False


@compiled
def rung(bell, heard, patience):
    """Whether the bell has rung since ``heard``, after a moment's wait."""
    for _ in range(patience):  # noqa: SIM110 - a generator would not compile
        if _read(bell, 0) != heard:
            return True
    return False
