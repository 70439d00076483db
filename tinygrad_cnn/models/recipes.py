"""The recipes. "The book" is M. Nielsen, *Neural Networks and Deep Learning* (2015)."""

import math
from functools import partial

from ..data import affine, brightness, compose, flip
from ..nn import AvgPool2d, Conv2d, Linear, MaxPool2d
from ..nn.init import fill_normal
from .network import Builder, quadratic_cost_of_labels
from .recipe import Recipe, one_cycle


def _primer(net: Builder) -> None:
    net.flatten().linear(30).sigmoid().scores().sigmoid()
    for layer in net.layers:
        for parameter in layer.parameters():
            fill_normal(parameter, 1, net.rng)  # the article's randn


def _article(net: Builder) -> None:
    net.conv(16, 4).add(MaxPool2d(2, stride=1)).sigmoid().flatten().linear(30).sigmoid().scores().sigmoid()
    _gaussian(net)


def _lenet5(net: Builder) -> None:
    net.conv(6, 5, padding=2).tanh().add(AvgPool2d(2)).conv(16, 5).tanh().add(AvgPool2d(2))
    net.flatten().linear(120).tanh().linear(84).tanh().scores()


def _nielsen(net: Builder) -> None:
    net.conv(20, 5).pool(2).relu().conv(40, 5).pool(2).relu().flatten().linear(100).relu().scores()


def _nielsen_sigmoid(net: Builder) -> None:
    net.conv(20, 5).pool(2).sigmoid().conv(40, 5).pool(2).sigmoid().flatten().linear(100).sigmoid().scores()
    _network3(net)


def _nielsen_relu(net: Builder) -> None:
    _nielsen(net)
    _network3(net)


def _nielsen_dropout(net: Builder) -> None:
    net.conv(20, 5).pool(2).relu().conv(40, 5).pool(2).relu().flatten()
    net.dropout(0.5).linear(1000).relu().dropout(0.5).linear(1000).relu().dropout(0.5).scores()
    _network3(net)


def _fast(net: Builder) -> None:
    net.conv(24, 5).pool(2).relu().conv(32, 3).pool(2).relu().flatten().linear(256).relu().scores()


def _digits(net: Builder) -> None:
    net.conv(16, 3, padding=1).pool(2).relu().conv(32, 3, padding=1).pool(2).relu()
    net.flatten().linear(64).relu().scores()


def _best(net: Builder) -> None:
    net.conv(32, 5, bias=False).pool(2).norm().relu().conv(64, 3, bias=False).norm().relu()
    net.conv(64, 3, padding=1, bias=False).pool(2).norm().relu().conv(128, 3, bias=False).norm().relu()
    net.flatten().dropout(0.4).linear(128).relu().dropout(0.4).scores()


def _tiny(net: Builder) -> None:
    net.conv(8, 3, bias=False).norm().relu().conv(8, 3, bias=False).pool(2).norm().relu()
    net.conv(8, 3, bias=False).pool(2).norm().relu().conv(8, 3, bias=False).norm().relu()
    rows, columns = net.shape[1:]
    net.add(AvgPool2d((rows, columns))).flatten().scores()


def _photo(net: Builder) -> None:
    maps = 16
    while min(net.shape[1:]) >= 8 and maps <= 64:
        net.add(Conv2d(net.shape[0], maps, 3, padding=1, bias=False, rng=net.rng)).norm().relu()
        net.add(Conv2d(maps, maps, 3, padding=1, bias=False, rng=net.rng)).norm().relu().add(MaxPool2d(2))
        maps *= 2
    if maps == 16:  # images smaller than 8 pixels
        net.add(Conv2d(net.shape[0], maps, 3, padding=1, bias=False, rng=net.rng)).norm().relu()
    rows, columns = net.shape[1:]
    net.add(AvgPool2d((rows, columns))).flatten().dropout(0.2).scores()


def _gaussian(net: Builder) -> None:
    """Initialise biases from N(0, 1) and weights from N(0, 1 / fan_in): the book, chapter 3."""
    for layer in net.layers:
        if isinstance(layer, Conv2d | Linear):
            fill_normal(layer.weight, 1 / math.sqrt(math.prod(layer.weight.shape[1:])), net.rng)
            if layer.bias is not None:
                fill_normal(layer.bias, 1, net.rng)


def _network3(net: Builder) -> None:
    """Initialise as the book's program `network3.py`: weights from N(0, 1 / fan_out), and zeros in the last layer."""
    for layer in net.layers[:-1]:
        if isinstance(layer, Conv2d):
            fan_out = layer.out_channels * math.prod(layer.kernel_size) / 4  # a 2x2 pool follows
            fill_normal(layer.weight, 1 / math.sqrt(fan_out), net.rng)
        if isinstance(layer, Linear):
            fill_normal(layer.weight, 1 / math.sqrt(layer.out_features), net.rng)
        if isinstance(layer, Conv2d | Linear) and layer.bias is not None:
            fill_normal(layer.bias, 1, net.rng)
    for parameter in net.layers[-1].parameters():
        parameter.writable()[...] = 0


_BOOK = "the book, chapter 6"
_one_cycle = partial(Recipe, optimizer="adam", schedule=one_cycle)
_network3_recipe = partial(Recipe, batch_size=10, optimizer="sgd", validation=1 / 6)

RECIPES: dict[str, Recipe] = {
    "digits": _one_cycle(
        build=_digits,
        source="for the embedded 8x8 digits",
        epochs=20,
        batch_size=32,
        lr=0.005,
        augment=affine(max_pixels=1, max_degrees=10, max_fraction=0.1),
    ),
    "primer": Recipe(
        build=_primer,
        source="the book, chapter 1: 784-30-10, as the article's primer",
        epochs=30,
        batch_size=10,
        optimizer="sgd",
        lr=3.0,
        cost=quadratic_cost_of_labels,
    ),
    "article": Recipe(
        build=_article,
        source="the article, its ingredients only: 16 maps of 4x4, pooling by one, 30 neurons",
        epochs=10,
        batch_size=10,
        optimizer="sgd",
        lr=1.0,
        cost=quadratic_cost_of_labels,
    ),
    "lenet5": _one_cycle(
        build=_lenet5,
        source="Y. LeCun et al., Gradient-based learning applied to document recognition (1998)",
        epochs=5,
        batch_size=64,
        lr=0.003,
    ),
    "nielsen": _one_cycle(
        build=_nielsen,
        source=f"{_BOOK}: two convolutional layers, with Adam and one cycle",
        epochs=3,
        batch_size=64,
        lr=0.003,
    ),
    "nielsen-sigmoid": _network3_recipe(build=_nielsen_sigmoid, source=f"{_BOOK}: 99.06 %", epochs=60, lr=0.1),
    "nielsen-relu": _network3_recipe(
        build=_nielsen_relu,
        source=f"{_BOOK}, with lambda 0.1 over 5,000 batches: 99.23 %",
        epochs=60,
        lr=0.03,
        options={"weight_decay": 0.1 / 5_000},
    ),
    "nielsen-shifted": _network3_recipe(
        build=_nielsen_relu,
        source=f"{_BOOK}, with lambda 0.1 over 25,000 batches: 99.37 %",
        epochs=60,
        lr=0.03,
        options={"weight_decay": 0.1 / 25_000},
        shifted=True,
    ),
    "nielsen-dropout": _network3_recipe(
        build=_nielsen_dropout, source=f"{_BOOK}: 99.60 %", epochs=40, lr=0.03, shifted=True
    ),
    "fast": _one_cycle(
        build=_fast,
        source="one epoch of one cycle (L. Smith and N. Topin, Super-Convergence, 2018)",
        epochs=1,
        batch_size=128,
        lr=0.007,
        options={"betas": (0.7, 0.9)},
    ),
    "best": _one_cycle(
        build=_best,
        source="small stacked filters (VGG, 2015), batch norm, dropout, affine changes, EMA",
        epochs=25,
        batch_size=128,
        lr=0.003,
        ema=0.998,
        augment=affine(max_pixels=2, max_degrees=10, max_fraction=0.1, max_shear=0.1),
    ),
    "photo": _one_cycle(
        build=_photo,
        source="pairs of 3x3 filters (VGG, 2015) with batch norm and global average pooling, for folders of pictures",
        epochs=30,
        batch_size=32,
        lr=0.005,
        validation=0.15,
        ema=0.99,
        augment=compose(affine(max_pixels=4, max_degrees=15, max_fraction=0.15), flip(), brightness(0.2, 0.2)),
    ),
    "tiny": _one_cycle(
        build=_tiny,
        source="four narrow layers with batch norm and global average pooling (Network in Network, 2014)",
        epochs=40,
        batch_size=64,
        lr=0.01,
        ema=0.998,
        augment=affine(max_pixels=1, max_degrees=5, max_fraction=0.05),
    ),
}
