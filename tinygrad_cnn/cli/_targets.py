"""Files that a command will write at its end, checked at its start."""

import importlib.util

from ..storage.atomic import check_target

_EXTRAS = {".safetensors": ("safetensors", "safetensors"), ".onnx": ("onnx", "onnx")}


def check_output(flag: str, path: str, *endings: str) -> None:
    """ValueError or ImportError, before any work, for a file that could not be written.

    Args:
        flag: what the message calls the file, such as ``--save``.
        path: the file.
        endings: those that its name may have.
    """
    check_target(flag, path, *endings)
    for ending, (module, extra) in _EXTRAS.items():
        if path.endswith(ending):
            check_extra(module, extra, f"{flag} {path}: ")


def check_extra(module: str, extra: str, start: str = "") -> None:
    """ImportError, naming the extra, if an optional package is missing; it is not imported."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f"{start}this needs {module}: pip install 'tinygrad_cnn[{extra}]'")
