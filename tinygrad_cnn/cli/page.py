"""Write one HTML file that runs a network in the browser, forward and backward: it needs no server and no network.

The page steps through the article's example, shows every layer's maps of a drawing or a picture and the gradients on
their way back, and trains a small network.
"""

import argparse

from ..page import shipped_weights, to_page
from ._options import Subparsers
from ._targets import check_output
from ._weights import load_network, warn_if_nonfinite


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("page", help="write a page that runs a network", description=__doc__)
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        nargs="?",
        help="a weights file, checkpoint or ONNX file (default: one that comes along)",
    )
    parser.add_argument("output", metavar="FILE.html", help="the file to write")


def run(args: argparse.Namespace) -> int:
    check_output("page:", args.output, ".html")
    weights = args.weights or str(shipped_weights())
    network, _ = load_network(weights)
    warn_if_nonfinite(weights, network)
    to_page(network, args.output)
    print(f"{args.output}: {network.name}; open it in a browser")
    return 0
