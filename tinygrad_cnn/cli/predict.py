"""Classify pictures, such as photographs, by a trained network, and print its classes with their probabilities.

A picture is prepared as the network's training images were: for digits, the ink is found on its paper, made light on
black, scaled and centred; other pictures are scaled, and padded or cropped. IMAGES may be files of any usual format,
folders of them, or - for standard input; .npy and IDX files hold one or more images of the network's own size.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import no_grad
from ..autograd.tensor import wrap
from ..checks import plural, require
from ..data import DataError
from ..data.picture import spec_of
from ..models import Network
from ..training.records import as_json
from ._data import _size
from ._images import Picture, each_file, printable, read_images
from ._options import Subparsers, add_compute_flags, apply_compute_flags, say
from ._targets import check_extra, check_output
from ._weights import load_network

_BATCH_SIZE = 500
_SHOWN_CLASSES = 3
_SHOWN_PIXELS = 112  # of the longer side of an image in the picture of --show, at least


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("predict", help="classify pictures", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file, checkpoint or ONNX file")
    parser.add_argument("images", metavar="IMAGES", nargs="+", help="pictures, folders of them, .npy, IDX, or -")
    parser.add_argument("--as-is", action="store_true", help="only scale pictures, without looking for ink or paper")
    parser.add_argument("--show", metavar="FILE.png", help="write a picture of what the network saw")
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the images, where an ONNX file does not say it")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    if args.show is not None:
        check_extra("PIL", "cli", "--show: ")
        check_output("--show", args.show, ".png")
    apply_compute_flags(args.kernels, args.threads)
    network, _ = load_network(args.weights, None if args.size is None else (1, *args.size))
    spec = spec_of(network)
    predictions: list[dict[str, Any]] = []
    seen: list[NDArray[np.float32]] = []
    errors = 0
    for path in each_file(args.images):
        try:
            picture = read_images(path, spec, as_is=args.as_is)
        except DataError as error:
            if len(args.images) == 1 and path == args.images[0]:
                raise
            say(f"error: {error}")
            errors += 1
            continue
        found = _predict_file(network, picture)
        predictions += found
        seen += list(picture.images) if args.show is not None else []
        lost = [p for p in found if p["class"] is None]
        if lost and not args.json:
            say(f"error: {printable(path)}[{lost[0]['index']}]: the network's scores for it are not numbers")
            errors += 1
        if not args.json:
            for p in found:
                if p["class"] is not None:
                    print(_line(p, picture.several), flush=True)
    if args.json:
        print(as_json({"predictions": predictions}))
    if seen:
        _write_montage(args.show, seen)
        say(f"{args.show}: {plural(len(seen), 'image')} as the network saw {'it' if len(seen) == 1 else 'them'}")
    return 2 if errors else 0


def _predict_file(network: Network, picture: Picture) -> list[dict[str, Any]]:
    """Return the prediction for each image of a file: class and confidence None where a score is not finite."""
    predictions = []
    for start in range(0, len(picture.images), _BATCH_SIZE):
        with no_grad():
            scores = network(wrap(picture.images[start : start + _BATCH_SIZE]))
            rows = network.probabilities(scores).data
        for k, row in enumerate(rows, start):
            is_lost = not np.isfinite(row).all()
            best = int(row.argmax())
            predictions.append(
                {
                    "file": picture.path,
                    "index": k,
                    "class": None if is_lost else best,
                    "class_name": None if is_lost else network.class_names[best],
                    "confidence": None if is_lost else float(row[best]),
                    "probabilities": dict(zip(network.class_names, map(float, row), strict=True)),
                }
            )
    return predictions


def _line(p: dict[str, Any], several: bool) -> str:
    where = printable(f"{p['file']}[{p['index']}]" if several else p["file"])
    ranked = sorted(p["probabilities"].items(), key=lambda item: -item[1])[1:_SHOWN_CLASSES]
    rest = ", ".join(f"{name} {share:.1%}" for name, share in ranked if share >= 0.001)
    text = f"{where}: {p['class_name']} {p['confidence']:.1%}" + (f" ({rest})" if rest else "")
    return printable(text)


def _write_montage(path: str, images: list[NDArray[np.float32]]) -> None:
    """Write images side by side, enlarged, as one picture."""
    library = require("PIL.Image", "cli")
    columns = int(np.ceil(np.sqrt(len(images))))
    height, width = images[0].shape[1:]
    factor, gap = max(1, _SHOWN_PIXELS // max(height, width)), 4
    rows = -(-len(images) // columns)
    cell = height * factor + gap, width * factor + gap
    sheet = np.full((rows * cell[0] + gap, columns * cell[1] + gap, 3), 128, np.uint8)
    for k, image in enumerate(images):
        pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
        colour = pixels if pixels.shape[2] == 3 else np.repeat(pixels.mean(2, keepdims=True), 3, 2)
        large = colour.repeat(factor, 0).repeat(factor, 1)
        top, left = (k // columns) * cell[0] + gap, (k % columns) * cell[1] + gap
        sheet[top : top + large.shape[0], left : left + large.shape[1]] = large
    library.fromarray(sheet).save(Path(path))
