"""The networks that commands take: those in weights files, checkpoints and ONNX files."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import ImageSpec
from ..interop import from_onnx, to_onnx
from ..models import Network, as_network
from ..nn import Module
from ..storage.atomic import CheckpointError
from ..training import checkpoint
from ..training.divergence import nonfinite_parameters
from ._data import Images, aligned, data_facts, load_images, portable, reading_flags
from ._facts import check_data_facts
from ._options import say

_ONNX = ".onnx"
ONNX_IMAGES = "images"
"""The metadata key of an ONNX file under which its images are described."""


class UnknownImagesError(ValueError):
    """A file does not say which images its network takes."""


class NetworkFile:
    """A weights file, a checkpoint or an ONNX file, read once.

    Attributes:
        path: the file.
        about: the facts about its training.

    Raises:
        CheckpointError: the file is none of these, or damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._stored = None if path.endswith(_ONNX) else checkpoint.read(path)
        self.about = {} if self._stored is None else self._stored.about

    def network(self, image_shape: tuple[int, ...] | None = None) -> Network:
        """Return a new network with the weights of the file.

        Args:
            image_shape: what its images are, where the file does not say.

        Raises:
            UnknownImagesError: the file does not say which images the network takes, and none were given.
        """
        if self._stored is None:
            return self._onnx_network(image_shape)
        model, spec = self._stored.model(), self._stored.image_spec
        if isinstance(model, Network):
            return model
        return _as_network(self.path, model, spec.shape if spec is not None else image_shape, spec)

    def _onnx_network(self, image_shape: tuple[int, ...] | None) -> Network:
        read = from_onnx(self.path)
        if 0 in read.image_shape and image_shape is not None:
            read = from_onnx(self.path, image_shape=image_shape)
        spec = _onnx_spec(self.path, read.metadata)
        return _as_network(self.path, read, _onnx_shape(read.image_shape, image_shape), spec)


def load_network(path: str, image_shape: tuple[int, ...] | None = None) -> tuple[Network, dict[str, Any]]:
    """Return the network of a file, and the facts about its training: see `NetworkFile`."""
    file = NetworkFile(path)
    return file.network(image_shape), file.about


def _onnx_spec(path: str, metadata: Mapping[str, str]) -> ImageSpec | None:
    """Return the facts about its images that ``export`` wrote into an ONNX file; None for another program's."""
    try:
        return ImageSpec.from_dict(json.loads(metadata[ONNX_IMAGES])) if ONNX_IMAGES in metadata else None
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def write_onnx(network: Network, path: str) -> None:
    """Write a network as ONNX, with the names of its classes and how its pictures are prepared."""
    spec = network.image_spec
    texts = {ONNX_IMAGES: json.dumps(spec.as_dict())} if isinstance(spec, ImageSpec) else {}
    to_onnx(network, path, image_shape=network.image_shape, metadata=texts)


def _onnx_shape(own: tuple[int, ...], given: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return (C, H, W) of the images of an ONNX file; None where it does not say."""
    return given if 0 in own or len(own) != 3 else own


def _as_network(path: str, model: Module, shape: tuple[int, ...] | None, spec: ImageSpec | None) -> Network:
    if shape is None:
        raise UnknownImagesError(
            f"{path}: does not say which images its network takes; --data PATH or --dataset NAME does"
        )
    return as_network(model, Path(path).stem, shape, spec)


def load_network_and_images(args: argparse.Namespace) -> tuple[Network, dict[str, Any], Images]:
    """Return the network of ``args.weights``, the facts about its training, and images in the order of its classes.

    The images are the flags', or else those that the network was trained on.

    Raises:
        ValueError: the network does not take such images.
    """
    file = NetworkFile(args.weights)
    about = file.about
    chosen = data_facts(args) if args.data is not None or args.dataset is not None else None
    if chosen is None:
        images = load_images(_own_images(args, about), quiet=True)
        network = file.network(images.test.image_shape)
    else:
        network, images = _with_chosen_images(file, chosen)
    test = images.test
    if test.image_shape != network.image_shape:
        is_said = chosen is not None or "dataset" in about or "data" in about
        raise ValueError(
            f"{args.weights}: takes {_size(network.image_shape)} images of {network.num_classes} classes; "
            f"{images.name} has {_size(test.image_shape)} of {test.num_classes}"
            + ("" if is_said else " (the file does not say on which images it was trained: --data PATH does)")
        )
    fitting = aligned(test, network.class_names, args.weights, images.name)
    return network, about, Images(images.train, fitting, images.name)


def warn_if_nonfinite(path: str, network: Network) -> None:
    """Print a line if weights are not finite: results that follow from them mean nothing."""
    if names := nonfinite_parameters(network):
        say(f"{path}: holds NaN or infinity in {', '.join(names)}")


def _with_chosen_images(file: NetworkFile, chosen: Mapping[str, Any]) -> tuple[Network, Images]:
    """Return the network and the images of the flags, which are read as the network takes them, if it says so."""
    try:
        network = file.network()
    except UnknownImagesError:
        images = load_images(chosen)
        return file.network(images.test.image_shape), images
    spec = network.image_spec if isinstance(network.image_spec, ImageSpec) else None
    own = check_data_facts(file.path, file.about) or {}
    is_own = chosen["data"] is not None and portable(chosen["data"]) == own.get("data")
    return network, load_images(chosen, spec, to_test=not is_own)


def _own_images(args: argparse.Namespace, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the images of a network's training are, and what flags say. ValueError if they are not there."""
    path = args.weights
    facts = check_data_facts(path, about)
    if facts is None:
        facts = {"dataset": "digits", "data_dir": None, "data": None, "reading": {}}
    if facts["data"] is not None and not Path(facts["data"]).expanduser().exists():
        raise ValueError(f"{path}: was trained on {facts['data']}, which is not here; say where by --data PATH")
    return facts | {"data_dir": args.data_dir or facts["data_dir"], "reading": facts["reading"] | reading_flags(args)}


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
