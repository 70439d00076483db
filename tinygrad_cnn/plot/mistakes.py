"""What the network takes for what: the confusion matrix, and the images it gets wrong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .canvas import TEXT, TITLE, WIDTH, new_axes, new_figure, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas


def confusion(counts: ArrayLike, *, classes: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """How often each class (row) was taken for each (column); the darker, the larger the share of its row.

    The shading is of the square root of the share, so that single mistakes can be seen beside thousands of hits.

    Args:
        counts: (K, K) integers, as `evaluate` counts them.
        classes: the classes' names; their numbers by default.
        ax: where to draw; a new figure by default.

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
    ax = new_axes(ax, WIDTH, WIDTH)
    ax.imshow(np.sqrt(share), cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    for r, c in np.argwhere(n):
        ax.text(c, r, f"{n[r, c]}", ha="center", va="center", fontsize=TEXT,
                color="white" if share[r, c] > 0.35 else "black")  # fmt: skip
    ax.set_xticks(range(len(names)), names, fontsize=TEXT)
    ax.set_yticks(range(len(names)), names, fontsize=TEXT)
    ax.tick_params(length=0)
    right, total = int(np.trace(n)), int(n.sum())
    ax.set_title(f"{right:,} of {total:,} images right ({right / max(total, 1):.2%})", fontsize=TITLE, loc="left")
    ax.set_xlabel("taken for", fontsize=TEXT)
    ax.set_ylabel("is", fontsize=TEXT)
    return ax


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
    if pixels.ndim != 4 or is_.shape != pixels.shape[:1] or taken.shape != is_.shape:
        raise ValueError(
            "errors: images (N, C, H, W) with a label and a prediction each "
            f"(images.shape={pixels.shape}, labels.shape={is_.shape}, predictions.shape={taken.shape})"
        )
    wrong = np.flatnonzero(is_ != taken)
    shown = wrong[:limit]
    columns = 6
    rows = max(-(-len(shown) // columns), 1)
    canvas = new_figure(figure, WIDTH, 0.86 * rows + 0.3)
    more = "" if len(shown) == len(wrong) else f", the first {len(shown)}"
    canvas.suptitle(f"{len(wrong):,} of {len(is_):,} images taken for another class{more}", fontsize=TITLE)
    places = canvas.subplots(rows, columns, squeeze=False).ravel()
    for ax in places[len(shown) :]:
        ax.set_axis_off()
    for ax, k in zip(places, shown, strict=False):
        show(ax, pixels[k].mean(0), "")
        ax.set_title(f"{is_[k]} as {taken[k]}", fontsize=TEXT)
    return canvas
