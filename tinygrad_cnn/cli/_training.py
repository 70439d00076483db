"""The settings of ``train``, from flags, recipe and the checkpoint that is resumed, and the run made of them."""

import argparse
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import models
from ..data import Dataset, ImageSpec, expand_shifted
from ..kernels import get_kernels
from ..models import RECIPES, Network, Recipe
from ..nn import Module
from ..training import Run, checkpoint, class_weights
from ..training import train as start_run
from ..training.checkpoint import Checkpoint
from ._augment import augmentation
from ._data import Images, data_facts, load_images, portable
from ._facts import OPTIONS, check_training_facts
from ._init import InitialWeights
from ._options import say
from ._targets import check_output

MOVABLE = ("data_dir", "data", "kernels")
"""Options that a resumed run may change without --override."""

_FINE_TUNING_RATE = 0.1  # of the recipe's learning rate, for weights that have learned already
_MIN_VALIDATION_IMAGES = 50  # fewer choose an epoch by chance
_LARGEST_FAST_SIDE = 40  # pixels: grey images up to it are trained like MNIST's, larger ones like photographs


class Inputs(NamedTuple):
    """The content of files that training needs: options, the checkpoint to save to and to resume, and images."""

    options: dict[str, Any]
    path: str | None
    resume: bool | Checkpoint
    images: Images
    initial: InitialWeights | None


def read_inputs(args: argparse.Namespace) -> Inputs:
    """Read everything that files hold, after a look at all that will be written. Rank 0 does it for all."""
    path, stored = _resumed_checkpoint(args)
    check_targets(args, path)
    resumed = None if stored is None else _resumed_options(args, stored)
    facts = data_facts(args, "digits") if resumed is None else _resumed_data(args, resumed)
    assert facts is not None
    initial = None if args.init is None or stored is not None else InitialWeights(args.init)
    images = load_images(facts)
    options = _options(args, images, initial) if resumed is None else resumed
    places = {"data": portable(facts["data"]), "data_dir": portable(facts["data_dir"])}
    reading = {k: list(v) if isinstance(v, tuple) else v for k, v in facts["reading"].items()}
    options |= places | {"dataset": facts["dataset"], "reading": reading}
    return Inputs(options, path, stored or False, images, initial)


def make_run(inputs: Inputs, args: argparse.Namespace) -> tuple[Run, Network]:
    """Return the run, not started, or as it was when its checkpoint was saved, and the model."""
    options, train = inputs.options, inputs.images.train
    for_model, for_order, for_split = np.random.default_rng(options["seed"]).spawn(3)
    validation = None
    if options["validation"]:
        train, validation = train.split(float(options["validation"]), for_split)
    recipe = _recipe(options)
    if recipe is not None and recipe.shifted:
        train = expand_shifted(train)
    model = _model(inputs, train, for_model)
    optimizer = (recipe or RECIPES["fast"]).make_optimizer(model, options["optimizer"], options["lr"])
    per_epoch = len(train) / options["batch_size"]
    total = options["epochs"] * (math.floor(per_epoch) if options["drop_last"] else math.ceil(per_epoch))
    schedule = recipe.schedule if recipe is not None else models.one_cycle
    augment = options["augment"]
    run = start_run(
        model,
        train,
        epochs=options["epochs"],
        batch_size=options["batch_size"],
        optimizer=optimizer,
        schedule=schedule and schedule(optimizer, max(total, 1)),
        cost=model.cost,
        class_weight=class_weights(train) if options["balance"] else None,
        validation=validation,
        augment=(recipe.augment if recipe else None) if augment is None else augmentation(augment),
        drop_last=options["drop_last"],
        rng=for_order,
        ema=recipe.ema if recipe else None,
        patience=options["patience"],
        checkpoint=inputs.path,
        resume=inputs.resume,
        override=args.override and bool(inputs.resume),
        about=options,
        distributed=args.distributed,
        advice=args.advice,
    )
    return run, model


def check_targets(args: argparse.Namespace, path: str | None) -> None:
    """ValueError, before any training, for files that could not be written, or that hold something of value."""
    if args.save is not None:
        check_output("--save", args.save, ".npz", ".safetensors", ".onnx")
    if args.log_dir is not None and os.path.exists(args.log_dir) and not os.path.isdir(args.log_dir):
        raise ValueError(f"--log-dir {args.log_dir}: is not a folder")
    if path is None:
        return
    check_output("--checkpoint", path, ".npz")
    if args.save is not None and os.path.realpath(args.save) == os.path.realpath(path):
        raise ValueError(f"--save {args.save}: is the checkpoint's file; name another")
    if args.resume is None and Path(path).exists():
        stored = checkpoint.read(path)
        if not stored.finished:
            step = stored.step
            what = "weights, not a run" if step is None else f"a run that was interrupted after step {step}"
            raise ValueError(f"--checkpoint {path}: holds {what}; add --resume, or name another file")


def _resumed_checkpoint(args: argparse.Namespace) -> tuple[str | None, Checkpoint | None]:
    """Return the path of the checkpoint, and its content if the run is resumed from it."""
    if args.resume is None:
        if args.override:
            raise ValueError("--override goes with --resume")
        return args.checkpoint, None
    paths = {path for path in (args.checkpoint, args.resume) if path not in (None, True)}
    if len(paths) != 1:
        raise ValueError("--resume goes on in one file: --checkpoint FILE --resume, or --resume FILE")
    path = paths.pop()
    if args.resume is True and not Path(path).exists():
        say(f"{path} is not there yet: starting from the beginning")
        return path, None
    return path, checkpoint.read(path)


def _options(args: argparse.Namespace, images: Images, initial: InitialWeights | None) -> dict[str, Any]:
    """Return the options that the run's bits depend on, by name: the flags, or else the recipe's settings."""
    flags = {name: getattr(args, name, None) for name in OPTIONS}
    name = flags["model"] or (_default_model(images) if initial is None else initial.recipe)
    recipe = RECIPES[name or "fast"]
    defaults = {
        "model": name,
        "epochs": recipe.epochs if name else 5,
        "batch_size": recipe.batch_size,
        "lr": (recipe.lr if name else 1e-3) * (_FINE_TUNING_RATE if initial is not None else 1),
        "optimizer": recipe.optimizer,
        "validation": recipe.validation if recipe.validation * len(images.train) >= _MIN_VALIDATION_IMAGES else 0.0,
        "patience": recipe.patience,
        "seed": 0,
        "kernels": get_kernels(),
    }
    return {name: defaults.get(name) if value is None else value for name, value in flags.items()}


def _default_model(images: Images) -> str:
    channels, height, width = images.train.image_shape
    if images.name == "digits" or max(height, width) < 20:
        return "digits"
    return "fast" if channels == 1 and max(height, width) <= _LARGEST_FAST_SIDE else "photo"


def _resumed_options(args: argparse.Namespace, stored: Checkpoint) -> dict[str, Any]:
    """Return the options of the run in a checkpoint. ValueError for flags that differ, unless they override."""
    options = check_training_facts(str(stored.path), stored.about)
    flags = {name: value for name in OPTIONS if (value := getattr(args, name, None)) not in (None, False)}
    different = [
        f"--{name.replace('_', '-')} was {options[name]}, not {value}"
        for name, value in flags.items()
        if name not in MOVABLE and options[name] != value
    ]
    if different and not args.override:
        differences = "; ".join(different)
        raise ValueError(
            f"--resume goes on with the settings of the checkpoint: {differences} (--override changes them)"
        )
    return options | flags


def _resumed_data(args: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Return where the images of a resumed run are: where they were, or where the flags say that they are now."""
    reading = {**options["reading"], **((data_facts(args) or {}).get("reading", {}))}
    facts = {name: options[name] for name in ("dataset", "data_dir", "data")} | {"reading": reading}
    if facts["data"] is not None and not Path(facts["data"]).expanduser().exists():
        raise ValueError(f"--resume: the images were in {facts['data']}, which is not here; say where by --data PATH")
    return facts


def _recipe(options: dict[str, Any]) -> Recipe | None:
    return RECIPES[options["model"]] if options["model"] is not None else None


def _model(inputs: Inputs, train: Dataset, rng: np.random.Generator) -> Network:
    """Return the network to train: a named one, or the one of a file."""
    options, shape, classes = inputs.options, train.image_shape, train.num_classes
    normalize = train.mean_and_std() if options["normalize"] else None
    if options["model"] is None and isinstance(inputs.resume, Checkpoint):
        return _of_file(inputs.resume.model(), train)
    if options["model"] is None and inputs.initial is not None:
        network = inputs.initial.network(train, rng)
        if normalize is not None:
            raise ValueError("--normalize goes with a named network; the one of --init has its own preparation")
        return network
    network = models.build(str(options["model"]), shape, classes, normalize=normalize, rng=rng)
    if inputs.initial is not None:
        inputs.initial.load_into(network, train.class_names)
    return network


def _of_file(model: Module, train: Dataset) -> Network:
    spec = model.image_spec if isinstance(model.image_spec, ImageSpec) else None
    return models.as_network(model.train(), "the checkpoint", train.image_shape, spec)
