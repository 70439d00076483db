"""``--init``: a network that training begins with, whole or as far as it fits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import plural
from ..data import Dataset, ImageSpec
from ..models import RECIPES, Network, as_network
from ..nn import Linear, Module, Sequential
from ._options import say
from ._weights import NetworkFile

_LISTED = 6

Arrays = dict[str, NDArray[Any]]


class InitialWeights:
    """The network of a weights file, a checkpoint or an ONNX file."""

    def __init__(self, path: str) -> None:
        self.path, self._file = path, NetworkFile(path)

    @property
    def recipe(self) -> str | None:
        """The name of the recipe that the network is of; None for any other, which is trained as it is."""
        if self.path.endswith(".onnx"):
            return None
        name = self._file.network((1, 28, 28)).name
        return name if name in RECIPES else None

    def network(self, train: Dataset, rng: np.random.Generator) -> Network:
        """Return the network of the file for these images, with a new last layer if the number of classes differs."""
        network = self._file.network(train.image_shape)
        if network.image_shape != train.image_shape:
            raise ValueError(
                f"--init {self.path}: takes images of shape {network.image_shape}, these are {train.image_shape}"
            )
        known = network.image_spec.class_names if isinstance(network.image_spec, ImageSpec) else train.class_names
        if network.num_classes != train.num_classes or known != train.class_names:
            _replace_last(network, train.num_classes, rng, self.path)
            say(f"--init {self.path}: the last layer is new, for {plural(train.num_classes, 'class', 'classes')}")
        return as_network(Sequential(*network), network.name, train.image_shape, train.spec)

    def _match_classes(self, fitting: Arrays, own: Arrays, theirs: tuple[str, ...], names: tuple[str, ...]) -> None:
        """Give the output neurons of classes that both have their own weights; those of other classes are new."""
        outputs = [k for k in fitting if k in list(own)[-2:] and len(own[k]) == len(names)]
        for k in outputs:
            rows = [theirs.index(name) if name in theirs else -1 for name in names]
            fitting[k] = np.stack([fitting[k][r] if r >= 0 else own[k][i] for i, r in enumerate(rows)])
        if outputs and (new := [name for name in names if name not in theirs]):
            say(f"--init {self.path}: the output neurons of {', '.join(new[:_LISTED])} are new")

    def load_into(self, network: Network, class_names: tuple[str, ...]) -> None:
        """Copy the arrays that fit, by name and shape, and list those that do not."""
        source = self._file.network(network.image_shape)
        theirs, own = source.state_dict(), network.state_dict()
        fitting = {name: a for name, a in theirs.items() if name in own and own[name].shape == a.shape}
        spec = source.image_spec
        if isinstance(spec, ImageSpec) and spec.class_names != class_names:
            self._match_classes(fitting, own, spec.class_names, class_names)
        network.load_state_dict(own | fitting)
        left = [name for name in own if name not in fitting]
        say(f"--init {self.path}: {plural(len(fitting), 'array')} of {len(own)} taken" + _listed(left, theirs, own))


def _listed(left: list[str], theirs: dict[str, NDArray[Any]], own: dict[str, NDArray[Any]]) -> str:
    """Return the names that were not taken, and why."""
    if not left:
        return ""
    why = [
        f"{name} ({own[name].shape}, there {theirs[name].shape})" if name in theirs else f"{name} (not there)"
        for name in left[:_LISTED]
    ]
    return "; new: " + ", ".join(why) + (" ..." if len(left) > _LISTED else "")


def _replace_last(network: Module, classes: int, rng: np.random.Generator, path: str) -> None:
    """Put a new fully connected layer, for other classes, in place of the last one."""
    places = [
        (parent, name, module)
        for parent in network.modules()
        for name, module in parent.children()
        if isinstance(module, Linear)
    ]
    if not places:
        raise ValueError(f"--init {path}: ends in no fully connected layer that other classes could be learned by")
    parent, name, last = places[-1]
    layer = Linear(last.in_features, classes, last.bias is not None, rng=rng)
    layers = getattr(parent, "layers", None)  # of a network that was read from ONNX, whose names may have dots
    if isinstance(layers, dict):
        layers[name] = layer
    else:
        setattr(parent, name, layer)
