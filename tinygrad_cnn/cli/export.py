"""Write a trained network as ONNX, which most runtimes read: for any batch, with its name and settings."""

import argparse

from ..interop import to_onnx
from ..storage.atomic import check_target
from ._options import Subparsers
from ._weights import load_network, warn_if_nonfinite


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("export", help="write a trained network as ONNX", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    parser.add_argument("output", metavar="FILE.onnx", help="the file to write")


def run(args: argparse.Namespace) -> int:
    check_target("export:", args.output, ".onnx")
    network, _ = load_network(args.weights)
    warn_if_nonfinite(args.weights, network)
    to_onnx(network, args.output)
    shape = ", ".join(map(str, network.image_shape))
    print(f"{args.output}: {network.name}, input (batch, {shape}), output (batch, {network.num_classes})")
    return 0
