"""Test a trained network: its accuracy, in all and for each class, which classes it takes for which, and its mistakes.

Without --data or --dataset it is tested on the test images of what it was trained on.
"""

import argparse
import math
import shutil
from collections.abc import Sequence
from typing import Any

from ..checks import plural
from ..training.evaluate import Evaluation, evaluate
from ..training.records import as_json
from ._data import add_data_flags
from ._options import Subparsers, add_compute_flags, apply_compute_flags
from ._table import format_table
from ._weights import load_network_and_images

_UNEQUAL = 1.5  # the ratio of the largest class to the smallest, from which on accuracy misleads
_LISTED_MISTAKES = 5


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("evaluate", help="test a trained network", description=__doc__)
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file, checkpoint or ONNX file")
    add_data_flags(parser, "what it was trained on")
    add_compute_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    apply_compute_flags(args.kernels, args.threads)
    network, _, images = load_network_and_images(args)
    evaluation = evaluate(network, images.test, cost=network.cost)
    print(as_json(_as_dict(evaluation, images.name)) if args.json else as_text(evaluation))
    return 0


def _as_dict(evaluation: Evaluation, dataset: str) -> dict[str, Any]:
    mistakes = evaluation.most_confident_mistakes
    return {
        "dataset": dataset,
        "test_accuracy": evaluation.accuracy,
        "balanced_accuracy": evaluation.balanced_accuracy,
        "top_5_accuracy": evaluation.top_k_accuracy(5),
        "test_loss": evaluation.loss,
        "test_images": len(evaluation.predictions),
        "class_names": list(evaluation.class_names),
        "per_class_accuracy": evaluation.per_class_accuracy.tolist(),
        "precision": evaluation.precision.tolist(),
        "recall": evaluation.recall.tolist(),
        "confusion": evaluation.confusion.tolist(),
        "misclassified": evaluation.misclassified.tolist(),
        "most_confident_mistakes": mistakes.tolist(),
    }


def as_text(evaluation: Evaluation, width: int | None = None) -> str:
    """Return the evaluation in lines of at most ``width`` characters, the terminal's by default."""
    width = width or shutil.get_terminal_size().columns
    images, wrong = len(evaluation.predictions), len(evaluation.misclassified)
    lines = [
        f"test accuracy {evaluation.accuracy:.2%} on {plural(images, 'image')} ({wrong:,} misclassified), "
        f"loss {evaluation.loss:.4f}"
    ]
    lines += more_accuracies(evaluation)
    names = evaluation.class_names
    rows: list[list[object]] = [["class", "images", "recall", "precision"]]
    for k, name in enumerate(names):
        count = int(evaluation.confusion[k].sum())
        rows.append([_short(name), f"{count:,}", _share(evaluation.recall[k]), _share(evaluation.precision[k])])
    lines += ["", format_table(rows)]
    if confusion := _confusion(evaluation, width):
        lines += ["", "a row for each class; how many of its images were taken for which", confusion]
    elif pairs := _commonest_mistakes(evaluation):
        lines += ["", "most frequent mistakes: " + "; ".join(pairs)]
    mistakes = evaluation.most_confident_mistakes[:_LISTED_MISTAKES]
    if len(mistakes):
        lines += ["", "most confident mistakes, by the number of the test image"]
        table = [
            [f"  {row}", f"taken for {_short(_name(evaluation, row))}", f"{evaluation.confidences[row]:.1%}"]
            for row in mistakes.tolist()
        ]
        lines.append(format_table(table, 2))
    return "\n".join(lines)


def more_accuracies(evaluation: Evaluation) -> list[str]:
    """Return lines about the balanced accuracy of unequal classes and the best five of many, where they say more."""
    counts = evaluation.confusion.sum(axis=1)
    counts, lines = counts[counts > 0], []
    if len(counts) and counts.max() > _UNEQUAL * counts.min():
        lines.append(f"balanced accuracy {evaluation.balanced_accuracy:.2%}: each class counts alike")
    if len(evaluation.class_names) > 10:
        lines.append(f"top-5 accuracy {evaluation.top_k_accuracy(5):.2%}")
    return lines


def _confusion(evaluation: Evaluation, width: int) -> str:
    """Return the table of what was taken for what, or "" where it is too wide."""
    names = [_short(name) for name in evaluation.class_names]
    rows = [["", *names]] + [
        [name, *(str(n) if n else "." for n in counts)]
        for name, counts in zip(names, evaluation.confusion.tolist(), strict=True)
    ]
    table = format_table(rows)
    return table if max(map(len, table.split("\n"))) <= width else ""


def _commonest_mistakes(evaluation: Evaluation) -> Sequence[str]:
    pairs = [
        (-count, i, j) for i, row in enumerate(evaluation.confusion.tolist()) for j, count in enumerate(row) if i != j
    ]
    names = evaluation.class_names
    return [f"{-n} of {names[i]} taken for {names[j]}" for n, i, j in sorted(pairs)[:_LISTED_MISTAKES] if n]


def _name(evaluation: Evaluation, row: int) -> str:
    prediction = int(evaluation.predictions[row])
    return evaluation.class_names[prediction] if prediction >= 0 else "nothing (NaN)"


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2%}"
