"""What `scaling` times: training steps of one rank by itself, and of several under ``mpiexec``.

Under ``mpiexec``, with a batch size and the names of networks, it trains them on all ranks; rank 0 prints JSON.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import numpy as np

from tinygrad_cnn import Tensor, models, set_num_threads
from tinygrad_cnn.data import Dataset, batches
from tinygrad_cnn.training import train
from tinygrad_cnn.training.mpi import World, all_reduce_gradients, dropout_rows, world
from tinygrad_cnn.training.records import StepRecord

SETTLE, LEAST, SECONDS = 3, 9, 0.4  # runs that are not counted; at least how many are, and for how long
CALLS = 200
RATE = 1e-6  # noise teaches nothing; weights that grow without bound would change the time


def alone(name: str, batch: int, ranks: int) -> float:
    """Seconds of a step of rank 0 of so many that share a batch: all that it does itself, without the all-reduce."""
    comm, recipe, rng = World(0, ranks), models.RECIPES[name], np.random.default_rng(0)
    model = models.build(name, rng=rng)
    optimizer = recipe.make_optimizer(model, lr=RATE)
    stream = batches(noise(8 * batch), batch, rng=rng, augment=recipe.augment, shard=comm.rows)
    endless = chain.from_iterable(repeat(stream))

    def step() -> None:
        images, labels = next(endless)
        with dropout_rows(model, comm.shard(batch)):
            scores = model(Tensor(images))
        optimizer.zero_grad()
        recipe.cost(scores, labels).backward()
        optimizer.step()

    return median(step, LEAST, SECONDS)


def together(name: str, batch: int) -> dict[str, float]:
    """Seconds of a training step on all ranks, of the network's all-reduce, and of one of a single number."""
    recipe, rng = models.RECIPES[name], np.random.default_rng(0)
    model = models.build(name, rng=rng)
    run = train(
        model, noise((SETTLE + 3 * LEAST) * batch), epochs=1, batch_size=batch, cost=recipe.cost, rng=rng,
        augment=recipe.augment, optimizer=recipe.make_optimizer(model, lr=RATE), distributed=True,
    )  # fmt: skip
    ends = [record.seconds for record in run if isinstance(record, StepRecord)]
    parameters = list(model.parameters())
    return {
        "step_seconds": statistics.median(np.diff(ends)[SETTLE:].tolist()),
        "all_reduce_seconds": median(lambda: all_reduce_gradients(parameters), CALLS, start_together=True),
        "latency_seconds": median(lambda: world().total(0.0), CALLS, start_together=True),
    }


def median(work: Callable[[], Any], least: int, long: float = 0.0, *, start_together: bool = False) -> float:
    """The median seconds of many runs."""
    seconds: list[float] = []
    while len(seconds) < SETTLE + least or sum(seconds) < long:
        if start_together:
            world().total(0.0)
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[SETTLE:])


def noise(count: int) -> Dataset:
    """Images of MNIST's size."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
    return Dataset(pixels, rng.integers(10, size=count), num_classes=10)


def main() -> None:
    set_num_threads(1)
    batch, *names = sys.argv[1:]
    found = {name: together(name, int(batch)) for name in names}
    if world().rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
