"""Small PyTorch classifiers, and their ONNX files as PyTorch's two exporters write them: a corpus for `from_onnx`.

``python tests/onnx_nets.py FOLDER`` writes NAME-EXPORTER-OPSET.onnx, each with its input and PyTorch's output in an
``.npz`` of the same name; 65 nets in seven forms each.
"""

import pathlib
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FORMS = [("script", opset) for opset in (11, 13, 15, 17, 20)] + [("dynamo", 18), ("dynamo", 20)]
"""Exporter and opset; "script" is ``torch.onnx.export(dynamo=False)``."""

GREY, COLOUR, ROW = (1, 28, 28), (3, 32, 32), (1, 64)


class Function(nn.Module):
    """Layers, and a function of them and the input."""

    def __init__(self, forward: Callable[[Any, Any], Any], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


class Residual(nn.Module):
    """A residual block, with a 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, maps: int, stride: int = 1, norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, maps, 3, stride, 1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(maps) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=not norm)
        self.norm2 = nn.BatchNorm2d(maps) if norm else nn.Identity()
        self.shortcut = nn.Conv2d(channels, maps, 1, stride) if (channels, stride) != (maps, 1) else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class SqueezeExcite(nn.Module):
    """Channels weighted by their means."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2, self.gate = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1), gate

    def forward(self, x: Any) -> Any:
        return x * self.gate(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class Dense(nn.Module):
    """Two densely connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.out = nn.Linear(9 * 49, 10)

    def forward(self, x: Any) -> Any:
        x = torch.cat([x, F.relu(self.a(x))], 1)
        x = torch.cat([x, F.relu(self.b(x))], 1)
        return self.out(F.max_pool2d(x, 4).flatten(1))


class Attention(nn.Module):
    """Patches as tokens, one self-attention layer, and the tokens' mean."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(1, 16, 7, 7), nn.LayerNorm(16)
        self.qkv, self.project, self.head = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 10)
        self.position = nn.Parameter(torch.randn(1, 16, 16) * 0.1)

    def forward(self, x: Any) -> Any:
        t = self.patch(x).flatten(2).transpose(1, 2) + self.position
        n = t.shape[0]
        q, k, v = self.qkv(self.norm(t)).reshape(n, 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)
        t = t + self.project((a @ v).transpose(1, 2).reshape(n, 16, 16))
        return self.head(t.mean(1))


def head(features: int, classes: int = 10) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, classes)]


def conv_then(*layers: nn.Module, maps: int = 6, size: int = 3, **settings: Any) -> nn.Sequential:
    """A convolution of a grey image and further layers."""
    return nn.Sequential(nn.Conv2d(1, maps, size, **settings), *layers)


def activation(layer: nn.Module) -> nn.Sequential:
    """A net with that activation after its convolution and between its linear layers."""
    return nn.Sequential(nn.Conv2d(1, 6, 5, 2), layer, nn.Flatten(), nn.Linear(864, 20), layer, nn.Linear(20, 10))


def separable(channels: int, maps: int, stride: int) -> nn.Sequential:
    """MobileNet's block."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.ReLU6(),
        nn.Conv2d(channels, maps, 1, bias=False), nn.BatchNorm2d(maps), nn.ReLU6(),
    )  # fmt: skip


def nets() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Return every net by name, with the shape of one image."""
    pool = nn.MaxPool2d
    conv = nn.Conv2d
    grey: dict[str, nn.Module] = {
        "mlp": nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.Sigmoid(), nn.Linear(30, 10)),
        "mlp-view": Function(lambda m, x: m.b(F.relu(m.a(x.view(-1, 784)))), a=nn.Linear(784, 20), b=nn.Linear(20, 10)),
        "mlp-view-size": Function(lambda m, x: m.a(x.view(x.size(0), -1)), a=nn.Linear(784, 10)),
        "mlp-reshape": Function(lambda m, x: m.a(x.reshape(x.shape[0], -1)), a=nn.Linear(784, 10)),
        "mlp-no-bias": nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False), nn.LogSoftmax(1)),
        "mlp-batchnorm": nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.BatchNorm1d(20), nn.ReLU(),
                                       nn.Linear(20, 10), nn.Softmax(-1)),
        "mlp-layernorm": nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.LayerNorm(20), nn.GELU(),
                                       nn.Linear(20, 10)),
        "lenet": nn.Sequential(conv(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), conv(6, 16, 5), nn.Tanh(),
                               nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10)),
        "mnist-example": Function(
            lambda m, x: F.log_softmax(m.fc2(F.dropout(F.relu(m.fc1(torch.flatten(m.d(F.max_pool2d(
                F.relu(m.conv2(F.relu(m.conv1(x)))), 2)), 1))), training=m.training)), dim=1),
            conv1=conv(1, 8, 3), conv2=conv(8, 8, 3), d=nn.Dropout2d(0.25),
            fc1=nn.Linear(1152, 32), fc2=nn.Linear(32, 10)),
        "conv-bn-relu": conv_then(nn.BatchNorm2d(6), nn.ReLU(), pool(2), *head(1014), bias=False),
        "conv-relu-bn": conv_then(nn.ReLU(), nn.BatchNorm2d(6), pool(2), *head(1014)),
        "bn-first": nn.Sequential(nn.BatchNorm2d(1), conv(1, 4, 5, 3), nn.ReLU(), *head(256)),
        "bn-no-affine": conv_then(nn.BatchNorm2d(6, affine=False), nn.ReLU(), pool(4), *head(216)),
        "bn-twice": nn.Sequential(conv(1, 4, 3, 2), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), conv(4, 8, 3, 2),
                                  nn.BatchNorm2d(8, momentum=0.3), nn.ReLU(), *head(288)),
        "padding-same": conv_then(nn.ReLU(), pool(4), *head(294), padding="same"),
        "padding-same-even": conv_then(nn.ReLU(), pool(4), *head(294), size=4, padding="same"),
        "padding-replicate": conv_then(nn.ReLU(), pool(4), *head(294), padding=1, padding_mode="replicate"),
        "padding-reflect": conv_then(nn.ReLU(), pool(4), *head(294), padding=2, padding_mode="reflect"),
        "zeropad": nn.Sequential(nn.ZeroPad2d((1, 2, 3, 4)), conv(1, 4, 5, 3), *head(396)),
        "stride-dilation": conv_then(nn.ReLU(), *head(6 * 12 * 24), stride=(2, 1), dilation=(2, 2)),
        "rectangular": conv_then(nn.ReLU(), pool((2, 3), (2, 1), (1, 0)), *head(2160), size=(1, 3)),
        "depthwise": conv_then(conv(6, 6, 3, 2, groups=6), nn.ReLU(), conv(6, 12, 1), nn.ReLU(), *head(12 * 144)),
        "groups": conv_then(conv(6, 9, 3, 2, groups=3), nn.ReLU(), *head(9 * 144)),
        "pool-ceil": conv_then(nn.ReLU(), pool(3, 2, ceil_mode=True), *head(6 * 13 * 13)),
        "pool-padding": conv_then(nn.ReLU(), pool(3, 2, 1), *head(6 * 169)),
        "pool-dilation": conv_then(nn.ReLU(), pool(3, 2, dilation=2), *head(6 * 121)),
        "avgpool-ceil": conv_then(nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True), *head(6 * 169)),
        "avgpool-padding": conv_then(nn.ReLU(), nn.AvgPool2d(3, 2, 1), *head(6 * 169)),
        "avgpool-exclude-padding": conv_then(nn.ReLU(), nn.AvgPool2d(3, 2, 1, count_include_pad=False), *head(1014)),
        "adaptive-1": conv_then(nn.ReLU(), nn.AdaptiveAvgPool2d(1), *head(6)),
        "adaptive-2": conv_then(nn.ReLU(), nn.AdaptiveAvgPool2d(2), *head(24)),
        "adaptive-rectangle": conv_then(nn.ReLU(), nn.AdaptiveAvgPool2d((13, 2)), *head(156)),
        "adaptive-max": conv_then(nn.ReLU(), nn.AdaptiveMaxPool2d(1), *head(6)),
        "global-mean": Function(lambda m, x: m.f(F.relu(m.c(x)).mean((2, 3))), c=conv(1, 8, 5), f=nn.Linear(8, 10)),
        "global-mean-dim": Function(lambda m, x: m.f(m.c(x).mean(-1).mean(-1)), c=conv(1, 8, 5), f=nn.Linear(8, 10)),
        "global-max": Function(lambda m, x: m.f(m.c(x).amax((2, 3))), c=conv(1, 8, 5), f=nn.Linear(8, 10)),
        "residual": nn.Sequential(conv(1, 8, 3, 2), Residual(8, 8), Residual(8, 12, 2),
                                  nn.AdaptiveAvgPool2d(1), *head(12)),
        "residual-no-norm": nn.Sequential(conv(1, 6, 3, 2), Residual(6, 6, norm=False), pool(4), *head(54)),
        "dense": Dense(),
        "inception": Function(lambda m, x: m.f(torch.cat([m.a(x), m.b(x), F.max_pool2d(x, 3, 1, 1)], 1).mean((2, 3))),
                              a=conv(1, 4, 1), b=conv(1, 4, 3, padding=1), f=nn.Linear(9, 10)),
        "squeeze-excite": conv_then(nn.ReLU(), SqueezeExcite(6, nn.Sigmoid()), pool(4), *head(216)),
        "squeeze-excite-hard": conv_then(nn.Hardswish(), SqueezeExcite(6, nn.Hardsigmoid()), pool(4), *head(216)),
        "mobile": nn.Sequential(conv(1, 8, 3, 2, 1), separable(8, 12, 2), separable(12, 16, 1), nn.AdaptiveAvgPool2d(1),
                                nn.Dropout(0.2), *head(16)),
        "dropout": conv_then(nn.ReLU(), nn.Dropout2d(0.2), pool(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1014, 10)),
        "leaky-relu": activation(nn.LeakyReLU(0.1)),
        "elu": activation(nn.ELU(0.7)),
        "selu": activation(nn.SELU()),
        "celu": activation(nn.CELU(1.3)),
        "prelu": nn.Sequential(conv(1, 6, 5, 2), nn.PReLU(6), nn.Flatten(), nn.Linear(864, 10), nn.PReLU()),
        "gelu": activation(nn.GELU()),
        "gelu-tanh": activation(nn.GELU("tanh")),
        "silu": activation(nn.SiLU()),
        "mish": activation(nn.Mish()),
        "softplus": activation(nn.Softplus()),
        "hardswish": activation(nn.Hardswish()),
        "relu6-hardtanh": nn.Sequential(conv(1, 6, 5, 2), nn.ReLU6(), *head(864), nn.Hardtanh(-2, 3)),
        "instance-norm": conv_then(nn.InstanceNorm2d(6, affine=True), nn.ReLU(), pool(4), *head(216)),
        "group-norm": conv_then(nn.GroupNorm(3, 6), nn.ReLU(), pool(4), *head(216)),
        "local-response": conv_then(nn.LocalResponseNorm(3), nn.ReLU(), pool(4), *head(216)),
        "upsample": conv_then(nn.Upsample(scale_factor=2), conv(6, 4, 3, 4), nn.Upsample(size=(7, 7), mode="bilinear"),
                              *head(196)),
        "transposed": conv_then(nn.ReLU(), nn.ConvTranspose2d(6, 4, 3, 2, 1, 1), nn.ReLU(), pool(8), *head(144)),
        "attention": Attention(),
        "normalise": Function(lambda m, x: m.f(((x - 0.1307) / 0.3081).flatten(1)), f=nn.Linear(784, 10)),
    }  # fmt: skip
    colour: dict[str, nn.Module] = {
        "colour": nn.Sequential(conv(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), pool(2), conv(8, 8, 3),
                                nn.ReLU(), pool(2), nn.Flatten(), nn.Linear(392, 43)),
    }  # fmt: skip
    rows: dict[str, nn.Module] = {
        "one-dimensional": nn.Sequential(nn.Conv1d(1, 6, 5, 2, 2), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2),
                                         nn.AvgPool1d(2), *head(48)),
    }  # fmt: skip
    shapes = ((grey, GREY), (colour, COLOUR), (rows, ROW))
    return {name: (net, shape) for group, shape in shapes for name, net in group.items()}


def prepared(net: nn.Module, shape: tuple[int, ...], seed: int) -> nn.Module:
    """Return the net in evaluation mode, with statistics, scales and slopes that are not the first ones."""
    generator = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator) / max(1, p[0].numel()) ** 0.5 if p.dim() else p.data
    with torch.no_grad():
        net.train()(torch.rand(8, *shape, generator=generator))
    return net.eval()


def export(net: nn.Module, shape: tuple[int, ...], path: pathlib.Path, exporter: str, opset: int, free: bool) -> None:
    """Write the net's file, for any batch if ``free``, else for one image."""
    x = torch.rand(2 if free else 1, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "script":
            axes = {"input": {0: "batch"}, "output": {0: "batch"}} if free else None
            torch.onnx.export(net, (x,), path, dynamo=False, opset_version=opset, input_names=["input"],
                              output_names=["output"], dynamic_axes=axes)  # fmt: skip
        else:
            shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if free else None
            torch.onnx.export(net, (x,), path, dynamo=True, opset_version=opset, input_names=["input"], verbose=False,
                              output_names=["output"], dynamic_shapes=shapes, external_data=False)  # fmt: skip


def write(folder: pathlib.Path, names: Collection[str] = (), forms: Sequence[tuple[str, int]] = FORMS) -> None:
    """Write the files of some nets, by default all, and say which could not be written and why."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, (net, shape)) in enumerate(nets().items()):
        if names and name not in names:
            continue
        net = prepared(net, shape, seed)
        for k, (exporter, opset) in enumerate(forms):
            path, free = folder / f"{name}-{exporter}-{opset}.onnx", bool((seed + k) % 2)
            if path.with_suffix(".npz").exists():
                continue
            try:
                export(net, shape, path, exporter, opset, free)
            except Exception as error:
                print(f"{path.name}: PyTorch cannot write it: {str(error).splitlines()[0][:150]}", flush=True)
                path.unlink(missing_ok=True)
                continue
            x = torch.rand(3 if free else 1, *shape, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                np.savez(path.with_suffix(".npz"), input=x.numpy(), output=net(x).numpy())


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
