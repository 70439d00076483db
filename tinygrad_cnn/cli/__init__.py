"""The command line, ``tinygrad-cnn``.

Each module of this package whose name has no leading underscore is a command, and has two functions:

- ``add_parser(subparsers)`` adds its parser with ``subparsers.add_parser(NAME, help=..., description=...)``;
- ``run(args) -> int`` does the work and returns the exit status. It prints results to standard output and everything
  else to standard error, imports optional packages when it runs, and raises ValueError, OSError or ImportError for a
  wrong argument or file: `main` turns these into one line and exit status 2.

The module's docstring is the description that ``tinygrad-cnn NAME --help`` shows.
"""

import argparse
import errno
import importlib
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from ..training import DivergenceError

_ORDER = ("train", "evaluate", "predict", "summary")  # the first in the help; others follow by name
_WRITE_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)  # without a file's name: of standard output


class _Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors and without abbreviated flags."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0: done; 1: training diverged; 2: a wrong flag or file; 130: interrupted (else 128 and the signal's number).
    """
    if sys.stderr is None:  # closed by the caller; printing to None would go to standard output
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    warnings.formatwarning = lambda message, *_, **__: f"tinygrad-cnn: {message}\n"
    parser = _make_parser()
    try:
        args = parser.parse_args(arguments)
        status = int(importlib.import_module(f".{args.command}", __name__).run(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130
    except DivergenceError as error:
        return _print_error(parser, error, 1)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        return _print_error(parser, error, 2)


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tinygrad-cnn", description="Convolutional networks on NumPy and SciPy.")
    version = importlib.import_module(__name__.partition(".")[0]).__version__
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    for name in sorted(names, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n)):
        importlib.import_module(f".{name}", __name__).add_parser(subparsers)
    return parser


def _print_error(parser: argparse.ArgumentParser, error: BaseException, status: int) -> int:
    """Print an error in one line, and return the exit status."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:  # else it begins with [Errno 2]
        where = error.filename or ("standard output" if error.errno in _WRITE_ERRORS else None)
        message = f"{where}: {error.strerror}" if where else error.strerror
    with suppress(OSError):
        print(f"{parser.prog}: error: {message}", file=sys.stderr)
    return status
