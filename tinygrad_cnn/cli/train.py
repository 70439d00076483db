"""Train a network on your own images, or on a known data set, and say how well it does on the test images.

--data PATH takes a folder with a folder of pictures for each class, a .csv, an .npz, or IDX files. Epochs, batch size,
optimizer and learning rate are what the network's recipe says (summary shows it), unless a flag says otherwise.
"""

import argparse
import shlex
from dataclasses import asdict
from functools import partial
from typing import Any

from ..checks import plural
from ..kernels import get_kernels
from ..kernels.threads import get_num_threads
from ..models import OPTIMIZERS, RECIPES, Network
from ..training import Run, checkpoint
from ..training.evaluate import Evaluation, evaluate
from ..training.interrupt import Interrupt
from ..training.mpi import ALONE, World, world
from ..training.progress import STYLES, run_to_end
from ..training.records import as_json
from ._augment import AUGMENTATIONS, names
from ._data import add_data_flags
from ._options import Subparsers, add_compute_flags, apply_compute_flags, fraction, number, positive, say
from ._ranks import on_all_ranks
from ._training import make_run, read_inputs
from ._weights import write_onnx
from .evaluate import more_accuracies
from .summary import unknown_model


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("train", help="train a network", description=__doc__)
    add_data_flags(parser)
    group = parser.add_argument_group("the network and its training")
    listed = f"one of {', '.join(RECIPES)} (default: digits, fast or photo, by the images)"
    group.add_argument("--model", type=_model, metavar="NAME", help=listed)
    text = "begin with this file's weights: those that fit --model, or the whole network; .npz, .safetensors or .onnx"
    group.add_argument("--init", metavar="FILE", help=text)
    group.add_argument("--epochs", type=positive(int), metavar="N", help="how often each image is seen")
    group.add_argument("--batch-size", type=positive(int), metavar="N", help="images per update")
    group.add_argument("--lr", type=positive(float), metavar="RATE", help="learning rate, a schedule's highest")
    group.add_argument("--optimizer", choices=OPTIMIZERS, help="one that the recipe does not name has its defaults")
    group.add_argument("--validation", type=fraction, metavar="FRACTION", help="of the training images, held out")
    group.add_argument("--patience", type=positive(int), metavar="N", help="stop after N epochs without a new best")
    group.add_argument("--balance", action="store_true", help="count every class alike, however many images it has")
    text = f"random changes of the images: none, or some of {', '.join(AUGMENTATIONS)} (default: the recipe's)"
    group.add_argument("--augment", type=names, metavar="NAMES", help=text)
    group.add_argument("--normalize", action="store_true", help="shift and scale each channel, inside the network")
    group.add_argument("--drop-last", action="store_true", help="leave out a smaller last batch of each epoch")
    group.add_argument("--seed", type=_seed, metavar="N", help="of weights, order and all random numbers (default: 0)")
    files = parser.add_argument_group("files")
    text = "write the network here: .npz, .safetensors or .onnx (extras)"
    files.add_argument("--save", metavar="FILE", help=text)
    files.add_argument("--checkpoint", metavar="FILE", help="save the run in this .npz, each minute and when stopped")
    files.add_argument("--resume", nargs="?", const=True, metavar="FILE", help="go on with a checkpoint as it began")
    files.add_argument("--override", action="store_true", help="with --resume: go on with the flags that differ")
    text = "write the curves into this folder, as history.csv and for TensorBoard"
    files.add_argument("--log-dir", metavar="DIR", help=text)
    add_compute_flags(parser)
    parser.add_argument(
        "--distributed", action="store_true", help="train together with the other processes that mpiexec started"
    )
    text = "on standard error (default: auto: a bar on a terminal, else plain lines)"
    parser.add_argument("--progress", choices=STYLES, default="auto", help=text)
    parser.add_argument("--no-advice", dest="advice", action="store_false", help="no sentences about what looks wrong")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not sentences")


def run(args: argparse.Namespace) -> int:
    comm = world() if args.distributed else ALONE
    return on_all_ranks(comm, partial(_run, args, comm))


def _run(args: argparse.Namespace, comm: World) -> int:
    inputs = comm.on_root(partial(read_inputs, args))
    apply_compute_flags(inputs.options["kernels"], args.threads or _fair_threads(comm))
    run, model = make_run(inputs, args)
    if comm.rank == 0:
        for line in run.overrides:
            say(line)
        if comm.size > 1:
            say(f"{comm.size} ranks, threads of each: {get_num_threads()}")
            if run.path is not None:  # said now, as a job that is killed cannot say it
                say(f"should it end early, {_how_to_resume(run, comm)}")
    if status := run_to_end(run, args.progress, Interrupt(), comm, log_dir=args.log_dir):
        if comm.rank == 0:
            say(f"interrupted after step {run.step}; {_how_to_resume(run, comm)}")
        return status
    if comm.rank > 0:
        return 0
    evaluation = evaluate(model, inputs.images.test, cost=model.cost)
    if args.save is not None:
        _save(args.save, model, inputs.options | {"history": [asdict(record) for record in run.history]})
    result = _result(run, model, evaluation, inputs.options) | {"ranks": comm.size}
    print(as_json(result) if args.json else _sentences(result, evaluation))
    return 0


def _save(path: str, model: Network, about: dict[str, Any]) -> None:
    if path.endswith(".onnx"):
        write_onnx(model, path)
    else:
        checkpoint.save(model, path, about=about)


def _fair_threads(comm: World) -> int | None:
    """Return the threads of each of several ranks, so that they do not compete; None leaves it to the default."""
    return None if comm.size == 1 else min(get_num_threads(), comm.threads())


def _model(text: str) -> str:
    """An argparse type: the name of a network."""
    if text not in RECIPES:
        raise argparse.ArgumentTypeError(unknown_model(text))
    return text


def _seed(text: str) -> int:
    """An argparse type: an integer from 0."""
    value = number(int, text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def _result(run: Run, model: Network, evaluation: Evaluation, options: dict[str, Any]) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    return {
        "test_accuracy": evaluation.accuracy,
        "balanced_accuracy": evaluation.balanced_accuracy,
        "test_loss": evaluation.loss,
        "test_images": len(evaluation.predictions),
        "class_names": list(evaluation.class_names),
        "epochs": run.epoch,
        "steps": run.step,
        "parameters": sum(p.size for p in model.parameters()),
        "train_seconds": run.seconds,
        "images_per_second": run.images / run.seconds,
        "kernels": get_kernels(),
        "threads": get_num_threads(),
        **{name: options[name] for name in ("seed", "dataset", "data", "batch_size", "lr", "optimizer")},
        "model": model.name,
        "advice": run.advice,
        "history": [asdict(record) for record in run.history],
    }


def _sentences(result: dict[str, Any], evaluation: Evaluation) -> str:
    first = (
        f"test accuracy {result['test_accuracy']:.2%} on {plural(result['test_images'], 'image')}, "
        f"loss {result['test_loss']:.4f}"
    )
    return "\n".join(
        [
            first,
            *more_accuracies(evaluation),
            f"{result['model']}: {result['parameters']:,} parameters, {plural(result['epochs'], 'epoch')} in "
            f"{result['train_seconds']:.1f} s, {result['images_per_second']:,.0f} images/s",
            f"{result['kernels']} kernels, {plural(result['threads'], 'thread')}, seed {result['seed']}",
        ]
    )


def _how_to_resume(run: Run, comm: World) -> str:
    if run.path is None:
        return "nothing was saved (--checkpoint FILE saves it next time)"
    start, flag = ("", "") if comm.size == 1 else (f"mpiexec -n {comm.size} ", " --distributed")
    return f"go on with: {start}tinygrad-cnn train{flag} --checkpoint {shlex.quote(str(run.path))} --resume"
