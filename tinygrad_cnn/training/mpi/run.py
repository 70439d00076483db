"""A training run on several processes: `Run`, with a few steps done together."""

from functools import partial
from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint
from ..evaluate import Evaluation
from ..run import Images, Labels, Run
from .comm import DistributedError, World
from .shards import all_reduce_gradients, broadcast_state, dropout_rows, fingerprint, layout


class DistributedRun(Run):
    """A run whose batches are divided among the ranks. Rank 0 alone evaluates, and reads and writes the checkpoint."""

    def __init__(self, *args: Any, comm: World, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.comm = comm
        self.batches.shard = comm.rows

    def begin(self, resume: bool | Checkpoint = False, *, override: bool = False) -> None:
        """Go on from rank 0's state, on all ranks. DistributedError on all if they differ in data or settings."""
        settings = {name: value for name, value in self.settings_spec.items() if name != "order seed"}
        self.comm.agree(fingerprint(self.batches.dataset) | layout(self.model) | settings)
        images = min(self.settings.batch_size, len(self.batches.dataset))
        if images < self.comm.size:
            raise DistributedError(
                f"fit: {self.comm.size} ranks cannot share batches of {images} images: start fewer, or raise batch_size"
            )
        self.comm.on_root(partial(super().begin, resume, override=override))
        state = self.comm.on_root(self.state_dict)
        if self.comm.rank > 0:
            self._load(state)

    def _gradients(self, images: Images, labels: Labels) -> tuple[float, int, int]:
        shard = self.comm.shard(self._batch_images())
        with dropout_rows(self.model, shard):
            loss, right, _ = super()._gradients(images, labels)
        all_reduce_gradients(self.optimizer.params, shard.weight)
        loss, total_right = self.comm.total(shard.weight * loss, right if shard.weight else 0)
        return loss, int(total_right), shard.whole

    def _first_anomaly(self, images: Images, labels: Labels) -> str | None:
        with dropout_rows(self.model, self.comm.shard(self._batch_images())):
            origin = super()._first_anomaly(images, labels)
        return next(filter(None, self.comm.gathered(origin)), None)

    def _evaluate(self) -> Evaluation | None:
        broadcast_state(self.model, self.optimizer)  # unlike processors round apart; running statistics are rank 0's
        return None if self.validation is None else self.comm.on_root(super()._evaluate)

    def _load_best_weights(self) -> None:
        super()._load_best_weights()
        broadcast_state(self.model)

    def _write(self, path: Path) -> None:
        if self.comm.rank == 0:
            super()._write(path)

    def _batch_images(self) -> int:
        """Return the number of images of the batch under way, on all ranks together."""
        state = self.batches.state_dict()
        size = state["batch_size"]
        return min(size, state["images"] - (state["position"] - 1) * size)
