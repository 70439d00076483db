"""Train a named network on a data set, and say how well it does on the test images.

Epochs, batch size, optimizer and learning rate are what the network's recipe says (summary shows it), unless a flag
says otherwise.
"""

import argparse
import math
import os
import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import models
from ..checks import plural
from ..data import Dataset, expand_shifted
from ..kernels import get_kernels
from ..kernels.threads import get_num_threads
from ..models import OPTIMIZERS, RECIPES, Network
from ..storage.atomic import check_target
from ..training import Run, checkpoint
from ..training import train as start_run
from ..training.checkpoint import Checkpoint
from ..training.evaluate import Evaluation, evaluate
from ..training.interrupt import Interrupt
from ..training.mpi import ALONE, World, world
from ..training.progress import STYLES, run_to_end
from ..training.records import as_json
from ._facts import OPTIONS, check_training_facts
from ._options import (
    Subparsers,
    add_compute_flags,
    add_data_flags,
    apply_compute_flags,
    fraction,
    load_data,
    number,
    positive,
    say,
)
from ._ranks import on_all_ranks

_DEFAULT_MODEL = {"digits": "digits"}  # of a data set; fast for the others
_MOVABLE = ("data_dir", "kernels")  # options that a resumed run may change without --override


class _Inputs(NamedTuple):
    """The content of files that training needs: options, the checkpoint to save to and to resume, and images."""

    options: dict[str, Any]
    path: str | None
    resume: bool | Checkpoint
    train: Dataset
    test: Dataset


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("train", help="train a named network", description=__doc__)
    add_data_flags(parser)
    names = f"one of {', '.join(RECIPES)} (default: digits for the digits, else fast)"
    parser.add_argument("--model", choices=RECIPES, metavar="NAME", help=names)
    parser.add_argument("--epochs", type=positive(int), metavar="N", help="how often each image is seen")
    parser.add_argument("--batch-size", type=positive(int), metavar="N", help="images per update")
    parser.add_argument("--lr", type=positive(float), metavar="RATE", help="learning rate, a schedule's highest")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="one that the recipe does not name has its defaults")
    parser.add_argument("--validation", type=fraction, metavar="FRACTION", help="of the training images, held out")
    parser.add_argument("--patience", type=positive(int), metavar="N", help="stop after N epochs without a new best")
    parser.add_argument("--seed", type=_seed, metavar="N", help="of weights, order and all random numbers (default: 0)")
    add_compute_flags(parser)
    parser.add_argument("--save", metavar="FILE", help="write the weights here: .npz, or .safetensors (an extra)")
    parser.add_argument("--checkpoint", metavar="FILE", help="save the run in this .npz, each minute and when stopped")
    parser.add_argument("--resume", nargs="?", const=True, metavar="FILE", help="go on with a checkpoint as it began")
    parser.add_argument("--override", action="store_true", help="with --resume: go on with the flags that differ")
    parser.add_argument(
        "--distributed", action="store_true", help="train together with the other processes that mpiexec started"
    )
    text = "on standard error (default: auto: a bar on a terminal, else plain lines)"
    parser.add_argument("--progress", choices=STYLES, default="auto", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object, not sentences")


def run(args: argparse.Namespace) -> int:
    comm = world() if args.distributed else ALONE
    return on_all_ranks(comm, partial(_run, args, comm))


def _run(args: argparse.Namespace, comm: World) -> int:
    inputs = comm.on_root(partial(_read_inputs, args))
    apply_compute_flags(inputs.options["kernels"], args.threads or _fair_threads(comm))
    run, model = _start(inputs, args)
    if comm.rank == 0:
        for line in run.overrides:
            say(line)
        if comm.size > 1:
            say(f"{comm.size} ranks, threads of each: {get_num_threads()}")
            if run.path is not None:  # said now, as a job that is killed cannot say it
                say(f"should it end early, {_how_to_resume(run, comm)}")
    if status := run_to_end(run, args.progress, Interrupt(), comm):
        if comm.rank == 0:
            say(f"interrupted after step {run.step}; {_how_to_resume(run, comm)}")
        return status
    if comm.rank > 0:
        return 0
    evaluation = evaluate(model, inputs.test, cost=RECIPES[inputs.options["model"]].cost)
    if args.save is not None:
        history = [asdict(record) for record in run.history]
        checkpoint.save(model, args.save, about=inputs.options | {"history": history})
    result = _result(run, model, evaluation, inputs.options) | {"ranks": comm.size}
    print(as_json(result) if args.json else _sentences(result))
    return 0


def _read_inputs(args: argparse.Namespace) -> _Inputs:
    """Read everything that files hold. Rank 0 does it for all."""
    path, stored = _resumed_checkpoint(args)
    options = _options(args) if stored is None else _resumed_options(args, stored)
    _check_targets(args, path)
    return _Inputs(options, path, stored or False, *load_data(options["dataset"], options["data_dir"]))


def _fair_threads(comm: World) -> int | None:
    """Return the threads of each of several ranks, so that they do not compete; None leaves it to the default."""
    return None if comm.size == 1 else min(get_num_threads(), comm.threads())


def _seed(text: str) -> int:
    """An argparse type: an integer from 0."""
    value = number(int, text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


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


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that the run's bits depend on, by name: the flags, or else the recipe's settings."""
    flags = {name: getattr(args, name) for name in OPTIONS}
    dataset = flags["dataset"] or "digits"
    name = flags["model"] or _DEFAULT_MODEL.get(dataset, "fast")
    recipe = RECIPES[name]
    if flags["data_dir"] is not None:
        flags["data_dir"] = os.path.abspath(flags["data_dir"])
    defaults = {
        "dataset": dataset,
        "model": name,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "optimizer": recipe.optimizer,
        "validation": recipe.validation,
        "seed": 0,
        "kernels": get_kernels(),
    }
    return {name: defaults.get(name) if value is None else value for name, value in flags.items()}


def _resumed_options(args: argparse.Namespace, stored: Checkpoint) -> dict[str, Any]:
    """Return the options of the run in a checkpoint. ValueError for flags that differ, unless they override."""
    options = check_training_facts(str(stored.path), stored.about)
    flags = {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
    different = [
        f"--{name.replace('_', '-')} was {options[name]}, not {value}"
        for name, value in flags.items()
        if name not in _MOVABLE and options[name] != value
    ]
    if different and not args.override:
        differences = "; ".join(different)
        raise ValueError(
            f"--resume goes on with the settings of the checkpoint: {differences} (--override changes them)"
        )
    return options | flags


def _check_targets(args: argparse.Namespace, path: str | None) -> None:
    """ValueError, before any training, for files that could not be written, or that hold something of value."""
    if args.save is not None:
        check_target("--save", args.save, ".npz", ".safetensors")
    if path is None:
        return
    check_target("--checkpoint", path, ".npz")
    if args.save is not None and os.path.realpath(args.save) == os.path.realpath(path):
        raise ValueError(f"--save {args.save}: is the checkpoint's file; name another")
    if args.resume is None and Path(path).exists():
        stored = checkpoint.read(path)
        if not stored.finished:
            step = stored.step
            what = "weights, not a run" if step is None else f"a run that was interrupted after step {step}"
            raise ValueError(f"--checkpoint {path}: holds {what}; add --resume, or name another file")


def _start(inputs: _Inputs, args: argparse.Namespace) -> tuple[Run, Network]:
    """Return the run, not started, or as it was when its checkpoint was saved, and the model."""
    options, train = inputs.options, inputs.train
    recipe = RECIPES[options["model"]]
    for_model, for_order, for_split = np.random.default_rng(options["seed"]).spawn(3)
    validation = None
    if options["validation"]:
        train, validation = train.split(float(options["validation"]), for_split)
    if recipe.shifted:
        train = expand_shifted(train)
    model = models.build(options["model"], train.image_shape, train.num_classes, rng=for_model)
    optimizer = recipe.make_optimizer(model, options["optimizer"], options["lr"])
    total = options["epochs"] * math.ceil(len(train) / options["batch_size"])
    run = start_run(
        model,
        train,
        epochs=options["epochs"],
        batch_size=options["batch_size"],
        optimizer=optimizer,
        schedule=recipe.schedule and recipe.schedule(optimizer, total),
        cost=recipe.cost,
        validation=validation,
        augment=recipe.augment,
        rng=for_order,
        ema=recipe.ema,
        patience=options["patience"],
        checkpoint=inputs.path,
        resume=inputs.resume,
        override=args.override and bool(inputs.resume),
        about=options,
        distributed=args.distributed,
    )
    return run, model


def _result(run: Run, model: Network, evaluation: Evaluation, options: dict[str, Any]) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "test_images": len(evaluation.predictions),
        "epochs": run.epoch,
        "steps": run.step,
        "parameters": sum(p.size for p in model.parameters()),
        "train_seconds": run.seconds,
        "images_per_second": run.images / run.seconds,
        "kernels": get_kernels(),
        "threads": get_num_threads(),
        **{name: options[name] for name in ("seed", "dataset", "model", "batch_size", "lr", "optimizer")},
        "history": [asdict(record) for record in run.history],
    }


def _sentences(result: dict[str, Any]) -> str:
    return (
        f"test accuracy {result['test_accuracy']:.2%} on {plural(result['test_images'], 'image')}, "
        f"loss {result['test_loss']:.4f}\n"
        f"{result['model']}: {result['parameters']:,} parameters, {plural(result['epochs'], 'epoch')} in "
        f"{result['train_seconds']:.1f} s, {result['images_per_second']:,.0f} images/s\n"
        f"{result['kernels']} kernels, {plural(result['threads'], 'thread')}, seed {result['seed']}"
    )


def _how_to_resume(run: Run, comm: World) -> str:
    if run.path is None:
        return "nothing was saved (--checkpoint FILE saves it next time)"
    start, flag = ("", "") if comm.size == 1 else (f"mpiexec -n {comm.size} ", " --distributed")
    return f"go on with: {start}tinygrad-cnn train{flag} --checkpoint {shlex.quote(str(run.path))} --resume"
