"""Say which class each image shows. Images are white on black, as in MNIST, and of the network's size."""

import argparse

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import no_grad
from ..autograd.tensor import wrap
from ..models import Network, probabilities
from ..training.records import as_json
from ._images import read_images
from ._options import Subparsers, add_compute_flags, apply_compute_flags
from ._weights import load_network

_BATCH = 500


def add_parser(subparsers: Subparsers) -> None:
    """See the package."""
    parser = subparsers.add_parser("predict", help="classify image files", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=".npy, .pgm, IDX (also .gz), .png (extra plot)")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """See the package."""
    apply_compute_flags(args.kernels, args.threads)
    network, _ = load_network(args.weights)
    found = []
    for path in args.images:
        images = read_images(path, network.image_shape)
        for start in range(0, len(images), _BATCH):
            answers = _predicted(network, images[start : start + _BATCH])
            found += [
                {"file": path, "index": start + k, "class": c, "confidence": share}
                for k, (c, share) in enumerate(answers)
            ]
    if args.json:
        print(as_json({"predictions": found}))
    else:
        if lost := next((p for p in found if p["class"] is None), None):
            raise ValueError(f"{lost['file']}[{lost['index']}]: the network's scores for it are not numbers")
        for p in found:
            print(f"{p['file']}[{p['index']}]: {p['class']} ({p['confidence']:.1%})")
    return 0


def _predicted(network: Network, images: NDArray[np.float32]) -> list[tuple[int | None, float | None]]:
    """The class of each image, and the network's share of belief in it; None for both where that is not a number."""
    with no_grad():
        shares = probabilities(network, network(wrap(images))).data
    return [(int(row.argmax()), float(row.max())) if np.isfinite(row).all() else (None, None) for row in shares]
