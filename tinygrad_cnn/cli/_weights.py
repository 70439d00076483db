"""The weights files that commands take: those of named networks."""

import argparse
from typing import Any, cast

from ..data import Dataset
from ..models import Network
from ..training import checkpoint
from ..training.divergence import nonfinite_parameters
from ._facts import check_text_fact
from ._options import load_data, say


def load_network(path: str) -> tuple[Network, dict[str, Any]]:
    """Return the named network of a weights file or checkpoint, and the facts about its training."""
    stored = checkpoint.read(path)
    return cast(Network, stored.model()), stored.about  # a model that is made anew is a named one


def warn_if_nonfinite(path: str, network: Network) -> None:
    """Print a line if weights are not finite: results that follow from them mean nothing."""
    if names := nonfinite_parameters(network):
        say(f"{path}: holds NaN or infinity in {', '.join(names)}")


def load_test_set(args: argparse.Namespace, network: Network, about: dict[str, Any]) -> tuple[str, Dataset]:
    """Return the name of the flags' data set, or else of the one that the network was trained on, and its test images.

    ValueError if the network does not take such images.
    """
    dataset = args.dataset or check_text_fact(args.weights, about, "dataset") or "digits"
    is_same = dataset == about.get("dataset")
    folder = args.data_dir or (check_text_fact(args.weights, about, "data_dir") if is_same else None)
    _, test = load_data(dataset, folder)
    if test.image_shape != network.image_shape or test.num_classes != network.num_classes:
        raise ValueError(
            f"{args.weights}: takes {_size(network.image_shape)} images of {network.num_classes} classes; "
            f"{dataset} has {_size(test.image_shape)} of {test.num_classes}"
        )
    return dataset, test


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
