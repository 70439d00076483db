"""Networks for the tests of C files: one for each op, and random ones of layers."""

import math

import numpy as np
from c_programs import Function

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn
from tinygrad_cnn.interop.onnx.readers import elementwise

ROW, MAPS = (12,), (4, 6, 5)
_RNG = np.random.default_rng(3)
_SOME = _RNG.standard_normal(MAPS).astype(np.float32)
_EACH = _RNG.uniform(0.5, 2, (4, 1, 1)).astype(np.float32)


def function(f, **layers):
    return Function(lambda net, x: f(x), **layers)


def images_of(shape, seed=0, n=3):
    """Random images with numbers of both signs."""
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def _random_affine(layer, rng):
    """Batch normalisation with statistics and factors as after training, some factors negative."""
    layer.running_mean.writable()[...] = rng.normal(size=layer.running_mean.shape)
    layer.running_var.writable()[...] = rng.uniform(0.5, 2, layer.running_var.shape)
    layer.weight.writable()[...] = rng.normal(size=layer.weight.shape)
    layer.bias.writable()[...] = rng.normal(size=layer.bias.shape)
    return layer


def norm2d(channels, seed=0):
    return _random_affine(nn.BatchNorm2d(channels), np.random.default_rng(seed))


def norm1d(features, seed=0):
    return _random_affine(nn.BatchNorm1d(features), np.random.default_rng(seed))


def rng(seed=0):
    return np.random.default_rng(seed)


OPS = {
    "absolute": (function(abs), MAPS),
    "add": (function(lambda x: x + x[:, :, :1]), MAPS),
    "add_constant": (function(lambda x: x + _SOME), MAPS),
    "add_row": (function(lambda x: x[:, :, :1, :] + x.sum((1, 2), keepdims=True)), MAPS),
    "avgpool": (nn.AvgPool2d(3, 2, padding=1), MAPS),
    "avgpool_ceil": (nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), MAPS),
    "adaptive": (nn.AdaptiveAvgPool2d((3, 1)), MAPS),
    "broadcast": (function(lambda x: x[:, :1].broadcast_to((x.shape[0], *MAPS))), MAPS),
    "clip": (function(lambda x: x.clip(-0.5, 1.0)), MAPS),
    "clip_low": (function(lambda x: x.clip(0.2)), MAPS),
    "concatenate": (function(lambda x: tg.concatenate([x, x[:, :2] * 2.0, -x], axis=1)), MAPS),
    "concatenate_last": (function(lambda x: tg.concatenate([x, abs(x)], axis=3)), MAPS),
    "convolution": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), rng=rng()), MAPS),
    "convolution_groups": (nn.Conv2d(4, 6, 3, padding=1, groups=2, rng=rng()), MAPS),
    "convolution_depthwise": (nn.Conv2d(4, 4, 3, groups=4, bias=False, rng=rng()), MAPS),
    "convolution_norm": (nn.Sequential(nn.Conv2d(4, 5, 3, rng=rng()), norm2d(5), nn.ReLU()), MAPS),
    "convolution_pool_norm": (nn.Sequential(nn.Conv2d(4, 5, 2, rng=rng()), nn.MaxPool2d(2), norm2d(5)), MAPS),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, rng=rng()), MAPS),
    "transposed_norm": (nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2, rng=rng()), norm2d(6)), MAPS),
    "divide": (function(lambda x: x / (abs(x[:, :, :, :1]) + 1.0)), MAPS),
    "divide_into": (function(lambda x: 2.0 / (abs(x) + 1.0)), MAPS),
    "dropout": (nn.Sequential(nn.Dropout(0.5), nn.Identity()), ROW),
    "erf": (function(lambda x: (x * 1.5).erf()), MAPS),
    "exponential": (function(lambda x: x.exp()), MAPS),
    "gather": (function(lambda x: x[:, [2, 0, 3, 2], [5, 1, 1, 0]]), MAPS),
    "gelu": (nn.GELU(), MAPS),
    "gelu_tanh": (nn.GELU("tanh"), MAPS),
    "larger": (function(lambda x: elementwise.larger(x, x[:, ::-1])), MAPS),
    "leaky_relu": (nn.LeakyReLU(0.2), MAPS),
    "linear": (nn.Sequential(nn.Linear(12, 7, rng=rng()), norm1d(7), nn.ReLU(), nn.Linear(7, 3, rng=rng())), ROW),
    "linear_rows": (nn.Linear(5, 3, bias=False, rng=rng()), MAPS),
    "log_softmax": (function(tg.log_softmax), ROW),
    "logarithm": (function(lambda x: (x * x + 1e-3).log()), MAPS),
    "matmul": (function(lambda x: x @ x.transpose(0, 1, 3, 2)), MAPS),
    "matmul_constant": (function(lambda x: x @ _SOME[0].T), MAPS),
    "matmul_left": (function(lambda x: Tensor(_SOME[0].T) @ x), MAPS),
    "maxpool": (nn.MaxPool2d(3, 2, padding=1), MAPS),
    "maxpool_ceil": (nn.MaxPool2d(2, 2, ceil_mode=True, dilation=2), MAPS),
    "mean": (function(lambda x: x.mean((2, 3))), MAPS),
    "multiply": (function(lambda x: x * tg.sigmoid(x.mean((2, 3), keepdims=True))), MAPS),
    "multiply_each": (function(lambda x: (x * _EACH - 1.0) * 0.5), MAPS),
    "nothing": (nn.Identity(), MAPS),
    "norm": (norm2d(4), MAPS),
    "normalize": (nn.Sequential(nn.Normalize([0.5] * 4, [0.25] * 4), nn.Conv2d(4, 3, 3, padding=1, rng=rng())), MAPS),
    "pad": (function(lambda x: tg.pad(x, [(0, 0), (1, 0), (2, 1), (0, 3)], value=0.5)), MAPS),
    "pad_convolution": (nn.Sequential(function(lambda x: tg.pad(x, 1)), nn.Conv2d(4, 3, 3, rng=rng())), MAPS),
    "power": (function(lambda x: (abs(x) + 0.1) ** x), MAPS),
    "power_constant": (function(lambda x: x**3 + (abs(x) + 0.1) ** 0.5 + (abs(x) + 0.1) ** -2.0), MAPS),
    "reduce_max": (function(lambda x: elementwise.extreme_over(x, (1, 3), False, True)), MAPS),
    "reduce_min": (function(lambda x: elementwise.extreme_over(x, (2,), True, False)), MAPS),
    "relu": (nn.ReLU(), MAPS),
    "residual": (Function(lambda n, x: tg.relu(n.b(tg.relu(n.a(x))) + x),
                          a=nn.Conv2d(4, 4, 3, padding=1, rng=rng()), b=nn.Conv2d(4, 4, 1, rng=rng(1))), MAPS),
    "sigmoid": (nn.Sigmoid(), MAPS),
    "slice": (function(lambda x: x[:, ::-2, 1:5:2, None, -1]), MAPS),
    "smaller": (function(lambda x: elementwise.smaller(x, Tensor(np.float32(0.25)))), MAPS),
    "softmax": (nn.Softmax(1), MAPS),
    "softmax_last": (nn.Sequential(nn.Linear(12, 4, rng=rng()), nn.Softmax(-1)), ROW),
    "softplus": (function(elementwise.softplus), MAPS),
    "squeeze_excite": (Function(lambda n, x: x * tg.sigmoid(n.b(tg.relu(n.a(x.mean((2, 3), keepdims=True))))),
                                a=nn.Conv2d(4, 2, 1, rng=rng()), b=nn.Conv2d(2, 4, 1, rng=rng(1))), MAPS),
    "square_root": (function(lambda x: abs(x).sqrt()), MAPS),
    "subtract": (function(lambda x: x[:, :, :, :1] - x), MAPS),
    "sum": (function(lambda x: x.sum((1, 3)) - x.sum(2)[:, 0, :1]), MAPS),
    "tanh": (nn.Tanh(), MAPS),
    "transpose": (function(lambda x: x.transpose(0, 3, 1, 2).reshape(-1, 5, 24)), MAPS),
    "transpose_back": (function(lambda x: x.transpose(0, 2, 1, 3).transpose(0, 2, 1, 3)), MAPS),
    "twice": (function(lambda x: tg.relu(x) + tg.relu(x * 0.5) * tg.tanh(x)), MAPS),
    "variance": (function(lambda x: (x - x.mean(1, keepdims=True)) / (x.var(1, keepdims=True) + 1e-5).sqrt()), MAPS),
}  # fmt: skip
"""A network with one op, or one way to write it, and the shape of its images."""


class Residual(nn.Module):
    """Two convolutions with batch normalisation around which the input goes."""

    def __init__(self, channels, rng):
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)
        self.norm1 = _random_affine(nn.BatchNorm2d(channels), rng)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=math.gcd(channels, 2), rng=rng)

    def forward(self, x):
        return x + self.conv2(tg.relu(self.norm1(self.conv1(x))))


class Dense(nn.Module):
    """The input and what a convolution makes of it, one after the other."""

    def __init__(self, channels, rng):
        self.conv = nn.Conv2d(channels, 3, 3, padding=1, rng=rng)

    def forward(self, x):
        return tg.concatenate([x, tg.relu(self.conv(x))], axis=1)


class SqueezeExcite(nn.Module):
    """Channels weighted by what two small layers make of their means."""

    def __init__(self, channels, rng):
        self.small, self.full = nn.Linear(channels, 2, rng=rng), nn.Linear(2, channels, rng=rng)

    def forward(self, x):
        gate = tg.sigmoid(self.full(tg.relu(self.small(x.mean((2, 3))))))
        return x * gate.reshape(*gate.shape, 1, 1)


def random_network(seed):
    """A classifier of random layers, and the shape of its images."""
    r = np.random.default_rng(seed)
    channels, rows, columns = shape = tuple(int(n) for n in (r.integers(1, 4), *r.integers(7, 13, 2)))
    layers = []
    for _ in range(int(r.integers(2, 6))):
        kind = r.choice(["conv", "conv", "conv", "pool", "residual", "dense", "squeeze"])
        small = min(rows, columns) < 5
        if kind == "conv":
            maps, size, stride = int(r.integers(2, 7)), int(r.choice([1, 3])), int(r.choice([1, 1, 2]))
            padding, bias = int(r.integers(0, 2)), bool(r.integers(2))
            stride, padding = (1, 1) if small else (stride, padding)
            layers.append(nn.Conv2d(channels, maps, size, stride=stride, padding=padding, bias=bias, rng=r))
        elif kind == "pool":
            pool = r.choice([nn.MaxPool2d, nn.AvgPool2d])
            layers.append(pool(2, 1 if small else 2, padding=1 if small else int(r.integers(2))))
        else:
            layers.append({"residual": Residual, "dense": Dense, "squeeze": SqueezeExcite}[kind](channels, r))
        _, channels, rows, columns = nn.Sequential(layers[-1])(np.zeros((1, channels, rows, columns), np.float32)).shape
        if r.integers(2):
            layers.append(_random_affine(nn.BatchNorm2d(channels), r))
        if r.integers(4):
            kinds = nn.ReLU, nn.ReLU, nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.GELU
            layers.append(kinds[r.integers(len(kinds))]())
    if r.integers(2):
        layers.append(nn.AdaptiveAvgPool2d(1))
        rows = columns = 1
    layers += [nn.Flatten(), nn.Dropout(0.3, rng=r), nn.Linear(channels * rows * columns, 5, rng=r)]
    if not r.integers(4):
        layers.append(nn.Softmax(-1))
    return nn.Sequential(*layers), shape
