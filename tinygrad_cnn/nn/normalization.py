"""Batch normalisation as layers."""

from typing import ClassVar

import numpy as np

from .. import checks, ops
from ..autograd.tensor import Tensor, as_tensor
from ..checks import flag
from .module import Buffer, Module, Parameter


class _BatchNorm(Module):
    """Batch normalisation of inputs with as many axes as ``shapes`` allows."""

    shapes: ClassVar[dict[int, str]]  # the shapes that an input may have, by their number of axes

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features = n = checks.integer(name, "num_features", num_features, 1)
        self.eps = checks.number(name, "eps", eps, 0, 1)
        self.momentum = None if momentum is None else checks.number(name, "momentum", momentum, 0, 1)
        self.affine = flag(name, "affine", affine)
        self.track_running_stats = flag(name, "track_running_stats", track_running_stats)
        self.weight = Parameter(np.ones(n, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(n, np.float32)) if affine else None
        self.running_mean = Buffer(np.zeros(n, np.float32)) if track_running_stats else None
        self.running_var = Buffer(np.ones(n, np.float32)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.array(0)) if track_running_stats else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        x = as_tensor(type(self).__name__, x)
        if x.ndim not in self.shapes:
            expected = " or ".join(self.shapes.values())
            raise ValueError(f"{type(self).__name__}: x must be {expected} {checks.shapes(x=x)}")
        count = self.num_batches_tracked if self.training else None
        momentum = self.momentum
        if momentum is None:
            momentum = 0.0 if count is None else 1 / (count.item() + 1)
        y = ops.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=momentum,
            eps=self.eps,
        )
        if count is not None:
            count.writable()[...] += 1
        return y

    def extra_repr(self) -> str:
        """Return the settings."""
        momentum = "None" if self.momentum is None else f"{self.momentum:g}"
        text = f"{self.num_features}, eps={self.eps:g}, momentum={momentum}"
        return text + "".join(f", {k}=False" for k in ("affine", "track_running_stats") if not getattr(self, k))


class BatchNorm1d(_BatchNorm):
    """`batch_norm` of rows (N, C) or (N, C, L); the arguments are those of `BatchNorm2d`."""

    shapes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """`batch_norm`: with the batch's statistics in training mode, with the running ones in evaluation mode.

    Args:
        num_features: the number of channels.
        eps: added to the variance, from 0 to 1.
        momentum: the weight of a new batch in the running statistics; None for their plain mean over all batches.
        affine: False for a layer without weight and bias.
        track_running_stats: False for a layer without running statistics: the batch's are used in both modes.
    """

    shapes: ClassVar = {4: "(N, C, H, W)"}
