"""What the ranks share: the gradients, the state, the data, and chance."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...autograd.tensor import Tensor, wrap
from ...data import Dataset
from ...nn import Dropout, Module
from ...optim import Optimizer
from .comm import Share, World, bounds, mpi, world

_BLOCK = 4096  # images that a checksum reads at a time


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
    return dataset[slice(*bounds(len(dataset), rank, size))]


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


def _reduce_bucket(team: World, params: list[Tensor], weight: float) -> None:
    """All-reduce the gradients of parameters of one type, and a number for each that says whether it has one."""
    bucket = np.zeros(sum(p.size for p in params) + len(params), params[0].dtype)
    *places, present = np.split(bucket, np.cumsum([p.size for p in params]))
    for k, (p, place) in enumerate(zip(params, places, strict=True)):
        if p.grad is not None:
            np.multiply(p.grad.data, weight, out=place.reshape(p.shape))
            present[k] = 1
    if team.size > 1:
        team.comm.Allreduce(mpi().IN_PLACE, bucket)
    for k, (p, place) in enumerate(zip(params, places, strict=True)):
        p.grad = wrap(place.reshape(p.shape)) if present[k] else None
