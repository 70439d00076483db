"""Train a named network on a data set, and say how well it does on the test images.

Epochs, batch size, optimizer and learning rate are what the network's recipe says (summary shows it), unless a flag
says otherwise.
"""

import argparse
import math
import os
import shlex
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import models
from ..checks import plural
from ..data import Dataset, expand_shifted
from ..kernels import get_kernels
from ..kernels.threads import get_num_threads
from ..models import OPTIMIZERS, RECIPES, Network
from ..storage.archive import read_archive
from ..training import Run, checkpoint, fit
from ..training.evaluate import Evaluation, evaluate
from ..training.mpi import ALONE, World, world
from ..training.progress import STYLES, meter
from ..training.records import as_json
from ._facts import training_facts
from ._interrupt import Interrupt
from ._options import (
    Subparsers,
    add_compute_flags,
    add_data_flags,
    apply_compute_flags,
    check_target,
    fraction,
    load_data,
    positive,
    say,
)
from ._ranks import together

_DEFAULT_MODEL = {"digits": "digits"}  # the others: fast


def add_parser(subparsers: Subparsers) -> None:
    """See the package."""
    parser = subparsers.add_parser("train", help="train a named network", description=__doc__)
    add_data_flags(parser)
    names = f"one of {', '.join(RECIPES)} (default: digits for the digits, else fast)"
    parser.add_argument("--model", choices=RECIPES, metavar="NAME", help=names)
    parser.add_argument("--epochs", type=positive(int), metavar="N", help="how often each image is seen")
    parser.add_argument("--batch-size", type=positive(int), metavar="N", help="images per update")
    parser.add_argument("--lr", type=positive(float), metavar="RATE", help="learning rate, a schedule's highest")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="one that the recipe does not name has its defaults")
    parser.add_argument("--validation", type=fraction, metavar="SHARE", help="share of the training images held out")
    parser.add_argument("--patience", type=positive(int), metavar="N", help="stop after N epochs without a new best")
    parser.add_argument("--seed", type=seed, metavar="N", help="decides weights, order and all chance (default: 0)")
    add_compute_flags(parser)
    parser.add_argument("--save", metavar="FILE", help="write the weights here: .npz, or .safetensors (an extra)")
    parser.add_argument("--checkpoint", metavar="FILE", help="save the run in this .npz, each minute and when stopped")
    parser.add_argument("--resume", nargs="?", const=True, metavar="FILE", help="go on with a checkpoint as it began")
    parser.add_argument(
        "--distributed", action="store_true", help="train together with the other processes that mpiexec started"
    )
    shown = "what standard error shows of it (default: auto: a bar on a terminal, else plain lines)"
    parser.add_argument("--progress", choices=STYLES, default="auto", help=shown)
    parser.add_argument("--json", action="store_true", help="print one JSON object, not sentences")


def run(args: argparse.Namespace) -> int:
    """See the package."""
    team = world() if args.distributed else ALONE
    return together(team, partial(_run, args, team))


def _run(args: argparse.Namespace, team: World) -> int:
    options, args.checkpoint, train, test = team.from_first(partial(_given, args))
    apply_compute_flags(options["kernels"], args.threads or _fair_threads(team))
    training, model = _prepared(options, train, args)
    if team.size > 1 and team.rank == 0:
        say(f"{team.size} ranks, threads of each: {get_num_threads()}")
        if training.path is not None:  # said now, because a job that is killed has no last words
            say(f"should it end early, {_how_to_resume(training)}")
    if status := _watched(training, args.progress):
        if team.rank == 0:
            say(f"interrupted after step {training.step}; {_how_to_resume(training)}")
        return status
    if team.rank > 0:
        return 0
    scored = evaluate(model, test, cost=RECIPES[options["model"]].cost)
    if args.save is not None:
        history = [asdict(record) for record in training.history]
        checkpoint.save(model, args.save, about=options | {"history": history})
    result = _result(training, model, test, scored, options)
    print(as_json(result) if args.json else _sentences(result))
    return 0


def _given(args: argparse.Namespace) -> tuple[dict[str, Any], str | None, Dataset, Dataset]:
    """Options, checkpoint, and (train, test): everything that is read from files, by rank 0 for all."""
    options = _options(args)
    _refuse_bad_targets(args)
    return options, args.checkpoint, *load_data(options["dataset"], options["data_dir"])


def _fair_threads(team: World) -> int | None:
    """Threads for each of several ranks, so that they do not fight; None leaves it to the default."""
    return None if team.size == 1 else min(get_num_threads(), team.threads())


def _watched(training: Run, progress: str) -> int:
    """Train, showing every record. Returns 0, or the exit status that tells of a signal."""
    team = training.team
    with (
        Interrupt() as interrupt,
        meter(progress if team.rank == 0 else "none", training.settings.epochs) as show,
        closing(iter(training)) as records,  # left early, it saves
    ):
        for record in records:
            show(record)
            if any(team.total(interrupt.status)):  # the signal may have come to another rank alone
                return interrupt.status or 130
    return interrupt.status


def seed(text: str) -> int:
    """An argparse type: an integer from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


seed.__name__ = "int"  # argparse's "invalid int value"


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What decides the run's bits, by name: the flags over the recipe, or what the checkpoint to resume says."""
    given = {
        k: getattr(args, k)
        for k in (
            "dataset",
            "data_dir",
            "model",
            "epochs",
            "batch_size",
            "lr",
            "optimizer",
            "validation",
            "patience",
            "seed",
            "kernels",
        )
    }
    if args.resume is not None:
        named = {path for path in (args.checkpoint, args.resume) if path not in (None, True)}
        if len(named) != 1:
            raise ValueError("--resume goes on in one file: --checkpoint FILE --resume, or --resume FILE")
        args.checkpoint = named.pop()
        if Path(args.checkpoint).exists() or args.resume is not True:
            return _resumed(given, training_facts(args.checkpoint, checkpoint.about(args.checkpoint)))
        say(f"{args.checkpoint} is not there yet: starting from the beginning")
    dataset = given["dataset"] or "digits"
    name = given["model"] or _DEFAULT_MODEL.get(dataset, "fast")
    recipe = RECIPES[name]
    if given["data_dir"] is not None:
        given["data_dir"] = os.path.abspath(given["data_dir"])
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
    return {k: defaults.get(k) if v is None else v for k, v in given.items()}


def _resumed(given: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    movable = ("data_dir", "kernels")
    different = [
        f"--{k.replace('_', '-')} was {kept[k]}, not {v}"
        for k, v in given.items()
        if v is not None and k not in movable and kept[k] != v
    ]
    if different:
        raise ValueError("--resume goes on with the settings of the checkpoint: " + "; ".join(different))
    return kept | {k: given[k] for k in movable if given[k] is not None}


def _refuse_bad_targets(args: argparse.Namespace) -> None:
    """Better now than after an hour of training."""
    if args.save is not None:
        check_target("--save", args.save, ".npz", ".safetensors")
    if args.checkpoint is not None:
        check_target("--checkpoint", args.checkpoint, ".npz")
    if None not in (args.save, args.checkpoint) and os.path.realpath(args.save) == os.path.realpath(args.checkpoint):
        raise ValueError(f"--save {args.save}: is the checkpoint's file; name another")
    if args.checkpoint is not None and args.resume is None and Path(args.checkpoint).exists():
        state = read_archive(args.checkpoint)[1].get("run")
        if not isinstance(state, dict) or not state.get("finished"):
            step = state.get("step") if isinstance(state, dict) else None
            what = "weights, not a run" if step is None else f"a run that was interrupted after step {step}"
            raise ValueError(f"--checkpoint {args.checkpoint}: holds {what}; add --resume, or name another file")


def _prepared(options: dict[str, Any], train: Dataset, args: argparse.Namespace) -> tuple[Run, Network]:
    """The run, not started, or put where its checkpoint was; and the model."""
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
    training = fit(
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
        checkpoint=args.checkpoint,
        resume=args.resume is not None,
        about=options,
        distributed=args.distributed,
    )
    return training, model


def _result(
    training: Run, model: Network, test: Dataset, scored: Evaluation, options: dict[str, Any]
) -> dict[str, Any]:
    """What ``--json`` prints."""
    return (
        {
            "test_accuracy": scored.accuracy,
            "test_loss": scored.loss,
            "test_images": len(test),
            "epochs": training.epoch,
            "steps": training.step,
            "parameters": sum(p.size for p in model.parameters()),
            "train_seconds": training.seconds,
            "images_per_second": training.images / training.seconds,
            "kernels": get_kernels(),
            "threads": get_num_threads(),
            "ranks": training.team.size,
        }
        | {k: options[k] for k in ("seed", "dataset", "model", "batch_size", "lr", "optimizer")}
        | {
            "history": [asdict(record) for record in training.history],
        }
    )


def _sentences(result: dict[str, Any]) -> str:
    return (
        f"test accuracy {result['test_accuracy']:.2%} on {plural(result['test_images'], 'image')}, "
        f"loss {result['test_loss']:.4f}\n"
        f"{result['model']}: {result['parameters']:,} parameters, {plural(result['epochs'], 'epoch')} in "
        f"{result['train_seconds']:.1f} s, {result['images_per_second']:,.0f} images/s\n"
        f"{result['kernels']} kernels, {plural(result['threads'], 'thread')}, seed {result['seed']}"
    )


def _how_to_resume(training: Run) -> str:
    if training.path is None:
        return "nothing was saved (--checkpoint FILE saves it next time)"
    ranks = training.team.size
    start, flag = ("", "") if ranks == 1 else (f"mpiexec -n {ranks} ", " --distributed")
    return f"go on with: {start}tinygrad-cnn train{flag} --checkpoint {shlex.quote(str(training.path))} --resume"
