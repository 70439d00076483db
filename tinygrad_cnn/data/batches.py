"""A data set as a stream of batches: seeded, resumable in the middle of an epoch, prepared ahead if asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..checks import flag
from ._resample import Floats
from .augment import Augmentation
from .dataset import Dataset

Batch = tuple[Floats, NDArray[np.int64]]


class Batches:
    """What `batches` returns: iterate over it once an epoch; `len` is the number of batches in one."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool,
        rng: np.random.Generator,
        augment: Augmentation | None,
        drop_last: bool,
        prefetch: bool,
        share: Callable[[int], slice] | None,
    ) -> None:
        self._dataset = dataset
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._augment = augment
        self._drop_last = drop_last
        self._prefetch = prefetch
        self._share = share
        self._seed = int(rng.integers(2**63))
        self._epoch = 0
        self._position = 0  # batches of this epoch that were handed out
        self._running = False  # whether an iterator of this epoch was handed out

    def __len__(self) -> int:
        whole, rest = divmod(len(self._dataset), self._batch_size)
        return whole if self._drop_last else whole + (rest > 0)

    def __iter__(self) -> Iterator[Batch]:
        """Start the next epoch, or after `load_state_dict` go on with the interrupted one."""
        if self._running:
            self._begin(self._epoch + 1)
        self._running = True
        return self._run(self._epoch, self._position)

    def state_dict(self) -> dict[str, int]:
        """Return what a resumed run needs to see the same batches: a few plain integers, ready for JSON.

        Taken inside the loop, it stands after the batch just handed out (prefetched ones do not count); taken after
        the loop, at the start of the next epoch.
        """
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position} | self._fixed()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go where `state` was taken: the next iteration yields the rest of that epoch, with the same bits.

        Raises:
            ValueError: a key is missing, a number out of range, or the state is of batches of another data set size,
                batch size, order or end.
            TypeError: a value that is not an integer.
        """
        names = ("seed", "epoch", "position", *self._fixed())
        if missing := [name for name in names if name not in state]:
            raise ValueError(f"load_state_dict: the state of batches lacks {', '.join(missing)}")
        seed, epoch, position = (checks.integer("load_state_dict", name, state[name], 0) for name in names[:3])
        for name, here in self._fixed().items():
            if state[name] != here:
                raise ValueError(f"load_state_dict: the state has {name}={state[name]}, these batches have {here}")
        if position > len(self):
            raise ValueError(f"load_state_dict: position {position} is beyond the epoch's {len(self)} batches")
        self._seed = seed
        self._begin(epoch)
        self._position = position

    def _fixed(self) -> dict[str, int]:
        """Return what must be the same when a state is loaded."""
        return {
            "images": len(self._dataset),
            "batch_size": self._batch_size,
            "shuffle": int(self._shuffle),
            "drop_last": int(self._drop_last),
        }

    def _begin(self, epoch: int) -> None:
        self._epoch, self._position, self._running = epoch, 0, False

    def _run(self, epoch: int, start: int) -> Iterator[Batch]:
        order = self._random(epoch).permutation(len(self._dataset)) if self._shuffle else np.arange(len(self._dataset))

        def make(index: int) -> Batch:
            return self._make(epoch, index, order[index * self._batch_size :][: self._batch_size])

        indices = range(start, len(self))
        for index, batch in zip(indices, _ahead(make, indices) if self._prefetch else map(make, indices), strict=True):
            if epoch == self._epoch:  # a newer iterator has not taken over
                self._position = index + 1
            yield batch
        if epoch == self._epoch:
            self._begin(epoch + 1)

    def _make(self, epoch: int, index: int, rows: NDArray[np.int64]) -> Batch:
        ours = slice(None) if self._share is None else self._share(len(rows))
        if self._augment is None:
            return self._dataset.take(rows[ours])
        images, labels = self._dataset.take(rows)
        changed = self._augment(images, self._random(epoch, index))
        if not isinstance(changed, np.ndarray) or changed.dtype != np.float32 or len(changed) != len(labels):
            found = f"{changed.dtype} {changed.shape}" if isinstance(changed, np.ndarray) else type(changed).__name__
            raise TypeError(f"batches: augment returned {found}, expected float32 {images.shape}")
        return changed[ours], labels[ours]

    def _random(self, *key: int) -> np.random.Generator:
        """Return the generator of one epoch's order, or of one batch's augmentation."""
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=key))


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    shuffle: bool = True,
    rng: np.random.Generator | None = None,
    augment: Augmentation | None = None,
    drop_last: bool = False,
    prefetch: bool = False,
    share: Callable[[int], slice] | None = None,
) -> Batches:
    """Return an iterable of (images, labels); each pass over it is an epoch, in a new order.

    Images are float32 (B, C, H, W) in [0, 1], batch innermost in memory as `Dataset.take` has it; labels are int64
    (B,). Only the rows of a batch are read and converted.

    `rng` is drawn from once, here. The order of an epoch and the augmentation of a batch follow from that number, the
    epoch and the batch's place alone: so the same seed gives the same bits, a state of a few integers
    (`Batches.state_dict`) resumes in the middle of an epoch, and a thread cannot change the numbers.

    Args:
        dataset: at least one image.
        batch_size: at least 1; the last batch of an epoch is smaller when it does not divide N.
        shuffle: a new order each epoch; otherwise the data set's own.
        rng: a seeded generator; fresh entropy when None.
        augment: a step such as `affine(...)`, applied to each batch.
        drop_last: leave out a smaller last batch.
        prefetch: a worker thread makes the next batch while you use this one. It helps where a core is idle (with
            matrix products on one of two cores in training's place, and 64 images changed by `affine` and `elastic`:
            5.2 ms a step instead of 7.1), and not where the kernels keep all of them busy.
        share: of a batch of n images hand out the rows share(n) alone, with the bits that they have in the whole batch;
            such as `distributed.World.rows`. The others are not read, but augmentation works on the whole batch.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an empty data set, a batch_size below 1, or drop_last when not even one batch is full.

    >>> from tinygrad_cnn.data import digits
    >>> train, _ = digits()
    >>> stream = batches(train, 100, rng=np.random.default_rng(0))
    >>> len(stream)
    15
    >>> [len(labels) for _, labels in stream][-2:]
    [100, 37]
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"batches: dataset must be a Dataset, got {type(dataset).__name__}")
    for name, value in (("shuffle", shuffle), ("drop_last", drop_last), ("prefetch", prefetch)):
        flag("batches", name, value)
    if augment is not None and not callable(augment):
        raise TypeError(f"batches: augment must be callable as augment(images, rng), got {type(augment).__name__}")
    if share is not None and not callable(share):
        raise TypeError(f"batches: share must be callable as share(count), got {type(share).__name__}")
    size = checks.integer("batches", "batch_size", batch_size, 1)
    if len(dataset) < (size if drop_last else 1):
        raise ValueError(f"batches: no batch of {size} from {len(dataset)} images (drop_last={drop_last})")
    rng = np.random.default_rng() if rng is None else checks.generator("batches", rng)
    return Batches(
        dataset, size, shuffle=shuffle, rng=rng, augment=augment, drop_last=drop_last, prefetch=prefetch, share=share
    )


def _ahead(make: Callable[[int], Batch], indices: range) -> Iterator[Batch]:
    """Yield make(index) for each index, the next one under way in a thread; leaving early waits for that one only."""
    with ThreadPoolExecutor(1, "batches") as worker:
        pending = [worker.submit(make, index) for index in indices[:1]]
        for index in indices[1:]:
            ready = pending.pop().result()
            pending.append(worker.submit(make, index))
            yield ready
        for last in pending:
            yield last.result()
