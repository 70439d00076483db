"""The images of a command: a data set by name, or whatever a path holds, with the options to read it."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..checks import abbreviated, plural
from ..data import Dataset, ImageSpec
from ..data.loaded import Options
from ._options import fraction, say

DATASETS = ("digits", "mnist", "fashion-mnist", "kmnist", "emnist")
READING = tuple(f.name for f in fields(Options) if f.name not in ("seed", "like"))
"""The options of reading data, as the command line has them: `Options`."""

Facts = dict[str, Any]
"""Where images are from: ``dataset``, ``data_dir``, ``data`` and ``reading``."""


@dataclass(frozen=True)
class Images:
    """Training and test images, and what to call them."""

    train: Dataset
    test: Dataset
    name: str


def add_data_flags(parser: argparse.ArgumentParser, default: str = "digits, which come with the program") -> None:
    """Add ``--data``, ``--dataset`` and what goes with them."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--data",
        metavar="PATH",
        help="your own images: a folder with a folder of pictures for each class, a .csv, an .npz, or IDX files",
    )
    text = f"or a known data set: {', '.join(DATASETS)}"
    group.add_argument("--dataset", choices=DATASETS, metavar="NAME", help=f"{text} (default: {default})")
    group.add_argument("--data-dir", metavar="DIR", help="where the files of that data set are")
    group.add_argument("--size", type=_size, metavar="HxW", help="rows and columns that pictures are brought to")
    group.add_argument("--channels", type=int, choices=(1, 3), help="1: grey, 3: colour (default: as most pictures)")
    group.add_argument("--fit", choices=("pad", "crop"), help="how pictures of another shape are fitted (default: pad)")
    group.add_argument("--skip-damaged", action="store_true", help="leave out pictures that cannot be read")
    group.add_argument("--label-column", metavar="NAME", help="of a .csv: the label's column, by name or number from 0")
    group.add_argument("--layout", choices=("NHWC", "NCHW", "HWCN"), help="the axes of arrays, where it cannot be told")
    group.add_argument("--transpose", action="store_true", help="exchange rows and columns of every image")
    group.add_argument("--split", metavar="NAME", help="which part of EMNIST: balanced, letters, digits ...")
    group.add_argument("--test-fraction", type=fraction, dest="test", metavar="F", help="of images without a test set")


def data_facts(args: argparse.Namespace, default: str | None = None) -> Facts | None:
    """Return where the flags say that images are; None if they say nothing, and there is no default data set."""
    reading = reading_flags(args)
    if args.data is not None and args.dataset is not None:
        raise ValueError("--data and --dataset: choose one")
    if args.data is not None and args.data_dir is not None:
        raise ValueError("--data-dir goes with --dataset; --data PATH names the images themselves")
    if args.data is None and args.dataset is None:
        if default is None and (reading or args.data_dir is not None):
            flag = "data-dir" if args.data_dir is not None else next(iter(reading)).replace("_", "-")
            raise ValueError(f"--{flag} goes with --data or --dataset")
        if default is None:
            return None
    dataset = None if args.data is not None else args.dataset or default
    return {"dataset": dataset, "data_dir": args.data_dir, "data": args.data, "reading": reading}


def reading_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of reading data that are set by flags."""
    return {name: value for name in READING if (value := getattr(args, name)) not in (None, False)}


def load_images(
    facts: Mapping[str, Any], like: ImageSpec | None = None, *, quiet: bool = False, to_test: bool = False
) -> Images:
    """Read the images, and say in a line what they are.

    Args:
        facts: where they are.
        like: what a network takes; pictures are brought to it.
        quiet: say nothing.
        to_test: all images are for testing, where the data have no test images of their own.
    """
    dataset, reading = facts["dataset"], dict(facts["reading"])
    if facts["data"] is None:
        if set(reading) - {"split"} or ("split" in reading and dataset != "emnist"):
            flag = next(name for name in reading if name != "split" or dataset != "emnist").replace("_", "-")
            raise ValueError(f"--{'test-fraction' if flag == 'test' else flag} goes with --data; {dataset} needs none")
        return Images(*_known(dataset, facts["data_dir"], reading.get("split")), dataset)
    loaded = data.open_data(facts["data"], **{k: tuple(v) if k == "size" else v for k, v in reading.items()}, like=like)
    if to_test and loaded.was_split and "test" not in reading:
        whole = loaded.whole()
        if not quiet:
            say(f"{loaded.described(whole)}: all of them are tested")
        return Images(loaded.train, whole, Path(facts["data"]).name or str(facts["data"]))
    if not quiet:
        say(str(loaded))
        for note in loaded.notes:
            say(note)
    return Images(loaded.train, loaded.test, Path(facts["data"]).name or str(facts["data"]))


def portable(path: str | None) -> str | None:
    """Return a path as a file may keep it: from the current folder, or with ``~`` for the home folder."""
    if path is None:
        return None
    place = Path(path).expanduser().absolute()
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~")):
        if place.is_relative_to(base):
            return os.path.join(prefix, place.relative_to(base)) if prefix else str(place.relative_to(base))
    try:
        return os.path.relpath(place)
    except ValueError:  # on another drive
        return place.name


def aligned(test: Dataset, network_names: tuple[str, ...], path: str, source: str) -> Dataset:
    """Return images with their labels in a network's order of classes. ValueError, naming it, for another class."""
    names = test.class_names
    if names == network_names:
        return test
    if len(set(names) | set(network_names)) == len(network_names):
        order = np.array([network_names.index(name) for name in names], np.int64)
        return test.relabelled(order, network_names)
    unnamed = network_names == tuple(map(str, range(len(network_names))))
    if unnamed and len(names) == len(network_names):  # the network was trained where classes had no names
        return test
    strange = [name for name in names if name not in network_names]
    own = f"{plural(len(network_names), 'class', 'classes')} ({abbreviated(', '.join(network_names))})"
    others = f"{plural(len(names), 'class', 'classes')}, among them {strange[0]!r}"
    raise ValueError(f"{path}: was trained on {own}; {source} has {others}")


def _known(dataset: str, folder: str | None, split: str | None) -> tuple[Dataset, Dataset]:
    """Return (train, test) of a data set by its name on the command line."""
    if dataset == "digits":
        if folder is not None:
            raise ValueError("--data-dir goes with --dataset mnist and its kin; the digits come with the program")
        return data.digits()
    readers = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist, "kmnist": data.kmnist}
    if dataset == "emnist":
        return data.emnist(split or "balanced", folder)
    if dataset not in readers:  # the name may come from a file
        raise ValueError(f"there is no data set {dataset!r}; choose --dataset {', '.join(DATASETS)}")
    return readers[dataset](folder)


def _size(text: str) -> tuple[int, int]:
    """An argparse type: ``28``, or ``48x64`` for rows and columns."""
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise argparse.ArgumentTypeError(
            f"must be a number of pixels such as 64, or rows x columns such as 48x64, got {text!r}"
        )
    return int(parts[0]), int(parts[-1])
