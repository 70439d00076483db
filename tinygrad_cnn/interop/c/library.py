"""The functions in C that files are made of, read from the sources beside this module."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

NUMBER = {"float": "float", "int8": "int8_t"}
"""The type of the numbers in buffers, in files of each kind."""

_SIGNATURE = re.compile(r"^static (?:const )?\w+ \*?(\w+)\(([^)]*)\)|^\} (\w+);", re.MULTILINE)
_PARAMETER = re.compile(r"(?:const )?(\w+) \*?(\w+)")
_USE = re.compile(r"\w+(?=\()|\bGeometry(?= g)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class Parameter(NamedTuple):
    """A parameter of a function: the type of its number or numbers, and its name."""

    kind: str
    name: str


class Function(NamedTuple):
    """The text of a function or a type, which begins with its comment, and its parameters."""

    text: str
    parameters: list[Parameter]


@cache
def library(kind: str) -> dict[str, Function]:
    """Return every function and type by name: the shared ones, then those of ``float`` or ``int8``.

    What an int8 file computes in floats, after the scores, it takes from the float functions.
    """
    functions: dict[str, Function] = {}
    for name in ("shared", "int8", "float") if kind == "int8" else ("shared", "float"):
        for part in re.split(r"\n\n(?=/\*)", source(name)):
            match = _SIGNATURE.search(part)
            assert match is not None, part
            parameters = [Parameter(*p) for p in _PARAMETER.findall(match[2] or "")]
            numbers = [p._replace(kind=NUMBER[kind] if p.kind == "NUMBER" else p.kind) for p in parameters]
            functions.setdefault(match[1] or match[3], Function(part.replace("NUMBER", NUMBER[kind]), numbers))
    return functions


def source(name: str) -> str:
    """Return the text of a source file."""
    return files(__package__).joinpath(f"functions/{name}.c").read_text("utf-8").strip()


def needed(kind: str, names: Iterable[str]) -> list[str]:
    """Return the texts of functions and of all that they call, in the order of the library."""
    functions, reached, todo = library(kind), set[str](), list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [word for word in _USE.findall(_COMMENT.sub("", functions[name].text)) if word in functions]
    return [function.text for name, function in functions.items() if name in reached]
