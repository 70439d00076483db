"""Weights in ``.safetensors`` files, through the `safetensors` library: arrays and texts, never code."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import require
from .archive import Arrays
from .atomic import CheckpointError, PathLike, atomic_writer, check_regular_file


def save_safetensors(state: Mapping[str, Any], path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name, such as a `state_dict`, and texts by name as one ``.safetensors`` file, atomically.

    Args:
        state: arrays or tensors by name.
        path: where to write; an existing file is replaced.
        metadata: texts by name; other values go in as JSON.

    Raises:
        OSError: the file cannot be written.
        ImportError: the extra ``safetensors`` is not installed.
    """
    library = require("safetensors.numpy", "safetensors")
    # the library takes every array's memory to be in C order: arrays in another order have to be copied
    arrays = {name: np.array(array, order="C") for name, array in state.items()}
    data = library.save(arrays, metadata=dict(metadata or {}))
    with atomic_writer(path) as file:
        file.write(data)


def load_safetensors(path: PathLike) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the texts, both by name, of a ``.safetensors`` file.

    The format has no checksum: damage to its table is an error, a changed number is not noticed.

    Raises:
        CheckpointError: the file cannot be read, is of another format, or holds a type that NumPy lacks.
        ImportError: the extra ``safetensors`` is not installed.
    """
    library = require("safetensors", "safetensors")
    name = check_regular_file(path)
    try:
        with library.safe_open(name, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if foreign := [key for key, a in arrays.items() if a.dtype.kind not in "fiub"]:
                raise TypeError(f"NumPy lacks the type of {foreign[0]}")
            return arrays, dict(file.metadata() or {})
    except (library.SafetensorError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: is not a file of weights that can be read, or is damaged ({error})") from None


def parse_metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON value of each text; a text that is no JSON, such as PyTorch's ``format: pt``, as it is."""
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values
