"""Wrong backward rules, each with what the doctor should say: the input's number and the kind.

The second and third part were written when the doctor could name those before, so that its score says something.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import signal

import tinygrad_cnn as tg
from tinygrad_cnn.autograd.tensor import record


@dataclass
class Planted:
    """One wrong rule: how to diagnose it, and what is wrong: {input: kind}."""

    name: str
    fn: Any
    inputs: tuple[Any, ...]
    wrong: dict[int | None, str]
    options: dict[str, Any] = field(default_factory=dict)

    def diagnosis(self):
        return tg.diagnose(self.fn, *self.inputs, **self.options)

    def named_rightly(self, diagnosis):
        return {f.input: f.kind for f in diagnosis.findings} == self.wrong


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def op(name, forward, *rules):
    """An op on tensors from a forward function of arrays, and rules of (g, y, *inputs), tensors all."""

    def call(*inputs):
        tensors = [tg.Tensor(t) if not isinstance(t, tg.Tensor) else t for t in inputs]
        data = forward(*(t.data for t in tensors))
        return record(name, data, tuple(tensors), tuple(lambda g, y, rule=rule: rule(g, y, *tensors) for rule in rules))

    return call


def planted(name, fn, inputs, wrong, **options):
    return Planted(name, fn, inputs, wrong, options)


def numpy_rule(name, forward, backward, inputs, wrong, **options):
    return Planted(name, forward, inputs, wrong, {"backward": backward, **options})


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def correlate(x, w):
    return signal.correlate2d(x, w, "valid")


def conv_batch(x, w, b):
    """(N, C, H, W) with (F, C, KH, KW) and (F,)."""
    view = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    return np.einsum("ncpqij,fcij->nfpq", view, w) + b[:, None, None]


def conv_batch_x(g, w):
    full = np.zeros((g.shape[0], w.shape[1], g.shape[2] + w.shape[2] - 1, g.shape[3] + w.shape[3] - 1))
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            full[:, :, i : i + g.shape[2], j : j + g.shape[3]] += np.einsum("nfpq,fc->ncpq", g, w[:, :, i, j])
    return full


def conv_batch_w(x, g):
    view = np.lib.stride_tricks.sliding_window_view(x, g.shape[2:], (2, 3))
    return np.einsum("ncijpq,nfpq->fcij", view, g)


def pool(x, k):
    """Overlapping max pooling of one map, stride 1, with the winners."""
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k))
    flat = view.reshape(*view.shape[:2], -1)
    at = flat.argmax(-1)
    rows, columns = np.indices(at.shape)
    return flat.max(-1), rows + at // k, columns + at % k


def pool_overwritten(g, x):
    dx = np.zeros_like(x)
    _, rows, columns = pool(x, 2)
    dx[rows, columns] = g
    return dx


def overlapping_overwritten(g, x, w):
    dx = np.zeros_like(x)
    for p in range(g.shape[0]):
        for q in range(g.shape[1]):
            dx[p : p + w.shape[0], q : q + w.shape[1]] = g[p, q] * w
    return dx, correlate(x, g)


def normalised(x):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def batch_norm(x, w, b):
    return w * normalised(x) + b


def batch_norm_backward(g, x, w, b):
    n, h = len(x), normalised(x)
    dx = w / np.sqrt(x.var(0) + 1e-5) * (g - g.mean(0) - h * (g * h).mean(0))
    assert n
    return dx, (g * h).sum(0), g.sum(0)


def bn(dx=None, dw=None, db=None):
    """Batch normalisation with some of its gradients replaced by wrong ones, functions of (g, x, w, b)."""

    def backward(g, x, w, b):
        right = batch_norm_backward(g, x, w, b)
        return tuple(r if f is None else f(g, x, w, b) for r, f in zip(right, (dx, dw, db), strict=True))

    return backward


def cross_entropy(z, labels):
    return -np.log(softmax(z)[np.arange(len(z)), labels]).mean()


def one_hot(labels, z):
    return np.eye(z.shape[1])[labels]


X, W = numbers(1, 5, 6), numbers(2, 3, 2)
BX, BW, BB = numbers(3, 3, 2, 5, 4), numbers(4, 4, 2, 2, 3), numbers(5, 4)
U, V = numbers(6, 4, 3), numbers(7, 3, 5)
Z = numbers(8, 4, 5)
LABELS = np.array([1, 0, 4, 2])

FIRST = [
    # The article's ops, on tensors ---------------------------------------------------------------------------------
    planted(
        "correlate2d: dw by convolving",
        op("my_correlate", correlate, lambda g, y, x, w: tg.convolve2d_full(g, w),
           lambda g, y, x, w: tg.convolve2d(x, g, mode="valid")),
        (X, W), {1: "rotated"},
    ),
    planted(
        "correlate2d: dx by a full correlation",
        op("my_correlate", correlate, lambda g, y, x, w: tg.correlate2d(g, w, mode="full"),
           lambda g, y, x, w: tg.correlate2d(x, g)),
        (X, W), {0: "rotated"},
    ),
    planted(
        "correlate2d: dw with the wrong sign",
        op("my_correlate", correlate, lambda g, y, x, w: tg.convolve2d_full(g, w),
           lambda g, y, x, w: -tg.correlate2d(x, g)),
        (X, W), {1: "sign"},
    ),
    planted(
        "matmul: the second gradient transposed",
        op("my_matmul", np.matmul, lambda g, y, u, v: g @ v.T, lambda g, y, u, v: g.T @ u),
        (U, V), {1: "transposed"},
    ),
    planted(
        "sigmoid: no slope",
        op("my_sigmoid", sigmoid, lambda g, y, z: g),
        (Z,), {0: "missing_factor"},
    ),
    planted(
        "sigmoid: slope at a",
        op("my_sigmoid", sigmoid, lambda g, y, z: g * tg.sigmoid(y) * (1 - tg.sigmoid(y))),
        (Z,), {0: "wrong_point"},
    ),
    planted(
        "tanh: 1 - z^2",
        op("my_tanh", np.tanh, lambda g, y, z: g * (1 - z * z)),
        (Z,), {0: "wrong_point"},
    ),
    planted(
        "relu: the mask left out",
        op("my_relu", lambda z: np.maximum(z, 0), lambda g, y, z: g * 1),
        (Z,), {0: "unmasked"},
    ),
    planted(
        "square: the two left out",
        op("my_square", np.square, lambda g, y, z: g * z),
        (Z,), {0: "factor"},
    ),
    planted(
        "tanh: the rule's own rule is wrong",
        op("my_tanh", np.tanh, lambda g, y, z: op(
            "my_tanh_backward", lambda g, z: g * (1 - np.tanh(z) ** 2),
            lambda v, s, g, z: v * (1 - tg.tanh(z) ** 2), lambda v, s, g, z: v * g * 2 * tg.tanh(z),
        )(g, z)),
        (Z,), {0: "second_order"},
    ),
    planted(
        "a whole cost: the sigmoid's rule inside it has no slope",
        lambda x, w: tg.quadratic_cost(
            op("my_sigmoid", sigmoid, lambda g, y, z: g * (1 - y))(tg.correlate2d(x, w)), np.ones((3, 5))
        ),
        (X, W), {0: "missing_factor", 1: "missing_factor"},
    ),
    # NumPy functions ------------------------------------------------------------------------------------------------
    numpy_rule(
        "conv: the bias gradient not summed", conv_batch,
        lambda g, x, w, b: (conv_batch_x(g, w), conv_batch_w(x, g), g),
        (BX, BW, BB), {2: "not_summed"},
    ),
    numpy_rule(
        "conv: the bias gradient a mean over places and batch", conv_batch,
        lambda g, x, w, b: (conv_batch_x(g, w), conv_batch_w(x, g), g.mean((0, 2, 3))),
        (BX, BW, BB), {2: "factor"},
    ),
    numpy_rule(
        "conv: dw of the first image only", conv_batch,
        lambda g, x, w, b: (conv_batch_x(g, w), conv_batch_w(x[:1], g[:1]), g.sum((0, 2, 3))),
        (BX, BW, BB), {1: "not_summed"},
    ),
    numpy_rule(
        "conv: all three wrong", conv_batch,
        lambda g, x, w, b: (
            conv_batch_x(g, w[:, :, ::-1, ::-1]), conv_batch_w(x, g) / len(x), g.sum((0, 2))[:, :1].ravel()
        ),
        (BX, BW, BB), {0: "rotated", 1: "factor", 2: "not_summed"},
    ),
    numpy_rule(
        "conv: dx in valid mode", correlate,
        lambda g, x, w: (signal.convolve2d(g, w, "valid"), correlate(x, g)),
        (X, W), {0: "shape"},
    ),
    numpy_rule(
        "conv: overlapping overlays overwritten", correlate, overlapping_overwritten, (X, W), {0: "overwritten"},
    ),
    numpy_rule(
        "max pooling: overlaps overwritten", lambda x: pool(x, 2)[0], pool_overwritten, (X,), {0: "overwritten"},
    ),
    numpy_rule(
        "max pooling: to every neuron", lambda x: pool(x, 2)[0],
        lambda g, x: signal.convolve2d(g, np.ones((2, 2)), "full"), (X,), {0: "unmasked"},
    ),
    numpy_rule(
        "relu: only where z > 0.5", lambda z: np.maximum(z, 0), lambda g, z: g * (z > 0.5), (Z,), {0: "masked"},
    ),
    numpy_rule(
        "padding: cut off on the wrong side", lambda x: np.pad(x, 1) ** 2,
        lambda g, x: (2 * np.pad(x, 1) * g)[:-2, 1:-1], (X,), {0: "shifted"},
    ),
    numpy_rule(
        "batch norm: dw with x in the place of the normalised x", batch_norm,
        bn(dw=lambda g, x, w, b: (g * x).sum(0)), (numbers(9, 6, 4), numbers(10, 4), numbers(11, 4)),
        {1: "wrong_point"},
    ),
    numpy_rule(
        "batch norm: dx without w", batch_norm,
        bn(dx=lambda g, x, w, b: batch_norm_backward(g, x, 1, b)[0]),
        (numbers(9, 6, 4), numbers(10, 4), numbers(11, 4)), {0: "missing_factor"},
    ),
    numpy_rule(
        "batch norm: db not summed", batch_norm, bn(db=lambda g, x, w, b: g),
        (numbers(9, 6, 4), numbers(10, 4), numbers(11, 4)), {2: "not_summed"},
    ),
    numpy_rule(
        "softmax: a (1 - a)", softmax, lambda g, z: g * softmax(z) * (1 - softmax(z)), (Z,), {0: "not_summed"},
    ),
    numpy_rule(
        "cross entropy: not divided by N", cross_entropy,
        lambda g, z, labels: g * (softmax(z) - one_hot(labels, z)), (Z, LABELS), {0: "factor"},
    ),
    numpy_rule(
        "cross entropy: without dC/dy", cross_entropy,
        lambda g, z, labels: (softmax(z) - one_hot(labels, z)) / len(z), (Z, LABELS), {0: "missing_factor"},
    ),
    numpy_rule(
        "log: NaN where x is large", np.log1p,
        lambda g, x: g / (1 + x) * np.where(x > 1, np.nan, 1), (np.abs(Z),), {0: "nan"},
    ),
    numpy_rule(
        "cube: integers", lambda x: x**3, lambda g, x: (g * 3 * x * x).astype(int), (Z,), {0: "dtype"},
    ),
    numpy_rule(
        "correlate: the forward pass convolves", lambda x, w: signal.convolve2d(x, w, "valid"),
        lambda g, x, w: (signal.convolve2d(g, w, "full"), correlate(x, g)), (X, W), {None: "forward"}, oracle=correlate,
    ),
    numpy_rule(
        "sine: the slope of something else", np.sin, lambda g, x: g * (x + np.cos(3 * x)), (Z,), {0: "unknown"},
    ),
]  # fmt: skip


def indexed(x):
    return x[[0, 2, 2, 4, 0]]


def indexed_backward(g, x):
    dx = np.zeros_like(x)
    dx[[0, 2, 2, 4, 0]] = g
    return dx


def without_last_row(a):
    a = a.copy()
    a[-1] = 0
    return a


class Layer(tg.nn.Module):
    """A fully connected layer with rules of its own; the bias gradient is a mean."""

    def __init__(self):
        self.weight = tg.nn.Parameter(numbers(20, 3, 2))
        self.bias = tg.nn.Parameter(numbers(21, 2))

    def forward(self, x):
        return op(
            "my_linear", lambda x, w, b: x @ w + b, lambda g, y, x, w, b: g @ w.T, lambda g, y, x, w, b: x.T @ g,
            lambda g, y, x, w, b: g.mean(0),
        )(x, self.weight, self.bias)  # fmt: skip


MASK = (numbers(22, 4, 5) > 0).astype(float)
NORM = (numbers(9, 6, 4), numbers(10, 4), numbers(11, 4))
SQUARE, OTHER = numbers(23, 4, 4), numbers(24, 4, 4)
ROW, COLUMN = numbers(25, 1, 5), numbers(26, 4, 1)
A, M = numbers(27, 4), numbers(28, 3, 4)

SECOND = [
    planted(
        "convolve2d_full: dw by convolving",
        op("my_full", lambda x, w: signal.convolve2d(x, w, "full"), lambda g, y, x, w: tg.correlate2d(g, w),
           lambda g, y, x, w: tg.convolve2d(g, x, mode="valid")),
        (X, W), {1: "rotated"},
    ),
    planted(
        "max pooling on tensors: overlaps overwritten",
        op("my_pool", lambda x: pool(x, 2)[0], lambda g, y, x: tg.Tensor(pool_overwritten(g.data, x.data))),
        (numbers(29, 4, 4),), {0: "overwritten"},
    ),
    planted(
        "matmul: the gradients exchanged",
        op("my_matmul", np.matmul, lambda g, y, u, v: u.T @ g, lambda g, y, u, v: g @ v.T),
        (U, V), {0: "shape", 1: "shape"},
    ),
    planted(
        "matmul: .T forgotten, square",
        op("my_matmul", np.matmul, lambda g, y, u, v: g @ v, lambda g, y, u, v: u.T @ g),
        (SQUARE, OTHER), {0: "transposed"},
    ),
    planted(
        "sigmoid: z (1 - z)", op("my_sigmoid", sigmoid, lambda g, y, z: g * z * (1 - z)), (Z,), {0: "wrong_point"},
    ),
    planted("sigmoid: minus", op("my_sigmoid", sigmoid, lambda g, y, z: g * y * (y - 1)), (Z,), {0: "sign"}),
    planted(
        "leaky relu: nothing where z < 0",
        op("my_leaky", lambda z: np.where(z > 0, z, 0.1 * z), lambda g, y, z: g * (z.data > 0).astype(float)),
        (Z,), {0: "masked"},
    ),
    planted(
        "tanh: the slope at a", op("my_tanh", np.tanh, lambda g, y, z: g * (1 - tg.tanh(y) ** 2)),
        (Z,), {0: "wrong_point"},
    ),
    planted(
        "exp: the rule's own rule has the wrong sign",
        op("my_exp", np.exp, lambda g, y, z: op(
            "my_exp_backward", lambda g, z: g * np.exp(z), lambda v, s, g, z: v * z.exp(),
            lambda v, s, g, z: -v * g * z.exp(),
        )(g, z)),
        (Z,), {0: "second_order"},
    ),
    planted(
        "a whole cost: dw by convolving inside it",
        lambda x, w: tg.cross_entropy(
            tg.sigmoid(op("my_correlate", correlate, lambda g, y, x, w: tg.convolve2d_full(g, w),
                          lambda g, y, x, w: tg.convolve2d(x, g, mode="valid"))(x, w)), np.array([1, 0, 4])
        ),
        (X, W), {1: "rotated"},
    ),
    planted("a module: the bias gradient a mean", Layer(), (numbers(30, 5, 3),), {2: "factor"}),
    # NumPy functions ------------------------------------------------------------------------------------------------
    numpy_rule(
        "broadcasting: not summed", lambda a, b: a * b, lambda g, a, b: ((g * b).sum(1, keepdims=True), g * a),
        (COLUMN, ROW), {1: "not_summed"},
    ),
    numpy_rule(
        "broadcasting: summed over the other axis", lambda a, b: a + b, lambda g, a, b: (g, g.sum(1)),
        (SQUARE, A), {1: "not_summed"},
    ),
    numpy_rule("broadcasting: mean for sum", lambda a, b: a + b, lambda g, a, b: (g, g.mean(0)), (Z, numbers(31, 5)),
               {1: "factor"}),
    numpy_rule("bias: an axis too many", lambda a, b: a + b, lambda g, a, b: (g, g.sum(0, keepdims=True)),
               (Z, numbers(31, 5)), {1: "shape"}),
    numpy_rule("fully connected: the outer product of the wrong order", lambda w, a: w @ a,
               lambda g, w, a: (np.outer(a, g), w.T @ g), (M, A), {0: "transposed"}),
    numpy_rule("fully connected: the same, square", lambda w, a: w @ a,
               lambda g, w, a: (np.outer(a, g), w.T @ g), (SQUARE, A), {0: "transposed"}),
    numpy_rule("quadratic cost: y - a", lambda a, y: 0.5 * ((a - y) ** 2).sum(), lambda g, a, y: g * (y - a),
               (Z, numbers(32, 4, 5)), {0: "sign"}),
    numpy_rule("mean square: the two left out", lambda a, y: ((a - y) ** 2).mean(),
               lambda g, a, y: (g * (a - y) / a.size, 2 * g * (y - a) / a.size), (Z, numbers(32, 4, 5)), {0: "factor"}),
    numpy_rule("cross entropy: labels minus probabilities", cross_entropy,
               lambda g, z, labels: g * (one_hot(labels, z) - softmax(z)) / len(z), (Z, LABELS), {0: "sign"}),
    numpy_rule("product: each by itself", lambda a, b: a * b, lambda g, a, b: (g * a, g * b),
               (SQUARE, OTHER), {0: "wrong_point", 1: "wrong_point"}),
    numpy_rule("product: no factor", lambda a, b: a * b, lambda g, a, b: (g, g * a), (SQUARE, OTHER),
               {0: "missing_factor"}),
    numpy_rule("batch norm: dw not normalised", batch_norm,
               bn(dw=lambda g, x, w, b: (g * (x - x.mean(0))).sum(0)), NORM, {1: "missing_factor"}),
    numpy_rule("batch norm: the variance for its root", batch_norm,
               bn(dx=lambda g, x, w, b: batch_norm_backward(g, x, w, b)[0] / np.sqrt(x.var(0) + 1e-5)), NORM,
               {0: "missing_factor"}),
    numpy_rule("batch norm: mean and variance taken for constants", batch_norm,
               bn(dx=lambda g, x, w, b: g * w / np.sqrt(x.var(0) + 1e-5)), NORM, {0: "unknown"}),
    numpy_rule("batch norm: db a mean", batch_norm, bn(db=lambda g, x, w, b: g.mean(0)), NORM, {2: "factor"}),
    numpy_rule("dropout: the mask forgotten", lambda x, mask: x * mask, lambda g, x: g, (Z, MASK.astype(int)),
               {0: "unmasked"}),
    numpy_rule("clip: passed on outside", lambda x: np.clip(x, -0.5, 0.5), lambda g, x: g, (Z,), {0: "unmasked"}),
    numpy_rule("absolute value: nothing where x < 0", np.abs, lambda g, x: g * (x > 0), (Z,), {0: "masked"}),
    numpy_rule("average pooling: not divided",
               lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)).mean((2, 3)),
               lambda g, x: signal.convolve2d(g, np.ones((2, 2)), "full"), (X,), {0: "factor"}),
    numpy_rule("indexing: a repeated index overwritten", indexed, indexed_backward, (numbers(33, 5, 3),),
               {0: "overwritten"}),
    numpy_rule("correlate: the last row left 0", correlate,
               lambda g, x, w: (without_last_row(signal.convolve2d(g, w, "full")), correlate(x, g)), (X, W),
               {0: "masked"}),
    numpy_rule("correlate: moved by a column", correlate,
               lambda g, x, w: (np.roll(signal.convolve2d(g, w, "full"), 1, 1), correlate(x, g)), (X, W),
               {0: "shifted"}),
    numpy_rule("difference: put back at the wrong end", lambda x: x[1:] ** 3,
               lambda g, x: np.append(3 * g * x[1:] ** 2, 0), (numbers(34, 7),), {0: "shifted"}),
    numpy_rule("1-d convolution: reversed", lambda x, w: np.convolve(x, w, "valid"),
               lambda g, x, w: (np.convolve(g, w[::-1], "full"), np.correlate(x, g, "valid")),
               (numbers(35, 7), numbers(36, 3)), {1: "rotated"}),
    numpy_rule("square root of squares: NaN at 0", lambda x: x * x, lambda g, x: g * 2 * x**3 / x**2,
               (np.array([0.5, 0.0, -1.0]),), {0: "nan"}),
    numpy_rule("sigmoid: in float32", sigmoid, lambda g, z: (g * sigmoid(z) * (1 - sigmoid(z))).astype(np.float32),
               (Z,), {0: "dtype"}),
    numpy_rule("max pooling: the forward pass averages",
               lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)).mean((2, 3)),
               lambda g, x: signal.convolve2d(g, np.ones((2, 2)) / 4, "full"), (X,), {None: "forward"},
               expected=pool(X, 2)[0]),
    numpy_rule("sigmoid: something added", sigmoid, lambda g, z: g * sigmoid(z) * (1 - sigmoid(z)) + 0.1, (Z,),
               {0: "unknown"}),
]  # fmt: skip


def layer(x, w, b):
    return sigmoid(x @ w + b)


def layer_backward(g, x, w, b, *, slope=True):
    a = layer(x, w, b)
    d = g * a * (1 - a) if slope else g
    return d @ w.T, x.T @ d, d.sum(0)


LAYER = numbers(50, 4, 3), numbers(51, 3, 2), numbers(52, 2)

THIRD = [
    numpy_rule("layer: no slope", layer, lambda g, x, w, b: layer_backward(g, x, w, b, slope=False), LAYER,
               {0: "missing_factor", 1: "missing_factor", 2: "missing_factor"}),
    numpy_rule("layer: dw transposed", layer,
               lambda g, x, w, b: [d.T if k == 1 else d for k, d in enumerate(layer_backward(g, x, w, b))], LAYER,
               {1: "transposed"}),
    numpy_rule("inner slope missing", lambda x, w: np.tanh(x) @ w, lambda g, x, w: (g @ w.T, np.tanh(x).T @ g),
               LAYER[:2], {0: "missing_factor"}),
    numpy_rule("exchanged, of the same shape", lambda a, b: a**2 * b, lambda g, a, b: (g * a * a, 2 * g * a * b),
               (SQUARE, OTHER), {0: "wrong_point", 1: "wrong_point"}),
    numpy_rule("relu: the mask of g", lambda z: np.maximum(z, 0), lambda g, z: g * (g > 0), (Z,), {0: "unknown"}),
    numpy_rule("softmax: the difference turned round", softmax,
               lambda g, z: softmax(z) * ((g * softmax(z)).sum(-1, keepdims=True) - g), (Z,), {0: "sign"}),
    numpy_rule("conv: the bias gradient not summed over the batch", conv_batch,
               lambda g, x, w, b: (conv_batch_x(g, w), conv_batch_w(x, g), g.sum((2, 3))), (BX, BW, BB),
               {2: "not_summed"}),
    numpy_rule("conv: dw turned", conv_batch,
               lambda g, x, w, b: (conv_batch_x(g, w), conv_batch_w(x, g)[:, :, ::-1, ::-1], g.sum((0, 2, 3))),
               (BX, BW, BB), {1: "rotated"}),
    numpy_rule("max pooling: to the first neuron of each overlay", lambda x: pool(x, 2)[0],
               lambda g, x: np.pad(g, ((0, 1), (0, 1))), (X,), {0: "unknown"}),
    numpy_rule("norm: not divided by it", lambda x: np.sqrt((x * x).sum()), lambda g, x: g * x, (Z,),
               {0: "missing_factor"}),
    numpy_rule("log softmax: the sum left out", lambda z: np.log(softmax(z)), lambda g, z: g - softmax(z) * g, (Z,),
               {0: "not_summed"}),
    numpy_rule("nothing written yet", sigmoid, lambda g, z: np.zeros_like(z), (Z,), {0: "factor"}),
]  # fmt: skip

PLANTED: list[Planted] = FIRST + SECOND + THIRD
