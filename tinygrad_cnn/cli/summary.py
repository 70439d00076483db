"""Show a network's layers: output shapes, parameters, and multiply-adds for one image."""

import argparse
import difflib
import os
import re

from .. import kernels, models
from ..checks import plural
from ..models import RECIPES, Network
from ._data import DATASETS, _size
from ._options import Subparsers
from ._table import format_table
from ._weights import load_network

_IMAGE_SHAPES = {"digits": (1, 8, 8)}  # the other data sets have 28x28


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("summary", help="show a network's layers and sizes", description=__doc__)
    parser.add_argument("model", metavar="MODEL|FILE", help=f"a file, or one of {', '.join(RECIPES)}")
    parser.add_argument(
        "--dataset", choices=DATASETS, metavar="NAME", help="whose images a named network is for (default: mnist)"
    )
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the images, instead")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="of the images (default: 1)")


def run(args: argparse.Namespace) -> int:
    kernels.set_kernels("numpy")  # for one image, compiling does not pay
    network = _network(args)
    rows = models.summarize(network, network.image_shape)
    shape = "x".join(map(str, network.image_shape))
    classes = plural(network.num_classes, "class", "classes")
    print(f"{network.name}: images {shape} (C x H x W), {classes}")
    if network.class_names != tuple(map(str, range(network.num_classes))):
        print(f"classes: {', '.join(network.class_names)}")
    if recipe := RECIPES.get(network.name):
        settings = f"{plural(recipe.epochs, 'epoch')}, batches of {recipe.batch_size}, {recipe.optimizer}"
        print(f"recipe: {settings} at {recipe.lr:g}; {recipe.source}")
    table = [("layer", "output", "parameters", "multiply-adds")]
    for r in rows:
        output = "x".join(map(str, r.output_shape))
        table.append((f"{r.name}  {_short(r.layer)}", output, f"{r.parameters:,}", f"{r.multiply_adds:,}"))
    sums = sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows)
    table.append(("total", "", f"{sums[0]:,}", f"{sums[1]:,}"))
    print(format_table(table))
    return 0


def _short(layer: str) -> str:
    """Return a layer in short: one number for rows and columns that are equal, and no defaults."""
    text = re.sub(r"\((\d+), \1\)", r"\1", layer).replace("kernel_size=", "")
    text = re.sub(r", (padding=0|eps=1e-05|momentum=0.1)\b", "", text)
    return re.sub(r"(\(\d+, \d+, (\d+|\(.*?\))), stride=1\b", r"\1", text)  # the default of layers with channels


def _network(args: argparse.Namespace) -> Network:
    model, dataset, size = args.model, args.dataset, args.size
    chosen = (args.channels or 1, *size) if size is not None else None
    if model in RECIPES:
        usual = _IMAGE_SHAPES.get(dataset or ("digits" if model == "digits" else "mnist"), (1, 28, 28))
        return models.build(model, chosen or (args.channels or 1, *usual[1:]))
    if dataset is not None:
        raise ValueError(f"--dataset goes with the name of a model; {model} is not one of {', '.join(RECIPES)}")
    if not os.path.exists(model) and "." not in model:
        raise ValueError(unknown_model(model))
    return load_network(model, chosen)[0]


def unknown_model(name: str) -> str:
    """Return a sentence about a name that no network has: the one that was meant, if one is near, and all."""
    near = difflib.get_close_matches(name, RECIPES, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{name}: is no file and no network; {meant}the networks are {', '.join(RECIPES)}"
