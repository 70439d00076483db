"""The processes that train together, and how they communicate."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...checks import require

T = TypeVar("T")


class DistributedError(ValueError):
    """The ranks cannot work together, or one of them failed; raised on every rank at once, with the same message."""


@dataclass(frozen=True)
class Shard:
    """A rank's part of a batch.

    Attributes:
        rows: its images. A rank without any, of a last batch with fewer images than ranks, works on the first one with
            weight 0, so that all ranks do the same things in the same order.
        weight: its fraction of the batch, ``n / B``; the weights of all ranks add up to 1.
        whole: B, the images in the batch.
    """

    rows: slice
    weight: float
    whole: int


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them.

    Every method that sends something is *collective*: all ranks must call it, in the same order.

    Attributes:
        rank: the number of this process, from 0. Rank 0, the root, alone prints, saves and evaluates.
        size: how many processes there are.
        comm: the mpi4py communicator; None for a process alone.
    """

    rank: int = 0
    size: int = 1
    comm: Any = None

    def shard(self, count: int) -> Shard:
        """Return this rank's part of a batch of ``count`` images; nothing is sent."""
        start, stop = bounds(count, self.rank, self.size)
        return Shard(slice(start, stop) if stop > start else slice(0, 1), (stop - start) / count, count)

    def rows(self, count: int) -> slice:
        """Return the rows of this rank's part of a batch of ``count`` images; nothing is sent."""
        return self.shard(count).rows

    def all_reduce(self, array: NDArray[Any]) -> None:
        """Replace an array by the sum of those of all ranks."""
        if self.size > 1:
            self.comm.Allreduce(mpi().IN_PLACE, array)

    def total(self, *values: float) -> list[float]:
        """Return each value summed over all ranks, in float64."""
        sums = np.array(values, np.float64)
        self.all_reduce(sums)
        return [float(s) for s in sums]

    def gathered(self, value: T) -> list[T]:
        """Return the values of all ranks, by rank."""
        return [value] if self.size == 1 else list(self.comm.allgather(value))

    def on_root(self, work: Callable[[], T]) -> T:
        """Return on every rank the result of work that only rank 0 does; its failure is a `DistributedError`."""
        if self.size == 1:
            return work()
        result, failure = None, None
        if self.rank == 0:
            try:
                result = work()
            except Exception as error:
                failure = error
        result, message = self.comm.bcast((result, failure and f"{failure}"))
        if message is not None:
            raise DistributedError(message) from failure
        return result  # type: ignore[no-any-return]

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raise `DistributedError`, naming every difference from rank 0, unless all ranks have the same facts."""
        root, *others = self.gathered(dict(facts))
        differences = [
            f"rank {rank} has {name} {other.get(name)!r}, rank 0 {value!r}"
            for rank, other in enumerate(others, 1)
            for name, value in root.items()
            if other.get(name) != value
        ]
        if differences:
            raise DistributedError("distributed: " + "; ".join(differences))

    def threads(self) -> int:
        """Return how many processors each rank of this machine can have for itself; at least 1."""
        if self.size == 1 or not hasattr(os, "sched_getaffinity"):
            return max(1, (os.cpu_count() or 1) // self.size)
        machine = self.comm.Split_type(mpi().COMM_TYPE_SHARED)
        processors: set[int] = set().union(*machine.allgather(os.sched_getaffinity(0)))
        return max(1, len(processors) // int(machine.size))


ALONE = World()


@functools.cache
def world() -> World:
    """Return the processes that ``mpiexec`` started together with this one; a process started without it is alone.

    The first call starts MPI and installs a hook: an uncaught error on one rank then ends the whole job with a non-zero
    status, instead of leaving the others to wait for it forever. (`sys.exit` is no error: call it on all ranks.)

    Raises:
        ImportError: mpi4py or an MPI library is missing.
    """
    mpi_comm = mpi().COMM_WORLD
    comm = World(mpi_comm.Get_rank(), mpi_comm.Get_size(), mpi_comm)
    if comm.size > 1:
        sys.excepthook = functools.partial(_end_job, comm, sys.excepthook)
    return comm


def bounds(count: int, rank: int, size: int) -> tuple[int, int]:
    """Return the first row of a rank's part, and the one after its last."""
    return -(-rank * count // size), -(-(rank + 1) * count // size)


def abort(comm: World, status: int) -> None:
    """End all ranks at once, with a line that says so; one of them calls it."""
    print(
        f"rank {comm.rank} of {comm.size} failed, and all ranks end with it; a checkpoint saved before is whole: "
        "resume from it with any number of ranks",
        file=sys.stderr,
        flush=True,
    )
    comm.comm.Abort(status)


def _end_job(
    comm: World, hook: Callable[..., Any], kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show an uncaught error, and end all ranks; an error of every rank is shown once, and all end by it."""
    if isinstance(error, DistributedError):
        if comm.rank == 0:
            hook(kind, error, trace)
        return
    hook(kind, error, trace)
    abort(comm, 1)


def mpi() -> ModuleType:
    """Return ``mpi4py.MPI``, which starts MPI when first imported. ImportError if it or an MPI library is missing."""
    try:
        return require("mpi4py.MPI", "mpi")
    except RuntimeError as error:
        raise ImportError(f"mpi4py finds no MPI library: pip install mpich, or use the system's ({error})") from error
