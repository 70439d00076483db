"""One contender in a process of its own: it runs when told to, and sleeps while others run.

Started by `measure.Worker`, with the contender's name and the number of threads; then pickled commands come on
standard input and pickled replies go to standard output.
"""

import importlib
import importlib.metadata
import os
import pickle
import resource
import sys
import time
from typing import Any, BinaryIO

import numpy as np
import peers
import workloads

QUIET_WAIT, QUIET_LIMIT = 0.005, 0.5  # seconds


class Server:
    """Answers commands, each a method name and its arguments."""

    def __init__(self, name: str, threads: int) -> None:
        self.contender, self.threads = peers.by_name(name), threads

    def load(self) -> dict[str, Any]:
        start = time.perf_counter()
        self.module = importlib.import_module(f"peers.{self.contender.module}")
        return {"import_seconds": time.perf_counter() - start, "version": version(self.contender)}

    def build(self, workload: workloads.Workload, checks: int) -> dict[str, Any]:
        """Build the program and run it ``checks`` times from the first parameters: compilation happens here.

        ``answer`` is what contenders must agree on: the costs of these runs, or two numbers for each array.
        """
        given = workloads.inputs(workload)
        start = time.perf_counter()
        self.program = self.module.build(workload, given, self.contender.variant, self.threads)
        built = time.perf_counter()
        before = peak_memory()
        seconds, results = [], []
        for _ in range(checks):
            begin = time.perf_counter()
            results.append(self.program.step())
            seconds.append(time.perf_counter() - begin)
        return {
            "build_seconds": built - start,
            "first_seconds": seconds[0],
            "run_seconds": min(seconds),
            "memory_before": before,
            "images": self.program.images,
            "answer": answer(self.program, results, workload.kind),
        }

    def run(self, settle: int, runs: int) -> list[float]:
        """The seconds of each of ``runs`` runs, after ``settle`` more that bring caches and threads back."""
        for _ in range(settle):
            self.program.step()
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self.program.step()
            seconds.append(time.perf_counter() - start)
        wait_until_quiet()
        return seconds

    def memory(self) -> int:
        return peak_memory()


def answer(program: peers.Program, results: list[Any], kind: str) -> list[list[float]]:
    """Rows of numbers to compare: all costs of a training, or the last result's arrays, each by its signature."""
    if kind == "step":
        costs = [float(cost) for r in results for cost in program.arrays(r)]
        return [costs] if costs else []
    return [signature(a) for a in program.arrays(results[-1])]


def signature(a: np.ndarray) -> list[float]:
    """The norm of an array, and its product with a fixed wave, which sees numbers in the wrong places."""
    flat = np.ascontiguousarray(a, np.float64).ravel()
    return [float(np.linalg.norm(flat)), float(flat @ (np.sqrt(2) * np.cos(np.arange(flat.size))))]


def wait_until_quiet() -> None:
    """Return once no thread of this process uses a CPU: thread pools go on spinning for a while after their work."""
    limit = time.perf_counter() + QUIET_LIMIT
    while time.perf_counter() < limit:
        used = time.process_time()
        time.sleep(QUIET_WAIT)
        if time.process_time() - used < 0.1 * QUIET_WAIT:
            return


def peak_memory() -> int:
    """The most bytes of memory this process ever held.

    On Linux from /proc, because there getrusage starts with the peak of the process that started this one.
    """
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def version(contender: peers.Contender) -> str:
    package = {"ours": "tinygrad_cnn"}.get(contender.group, contender.needs)
    return importlib.metadata.version(package)


def pin(threads: int) -> None:
    """Leave the process as many CPUs as threads, which holds also those libraries that have no setting for it."""
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:threads])


def private_stdout() -> BinaryIO:
    """Standard output for replies alone; whatever a library prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    replies = private_stdout()
    pin(threads)
    server = Server(name, threads)
    while True:
        try:
            command, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            reply = True, getattr(server, command)(*arguments)
        except Exception as error:  # any failure of a library is reported to the table, which names it
            reply = False, f"{type(error).__name__}: {error}".splitlines()[0]
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    main()
