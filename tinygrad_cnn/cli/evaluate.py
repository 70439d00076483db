"""Test a trained network: its accuracy, in all and for each class, and which classes it takes for which."""

import argparse
import math
from typing import Any

from ..checks import plural
from ..training.evaluate import Evaluation, evaluate
from ..training.records import as_json
from ._options import Subparsers, add_compute_flags, add_data_flags, apply_compute_flags
from ._table import format_table
from ._weights import load_network, load_test_set

_MAX_PRINTED_CLASSES = 20  # the confusion of more is too wide


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("evaluate", help="test a trained network", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file or checkpoint")
    add_data_flags(parser, "what it was trained on")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    apply_compute_flags(args.kernels, args.threads)
    network, about = load_network(args.weights)
    dataset, test = load_test_set(args, network, about)
    evaluation = evaluate(network, test, cost=network.cost)
    print(as_json(_as_dict(evaluation, dataset)) if args.json else _as_text(evaluation))
    return 0


def _as_dict(evaluation: Evaluation, dataset: str) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "test_images": len(evaluation.predictions),
        "per_class_accuracy": evaluation.per_class_accuracy.tolist(),
        "confusion": evaluation.confusion.tolist(),
        "misclassified": evaluation.misclassified.tolist(),
    }


def _as_text(evaluation: Evaluation) -> str:
    images, wrong = len(evaluation.predictions), len(evaluation.misclassified)
    head = (
        f"test accuracy {evaluation.accuracy:.2%} on {plural(images, 'image')} ({wrong:,} misclassified), "
        f"loss {evaluation.loss:.4f}"
    )
    classes = len(evaluation.confusion)
    columns = range(classes) if classes <= _MAX_PRINTED_CLASSES else ()
    note = "a row for each class; on the right, how many of its images were taken for which\n" if columns else ""
    rows: list[list[object]] = [["class", "accuracy", *columns]]
    for i, (counts, accuracy) in enumerate(zip(evaluation.confusion, evaluation.per_class_accuracy, strict=True)):
        rows.append([i, "-" if math.isnan(accuracy) else f"{accuracy:.2%}", *(counts[j] or "." for j in columns)])
    return f"{head}\n\n{note}{format_table(rows, 0)}"
