"""Layers: parameters around one op each, with PyTorch's names, shapes, defaults and initialisation."""

import math
from typing import Any

import numpy as np

from .. import checks, ops
from ..autograd.tensor import Tensor, as_tensor
from ..checks import abbreviated, flag, one_axis
from ..kernels.geometry import ConvParams, Pair, spatial
from ..ops import arguments
from ..ops.convolution import smallest_image
from ..ops.regularization import Rows
from .init import uniform
from .module import Module

Size = int | Pair
Rng = np.random.Generator | None
_MAX_AXES = 64  # of a NumPy array


class Conv2d(Module):
    """A convolutional layer: `correlate2d` with ``out_channels`` filters, plus a bias for each.

    ``weight`` is ``(out_channels, in_channels // groups, KH, KW)``, ``bias`` ``(out_channels,)``.

    Args:
        in_channels, out_channels: the numbers of input and output maps.
        kernel_size, stride, padding, dilation: an integer or (rows, columns); ``padding="same"`` keeps the shape.
        groups: the number of independent parts that the channels are split into.
        bias: False for a layer without bias.
        padding_mode: "zeros", what the border holds.
        rng: random generator for initialisation.

    Raises:
        ValueError: a size is out of range, or the groups do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: Rng = None,
    ) -> None:
        name = "Conv2d"
        self.in_channels = checks.integer(name, "in_channels", in_channels, 1)
        self.out_channels = checks.integer(name, "out_channels", out_channels, 1)
        self.kernel_size = checks.pair(name, "kernel_size", kernel_size, 1)
        self.stride = checks.pair(name, "stride", stride, 1)
        named = isinstance(padding, str) and padding in ("same", "valid")
        self.same = named and padding == "same"
        self.padding = (0, 0) if named else checks.pair(name, "padding", padding, 0)
        self.dilation = checks.pair(name, "dilation", dilation, 1)
        self.groups = checks.integer(name, "groups", groups, 1)
        _check_groups(name, self.in_channels, self.out_channels, self.groups)
        self.padding_mode = _check_padding_mode(name, padding_mode)
        if self.same and self.stride != (1, 1):
            raise ValueError(f"{name}: padding='same' needs stride 1, got {abbreviated(stride)}")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = uniform(shape, fan_in, rng)
        self.bias = uniform((self.out_channels,), fan_in, rng) if flag(name, "bias", bias) else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        return ops.correlate2d(
            x,
            self.weight,
            bias=self.bias,
            mode="same" if self.same else "valid",
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        padding = "'same'" if self.same else self.padding
        return _settings(self, padding)


class ConvTranspose2d(Module):
    """The transposed convolution: `convolve2d_full` as a layer, from maps to images.

    ``weight`` is ``(in_channels, out_channels // groups, KH, KW)``; the image has
    ``(h - 1) stride - 2 padding + dilation (KH - 1) + 1 + output_padding`` rows. The arguments are those of `Conv2d`,
    and ``output_padding``, the rows and columns to add below and to the right, fewer than the stride or the dilation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        *,
        rng: Rng = None,
    ) -> None:
        name = "ConvTranspose2d"
        self.in_channels = checks.integer(name, "in_channels", in_channels, 1)
        self.out_channels = checks.integer(name, "out_channels", out_channels, 1)
        self.kernel_size = checks.pair(name, "kernel_size", kernel_size, 1)
        self.stride = checks.pair(name, "stride", stride, 1)
        self.padding = checks.pair(name, "padding", padding, 0)
        self.output_padding = checks.pair(name, "output_padding", output_padding, 0)
        self.dilation = checks.pair(name, "dilation", dilation, 1)
        self.groups = checks.integer(name, "groups", groups, 1)
        self.padding_mode = _check_padding_mode(name, padding_mode)
        _check_groups(name, self.in_channels, self.out_channels, self.groups)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            got = abbreviated(output_padding)
            raise ValueError(f"{name}: output_padding {got} must be smaller than the stride or dilation")
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])  # as PyTorch counts it
        self.weight = uniform(shape, fan_in, rng)
        self.bias = uniform((self.out_channels,), fan_in, rng) if flag(name, "bias", bias) else None

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, H, W), where ``output_size`` may say H and W."""
        x = arguments.images("ConvTranspose2d", x)
        params = ConvParams(self.stride, self.padding, self.dilation, self.groups)
        rows, columns = smallest_image(spatial(x.shape), self.kernel_size, params)
        image = rows + self.output_padding[0], columns + self.output_padding[1]
        if output_size is not None:
            image = checks.pair("ConvTranspose2d", "output_size", output_size, 1)
        if min(image) < 1:
            raise ValueError(f"ConvTranspose2d: the padding {self.padding} leaves nothing {checks.shapes(x=x)}")
        y = ops.convolve2d_full(x, self.weight, shape=image, **params._asdict())
        return y if self.bias is None else y + self.bias.reshape(-1, 1, 1)

    def extra_repr(self) -> str:
        """Return the settings."""
        extra = f", output_padding={self.output_padding}" if self.output_padding != (0, 0) else ""
        return _settings(self, self.padding) + extra


class Linear(Module):
    """A fully connected layer: ``x weightᵀ + bias``; ``weight`` is ``(out_features, in_features)``."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Rng = None) -> None:
        self.in_features = checks.integer("Linear", "in_features", in_features, 1)
        self.out_features = checks.integer("Linear", "out_features", out_features, 1)
        self.weight = uniform((self.out_features, self.in_features), self.in_features, rng)
        self.bias = uniform((self.out_features,), self.in_features, rng) if flag("Linear", "bias", bias) else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        x = as_tensor("Linear", x)
        if x.ndim and x.shape[-1] != self.in_features:
            flattened = math.prod(x.shape[1:])
            hint = (
                f"; put a Flatten() before it: a row then has {flattened} numbers"
                if x.ndim == 4 and flattened == self.in_features
                else f"; write Linear({x.shape[-1] if x.ndim < 4 else flattened}, {self.out_features})"
                + (" after a Flatten()" if x.ndim == 4 else "")
            )
            raise ValueError(
                f"Linear({self.in_features}, {self.out_features}): the input's rows have {x.shape[-1]} numbers "
                f"{checks.shapes(x=x)}{hint}"
            )
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Flatten(Module):
    """All axes from ``start_dim`` to ``end_dim`` as one: (N, C, H, W) to (N, C H W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = checks.integer("Flatten", "start_dim", start_dim, -_MAX_AXES)
        self.end_dim = checks.integer("Flatten", "end_dim", end_dim, -_MAX_AXES)

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers in row-major order."""
        x = as_tensor("Flatten", x)
        first, last = (one_axis("Flatten", i, max(x.ndim, 1)) for i in (self.start_dim, self.end_dim))
        if first > last:
            raise ValueError(f"Flatten: axis {self.start_dim} comes after axis {self.end_dim} {checks.shapes(x=x)}")
        shape = x.shape
        return x.reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


class Identity(Module):
    """The input, unchanged; whatever arguments it is made with are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x


class Dropout(Module):
    """`dropout` in training mode, the identity in evaluation mode; ``inplace`` is accepted and changes nothing."""

    rows: Rows | None = None  # of a batch, where other processes have the others

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Rng = None) -> None:
        self.p = checks.number("Dropout", "p", p, 0, 1)
        flag("Dropout", "inplace", inplace)
        self.rng = checks.generator("Dropout", rng)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return ops.dropout(x, self.p, training=self.training, rng=self.rng, rows=self.rows)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"p={self.p}"


def _check_padding_mode(name: str, padding_mode: str) -> str:
    """Return the mode. ValueError for any but zeros."""
    if not isinstance(padding_mode, str) or padding_mode != "zeros":
        got = abbreviated(padding_mode)
        raise ValueError(f"{name}: padding_mode must be 'zeros', got {got}; a border of other pixels is not supported")
    return padding_mode


def _check_groups(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"{name}: groups={groups} must divide {in_channels} and {out_channels} channels")


def _settings(layer: Conv2d | ConvTranspose2d, padding: Pair | str) -> str:
    text = f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}, stride={layer.stride}"
    if padding != (0, 0):
        text += f", padding={padding}"
    if layer.dilation != (1, 1):
        text += f", dilation={layer.dilation}"
    if layer.groups != 1:
        text += f", groups={layer.groups}"
    return text if layer.bias is not None else text + ", bias=False"
