"""Wrong backward rules, each with what the doctor should say: the input's number and the kind.

Written in two halves: the second only after the doctor was finished, so that its score on them says something.
"""

from collections.abc import Callable
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
        return record(
            name, data, tuple(tensors), tuple(lambda g, y, rule=rule: rule(g, y, *tensors) for rule in rules)
        )

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
    numpy_rule("conv: overlapping overlays overwritten", correlate, overlapping_overwritten, (X, W), {0: "overwritten"}),
    numpy_rule("max pooling: overlaps overwritten", lambda x: pool(x, 2)[0], pool_overwritten, (X,), {0: "overwritten"}),
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

PLANTED: list[Planted] = FIRST

Rule = Callable[..., Any]
