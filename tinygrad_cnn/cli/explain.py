"""Explain one backward pass: each op, its rule in the article's notation, the shapes and the numbers.

Without WEIGHTS it is the article's own example, one feature map with a 2x2 filter over a 3x3 input; with them, the pass
of a trained network for one test image.
"""

import argparse

import numpy as np

from ..autograd.tensor import Tensor
from ..inspection.explain import article_example, explain
from ._data import add_data_flags, data_facts
from ._options import Subparsers
from ._weights import load_network_and_images, warn_if_nonfinite


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("explain", help="explain a backward pass step by step", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="a weights file or checkpoint")
    parser.add_argument("--image", type=int, metavar="N", help="which test image, from 0 (with WEIGHTS; default: 0)")
    add_data_flags(parser, "what the network was trained on")


def run(args: argparse.Namespace) -> int:
    if args.weights is None:
        if args.image is not None or data_facts(args) is not None:
            raise ValueError("explain: --image, --data and --dataset go with WEIGHTS")
        print("One feature map: x1 is its 3x3 input, w its 2x2 filter, b its bias; x2 is the target.\n")
        explain(*article_example())
        return 0
    network, _, chosen = load_network_and_images(args)
    warn_if_nonfinite(args.weights, network)
    test = chosen.test
    row = args.image or 0
    if not 0 <= row < len(test):
        raise ValueError(f"--image: the test images are numbered 0 to {len(test) - 1}, got {row}")
    images, labels = test.take(np.array([row]))
    name = test.class_names[int(labels[0])]
    print(f"Test image {row} of {chosen.name}, class {name}: x is the image.\n")
    explain(network.cost(network(Tensor(images)), labels), network)
    return 0
