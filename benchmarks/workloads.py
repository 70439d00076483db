"""What is timed: networks and layers as plain data, which every contender builds its own way.

All contenders get the same numbers: images, labels and first parameters, from one seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MOMENTUM = 0.9


@dataclass(frozen=True)
class Conv:
    channels: int
    filters: int
    size: int
    padding: int = 0


@dataclass(frozen=True)
class BatchNorm:
    channels: int


@dataclass(frozen=True)
class MaxPool:
    size: int = 2


@dataclass(frozen=True)
class ReLU:
    pass


@dataclass(frozen=True)
class Sigmoid:
    pass


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Linear:
    inputs: int
    outputs: int


Layer = Conv | BatchNorm | MaxPool | ReLU | Sigmoid | Flatten | Linear


@dataclass(frozen=True)
class Product:
    """A matrix product ``(rows, inner) (inner, columns)``: what a layer amounts to, forward or backward."""

    rows: int
    inner: int
    columns: int

    @property
    def multiply_adds(self) -> int:
        return self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Workload:
    """One line of the table.

    ``kind``: "step" is forward, cross-entropy, backward and an update by SGD with momentum; "inference" is the
    forward pass with nothing recorded; "layer" is forward and backward, the gradient of the input included.
    """

    name: str
    title: str
    kind: str
    layers: tuple[Layer, ...]
    batch: int
    image: tuple[int, int, int] = (1, 28, 28)
    learning_rate: float = 0.05  # such that a few steps move the cost, and rounding does not
    extra: tuple[str, ...] = ()  # contenders in the place of the peers

    def products(self) -> list[Product]:
        """The matrix products in one run, on the shapes that im2col would give them."""
        found = []
        for k, (layer, after) in enumerate(zip(self.layers, self.shapes()[1:], strict=True)):
            if isinstance(layer, Conv):
                forward = Product(layer.filters, layer.channels * layer.size**2, after[1] * after[2] * self.batch)
            elif isinstance(layer, Linear):
                forward = Product(layer.outputs, layer.inputs, self.batch)
            else:
                continue
            found.append(forward)
            if self.kind != "inference":
                found.append(Product(forward.rows, forward.columns, forward.inner))
            if self.kind == "layer" or (self.kind == "step" and k > 0):  # nobody asks for the images' own gradient
                found.append(Product(forward.inner, forward.rows, forward.columns))
        return found

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one image before each layer, and after the last."""
        shapes: list[tuple[int, ...]] = [self.image]
        for layer in self.layers:
            shapes.append(shape_after(layer, shapes[-1]))
        return shapes

    def multiply_adds(self) -> int:
        return sum(p.multiply_adds for p in self.products())

    def numbers(self) -> int:
        """How many numbers the images, all maps and all parameters are: what memory should grow with."""
        parameters = sum(int(np.prod(weight_shape(k))) for k in self.layers if isinstance(k, Conv | Linear))
        return parameters + self.batch * sum(int(np.prod(shape)) for shape in self.shapes())


def shape_after(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    match layer:
        case Conv():
            rows, columns = (n + 2 * layer.padding - layer.size + 1 for n in shape[1:])
            return layer.filters, rows, columns
        case MaxPool():
            return shape[0], shape[1] // layer.size, shape[2] // layer.size
        case Flatten():
            return (int(np.prod(shape)),)
        case Linear():
            return (layer.outputs,)
        case _:
            return shape


@dataclass(frozen=True)
class Inputs:
    """The numbers of a workload. ``parameters`` has PyTorch's names: position in the network, dot, weight or bias."""

    images: Array
    labels: NDArray[np.int64]
    parameters: dict[str, Array]
    gradient: Array  # for "layer": dC/dy


def inputs(workload: Workload, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    parameters: dict[str, Array] = {}
    for k, layer in enumerate(workload.layers):
        if isinstance(layer, BatchNorm):
            parameters[f"{k}.weight"] = np.ones(layer.channels, np.float32)
            parameters[f"{k}.bias"] = np.zeros(layer.channels, np.float32)
        elif isinstance(layer, Conv | Linear):
            shape = weight_shape(layer)
            bound = 1 / np.sqrt(np.prod(shape[1:]))
            parameters[f"{k}.weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
            parameters[f"{k}.bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    n = workload.batch
    return Inputs(
        images=rng.random((n, *workload.image), np.float32),
        labels=rng.integers(0, 10, n),
        parameters=parameters,
        gradient=rng.standard_normal((n, *workload.shapes()[-1]), np.float32),
    )


def weight_shape(layer: Conv | Linear) -> tuple[int, ...]:
    if isinstance(layer, Conv):
        return layer.filters, layer.channels, layer.size, layer.size
    return layer.outputs, layer.inputs


def nielsen(image: int = 28, filters: int = 20) -> tuple[Layer, ...]:
    """The network of M. Nielsen's "Neural Networks and Deep Learning", chapter 6.

    As in his network3.py, a map is pooled first and activated then.
    """
    side = ((image - 4) // 2 - 4) // 2
    return (
        Conv(1, filters, 5), MaxPool(), ReLU(),
        Conv(filters, 2 * filters, 5), MaxPool(), ReLU(),
        Flatten(), Linear(2 * filters * side * side, 100), ReLU(), Linear(100, 10),
    )  # fmt: skip


BATCH_NORM_NET: tuple[Layer, ...] = (  # the network of tinygrad's example beautiful_mnist.py
    Conv(1, 32, 5), ReLU(), Conv(32, 32, 5), ReLU(), BatchNorm(32), MaxPool(),
    Conv(32, 64, 3), ReLU(), Conv(64, 64, 3), ReLU(), BatchNorm(64), MaxPool(),
    Flatten(), Linear(576, 10),
)  # fmt: skip

COLOUR_NET: tuple[Layer, ...] = (
    Conv(3, 32, 3, padding=1), ReLU(), MaxPool(),
    Conv(32, 64, 3, padding=1), ReLU(), MaxPool(),
    Conv(64, 128, 3, padding=1), ReLU(), MaxPool(),
    Flatten(), Linear(2048, 10),
)  # fmt: skip

FEATURE_MAP: tuple[Layer, ...] = (Conv(1, 1, 5), Sigmoid())

WORKLOADS = (
    *(Workload(f"nielsen-{n}", f"nielsen, training step, batch {n}", "step", nielsen(), n) for n in (1, 10, 64, 256)),
    Workload("nielsen-inference-1", "nielsen, inference, one image", "inference", nielsen(), 1),
    Workload("nielsen-inference-64", "nielsen, inference, batch 64", "inference", nielsen(), 64),
    Workload(
        "batchnorm-128", "conv 32-32-64-64 with batch norm, step, batch 128", "step", BATCH_NORM_NET, 128,
        learning_rate=3e-5,
    ),
    Workload("colour-64", "3x32x32, 3x3 filters 32-64-128, step, batch 64", "step", COLOUR_NET, 64, (3, 32, 32)),
    Workload(
        "conv-layer", "one conv layer 20 to 40 maps, forward + backward, batch 64", "layer",
        (Conv(20, 40, 5),), 64, (20, 12, 12),
    ),
    Workload(
        "maxpool-layer", "one max pooling 2x2, forward + backward, batch 64", "layer", (MaxPool(),), 64, (20, 24, 24)
    ),
    Workload(
        "article-map-1", "the article's feature map, forward + backward, one image", "layer", FEATURE_MAP, 1,
        extra=("scipy", "article"),
    ),
    Workload(
        "article-map-64", "the article's feature map, an image's share of a batch of 64", "layer", FEATURE_MAP, 64,
        extra=("scipy", "article"),
    ),
    Workload(
        "article-nielsen", "nielsen, step, an image's share of a batch of 64", "step", nielsen(), 64,
        extra=("article", "article-tiled"),
    ),
)  # fmt: skip


def by_name(name: str) -> Workload:
    return next(w for w in WORKLOADS if w.name == name)


def chosen(only: str | None) -> list[Workload]:
    """The workload of that name, or all whose names contain it."""
    exact = [w for w in WORKLOADS if w.name == only]
    return exact or [w for w in WORKLOADS if only is None or only in w.name]
