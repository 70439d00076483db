"""The article's three classes over the framework, a few lines each, because autograd does the rest.

The article writes `feed_forward` and `propagate_backward` by hand for each; here `forward` is the whole class, and
``loss.backward()`` computes every gradient. The overlay moves by one pixel, and the sigmoid is part of the layer.
"""

from typing import Any

import numpy as np

from .autograd.tensor import Tensor, as_tensor
from .checks import integer, pair, plural, shapes
from .nn.init import normal
from .nn.module import Module
from .ops import correlate2d, maxpool, sigmoid

Rng = np.random.Generator | None
_HOW_TO_WRITE_IT = (
    "the article's listing takes the input when the layer is made, and has feed_forward and propagate_backward; here "
    "it is layer = FeatureMap((2, 2)), a = layer(x), and loss.backward() computes all gradients"
)


class _Map(Module):
    """A layer whose listing in the article takes the input first, and has methods that autograd replaces."""

    def __getattr__(self, name: str) -> Any:
        if name in ("feed_forward", "propagate_backward"):
            raise AttributeError(f"{type(self).__name__}: {_HOW_TO_WRITE_IT}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _overlay(name: str, overlay_shape: Any, more: tuple[Any, ...] = ()) -> tuple[int, int]:
    """Return the overlay's shape. TypeError for the article's own order of arguments, which it explains."""
    if more or np.ndim(overlay_shape) > 1:
        raise TypeError(f"{name}: {_HOW_TO_WRITE_IT}")
    return pair(name, "overlay_shape", overlay_shape, 1)


class FeatureMap(_Map):
    """One feature map: ``a = σ(correlate2d(a_prev, w, "valid") + b)``, with one shared bias.

    The bias is added by ``+``, whose rule passes dC/dz on; that it was broadcast makes its gradient the sum.

    >>> a = FeatureMap((2, 2))(Tensor(np.arange(20.0).reshape(4, 5)))
    >>> a.shape
    (3, 4)
    """

    def __init__(self, overlay_shape: tuple[int, int], *more: Any, rng: Rng = None) -> None:
        self.w = normal(_overlay("FeatureMap", overlay_shape, more), 1, rng)
        self.b = normal((1, 1), 1, rng)

    def forward(self, a_prev: Tensor) -> Tensor:
        """(H, W) to (H - KH + 1, W - KW + 1)."""
        return sigmoid(correlate2d(a_prev, self.w) + self.b)


class MaxPoolingMap(_Map):
    """The largest activation under each place of the overlay."""

    def __init__(self, overlay_shape: tuple[int, int], *more: Any) -> None:
        self.overlay_shape = _overlay("MaxPoolingMap", overlay_shape, more)

    def forward(self, a_prev: Tensor) -> Tensor:
        """(H, W) to (H - KH + 1, W - KW + 1)."""
        return maxpool(a_prev, self.overlay_shape)


class FullyConnectedLayer(_Map):
    """``a = σ(w a_prev + b)``, all of the previous layer as one column."""

    def __init__(self, num_inputs: int, num_neurons: int, *, rng: Rng = None) -> None:
        num_inputs = integer("FullyConnectedLayer", "num_inputs", num_inputs, 1)
        num_neurons = integer("FullyConnectedLayer", "num_neurons", num_neurons, 1)
        self.w = normal((num_neurons, num_inputs), 1, rng)
        self.b = normal((num_neurons, 1), 1, rng)

    def forward(self, a_prev: Tensor) -> Tensor:
        """Any shape of num_inputs numbers to a column (num_neurons, 1)."""
        a_prev, num_inputs = as_tensor("FullyConnectedLayer", a_prev), self.w.shape[1]
        if a_prev.size != num_inputs:
            raise ValueError(
                f"FullyConnectedLayer: a_prev has {plural(a_prev.size, 'number')}, w expects {num_inputs} "
                f"{shapes(a_prev=a_prev, w=self.w)}"
            )
        return sigmoid(self.w @ a_prev.reshape(-1, 1) + self.b)
