"""The table of ops: for each, how to draw a call of it, and what that call should give.

A `Case` is one call at one place: the op as a function of tensors, the arrays to call it with, what an independent
oracle (SciPy, or a plain loop) says, and the same call in PyTorch. `OPS` is all there is; `test_ops` does the rest.
Arrays hold numbers that float32 can hold, so that both types compute the same thing.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import signal, special

import tinygrad_cnn as tg
from tinygrad_cnn.kernels.geometry import PoolParams
from tinygrad_cnn.ops import activation, convolution, cost, pooling
from tinygrad_cnn.ops.movement import put

KERNEL_SETS = ["numpy", "scipy"] + ["numba"] * (importlib.util.find_spec("numba") is not None)


@dataclass
class Case:
    """One call of an op."""

    fn: Callable[..., tg.Tensor]
    arrays: tuple[np.ndarray, ...]
    expected: np.ndarray
    linear: tuple[int, ...] = ()  # the inputs in which it is linear (or affine), each by itself
    torch: Callable[..., Any] | None = None  # takes the torch module, then torch tensors


@dataclass
class Op:
    """An op: its name as users write it, and a strategy of cases."""

    name: str
    cases: st.SearchStrategy[Case]
    kernels: bool = False  # computed by a kernel set


# Numbers --------------------------------------------------------------------------------------------------------------


def single(a):
    """The numbers as float32 has them, in float64."""
    return np.asarray(a, np.float32).astype(np.float64)


class Numbers:
    """Random arrays from one drawn seed."""

    def __init__(self, draw):
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def choice(self, *values):
        return self.draw(st.sampled_from(values))

    def shape(self, least=0, most=4, longest=4, shortest=0):
        return tuple(self.integer(shortest, longest) for _ in range(self.integer(least, most)))

    def normal(self, *shape):
        return single(self.rng.standard_normal(shape))

    def positive(self, *shape):
        return single(self.rng.uniform(0.5, 2, shape))

    def apart(self, *shape):
        """All different, none near another or near 0: no step of a difference quotient reaches a kink."""
        n = int(np.prod(shape))
        return single((self.rng.permutation(n) - n // 2 + 0.5 + self.rng.uniform(-0.2, 0.2, n)).reshape(shape) / 8)

    def axes(self, ndim):
        """None, one axis, or several, from either end."""
        kind = self.choice("none", "one", "some") if ndim else "none"
        if kind == "none":
            return None
        chosen = self.draw(st.permutations(range(ndim)))[: 1 if kind == "one" else self.integer(0, ndim)]
        signed = tuple(a - ndim * self.integer(0, 1) for a in chosen)
        return signed[0] if kind == "one" else signed

    def broadcastable(self):
        """Two shapes that broadcast against each other."""
        shape = self.shape(most=3)

        def thinned():
            kept = shape[self.integer(0, len(shape)) :]
            return tuple(1 if self.choice(False, False, True) else n for n in kept)

        return thinned(), shape if self.choice(True, False) else thinned()


def cases(build):
    """A strategy of cases from a function of `Numbers`."""
    return st.composite(lambda draw: build(Numbers(draw)))()


# Elementwise ----------------------------------------------------------------------------------------------------------


def unary(name, oracle, make="normal", linear=()):
    """A function of the package, or a method; PyTorch has it as a method, or else a function, of the same name."""
    call = getattr(tg, name, None) or (lambda x: getattr(x, name)())

    def torch(t, x):
        return getattr(x, name)() if hasattr(x, name) else getattr(t.nn.functional, name)(x)

    def build(n):
        x = getattr(n, make)(*n.shape())
        return Case(call, (x,), oracle(x), linear, torch)

    return cases(build)


def binary(fn, oracle, makes=("normal", "normal"), linear=()):
    """Both operands tensors, of two shapes that broadcast."""

    def build(n):
        a, b = (getattr(n, make)(*shape) for make, shape in zip(makes, n.broadcastable(), strict=True))
        return Case(fn, (a, b), oracle(a, b), linear, lambda t, a, b: fn(a, b))

    return cases(build)


def reflected(fn, make="normal", linear=(0,)):
    """The other operand a number or an array, on the left."""

    def build(n):
        x_shape, other_shape = n.broadcastable()
        x, other = getattr(n, make)(*x_shape), getattr(n, make)(*other_shape)
        if n.choice(True, False):
            other = float(other.flat[0]) if other.size else 1.5

        def call(x):
            left = other if isinstance(other, float) else other.astype(x.dtype)
            return fn(left, x)

        return Case(call, (x,), fn(other, x), linear, lambda t, x: fn(t.as_tensor(other), x))

    return cases(build)


def clip(n):
    x, low = n.apart(*n.shape()), n.choice(None, -1.0)
    high = n.choice(None, 1.0) if low is not None else 1.0
    return Case(lambda x: x.clip(low, high), (x,), np.clip(x, low, high), (), lambda t, x: t.clamp(x, low, high))


def astype(n):
    x = n.normal(*n.shape())
    return Case(lambda x: x.astype(x.dtype), (x,), x, (0,), lambda t, x: x.to(x.dtype))


def where(n):
    (a, b), c = n.broadcastable(), n.choice(True, False)
    chosen = n.rng.random(np.broadcast_shapes(a, b)) < 0.5 if c else n.rng.random(a) < 0.5
    x, y = n.normal(*a), n.normal(*b)
    return Case(
        lambda x, y: tg.where(chosen, x, y), (x, y), np.where(chosen, x, y), (0, 1),
        lambda t, x, y: t.where(t.as_tensor(chosen), x, y),
    )  # fmt: skip


def relu_backward(n):
    x = n.normal(*n.shape())
    a = n.rng.random(x.shape) < 0.5 if n.choice(True, False) else n.normal(*x.shape)
    return Case(lambda x: activation.relu_backward(x, a), (x,), np.where(a > 0, x, 0), (0,))


def dropout(n):
    x, p, seed = n.normal(*n.shape()), n.choice(0.0, 0.25, 0.5, 1.0), n.integer(0, 9)
    kept = np.random.default_rng(seed).random(x.shape, np.float32) >= p
    expected = x * kept / (1 - p) if p < 1 else 0 * x
    return Case(lambda x: tg.dropout(x, p, rng=np.random.default_rng(seed)), (x,), expected, (0,))


def sigmoid_backward(n):
    shape = n.shape()
    g, a = n.normal(*shape), n.normal(*shape)
    return Case(activation.sigmoid_backward, (g, a), g * a * (1 - a), (0,))


def leaky_relu(n):
    x, slope = n.apart(*n.shape()), n.choice(0.01, 0.5, 0.0, -1.0)
    expected = np.where(x > 0, x, slope * x)
    return Case(
        lambda x: tg.leaky_relu(x, slope), (x,), expected, (), lambda t, x: t.nn.functional.leaky_relu(x, slope)
    )


def leaky_relu_backward(n):
    x = n.normal(*n.shape())
    is_open, slope = n.rng.random(x.shape) < 0.5, n.choice(0.01, -0.5)
    expected = np.where(is_open, x, slope * x)
    return Case(lambda x: activation.leaky_relu_backward(x, is_open, slope), (x,), expected, (0,))


def gelu(n):
    x, approximate = single(2 * n.normal(*n.shape())), n.choice("none", "tanh")
    if approximate == "none":
        expected = x * special.ndtr(x)
    else:
        expected = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return Case(
        lambda x: tg.gelu(x, approximate), (x,), expected, (),
        lambda t, x: t.nn.functional.gelu(x, approximate=approximate),
    )  # fmt: skip


def softmax(name):
    def build(n):
        shape = n.shape(least=1, shortest=1)
        x, axis = single(3 * n.normal(*shape)), n.integer(-len(shape), len(shape) - 1)
        fn, oracle, named = getattr(tg, name), getattr(special, name), n.choice({"axis": axis}, {"dim": axis})
        return Case(lambda x: fn(x, **named), (x,), oracle(x, axis=axis), (), lambda t, x: getattr(t, name)(x, axis))

    return cases(build)


# Reductions, shapes, indexing -----------------------------------------------------------------------------------------


def reduction(name, linear=()):
    def build(n):
        make = n.normal if linear else n.apart
        x = make(*n.shape(shortest=0 if name == "sum" else 1))
        axis, keepdims = n.axes(x.ndim), n.choice(True, False)
        torch_name = {"max": "amax", "min": "amin"}.get(name, name)

        def torch(t, x):
            everything = tuple(range(x.ndim))
            if axis == ():
                return x
            return getattr(x, torch_name)(everything if axis is None else axis, keepdims) if x.ndim else x

        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
        named = n.choice(
            {"axis": axis, "keepdims": keepdims}, {"dim": list(axis) if isinstance(axis, tuple) else axis},
        )  # fmt: skip
        if "dim" in named:
            named["keepdim"] = keepdims
        return Case(lambda x: getattr(x, name)(**named), (x,), expected, linear, torch)

    return cases(build)


def spread(name):
    """The variance or the standard deviation, of numbers that differ."""

    def build(n):
        x = n.apart(*n.shape(least=1, shortest=2))
        axis, keepdims, correction = n.axes(x.ndim) or None, n.choice(True, False), n.choice(0, 1)
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims, ddof=correction)
        named = n.choice({"axis": axis, "keepdims": keepdims}, {"dim": axis, "keepdim": keepdims})
        return Case(
            lambda x: getattr(x, name)(correction=correction, **named), (x,), expected, (),
            lambda t, x: getattr(t, name)(x, axis, correction=correction, keepdim=keepdims),
        )  # fmt: skip

    return cases(build)


def reshape(n):
    shape = n.shape()
    x = n.normal(*shape)
    target = tuple(n.draw(st.permutations(shape)))
    if target and 0 not in shape and n.choice(True, False):
        k = n.integer(0, len(target) - 1)
        target = (*target[:k], -1, *target[k + 1 :])
    return Case(lambda x: x.reshape(*target), (x,), x.reshape(target), (0,), lambda t, x: x.reshape(target))


def view(n):
    shape = n.shape()
    x, target = n.normal(*shape), tuple(n.draw(st.permutations(shape)))
    return Case(lambda x: x.view(*target), (x,), x.reshape(target), (0,), lambda t, x: x.view(target))


def flatten(n):
    shape = n.shape(least=1)
    x, start = n.normal(*shape), n.integer(0, len(shape) - 1)
    end = n.integer(start, len(shape) - 1) - len(shape) * n.integer(0, 1)
    stop = end % len(shape) + 1
    expected = x.reshape(*shape[:start], int(np.prod(shape[start:stop])), *shape[stop:])
    return Case(lambda x: x.flatten(start, end), (x,), expected, (0,), lambda t, x: x.flatten(start, end))


def squeeze(n):
    x = n.normal(*n.shape(longest=2))
    dim = n.axes(x.ndim)
    gone = range(x.ndim) if dim is None else [a % x.ndim for a in np.atleast_1d(dim)] if x.ndim else []
    expected = np.squeeze(x, tuple(int(a) for a in gone if x.shape[a] == 1))
    named = n.choice({"dim": dim}, {"axis": dim})
    return Case(
        lambda x: x.squeeze(**named), (x,), expected, (0,), lambda t, x: x.squeeze() if dim is None else x.squeeze(dim)
    )


def unsqueeze(n):
    x = n.normal(*n.shape())
    dim = n.integer(-x.ndim - 1, x.ndim)
    return Case(lambda x: x.unsqueeze(dim), (x,), np.expand_dims(x, dim), (0,), lambda t, x: x.unsqueeze(dim))


def permute(n):
    shape = n.shape()
    order = tuple(i - len(shape) * n.integer(0, 1) for i in n.draw(st.permutations(range(len(shape)))))
    x = n.normal(*shape)
    return Case(lambda x: x.permute(order), (x,), x.transpose(order), (0,), lambda t, x: x.permute(order))


def transpose(n):
    shape = n.shape()
    order = tuple(i - len(shape) * n.integer(0, 1) for i in n.draw(st.permutations(range(len(shape)))))
    x = n.normal(*shape)
    return Case(lambda x: x.transpose(*order), (x,), x.transpose(order), (0,), lambda t, x: x.permute(order))


def turned(n):
    x = n.normal(*n.shape())
    return Case(lambda x: x.T, (x,), x.T, (0,), lambda t, x: x.permute(tuple(range(x.ndim))[::-1]))


def swapaxes(n):
    shape = n.shape(least=1)
    a, b = (n.integer(-len(shape), len(shape) - 1) for _ in range(2))
    x = n.normal(*shape)
    return Case(lambda x: x.swapaxes(a, b), (x,), x.swapaxes(a, b), (0,), lambda t, x: x.swapaxes(a, b))


def broadcast_to(n):
    small, _ = n.broadcastable()
    x = n.normal(*small)
    shape = n.shape(most=2) + tuple(n.integer(0, 3) if k == 1 else k for k in small)
    return Case(
        lambda x: x.broadcast_to(shape), (x,), np.broadcast_to(x, shape), (0,), lambda t, x: x.broadcast_to(shape)
    )


def an_index(n, shape):
    """An index of every kind: integers, slices with steps of both signs, None, ``...``, masks and integer arrays."""
    kind = n.choice("basic", "mask", "integers", "mixed")
    if kind == "mask":
        return n.rng.random(shape[: n.integer(1, len(shape))]) < 0.5
    if kind == "integers":
        places = n.shape(most=2, longest=3)
        depth = n.integer(1, len(shape))
        return tuple(n.rng.integers(-k, k, places) for k in shape[:depth])
    index = []
    for k in shape:
        part = n.choice("integer", "slice", "all") if kind == "basic" else n.choice("slice", "all")
        start, stop = (n.draw(st.none() | st.integers(-k - 1, k + 1)) for _ in range(2))
        step = n.choice(None, 1, 2, -1, -2)
        index.append({"integer": n.integer(-k, k - 1), "slice": slice(start, stop, step), "all": slice(None)}[part])
    if kind == "mixed":  # one axis by a list, with repeats
        k = n.integer(0, len(shape) - 1)
        index[k] = [n.integer(-shape[k], shape[k] - 1) for _ in range(n.integer(0, 4))]
    elif n.choice(True, False):
        index.insert(n.integer(0, len(index)), n.choice(None, Ellipsis))
    return tuple(index)


def getitem(n):
    x = n.normal(*n.shape(least=1, most=3, shortest=1))
    index = an_index(n, x.shape)
    return Case(lambda x: x[index], (x,), x[index], (0,))


def put_(n):
    shape = n.shape(least=1, most=3, shortest=1)
    index = an_index(n, shape)
    places = np.arange(np.prod(shape)).reshape(shape)[index]
    g, expected = n.normal(*places.shape), np.zeros(shape)
    for place, value in zip(places.ravel(), g.ravel(), strict=True):
        expected.flat[place] += value
    return Case(lambda g: put(g, index, shape), (g,), expected, (0,))


def pad(n):
    x = n.normal(*n.shape())
    if x.ndim >= 2 and n.choice(True, False):
        widths = n.integer(0, 2)
        sides = [(0, 0)] * (x.ndim - 2) + [(widths, widths)] * 2
    else:
        widths = sides = [(n.integer(0, 2), n.integer(0, 2)) for _ in range(x.ndim)]
    expected = np.full([before + k + after for (before, after), k in zip(sides, x.shape, strict=True)], 1.5)
    expected[tuple(slice(before, before + k) for (before, _), k in zip(sides, x.shape, strict=True))] = x
    flat = [width for pair in reversed(sides) for width in pair]
    return Case(
        lambda x: tg.pad(x, widths, value=1.5), (x,), expected, (0,),
        lambda t, x: t.nn.functional.pad(x, flat, value=1.5),
    )  # fmt: skip


def concatenate(n):
    shape = n.shape(least=1, most=3)
    axis = n.integer(-len(shape), len(shape) - 1)
    lengths = [n.integer(0, 3) for _ in range(n.integer(1, 3))]
    parts = tuple(n.normal(*shape[: axis % len(shape)], k, *shape[axis % len(shape) + 1 :]) for k in lengths)
    named = n.choice({"axis": axis}, {"dim": axis})
    return Case(
        lambda *parts: tg.concatenate(parts, **named), parts, np.concatenate(parts, axis), tuple(range(len(parts))),
        lambda t, *parts: t.cat(parts, axis),
    )  # fmt: skip


def stack(n):
    shape = n.shape(most=3)
    axis = n.integer(-len(shape) - 1, len(shape))
    parts = tuple(n.normal(*shape) for _ in range(n.integer(1, 3)))
    named = n.choice({"axis": axis}, {"dim": axis})
    return Case(
        lambda *parts: tg.stack(parts, **named), parts, np.stack(parts, axis), tuple(range(len(parts))),
        lambda t, *parts: t.stack(parts, axis),
    )  # fmt: skip


# Products -------------------------------------------------------------------------------------------------------------


def matmul_shapes(n):
    m, k, p = (n.integer(0, 3) for _ in range(3))
    batch_a, batch_b = n.broadcastable() if n.choice(True, False) else ((), ())
    a = (k,) if n.choice(False, False, True) else (*batch_a, m, k)
    b = (k,) if n.choice(False, False, True) else (*batch_b, k, p)
    return a, b


def matmul(call):
    def build(n):
        a, b = (n.normal(*shape) for shape in matmul_shapes(n))
        return Case(call, (a, b), np.matmul(a, b), (0, 1), lambda t, a, b: t.matmul(a, b))

    return cases(build)


def rmatmul(n):
    a, b = (n.normal(*shape) for shape in matmul_shapes(n))
    return Case(lambda b: a.astype(b.dtype) @ b, (b,), np.matmul(a, b), (0,), lambda t, b: t.as_tensor(a) @ b)


def linear(n):
    m, k = n.integer(0, 3), n.integer(0, 3)
    x, w, b = n.normal(*n.shape(most=2), k), n.normal(m, k), n.normal(m)
    z = np.einsum("...k,mk->...m", x, w)
    if n.choice(True, False):
        return Case(tg.linear, (x, w, b), z + b, (0, 1, 2), lambda t, *args: t.nn.functional.linear(*args))
    return Case(tg.linear, (x, w), z, (0, 1), lambda t, *args: t.nn.functional.linear(*args))


# Convolution ----------------------------------------------------------------------------------------------------------


def windows(x, kernel, stride, padding, dilation):
    """Every place (p, q) with the pixels that its window sees, (N, C, KH, KW)."""
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    dilated_size = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    for p, top in enumerate(range(0, x.shape[2] - dilated_size[0] + 1, stride[0])):
        for q, left in enumerate(range(0, x.shape[3] - dilated_size[1] + 1, stride[1])):
            here = np.s_[:, :, top : top + dilated_size[0] : dilation[0], left : left + dilated_size[1] : dilation[1]]
            yield p, q, here, x[here]


@dataclass
class Slide:
    """A drawn convolution: filters (F, C / groups, KH, KW) over images (N, C, H, W)."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    how: dict[str, Any]

    @staticmethod
    def drawn(n):
        kernel = [n.integer(1, 3) for _ in range(2)]
        stride, dilation = ([n.integer(1, 3 - i) for _ in range(2)] for i in range(2))
        padding = [n.integer(0, k - 1) for k in kernel]
        dilated_size = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        image = [max(1, r - 2 * p) + n.integer(0, 4) for r, p in zip(dilated_size, padding, strict=True)]
        groups = n.integer(1, 3)
        per_group, filters = n.integer(1, 2), n.integer(1, 2)
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return Slide((n.integer(0, 2), per_group * groups, *image), (filters * groups, per_group, *kernel), how)

    def places(self):
        h = self.how
        return tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip(self.x[2:], self.w[2:], h["stride"], h["padding"], h["dilation"], strict=True)
        )

    def seen(self, x):
        """For each place its pixels by group, (N, G, C / G, KH, KW)."""
        h = self.how
        for p, q, here, pixels in windows(x, self.w[2:], h["stride"], h["padding"], h["dilation"]):
            yield p, q, here, pixels.reshape(x.shape[0], h["groups"], self.w[1], *self.w[2:])

    def by_group(self, at_place):
        return at_place.reshape(self.x[0], self.how["groups"], self.w[0] // self.how["groups"])

    def grouped(self, w):
        return w.reshape(self.how["groups"], -1, *self.w[1:])

    def maps(self, x, w):
        """The loop: at each place, pixels times taps."""
        y = np.zeros((self.x[0], self.w[0], *self.places()))
        for p, q, _, pixels in self.seen(x):
            y[:, :, p, q] = np.einsum("ngcij,gfcij->ngf", pixels, self.grouped(w)).reshape(len(x), self.w[0])
        return y

    def filters(self, x, g):
        dw = np.zeros(self.grouped(np.zeros(self.w)).shape)
        for p, q, _, pixels in self.seen(x):
            at_place = self.by_group(g[:, :, p, q])
            dw += np.einsum("ngcij,ngf->gfcij", pixels, at_place)
        return dw.reshape(self.w)

    def images(self, g, w):
        (ph, pw), (n, c, rows, columns) = self.how["padding"], self.x
        dx = np.zeros((n, c, rows + 2 * ph, columns + 2 * pw))
        for p, q, here, _ in self.seen(np.zeros(self.x)):
            at_place = self.by_group(g[:, :, p, q])
            dx[here] += np.einsum("ngf,gfcij->ngcij", at_place, self.grouped(w)).reshape(n, c, *self.w[2:])
        return dx[:, :, ph : ph + rows, pw : pw + columns]


def correlate2d(n):
    slide = Slide.drawn(n)
    x, w, b = n.normal(*slide.x), n.normal(*slide.w), n.normal(slide.w[0])
    y = slide.maps(x, w)
    if n.choice(True, False):
        return Case(
            lambda x, w, b: tg.correlate2d(x, w, bias=b, **slide.how), (x, w, b), y + b.reshape(-1, 1, 1), (0, 1, 2),
            lambda t, x, w, b: t.conv2d(x, w, b, **slide.how),
        )  # fmt: skip
    return Case(
        lambda x, w: tg.correlate2d(x, w, **slide.how), (x, w), y, (0, 1), lambda t, x, w: t.conv2d(x, w, **slide.how)
    )


def correlate2d_weight(n):
    slide = Slide.drawn(n)
    x, g = n.normal(*slide.x), n.normal(slide.x[0], slide.w[0], *slide.places())
    return Case(
        lambda x, g: tg.correlate2d_weight(x, g, shape=slide.w[2:], **slide.how), (x, g), slide.filters(x, g), (0, 1),
        lambda t, x, g: t.nn.grad.conv2d_weight(x, slide.w, g, **slide.how),
    )  # fmt: skip


def convolve2d_full(n):
    slide = Slide.drawn(n)
    g, w = n.normal(slide.x[0], slide.w[0], *slide.places()), n.normal(*slide.w)
    return Case(
        lambda g, w: tg.convolve2d_full(g, w, shape=slide.x[2:], **slide.how), (g, w), slide.images(g, w), (0, 1),
        lambda t, g, w: t.nn.grad.conv2d_input(slide.x, w, g, **slide.how),
    )  # fmt: skip


def transposed(n):
    """A transposed convolution onto every image that PyTorch allows."""
    kernel, stride, dilation, maps = (np.array([n.integer(1, 3), n.integer(1, 3)]) for _ in range(4))
    groups, per_group, filters = n.integer(1, 2), n.integer(1, 2), n.integer(1, 2)
    extra = np.array([n.integer(0, m - 1) for m in np.maximum(stride, dilation)])
    whole = (maps - 1) * stride + dilation * (kernel - 1) + 1
    padding = np.minimum([n.integer(0, 2), n.integer(0, 2)], (whole + extra - 1) // 2)
    rows, columns = whole - 2 * padding + extra
    (top, left), images = padding, n.integer(0, 2)
    x, w = n.normal(images, filters * groups, *maps), n.normal(filters * groups, per_group, *kernel)
    y = np.zeros((images, groups, per_group, *(whole + extra + padding)))
    for i, j, p, q in np.ndindex(*kernel, *maps):
        at_place, taps = x[:, :, p, q].reshape(images, groups, filters), w[:, :, i, j].reshape(groups, filters, -1)
        row, column = np.array([p, q]) * stride + np.array([i, j]) * dilation
        y[:, :, :, row, column] += np.einsum("ngf,gfc->ngc", at_place, taps)
    expected = y.reshape(images, groups * per_group, *y.shape[3:])[:, :, top : top + rows, left : left + columns]
    sizes = {"stride": stride, "padding": padding, "dilation": dilation}
    how = {name: tuple(pair.tolist()) for name, pair in sizes.items()} | {"groups": groups}
    return Case(
        lambda x, w: tg.convolve2d_full(x, w, shape=(rows, columns), **how), (x, w), expected, (0, 1),
        lambda t, x, w: t.nn.functional.conv_transpose2d(x, w, output_padding=extra.tolist(), **how),
    )  # fmt: skip


def lone_full(n):
    """One map and one filter: exactly SciPy's full convolution."""
    x, w = (n.normal(n.integer(1, 4), n.integer(1, 4)) for _ in range(2))
    return Case(tg.convolve2d_full, (x, w), signal.convolve2d(x, w, "full"), (0, 1))


def by_scipy(name):
    """Every rank and mode, as scipy.signal has it; a stack is one 3-d correlation, the article's appendix B."""

    def build(n):
        op, oracle, mode = getattr(tg, name), getattr(signal, name), n.choice("valid", "same", "full")
        kernel = [n.integer(1, 4) for _ in range(2)]
        image = [k + n.integer(0, 3) for k in kernel]
        rank, c = n.choice(2, 3, 4), n.integer(1, 3)
        if rank == 2:
            x, w = n.normal(*image), n.normal(*kernel)
            expected = oracle(x, w, mode)
        elif rank == 3:
            x, w = n.normal(c, *image), n.normal(c, *kernel)
            expected = sum(oracle(a, b, mode) for a, b in zip(x, w, strict=True))
        else:
            x, w = n.normal(2, c, *image), n.normal(n.integer(1, 2), c, *kernel)
            expected = np.array([[sum(oracle(a, b, mode) for a, b in zip(i, f, strict=True)) for f in w] for i in x])
        return Case(lambda x, w: op(x, w, mode=mode), (x, w), expected, (0, 1))

    return cases(build)


# Pooling --------------------------------------------------------------------------------------------------------------


def pooling_window(n, dilated):
    shape = tuple(n.integer(1, 3) for _ in range(2))
    dilation = tuple(n.integer(1, 2) if dilated else 1 for _ in range(2))
    stride, padding = tuple(n.integer(1, 3) for _ in range(2)), tuple(n.integer(0, k // 2) for k in shape)
    dilated_size = [d * (k - 1) + 1 for k, d in zip(shape, dilation, strict=True)]
    image = tuple(max(d, r - 2 * p) + n.integer(0, 3) for r, p, d in zip(dilated_size, padding, dilation, strict=True))
    return PoolParams(shape, stride, padding, dilation), (*(n.integer(0 if i == 0 else 1, 2) for i in range(2)), *image)


def overlays(n, window, ceil_mode):
    """Every place (p, q) of the overlay on a map of shape n: where it begins, and the rows and columns under it."""
    axes = []
    for length, k, s, pad, d in zip(n, *window, strict=True):
        starts, reach = [-pad], d * (k - 1) + 1
        while starts[-1] + reach < length + pad:
            starts.append(starts[-1] + s)
        if starts[-1] + reach > length + pad and (not ceil_mode or starts[-1] >= length):
            starts.pop()
        taps = ([start + i * d for i in range(k)] for start in starts)
        axes.append(
            [(start, [i for i in inside if 0 <= i < length]) for start, inside in zip(starts, taps, strict=True)]
        )
    for p, (top, rows) in enumerate(axes[0]):
        for q, (left, columns) in enumerate(axes[1]):
            yield p, q, (top, left), np.ix_(rows, columns)


def pooled(x, window, ceil_mode, reduce):
    """The loop over places."""
    places = list(overlays(x.shape[2:], window, ceil_mode))
    y = np.zeros((*x.shape[:2], *(1 + max(place[i] for place in places) for i in range(2))))
    for p, q, start, (rows, columns) in places:
        y[:, :, p, q] = reduce(x[:, :, rows, columns], start)
    return y


def largest(pixels, start):
    return pixels.max((2, 3), initial=-np.inf)


def pooling_call(n, dilated):
    """A window, maps, and whether places are rounded up, for which the map may be smaller than the overlay."""
    window, shape = pooling_window(n, dilated=dilated)
    ceil_mode = n.choice(True, False)
    if ceil_mode:
        least = [d * (k - 1) + 1 - 2 * p - (s - 1) for k, s, p, d in zip(*window, strict=True)]
        smaller = [n.integer(max(1, d, low), m) for low, m, d in zip(least, shape[2:], window.dilation, strict=True)]
        shape = (*shape[:2], *smaller)
    return window, shape, ceil_mode


def maxpool(n):
    window, shape, ceil_mode = pooling_call(n, dilated=True)
    x = n.apart(*shape)
    lead = n.choice(0, 0, 1, 2) if shape[0] else 0
    expected = pooled(x, window, ceil_mode, largest)
    for _ in range(lead):  # a stack, or one map
        x, expected = x[0], expected[0]
    how = {"stride": window.stride, "padding": window.padding, "dilation": window.dilation, "ceil_mode": ceil_mode}
    return Case(
        lambda x: tg.maxpool(x, window.shape, **how), (x,), expected, (),
        lambda t, x: t.nn.functional.max_pool2d(
            x.reshape((1,) * (4 - x.ndim) + x.shape), window.shape, **how).reshape(expected.shape),
    )  # fmt: skip


def avgpool(n):
    window, shape, ceil_mode = pooling_call(n, dilated=False)
    x = n.normal(*shape)
    lead = n.choice(0, 0, 1, 2) if shape[0] else 0
    include, divisor = n.choice(True, False), n.choice(None, None, 3)

    def mean(pixels, start):
        ends = [min(a + k, m + p) for a, k, m, p in zip(start, window.shape, shape[2:], window.padding, strict=True)]
        area = (ends[0] - start[0]) * (ends[1] - start[1]) if include else pixels.shape[2] * pixels.shape[3]
        return pixels.sum((2, 3)) / (divisor or area)

    expected = pooled(x, window, ceil_mode, mean)
    for _ in range(lead):
        x, expected = x[0], expected[0]
    how = {"stride": window.stride, "padding": window.padding, "ceil_mode": ceil_mode, "count_include_pad": include,
           "divisor_override": divisor}  # fmt: skip
    return Case(
        lambda x: tg.avgpool(x, window.shape, **how), (x,), expected, (0,),
        lambda t, x: t.nn.functional.avg_pool2d(
            x.reshape((1,) * (4 - x.ndim) + x.shape), window.shape, **how).reshape(expected.shape),
    )  # fmt: skip


def adaptive_avgpool(n):
    x = n.normal(*(n.integer(1, 2) for _ in range(n.integer(0, 2))), n.integer(1, 6), n.integer(1, 6))
    size = tuple(n.choice(None, 1, 2, 3, 5) for _ in range(2))
    rows, columns = (m if k is None else k for k, m in zip(size, x.shape[-2:], strict=True))
    expected = np.zeros((*x.shape[:-2], rows, columns))
    for p, q in np.ndindex(rows, columns):
        (top, bottom), (left, right) = (
            (int(np.floor(i * m / k)), int(np.ceil((i + 1) * m / k)))
            for i, m, k in zip((p, q), x.shape[-2:], (rows, columns), strict=True)
        )
        expected[..., p, q] = x[..., top:bottom, left:right].mean((-2, -1))
    if rows == columns and None not in size and n.choice(True, False):
        size = rows

    def torch(t, x):
        batch = x.reshape((1,) * (4 - x.ndim) + tuple(x.shape))
        return t.nn.functional.adaptive_avg_pool2d(batch, size).reshape(expected.shape)

    return Case(lambda x: tg.adaptive_avgpool(x, size), (x,), expected, (0,), torch)


def _winners(n, window, shape):
    """Which tap won in each window of some image."""
    _, winners = tg.kernels.current().maxpool(n.apart(*shape), window, True)
    return winners


def bias_gradient(n):
    g = n.normal(*(n.integer(1, 4) for _ in range(4)))
    return Case(convolution.bias_gradient, (g,), g.sum((0, 2, 3)), (0,))


def maxpool_scatter(n):
    window, shape = pooling_window(n, dilated=True)
    winners = _winners(n, window, shape)
    g, expected = n.normal(*winners.shape), np.zeros(shape)
    for i, c, p, q in np.ndindex(winners.shape):
        tap = divmod(int(winners[i, c, p, q]), window.shape[1])
        row, column = (
            place * s + t * d - pad
            for place, s, t, d, pad in zip((p, q), window.stride, tap, window.dilation, window.padding, strict=True)
        )
        expected[i, c, row, column] += g[i, c, p, q]
    return Case(lambda g: pooling.maxpool_scatter(g, winners, window, shape[2:]), (g,), expected, (0,))


def maxpool_gather(n):
    window, shape = pooling_window(n, dilated=True)
    x = n.apart(*shape)
    _, winners = tg.kernels.current().maxpool(x, window, True)
    expected = pooled(x, window, False, largest)
    return Case(lambda x: pooling.maxpool_gather(x, winners, window), (x,), expected, (0,))


def avgpool_backward(n):
    window, shape = pooling_window(n, dilated=False)
    expected, places = np.zeros(shape), list(windows(np.zeros(shape), *window))
    g = n.normal(*shape[:2], *(1 + max(place[i] for place in places) for i in range(2)))
    (ph, pw), padded = window.padding, np.pad(expected, ((0, 0), (0, 0), *((p, p) for p in window.padding)))
    for p, q, here, _ in places:
        padded[here] += g[:, :, p, q, None, None] / np.prod(window.shape)
    expected = padded[:, :, ph : ph + shape[2], pw : pw + shape[3]]
    return Case(lambda g: pooling.avgpool_backward(g, window, shape[2:]), (g,), expected, (0,))


# Costs and normalisation ----------------------------------------------------------------------------------------------


def cross_entropy(n):
    rows, classes = n.integer(1, 4), n.integer(1, 5)
    z, labels = single(3 * n.normal(rows, classes)), n.rng.integers(0, classes, rows)
    expected = -np.mean([z[i, k] - np.log(np.exp(z[i]).sum()) for i, k in enumerate(labels)])
    return Case(
        lambda z: tg.cross_entropy(z, labels), (z,), expected, (),
        lambda t, z: t.nn.functional.cross_entropy(z, t.as_tensor(labels)),
    )  # fmt: skip


def weighted_cross_entropy(n):
    """Every argument of `cross_entropy`; some rows are ignored, but not all."""
    rows, classes = n.integer(1, 4), n.integer(1, 5)
    z, labels = single(3 * n.normal(rows, classes)), n.rng.integers(0, classes, rows)
    weight = n.choice(None, n.positive(classes))
    ignore, smoothing, reduction = n.choice(None, -100, 0), n.choice(0.0, 0.1, 1.0), n.choice("mean", "sum", "none")
    if ignore == -100:
        labels[1:] = np.where(n.rng.random(rows - 1) < 0.5, ignore, labels[1:])
    elif ignore == 0:
        labels[0] = classes - 1
    if ignore == 0 == labels[0]:
        ignore = None
    w = np.ones(classes) if weight is None else weight
    costs, counted = np.zeros(rows), 0.0
    for i, k in enumerate(labels):
        if k != ignore:
            log_a = z[i] - np.log(np.exp(z[i]).sum())
            costs[i] = -(1 - smoothing) * w[k] * log_a[k] - smoothing / classes * (w * log_a).sum()
            counted += w[k]
    expected = {"mean": costs.sum() / counted, "sum": costs.sum(), "none": costs}[reduction]
    how = {"label_smoothing": smoothing, "reduction": reduction}

    def torch(t, z):
        given = None if weight is None else t.as_tensor(weight)
        left_out = {} if ignore is None else {"ignore_index": ignore}
        return t.nn.functional.cross_entropy(z, t.as_tensor(labels), weight=given, **left_out, **how)

    return Case(
        lambda z: tg.cross_entropy(z, labels, weight=weight, ignore_index=ignore, **how), (z,), expected, (), torch
    )


def cross_entropy_backward(n):
    rows, classes = n.integer(1, 4), n.integer(1, 5)
    g, z, shares = n.normal(*n.choice((), (rows, 1))), n.normal(rows, classes), n.positive(rows, classes)
    a = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    sums = shares.sum(1, keepdims=True)
    return Case(
        lambda g, z: cost.cross_entropy_backward(g, z, said_less_shares(z, shares), sums.astype(z.dtype), 3), (g, z),
        (a * sums - shares) * g / 3, (0,),
    )  # fmt: skip


def said_less_shares(z, shares):
    """What an op takes beside z, computed from it."""
    return tg.softmax(z.detach()).data * shares.sum(1, keepdims=True).astype(z.dtype) - shares.astype(z.dtype)


def quadratic_cost(n):
    shape = n.shape(shortest=1)
    a, y = n.normal(*shape), n.normal(*shape)
    rows = shape[0] if len(shape) > 1 else 1
    return Case(tg.quadratic_cost, (a, y), 0.5 * ((a - y) ** 2).sum() / rows)


def batch_norm(n):
    c = n.integer(1, 3)
    places = n.choice((), (3,), (n.integer(1, 3), n.integer(1, 3)), (2, 1, 2))
    x = n.normal(n.integer(2, 3), c, *places)
    weight, bias, mean, var = n.normal(c), n.normal(c), n.normal(c), n.positive(c)
    training, affine = n.choice(True, False), n.choice(True, True, False)
    axes = (0, *range(2, x.ndim))
    m, v = (x.mean(axes), x.var(axes)) if training else (mean, var)
    column = (slice(None), *(None,) * len(places))
    expected = (x - m[column]) / np.sqrt(v[column] + 1e-3)
    if affine:
        expected = expected * weight[column] + bias[column]

    def call(x, weight=None, bias=None):
        running = (tg.Tensor(mean, dtype=x.dtype), tg.Tensor(var, dtype=x.dtype))
        return tg.batch_norm(x, *running, weight, bias, training=training, eps=1e-3)

    def torch(t, x, weight=None, bias=None):
        running = t.as_tensor(mean.copy()), t.as_tensor(var.copy())
        return t.nn.functional.batch_norm(x, *running, weight, bias, training=training, eps=1e-3)

    return Case(call, (x, weight, bias) if affine else (x,), expected, (1, 2) if affine else (), torch)


# The table ------------------------------------------------------------------------------------------------------------

OPS = [
    Op("Tensor.__add__", binary(lambda a, b: a + b, np.add, linear=(0, 1))),
    Op("Tensor.__sub__", binary(lambda a, b: a - b, np.subtract, linear=(0, 1))),
    Op("Tensor.__mul__", binary(lambda a, b: a * b, np.multiply, linear=(0, 1))),
    Op("Tensor.__truediv__", binary(lambda a, b: a / b, np.divide, ("normal", "positive"), linear=(0,))),
    Op("Tensor.__pow__", binary(lambda a, b: a**b, np.power, ("positive", "normal"))),
    Op("Tensor.__radd__", reflected(lambda a, b: a + b)),
    Op("Tensor.__rsub__", reflected(lambda a, b: a - b)),
    Op("Tensor.__rmul__", reflected(lambda a, b: a * b)),
    Op("Tensor.__rtruediv__", reflected(lambda a, b: a / b, "positive", linear=())),
    Op("Tensor.__rpow__", reflected(lambda a, b: a**b, "positive", linear=())),
    Op("Tensor.__matmul__", matmul(lambda a, b: a @ b)),
    Op("Tensor.__rmatmul__", cases(rmatmul)),
    Op("Tensor.__neg__", unary("__neg__", np.negative, linear=(0,))),
    Op("Tensor.__abs__", unary("__abs__", np.abs, "apart")),
    Op("Tensor.abs", unary("abs", np.abs, "apart")),
    Op("Tensor.exp", unary("exp", np.exp)),
    Op("Tensor.log", unary("log", np.log, "positive")),
    Op("Tensor.erf", unary("erf", special.erf)),
    Op("Tensor.sqrt", unary("sqrt", np.sqrt, "positive")),
    Op("Tensor.clip", cases(clip)),
    Op("Tensor.astype", cases(astype)),
    Op("Tensor.sum", reduction("sum", linear=(0,))),
    Op("Tensor.mean", reduction("mean", linear=(0,))),
    Op("Tensor.var", spread("var")),
    Op("Tensor.std", spread("std")),
    Op("Tensor.max", reduction("max")),
    Op("Tensor.min", reduction("min")),
    Op("Tensor.reshape", cases(reshape)),
    Op("Tensor.view", cases(view)),
    Op("Tensor.flatten", cases(flatten)),
    Op("Tensor.squeeze", cases(squeeze)),
    Op("Tensor.unsqueeze", cases(unsqueeze)),
    Op("Tensor.transpose", cases(transpose)),
    Op("Tensor.permute", cases(permute)),
    Op("Tensor.T", cases(turned)),
    Op("Tensor.swapaxes", cases(swapaxes)),
    Op("Tensor.broadcast_to", cases(broadcast_to)),
    Op("Tensor.__getitem__", cases(getitem)),
    Op("put", cases(put_)),
    Op("matmul", matmul(tg.matmul)),
    Op("linear", cases(linear)),
    Op("pad", cases(pad)),
    Op("concatenate", cases(concatenate)),
    Op("stack", cases(stack)),
    Op("where", cases(where)),
    Op("relu_backward", cases(relu_backward), kernels=True),
    Op("sigmoid", unary("sigmoid", special.expit)),
    Op("sigmoid_backward", cases(sigmoid_backward)),
    Op("tanh", unary("tanh", np.tanh)),
    Op("relu", unary("relu", lambda x: np.maximum(x, 0), "apart")),
    Op("leaky_relu", cases(leaky_relu)),
    Op("leaky_relu_backward", cases(leaky_relu_backward)),
    Op("gelu", cases(gelu)),
    Op("softmax", softmax("softmax")),
    Op("log_softmax", softmax("log_softmax")),
    Op("cross_entropy", cases(cross_entropy) | cases(weighted_cross_entropy)),
    Op("cross_entropy_backward", cases(cross_entropy_backward)),
    Op("quadratic_cost", cases(quadratic_cost)),
    Op("dropout", cases(dropout)),
    Op("batch_norm", cases(batch_norm), kernels=True),
    Op("correlate2d", cases(correlate2d) | by_scipy("correlate2d"), kernels=True),
    Op("correlate2d_weight", cases(correlate2d_weight), kernels=True),
    Op("convolve2d_full", cases(convolve2d_full) | cases(transposed) | cases(lone_full), kernels=True),
    Op("convolve2d", by_scipy("convolve2d"), kernels=True),
    Op("bias_gradient", cases(bias_gradient), kernels=True),
    Op("maxpool", cases(maxpool), kernels=True),
    Op("maxpool_scatter", cases(maxpool_scatter), kernels=True),
    Op("maxpool_gather", cases(maxpool_gather), kernels=True),
    Op("avgpool", cases(avgpool), kernels=True),
    Op("adaptive_avgpool", cases(adaptive_avgpool), kernels=True),
    Op("avgpool_backward", cases(avgpool_backward), kernels=True),
]
