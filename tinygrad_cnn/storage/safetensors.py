"""Weights in a ``.safetensors`` file, through the `safetensors` library: numbers and their names, nothing that runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import require
from .archive import Arrays, CheckpointError, PathLike, atomic_writer, regular_file


def save_safetensors(state: Mapping[str, Any], path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name, such as a `state_dict`, and texts beside them, as one ``.safetensors`` file, atomically.

    Args:
        state: arrays or tensors by name.
        path: where to write; an existing file is replaced.
        metadata: texts by name; what needs more structure goes in as JSON.

    Raises OSError when it cannot be written, ImportError without the extra ``safetensors``.
    """
    library = require("safetensors.numpy", "safetensors")
    # the library writes memory as it lies and calls it C order: other orders have to be copied
    arrays = {name: np.array(array, order="C") for name, array in state.items()}
    data = library.save(arrays, metadata=dict(metadata or {}))
    with atomic_writer(path) as file:
        file.write(data)


def load_safetensors(path: PathLike) -> tuple[Arrays, dict[str, str]]:
    """The arrays by name, and the texts, of a ``.safetensors`` file.

    The format has no checksum: a damaged file is refused where its table shows it, a changed number is not seen.

    Raises CheckpointError when the file cannot be read, is no such file, or holds a type that NumPy lacks.
    """
    library = require("safetensors", "safetensors")
    name = regular_file(path)
    try:
        with library.safe_open(name, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if foreign := [key for key, a in arrays.items() if a.dtype.kind not in "fiub"]:
                raise TypeError(f"NumPy lacks the type of {foreign[0]}")
            return arrays, dict(file.metadata() or {})
    except (library.SafetensorError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: is not a file of weights that can be read, or is damaged ({error})") from None
