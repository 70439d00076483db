"""Write one self-contained HTML file about a trained network: its training, its feature maps and its errors."""

import argparse
from pathlib import Path

from ..inspection.report import write_report
from ..training import checkpoint
from ._data import add_data_flags
from ._options import Subparsers, add_compute_flags, apply_compute_flags
from ._targets import check_extra, check_output
from ._weights import load_network_and_images


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("report", help="describe a trained network in one HTML file", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    parser.add_argument("--output", metavar="FILE", default="report.html", help="default: report.html")
    parser.add_argument(
        "--images", type=int, nargs="+", metavar="N", help="test images to look into, from 0 (default: three)"
    )
    add_data_flags(parser, "what the network was trained on")
    add_compute_flags(parser)


def run(args: argparse.Namespace) -> int:
    check_output("--output", args.output)
    check_extra("matplotlib", "plot", "report: ")
    apply_compute_flags(args.kernels, args.threads)
    network, _, chosen = load_network_and_images(args)
    test, source = chosen.test, f"{Path(args.weights).name}, tested on {chosen.name}"
    history = () if args.weights.endswith(".onnx") else checkpoint.history(args.weights)
    write_report(args.output, network, test, history=history, images=args.images, source=source)
    print(args.output)
    return 0
