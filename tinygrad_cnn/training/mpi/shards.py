"""Gradients, state, data and random numbers of several ranks."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...autograd.tensor import Tensor, wrap
from ...data import Dataset
from ...nn import Dropout, Module
from ...optim import Optimizer
from ..spec import digest
from .comm import Shard, World, bounds, world


def shard(dataset: Dataset, rank: int, size: int) -> Dataset:
    """Return one rank's part of a data set, in order: together they are the whole, and differ by one image at most.

    For evaluation, or to preprocess in parts. Training divides each batch instead (`World.shard`): parts that differ by
    an image may differ by a batch, and one rank would wait forever.

    Raises:
        ValueError: unless 0 <= rank < size <= images.

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

    With a cost that is a mean, ``weight`` is the rank's fraction of the batch, `Shard.weight`. A parameter that has a
    gradient on some ranks only counts as 0 on the others; one that has none anywhere keeps None.

    All gradients of one type travel in one message. It is sent after backward, not along with it: for the network
    `nielsen` that is 0.34 MB, which takes two ranks of one machine 0.3 ms, beside 10 ms and more for a step; a message
    for each layer, hidden behind the rest of backward, could win back two or three per cent of a step at most.

    Raises:
        ValueError: on this rank, no parameter requires a gradient.
    """
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise ValueError("all_reduce_gradients: no parameter requires a gradient")
    for dtype in sorted({p.dtype for p in trained}, key=str):
        _reduce_bucket(world(), [p for p in trained if p.dtype == dtype], weight)


def broadcast_state(module: Module, optimizer: Optimizer | None = None) -> None:
    """Give every rank the parameters and buffers, and the optimizer's state, of rank 0.

    Raises:
        DistributedError: on every rank, their names, shapes or types differ.
    """
    comm = world()
    comm.agree(layout(module))
    module.load_state_dict(comm.on_root(module.state_dict))
    if optimizer is not None:
        optimizer.load_state_dict(comm.on_root(optimizer.state_dict))


def layout(module: Module) -> dict[str, Any]:
    """Return the type and shape of every parameter and buffer, and how many there are: facts for `World.agree`."""
    state = module.state_dict()
    return {name: f"{a.dtype} {a.shape}" for name, a in state.items()} | {"parameters and buffers": len(state)}


@contextmanager
def dropout_rows(module: Module, shard: Shard) -> Iterator[None]:
    """Tell every `Dropout` layer the rows of the batch that this rank works on.

    Its mask is then those rows of the whole batch's, so that all ranks draw the same numbers as one process would, and
    their generators stay together, however many ranks there are. It costs the draws of a whole batch on every rank.
    """
    layers = [m for m in module.modules() if isinstance(m, Dropout)] if shard.weight < 1 else []
    for m in layers:
        m.rows = shard.rows, shard.whole
    try:
        yield
    finally:
        for m in layers:
            m.rows = None


def fingerprint(dataset: Dataset) -> dict[str, str]:
    """Return facts that ranks must agree on before they train together: program versions, and a digest of the data."""
    from importlib.metadata import version  # here: it takes as long to import as half of this package

    return {
        "tinygrad_cnn": version("tinygrad_cnn"),
        "numpy": np.__version__,  # random numbers may change with it
        "data": f"{dataset!r} {digest(dataset)}",
    }


def _reduce_bucket(comm: World, params: list[Tensor], weight: float) -> None:
    """All-reduce the gradients of parameters of one type, and a number for each that is 0 where it has none."""
    bucket = np.zeros(sum(p.size for p in params) + len(params), params[0].dtype)
    *parts, present = np.split(bucket, np.cumsum([p.size for p in params]))
    for k, (p, part) in enumerate(zip(params, parts, strict=True)):
        if p.grad is not None:
            np.multiply(p.grad.data, weight, out=part.reshape(p.shape))
            present[k] = 1
    comm.all_reduce(bucket)
    for k, (p, part) in enumerate(zip(params, parts, strict=True)):
        p.grad = wrap(part.reshape(p.shape)) if present[k] else None
