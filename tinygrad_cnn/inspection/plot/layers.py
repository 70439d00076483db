"""The maps that each layer makes of an image, and the gradient that flows back to them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.engine import Node, backward_pass
from ...autograd.modes import enable_grad
from ...autograd.tensor import Tensor
from ...checks import abbreviated, instance, integer, shapes
from ...models import Cost
from ...nn.module import Module
from ...ops import cross_entropy
from ...training.evaluate import evaluation_mode
from ..graph_view import GraphView, graph_view
from .canvas import TITLE_POINTS, WIDTH_INCHES, Image, colour_bar, mosaic, new_figure, show

if TYPE_CHECKING:
    from .canvas import Canvas

_TILES_PER_ROW = 8
_SYMBOLS = {"sliding": "z", "linear": "z", "activation": "a"}  # by kind of op; others keep the symbol before


class Maps(NamedTuple):
    """One stack of maps on the way from the image to the scores.

    Attributes:
        name: the op that made it, ``image`` for the first.
        symbol: z, a raw activation, or a, an activation.
        values: (C, H, W).
        gradient: dC/d(values), (C, H, W).
        params: the op's settings.
    """

    name: str
    symbol: str
    values: Image
    gradient: Image
    params: dict[str, Any]


def feature_maps(model: Module, image: ArrayLike, *, figure: "Canvas | None" = None) -> "Canvas":
    """Draw the feature maps of one image, layer by layer: each step of the network that makes maps, in order.

    Every stack has a grey scale of its own: z is the raw activation, a the activation.

    Args:
        model: a network for images; it is run in evaluation mode.
        image: (C, H, W), or (H, W).
        figure: where to draw; a new figure by default.

    Raises:
        ValueError: the image has another rank.
    """
    return _draw(maps_of("feature_maps", model, image), lambda m: m.values, "Feature maps", "", figure)


def gradients(
    model: Module, image: ArrayLike, label: int, *, cost: Cost = cross_entropy, figure: "Canvas | None" = None
) -> "Canvas":
    """Draw the gradient flowing back: for each stack of `feature_maps` dC/da (or dC/dz), how the cost changes with it.

    Where it is positive (bright), less activation would lower the cost; where it is negative (dark), more would.

    Args:
        model, image, figure: as in `feature_maps`.
        label: the image's class.
        cost: called as ``cost(model(image), [label])``.
    """
    title = f"Gradients flowing back; the image is of class {label}"
    return _draw(maps_of("gradients", model, image, label, cost=cost), lambda m: m.gradient, title, "dC/d", figure)


def maps_of(op: str, model: Module, image: ArrayLike, label: int = 0, *, cost: Cost = cross_entropy) -> list[Maps]:
    """Return every stack of maps that the model makes of one image, with its gradient; the image itself comes first.

    Args:
        op: the function that messages name.
        model, image, label, cost: as in `gradients`.
    """
    instance(op, "model", model, Module)
    label = integer(op, "label", label, 0)
    x = Tensor(as_batch(op, image), requires_grad=True)
    with evaluation_mode(model), enable_grad():
        c = cost(model(x), np.array([label]))
    steps = _steps_with_maps(graph_view(c))
    seed = Tensor(np.ones((), c.dtype))
    targets = [x, *(t for _, t in steps)]
    grads = {id(t): g.data for t, g in backward_pass(c, seed, targets, retain_graph=True, record=False)}
    stacks = [Maps("image", "a", x.data[0], grads[id(x)][0], {})]
    for node, t in steps:
        symbol = _SYMBOLS.get(node.kind, stacks[-1].symbol)
        gradient = grads.get(id(t), np.zeros_like(t.data))[0]
        stacks.append(Maps(node.name, symbol, t.data[0], gradient, node.params))
    return stacks


def _steps_with_maps(view: GraphView) -> list[tuple[Node, Tensor]]:
    """Return the ops whose results are maps of one image, but for steps inside a layer.

    These are ops that only move numbers, such as a border, and arithmetic whose result only arithmetic reads: a
    formula such as ``x * scale + shift`` is one step.
    """
    read_by_others = {id(x) for node, _ in view.steps if node.kind != "arithmetic" for x in node.inputs}
    return [
        (node, t)
        for node, t in view.steps
        if t.ndim == 4 and t.shape[0] == 1 and node.kind != "movement"
        if node.kind != "arithmetic" or id(t) in read_by_others
    ]


def as_batch(op: str, image: ArrayLike) -> Image:
    """Return one image as float32 (1, C, H, W)."""
    try:
        pixels = np.asarray(image, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: image must be an array of numbers, got {abbreviated(image)}") from None
    if pixels.ndim not in (2, 3):
        raise ValueError(f"{op}: image must be (C, H, W) or (H, W) {shapes(image=pixels)}")
    return pixels.reshape((1,) * (4 - pixels.ndim) + pixels.shape)


def _draw(
    stacks: list[Maps], part: Callable[[Maps], Image], title: str, prefix: str, figure: "Canvas | None"
) -> "Canvas":
    """Draw one mosaic under another, each as high as its tiles need."""
    heights = [_height_inches(len(m.values)) for m in stacks]
    canvas = new_figure(figure, WIDTH_INCHES, sum(heights) + 0.3 * len(stacks) + 0.25)
    canvas.suptitle(title, fontsize=TITLE_POINTS, x=0.01, ha="left")
    rows = canvas.subplots(len(stacks), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for k, (ax, m) in enumerate(zip(rows, stacks, strict=True)):
        count, height, width = m.values.shape
        size = f"{height}×{width}" if count == 1 else f"{count} maps of {height}×{width}"
        sheet = mosaic(part(m), _TILES_PER_ROW)
        picture = show(ax, sheet, f"{k}. {m.name}: {size}" if k else f"{m.name}: {size}", signed=bool(prefix))
        colour_bar(ax, picture, prefix + m.symbol)
        ax.set_anchor("W")
    return canvas


def _height_inches(count: int) -> float:
    return 0.9 if count == 1 else 0.39 * -(-count // _TILES_PER_ROW)
