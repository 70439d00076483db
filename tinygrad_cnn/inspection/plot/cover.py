"""Occlusion: which part of the image the answer hangs on, found by covering it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...autograd.modes import no_grad
from ...autograd.tensor import wrap
from ...checks import instance, integer
from ...nn.module import Module
from ...training.evaluate import evaluation_mode
from .canvas import WIDTH, Image, new_axes, scale, show
from .layers import as_batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BATCH = 256


def occlusion(model: Module, image: ArrayLike, label: int, *, size: int = 5, ax: "Axes | None" = None) -> "Axes":
    """How much the network's output for a class falls when a square around each pixel is covered.

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
    pixels = as_batch("occlusion", image)
    fall = occluded_fall(model, pixels[0], label, size)
    ax = new_axes(ax, WIDTH, 3.3)
    drawn = show(ax, fall, f"output for {label}, {size}×{size} covered", signed=True)
    stroke = pixels[0].mean(0)
    ax.contour(stroke, levels=[(float(stroke.min()) + float(stroke.max())) / 2], colors="white", linewidths=1.0)
    scale(ax, drawn, "fall of the output")
    return ax


def occluded_fall(model: Module, image: Image, label: int, size: int) -> NDArray[np.float64]:
    """(H, W): the output for ``label`` as it is, minus what it is with a square around each pixel covered."""
    _, height, width = image.shape
    centres = [(r, c) for r in range(height) for c in range(width)]
    plain = float(_outputs(model, image[None], label)[0])
    outputs: list[NDArray[np.float64]] = []
    for start in range(0, len(centres), _BATCH):
        part = centres[start : start + _BATCH]
        covered = np.repeat(image[None], len(part), axis=0)
        for one, (r, c) in zip(covered, part, strict=True):
            top, left = r - size // 2, c - size // 2
            one[:, max(top, 0) : top + size, max(left, 0) : left + size] = image.min()
        outputs.append(_outputs(model, covered, label))
    with np.errstate(invalid="ignore"):  # infinite outputs have no difference: nothing is drawn there
        return plain - np.concatenate(outputs).reshape(height, width)


def _outputs(model: Module, images: Image, label: int) -> NDArray[np.float64]:
    with evaluation_mode(model), no_grad():
        outputs = np.asarray(model(wrap(images)), np.float64)
    if outputs.ndim != 2 or not 0 <= label < outputs.shape[1]:
        raise ValueError(f"occlusion: no output for class {label} (outputs.shape={outputs.shape})")
    return outputs[:, label]
