"""Data-parallel training over MPI: every rank holds the whole network and works on its share of each batch.

The meaning is exact: N ranks at a global batch B make the same updates as one process at batch B, to rounding. A rank's
cost is a mean over its share, so the batch's gradient is the sum over ranks of ``n / B`` times the rank's own; one
all-reduce brings that sum to every rank, and all make the same step. Dropout's masks and augmentation are made for the
whole batch on every rank, which keeps its rows: exact, but work that more ranks do not make less. What is not the same:

- **Batch normalisation is not synchronised**: each rank normalises by its own share's mean and variance, and rank 0's
  running statistics count.
- Layers of your own that draw random numbers draw the same ones on every rank.
- Adam divides by the size of a gradient, and so makes rounding visible where gradients are almost 0.

Transport, launching and membership are MPI's (extra ``mpi``): ``mpiexec -n 4 python program.py``. A rank that dies
ends the job: MPI sees to that when it is killed, and the hook that `world` installs when an error goes uncaught.

`fit` does all this with ``distributed=True``. In a loop of your own::

    team = distributed.world()
    distributed.broadcast_state(model, optimizer)               # rank 0's first weights for all
    for images, labels in batches(train, 256, rng=rng, drop_last=True, share=team.rows):    # one seed on all ranks
        cost = cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        cost.backward()
        distributed.all_reduce_gradients(model.parameters(), team.share(256).weight)
        optimizer.step()

Sources: P. Goyal et al., "Accurate, Large Minibatch SGD" (2017); R. Thakur, R. Rabenseifner and W. Gropp, "Optimization
of Collective Communication Operations in MPICH" (2005) for what an all-reduce costs (see ``benchmarks/scaling.py``).
"""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, TypeVar

import numpy as np

from .data import Dataset
from .extras import require
from .nn import Dropout, Module
from .optim import Optimizer
from .tensor import Tensor, wrap

T = TypeVar("T")

_BLOCK = 4096  # images that a checksum reads at a time


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
        start, stop = _bounds(count, self.rank, self.size)
        return Share(slice(start, stop) if stop > start else slice(0, 1), (stop - start) / count, count)

    def rows(self, count: int) -> slice:
        """The rows of this rank's share. (Nothing is sent.)"""
        return self.share(count).rows

    def total(self, *values: float) -> list[float]:
        """Each value summed over all ranks, in float64."""
        if self.size == 1:
            return list(values)
        sums = np.array(values, np.float64)
        self.comm.Allreduce(_mpi().IN_PLACE, sums)
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
        here = self.comm.Split_type(_mpi().COMM_TYPE_SHARED)
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
    comm = _mpi().COMM_WORLD
    found = World(comm.Get_rank(), comm.Get_size(), comm)
    if found.size > 1:
        sys.excepthook = functools.partial(_end_job, found, sys.excepthook)
    return found


def shard(dataset: Dataset, rank: int, size: int) -> Dataset:
    """Rank's part of a data set, in order: the shards of all ranks are the whole, and differ by one image at most.

    For evaluation, or to preprocess in parts. Training shares out each batch instead (`World.share`): shards that
    differ by an image may differ by a batch, and one rank would wait forever.

    Raises ValueError unless 0 <= rank < size <= images.

    >>> from tinygrad_cnn.data import digits
    >>> _, test = digits()
    >>> [len(shard(test, rank, 7)) for rank in range(7)]
    [52, 51, 52, 51, 52, 51, 51]
    """
    if not 0 <= rank < size:
        raise ValueError(f"shard: rank must be from 0 to size - 1, got rank {rank} of size {size}")
    if len(dataset) < size:
        raise ValueError(f"shard: {len(dataset)} images are too few for {size} ranks")
    return dataset[slice(*_bounds(len(dataset), rank, size))]


def all_reduce_gradients(parameters: Iterable[Tensor], weight: float = 1.0) -> None:
    """Replace every gradient by the sum over all ranks of ``weight`` times the rank's own.

    With a cost that is a mean, ``weight`` is the rank's part of the batch, `Share.weight`. A parameter that has a
    gradient on some ranks only counts as 0 on the others; one that has none anywhere keeps None.

    All gradients of one type travel in one message. It is sent after backward, not along with it: for the network
    `nielsen` that is 0.34 MB, which takes two ranks of one machine 0.3 ms, beside 10 ms and more for a step; a message
    for each layer, hidden behind the rest of backward, could win back two or three per cent of a step at most.

    Raises ValueError (on that rank) when no parameter requires a gradient.
    """
    wanted = [p for p in parameters if p.requires_grad]
    if not wanted:
        raise ValueError("all_reduce_gradients: no parameter requires a gradient")
    for dtype in sorted({p.dtype for p in wanted}, key=str):
        _reduce_bucket(world(), [p for p in wanted if p.dtype == dtype], weight)


def broadcast_state(module: Module, optimizer: Optimizer | None = None) -> None:
    """Give every rank the parameters and buffers, and the optimizer's state, of rank 0.

    Raises `DistributedError` on every rank when they are not of one kind: other names, shapes or types.
    """
    team = world()
    team.agree(layout(module))
    module.load_state_dict(team.from_first(module.state_dict))
    if optimizer is not None:
        optimizer.load_state_dict(team.from_first(optimizer.state_dict))


def layout(module: Module) -> dict[str, Any]:
    """The type and shape of every parameter and buffer, and how many there are: facts for `World.agree`."""
    state = module.state_dict()
    return {name: f"{a.dtype} {a.shape}" for name, a in state.items()} | {"parameters and buffers": len(state)}


@contextmanager
def whole_masks(module: Module, share: Share) -> Iterator[None]:
    """Inside it every `Dropout` layer draws for the whole batch and keeps the share's rows.

    So all ranks draw the same numbers as one process would, and their generators stay together, however many ranks
    there are. It costs the draws of a whole batch on every rank.
    """
    if share.weight == 1:
        yield
        return
    layers = [m for m in module.modules() if isinstance(m, Dropout)]
    before = [m.rng for m in layers]
    for m in layers:
        m.rng = _WholeDraws(m.rng, share)
    try:
        yield
    finally:
        for m, rng in zip(layers, before, strict=True):
            m.rng = rng


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Facts that ranks must agree on before they train together: program versions, and the data to the last bit."""
    from importlib.metadata import version  # here: it takes as long to import as half of this package

    digest = hashlib.sha256(dataset.labels.tobytes())
    for start in range(0, len(dataset), _BLOCK):
        digest.update(dataset[start : start + _BLOCK].pixels.tobytes())
    return {
        "tinygrad_cnn": version("tinygrad_cnn"),
        "numpy": np.__version__,  # random numbers may change with it
        "data": f"{dataset!r} {digest.hexdigest()[:16]}",
    }


class _WholeDraws(np.random.Generator):
    """A generator, sharing the source's state, that draws for the whole batch and hands out the share's rows."""

    def __init__(self, source: np.random.Generator, share: Share) -> None:
        super().__init__(source.bit_generator)
        self.share = share

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        rows = self.share.rows
        if not isinstance(size, tuple) or size[0] != rows.stop - rows.start:
            return super().random(size, dtype, out)
        return super().random((self.share.whole, *size[1:]), dtype)[rows]


def _bounds(count: int, rank: int, size: int) -> tuple[int, int]:
    """The first row of a rank's share, and the one after its last."""
    return -(-rank * count // size), -(-(rank + 1) * count // size)


def _reduce_bucket(team: World, params: list[Tensor], weight: float) -> None:
    """All-reduce the gradients of parameters of one type, and a number for each that says whether it has one."""
    bucket = np.zeros(sum(p.size for p in params) + len(params), params[0].dtype)
    *places, present = np.split(bucket, np.cumsum([p.size for p in params]))
    for k, (p, place) in enumerate(zip(params, places, strict=True)):
        if p.grad is not None:
            np.multiply(p.grad.data, weight, out=place.reshape(p.shape))
            present[k] = 1
    if team.size > 1:
        team.comm.Allreduce(_mpi().IN_PLACE, bucket)
    for k, (p, place) in enumerate(zip(params, places, strict=True)):
        p.grad = wrap(place.reshape(p.shape)) if present[k] else None


def _end_job(
    team: World, before: Callable[..., Any],
    kind: type[BaseException], error: BaseException, trace: TracebackType | None,
) -> None:  # fmt: skip
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
        file=sys.stderr, flush=True,
    )  # fmt: skip
    team.comm.Abort(status)


def _mpi() -> ModuleType:
    try:
        return require("mpi4py.MPI", "mpi")
    except RuntimeError as error:
        raise ImportError(f"mpi4py finds no MPI library: pip install mpich, or use the system's ({error})") from error
