"""The text of a C file and its header."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from ... import checks
from . import text
from .calls import Constants, FloatCalls, multiply_adds
from .library import library, needed
from .memory import Buffer, place
from .plan import Plan

_MATH = re.compile(r"\b(expf|logf|sqrtf|powf)\(")
_MAIN_NAMES = {"at", "bytes", "file", "next_byte", "next_number", "next_pixel", "read_image", "read_netpbm", "size"}
_SHARES = {
    "softmax": "softmax(scores, 1, {n}, 1, scores);",
    "log_softmax": "exponential(scores, {n}, scores);",
    "shares": "shares(scores, {n}, scores);",
    "": "",
}
"""What makes shares of scores in `main`."""


class Sizes(NamedTuple):
    """The sizes of a C file.

    Attributes:
        weight_bytes: the bytes of all constant arrays.
        buffer_bytes: the bytes of the buffer that results of layers stand in.
        multiply_adds: the products of weights and activations that are added up for one image.
    """

    weight_bytes: int
    buffer_bytes: int
    multiply_adds: int


class About(NamedTuple):
    """What a file says about itself.

    Attributes:
        name: the function's name.
        file: the file's name.
        model: the network in words.
        numbers: how numbers are stored, in words.
        image_shape: the shape of an image.
        shares: what makes shares of the scores in `main`: a function's name, or empty where they are shares already.
        class_names: the names of the classes, or none.
    """

    name: str
    file: str
    model: str
    numbers: str
    image_shape: tuple[int, ...]
    shares: str
    class_names: Sequence[str]


def function_name(stem: str) -> str:
    """Return the name of the function in a file, from the file's name without its ending."""
    return text.identifier(stem, {*library("float"), *library("int8"), *_MAIN_NAMES, "class_names"})


def write_source(plan: Plan, about: About, version: str) -> tuple[str, str, Sizes]:
    """Return the text of the C file and of its header, and the file's sizes."""
    kind = "float"
    buffer = place(plan)
    constants = Constants({about.name, *library(kind), *_MAIN_NAMES, "class_names"})
    pointers = _pointers(plan, buffer)
    body, rows = _body(plan, FloatCalls(plan, constants, pointers), constants)
    sizes = Sizes(constants.weight_bytes, 4 * buffer.size, sum(multiply_adds(plan, step) for step in plan.steps))
    functions = needed(kind, {step.op for step in plan.steps})
    main, extra = _main(plan, about, {step.op for step in plan.steps})
    code = "\n\n".join([*functions, *constants.definitions])
    prefix = about.name.upper()
    parts = [
        _head(about, version, sizes, rows, code),
        _includes(about, code + extra),
        f"#ifndef {prefix}_STORAGE\n#define {prefix}_STORAGE static\n#endif" if buffer.size else "",
        *functions,
        "\n".join(constants.definitions).strip(),
        _function(plan, about, buffer, pointers, body),
        extra,
        main,
    ]
    return "\n\n".join(part for part in parts if part) + "\n", _header(plan, about), sizes
