"""Write a trained network for other programs: as ONNX, which most runtimes read, or as one C file that runs anywhere.

The file's ending chooses. ONNX takes any batch, and has the network's name and settings. A .c file comes with its
header, and computes one image in floats, or with --int8 in integers; their ranges are chosen for training images, those
of --data or --dataset, or of what the network was trained on.
"""

import argparse

import numpy as np

from ..interop import to_c, to_onnx
from ..models import Network
from ._data import add_data_flags, data_facts
from ._options import Subparsers
from ._targets import check_output
from ._weights import load_network, load_network_and_images, warn_if_nonfinite

_CALIBRATION_IMAGES = 500


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("export", help="write a trained network as ONNX or C", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file, checkpoint or ONNX file")
    parser.add_argument("output", metavar="FILE", help="the file to write: FILE.onnx or FILE.c")
    parser.add_argument("--int8", action="store_true", help="write a .c file that computes in integers of 8 bits")
    add_data_flags(parser, "what the network was trained on")


def run(args: argparse.Namespace) -> int:
    check_output("export:", args.output, ".onnx", ".c")
    if args.int8 and not args.output.endswith(".c"):
        raise ValueError("--int8 goes with a .c file")
    calibration = None
    if args.int8 or data_facts(args) is not None:
        network, _, images = load_network_and_images(args)
        if args.int8:
            rows = np.random.default_rng(0).permutation(len(images.train))[:_CALIBRATION_IMAGES]
            calibration = images.train[rows]
    else:
        network, _ = load_network(args.weights)
    warn_if_nonfinite(args.weights, network)
    if args.output.endswith(".c"):
        sizes = to_c(network, args.output, int8=args.int8, calibration=calibration)
        print(
            f"{args.output}: {network.name}, image ({_shape(network)}), {network.num_classes} scores; "
            f"{sizes.weight_bytes:,} bytes of weights, {sizes.buffer_bytes:,} of buffers, "
            f"{sizes.multiply_adds:,} multiply-adds"
        )
    else:
        to_onnx(network, args.output)
        print(f"{args.output}: {network.name}, input (batch, {_shape(network)}), output (batch, {network.num_classes})")
    return 0


def _shape(network: Network) -> str:
    return ", ".join(map(str, network.image_shape))
