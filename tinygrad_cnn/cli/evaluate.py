"""Count what a trained network recognises: accuracy, for each class too, and what was taken for what."""

import argparse
import math
from typing import Any

from ..checks import plural
from ..models import RECIPES
from ..training.evaluate import Evaluation, evaluate
from ..training.records import as_json
from ._options import Subparsers, add_compute_flags, add_data_flags, apply_compute_flags
from ._table import aligned
from ._weights import load_network, load_test_set

_WIDEST = 20  # classes whose confusion is printed


def add_parser(subparsers: Subparsers) -> None:
    """See the package."""
    parser = subparsers.add_parser("evaluate", help="test a trained network", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    add_data_flags(parser, "what it was trained on")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """See the package."""
    apply_compute_flags(args.kernels, args.threads)
    network, about = load_network(args.weights)
    dataset, test = load_test_set(args, network, about)
    scored = evaluate(network, test, cost=RECIPES[network.name].cost)
    print(as_json(_result(scored, dataset)) if args.json else _sentences(scored))
    return 0


def _result(scored: Evaluation, dataset: str) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "test_accuracy": scored.accuracy,
        "test_loss": scored.loss,
        "test_images": len(scored.predictions),
        "per_class_accuracy": scored.per_class_accuracy.tolist(),
        "confusion": scored.confusion.tolist(),
        "misclassified": scored.misclassified.tolist(),
    }


def _sentences(scored: Evaluation) -> str:
    images, wrong = len(scored.predictions), len(scored.misclassified)
    head = (
        f"test accuracy {scored.accuracy:.2%} on {plural(images, 'image')} ({wrong:,} misclassified), "
        f"loss {scored.loss:.4f}"
    )
    classes = len(scored.confusion)
    columns = range(classes) if classes <= _WIDEST else ()
    note = "a row for each class; on the right, how many of its images were taken for which\n" if columns else ""
    rows: list[list[object]] = [["class", "accuracy", *columns]]
    for i, (counts, share) in enumerate(zip(scored.confusion, scored.per_class_accuracy, strict=True)):
        rows.append([i, "-" if math.isnan(share) else f"{share:.2%}", *(counts[j] or "." for j in columns)])
    return f"{head}\n\n{note}{aligned(rows, 0)}"
