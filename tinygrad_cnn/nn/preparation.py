"""A layer that prepares images: it belongs to the network, so that every use of it prepares them alike."""

from collections.abc import Sequence

import numpy as np

from ..autograd.tensor import Tensor, as_tensor
from ..checks import abbreviated, shapes
from .module import Buffer, Module


class Normalize(Module):
    """Each channel shifted and scaled: ``(x - mean) / std``, in training and in evaluation alike.

    It is saved, exported and loaded with the network, so that prediction needs to know nothing of it. The numbers are
    buffers: no optimizer changes them. `Dataset.mean_and_std` measures them.

    Args:
        mean: one number, or one for each channel, of images in [0, 1].
        std: the same, above 0.

    Raises:
        ValueError: different numbers of means and deviations, one that is not finite, or a deviation that is not
            above 0.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.Normalize([0.5, 0.2], [0.5, 0.1])(tg.Tensor([[[[1.0]], [[0.2]]]])).data.ravel().tolist()
    [1.0, 0.0]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        means, deviations = (np.atleast_1d(np.asarray(v, np.float32)) for v in (mean, std))
        if means.ndim != 1 or means.shape != deviations.shape:
            raise ValueError(f"Normalize: mean and std must be as many numbers {shapes(mean=means, std=deviations)}")
        if not np.isfinite(means).all() or not np.isfinite(deviations).all() or (deviations <= 0).any():
            raise ValueError(
                f"Normalize: mean must be finite and std above 0, got {abbreviated(mean)} and {abbreviated(std)}"
            )
        self.mean, self.std = Buffer(means), Buffer(deviations)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), the same shape."""
        x = as_tensor("Normalize", x)
        channels = len(self.mean.data)
        if x.ndim < 3 or (channels > 1 and x.shape[-3] != channels):
            raise ValueError(f"Normalize: x must be (N, {channels}, H, W) {shapes(x=x)}")
        return (x - self.mean.data.reshape(-1, 1, 1)) / self.std.data.reshape(-1, 1, 1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(f"{n}={np.round(b.data, 4).tolist()}" for n, b in (("mean", self.mean), ("std", self.std)))
