"""The text of a C file and of its header."""

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import text
from .calls import Constants, calls, multiply_adds
from .library import NUMBER, library, needed, source
from .memory import Buffer, place
from .plan import Plan

_NUMBER_BYTES = {"float": 4, "int8": 1}
_SHARES = {
    "softmax": "softmax(scores, 1, OUTPUTS, 1, scores);",
    "exponential": "exponential(scores, OUTPUTS, scores);",
    "shares": "shares(scores, OUTPUTS, scores);",
    "": "",
}
"""The line of `main` that makes class probabilities of scores."""


class Sizes(NamedTuple):
    """The sizes of a C file.

    Attributes:
        weight_bytes: the bytes of all constant arrays.
        buffer_bytes: the bytes of the buffer that the results of layers are in.
        multiply_adds: the products of weights and activations that are added up for one image.
    """

    weight_bytes: int
    buffer_bytes: int
    multiply_adds: int


class About(NamedTuple):
    """Facts that a file states.

    Attributes:
        name: the function's name.
        file: the file's name.
        model: the network in words.
        image_shape: the shape of an image.
        shares: the function that makes class probabilities of the scores; empty if they are probabilities already.
        class_names: the names of the classes.
    """

    name: str
    file: str
    model: str
    image_shape: tuple[int, ...]
    shares: str
    class_names: Sequence[str]

    @property
    def is_picture(self) -> bool:
        """True if a Netpbm file can hold an image."""
        return len(self.image_shape) == 3 and self.image_shape[0] in (1, 3)


def write_source(plan: Plan, kind: str, about: About) -> tuple[str, str, Sizes]:
    """Return the text of the C file and of its header, and the file's sizes.

    Args:
        plan: the calls.
        kind: ``float`` or ``int8``, the numbers in buffers.
        about: facts for the file's comments and `main`.
    """
    functions, buffer, constants = library(kind), place(plan), Constants()
    pointer = _pointers(plan, buffer, kind, constants)
    lines = []
    for step in plan.steps:
        words = text.plain(f"{', '.join(step.layers)}: {text.dimensions(plan.shapes[step.result])}")
        lines.append(text.comment(textwrap.wrap(words, text.WIDTH - 12)))
        for call in calls(step, functions[step.op].parameters, constants, pointer):
            lines += textwrap.wrap(call, text.WIDTH - 4, subsequent_indent=" " * (len(step.op) + 1))
    adds = sum(multiply_adds(plan, step) for step in plan.steps)
    sizes = Sizes(constants.weight_bytes, _NUMBER_BYTES[kind] * buffer.size, adds)
    if buffer.size:
        lines.insert(0, f"static {NUMBER[kind]} buffer[{buffer.size}];\n")
    used = needed(kind, [step.op for step in plan.steps])
    main = _main(plan, about, used)
    body = textwrap.indent("\n".join(lines), "    ")
    parts = [
        _head(about, kind, sizes),
        _includes(about, "\n".join([*used, *constants.definitions, main])),
        *used,
        "\n".join(constants.definitions),
        f"void {about.name}(const float *image, float *scores)\n{{\n{body}\n}}",
        main,
    ]
    return "\n\n".join(part for part in parts if part) + "\n", _header(plan, about), sizes


def _pointers(plan: Plan, buffer: Buffer, kind: str, constants: Constants) -> Callable[[str], str]:
    """Return the function that maps a value to its C expression."""

    def pointer(value: str) -> str:
        if value in plan.constants:
            return constants.array(NUMBER[kind], f"{value}_numbers", plan.constants[value].ravel())
        if value == plan.input:
            return "image"
        if value in buffer.in_scores:
            return "scores"
        offset = buffer.offsets[value]
        return f"buffer + {offset}" if offset else "buffer"

    return pointer


def _head(about: About, kind: str, sizes: Sizes) -> str:
    """Return the comment at the top."""
    program = f"cc -std=c99 -O2 -D{about.name.upper()}_MAIN {about.file} -lm -o {about.name}"
    numbers = "32-bit floats" if kind == "float" else "8-bit integers"
    lines = [
        *textwrap.wrap(text.plain(f"{about.model} in {numbers}, written by tinygrad_cnn."), 110),
        "",
        f"weights        {sizes.weight_bytes:>13,} bytes, constant",
        f"buffers        {sizes.buffer_bytes:>13,} bytes, static: one image at a time",
        f"multiply-adds  {sizes.multiply_adds:>13,} for an image",
        "",
        f"A program that reads {_expected(about)} and prints each class's share:",
        "",
        f"    {text.plain(program)}",
    ]
    return text.comment(lines)


def _expected(about: About) -> str:
    """Return the images that the program reads, in words."""
    shape = text.dimensions(about.image_shape)
    if about.is_picture:
        channels, height, width = about.image_shape
        return (
            f"a {'PGM' if channels == 1 else 'PPM'} file (P{'5' if channels == 1 else '6'}) of {width}x{height} pixels"
        )
    return f"{shape} floats of 4 bytes"


def _includes(about: About, code: str) -> str:
    """Return the lines that include what the code needs."""
    math = ["#include <math.h>"] if re.search(r"\b(expf|INFINITY|NAN)\b", code) else []
    integers = ["#include <stdint.h>"] if "int8_t" in code else []
    header = re.sub(r"\.c$", ".h", about.file)
    return "\n".join([f'#include "{header}"', *([""] if math or integers else []), *math, *integers])


def _header(plan: Plan, about: About) -> str:
    """Return the text of the header."""
    guard = f"{about.name.upper()}_H"
    order = " in the order channel, row, column" if len(about.image_shape) == 3 else ""
    inputs, outputs = plan.size(plan.input), plan.size(plan.output)
    return f"""#ifndef {guard}
#define {guard}

#ifdef __cplusplus
extern "C" {{
#endif

/* The {outputs} scores of an image: {inputs} numbers, {text.dimensions(about.image_shape)}{order}. */
void {about.name}(const float *image, float *scores);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _main(plan: Plan, about: About, used: list[str]) -> str:
    """Return the program, with the function that makes shares of scores if the network has no use of it itself."""
    outputs = plan.size(plan.output)
    names = list(about.class_names) if len(about.class_names) == outputs else [str(k) for k in range(outputs)]
    main = source("main")
    reader, other = ("read_image", "read_numbers") if about.is_picture else ("read_numbers", "read_image")
    main = re.sub(rf"/\* [^/]*?\*/\nstatic int {other}\(.*?\n}}\n\n", "", main, flags=re.DOTALL)
    if not about.is_picture:
        main = re.sub(r"/\* [^/]*?\*/\nstatic int next_number\(.*?\n}\n\n", "", main, flags=re.DOTALL)
    constants = f"enum {{ INPUTS = {plan.size(plan.input)}, OUTPUTS = {outputs} }};"
    strings = [f"{text.string(name)}," for name in names]
    gap = " " if sum(map(len, strings)) + len(strings) < text.WIDTH - 4 else "\n    "
    lengths = zip(("CHANNELS", "HEIGHT", "WIDTH"), about.image_shape, strict=False) if about.is_picture else ()
    replacements = {
        "PREFIX": about.name.upper(),
        "NAME": about.name,
        "READ": reader,
        "PIXELS": _expected(about),
        "NUMBERS": _expected(about),
        "EXPECTED": _expected(about),
        "SHARES": _SHARES[about.shares] or "/* the scores are shares already */",
        **{name: str(length) for name, length in lengths},
    }
    main = re.sub(r"PREFIX|\b[A-Z]+\b", lambda match: replacements.get(match[0], match[0]), main)
    functions = [f for f in needed("float", [about.shares] if about.shares else []) if f not in used]
    head, _, rest = main.partition("#include <stdio.h>\n")
    table = f"static const char *const class_names[OUTPUTS] = {{\n    {gap.join(strings)}\n}};"
    return "\n".join([f"{head}#include <stdio.h>\n", constants, table, "", *(f"{f}\n" for f in functions)]) + rest
