"""The baseline: the work of the article's listing, and that listing extended to Nielsen's network.

The listing knows one image at a time. A feature map is one `correlate2d` call forward; backward it is one for the
bias, one for the weights and a full `convolve2d` for the layer before. To chain layers, as the article describes, every
map of a layer does this with every map of the layer before and adds up. Pooling looks at each place in a Python loop.
Numbers are float64, NumPy's default, which the listing uses.

The network differs from the listing where the other contenders' network does: ReLU instead of the sigmoid in the hidden
layers, softmax with cross-entropy as the cost, and an overlay of the pool that moves by its own size. Like the listing,
it updates after every image, without momentum.

Source of the method: the article's listing and its sections "Feature Map Activation" to "Max Pooling".
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve2d, correlate2d

Array = NDArray[np.floating]


class FeatureMap:
    """One 2-d map over one image, sigmoid inside: the listing's own class, its updates left to the caller."""

    def __init__(self, w: Array, b: float) -> None:
        self.w, self.b = w.astype(np.float64), np.array([[b]], np.float64)

    def feed_forward(self, image: Array) -> Array:
        self.image = image
        self.z = correlate2d(image, self.w, mode="valid") + self.b
        return sigmoid(self.z)

    def propagate_backward(self, gradient: Array) -> tuple[Array, Array, Array]:
        """dC/d(image), dC/dw and dC/db from dC/da."""
        components = sigmoid_prime(self.z) * gradient
        db = correlate2d(sigmoid_prime(self.z), gradient, mode="valid")
        dw = correlate2d(self.image, components, mode="valid")
        return convolve2d(self.w, components, mode="full"), dw, db[0]


class ConvolutionalLayer:
    """Maps of maps: filter (f, c) slides over map c of the layer before, and map f adds up what they give."""

    def __init__(self, w: Array, b: Array) -> None:
        self.w, self.b = w.astype(np.float64), b.astype(np.float64)

    def feed_forward(self, maps: Array) -> Array:
        self.maps = maps
        return np.stack([
            sum(correlate2d(a, w, mode="valid") for a, w in zip(maps, filters, strict=True)) + b
            for filters, b in zip(self.w, self.b, strict=True)
        ])  # fmt: skip

    def propagate_backward(self, gradient: Array) -> tuple[Array, Array, Array]:
        """dC/d(maps), dC/dw and dC/db from dC/dz; the listing computes the first also for the image itself."""
        dmaps, dw = np.zeros_like(self.maps), np.zeros_like(self.w)
        for f, g in enumerate(gradient):
            for c, a in enumerate(self.maps):
                dw[f, c] = correlate2d(a, g, mode="valid")
                dmaps[c] += convolve2d(self.w[f, c], g, mode="full")
        return dmaps, dw, gradient.sum(axis=(1, 2))


class MaxPoolingMap:
    """The largest of each 2x2 overlay of one map, found place by place in Python as in the listing."""

    def feed_forward(self, a: Array) -> Array:
        self.shape = a.shape
        values = np.zeros((a.shape[0] // 2, a.shape[1] // 2))
        self.positions = np.zeros(values.shape, dtype=object)
        for r, c in np.ndindex(values.shape):
            overlay = a[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
            row, column = np.unravel_index(overlay.argmax(), overlay.shape)
            values[r, c] = np.amax(overlay)
            self.positions[r, c] = 2 * r + row, 2 * c + column
        return values

    def propagate_backward(self, gradient: Array) -> Array:
        before = np.zeros(self.shape)
        for r, c in np.ndindex(gradient.shape):
            before[self.positions[r, c]] += gradient[r, c]
        return before


class TiledPoolingMap:
    """The same in whole-array NumPy, to show how much of the listing's time is its Python loop over places."""

    def feed_forward(self, a: Array) -> Array:
        rows, columns = (n // 2 for n in a.shape)
        tiles = a.reshape(rows, 2, columns, 2).transpose(0, 2, 1, 3).reshape(rows, columns, 4)
        self.winners = tiles.argmax(-1)[..., None]
        return np.take_along_axis(tiles, self.winners, -1)[..., 0]

    def propagate_backward(self, gradient: Array) -> Array:
        rows, columns = gradient.shape
        tiles = np.zeros((rows, columns, 4))
        np.put_along_axis(tiles, self.winners, gradient[..., None], -1)
        return tiles.reshape(rows, columns, 2, 2).transpose(0, 2, 1, 3).reshape(2 * rows, 2 * columns)


class PoolingLayer:
    """One pooling map for each map, then the ReLU."""

    def __init__(self, kind: type[MaxPoolingMap] | type[TiledPoolingMap], maps: int) -> None:
        self.pools = [kind() for _ in range(maps)]

    def feed_forward(self, maps: Array) -> Array:
        z = np.stack([pool.feed_forward(a) for pool, a in zip(self.pools, maps, strict=True)])
        self.active = z > 0
        return z * self.active

    def propagate_backward(self, gradient: Array) -> Array:
        gradient = gradient * self.active
        return np.stack([pool.propagate_backward(g) for pool, g in zip(self.pools, gradient, strict=True)])


class FullyConnectedLayer:
    """``z = w a + b`` for one column of activations."""

    def __init__(self, w: Array, b: Array) -> None:
        self.w, self.b = w.astype(np.float64), b.astype(np.float64)

    def feed_forward(self, a: Array) -> Array:
        self.a = a
        return self.w @ a + self.b

    def propagate_backward(self, gradient: Array) -> tuple[Array, Array, Array]:
        return self.w.T @ gradient, np.outer(gradient, self.a), gradient


class Nielsen:
    """The network, from parameters under the names that `workloads.nielsen` gives them."""

    def __init__(self, parameters: dict[str, Array], pooling: type = MaxPoolingMap) -> None:
        p = parameters
        self.first = ConvolutionalLayer(p["0.weight"], p["0.bias"])
        self.second = ConvolutionalLayer(p["3.weight"], p["3.bias"])
        self.pools = [PoolingLayer(pooling, len(p["0.bias"])), PoolingLayer(pooling, len(p["3.bias"]))]
        self.hidden = FullyConnectedLayer(p["7.weight"], p["7.bias"])
        self.last = FullyConnectedLayer(p["9.weight"], p["9.bias"])
        self.layers = (self.first, self.second, self.hidden, self.last)

    def feed_forward(self, image: Array) -> Array:
        """The logits of one image."""
        a = self.pools[0].feed_forward(self.first.feed_forward(image[None]))
        a = self.pools[1].feed_forward(self.second.feed_forward(a))
        self.z = self.hidden.feed_forward(a.reshape(-1))
        return self.last.feed_forward(np.maximum(self.z, 0))

    def propagate_backward(self, gradient: Array) -> list[tuple[Array, Array]]:
        """(dC/dw, dC/db) of every layer with weights, first to last."""
        g, *last = self.last.propagate_backward(gradient)
        g, *hidden = self.hidden.propagate_backward(g * (self.z > 0))
        g = g.reshape(self.pools[1].active.shape)
        g, *second = self.second.propagate_backward(self.pools[1].propagate_backward(g))
        _, *first = self.first.propagate_backward(self.pools[0].propagate_backward(g))
        return [(w, b) for w, b in (first, second, hidden, last)]

    def gradients(self, image: Array, label: int) -> list[tuple[Array, Array]]:
        """The gradients of cross-entropy for one labelled image."""
        logits = self.feed_forward(image)
        answer = np.exp(logits - logits.max())
        answer /= answer.sum()
        answer[label] -= 1
        return self.propagate_backward(answer)

    def learn(self, image: Array, label: int, step_size: float) -> None:
        """One image forward, backward, and the update."""
        for layer, (dw, db) in zip(self.layers, self.gradients(image, label), strict=True):
            layer.w -= step_size * dw
            layer.b -= step_size * db


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z: Array) -> Array:
    return sigmoid(z) * (1 - sigmoid(z))
