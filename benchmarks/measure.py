"""Contenders measured in turn: A B C A B C ..., each in a process of its own.

Why processes: two thread pools in one process fight. After its work a pool's threads go on spinning for a while, ready
for more, and take the CPUs from the next contender's threads. Our own step, alternating with
PyTorch's in one process, took twice as long as in processes, and in turns of eight still a fifth longer with a wider
spread. Here only one process is active at a time; it says that it is done when all of its threads sleep, and no library
has to be told to sleep sooner than it would for its users.

On a machine that is busy with other things nothing here helps: threads that wait for each other by spinning suffer far
more than others. Trust a table only when the load that it was made under was low (`machine` records it).
"""

import math
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from peers import Contender
from workloads import Workload

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TOLERANCE = 1e-3
SETTLE_SECONDS = 0.02


@dataclass(frozen=True)
class Plan:
    """How thoroughly to measure: ``rounds`` turns for each contender, of ``turn_seconds`` or ``most`` runs each.

    ``checks`` runs are compared first. ``fresh``: new processes for each workload, without which no peak of memory
    belongs to one.
    """

    rounds: int = 15
    turn_seconds: float = 0.15
    most: int = 100
    checks: int = 5
    fresh: bool = True


QUICK = Plan(rounds=2, turn_seconds=0.0, checks=2, fresh=False)


class WorkerError(RuntimeError):
    """A contender could not do what it was asked; the message is its own."""


class Worker:
    """A contender's process, seen from here."""

    def __init__(self, contender: Contender, threads: int) -> None:
        self.contender = contender
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        script = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), contender.name, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env={"DEV": "CPU", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))},  # DEV: tinygrad's device
        )  # fmt: skip

    def ask(self, command: str, *arguments: Any) -> Any:
        """Run a method of `worker.Server`. WorkerError when it failed there, or the process died."""
        assert self._process.stdin and self._process.stdout
        try:
            pickle.dump((command, arguments), self._process.stdin)
            self._process.stdin.flush()
            fine, reply = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError):
            raise WorkerError(self._last_words()) from None
        if not fine:
            raise WorkerError(reply)
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), f"exit status {self._process.returncode}")


class Crew:
    """Workers by contender, each started when first wanted; what cannot start is remembered with the reason."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.workers: dict[str, Worker] = {}
        self.loaded: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}

    def worker(self, contender: Contender) -> Worker:
        name = contender.name
        if name in self.failed:
            raise WorkerError(self.failed[name])
        if name not in self.workers:
            self.workers[name] = Worker(contender, self.threads)
            try:
                self.loaded[name] = self.workers[name].ask("load")
            except WorkerError as error:
                self.failed[name] = str(error)
                raise
        return self.workers[name]

    def close(self) -> None:
        """End all of their processes; who is wanted again starts afresh."""
        while self.workers:
            self.workers.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def measure(
    workload: Workload, contenders: Sequence[Contender], crew: Crew, plan: Plan, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Run the workload with every contender, in turn; a record ready for JSON, samples in seconds a run."""
    records: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for contender in contenders:
        tell(f"{workload.name}: {contender.title} starts")
        try:
            built = crew.worker(contender).ask("build", workload, plan.checks)
        except WorkerError as error:
            skipped[contender.name] = str(error)
            continue
        about = {"name": contender.name, "title": contender.title, "group": contender.group}
        records.append({**about, **crew.loaded[contender.name], **built, "turns": []})
    for k in range(plan.rounds):
        tell(f"{workload.name}: round {k + 1} of {plan.rounds}")
        for record in in_turn(records, k):
            settle, runs = turn(record["run_seconds"], plan)
            record["turns"].append(crew.workers[record["name"]].ask("run", settle, runs))
    for record in records:
        record["memory_peak"] = crew.workers[record["name"]].ask("memory") if plan.fresh else None
        record["agrees"] = agrees(record, records)
    return {
        "name": workload.name, "title": workload.title, "kind": workload.kind, "batch": workload.batch,
        "multiply_adds": workload.multiply_adds(), "contenders": records, "skipped": skipped,
    }  # fmt: skip


def in_turn(records: list[dict[str, Any]], k: int) -> list[dict[str, Any]]:
    """Everybody once, another first each time and every second time backwards, so that none has the same neighbour."""
    first = k % max(1, len(records))
    order = records[first:] + records[:first]
    return order[::-1] if k % 2 else order


def turn(run_seconds: float, plan: Plan) -> tuple[int, int]:
    """How many runs settle, and how many are timed, in a turn of this plan."""
    settle = math.ceil(min(SETTLE_SECONDS, plan.turn_seconds) / run_seconds)
    return settle, max(1, min(plan.most, math.ceil(plan.turn_seconds / run_seconds)))


def agrees(record: dict[str, Any], records: list[dict[str, Any]]) -> bool | None:
    """Whether a contender's answer is ours; None where there is nothing to compare."""
    ours = next((r for r in records if r["group"] == "ours" and r is not record), None)
    if ours is None or not record["answer"]:
        return None
    return len(ours["answer"]) == len(record["answer"]) and all(
        abs(a - b) <= TOLERANCE * max(map(abs, mine))
        for mine, theirs in zip(ours["answer"], record["answer"], strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )
