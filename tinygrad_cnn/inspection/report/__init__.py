"""One self-contained HTML file about a trained network: open it from disk, or send it along.

>>> import tinygrad_cnn as tg
>>> from tinygrad_cnn import models
>>> network = models.build("digits", (1, 8, 8), rng=np.random.default_rng(0))
>>> page = html_report(network, tg.data.digits()[1][:50], images=[0])
>>> page[:15], page.count("<h1>"), "http" in page
('<!doctype html>', 1, False)
"""

from collections.abc import Sequence

import numpy as np

from ...data import Dataset
from ...models import RECIPES, Network
from ...storage.atomic import PathLike, atomic_writer
from ...training.evaluate import Evaluation, evaluate
from ...training.records import EpochRecord
from . import sections
from .page import page

__all__ = ["html_report", "write_report"]


def write_report(
    path: PathLike,
    model: Network,
    test: Dataset,
    *,
    history: Sequence[EpochRecord] = (),
    images: Sequence[int] | None = None,
    source: str = "",
) -> None:
    """Write `html_report` to a file, whole or not at all. Raises OSError when it cannot be written."""
    text = html_report(model, test, history=history, images=images, source=source)
    with atomic_writer(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # a file's name may hold what is no character


def html_report(
    model: Network,
    test: Dataset,
    *,
    history: Sequence[EpochRecord] = (),
    images: Sequence[int] | None = None,
    source: str = "",
) -> str:
    """What a network is, how it learnt, what it looks at and where it errs, as one HTML page that needs no network.

    The model with its layers; training curves; filters; feature maps, pooling, gradients and an occlusion map of some
    images; the confusion matrix; what was misclassified; and how accuracy falls when the images are shifted or turned.

    Args:
        model: a named network, trained.
        test: labelled images that it did not learn from.
        history: the records of its epochs, for the curves.
        images: which of the test images to look into; by default two that are recognised and one that is not.
        source: where the weights came from, for the heading.

    Raises ValueError for images of another shape than the network takes or a number that is not in the data set,
    ImportError without matplotlib (extra ``plot``).
    """
    if test.image_shape != model.image_shape:
        raise ValueError(
            f"report: the network takes images of shape {model.image_shape}, the data set has {test.image_shape}"
        )
    cost = RECIPES[model.name].cost
    scored = evaluate(model, test, cost=cost)
    chosen = _chosen(test, scored) if images is None else [_existing(k, len(test)) for k in images]
    parts = [
        sections.summary(model, test, scored, source),
        sections.layers(model),
        sections.training(history),
        sections.learned_filters(model),
        *[sections.looked_into(model, test, k, int(scored.predictions[k]), cost) for k in chosen],
        sections.confused(scored),
        sections.mistaken(test, scored),
        sections.moved(model, test),
    ]
    return page(f"{model.name} on {len(test):,} test images", parts)


def _chosen(test: Dataset, scored: Evaluation) -> list[int]:
    """The first two images of different classes that were recognised, and the first that was not."""
    right = np.flatnonzero(test.labels == scored.predictions)
    first_of_class = [int(right[test.labels[right] == k][0]) for k in np.unique(test.labels[right])]
    return [*sorted(first_of_class)[:2], *scored.misclassified[:1].tolist()]


def _existing(row: int, count: int) -> int:
    if not 0 <= row < count:
        raise ValueError(f"report: there is no image {row}; the test images are numbered 0 to {count - 1}")
    return row
