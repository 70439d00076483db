"""What the network takes for what: the confusion matrix, and the images it gets wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import TEXT, TITLE, new_axes, new_figure, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas


def confusion(
    labels: ArrayLike, predictions: ArrayLike, *, classes: Sequence[str] | None = None, ax: "Axes | None" = None
) -> "Axes":
    """How often each class (row) was taken for each (column); the darker, the larger the share of its row.

    The shading is of the square root of the share, so that single mistakes can be seen beside thousands of hits.

    Args:
        labels, predictions: integers (N,), what the images show and what the network said.
        classes: the classes' names; their numbers by default.
        ax: where to draw; a new figure by default.

    >>> picture = confusion([0, 0, 1, 1], [0, 1, 1, 1])
    """
    counts = counted(labels, predictions, len(classes) if classes else 0)
    names = list(classes) if classes else [str(k) for k in range(len(counts))]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax = new_axes(ax, 4.2, 4.2)
    ax.imshow(np.sqrt(share), cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    for (r, c), n in np.ndenumerate(counts):
        if n:
            colour = "white" if share[r, c] > 0.35 else "black"
            ax.text(c, r, f"{n}", ha="center", va="center", fontsize=TEXT, color=colour)
    ax.set_xticks(range(len(names)), names, fontsize=TEXT)
    ax.set_yticks(range(len(names)), names, fontsize=TEXT)
    ax.tick_params(length=0)
    right = int(np.trace(counts))
    total = int(counts.sum())
    ax.set_title(f"{right:,} of {total:,} right ({right / max(total, 1):.2%})", fontsize=TITLE, loc="left")
    ax.set_xlabel("taken for", fontsize=TEXT)
    ax.set_ylabel("is", fontsize=TEXT)
    return ax


def counted(labels: ArrayLike, predictions: ArrayLike, classes: int = 0) -> NDArray[np.int64]:
    """The confusion matrix: (K, K) counts, a row for each label, K at least ``classes``.

    Raises ValueError for different lengths or a negative number, TypeError for what are not integers.

    >>> counted([0, 0, 1], [0, 1, 1]).tolist()
    [[1, 1], [0, 1]]
    """
    is_, taken = np.asarray(labels), np.asarray(predictions)
    if is_.dtype.kind not in "iu" or taken.dtype.kind not in "iu":
        raise TypeError(f"confusion: labels and predictions must be integers, got {is_.dtype} and {taken.dtype}")
    if is_.ndim != 1 or is_.shape != taken.shape or not is_.size:
        raise ValueError(
            f"confusion: one label and one prediction for each image "
            f"(labels.shape={is_.shape}, predictions.shape={taken.shape})"
        )
    if min(is_.min(), taken.min()) < 0:
        raise ValueError("confusion: a class must not be negative")
    size = max(classes, int(is_.max()) + 1, int(taken.max()) + 1)
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (is_, taken), 1)
    return counts


def errors(
    images: ArrayLike, labels: ArrayLike, predictions: ArrayLike, *, limit: int = 24, figure: "Canvas | None" = None
) -> "Canvas":
    """The misclassified images, each with what it is and what it was taken for.

    Args:
        images: (N, C, H, W); the mean over the channels is drawn.
        labels, predictions: integers (N,).
        limit: how many are drawn, in order, at most.
        figure: where to draw; a new figure by default.
    """
    pixels, is_, taken = np.asarray(images), np.asarray(labels), np.asarray(predictions)
    counted(is_, taken)
    if pixels.ndim != 4 or len(pixels) != len(is_):
        raise ValueError(
            f"errors: images (N, C, H, W), one for each label (images.shape={pixels.shape}, labels.shape={is_.shape})"
        )
    wrong = np.flatnonzero(is_ != taken)
    shown = wrong[:limit]
    columns = 6
    rows = max(-(-len(shown) // columns), 1)
    canvas = new_figure(figure, 4.2, 0.86 * rows + 0.3)
    more = "" if len(shown) == len(wrong) else f", the first {len(shown)}"
    canvas.suptitle(f"{len(wrong):,} of {len(is_):,} images taken for something else{more}", fontsize=TITLE)
    places = canvas.subplots(rows, columns, squeeze=False).ravel()
    for ax in places[len(shown) :]:
        ax.set_axis_off()
    for ax, k in zip(places, shown, strict=False):
        show(ax, pixels[k].mean(0), "")
        ax.set_title(f"{is_[k]} as {taken[k]}", fontsize=TEXT)
    return canvas
