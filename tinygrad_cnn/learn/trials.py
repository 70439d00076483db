"""The trial of each exercise: values against SciPy's and this library's, gradients by the doctor of backward rules.

A trial takes the reader's functions by name and returns a sentence about what it compared; it raises `WrongAnswer` with
a sentence about the first thing that is wrong. Every answer is tried on several shapes with random numbers, so that one
which happens to fit the worked example does not pass.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from ..checks import abbreviated
from ..data import digits
from .comparing import (
    Array,
    WrongAnswer,
    agree,
    call,
    check_count,
    check_gradients,
    check_number,
    check_same,
    check_shape,
    first_difference,
)

Answers = Mapping[str, Callable[..., Any]]

_SHAPES = (((3, 3), (2, 2)), ((5, 7), (2, 3)), ((4, 4), (4, 4)), ((6, 5), (3, 1)), ((2, 5, 6), (3, 2)))
_MIN_ACCURACY = 0.95
_MAX_SECONDS = 120
_SEEDS = itertools.count()


def correlate_trial(f: Answers) -> str:
    """Chapter 1."""
    correlate = f["correlate"]
    for x, w in _pictures():
        right = _correlate(x, w)
        readings = {
            "the filter is turned by 180 degrees: that is a convolution": _correlate(x, w[::-1, ::-1]),
            "the filter is transposed": _correlate(x, w.T) if w.T.shape[0] <= x.shape[-2] else None,
            "the overlay reaches over the border: inside the picture it has fewer places": _full(x, w),
            "the numbers of each place are divided by the size of the filter; they are to be added up": right / w.size,
        }
        check_same("correlate(x, w)", call(correlate, x, w), right, readings, x=x, w=w)
    return "right: maps of five shapes agree with SciPy's"


def bias_trial(f: Answers) -> str:
    """Chapter 2."""
    for shape in ((2, 2), (3, 5), (4, 3, 3)):
        z = _random(shape)
        check_number("bias_gradient(dc_dz)", call(f["bias_gradient"], z), z.sum(), {"the mean": z.mean()}, dc_dz=z)
        check_gradients(
            lambda z, b: z + b, (z, np.array(0.5)), {"b": lambda g: np.asarray(call(f["bias_gradient"], g))}
        )
    return "right: dC/db agrees with numerical derivatives"


def weight_trial(f: Answers) -> str:
    """Chapter 3."""
    for x, w in _pictures():
        g = _random(_correlate(x, w).shape)
        got = call(f["weight_gradient"], x, g)
        check_shape("weight_gradient(x, dc_dz)", got, w.shape, x=x, dc_dz=g)
        check_gradients(_correlate, (x, w), {"w": lambda x, g: call(f["weight_gradient"], x, g)})
    return "right: dC/dw agrees with numerical derivatives, for several pictures too"


def input_trial(f: Answers) -> str:
    """Chapter 4."""
    for x, w in _pictures():
        g = _random(_correlate(x, w).shape)
        got = call(f["input_gradient"], g, w)
        check_shape("input_gradient(dc_dz, w)", got, x.shape, dc_dz=g, w=w)
        right, turned = _painted(g, w), _painted(g, w[::-1, ::-1])
        mistake = "the filter is turned by 180 degrees once too often: each neuron paints its weights where they stood"
        if agree(np.asarray(got, np.float64), turned) and not agree(turned, right):
            raise WrongAnswer(f"input_gradient(dc_dz, w): {mistake}. {first_difference(turned, right)}")
        check_gradients(_correlate, (x, w), {"x": lambda g, w: call(f["input_gradient"], g, w)})
    return "right: dC/dx agrees with numerical derivatives"


def sigmoid_trial(f: Answers) -> str:
    """Chapter 5."""
    for z in (_random((3, 4)), np.array([-1000.0, -40.0, 0.0, 40.0, 1000.0]), _random((2, 3, 3)) * 5):
        small = np.exp(-np.abs(z))
        right = np.where(z >= 0, 1.0, small) / (1 + small)
        with np.errstate(all="raise", under="ignore"):
            try:
                got = call(f["sigmoid"], z)
            except FloatingPointError as error:
                raise WrongAnswer(f"sigmoid(z) overflows for z = {abbreviated(z.tolist())}: {error}") from None
        check_same("sigmoid(z)", got, right, {"its mirror image, sigmoid(-z)": 1 - right}, z=z)
    a = np.random.default_rng(1).uniform(0.05, 0.95, (3, 4))
    g = _random((3, 4))
    readings = {
        "the slope at z = a, as if the sigmoid were taken once more": g * _sig(a) * (1 - _sig(a)),
        "the slope without dC/da": a * (1 - a),
        "dC/da times a, without (1 - a)": g * a,
        "dC/da times (1 - a), without a": g * (1 - a),
    }
    check_same("sigmoid_backward(dc_da, a)", call(f["sigmoid_backward"], g, a), g * a * (1 - a), readings, dc_da=g, a=a)
    return "right: values without overflow, and the slope from the activation"


def pooling_trial(f: Answers) -> str:
    """Chapter 6."""
    pool, back = f["maxpool"], f["maxpool_backward"]
    for shape, size, stride in (((4, 4), 2, 2), ((5, 6), 2, 1), ((7, 5), 3, 2), ((2, 6, 6), 3, 1), ((5, 5), 2, 3)):
        for ties in (False, True):
            a: Array = np.random.default_rng(3).integers(0, 3, shape).astype(np.float64) if ties else _random(shape)
            right, winners = _pooled(a, size, stride)
            what = f"maxpool(a, {size}, {stride})"
            check_same(what, call(pool, a, size, stride), right, {"the mean of each place": None}, a=a)
            g = _random(right.shape)
            once, all_winners, last, *overwritten = _returned(a, g, winners, size, stride)
            replaced = "where overlays overlap, the last dC/dy replaces the others; they are to be added"
            readings = {
                "every neuron of a tie is paid; only the first is": all_winners,
                "the last neuron of a tie is paid; it is the first": last,
                replaced: overwritten[0],
                f"{replaced} up": overwritten[1],
            }
            named = f"maxpool_backward(dc_dy, a, {size}, {stride})"
            check_same(named, call(back, g, a, size, stride), once, readings, dc_dy=g, a=a)
    return "right: with overlaps and with ties"


def linear_trial(f: Answers) -> str:
    """Chapter 7."""
    for n, inputs, neurons in ((1, 2, 3), (4, 5, 2), (3, 3, 3)):
        a, w, b = _random((n, inputs)), _random((neurons, inputs)), _random((neurons,))
        readings = {"b is missing": a @ w.T, "w is to be transposed": a @ w if inputs == neurons else None}
        check_same("linear(a, w, b)", call(f["linear"], a, w, b), a @ w.T + b, readings, a=a, w=w, b=b)
        g = _random((n, neurons))
        got = f["linear_backward"](g, a.copy(), w.copy())
        check_count("linear_backward", got, ("dC/da", "dC/dw", "dC/db"))
        for name, value, like in zip(("dC/da", "dC/dw", "dC/db"), got, (a, w, b), strict=True):
            check_shape(name, value, like.shape, dc_dz=g, a=a, w=w)
        rules = {name: _linear_rule(f, part) for part, name in enumerate("awb")}
        check_gradients(lambda a, w, b: a @ w.T + b, (a, w, b), rules)
    return "right: dC/da, dC/dw and dC/db agree with numerical derivatives"


def chaining_trial(f: Answers) -> str:
    """Chapter 8."""
    for (rows, columns), k in (((6, 7), 2), ((5, 5), 1)):
        x, w1, w2 = _random((rows, columns)), _random((2, 2)), _random((k + 1, k + 1))
        b1, b2 = np.array(0.3), np.array(-0.2)
        a1 = _sig(_correlate(x, w1) + b1)
        a2 = _sig(_correlate(a1, w2) + b2)
        got = f["forward"](x.copy(), w1.copy(), b1.copy(), w2.copy(), b2.copy())
        check_count("forward", got, ("a1", "a2"))
        for name, value, right in zip(("a1", "a2"), got, (a1, a2), strict=True):
            check_same(f"{name} of forward", value, right, {}, x=x, w1=w1, w2=w2)
        names = ("x", "w1", "b1", "w2", "b2")
        values = f["backward"](_random(a2.shape), x, a1, a2, w1, w2)
        check_count("backward", values, tuple(f"dC/d{n}" for n in names))
        check_gradients(_chain, (x, w1, b1, w2, b2), {name: _chain_rule(f, part) for part, name in enumerate(names)})
    return "right: all five gradients of the chain agree with numerical derivatives"


def cost_trial(f: Answers) -> str:
    """Chapter 9."""
    for shape in ((1, 4), (5, 3), (3, 3)):
        a, y = _random(shape), _random(shape)
        right = 0.5 * ((a - y) ** 2).sum() / len(a)
        readings = {
            "without the half": 2 * right,
            "the sum over the batch; it is the mean": right * len(a),
            "the mean over all numbers; it is the sum over the neurons, and the mean over the rows": right / a.shape[1],
        }
        check_number("quadratic_cost(a, y)", call(f["quadratic_cost"], a, y), right, readings, a=a, y=y)
        got = call(f["quadratic_cost_gradient"], a, y)
        check_shape("quadratic_cost_gradient(a, y)", got, a.shape, a=a, y=y)
        gradient = {"a": lambda a, y, g: call(f["quadratic_cost_gradient"], a, y) * g}
        check_gradients(lambda a, y: np.asarray(0.5 * ((a - y) ** 2).sum() / len(a)), (a, y), gradient)
    return "right: the cost, and its gradient by numerical derivatives"


def step_trial(f: Answers) -> str:
    """Chapter 10."""
    for momentum in (0.0, 0.5, 0.9):
        parameters = [_random((3, 2)), np.array(1.5), _random((4,))]
        velocities = [np.zeros(p.shape) for p in parameters]
        expected, speeds = [p.copy() for p in parameters], [v.copy() for v in velocities]
        for step in range(3):
            gradients = [_random(p.shape) for p in parameters]
            kept = [g.copy() for g in gradients]
            f["sgd_step"](parameters, gradients, velocities, 0.1, momentum)
            for k, g in enumerate(kept):
                speeds[k] = momentum * speeds[k] + g
                expected[k] = expected[k] - 0.1 * speeds[k]
                before = expected[k] + 0.1 * speeds[k]
                readings = {
                    "they are as they were before: the arrays themselves must change (p -= ..., p[...] = ...)": before,
                    "the step goes up the gradient; it must go down": before + 0.1 * speeds[k],
                    "the step is made with dC/dw, without the velocity": before - 0.1 * g,
                }
                what = f"the parameters after step {step + 1} with momentum {momentum}"
                check_same(what, parameters[k], expected[k], readings, parameter=expected[k])
                check_same(f"the velocities after step {step + 1}", velocities[k], speeds[k], {}, velocity=speeds[k])
                if not np.array_equal(gradients[k], g):
                    raise WrongAnswer("sgd_step changes the gradients; they belong to the caller")
    return "right: three steps in place, with and without momentum"


def entropy_trial(f: Answers) -> str:
    """Chapter 11."""
    large = np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1001.0, -1002.0]])
    for z, labels in ((_random((1, 3)), [0]), (_random((5, 4)) * 3, [3, 0, 1, 2, 3]), (large, [0, 2]), (large, [1, 1])):
        y, rows = np.array(labels), np.arange(len(z))
        shifted = z - z.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        p = np.exp(log_p)
        columns = np.exp(z - z.max()) / np.exp(z - z.max()).sum(0)
        readings = {"each column adds up to 1; each row must": columns, "all numbers add up to 1 together": p / len(z)}
        check_same("softmax(z)", call(f["softmax"], z), p, readings, z=z)
        cost = -log_p[rows, y].mean()
        others = {"the sum over the batch; it is the mean": cost * len(z), "the sign": -cost}
        check_number("cross_entropy(z, labels)", call(f["cross_entropy"], z, y), cost, others, z=z, labels=y)
        one_hot = np.eye(z.shape[1])[y]
        right = (p - one_hot) / len(z)
        readings = {
            "without the division by N, the number of rows": right * len(z),
            "one_hot(label) - p: the sign is wrong": -right,
            "p alone: what is said, without what should be": p / len(z),
        }
        got = call(f["cross_entropy_gradient"], z, y)
        check_same("cross_entropy_gradient(z, labels)", got, right, readings, z=z, labels=y)
    return "right: probabilities, cost and gradient, for large scores too"


def network_trial(f: Answers) -> str:
    """Chapter 12."""
    rng = np.random.default_rng(0)
    parameters = f["initial_parameters"](rng)
    images = _random((5, 8, 8))
    scores, kept = _pair(f["forward"](parameters, images))
    check_shape("the scores of forward", scores, (5, 10), images=images)
    g = _random((5, 10))
    gradients = f["backward"](parameters, images, kept, g)
    check_count("backward", gradients, tuple(f"the gradient of parameters[{k}]" for k in range(len(parameters))))
    for k, (p, own) in enumerate(zip(parameters, gradients, strict=True)):
        check_shape(f"the gradient of parameters[{k}]", np.asarray(own), np.shape(p), parameter=np.asarray(p))
        _directional(f, parameters, images, g, k, np.asarray(own))
    train, test = digits()
    start = time.perf_counter()
    learned = f["train"](train.images[:, 0].astype(np.float64), train.labels, np.random.default_rng(0))
    seconds = time.perf_counter() - start
    scores, _ = _pair(f["forward"](learned, test.images[:, 0].astype(np.float64)))
    accuracy = float((np.argmax(scores, axis=1) == test.labels).mean())
    if not accuracy >= _MIN_ACCURACY:
        raise WrongAnswer(
            f"the gradients are right, but after {seconds:.0f} s of training {accuracy:.1%} of the digits are "
            f"recognised, and {_MIN_ACCURACY:.0%} are asked for: train longer, or change the rate"
        )
    if seconds > _MAX_SECONDS:
        raise WrongAnswer(f"{accuracy:.1%} after {seconds:.0f} s: it must take less than {_MAX_SECONDS} s")
    return f"right: your network reads {accuracy:.1%} of 360 digits that it has never seen, after {seconds:.0f} s"


TRIALS: Sequence[Callable[[Answers], str]] = (
    correlate_trial,
    bias_trial,
    weight_trial,
    input_trial,
    sigmoid_trial,
    pooling_trial,
    linear_trial,
    chaining_trial,
    cost_trial,
    step_trial,
    entropy_trial,
    network_trial,
)
"""The trial of each chapter, in their order."""


def _linear_rule(f: Answers, part: int) -> Callable[..., Any]:
    """Return one gradient of the reader's fully connected layer."""
    return lambda g, a, w: f["linear_backward"](g, a, w)[part]


def _chain(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    """Return the activations of two feature maps in a chain."""
    return _sig(_correlate(_sig(_correlate(x, w1) + b1), w2) + b2)


def _chain_rule(f: Answers, part: int) -> Callable[..., Any]:
    """Return one gradient of the reader's chain."""

    def backward(g: Array, x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Any:
        a1 = _sig(_correlate(x, w1) + b1)
        return np.asarray(f["backward"](g, x, a1, _sig(_correlate(a1, w2) + b2), w1, w2)[part])

    return backward


def _pictures() -> list[tuple[Array, Array]]:
    return [(_random(x), _random(w)) for x, w in _SHAPES]


def _random(shape: tuple[int, ...]) -> Array:
    """Return numbers that are different at every call."""
    return np.random.default_rng(next(_SEEDS)).normal(size=shape)


def _correlate(x: Array, w: Array) -> Array:
    pictures = x.reshape(-1, *x.shape[-2:])
    maps = np.stack([signal.correlate2d(p, w, "valid") for p in pictures])
    return maps.reshape(*x.shape[:-2], *maps.shape[1:])


def _painted(g: Array, w: Array) -> Array:
    maps = g.reshape(-1, *g.shape[-2:])
    pictures = np.stack([signal.convolve2d(m, w, "full") for m in maps])
    return pictures.reshape(*g.shape[:-2], *pictures.shape[1:])


def _full(x: Array, w: Array) -> Array | None:
    return signal.correlate2d(x, w, "full") if x.ndim == 2 else None


def _sig(z: Array) -> Array:
    activations: Array = 1 / (1 + np.exp(-z))
    return activations


def _pooled(a: Array, size: int, stride: int) -> tuple[Array, NDArray[np.int64]]:
    """Return the largest numbers, and which of each overlay's are as large, in reading order: (..., places, size²)."""
    windows = np.lib.stride_tricks.sliding_window_view(a, (size, size), axis=(-2, -1))
    places = windows[..., ::stride, ::stride, :, :]
    flat = places.reshape(*places.shape[:-2], -1)
    return flat.max(-1), flat == flat.max(-1, keepdims=True)


def _returned(a: Array, g: Array, winners: Any, size: int, stride: int) -> tuple[Array, ...]:
    """Return dC/da with the first winner paid, all of them, the last, and with overlaps overwritten in two orders."""
    first, every, last, overwritten, by_taps = (np.zeros(a.shape) for _ in range(5))
    for k, (*front, r, c) in sorted((int(np.flatnonzero(winners[p])[0]), p) for p in np.ndindex(g.shape)):
        by_taps[(*front, r * stride + k // size, c * stride + k % size)] = g[(*front, r, c)]
    for place in np.ndindex(g.shape):
        *front, r, c = place
        own = np.flatnonzero(winners[place])
        where = [(*front, r * stride + k // size, c * stride + k % size) for k in own]
        first[where[0]] += g[place]
        last[where[-1]] += g[place]
        overwritten[where[0]] = g[place]
        for w in where:
            every[w] += g[place]
    return first, every, last, overwritten, by_taps


def _directional(f: Answers, parameters: list[Array], images: Array, g: Array, k: int, own: Array) -> None:
    """Compare one gradient with a numerical derivative along a random direction."""
    step = 1e-5
    direction = np.random.default_rng(k).normal(size=np.shape(parameters[k]))
    values = []
    for sign in (1, -1):
        moved = [np.array(p, dtype=np.float64) for p in parameters]
        moved[k] = moved[k] + sign * step * direction
        values.append(float((_pair(f["forward"](moved, images))[0] * g).sum()))
    expected, got = (values[0] - values[1]) / (2 * step), float((own * direction).sum())
    if not np.isclose(got, expected, rtol=1e-4, atol=1e-6):
        ratio = got / expected if expected else float("nan")
        raise WrongAnswer(
            f"the gradient of parameters[{k}], of shape {np.shape(parameters[k])}, is wrong: along a random direction "
            f"it says {got:.5f}, the numerical derivative {expected:.5f} (a factor of {ratio:.3g})"
        )


def _pair(got: Any) -> tuple[Any, Any]:
    check_count("forward", got, ("scores", "kept"))
    return got[0], got[1]
