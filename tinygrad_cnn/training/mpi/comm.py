"""The processes that train together, and what they tell each other."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, TypeVar

import numpy as np

from ...checks import require

T = TypeVar("T")


class DistributedError(ValueError):
    """The ranks cannot work together, or one of them failed; raised on every rank at once, with the same message."""


@dataclass(frozen=True)
class Share:
    """What a rank does of a batch.

    Attributes:
        rows: which images. A rank that gets none, of a last batch with fewer images than ranks, works on the first one
            with weight 0, so that all ranks do the same things in the same order.
        weight: its part of the batch, ``n / B``; the weights of all ranks add up to 1.
        whole: B, the images in the batch.
    """

    rows: slice
    weight: float
    whole: int


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them.

    Every method is *collective*: all ranks must call it, in the same order.

    Attributes:
        rank: which process this is, from 0; rank 0 alone prints, saves and evaluates.
        size: how many there are.
        comm: the mpi4py communicator; None for a process alone.
    """

    rank: int = 0
    size: int = 1
    comm: Any = None

    def share(self, count: int) -> Share:
        """This rank's share of a batch of ``count`` images. (Nothing is sent.)"""
        start, stop = bounds(count, self.rank, self.size)
        return Share(slice(start, stop) if stop > start else slice(0, 1), (stop - start) / count, count)

    def rows(self, count: int) -> slice:
        """The rows of this rank's share. (Nothing is sent.)"""
        return self.share(count).rows

    def total(self, *values: float) -> list[float]:
        """Each value summed over all ranks, in float64."""
        if self.size == 1:
            return list(values)
        sums = np.array(values, np.float64)
        self.comm.Allreduce(mpi().IN_PLACE, sums)
        return [float(s) for s in sums]

    def gathered(self, value: T) -> list[T]:
        """The values of all ranks, by rank."""
        return [value] if self.size == 1 else list(self.comm.allgather(value))

    def from_first(self, work: Callable[[], T]) -> T:
        """The result of work that only rank 0 does; its failure is a `DistributedError` on every rank."""
        if self.size == 1:
            return work()
        answer, failure = None, None
        if self.rank == 0:
            try:
                answer = work()
            except Exception as error:
                failure = error
        answer, message = self.comm.bcast((answer, failure and f"{failure}"))
        if message is not None:
            raise DistributedError(message) from failure
        return answer  # type: ignore[no-any-return]

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raise `DistributedError`, naming every difference from rank 0, unless all ranks have the same facts."""
        ours, *others = self.gathered(dict(facts))
        wrong = [
            f"rank {rank} has {name} {theirs.get(name)!r}, rank 0 {value!r}"
            for rank, theirs in enumerate(others, 1)
            for name, value in ours.items()
            if theirs.get(name) != value
        ]
        if wrong:
            raise DistributedError("distributed: " + "; ".join(wrong))

    def threads(self) -> int:
        """How many processors each rank of this machine can have for itself; at least 1."""
        if self.size == 1 or not hasattr(os, "sched_getaffinity"):
            return max(1, (os.cpu_count() or 1) // self.size)
        here = self.comm.Split_type(mpi().COMM_TYPE_SHARED)
        processors: set[int] = set().union(*here.allgather(os.sched_getaffinity(0)))
        return max(1, len(processors) // int(here.size))


ALONE = World()


@functools.cache
def world() -> World:
    """The processes that ``mpiexec`` started together with this one; a process started without it is alone.

    The first call starts MPI, and sees to it that an uncaught error on one rank ends the whole job with a non-zero
    status, instead of leaving the others to wait for it forever. (`sys.exit` is no error: call it on all ranks.)

    Raises ImportError when mpi4py or an MPI library is missing.
    """
    comm = mpi().COMM_WORLD
    found = World(comm.Get_rank(), comm.Get_size(), comm)
    if found.size > 1:
        sys.excepthook = functools.partial(_end_job, found, sys.excepthook)
    return found


def bounds(count: int, rank: int, size: int) -> tuple[int, int]:
    """The first row of a rank's share, and the one after its last."""
    return -(-rank * count // size), -(-(rank + 1) * count // size)


def _end_job(
    team: World,
    before: Callable[..., Any],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Show an uncaught error, and end all ranks; an error that every rank has is shown once, and all end by it."""
    if isinstance(error, DistributedError):
        if team.rank == 0:
            before(kind, error, trace)
        return
    before(kind, error, trace)
    abort(team, 1)


def abort(team: World, status: int) -> None:
    """End all ranks at once, with a line that says so."""
    print(
        f"rank {team.rank} of {team.size} failed, and all ranks end with it; a checkpoint saved before is whole: "
        "resume from it with any number of ranks",
        file=sys.stderr,
        flush=True,
    )
    team.comm.Abort(status)


def mpi() -> ModuleType:
    """``mpi4py.MPI``, which starts MPI when first imported. ImportError when it or an MPI library is missing."""
    try:
        return require("mpi4py.MPI", "mpi")
    except RuntimeError as error:
        raise ImportError(f"mpi4py finds no MPI library: pip install mpich, or use the system's ({error})") from error
