"""Files that hold a named network, as the commands take them."""

import argparse
from typing import Any, cast

from ..data import Dataset
from ..models import Network
from ..training import checkpoint
from ..training.divergence import nonfinite_parameters
from ._facts import text_fact
from ._options import load_data, say


def load_network(path: str) -> tuple[Network, dict[str, Any]]:
    """The named network of a weights file or checkpoint, and what the file says about its training."""
    return cast(Network, checkpoint.load(path)), checkpoint.about(path)  # with nothing to load into it is a named one


def warn_if_lost(path: str, network: Network) -> None:
    """Say so, in one line, when weights are not finite: nothing that follows from them means anything."""
    if lost := nonfinite_parameters(network):
        say(f"{path}: holds NaN or infinity in {', '.join(lost)}")


def load_test_set(args: argparse.Namespace, network: Network, about: dict[str, Any]) -> tuple[str, Dataset]:
    """The name of the data set that the flags ask for, or that the network was trained on, and its test images.

    Raises ValueError when the network does not take such images.
    """
    dataset = args.dataset or text_fact(args.weights, about, "dataset") or "digits"
    same = dataset == about.get("dataset")
    folder = args.data_dir or (text_fact(args.weights, about, "data_dir") if same else None)
    _, test = load_data(dataset, folder)
    if test.image_shape != network.image_shape or test.num_classes != network.num_classes:
        raise ValueError(
            f"{args.weights}: takes {_size(network.image_shape)} images of {network.num_classes} classes; "
            f"{dataset} has {_size(test.image_shape)} of {test.num_classes}"
        )
    return dataset, test


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
