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

from ...checks import instance, integer
from ...data import Dataset
from ...models import Network, cost_of
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
    """Write `html_report` to a file, whole or not at all. OSError when it cannot be written."""
    text = html_report(model, test, history=history, images=images, source=source)
    with atomic_writer(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # a file's name may have bytes that are no character


def html_report(
    model: Network,
    test: Dataset,
    *,
    history: Sequence[EpochRecord] = (),
    images: Sequence[int] | None = None,
    source: str = "",
) -> str:
    """Return one HTML page about a network, which loads nothing from elsewhere.

    It has the layers; training curves; filters; feature maps, gradients, occlusion and pooling of some images; the
    confusion matrix; the misclassified images; and the accuracy on images that are shifted or turned.

    Args:
        model: a named network, trained.
        test: labelled images that it did not learn from.
        history: the records of its epochs, for the curves.
        images: numbers of the test images to look into; by default two that are recognised and one that is not.
        source: where the weights came from, for the heading.

    Raises:
        ValueError: images of another shape than the network takes, or a number that is not in the data set.
        ImportError: matplotlib is missing (extra ``plot``).
    """
    instance("report", "model", model, Network)
    instance("report", "test", test, Dataset)
    if test.image_shape != model.image_shape:
        raise ValueError(f"report: test must have images of shape {model.image_shape}, got {test.image_shape}")
    evaluation = evaluate(model, test, cost=cost_of(model))
    if images is None:
        rows = _examples(test, evaluation)
    else:
        rows = [integer("report", "each of images", k, 0, below=len(test)) for k in images]
    parts = [
        sections.summary(model, test, evaluation, source),
        sections.layers(model),
        sections.training(history),
        sections.filters(model),
        *[sections.image(model, test, k, int(evaluation.predictions[k])) for k in rows],
        sections.confusion(evaluation),
        sections.errors(test, evaluation),
        sections.robustness(model, test),
    ]
    return page(f"{model.name} on {len(test):,} test images", parts)


def _examples(test: Dataset, evaluation: Evaluation) -> list[int]:
    """Return the first two images of different classes that were recognised, and the first that was not."""
    right = np.flatnonzero(test.labels == evaluation.predictions)
    first_of_class = [int(right[test.labels[right] == k][0]) for k in np.unique(test.labels[right])]
    return [*sorted(first_of_class)[:2], *evaluation.misclassified[:1].tolist()]
