"""The calls of functions in C, and the constant arrays that they read."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import text
from .library import Parameter
from .plan import Geometry, Plan, Step

_BYTES = {"float": 4, "int": 4, "int8_t": 1, "int32_t": 4, "uint8_t": 1}
_LONG_NAMES = {"w": "weight", "b": "bias", "g": "geometry"}


class Constants:
    """The static arrays of a file, each once.

    Attributes:
        definitions: their texts, and those of geometries, in order.
        weight_bytes: the bytes of the arrays.
    """

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self.weight_bytes = 0
        self._names: dict[object, str] = {}

    def array(self, kind: str, label: str, values: NDArray[Any]) -> str:
        """Return the name of an array with these numbers, which is defined if there is none yet."""
        exact = np.ascontiguousarray(values, np.float32 if kind == "float" else np.int64)
        key = kind, exact.tobytes()
        if key not in self._names:
            self._names[key] = name = self._unused(label)
            self.definitions.append(text.array(kind, name, exact))
            self.weight_bytes += _BYTES[kind] * values.size
        return self._names[key]

    def geometry(self, label: str, geometry: Geometry) -> str:
        """Return the name of a `Geometry`, which is defined if there is none yet."""
        if geometry not in self._names:
            self._names[geometry] = name = self._unused(label)
            self.definitions.append(_geometry(name, geometry))
        return self._names[geometry]

    def _unused(self, label: str) -> str:
        first = name = text.identifier(label)
        number = 2
        while name in self._names.values():
            name, number = f"{first}_{number}", number + 1
        return name


def calls(step: Step, parameters: list[Parameter], constants: Constants, pointer: Callable[[str], str]) -> list[str]:
    """Return a step's calls.

    Args:
        step: the step.
        parameters: those of its function. Where the step has no setting of a parameter's name, the argument is the next
            of its inputs; the last one is the result.
        constants: where the step's arrays are defined.
        pointer: the C expression of a value that images change.
    """
    if step.op == "concatenate":
        return _concatenate(step, pointer)
    arguments, inputs = [], iter([*step.inputs, step.result])
    for kind, name in parameters:
        label = f"{step.label}_{_LONG_NAMES.get(name, name)}"
        setting = step.settings.get(name)
        if setting is None:
            arguments.append(pointer(next(inputs)))
        elif isinstance(setting, Geometry):
            arguments.append(constants.geometry(label, setting))
        elif isinstance(setting, tuple):
            arguments.append(f"(const int[{len(setting)}]){{{', '.join(map(str, setting))}}}")
        elif isinstance(setting, np.ndarray):
            arguments.append(constants.array(kind, label, setting))
        else:
            arguments.append(text.number(setting) if kind == "float" else str(setting))
    return [f"{step.op}({', '.join(arguments)});"]


def multiply_adds(plan: Plan, step: Step) -> int:
    """Return how many products a step adds up; those of a border count as if it were part of the map."""
    settings = step.settings
    if step.op == "correlate2d":
        g = settings["g"]
        return math.prod((g.maps, *g.result, g.channels // g.groups, *g.overlay))
    if step.op == "convolve2d_full":
        g = settings["g"]
        return math.prod((g.channels, *g.image, g.maps // g.groups, *g.overlay))
    if step.op.startswith("fully_connected"):
        return int(settings["rows"] * settings["w"].size)
    if step.op == "matmul":
        return int(plan.size(step.result) * settings["inner"])
    return 0


def _concatenate(step: Step, pointer: Callable[[str], str]) -> list[str]:
    """A call for each part, each with its own place in the result."""
    blocks, count = step.settings["blocks"], step.settings["count"]
    lines, first = [], 0
    for value, block in zip(step.inputs, blocks, strict=True):
        y = pointer(step.result) + (f" + {first}" if first else "")
        lines.append(f"concatenate({pointer(value)}, {block}, {count}, {sum(blocks)}, {y});")
        first += block
    return lines


def _geometry(name: str, g: Geometry) -> str:
    fields = {
        "channels": g.channels, "height": g.image[0], "width": g.image[1],
        "maps": g.maps, "rows": g.result[0], "columns": g.result[1],
        "overlay_rows": g.overlay[0], "overlay_columns": g.overlay[1],
        "stride_rows": g.stride[0], "stride_columns": g.stride[1], "top": g.border[0], "left": g.border[1],
        "dilation_rows": g.dilation[0], "dilation_columns": g.dilation[1], "groups": g.groups,
    }  # fmt: skip  # a line for each of: maps read, maps made, overlay, movement
    items = [f".{field} = {value}" for field, value in fields.items()]
    lines = ",\n".join("    " + ", ".join(items[k : k + 6]) for k in (0, 6, 12))
    return f"static const Geometry {name} = {{\n{lines}\n}};"
