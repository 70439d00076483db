"""Activation layers. ``inplace``, as PyTorch's have it, is accepted and changes nothing: the input stays as it is."""

from .. import checks, ops
from ..autograd.tensor import Tensor
from ..checks import abbreviated, flag
from .module import Module


class Sigmoid(Module):
    """`sigmoid`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.sigmoid(x)


class Tanh(Module):
    """`tanh`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.tanh(x)


class ReLU(Module):
    """`relu`."""

    def __init__(self, inplace: bool = False) -> None:
        flag("ReLU", "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.relu(x)


class LeakyReLU(Module):
    """`leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = checks.number("LeakyReLU", "negative_slope", negative_slope)
        flag("LeakyReLU", "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"negative_slope={self.negative_slope:g}"


class GELU(Module):
    """`gelu`; ``approximate`` is "none" or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        if not isinstance(approximate, str) or approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {abbreviated(approximate)}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """`softmax` along ``dim``; `cross_entropy` includes it."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.softmax(x, self.dim)
