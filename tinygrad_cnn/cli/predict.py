"""Predict the class of each image. Images are white on black, as in MNIST, and of the network's size."""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import no_grad
from ..autograd.tensor import wrap
from ..models import Network
from ..training.records import as_json
from ._images import read_images
from ._options import Subparsers, add_compute_flags, apply_compute_flags
from ._weights import load_network

_BATCH_SIZE = 500


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("predict", help="classify image files", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    parser.add_argument("images", metavar="IMAGES", nargs="+", help=".npy, .pgm, IDX (also .gz), .png (extra plot)")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    apply_compute_flags(args.kernels, args.threads)
    network, _ = load_network(args.weights)
    predictions: list[dict[str, Any]] = []
    for path in args.images:
        images = read_images(path, network.image_shape)
        for start in range(0, len(images), _BATCH_SIZE):
            predictions += [
                {"file": path, "index": start + k, "class": label, "confidence": probability}
                for k, (label, probability) in enumerate(_predict(network, images[start : start + _BATCH_SIZE]))
            ]
    if args.json:
        print(as_json({"predictions": predictions}))
    else:
        for p in predictions:
            if p["class"] is None:
                raise ValueError(f"{p['file']}[{p['index']}]: the network's scores for it are not numbers")
        for p in predictions:
            print(f"{p['file']}[{p['index']}]: {p['class']} ({p['confidence']:.1%})")
    return 0


def _predict(network: Network, images: NDArray[np.float32]) -> list[tuple[int | None, float | None]]:
    """Return the most probable class of each image and its probability; None for both where a score is not finite."""
    with no_grad():
        rows = network.probabilities(network(wrap(images))).data
    return [(int(row.argmax()), float(row.max())) if np.isfinite(row).all() else (None, None) for row in rows]
