"""The errors of a network: the confusion matrix, and the images that it misclassifies."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...checks import instance, integer, plural, shapes
from ...data import Dataset
from .canvas import TEXT_POINTS, TITLE_POINTS, WIDTH_INCHES, new_axes, new_figure, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

_IMAGES_PER_ROW = 6
_MAX_COUNTED_CLASSES = 35  # in whose table there is room for numbers
_TITLE_CHARACTERS = 11
_LETTER_INCHES = 0.075  # about a digit's width


def confusion(counts: ArrayLike, *, classes: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw how often each class (row) was taken for each (column); the darker, the larger the part of its row.

    The shading is of the square root of the part, so that single errors can be seen beside thousands of hits.

    Args:
        counts: (K, K) integers, as `evaluate` counts them.
        classes: the classes' names; their numbers by default.
        ax: where to draw; by default a new figure, in which every count has room.

    Raises:
        ValueError: another shape or a negative count.
        TypeError: numbers that are not integers.

    >>> picture = confusion([[9, 1], [0, 7]])
    """
    n = np.asarray(counts)
    if n.dtype.kind not in "iu":
        raise TypeError(f"confusion: counts must be integers, got {n.dtype}")
    if n.ndim != 2 or n.shape[0] != n.shape[1] or not n.size or n.min() < 0:
        raise ValueError(f"confusion: counts must be (K, K) and not negative {shapes(counts=n)}")
    names = [str(k) for k in range(len(n))] if classes is None else list(classes)
    if len(names) != len(n):
        raise ValueError(f"confusion: classes must be {len(n)} names, got {len(names)}")
    part = n / np.maximum(n.sum(1, keepdims=True), 1)
    right, total = int(np.trace(n)), int(n.sum())
    title = f"{right:,} of {plural(total, 'image')} right ({right / max(total, 1):.2%})"
    cell = max(0.3, _LETTER_INCHES * (len(str(n.max())) + 1))  # inches, in which the widest count has room
    side = max(WIDTH_INCHES, cell * len(n) + 0.8, _LETTER_INCHES * len(title) + 0.6)
    ax = new_axes(ax, side, side)
    ax.imshow(np.sqrt(part), cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    for r, c in np.argwhere(n) if len(n) <= _MAX_COUNTED_CLASSES else ():
        colour = "white" if part[r, c] > 0.35 else "black"
        ax.text(c, r, f"{n[r, c]}", ha="center", va="center", fontsize=TEXT_POINTS, color=colour)
    wide = max(map(len, names)) * _LETTER_INCHES > (side - 0.8) / len(n)
    ax.set_xticks(range(len(names)), names, fontsize=TEXT_POINTS, rotation=90 if wide else 0)
    ax.set_yticks(range(len(names)), names, fontsize=TEXT_POINTS)
    ax.tick_params(length=0)
    ax.set_title(title, fontsize=TITLE_POINTS, loc="left")
    ax.set_xlabel("taken for", fontsize=TEXT_POINTS)
    ax.set_ylabel("is", fontsize=TEXT_POINTS)
    return ax


def errors(
    dataset: Dataset,
    predictions: ArrayLike,
    *,
    order: Sequence[int] | None = None,
    limit: int = 24,
    figure: "Canvas | None" = None,
) -> "Canvas":
    """Draw the misclassified images, each with its number, its class and the predicted one: "17: 4 as 9".

    Args:
        dataset: images and labels; images of three channels are drawn in colour.
        predictions: integers (N,), the class predicted for each image.
        order: the numbers of the misclassified images in the order to draw them, such as
            `Evaluation.most_confident_mistakes`; by default as they come.
        limit: the largest number of images drawn.
        figure: where to draw; a new figure by default.

    Raises:
        ValueError: there is not one prediction for each image.
        TypeError: predictions are not integers.
    """
    limit = integer("errors", "limit", limit, 0)
    instance("errors", "dataset", dataset, Dataset)
    answers = np.asarray(predictions)
    if answers.shape != (len(dataset),):
        total = plural(len(dataset), "image")
        raise ValueError(f"errors: predictions must be one for each of {total} {shapes(predictions=answers)}")
    if answers.dtype.kind not in "iu":
        raise TypeError(f"errors: predictions must be integers, got {answers.dtype}")
    wrong = np.flatnonzero(dataset.labels != answers)
    if order is not None:
        wrong = np.asarray([k for k in order if dataset.labels[k] != answers[k]], np.int64)
    images, labels = dataset.take(wrong[:limit])
    rows = max(-(-len(images) // _IMAGES_PER_ROW), 1)
    canvas = new_figure(figure, WIDTH_INCHES, 0.8 * rows + 0.3)
    more = "" if len(images) == len(wrong) else f", the first {len(images)}"
    title = f"{len(wrong):,} of {plural(len(dataset), 'image')} taken for another class{more}"
    canvas.suptitle(title, fontsize=TITLE_POINTS)
    panels = canvas.subplots(rows, _IMAGES_PER_ROW, squeeze=False).ravel()
    for ax in panels[len(images) :]:
        ax.set_axis_off()
    names = dataset.class_names
    for ax, image, label, answer, row in zip(panels, images, labels, answers[wrong], wrong, strict=False):
        show(ax, image.transpose(1, 2, 0) if len(image) == 3 else image.mean(0), "")
        taken_for = names[answer] if 0 <= answer < len(names) else str(answer)
        text = f"{row}: {names[label]} as {taken_for}"
        ax.set_title("\n".join(textwrap.wrap(text, _TITLE_CHARACTERS)), fontsize=TEXT_POINTS)
    return canvas
