"""The calls of functions in C, and the constants that they read."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import text
from .plan import Plan, Step, Window, compress

_BYTES = {"float": 4, "int": 4, "int8_t": 1, "int32_t": 4, "uint8_t": 1}

UNARY = {
    "absolute": (), "clip": ("low", "high"), "error_function": (), "exponential": (), "gelu": (), "gelu_tanh": (),
    "hyperbolic_tangent": (), "leaky_relu": ("slope",), "logarithm": (), "relu": (), "sigmoid": (), "softplus": (),
    "square_root": (),
}  # fmt: skip
"""Elementwise functions of one array, and their settings."""

BINARY = "add", "divide", "larger", "multiply", "power", "smaller", "subtract"
"""Elementwise functions of two arrays."""


class Constants:
    """The static arrays of a file, each once.

    Attributes:
        definitions: their texts, and those of windows, in order.
        weight_bytes: what the arrays take up.
    """

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.definitions: list[str] = []
        self.weight_bytes = 0
        self._names: dict[object, str] = {}

    def array(self, kind: str, label: str, values: NDArray[Any], columns: int = 0) -> str:
        """Return the name of an array with these numbers, which is defined if there is none yet."""
        exact = np.ascontiguousarray(values, np.float32 if kind == "float" else np.int64)
        key = kind, exact.tobytes()
        if key not in self._names:
            self._names[key] = name = self._unused(label)
            self.definitions.append(text.array(kind, name, exact, columns))
            self.weight_bytes += _BYTES[kind] * values.size
        return self._names[key]

    def window(self, label: str, window: Window) -> str:
        """Return the name of a `Window`, which is defined if there is none yet."""
        if window not in self._names:
            self._names[window] = name = self._unused(label)
            self.definitions.append(_window(name, window))
        return self._names[window]

    def comment(self, line: str) -> None:
        """Add a line of comment before the next definition."""
        self.definitions.append(f"\n/* {line} */")

    def _unused(self, label: str) -> str:
        name = first = text.identifier(label, self.taken)
        number = 2
        while name in self.taken:
            name, number = f"{first}_{number}", number + 1
        self.taken.add(name)
        return name


def _window(name: str, w: Window) -> str:
    fields = {
        "channels": w.channels, "height": w.image[0], "width": w.image[1],
        "maps": w.maps, "rows": w.result[0], "columns": w.result[1],
        "overlay_rows": w.overlay[0], "overlay_columns": w.overlay[1],
        "stride_rows": w.stride[0], "stride_columns": w.stride[1], "top": w.border[0], "left": w.border[1],
        "dilation_rows": w.dilation[0], "dilation_columns": w.dilation[1], "groups": w.groups,
    }  # fmt: skip
    items = [f".{field} = {value}" for field, value in fields.items()]
    lines = ",\n".join("    " + ", ".join(items[k : k + n]) for k, n in ((0, 6), (6, 6), (12, 3)))
    return f"static const Window {name} = {{\n{lines}\n}};"


def multiply_adds(plan: Plan, step: Step) -> int:
    """Return how many products a step adds up; those of a border count as if it were part of the map."""
    if step.op == "correlate2d":
        w = step.params["window"]
        return math.prod((w.maps, *w.result, w.channels // w.groups, *w.overlay))
    if step.op == "convolve2d_full":
        w = step.params["window"]
        return math.prod((w.channels, *w.image, w.maps // w.groups, *w.overlay))
    if step.op == "fully_connected":
        return int(step.params["rows"]) * step.constants["weight"].size
    if step.op == "matmul":
        return plan.size(step.result) * int(step.params["inner"])
    return 0


def int4(values: tuple[int, ...]) -> str:
    """Return four integers as an array that a call takes."""
    return f"(const int[4]){{{', '.join(map(str, values))}}}"


def plus(pointer: str, offset: int) -> str:
    """Return a pointer moved by an offset."""
    return f"{pointer} + {offset}" if offset else pointer


class FloatCalls:
    """The calls of a plan in 32-bit floats.

    Args:
        plan: the steps.
        constants: the static arrays, to which those of the steps are added.
        pointers: the name in C of each value that is no constant.
    """

    kind = "float"

    def __init__(self, plan: Plan, constants: Constants, pointers: dict[str, str]) -> None:
        self.plan, self.constants, self.pointers = plan, constants, pointers

    def pointer(self, value: str) -> str:
        """Return what a call writes for a value."""
        if value in self.pointers:
            return self.pointers[value]
        return self.constants.array("float", value, self.plan.constants[value])

    def calls(self, step: Step) -> list[str]:
        """Return the calls of a step."""
        op, params, size = step.op, step.params, self.plan.size(step.result)
        label = step.label or step.result
        x, y = self.pointer(step.inputs[0]), self.pointer(step.result)
        if op == "concatenate":
            return self._concatenate(step)
        if "window" in params:
            window = self.constants.window(label, params["window"])
            if "weight" in step.constants:
                arguments = [x, *self._weights(step, label, math.prod(step.constants["weight"].shape[-2:])), window]
            else:
                arguments = [x, window, *self._divisor(step)]
        elif op == "fully_connected":
            neurons, inputs = step.constants["weight"].shape
            weights = self._weights(step, label, inputs)
            arguments = [x, *weights, *map(str, (params["rows"], inputs, neurons))]
        elif op == "matmul":
            sizes = [str(params[k]) for k in ("count", "rows", "inner", "columns")]
            v = self.pointer(step.inputs[1])
            arguments = [x, str(params["next_u"]), v, str(params["next_v"]), *sizes]
        elif op in ("sum", "reduce_max", "reduce_min", "softmax", "log_softmax"):
            arguments = [x, *(str(params[k]) for k in ("outer", "n", "inner")), *self._divisor(step)]
        elif op in UNARY:
            arguments = [x, str(size), *(text.number(params[k]) for k in UNARY[op])]
        elif op in BINARY:
            arguments = [x, self.pointer(step.inputs[1]), *map(str, (size, params["count"], params["repeat"]))]
        elif op == "scale_and_shift":
            arguments = [x, *self._scale_and_shift(step, label)]
        elif op == "rearrange":
            arguments = [plus(x, params["first"]), int4(params["shape"]), int4(params["step"])]
        elif op == "gather":
            arguments = [x, self.constants.array("int", f"{label}_table", step.constants["table"]), str(size)]
        elif op == "pad":
            value = text.number(params["value"])
            arguments = [x, int4(params["shape"]), int4(params["step"]), str(params["first"]), value, str(size)]
        else:
            assert op == "shares", op
            arguments = [x, str(size)]
        return [f"{op}({', '.join([*arguments, y])});"]

    def _weights(self, step: Step, label: str, columns: int) -> list[str]:
        weight = self.constants.array("float", f"{label}_weight", step.constants["weight"], columns)
        return [weight, self.constants.array("float", f"{label}_bias", step.constants["bias"])]

    def _divisor(self, step: Step) -> list[str]:
        return [text.number(step.params["divisor"])] if "divisor" in step.params else []

    def _scale_and_shift(self, step: Step, label: str) -> list[str]:
        (scale, shift), repeat = compress(np.stack([step.constants["scale"], step.constants["shift"]]))
        names = [self.constants.array("float", f"{label}_{k}", v) for k, v in (("scale", scale), ("shift", shift))]
        return [*names, str(self.plan.size(step.result)), str(len(scale)), str(repeat)]

    def _concatenate(self, step: Step) -> list[str]:
        blocks, count = step.params["blocks"], step.params["count"]
        y, calls, first = self.pointer(step.result), [], 0
        for value, block in zip(step.inputs, blocks, strict=True):
            arguments = self.pointer(value), str(block), str(count), str(sum(blocks)), plus(y, first)
            calls.append(f"concatenate({', '.join(arguments)});")
            first += block
        return calls
