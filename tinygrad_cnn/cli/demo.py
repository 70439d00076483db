"""Open a page to draw a digit on: it shows the network's probabilities, feature maps and gradients as you draw.

The page and its server stay on this computer.
"""

import argparse
import threading
import webbrowser

from .. import demo, kernels
from ..kernels import threads
from ._options import Subparsers, number, say


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("demo", help="draw a digit and watch the network read it", description=__doc__)
    parser.add_argument(
        "--weights", metavar="FILE", help="a trained network for MNIST (default: one that comes with the program)"
    )
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="default: 8000; 0: any that is free")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")


def run(args: argparse.Namespace) -> int:
    kernels.set_kernels("numpy")  # for one image at a time, compiling and a second thread do not pay
    threads.set_num_threads(1)
    network = demo.load(args.weights or demo.shipped_weights())
    with demo.bind(args.port) as listening:
        server = demo.make_server(network, listening)
        address = f"http://{demo.HOST}:{server.port}/"
        print(address, flush=True)
        say("stop with Ctrl-C")
        if not args.no_browser:  # in a thread: some browsers keep their caller waiting
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        server.serve_forever()  # until Ctrl-C
    return 0


def _port(text: str) -> int:
    """An argparse type: a port number, or 0 for any that is free."""
    value = number(int, text)
    if not 0 <= value < 65_536:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text}")
    return value
