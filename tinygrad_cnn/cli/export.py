"""Write a trained network for use elsewhere: as ONNX, which most runtimes read, or as a page that runs it.

The file's ending chooses. ONNX takes any batch, and the file has the network's name and settings.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from ..interop import to_onnx
from ..models import Network
from ..page import to_page
from ._options import Subparsers
from ._targets import check_output
from ._weights import load_network, warn_if_nonfinite

WRITERS: dict[str, Callable[[Network, str], None]] = {".onnx": to_onnx, ".html": to_page}


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("export", help="write a trained network as ONNX or a page", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    parser.add_argument("output", metavar="FILE", help=f"the file to write, ending in {' or '.join(WRITERS)}")


def run(args: argparse.Namespace) -> int:
    check_output("export:", args.output, *WRITERS)
    network, _ = load_network(args.weights)
    warn_if_nonfinite(args.weights, network)
    WRITERS[Path(args.output).suffix](network, args.output)
    shape = ", ".join(map(str, network.image_shape))
    print(f"{args.output}: {network.name}, input (batch, {shape}), output (batch, {network.num_classes})")
    return 0
