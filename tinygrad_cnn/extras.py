"""Optional packages: imported when a feature needs them, with a message that names the extra."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """The optional module. ImportError, saying what to install, when it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}: pip install 'tinygrad_cnn[{extra}]'") from error
