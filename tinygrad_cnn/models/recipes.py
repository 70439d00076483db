"""The recipes themselves. "The book" is M. Nielsen, *Neural Networks and Deep Learning* (2015)."""

import math

from ..data import affine
from ..nn import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d
from ..nn.init import fill_normal
from .network import Draft
from .recipe import Recipe, one_cycle, quadratic_cost_of_labels


def _primer(net: Draft) -> None:
    net.flatten().linear(30).sigmoid().scores().sigmoid()
    _gaussian(net)


def _article(net: Draft) -> None:
    net.conv(16, 4).add(MaxPool2d(2, stride=1)).sigmoid().flatten().linear(30).sigmoid().scores().sigmoid()
    _gaussian(net)


def _lenet5(net: Draft) -> None:
    net.conv(6, 5, padding=2).tanh().add(AvgPool2d(2)).conv(16, 5).tanh().add(AvgPool2d(2))
    net.flatten().linear(120).tanh().linear(84).tanh().scores()


def _nielsen(net: Draft) -> None:
    net.conv(20, 5).pool(2).relu().conv(40, 5).pool(2).relu().flatten().linear(100).relu().scores()


def _nielsen_sigmoid(net: Draft) -> None:
    net.conv(20, 5).pool(2).sigmoid().conv(40, 5).pool(2).sigmoid().flatten().linear(100).sigmoid().scores()
    _network3(net)


def _nielsen_relu(net: Draft) -> None:
    _nielsen(net)
    _network3(net)


def _nielsen_dropout(net: Draft) -> None:
    net.conv(20, 5).pool(2).relu().conv(40, 5).pool(2).relu().flatten()
    net.dropout(0.5).linear(1000).relu().dropout(0.5).linear(1000).relu().dropout(0.5).scores()
    _network3(net)


def _fast(net: Draft) -> None:
    net.conv(24, 5).pool(2).relu().conv(32, 3).pool(2).relu().flatten().linear(256).relu().scores()


def _digits(net: Draft) -> None:
    net.conv(16, 3, padding=1).pool(2).relu().conv(32, 3, padding=1).pool(2).relu()
    net.flatten().linear(64).relu().scores()


def _gaussian(net: Draft) -> None:
    """Biases from N(0, 1) and weights from N(0, 1 / fan_in): the book's chapter 3, which lets neurons learn at once."""
    for layer in net.layers:
        if isinstance(layer, Conv2d | Linear):
            fill_normal(layer.weight, 1 / math.sqrt(math.prod(layer.weight.shape[1:])), net.rng)
            if layer.bias is not None:
                fill_normal(layer.bias, 1, net.rng)


def _network3(net: Draft) -> None:
    """First values as in the book's program `network3.py`: by the outputs of a layer, and zeros in the last."""
    for layer in net.layers[:-1]:
        if isinstance(layer, Conv2d):
            outputs = layer.out_channels * math.prod(layer.kernel_size) / 4  # a 2x2 pool follows
            fill_normal(layer.weight, 1 / math.sqrt(outputs), net.rng)
        if isinstance(layer, Linear):
            fill_normal(layer.weight, 1 / math.sqrt(layer.out_features), net.rng)
        if isinstance(layer, Conv2d | Linear) and layer.bias is not None:
            fill_normal(layer.bias, 1, net.rng)
    for parameter in net.layers[-1].parameters():
        parameter.writable()[...] = 0


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        draw=_digits, source="for the embedded 8x8 digits",
        epochs=20, batch_size=32, optimizer="adam", lr=0.005, schedule=one_cycle,
    ),
    "nielsen": Recipe(
        draw=_nielsen, source="the book's last network without dropout, with Adam and one cycle",
        epochs=3, batch_size=64, optimizer="adam", lr=0.003, schedule=one_cycle,
    ),
}  # fmt: skip
