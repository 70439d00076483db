"""The kernel sets ``numpy``, ``scipy`` and ``numba``, and the choice among them: arrays in, arrays out."""

import importlib
import importlib.util
import os
from typing import cast
from warnings import warn

from . import threads
from .interface import KernelSet

_MODULES = {"numpy": "numpy_kernels", "scipy": "scipy_kernels", "numba": "numba_kernels"}
_choice = "auto"
_loaded: KernelSet | None = None
_numba_fault = ""  # why numba, though installed, cannot be used; found when it is first loaded


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
        _loaded = _load(get_kernels())
        threads.limit_blas()
    return _loaded


def _load(name: str) -> KernelSet:
    """Import a kernel set; where numba was chosen by ``"auto"`` and fails, the numpy kernels, with a warning."""
    global _numba_fault
    try:
        if name == "numba" and importlib.import_module("numba").config.DISABLE_JIT:
            raise ImportError("its compiler is switched off in its configuration")
        return cast(KernelSet, importlib.import_module(f".{_MODULES[name]}", __name__))
    except Exception as error:  # a broken installation raises anything: of llvmlite, of an unfit NumPy
        if name != "numba" or _choice != "auto":
            raise
        _numba_fault = " ".join(str(error).split()) or type(error).__name__
        warn(f"numba cannot be used ({_numba_fault}); the numpy kernels compute instead", stacklevel=3)
        return _load("numpy")


def _can_compile() -> bool:
    return importlib.util.find_spec("numba") is not None and not _is_disabled() and not _numba_fault


def _is_disabled() -> bool:
    """True if numba's compiler is switched off: emitted instructions cannot run as plain Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
