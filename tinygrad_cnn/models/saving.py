"""Weights files and checkpoints: reading one gives the model that was saved, or an error, never another model.

Both are archives (`storage.archive`); weights alone may be ``.safetensors`` too, and are read from PyTorch's files.
A weights file holds a model's parameters and buffers, and the name and settings of a named network. A checkpoint holds
in addition the state of a training run (`training.checkpoint`); it can be loaded as weights too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import models
from ..checks import abbreviated, instance
from ..data import ImageSpec
from ..nn import Module, StateError
from ..storage import pytorch
from ..storage.archive import Arrays, read_archive, write_archive
from ..storage.atomic import CheckpointError, PathLike, check_path
from ..storage.safetensors import load_safetensors, parse_metadata, save_safetensors
from .architecture import describe, restore

WEIGHTS, AVERAGE, BEST = "weights", "average", "best"  # prefixes of a model's arrays in a file


@dataclass(frozen=True)
class SavedFile:
    """The content of a weights file or checkpoint, verified.

    Attributes:
        path: the file.
        arrays: its arrays, each under a prefix and its name.
        metadata: the model's description (`model_spec`), facts, and more in a checkpoint.
    """

    path: PathLike
    arrays: Arrays
    metadata: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """The facts that were saved beside the weights."""
        about = self.metadata.get("about")
        return about if isinstance(about, dict) else {}

    @property
    def image_spec(self) -> ImageSpec | None:
        """The facts about the images that the model was trained on; None if the file does not hold them."""
        facts = self.metadata.get("images")
        try:
            return None if facts is None else ImageSpec.from_dict(facts)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self.path}: {error}") from error

    def model(self, into: Module | None = None) -> Module:
        """Return the model in evaluation mode: a new named network, or ``into``. CheckpointError if it does not fit."""
        weights = subset(BEST, self.arrays) or subset(AVERAGE, self.arrays) or subset(WEIGHTS, self.arrays)
        try:
            model = self._new_model() if into is None else into
            load_weights(model, weights)
            if self.image_spec is not None:
                model.image_spec = self.image_spec
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{self.path}: {error}") from error
        return model.eval()

    def _new_model(self) -> Module:
        """Return the model, with weights that are yet to be loaded."""
        if "layers" in self.metadata:
            return restore(self.metadata["layers"], sum(a.size for a in self.arrays.values()))
        return _build(self.metadata.get("model"))


def save(model: Module, path: PathLike, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a model's parameters and buffers, and a named network's name and settings, atomically.

    Args:
        model: any module.
        path: a name that ends in ``.npz``, or in ``.safetensors`` (extra ``safetensors``), a format that other
            frameworks read; it has no checksum.
        about: JSON-able facts to save beside the weights; `about` reads them.

    Raises:
        ValueError: another ending.
        OSError: the file cannot be written; an existing one is then unchanged.
    """
    instance("save", "model", model, Module)
    name = check_path("save", path)
    metadata = {"model": model_spec(model), "about": dict(about or {}), **file_facts(model)}
    if name.endswith(".safetensors"):
        save_safetensors(model.state_dict(), path, {key: json.dumps(value) for key, value in metadata.items()})
    elif name.endswith(".npz"):
        write_archive(path, prefixed(WEIGHTS, model.state_dict()), metadata)
    else:
        raise ValueError(f"save: the name must end in .npz or .safetensors, got {name!r}")


def load(path: PathLike, into: Module | None = None) -> Module:
    """Return the model of a weights file or checkpoint, in evaluation mode.

    Args:
        path: a file that `save`, or `fit` with a checkpoint, wrote. The weights of a checkpoint are those that the run
            would end with if it ended there: the best epoch's, else the running average, else the last ones. Or a state
            dict in a ``.safetensors`` file, or in a ``.pt`` or ``.pth`` file of ``torch.save``, of which no code is run
            (`storage.pytorch`).
        into: a model of your own to load the weights into; None makes a new one, if it is a named network.

    Raises:
        CheckpointError: the file is of another kind, damaged, or does not fit the model; everything that is wrong is
            named.

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
    return read("load", path).model(into)


def about(path: PathLike) -> dict[str, Any]:
    """Return the facts that `save` or `fit` wrote into a file as ``about``. CheckpointError as `load`."""
    return read("about", path).about


def read(op: str, path: PathLike) -> SavedFile:
    """Read and verify a weights file or checkpoint. CheckpointError if it is neither."""
    name = check_path(op, path)
    if name.endswith(pytorch.ENDINGS):
        return SavedFile(path, prefixed(WEIGHTS, pytorch.load_pytorch(path)), {"model": {"class": "a PyTorch network"}})
    if not name.endswith(".safetensors"):
        return SavedFile(path, *read_archive(path))
    state, texts = load_safetensors(path)
    return SavedFile(path, prefixed(WEIGHTS, state), parse_metadata(texts))


def load_weights(model: Module, arrays: Arrays) -> None:
    """Copy arrays into a model. StateError, naming them all, for wrong names, shapes or types."""
    own = model.state_dict()
    wrong = [
        f"{k} has dtype {a.dtype}, {own[k].dtype} is needed"
        for k, a in arrays.items()
        if k in own and a.dtype != own[k].dtype
    ]
    if wrong:
        raise StateError(f"{type(model).__name__}: " + "; ".join(wrong))
    model.load_state_dict(arrays)


def model_spec(model: Module) -> dict[str, Any]:
    """Return the arguments that make a named network, or the class of another model, ready for JSON."""
    if isinstance(model, models.Network) and model.name in models.RECIPES:
        return model.settings()
    return {"class": type(model).__name__}


def file_facts(model: Module) -> dict[str, Any]:
    """Return the entries of a file's metadata by which a model is made and used without its code.

    ``layers`` describes a `Sequential` of this library's layers; ``images`` those that it was trained on.
    """
    layers = None if isinstance(model, models.Network) and model.name in models.RECIPES else describe(model)
    facts = {} if layers is None else {"layers": layers}
    return facts | ({"images": model.image_spec.as_dict()} if isinstance(model.image_spec, ImageSpec) else {})


def prefixed(prefix: str, arrays: Mapping[str, Any]) -> Arrays:
    """Return arrays under the names that they have in a file."""
    return {f"{prefix}/{name}": np.asarray(a) for name, a in arrays.items()}


def subset(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays of a file that have a prefix, under their own names."""
    return {name.removeprefix(prefix + "/"): a for name, a in arrays.items() if name.startswith(prefix + "/")}


def _build(spec: object) -> models.Network:
    if isinstance(spec, str):
        raise CheckpointError(f"its metadata is not JSON: model is {abbreviated(spec)}; load(path, into=model)")
    if not isinstance(spec, dict) or "name" not in spec:
        kind = spec.get("class") if isinstance(spec, dict) else "unknown"
        raise CheckpointError(f"holds the weights of a model of class {kind}; make one and load(path, into=model)")
    name, shape, classes = (spec[k] for k in ("name", "image_shape", "num_classes"))
    normalize = ([0.0] * shape[0], [1.0] * shape[0]) if spec.get("normalize") is True else None
    return models.build(str(name), tuple(shape), classes, normalize=normalize, rng=np.random.default_rng(0))
