"""Numbers, names, comments and tables as C."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 120
_KEYWORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
    asm catch class delete explicit export friend mutable namespace new operator private protected public template this
    throw try typename using virtual and or not xor compl bitand bitor main
""".split()  # C's, and C++'s, from which the header may be included
_LIBRARY = """
    abort abs acos acosh asin asinh atan atan2 atanh atof atoi atol calloc cbrt ceil clearerr copysign cos cosh div erf
    erfc errno exit exp exp2 expm1 expf fabs fclose fdim feof ferror fflush fgetc fgetpos fgets file floor fma fmax fmin
    fmod fopen fprintf fputc fputs fread free freopen frexp fscanf fseek fsetpos ftell fwrite getc getchar getenv gets
    hypot ilogb index isinf isnan labs ldexp ldiv lgamma llabs log log10 log1p log2 logb logf malloc memchr memcmp memcpy
    memmove memset modf nan nearbyint perror pow powf printf putc putchar puts qsort raise rand read realloc remainder
    remove rename rewind rint round scanf setbuf sin sinh sprintf sqrt sqrtf srand stderr stdin stdout strcat strchr
    strcmp strcpy strlen strtod strtol system tan tanh tgamma time tmpfile trunc ungetc vprintf write y0 y1 yn j0 j1 jn
""".split()  # names that the C library declares or a compiler knows


def identifier(name: str, taken: Iterable[str] = ()) -> str:
    """Return a name as a C identifier that is neither a word of C nor taken."""
    text = re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_") or "net"
    if text[0].isdigit():
        text = f"net_{text}"
    words = {*_KEYWORDS, *_LIBRARY, *taken}
    while text in words or text.lower() in _LIBRARY:
        text += "_net"
    return text


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


def array(kind: str, name: str, values: NDArray[Any], columns: int = 0) -> str:
    """Return the definition of a constant array, with a line break after every ``columns`` numbers, or where it is due."""
    lines, line = [], "   "
    for k, item in enumerate(numbers(values)):
        if len(line) + len(item) + 2 > WIDTH or (columns and k % columns == 0 and k):
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([f"static const {kind} {name}[{values.size}] = {{", *lines, line, "};"])


def comment(lines: Sequence[str]) -> str:
    """Return a comment of several lines, of texts that are `plain`."""
    return "/* " + "\n   ".join(lines).rstrip() + " */"


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


def count(n: int) -> str:
    """Return an integer with commas between thousands."""
    return f"{n:,}"


def dimensions(shape: Sequence[int]) -> str:
    """Return a shape in words such as ``8 x 26 x 26``, without the batch of one in front."""
    lengths = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return " x ".join(map(str, lengths)) or "1"


