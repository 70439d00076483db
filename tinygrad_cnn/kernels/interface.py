"""The protocol of a kernel set: functions of arrays.

The three sliding kernels are the three partial derivatives of one trilinear form,

    T(x, w, g) = sum over n f c p q i j of  x[n, c, p s + i d - pad, q s + j d - pad]  w[f, c, i, j]  g[n, f, p, q]

``correlate2d`` is dT/dg (the feature maps), ``correlate2d_weight`` is dT/dw (the article's weight gradient) and
``convolve2d_full`` is dT/dx (the article's gradient for the previous layer). So each one's backward rules are the
other two, to any order.

Shapes: images x ``(N, C, H, W)``, filters w ``(F, C // groups, KH, KW)``, maps g ``(N, F, OH, OW)``. Any memory order
is accepted. Results may come *batch innermost*: contiguous as ``(C, H, W, N)`` and seen as ``(N, C, H, W)``, because
then a row of a window is one long contiguous run, whatever the image's width.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .geometry import ConvParams, Pair, PoolParams

Array = NDArray[Any]


class KernelSet(Protocol):
    """The functions that a module must have to be a kernel set. Inputs are valid and of one float type.

    A set may also have ``sgd`` and ``adam``, an optimizer's update in one pass over memory, to the bits of the update
    that `optim` writes out (``numba_kernels`` has them).
    """

    def correlate2d(self, x: Array, w: Array, bias: Array | None, params: ConvParams) -> Array:
        """Feature maps ``(N, F, OH, OW)``: each filter slid over each image, unturned, plus one bias a map."""

    def correlate2d_weight(self, x: Array, g: Array, params: ConvParams, kernel_shape: Pair) -> Array:
        """Filters' gradient ``(F, C // groups, KH, KW)``: the image correlated with the maps' gradient."""

    def convolve2d_full(self, g: Array, w: Array, params: ConvParams, image_shape: Pair) -> Array:
        """Images' gradient ``(N, C, H, W)``: the maps' gradient convolved, in full, with the filters."""

    def bias_gradient(self, g: Array) -> Array:
        """``(F,)``: the sum of each map's gradient over images and pixels."""

    def relu_backward(self, g: Array, a: Array) -> Array:
        """``g`` where ``a > 0``, an exact 0 elsewhere, whatever g is there; of one shape, any type of a."""

    def maxpool(self, x: Array, params: PoolParams, want_winners: bool) -> tuple[Array, NDArray[np.integer]]:
        """Each window's maximum ``(N, C, OH, OW)`` and, with ``want_winners`` (else any array), the number of its tap.

        A winner is ``i * KW + j``, the first in row-major order among equals; a NaN wins, padding never does.
        """

    def maxpool_scatter(self, g: Array, winners: NDArray[np.integer], params: PoolParams, image_shape: Pair) -> Array:
        """``(N, C, H, W)``: each ``g`` added at its window's winner, zero elsewhere."""

    def maxpool_gather(self, x: Array, winners: NDArray[np.integer], params: PoolParams) -> Array:
        """``(N, C, OH, OW)``: the pixel of ``x`` at each winner; the transpose of ``maxpool_scatter``."""

    def avgpool(self, x: Array, params: PoolParams) -> Array:
        """Each window's sum over ``KH * KW``, zeros beyond the border included."""

    def avgpool_backward(self, g: Array, params: PoolParams, image_shape: Pair) -> Array:
        """``(N, C, H, W)``: each ``g / (KH * KW)`` added at every pixel of its window; the transpose of ``avgpool``."""

    def batch_norm(self, x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
        """``weight (x - mean) / sqrt(var + eps) + bias`` with each channel's mean and biased variance.

        Returns y ``(N, C, H, W)``, the mean ``(C,)`` and ``1 / sqrt(var + eps)`` ``(C,)``.
        """

    def batch_norm_backward(
        self, g: Array, x: Array, weight: Array, mean: Array, inv_std: Array
    ) -> tuple[Array, Array, Array]:
        """The gradients for x ``(N, C, H, W)``, for the weight and for the bias ``(C,)``."""
