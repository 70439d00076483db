"""Occlusion: how much a score depends on each part of an image, measured by covering that part."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.modes import no_grad
from ...autograd.tensor import wrap
from ...checks import instance, integer, shapes
from ...nn.module import Module
from ...training.evaluate import evaluation_mode
from .canvas import WIDTH_INCHES, Image, colour_bar, new_axes, show
from .layers import as_batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BATCH_IMAGES = 256


def occlusion(model: Module, image: ArrayLike, label: int, *, size: int = 5, ax: "Axes | None" = None) -> "Axes":
    """Draw how much the network's output for a class falls when a square around each pixel is covered.

    Bright: covering it takes from the class; dark: covering it helps the class. White lines follow the image's strokes.

    Args:
        model: a network for images; it is run in evaluation mode.
        image: (C, H, W), or (H, W).
        label: the class whose output is watched.
        size: the square's side in pixels; it is filled with the image's smallest value.
        ax: where to draw; a new figure by default.

    Source: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2.
    """
    instance("occlusion", "model", model, Module)
    label, size = integer("occlusion", "label", label, 0), integer("occlusion", "size", size, 1)
    pixels = as_batch("occlusion", image)[0]
    fall = output_fall(model, pixels, label, size)
    ax = new_axes(ax, WIDTH_INCHES, 3.3)
    picture = show(ax, fall, f"output for {label}, {size}×{size} covered", signed=True)
    grey = pixels.mean(0)
    ax.contour(grey, levels=[(float(grey.min()) + float(grey.max())) / 2], colors="white", linewidths=1.0)
    colour_bar(ax, picture, "fall of the output")
    return ax


def output_fall(model: Module, image: Image, label: int, size: int) -> NDArray[np.float64]:
    """Return the output for ``label`` minus that with a square around each pixel covered, (H, W)."""
    _, height, width = image.shape
    centres = [(r, c) for r in range(height) for c in range(width)]
    whole = float(_outputs(model, image[None], label)[0])
    outputs: list[NDArray[np.float64]] = []
    for start in range(0, len(centres), _BATCH_IMAGES):
        part = centres[start : start + _BATCH_IMAGES]
        images = np.repeat(image[None], len(part), axis=0)
        for copy, (r, c) in zip(images, part, strict=True):
            top, left = r - size // 2, c - size // 2
            copy[:, max(top, 0) : top + size, max(left, 0) : left + size] = image.min()
        outputs.append(_outputs(model, images, label))
    with np.errstate(invalid="ignore"):  # infinite outputs have no difference: nothing is drawn there
        return whole - np.concatenate(outputs).reshape(height, width)


def _outputs(model: Module, images: Image, label: int) -> NDArray[np.float64]:
    with evaluation_mode(model), no_grad():
        scores = np.asarray(model(wrap(images)), np.float64)
    if scores.ndim != 2:
        raise ValueError(f"occlusion: model must return scores (N, K) {shapes(scores=scores)}")
    return scores[:, integer("occlusion", "label", label, 0, below=scores.shape[1])]
