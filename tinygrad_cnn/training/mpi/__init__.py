"""Data-parallel training over MPI: every rank has the whole network and works on its part, the shard, of each batch.

The meaning is exact: N ranks at a global batch B make the same updates as one process at batch B, to rounding. A rank's
cost is a mean over its shard, so the batch's gradient is the sum over ranks of ``n / B`` times the rank's own; one
all-reduce brings that sum to every rank, and all make the same update. Dropout's masks and augmentation are made for
the whole batch on every rank, which takes its rows: exact, but work that more ranks do not make less. Not the same are:

- **Batch normalisation is not synchronised**: each rank normalises by its own shard's mean and variance, and rank 0's
  running statistics count.
- Layers of your own that draw random numbers draw the same ones on every rank.
- Adam divides by the size of a gradient, and so makes rounding visible where gradients are almost 0.

Transport, launching and membership are MPI's (extra ``mpi``): ``mpiexec -n 4 python program.py``. A rank that dies
ends the job: MPI sees to that when it is killed, and the hook that `world` installs when an error goes uncaught.

`fit` does all this with ``distributed=True``. In a loop of your own::

    comm = distributed.world()
    distributed.broadcast_state(model, optimizer)               # rank 0's weights for all
    for images, labels in batches(train, 256, rng=rng, drop_last=True, shard=comm.rows):    # one seed on all ranks
        cost = cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        cost.backward()
        distributed.all_reduce_gradients(model.parameters(), comm.shard(256).weight)
        optimizer.step()

Sources: P. Goyal et al., "Accurate, Large Minibatch SGD" (2017); R. Thakur, R. Rabenseifner and W. Gropp, "Optimization
of Collective Communication Operations in MPICH" (2005) for what an all-reduce costs (see ``benchmarks/scaling.py``).
"""

from .comm import ALONE, DistributedError, Shard, World, abort, world
from .run import DistributedRun
from .shards import all_reduce_gradients, broadcast_state, dropout_rows, fingerprint, layout, shard

__all__ = [
    "ALONE",
    "DistributedError",
    "DistributedRun",
    "Shard",
    "World",
    "abort",
    "all_reduce_gradients",
    "broadcast_state",
    "dropout_rows",
    "fingerprint",
    "layout",
    "shard",
    "world",
]
