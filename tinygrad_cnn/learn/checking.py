"""The check of an exercise: whether it was begun, and what is wrong with it, in a sentence."""

import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..storage.atomic import PathLike
from .comparing import WrongAnswer
from .course import Chapter, chapter
from .trials import TRIALS

_PREFIX = "chapter_"


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        number: the chapter's.
        title: the chapter's.
        state: "right", "wrong", "not begun" (every function as it was written) or "missing" (there is no file).
        message: what is wrong, or what was checked.
    """

    number: int
    title: str
    state: str
    message: str

    @property
    def ok(self) -> bool:
        """True for a right answer."""
        return self.state == "right"

    def __str__(self) -> str:
        return self.message


def check_file(number: int, folder: PathLike) -> Result:
    """Check the exercise of a chapter in a folder. The file is run.

    Exercises of later chapters import the functions of earlier ones from their files beside it.
    """
    c = chapter(number)
    path = Path(folder) / c.file
    if not path.is_file():
        return Result(c.number, c.title, "missing", f"{path} is not there; tinygrad-cnn learn start {folder} writes it")
    with _modules_of(Path(folder)):
        try:
            module = importlib.import_module(c.name)
        except Exception as error:
            return Result(c.number, c.title, "wrong", f"{path.name} cannot be run: {_described(error, path.name)}")
        return check(number, vars(module))


def check(number: int, functions: Mapping[str, Any]) -> Result:
    """Check the functions of a chapter's exercise, such as ``globals()`` of a notebook.

    >>> check(2, {"bias_gradient": lambda dc_dz: dc_dz.mean()}).ok
    False
    """
    c = chapter(number)
    names = _functions(c)
    if missing := [name for name in names if not callable(functions.get(name))]:
        return Result(c.number, c.title, "wrong", f"the function {missing[0]} is missing")
    answers = {name: functions[name] for name in names}
    with np.errstate(all="ignore"):
        try:
            message = TRIALS[number - 1](answers)
        except WrongAnswer as wrong:
            return Result(c.number, c.title, "wrong", str(wrong))
        except NotImplementedError as error:
            name = _unwritten(error, names)
            state = "wrong" if _some_are_written(answers, _unfinished(c)) else "not begun"
            return Result(c.number, c.title, state, f"{name} is not written yet" if name else f"{c.file} is not begun")
        except Exception as error:
            return Result(c.number, c.title, "wrong", _described(error, c.file))
    return Result(c.number, c.title, "right", message)


def _functions(c: Chapter) -> list[str]:
    """Return the names of the functions that a chapter's file has."""
    lines = [line for line in c.exercise.splitlines() if line.startswith("def ")]
    return [line.removeprefix("def ").partition("(")[0] for line in lines]


def _unfinished(c: Chapter) -> list[str]:
    """Return the names of those that the reader is to write."""
    bodies = c.exercise.split("\ndef ")[1:]
    return [body.partition("(")[0] for body in bodies if "NotImplementedError" in body]


def _some_are_written(answers: Mapping[str, Any], names: list[str]) -> bool:
    """Return True if a function's body is more than a NotImplementedError."""
    codes = [getattr(answers[name], "__code__", None) for name in names]
    return any(code is None or "NotImplementedError" not in code.co_names for code in codes if code is not None)


def _unwritten(error: BaseException, names: list[str]) -> str:
    """Return the name of the exercise's function that raised NotImplementedError, or of an earlier chapter's."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    if last is None:
        return names[0]
    is_own = last.name in names
    return last.name if is_own else f"{last.name} of {Path(last.filename).name}"


def _described(error: BaseException, file: str) -> str:
    """Return an exception with the line of the exercise that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name.startswith(_PREFIX)]
    where = f" in line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else f" ({file})"
    if isinstance(error, SyntaxError):
        where = f" in line {error.lineno} of {file}"
    return f"{type(error).__name__}{where}: {' '.join(str(error).split()) or 'no message'}"


@contextmanager
def _modules_of(folder: Path) -> Iterator[None]:
    """Import exercises from a folder, anew, and forget them afterwards."""
    before: dict[str, ModuleType] = {n: sys.modules.pop(n) for n in list(sys.modules) if n.startswith(_PREFIX)}
    writes = sys.dont_write_bytecode
    sys.path.insert(0, str(folder.resolve()))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        sys.dont_write_bytecode = writes
        for name in [n for n in sys.modules if n.startswith(_PREFIX)]:
            del sys.modules[name]
        sys.modules.update(before)
