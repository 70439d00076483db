"""The sections of a report: what each shows, and the sentence that says how to read it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...autograd.modes import no_grad
from ...autograd.tensor import wrap
from ...checks import plural
from ...data import Dataset, rotated, shifted
from ...kernels import get_kernels
from ...models import RECIPES, Cost, Network, summarize
from ...nn import Conv2d, MaxPool2d
from ...training.evaluate import Evaluation, evaluation_mode
from ...training.records import EpochRecord
from .. import plot
from ..plot.layers import maps_of
from .page import (
    facts,
    paragraph,
    picture,
    pictures,
    section,
    table,
)

_MOVED = 1000  # images are enough to see how accuracy falls
_SHIFTS, _ANGLES = (1, 2, 3, 4), (5, 10, 15, 30, 45)


def summary(model: Network, test: Dataset, scored: Evaluation, source: str) -> str:
    """The figures that matter most."""
    rows: list[tuple[str, object]] = [
        ("network", model.name),
        ("from", RECIPES[model.name].source),
        ("weights", source or "in memory"),
        ("parameters", f"{sum(p.size for p in model.parameters()):,}"),
        ("test images", f"{len(test):,} of {'×'.join(map(str, test.image_shape))}"),
        ("recognised", f"{scored.accuracy:.2%}"),
        ("cost", f"{scored.loss:.4f}"),
        ("kernels", get_kernels()),
    ]
    return facts(rows)


def layers(model: Network) -> str:
    """The layers, with what each makes of one image."""
    rows = [
        (
            r.layer.replace("(", "(\u200b", 1),  # a line may be broken there
            "×".join(map(str, r.output_shape)),
            f"{r.parameters:,}",
            f"{r.multiply_adds:,}",
        )
        for r in summarize(model, model.image_shape)
    ]
    return section(
        "Layers",
        paragraph("What each layer makes of one image: the shape of its output, its parameters, its multiply-adds."),
        table(("layer", "output", "parameters", "multiply-adds"), rows),
    )


def training(history: Sequence[EpochRecord]) -> str:
    """The curves, or where to get them."""
    if not history:
        return section("Training", paragraph("The weights came without a record of their training."))
    caption = "Cost and accuracy, epoch by epoch; those of the training images were measured while learning."
    return section("Training", picture(plot.curves(history), caption))


def learned_filters(model: Network) -> str:
    """The filters of every convolutional layer."""
    convolutions = [(name, m) for name, m in model.named_modules() if isinstance(m, Conv2d)]
    if not convolutions:
        return section("Filters", paragraph("This network has no convolutional layer."))
    drawn = [picture(plot.filters(m), f"Layer {name}: {plural(m.out_channels, 'filter')}") for name, m in convolutions]
    return section(
        "Filters",
        paragraph("Bright weights are positive and speak for a feature; dark ones are negative and speak against it."),
        pictures(*drawn),
    )


def looked_into(model: Network, test: Dataset, row: int, prediction: int, cost: Cost) -> str:
    """What the network makes of one image, and what comes back."""
    images, labels = test.take(slice(row, row + 1))
    image, label = images[0], int(labels[0])
    shown = [
        picture(plot.feature_maps(model, image), "Feature maps: z before an activation function, a after."),
        picture(
            plot.gradients(model, image, label, cost=cost),
            "The gradient of the cost, flowing back. Bright: less of it would lower the cost; dark: more would.",
        ),
        picture(
            plot.occlusion(model, image, label, size=max(3, image.shape[1] // 6 | 1)),
            f"How much the output for {label} falls when a square around a pixel is covered.",
        ),
    ]
    if overlay := _first_pooling(model, image, label, cost):
        shown.append(overlay)
    answer = "recognised" if prediction == label else f"taken for {prediction}"
    return section(f"Image {row}: class {label}, {answer}", pictures(*shown))


def confused(scored: Evaluation) -> str:
    """The confusion matrix, and the accuracy of each class."""
    rows = [
        (k, f"{count:,}", "–" if np.isnan(share) else f"{share:.2%}")
        for k, (share, count) in enumerate(zip(scored.per_class_accuracy, scored.confusion.sum(1), strict=True))
    ]
    return section(
        "What is taken for what",
        pictures(
            picture(plot.confusion(scored.confusion), "Rows: what an image is. Columns: what it was taken for."),
            table(("class", "images", "recognised"), rows),
        ),
    )


def mistaken(test: Dataset, scored: Evaluation) -> str:
    """The misclassified."""
    if not len(scored.misclassified):
        return section("Mistakes", paragraph("There are none."))
    drawn = plot.errors(test, scored.predictions)
    return section("Mistakes", picture(drawn, "What each is, and what it was taken for."))


def moved(model: Network, test: Dataset) -> str:
    """How well the network stands images that are shifted or turned."""
    images, labels = test.take(slice(0, _MOVED))

    def share(*changed: NDArray[np.float32]) -> str:
        return f"{np.mean([_accuracy(model, x, labels) for x in changed]):.1%}"

    rows = [("as they are", share(images))]
    rows += [(f"shifted by {d} px", share(*(shifted(images, y * d, x * d) for y, x in _SIDES))) for d in _SHIFTS]
    rows += [(f"turned by {a}°", share(rotated(images, a), rotated(images, -a))) for a in _ANGLES]
    return section(
        "Shifted and turned",
        paragraph(
            f"The share of the first {len(labels):,} test images recognised after a shift (mean of four directions) "
            "or a turn (mean of both ways). A filter finds its feature wherever it stands, but not turned; the fully "
            "connected layers behind it know places again."
        ),
        table(("images", "recognised"), rows),
    )


_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


def _accuracy(model: Network, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    with no_grad(), evaluation_mode(model):
        return float((model(wrap(images)).data.argmax(1) == labels).mean())


def _first_pooling(model: Network, image: NDArray[np.float32], label: int, cost: Cost) -> str:
    """The strongest map that enters the first max pooling layer, with its overlay; nothing where there is none."""
    pool = next((m for m in model.modules() if isinstance(m, MaxPool2d)), None)
    if pool is None or pool.padding != (0, 0) or pool.dilation != (1, 1):
        return ""
    stacks = maps_of("report", model, image, label, cost=cost)
    before = next(a for a, b in pairwise(stacks) if b.name == "maxpool")
    strongest = before.values[before.values.max((1, 2)).argmax()]
    drawn = plot.pooling(strongest, pool.kernel_size, stride=pool.stride)
    return picture(drawn, "The first max pooling: the map with the highest value, one overlay, and its maximum.")
