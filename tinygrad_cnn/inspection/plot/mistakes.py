"""What the network takes for what: the confusion matrix, and the images it gets wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...checks import instance, integer, plural
from ...data import Dataset
from .canvas import (
    TEXT,
    TITLE,
    WIDTH,
    new_axes,
    new_figure,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

_COLUMNS = 6  # of images
_LETTER = 0.075  # inches, about a digit's width


def confusion(counts: ArrayLike, *, classes: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """How often each class (row) was taken for each (column); the darker, the larger the share of its row.

    The shading is of the square root of the share, so that single mistakes can be seen beside thousands of hits.

    Args:
        counts: (K, K) integers, as `evaluate` counts them.
        classes: the classes' names; their numbers by default.
        ax: where to draw; by default a new figure, in which every count has room.

    Raises ValueError for another shape or a negative count, TypeError for what are not integers.

    >>> picture = confusion([[9, 1], [0, 7]])
    """
    n = np.asarray(counts)
    if n.dtype.kind not in "iu":
        raise TypeError(f"confusion: counts must be integers, got {n.dtype}")
    if n.ndim != 2 or n.shape[0] != n.shape[1] or not n.size or n.min() < 0:
        raise ValueError(f"confusion: counts must be (K, K) and not negative (counts.shape={n.shape})")
    names = [str(k) for k in range(len(n))] if classes is None else list(classes)
    if len(names) != len(n):
        raise ValueError(f"confusion: {len(names)} names for {len(n)} classes")
    share = n / np.maximum(n.sum(1, keepdims=True), 1)
    right, total = int(np.trace(n)), int(n.sum())
    title = f"{right:,} of {plural(total, 'image')} right ({right / max(total, 1):.2%})"
    cell = max(0.3, _LETTER * (len(str(n.max())) + 1))  # inches, in which the widest count has room
    side = max(WIDTH, cell * len(n) + 0.8, _LETTER * len(title) + 0.6)
    ax = new_axes(ax, side, side)
    ax.imshow(np.sqrt(share), cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    for r, c in np.argwhere(n):
        ax.text(
            c,
            r,
            f"{n[r, c]}",
            ha="center",
            va="center",
            fontsize=TEXT,
            color="white" if share[r, c] > 0.35 else "black",
        )
    wide = max(map(len, names)) * _LETTER > (side - 0.8) / len(n)
    ax.set_xticks(range(len(names)), names, fontsize=TEXT, rotation=90 if wide else 0)
    ax.set_yticks(range(len(names)), names, fontsize=TEXT)
    ax.tick_params(length=0)
    ax.set_title(title, fontsize=TITLE, loc="left")
    ax.set_xlabel("taken for", fontsize=TEXT)
    ax.set_ylabel("is", fontsize=TEXT)
    return ax


def errors(dataset: Dataset, predictions: ArrayLike, *, limit: int = 24, figure: "Canvas | None" = None) -> "Canvas":
    """The misclassified images, each with what it is and what it was taken for: "4 as 9".

    Args:
        dataset: the images and what they are; the mean over the channels is drawn.
        predictions: integers (N,), what each was taken for.
        limit: how many are drawn, in order, at most.
        figure: where to draw; a new figure by default.

    Raises ValueError when there is not one prediction for each image, TypeError for what are not integers.
    """
    limit = integer("errors", "limit", limit, 0)
    instance("errors", "dataset", dataset, Dataset)
    taken = np.asarray(predictions)
    if taken.shape != (len(dataset),):
        raise ValueError(f"errors: {len(dataset)} images need as many predictions (predictions.shape={taken.shape})")
    if taken.dtype.kind not in "iu":
        raise TypeError(f"errors: predictions must be integers, got {taken.dtype}")
    wrong = np.flatnonzero(dataset.labels != taken)
    images, labels = dataset.take(wrong[:limit])
    rows = max(-(-len(images) // _COLUMNS), 1)
    canvas = new_figure(figure, WIDTH, 0.8 * rows + 0.3)
    more = "" if len(images) == len(wrong) else f", the first {len(images)}"
    canvas.suptitle(f"{len(wrong):,} of {plural(len(dataset), 'image')} taken for another class{more}", fontsize=TITLE)
    places = canvas.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for ax in places[len(images) :]:
        ax.set_axis_off()
    for ax, image, label, answer in zip(places, images, labels, taken[wrong], strict=False):
        show(ax, image.mean(0), "")
        ax.set_title(f"{label} as {answer}", fontsize=TEXT)
    return canvas
