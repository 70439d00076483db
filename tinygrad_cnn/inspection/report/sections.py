"""The sections of a report: each has pictures or a table, and a sentence that says how to read them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...autograd.modes import no_grad
from ...autograd.tensor import wrap
from ...checks import plural
from ...data import Dataset, rotated, shifted
from ...kernels import get_kernels
from ...models import RECIPES, Network, cost_of, summarize
from ...training.evaluate import Evaluation, evaluation_mode
from ...training.records import EpochRecord
from .. import plot
from ..plot.layers import maps_of
from .page import facts, paragraph, picture, pictures, section, table

_MAX_MOVED_IMAGES = 1000  # enough to see how accuracy falls
_SHIFTS_PIXELS, _TURNS_DEGREES = (1, 2, 3, 4), (5, 10, 15, 30, 45)
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def summary(model: Network, test: Dataset, evaluation: Evaluation, source: str) -> str:
    """The figures that matter most."""
    rows: list[tuple[str, object]] = [
        ("network", model.name),
        *([("from", RECIPES[model.name].source)] if model.name in RECIPES else []),
        ("weights", source or "in memory"),
        ("parameters", f"{sum(p.size for p in model.parameters()):,}"),
        ("test images", f"{len(test):,} of {'×'.join(map(str, test.image_shape))}"),
        ("recognised", f"{evaluation.accuracy:.2%}"),
        ("cost", f"{evaluation.loss:.4f}"),
        ("kernels", get_kernels()),
    ]
    return facts(rows)


def layers(model: Network) -> str:
    """The layers, with the output shape, parameters and multiply-adds of each for one image."""
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
    """The training curves, if there is a history."""
    if not history:
        return section("Training", paragraph("The weights came without a record of their training."))
    caption = "Cost and accuracy, epoch by epoch; those of the training images were measured while learning."
    return section("Training", picture(plot.curves(history), caption))


def filters(model: Network) -> str:
    """The filters of every layer that has some: parameters with four axes."""
    banks = [(name.removesuffix(".weight"), p) for name, p in model.named_parameters() if p.ndim == 4]
    if not banks:
        return section("Filters", paragraph("This network has no convolutional layer."))
    return section(
        "Filters",
        paragraph("Bright weights are positive and speak for a feature; dark ones are negative and speak against it."),
        pictures(*[picture(plot.filters(p), f"Layer {name}: {plural(len(p), 'filter')}") for name, p in banks]),
    )


def image(model: Network, test: Dataset, row: int, prediction: int) -> str:
    """The maps that the network makes of one image, and the gradients that flow back."""
    images, labels = test.take(slice(row, row + 1))
    pixels, label = images[0], int(labels[0])
    figures = [
        picture(plot.feature_maps(model, pixels), "Feature maps: z before an activation function, a after."),
        picture(
            plot.gradients(model, pixels, label, cost=cost_of(model)),
            "The gradient of the cost, flowing back. Bright: less of it would lower the cost; dark: more would.",
        ),
        picture(
            plot.occlusion(model, pixels, label, size=max(3, pixels.shape[1] // 6 | 1)),
            f"How much the output for {label} falls when a square around a pixel is covered.",
        ),
        *_first_max_pooling(model, pixels, label),
    ]
    names = test.class_names
    taken_for = names[prediction] if 0 <= prediction < len(names) else str(prediction)
    verdict = "recognised" if prediction == label else f"taken for {taken_for}"
    return section(f"Image {row}: class {names[label]}, {verdict}", pictures(*figures))


def confusion(evaluation: Evaluation) -> str:
    """The confusion matrix, and the accuracy of each class."""
    counts = evaluation.confusion.sum(1)
    rows = [
        (name, f"{count:,}", *("–" if np.isnan(share) else f"{share:.2%}" for share in (recall, precision)))
        for name, recall, precision, count in zip(
            evaluation.class_names, evaluation.recall, evaluation.precision, counts, strict=True
        )
    ]
    return section(
        "What is taken for what",
        pictures(
            picture(
                plot.confusion(evaluation.confusion, classes=evaluation.class_names),
                "Rows: what an image is. Columns: what it was taken for.",
            ),
            table(("class", "images", "recall", "precision"), rows),
        ),
    )


def errors(test: Dataset, evaluation: Evaluation) -> str:
    """The misclassified images."""
    if not len(evaluation.misclassified):
        return section("Mistakes", paragraph("There are none."))
    drawn = plot.errors(test, evaluation.predictions, order=evaluation.most_confident_mistakes.tolist())
    return section("Mistakes", picture(drawn, "Number, class and prediction of each, the most confident one first."))


def robustness(model: Network, test: Dataset) -> str:
    """The accuracy on images that are shifted or turned."""
    images, labels = test.take(slice(0, _MAX_MOVED_IMAGES))

    def accuracy(*batches: NDArray[np.float32]) -> str:
        return f"{np.mean([_accuracy(model, x, labels) for x in batches]):.1%}"

    rows = [("as they are", accuracy(images))]
    for d in _SHIFTS_PIXELS:
        rows.append((f"shifted by {d} px", accuracy(*(shifted(images, y * d, x * d) for y, x in _DIRECTIONS))))
    for a in _TURNS_DEGREES:
        rows.append((f"turned by {a}°", accuracy(rotated(images, a), rotated(images, -a))))
    return section(
        "Shifted and turned",
        paragraph(
            f"The share of the first {len(labels):,} test images recognised after a shift (mean of four directions) "
            "or a turn (mean of both ways). A filter finds its feature wherever it stands, but not turned; the fully "
            "connected layers behind it know places again."
        ),
        table(("images", "recognised"), rows),
    )


def _accuracy(model: Network, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    with no_grad(), evaluation_mode(model):
        return float((model(wrap(images)).data.argmax(1) == labels).mean())


def _first_max_pooling(model: Network, pixels: NDArray[np.float32], label: int) -> list[str]:
    """The strongest map that enters the first max pooling, with one overlay; empty where there is none to draw."""
    stacks = maps_of("report", model, pixels, label, cost=cost_of(model))
    pools = [(a, b) for a, b in pairwise(stacks) if b.name == "maxpool"]
    if not pools or pools[0][1].params["padding"] != (0, 0) or pools[0][1].params["dilation"] != (1, 1):
        return []
    before, pool = pools[0]
    strongest = before.values[before.values.max((1, 2)).argmax()]
    overlay = plot.pooling(strongest, pool.params["shape"], stride=pool.params["stride"])
    return [picture(overlay, "The first max pooling: the map with the highest value, one overlay, and its maximum.")]
