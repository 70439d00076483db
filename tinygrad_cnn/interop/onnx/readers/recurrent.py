"""Recurrent layers of ONNX, step by step.

Sources: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997); K. Cho et al. (2014) for the gated unit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import Array, UnsupportedError, Value, as_tensor, numbers_of
from . import activation

Step = Callable[..., tuple[Tensor, ...]]
_DIRECTIONS = ("forward", "reverse", "bidirectional")

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Relu": activation.relu,
    "Tanh": activation.tanh,
    "Sigmoid": activation.sigmoid,
    "Affine": lambda x, *, alpha=1.0, beta=0.0: x * alpha + beta,
    "LeakyRelu": activation.leaky_relu,
    "ThresholdedRelu": activation.thresholded_relu,
    "ScaledTanh": lambda x, *, alpha=1.0, beta=1.0: ops.tanh(x * beta) * alpha,
    "HardSigmoid": activation.hard_sigmoid,
    "Elu": activation.elu,
    "Softsign": activation.softsign,
    "Softplus": activation.softplus,
}
_WITH_ALPHA = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
_WITH_BETA = {"Affine", "ScaledTanh", "HardSigmoid"}


def _activations(
    names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None, clip: float | None
) -> list[Callable[[Tensor], Any]]:
    """Return the functions of a node; those that take an alpha or a beta take the next one."""
    alpha, beta, functions = iter(alphas or ()), iter(betas or ()), []
    for name in names:
        if name not in _FUNCTIONS:
            raise UnsupportedError(f"activations: {name!r} is not supported")
        settings: dict[str, float] = {}
        if name in _WITH_ALPHA and (a := next(alpha, None)) is not None:
            settings["alpha"] = a
        if name in _WITH_BETA and (b := next(beta, None)) is not None:
            settings["beta"] = b
        functions.append(_clipped(_FUNCTIONS[name], settings, clip))
    return functions


def _clipped(f: Callable[..., Any], settings: dict[str, float], clip: float | None) -> Callable[[Tensor], Any]:
    return lambda x: f(x if clip is None else x.clip(-clip, clip), **settings)


def _run(
    x: Tensor, states: Sequence[Tensor], step: Step, lengths: Array | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return the states h after all steps, (S, N, H), and the last states; a sequence that is over keeps its states."""
    steps, current, results = x.shape[0], list(states), []
    for k in range(steps):
        if reverse and lengths is not None:
            time = np.where(k < lengths, lengths - 1 - k, k)
        else:
            time = np.full(x.shape[1], steps - 1 - k if reverse else k)
        row = x[time, np.arange(x.shape[1])] if lengths is not None and reverse else x[int(time[0]) if len(time) else k]
        new = list(step(row, *current))
        if lengths is None:
            current = new
            results.append(new[0])
        else:
            active = (k < lengths)[:, None]
            current = [ops.where(active, a, b) for a, b in zip(new, current, strict=True)]
            results.append(ops.where(active, new[0], 0.0))
    if reverse:
        if lengths is None:
            results.reverse()
        else:
            stacked = _stack(results)
            times = np.arange(steps)[:, None]
            places = np.where(times < lengths, lengths - 1 - times, times)
            return stacked[places, np.arange(x.shape[1])], current
    return _stack(results), current


def _stack(parts: Sequence[Tensor]) -> Tensor:
    return ops.concatenate([p.reshape(1, *p.shape) for p in parts], 0)


def _recurrent(
    x: Tensor, r: Tensor, lengths: Value | None, initial: Sequence[Value | None], make_step: Callable[[int], Step],
    direction: str, layout: int, outputs: int,
) -> Any:  # fmt: skip
    """Run all directions, and return Y (S, directions, N, H) and the last states (directions, N, H)."""
    x = x.transpose(1, 0, 2) if layout else x
    directions, hidden = r.shape[0], r.shape[2]
    counts = None if lengths is None else numbers_of(lengths).astype(np.int64)
    counts = None if counts is None or (counts == x.shape[0]).all() else counts
    zeros = (x[0, :, :1] * 0).broadcast_to((x.shape[1], hidden))  # made from x, so that an export knows its length
    results, last = [], []
    for k in range(directions):
        states = [zeros if s is None else as_tensor(s)[:, k] if layout else as_tensor(s)[k] for s in initial]
        reverse = direction == "reverse" or k == 1
        y, final = _run(x, states, make_step(k), counts, reverse)
        results.append(y.reshape(y.shape[0], 1, *y.shape[1:]))
        last.append(final)
    y = ops.concatenate(results, 1)
    finals = [_stack([last[k][i] for k in range(directions)]) for i in range(len(initial))]
    if layout:
        y, finals = y.transpose(2, 0, 1, 3), [f.transpose(1, 0, 2) for f in finals]
    return (y, *finals)[:outputs] if outputs > 1 else y


def _biases(b: Value | None, gates: int, hidden: int, k: int) -> tuple[Any, Any]:
    """The biases of the input's and the state's products, each (gates H,)."""
    if b is None:
        return None, None
    row = as_tensor(b)[k]
    return row[: gates * hidden], row[gates * hidden :]


@reader("RNN", outputs=2, allowed={"direction": _DIRECTIONS, "layout": (0, 1)})
def rnn(
    x: Tensor, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None, h: Value | None = None, *,
    activation_alpha: Sequence[float] | None = None, activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] = ("Tanh", "Tanh"), clip: float | None = None, direction: str = "forward",
    hidden_size: int = 0, layout: int = 0, output_sequence: int = 0, outputs: int,
) -> Any:  # fmt: skip
    """h' = f(x w^T + h r^T + b)."""
    functions = _activations(activations, activation_alpha, activation_beta, clip)
    w, r = as_tensor(w), as_tensor(r)

    def make_step(k: int) -> Step:
        bias, bias_h = _biases(b, 1, r.shape[2], k)

        def step(row: Tensor, state: Tensor) -> tuple[Tensor, ...]:
            return (functions[k](ops.linear(row, w[k], bias) + ops.linear(state, r[k], bias_h)),)

        return step

    return _recurrent(x, r, lengths, [h], make_step, direction, layout, outputs)


@reader("GRU", outputs=2, allowed={"direction": _DIRECTIONS, "layout": (0, 1)})
def gru(
    x: Tensor, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None, h: Value | None = None, *,
    activation_alpha: Sequence[float] | None = None, activation_beta: Sequence[float] | None = None,
    activations: Sequence[str] = ("Sigmoid", "Tanh") * 2, clip: float | None = None, direction: str = "forward",
    hidden_size: int = 0, layout: int = 0, linear_before_reset: int = 0, output_sequence: int = 0, outputs: int,
) -> Any:  # fmt: skip
    """Gated recurrent units: an update gate, a reset gate and a candidate."""
    functions = _activations(activations, activation_alpha, activation_beta, clip)
    w, r = as_tensor(w), as_tensor(r)
    n = r.shape[2]

    def make_step(k: int) -> Step:
        f, g = functions[2 * k : 2 * k + 2]
        bias, bias_h = _biases(b, 3, n, k)

        def step(row: Tensor, state: Tensor) -> tuple[Tensor, ...]:
            a = ops.linear(row, w[k], bias)
            s = ops.linear(state, r[k][: 2 * n], None if bias_h is None else bias_h[: 2 * n])
            update, reset = f(a[:, :n] + s[:, :n]), f(a[:, n : 2 * n] + s[:, n:])
            last = None if bias_h is None else bias_h[2 * n :]
            if linear_before_reset:
                candidate = g(a[:, 2 * n :] + reset * ops.linear(state, r[k][2 * n :], last))
            else:
                candidate = g(a[:, 2 * n :] + ops.linear(reset * state, r[k][2 * n :], last))
            return ((1 - update) * candidate + update * state,)

        return step

    return _recurrent(x, r, lengths, [h], make_step, direction, layout, outputs)


@reader("LSTM", outputs=3, allowed={"direction": _DIRECTIONS, "layout": (0, 1)})
def lstm(
    x: Tensor, w: Value, r: Value, b: Value | None = None, lengths: Value | None = None, h: Value | None = None,
    c: Value | None = None, peepholes: Value | None = None, *, activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None, activations: Sequence[str] = ("Sigmoid", "Tanh", "Tanh") * 2,
    clip: float | None = None, direction: str = "forward", hidden_size: int = 0, input_forget: int = 0,
    layout: int = 0, output_sequence: int = 0, outputs: int,
) -> Any:  # fmt: skip
    """Long short-term memory: input, output and forget gates, and a cell."""
    functions = _activations(activations, activation_alpha, activation_beta, clip)
    w, r = as_tensor(w), as_tensor(r)
    n = r.shape[2]

    def make_step(k: int) -> Step:
        f, g, last = functions[3 * k : 3 * k + 3]
        bias, bias_h = _biases(b, 4, n, k)
        p = None if peepholes is None else as_tensor(peepholes)[k]

        def step(row: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
            z = ops.linear(row, w[k], bias) + ops.linear(state, r[k], bias_h)
            i, o, forget, candidate = (z[:, m * n : (m + 1) * n] for m in range(4))
            if p is not None:
                i, forget = i + p[:n] * cell, forget + p[2 * n :] * cell
            i = f(i)
            forget = 1 - i if input_forget else f(forget)
            cell = forget * cell + i * g(candidate)
            o = o if p is None else o + p[n : 2 * n] * cell
            return f(o) * last(cell), cell

        return step

    return _recurrent(x, r, lengths, [h, c], make_step, direction, layout, outputs)
