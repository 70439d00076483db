"""Write a trained network for other programs: as ONNX, as one C file that runs anywhere, or as a page that runs it.

The file's ending chooses. ONNX takes any batch, and has the network's name and settings. A .c file comes with its
header, and computes one image in floats, or with --int8 in integers; their ranges are chosen for training images, those
of --data or --dataset, or of what the network was trained on. An .html file runs in any browser, without a server.
"""

import argparse
from pathlib import Path

import numpy as np

from ..data import Dataset
from ..interop import to_c
from ..models import Network
from ..page import to_page
from ._data import add_data_flags, data_facts
from ._options import Subparsers
from ._targets import check_output
from ._weights import load_network, load_network_and_images, warn_if_nonfinite, write_onnx

_ENDINGS = (".onnx", ".c", ".html")
_CALIBRATION_IMAGES = 500


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("export", help="write a trained network as ONNX, C or a page", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file, checkpoint or ONNX file")
    parser.add_argument("output", metavar="FILE", help=f"the file to write, ending in {', '.join(_ENDINGS)}")
    parser.add_argument("--int8", action="store_true", help="write a .c file that computes in integers of 8 bits")
    add_data_flags(parser, "what the network was trained on")


def run(args: argparse.Namespace) -> int:
    check_output("export:", args.output, *_ENDINGS)
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
    print(f"{args.output}: {network.name}, {_write(network, args.output, args.int8, calibration)}")
    return 0


def _write(network: Network, path: str, int8: bool, calibration: Dataset | None) -> str:
    """Write the file, and return what there is to say about it."""
    shape = ", ".join(map(str, network.image_shape))
    suffix = Path(path).suffix
    if suffix == ".onnx":
        write_onnx(network, path)
        return f"input (batch, {shape}), output (batch, {network.num_classes})"
    if suffix == ".html":
        to_page(network, path)
        return "open it in a browser"
    sizes = to_c(network, path, int8=int8, calibration=calibration)
    return (
        f"image ({shape}), {network.num_classes} scores; {sizes.weight_bytes:,} bytes of weights, "
        f"{sizes.buffer_bytes:,} of buffers, {sizes.multiply_adds:,} multiply-adds"
    )
