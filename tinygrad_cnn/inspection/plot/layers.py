"""What each layer makes of an image, and the gradient that comes back to it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.engine import backward_pass
from ...autograd.modes import enable_grad
from ...autograd.tensor import Tensor
from ...checks import abbreviated, instance, integer
from ...models import Cost
from ...nn.module import Module
from ...ops import cross_entropy
from ...training.evaluate import evaluation_mode
from ..graph_view import walk
from .canvas import (
    TITLE,
    WIDTH,
    Image,
    mosaic,
    new_figure,
    scale,
    show,
)

if TYPE_CHECKING:
    from .canvas import Canvas

_COLUMNS = 8
_PASSED_OVER = {"pad", "astype", "multiply"}  # steps inside a layer; what the layer makes comes after them
_RAW = {"correlate2d", "convolve2d_full", "add", "batch_norm"}  # an activation function comes after it
_KEEPING = {"maxpool", "avgpool", "dropout", "concatenate", "getitem"}


class Maps(NamedTuple):
    """One stack of maps on the way from the image to the answer."""

    name: str
    """The op that made it, ``image`` for the first."""
    symbol: str
    """z, a raw activation, or a, an activation; pooling keeps which."""
    values: Image
    """(C, H, W)."""
    gradient: Image
    """dC/d(values), of the same shape."""


def feature_maps(model: Module, image: ArrayLike, *, figure: "Canvas | None" = None) -> "Canvas":
    """The feature maps of one image, layer by layer: each step of the network that makes maps, in order.

    Args:
        model: a network for images; it is run in evaluation mode.
        image: (C, H, W), or (H, W).
        figure: where to draw; a new figure by default.

    Every stack has a grey scale of its own: z is the raw activation, a the activation.

    Raises ValueError for an image of another rank.
    """
    return _stacks(maps_of("feature_maps", model, image), lambda m: m.values, "Feature maps", "", figure)


def gradients(
    model: Module, image: ArrayLike, label: int, *, cost: Cost = cross_entropy, figure: "Canvas | None" = None
) -> "Canvas":
    """The gradient flowing back: for each stack of `feature_maps` dC/da (or dC/dz), how the cost changes with it.

    Where it is positive (bright), less activation would lower the cost; where it is negative (dark), more would.

    Args:
        model, image, figure: as in `feature_maps`.
        label: the image's class.
        cost: called as ``cost(model(image), [label])``.
    """
    title = f"Gradients flowing back; the image is of class {label}"
    return _stacks(maps_of("gradients", model, image, label, cost=cost), lambda m: m.gradient, title, "dC/d", figure)


def maps_of(what: str, model: Module, image: ArrayLike, label: int = 0, *, cost: Cost = cross_entropy) -> list[Maps]:
    """Every stack of maps that the model makes of one image, with its gradient; the image itself comes first.

    ``what`` begins the messages of errors.
    """
    instance(what, "model", model, Module)
    label = integer(what, "label", label, 0)
    x = Tensor(as_batch(what, image), requires_grad=True)
    with evaluation_mode(model), enable_grad():
        c = cost(model(x), np.array([label]))
    made = [
        t
        for t in walk(c).results
        if t.ndim == 4 and t.shape[0] == 1 and t.node is not None and t.node.name not in _PASSED_OVER
    ]
    seed = Tensor(np.ones((), c.dtype))
    found = {id(t): g.data for t, g in backward_pass(c, seed, [x, *made], retain_graph=True, record=False)}
    stacks = [Maps("image", "a", x.data[0], found[id(x)][0])]
    for t in made:
        name = "" if t.node is None else t.node.name
        symbol = "z" if name in _RAW else stacks[-1].symbol if name in _KEEPING else "a"
        stacks.append(Maps(name, symbol, t.data[0], found.get(id(t), np.zeros_like(t.data))[0]))
    return stacks


def as_batch(what: str, image: ArrayLike) -> Image:
    """One image as float32 (1, C, H, W)."""
    try:
        pixels = np.asarray(image, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{what}: image must be an array of numbers, got {abbreviated(image)}") from None
    if pixels.ndim not in (2, 3):
        raise ValueError(f"{what}: one image (C, H, W) or (H, W) expected (image.shape={pixels.shape})")
    return pixels.reshape((1,) * (4 - pixels.ndim) + pixels.shape)


def _stacks(
    stacks: list[Maps], part: Callable[[Maps], Image], title: str, prefix: str, figure: "Canvas | None"
) -> "Canvas":
    """One mosaic under another; each as high as its tiles need."""
    sheets = [mosaic(part(m), _COLUMNS) for m in stacks]
    heights = [_height(len(part(m))) for m in stacks]
    canvas = new_figure(figure, WIDTH, sum(heights) + 0.3 * len(stacks) + 0.25)
    canvas.suptitle(title, fontsize=TITLE, x=0.01, ha="left")
    rows = canvas.subplots(len(stacks), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for k, (ax, m, sheet) in enumerate(zip(rows, stacks, sheets, strict=True)):
        count, height, width = m.values.shape
        size = f"{height}×{width}" if count == 1 else f"{count} maps of {height}×{width}"
        drawn = show(ax, sheet, f"{k}. {m.name}: {size}" if k else f"{m.name}: {size}", signed=bool(prefix))
        scale(ax, drawn, prefix + m.symbol)
        ax.set_anchor("W")
    return canvas


def _height(count: int) -> float:
    """Inches for so many tiles."""
    return 0.9 if count == 1 else 0.39 * -(-count // _COLUMNS)
