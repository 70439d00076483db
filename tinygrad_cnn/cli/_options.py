"""Options that several commands share."""

import argparse
import math
import shutil
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from .. import kernels
from ..kernels import threads

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = object

_Number = TypeVar("_Number", int, float)

KERNELS = ("auto", "numpy", "scipy", "numba")


def add_compute_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads`` and ``--kernels``."""
    parser.add_argument("--threads", type=_thread_count, metavar="N", help="default, and most: one for each processor")
    parser.add_argument("--kernels", choices=KERNELS, help="default: numba if installed")


def apply_compute_flags(kernel_set: str | None, num_threads: int | None) -> None:
    """Set the kernels and the number of threads of this process."""
    kernels.set_kernels(kernel_set or "auto")
    if num_threads is not None:
        threads.set_num_threads(num_threads)


def say(message: str) -> None:
    """Print a line on standard error, if it can be written to."""
    text = f"tinygrad-cnn: {message}"
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():  # elsewhere a line stays one, for programs that read it
            text = textwrap.fill(text, shutil.get_terminal_size().columns, subsequent_indent="  ")
        print(text, file=sys.stderr)


def number(kind: type[_Number], text: str) -> _Number:
    """Return an argument as an int or a float. ArgumentTypeError if it is none."""
    try:
        return kind(text)
    except ValueError:
        noun = "an integer" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {noun}, got {text!r}") from None


def positive(kind: type[_Number]) -> Callable[[str], _Number]:
    """Return an argparse type: a finite int or float above 0."""

    def parse(text: str) -> _Number:
        value = number(kind, text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be above 0 and finite, got {text}")
        return value

    return parse


def fraction(text: str) -> float:
    """An argparse type: a number from 0, below 1."""
    value = number(float, text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return value


def _thread_count(text: str) -> int:
    """An argparse type: a number of threads, at most one for each processor."""
    value, most = positive(int)(text), threads.processors()
    if value > most:
        raise argparse.ArgumentTypeError(f"must be at most {most}, the processors there are to run on, got {text}")
    return value
