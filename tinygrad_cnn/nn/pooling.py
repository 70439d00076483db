"""Pooling layers."""

from typing import Any

from .. import checks, ops
from ..autograd.tensor import Tensor
from ..checks import Pair, abbreviated, flag
from .module import Module

Size = int | Pair


class MaxPool2d(Module):
    """`maxpool`; the overlay moves by its own size unless ``stride`` says otherwise.

    ``return_indices`` must be False: the places of the maxima are not returned.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        name = "MaxPool2d"
        self.kernel_size = checks.pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.pair(name, "stride", stride, 1)
        self.padding = checks.pair(name, "padding", padding, 0)
        self.dilation = checks.pair(name, "dilation", dilation, 1)
        if flag(name, "return_indices", return_indices):
            raise ValueError(f"{name}: return_indices must be False, got True; the maxima's indices are not returned")
        self.ceil_mode = flag(name, "ceil_mode", ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW)."""
        return ops.maxpool(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return _settings(self, dilation=(1, 1), ceil_mode=False)


class AvgPool2d(Module):
    """`avgpool`; the overlay moves by its own size unless ``stride`` says otherwise."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        name = "AvgPool2d"
        self.kernel_size = checks.pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else checks.pair(name, "stride", stride, 1)
        self.padding = checks.pair(name, "padding", padding, 0)
        self.ceil_mode = flag(name, "ceil_mode", ceil_mode)
        self.count_include_pad = flag(name, "count_include_pad", count_include_pad)
        self.divisor_override = (
            None if divisor_override is None else checks.integer(name, "divisor_override", divisor_override, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW)."""
        return ops.avgpool(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return _settings(self, ceil_mode=False, count_include_pad=True, divisor_override=None)


class AdaptiveAvgPool2d(Module):
    """`adaptive_avgpool`: maps of ``output_size``, whatever the input's; None keeps the rows or the columns."""

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
        if len(sizes) != 2:
            got = abbreviated(output_size)
            raise TypeError(
                f"AdaptiveAvgPool2d: output_size must be (rows, columns) or one integer for both, got {got}"
            )
        rows, columns = (None if n is None else checks.integer("AdaptiveAvgPool2d", "output_size", n, 1) for n in sizes)
        self.output_size = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, *output_size)."""
        return ops.adaptive_avgpool(x, self.output_size)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"output_size={self.output_size}"


def _settings(layer: MaxPool2d | AvgPool2d, **defaults: Any) -> str:
    """The settings of a layer, those of ``defaults`` where they differ."""
    text = f"kernel_size={layer.kernel_size}, stride={layer.stride}, padding={layer.padding}"
    others = {name: getattr(layer, name) for name in defaults}
    return text + "".join(f", {name}={value}" for name, value in others.items() if value != defaults[name])
