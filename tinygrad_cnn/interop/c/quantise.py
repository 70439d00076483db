"""A plan's steps on bytes: per-channel weights, and the multipliers and shifts that bring sums back to bytes.

A byte q stands for the number ``scale (q - zero)``; weights have zero 0 and a scale for each filter. A sum of products
is an integer of 32 bits, and ``multiplier / 2^shift`` the ratio of its scale to that of the result (B. Jacob et al.,
2018). Weights are rounded without training; what that adds to a neuron on average is taken from its bias (M. Nagel et
al., 2019).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import ops
from ...autograd.tensor import Tensor
from .calibrate import LEVELS, Range
from .plan import Geometry, Plan, Step

_LOWEST, _HIGHEST = -128, 127
_MAX_WEIGHT = 127
_MAX_SUM = 2**30  # of integers of 32 bits, with room for rounding

_SAME_SCALE = {"concatenate", "gather", "maxpool", "pad", "rearrange", "reduce_max"}
"""Functions that choose among the numbers that they read."""

_TABLES: dict[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "absolute": lambda z, _: abs(z),
    "clip": lambda z, settings: z.clip(settings["low"], settings["high"]),
    "error_function": lambda z, _: z.erf(),
    "exponential": lambda z, _: z.exp(),
    "gelu": lambda z, _: ops.gelu(z),
    "gelu_tanh": lambda z, _: ops.gelu(z, approximate="tanh"),
    "hyperbolic_tangent": lambda z, _: ops.tanh(z),
    "leaky_relu": lambda z, settings: ops.leaky_relu(z, settings["slope"]),
    "logarithm": lambda z, _: z.log(),
    "relu": lambda z, _: ops.relu(z),
    "sigmoid": lambda z, _: ops.sigmoid(z),
    "softplus": lambda z, _: -ops.log_softmax(ops.stack([0 * z, z]), 0)[0],
    "square_root": lambda z, _: z.sqrt(),
}
"""Functions of one number, which become tables of 256 bytes."""

_AFTER_SCORES = {*_TABLES, "log_softmax", "softmax"} - {"logarithm"}
"""Functions that are applied to the scores in floats, in their place; a byte may round to 0, which has no logarithm."""


class Scale(NamedTuple):
    """The numbers that bytes stand for: ``scale * (byte - zero)``."""

    scale: float
    zero: int

    def to_bytes(self, numbers: NDArray[Any] | float) -> NDArray[np.int64]:
        """Return the nearest bytes; that of 0 for NaN."""
        levels = np.nan_to_num(np.asarray(numbers, np.float64) / self.scale, posinf=np.inf, neginf=-np.inf)
        return np.clip(np.round(levels) + self.zero, _LOWEST, _HIGHEST).astype(np.int64)

    def to_numbers(self) -> NDArray[np.float64]:
        """Return the number of each byte, from the lowest."""
        return np.arange(_LOWEST - self.zero, _HIGHEST + 1 - self.zero, dtype=np.float64) * self.scale


def quantise(plan: Plan, ranges: Mapping[str, Range]) -> None:
    """Turn the plan's steps into steps on bytes, but for those after the scores.

    Args:
        plan: a folded plan.
        ranges: the range of each value that the network's graph has.

    Raises:
        ValueError: a function that has no form in integers, which the message names with its layer.
    """
    _Quantiser(plan, ranges).run()


class _Quantiser:
    """The steps on bytes as they grow: ``names`` has the value of bytes for each value of floats."""

    def __init__(self, plan: Plan, ranges: Mapping[str, Range]) -> None:
        self.plan, self.ranges = plan, ranges
        self.names: dict[str, str] = {}
        self.scales: dict[str, Scale] = {}
        self.steps: list[Step] = []
        uses, self.scores = plan.uses(), plan.output
        after: list[Step] = []
        while (step := plan.maker(self.scores)) and step.op in _AFTER_SCORES and uses[step.inputs[0]] == 1:
            after.insert(0, step)
            self.scores = step.inputs[0]
        self.after, self.body = after, plan.steps[: len(plan.steps) - len(after)]
        self._choose_scales()

    def run(self) -> None:
        """Replace the plan's steps."""
        plan = self.plan
        image = self.names[plan.input] = plan.temporary(plan.input, plan.shapes[plan.input])
        scale, zero = self.scales[plan.input]
        settings = {"n": plan.size(image), "per_unit": 1 / scale, "zero": zero}
        self.steps.append(Step("quantise", [plan.input], image, ["the image"], image, settings))
        uses = plan.uses()
        for step in self.body:
            if step.op == "fully_connected" and step.result == self.scores and uses[step.result] == 1:
                self._fully_connected_scores(step)
            elif self._keeps_scale(step):
                self._same_scale(step)
            elif step.op in _TABLES:
                self._lookup(step)
            elif step.op in _QUANTISE:
                _QUANTISE[step.op](self, step)
            else:
                step.refuse("it has no form in integers of 8 bits")
        if self.scores in self.names:
            self._dequantise()
        plan.steps = [*self.steps, *self.after]

    def _choose_scales(self) -> None:
        """Choose the scale of every value, from the last: what a value is chosen for decides where it serves alone."""
        uses = self.plan.uses()
        for step in reversed(self.body):
            scale = self._scale(step.result)
            if self._keeps_scale(step):
                for value in step.inputs:
                    if uses[value] == 1 and value != self.plan.input:
                        self.scales[value] = scale
        self._scale(self.plan.input)

    def _scale(self, value: str) -> Scale:
        """Return the scale of a value, which is chosen for its range if nothing else has chosen it."""
        if value not in self.scales:
            array, maker = self.plan.constants.get(value), self.plan.maker(value)
            if array is not None:
                low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
            elif value in self.ranges:
                low, high = self.ranges[value].low, self.ranges[value].high
            else:
                assert maker is not None and maker.op in _SAME_SCALE, value  # a broadcast or moved value
                self.scales[value] = self._scale(maker.inputs[0])
                return self.scales[value]
            scale = (high - low) / LEVELS or 1.0
            self.scales[value] = Scale(scale, round(_LOWEST - low / scale))
        return self.scales[value]

    def _keeps_scale(self, step: Step) -> bool:
        """Return True if the result may have its input's scale: the function chooses, or cuts where the bytes end."""
        if step.op not in ("relu", "clip"):
            return step.op in _SAME_SCALE
        scale = self.scales[step.result]
        low, high = step.settings.get("low", 0), step.settings.get("high", math.inf)
        numbers, half = scale.to_numbers(), scale.scale / 2
        return bool(low - half < numbers[0] and numbers[-1] < high + half)

    def _add(self, op: str, inputs: list[str], step: Step, settings: Mapping[str, Any]) -> None:
        """Append a step that makes the bytes of a step's result."""
        self.names[step.result] = step.result
        self.steps.append(Step(op, inputs, step.result, step.layers, step.label, dict(settings)))

    def _in_scale(self, value: str, scale: Scale, layers: list[str]) -> str:
        """Return the bytes of a value in a scale: its own bytes, or a new value."""
        own = self.scales[value]
        if own == scale:
            return self.names[value]
        plan = self.plan
        result = plan.temporary(value, plan.shapes[value])
        settings = {"n": plan.size(value), "zero": own.zero, **_fixed(own.scale / scale.scale), "new_zero": scale.zero}
        self.steps.append(Step("requantise", [self.names[value]], result, layers, result, settings))
        return result

    def _same_scale(self, step: Step) -> None:
        scale = self.scales[step.result]
        parts = [self._in_scale(value, scale, step.layers) for value in step.inputs]
        settings = dict(step.settings)
        if step.op == "pad":
            settings["value"] = int(scale.to_bytes(settings["value"]))
        if step.op in ("relu", "clip"):
            self.names[step.result] = parts[0]
        else:
            self._add(step.op, parts, step, settings)

    def _lookup(self, step: Step) -> None:
        own, scale = self.scales[step.inputs[0]], self.scales[step.result]
        with np.errstate(all="ignore"):
            numbers = _TABLES[step.op](Tensor(own.to_numbers()), step.settings).data
        settings = {"n": step.settings["n"], "table": scale.to_bytes(numbers)}
        self._add("lookup", [self.names[step.inputs[0]]], step, settings)

    def _dequantise(self) -> None:
        """Append the step from the bytes of the scores to floats."""
        plan, (scale, zero) = self.plan, self.scales[self.scores]
        result = plan.temporary(self.scores, plan.shapes[self.scores])
        settings = {"n": plan.size(result), "scale": scale, "zero": zero}
        self.steps.append(Step("dequantise", [self.names[self.scores]], result, ["the scores"], result, settings))
        if self.after:
            self.after[0].inputs = [result]
        else:
            plan.output = result

    def _weights(self, step: Step) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Return the settings of integer weights and biases, and the scale of each filter's sums."""
        value, w, b = step.inputs[0], np.asarray(step.settings["w"], np.float64), np.asarray(step.settings["b"])
        own = self.scales[value]
        flat = w.reshape(len(w), -1)
        scales = np.maximum(abs(flat).max(axis=1, initial=0) / _MAX_WEIGHT, abs(b) / own.scale / (_MAX_SUM / 2))
        scales[scales == 0] = 1
        integers = np.round(flat / scales[:, None])
        if (abs(integers).sum(axis=1) * LEVELS).max() > _MAX_SUM:
            step.refuse("its sums are too large for integers of 32 bits")
        if value in self.ranges:
            rounding = (integers * scales[:, None]).reshape(w.shape) - w
            b = b - _mean_sums(step, rounding, self.ranges[value].mean.reshape(self.plan.shapes[value]))
        sums = own.scale * scales
        bias = np.round(b / sums)
        settings = {**step.settings, "zero": own.zero, "w": integers.reshape(w.shape).astype(np.int64), "b": bias}
        return settings, sums

    def _weighted(self, step: Step) -> None:
        """A convolution or a fully connected layer."""
        settings, sums = self._weights(step)
        result = self.scales[step.result]
        pairs = [_fixed(ratio) for ratio in sums / result.scale]
        settings |= {key: np.array([pair[key] for pair in pairs]) for key in ("multiplier", "shift")}
        self._add(step.op, [self.names[step.inputs[0]]], step, {**settings, "new_zero": result.zero})

    def _fully_connected_scores(self, step: Step) -> None:
        settings, sums = self._weights(step)
        self._add("fully_connected_scores", [self.names[step.inputs[0]]], step, {**settings, "scale": sums})
        del self.names[step.result]  # they are no bytes

    def _mean(self, step: Step) -> None:
        """A sum over a divisor."""
        own, result = self.scales[step.inputs[0]], self.scales[step.result]
        ratio = _fixed(own.scale / step.settings["divisor"] / result.scale)
        settings = {**step.settings, "zero": own.zero, **ratio, "new_zero": result.zero}
        self._add(step.op, [self.names[step.inputs[0]]], step, settings)

    def _scale_and_shift(self, step: Step) -> None:
        own, result = self.scales[step.inputs[0]], self.scales[step.result]
        scale, shift = step.settings["scale"] * (own.scale / result.scale), step.settings["shift"] / result.scale
        (a, b), bits = _with_bits(step, scale, shift)
        settings = {**step.settings, "zero": own.zero, "scale": a, "shift": b, "bits": bits, "new_zero": result.zero}
        self._add(step.op, [self.names[step.inputs[0]]], step, settings)

    def _add_up(self, step: Step) -> None:
        """A sum or difference of two arrays."""
        (u, v), result = step.inputs, self.scales[step.result]
        own_u, own_v = self.scales[u], self._scale(v)
        sign = -1 if step.op == "subtract" else 1
        (a, b), bits = _with_bits(
            step, np.array(own_u.scale / result.scale), np.array(sign * own_v.scale / result.scale), LEVELS
        )
        settings = {"zero_u": own_u.zero, "scale_u": int(a), "zero_v": own_v.zero, "scale_v": int(b), "bits": bits}
        self._add("add", [self.names[u], self.names[v]], step, {**step.settings, **settings, "new_zero": result.zero})

    def _multiply(self, step: Step) -> None:
        (u, v), result = step.inputs, self.scales[step.result]
        own_u, own_v = self.scales[u], self.scales[v]
        settings = {"zero_u": own_u.zero, "zero_v": own_v.zero, **_fixed(own_u.scale * own_v.scale / result.scale)}
        inputs = [self.names[u], self.names[v]]
        self._add("multiply", inputs, step, {**step.settings, **settings, "new_zero": result.zero})


_QUANTISE: dict[str, Callable[[_Quantiser, Step], None]] = {
    "add": _Quantiser._add_up,
    "avgpool": _Quantiser._mean,
    "correlate2d": _Quantiser._weighted,
    "fully_connected": _Quantiser._weighted,
    "multiply": _Quantiser._multiply,
    "scale_and_shift": _Quantiser._scale_and_shift,
    "subtract": _Quantiser._add_up,
    "sum": _Quantiser._mean,
}


def _fixed(ratio: float) -> dict[str, int]:
    """Return a multiplier below 2^31 and a shift from 1 to 62, so that ``multiplier / 2^shift`` is nearly the ratio.

    >>> _fixed(0.75)
    {'multiplier': 1610612736, 'shift': 31}
    """
    _, exponent = math.frexp(ratio)
    shift = min(max(31 - exponent, 1), 62)
    return {"multiplier": min(round(math.ldexp(ratio, shift)), 2**31 - 1), "shift": shift}


def _with_bits(
    step: Step, scale: NDArray[Any], other: NDArray[Any], most: int = 1
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], int]:
    """Return two factors as integers over ``2^bits``, so that ``scale * byte + other * most`` fits 32 bits."""
    largest = float((abs(scale) * LEVELS + abs(other) * most).max())
    bits = min(30, math.floor(math.log2(_MAX_SUM / largest))) if largest > 0 else 30
    if bits < 1:
        step.refuse("its numbers are too far apart for integers of 8 bits")
    return (np.round(scale * 2**bits).astype(np.int64), np.round(other * 2**bits).astype(np.int64)), bits


def _mean_sums(step: Step, w: NDArray[Any], mean: NDArray[Any]) -> NDArray[np.float64]:
    """Return what weights add to each neuron's or filter's sum on average, from the mean of what the step reads."""
    if step.op == "fully_connected":
        return np.asarray((mean.reshape(-1, w.shape[1]) @ w.T).mean(axis=0))
    g: Geometry = step.settings["g"]
    sides = []
    for image, result, overlay, stride, border, dilation in zip(
        g.image, g.result, g.overlay, g.stride, g.border, g.dilation, strict=True
    ):
        reach = (result - 1) * stride + (overlay - 1) * dilation + 1
        sides.append((border, max(reach - image - border, 0)))
    padded = np.pad(mean.reshape(1, g.channels, *g.image), ((0, 0), (0, 0), *sides))
    sums = ops.correlate2d(Tensor(padded), Tensor(w), stride=g.stride, dilation=g.dilation, groups=g.groups).data
    rows, columns = g.result
    return np.asarray(sums[0, :, :rows, :columns].mean(axis=(1, 2)))
