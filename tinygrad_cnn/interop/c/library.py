"""The functions in C that files are made of, read from the sources beside this module."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^static [^(]*?(\w+)\(|^\} (\w+);", re.MULTILINE)
_WORD = re.compile(r"\w+")


@cache
def library(kind: str) -> dict[str, str]:
    """Return the text of every function and type by name: those of ``float`` or ``int8``, after the shared ones.

    A text begins at its comment and ends before the next one's.
    """
    number = {"float": "float", "int8": "int8_t"}[kind]
    texts: dict[str, str] = {}
    for name in ("shared", kind):
        source = files(__package__).joinpath(f"functions/{name}.c").read_text("utf-8")
        for text in re.split(r"\n\n(?=/\*)", source.strip()):
            match = _NAME.search(text)
            assert match is not None, text
            texts[match[1] or match[2]] = text.replace("NUMBER", number)
    return texts


def needed(kind: str, names: Iterable[str]) -> list[str]:
    """Return the texts of functions and of all that they call, in the order of the library."""
    texts, reached, todo = library(kind), set[str](), list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [word for word in _WORD.findall(texts[name]) if word in texts]
    return [text for name, text in texts.items() if name in reached]
