"""Weights files and checkpoints: a network that comes back as it was, or an error; never another network.

Both are archives (`files.write_archive`); weights alone may be ``.safetensors`` too. A weights file holds a model's
parameters and buffers, and, for the named networks, which one it is. A checkpoint holds in addition all that a training
run needs to go on in the same bits; it can be loaded as weights too.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import models
from ..checks import instance
from ..nn import Module, StateError
from ..storage.archive import (
    Arrays,
    CheckpointError,
    PathLike,
    path_text,
    read_archive,
    write_archive,
)
from ..storage.safetensors import load_safetensors, save_safetensors

__all__ = ["CheckpointError", "load", "save"]

WEIGHTS, AVERAGE, BEST = "weights", "average", "best"  # the sections of a file that hold a model


def save(model: Module, path: PathLike, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a model's parameters and buffers, and a named network's name and settings, atomically.

    Args:
        model: any module.
        path: a name that ends in ``.npz``, or in ``.safetensors`` (extra ``safetensors``), a format that other
            frameworks read; it has no checksum.
        about: facts for JSON to keep beside the weights; `about` reads them.

    Raises ValueError for another ending, OSError when the file cannot be written; what was there before is then still
    there.
    """
    instance("save", "model", model, Module)
    name = path_text("save", path)
    facts = {"model": described(model), "about": dict(about or {})}
    if name.endswith(".safetensors"):
        save_safetensors(model.state_dict(), path, {name: json.dumps(fact) for name, fact in facts.items()})
    elif name.endswith(".npz"):
        write_archive(path, prefixed(WEIGHTS, model.state_dict()), facts)
    else:
        raise ValueError(f"save: the name must end in .npz or .safetensors, got {name!r}")


def load(path: PathLike, into: Module | None = None) -> Module:
    """The model that a weights file or checkpoint holds, in evaluation mode.

    Args:
        path: what `save` or a checkpointing `fit` wrote. Of a checkpoint, the weights that the run would end with if
            it ended there count: the best epoch's, else the running average, else the last ones.
        into: a model of your own to load the numbers into; a named network is made anew when None.

    Raises `CheckpointError`, naming everything that is wrong, when the file is not one of these, is damaged, or does
    not fit the model.

    >>> import tempfile, tinygrad_cnn as tg
    >>> model = models.build("nielsen", (1, 8, 8), rng=np.random.default_rng(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, folder + "/weights.npz")
    ...     twin = load(folder + "/weights.npz")
    >>> bool((twin[0].weight.data == model[0].weight.data).all())
    True
    """
    if into is not None:
        instance("load", "into", into, Module)
    arrays, metadata = read("load", path)
    try:
        model = _rebuilt(metadata.get("model")) if into is None else into
        load_weights(model, section(BEST, arrays) or section(AVERAGE, arrays) or section(WEIGHTS, arrays))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return model.eval()


def about(path: PathLike) -> dict[str, Any]:
    """The facts that `save` or `fit` was told to keep in a file as ``about``. Raises `CheckpointError` as `load` does."""
    kept = read("about", path)[1].get("about")
    return kept if isinstance(kept, dict) else {}


def load_weights(model: Module, arrays: Arrays) -> None:
    """Copy arrays into a model. Raises `StateError`, naming them all, for wrong names, shapes or types."""
    own = model.state_dict()
    wrong = [
        f"{k} has dtype {a.dtype}, {own[k].dtype} is needed"
        for k, a in arrays.items()
        if k in own and a.dtype != own[k].dtype
    ]
    if wrong:
        raise StateError(f"{type(model).__name__}: " + "; ".join(wrong))
    model.load_state_dict(arrays)


def described(model: Module) -> dict[str, Any]:
    """What a file says about the model that its weights are for."""
    return model.settings() if isinstance(model, models.Network) else {"class": type(model).__name__}


def prefixed(name: str, arrays: Mapping[str, Any]) -> Arrays:
    """The arrays as one section of a file."""
    return {f"{name}/{k}": np.asarray(a) for k, a in arrays.items()}


def section(name: str, arrays: Arrays) -> Arrays:
    """One section of a file's arrays, under their own names."""
    return {k.removeprefix(name + "/"): a for k, a in arrays.items() if k.startswith(name + "/")}


def read(op: str, path: PathLike) -> tuple[Arrays, dict[str, Any]]:
    """A file's arrays by section, and its facts."""
    if not path_text(op, path).endswith(".safetensors"):
        return read_archive(path)
    state, texts = load_safetensors(path)
    try:
        return prefixed(WEIGHTS, state), {name: json.loads(text) for name, text in texts.items()}
    except ValueError as error:
        raise CheckpointError(f"{path}: its metadata is not JSON ({error})") from error


def _rebuilt(settings: object) -> models.Network:
    if not isinstance(settings, dict) or "name" not in settings:
        kind = settings.get("class") if isinstance(settings, dict) else "unknown"
        raise CheckpointError(f"holds the weights of a model of class {kind}; make one and load(path, into=model)")
    name, shape, classes = (settings[k] for k in ("name", "image_shape", "num_classes"))
    return models.build(str(name), tuple(shape), classes, rng=np.random.default_rng(0))
