"""Numbers, names, comments and tables as C."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 120
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        asm auto bool break case catch char class const continue default delete do double else enum explicit export
        extern false float for friend goto if inline int long main mutable namespace new operator private protected
        public register restrict return short signed sizeof static struct switch template this throw true try typedef
        typename union unsigned using virtual void volatile while
        abort abs acos asin atan calloc ceil cos cosh div erf exit exp expf file floor fmax fmin fmod fputs free gamma
        getc hypot index isinf isnan j0 j1 jn labs log logf malloc memcpy memset open pow printf putc puts qsort raise
        rand read remove rename rewind rint round signal sin sinh sqrt srand stderr stdin stdout strlen system tan tanh
        time trunc wait write y0 y1 yn
        image scores buffer
        """,
    )
)
"""Words of C and C++, names of the C library, and what the function itself calls its arrays."""


def is_function_name(name: str) -> bool:
    """Return True if a function of C and C++ may have the name."""
    return re.fullmatch(r"[a-zA-Z]\w*", name, re.ASCII) is not None and name not in _RESERVED


def identifier(name: str) -> str:
    """Return a name, such as a layer's, as an identifier of C.

    >>> identifier("0.conv.weight")
    'layer_0_conv_weight'
    """
    text = re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_")
    return text if text[:1].isalpha() else f"layer_{text}"


def number(value: float) -> str:
    """Return a number as a float constant of C, to the last bit.

    >>> number(0.1), number(-2), number(float("inf")), number(1e-30)
    ('0.1f', '-2.0f', 'INFINITY', '1e-30f')
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        return "NAN" if np.isnan(single) else "INFINITY" if single > 0 else "-INFINITY"
    text = str(single)
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def numbers(values: NDArray[Any]) -> list[str]:
    """Return an array's numbers as constants of C: floats, or integers as they are."""
    if values.dtype.kind in "iu":
        return [str(v) for v in values.ravel().tolist()]
    return [number(v) for v in values.ravel()]


def array(kind: str, name: str, values: NDArray[Any]) -> str:
    """Return the definition of a constant array; a filter, or a neuron's weights, begins a line."""
    columns = values[0, 0].size if values.ndim == 4 else values[0].size if values.ndim == 2 else values.size
    lines, line = [], "   "
    for k, item in enumerate(numbers(values)):
        if len(line) + len(item) + 2 > WIDTH or (k % max(columns, 8) == 0 and k):
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([f"static const {kind} {name}[{values.size}] = {{", *lines, line, "};"])


def comment(lines: Sequence[str]) -> str:
    """Return a comment of several lines of `plain` text."""
    return "/* " + "\n".join(f"   {line}".rstrip() for line in lines).lstrip() + " */"


def plain(text: str) -> str:
    """Return text on one line of ASCII that may stand in a comment: without the signs that begin and end one."""
    text = " ".join(text.encode("ascii", "replace").decode().split())
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").replace("\\", "/")


def string(text: str) -> str:
    """Return text as a string of C in UTF-8."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{escaped}"'


def dimensions(shape: Sequence[int]) -> str:
    """Return a shape in words such as ``8 x 26 x 26``, without the batch of one in front."""
    lengths = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return " x ".join(map(str, lengths)) or "1"
