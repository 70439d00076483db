"""The kernel sets ``numpy``, ``scipy`` and ``numba``, and the choice among them: arrays in, arrays out."""

import importlib
import importlib.util
import os
from typing import cast

from . import threads
from .interface import KernelSet

_MODULES = {"numpy": "numpy_kernels", "scipy": "scipy_kernels", "numba": "numba_kernels"}
_choice = "auto"
_loaded: KernelSet | None = None


def set_kernels(name: str) -> None:
    """Choose the kernel set for every later operation, in all threads.

    ``"numpy"``: matrix products over windows. ``"scipy"``: the article's literal ``scipy.signal`` calls, slow and
    readable. ``"numba"``: compiled loops (extra ``fast``). ``"auto"``, the default: numba when it is installed and may
    compile, else numpy.

    Raises:
        ValueError: another name.
        ImportError: numba is asked for and missing.

    >>> set_kernels("numpy")
    >>> get_kernels()
    'numpy'
    >>> set_kernels("auto")
    """
    global _choice, _loaded
    if not isinstance(name, str) or name not in ("auto", *_MODULES):
        got = f"{name!r:.60}" if isinstance(name, str) else type(name).__name__
        raise ValueError(f"set_kernels: name must be 'auto', 'numpy', 'scipy' or 'numba', got {got}")
    if name == "numba" and not _can_compile():
        raise ImportError(
            "set_kernels: the numba kernels need the extra `fast`: pip install 'tinygrad_cnn[fast]'"
            + (", and NUMBA_DISABLE_JIT not to be set" if _is_disabled() else "")
        )
    _choice, _loaded = name, None


def get_kernels() -> str:
    """Return the name of the kernel set in use, with ``"auto"`` resolved."""
    if _choice != "auto":
        return _choice
    return "numba" if _can_compile() else "numpy"


def current() -> KernelSet:
    """Return the kernel set in use, loaded at the first call, so that importing the package stays light."""
    global _loaded
    if _loaded is None:
        _loaded = cast(KernelSet, importlib.import_module(f".{_MODULES[get_kernels()]}", __name__))
        threads.limit_blas()
    return _loaded


def _can_compile() -> bool:
    return importlib.util.find_spec("numba") is not None and not _is_disabled()


def _is_disabled() -> bool:
    """True if numba's compiler is switched off: emitted instructions cannot run as plain Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
