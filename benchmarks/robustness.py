"""The article's claim, measured: a convolutional network stands translation better than a fully connected one, and
rotation no better.

    python benchmarks/robustness.py --data-dir DIR

trains both on MNIST as it is, over several seeds, and tests them on shifted and on rotated test images. Results are
kept as ``benchmarks/results/robustness.json`` and drawn as ``robustness.png`` beside it; the table is printed in
Markdown. Without ``--data-dir`` the kept results are shown again.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from table import in_markdown

from tinygrad_cnn import cli
from tinygrad_cnn.checks import require
from tinygrad_cnn.data import Dataset, mnist, rotated, shifted
from tinygrad_cnn.models import saving as checkpoint
from tinygrad_cnn.nn import Module
from tinygrad_cnn.storage.atomic import atomic_writer
from tinygrad_cnn.training.evaluate import evaluate

FOLDER = Path(__file__).parent / "results"
MODELS = {"primer": "fully connected (`primer`)", "nielsen": "convolutional (`nielsen`)"}
PIXELS = (0, 1, 2, 3, 4)
DEGREES = (0, 5, 10, 15, 20, 25, 30, 35, 40, 45)

Results = dict[str, dict[str, list[list[float]]]]
"""Accuracies by model, then by kind of change; a list over seeds of lists over sizes."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST's four files are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--epochs", metavar="N", help="instead of the recipes' own")
    args = parser.parse_args(arguments)
    path = FOLDER / "robustness.json"
    if args.data_dir:
        results = measure(args.data_dir, args.seeds, args.epochs)
        FOLDER.mkdir(exist_ok=True)
        with atomic_writer(path) as file:
            file.write(json.dumps(results, indent=1).encode() + b"\n")
    results = json.loads(path.read_text())
    draw(results, path.with_suffix(".png"))
    print(table(results))


def measure(data_dir: str, seeds: int, epochs: str | None) -> Results:
    _, test = mnist(data_dir)
    results: Results = {model: {"shift": [], "rotation": []} for model in MODELS}
    for model, kinds in results.items():
        for seed in range(seeds):
            network = trained(model, seed, data_dir, epochs)
            kinds["shift"].append([under_shift(network, test, k) for k in PIXELS])
            kinds["rotation"].append([under_rotation(network, test, angle) for angle in DEGREES])
    return results


def trained(model: str, seed: int, data_dir: str, epochs: str | None) -> Module:
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "weights.npz")
        command = ["train", "--dataset", "mnist", "--data-dir", data_dir, "--model", model, "--seed", str(seed)]
        if cli.main([*command, "--save", weights, *(["--epochs", epochs] if epochs else [])]):
            raise SystemExit(1)
        return checkpoint.load(weights)


def under_shift(network: Module, test: Dataset, k: int) -> float:
    """Accuracy with all images moved by k pixels, mean over the four directions."""
    moves = [(k, 0), (-k, 0), (0, k), (0, -k)] if k else [(0, 0)]
    return statistics.mean(accuracy(network, shifted(test.images, *move), test) for move in moves)


def under_rotation(network: Module, test: Dataset, degrees: float) -> float:
    """Accuracy with all images turned, mean over both senses."""
    angles = (degrees, -degrees) if degrees else (0,)
    return statistics.mean(accuracy(network, rotated(test.images, angle), test) for angle in angles)


def accuracy(network: Module, images: NDArray[np.float32], test: Dataset) -> float:
    pixels = (images * 255).round().astype(np.uint8)
    return evaluate(network, Dataset(pixels, test.labels, num_classes=test.num_classes)).accuracy


def means(results: Results, model: str, kind: str) -> list[float]:
    """Mean accuracy over the seeds, in percent, for each size of the change."""
    return [100 * statistics.mean(column) for column in zip(*results[model][kind], strict=True)]


def table(results: Results) -> str:
    seeds = len(results["primer"]["shift"])
    parts = [f"Accuracy in percent on MNIST's test images, mean of {seeds} seeds; trained on unchanged images."]
    for kind, sizes, unit in (("shift", PIXELS, "px"), ("rotation", DEGREES, "°")):
        rows = [[kind, *(f"{size} {unit}" for size in sizes)]]
        rows += [[title, *(f"{a:.1f}" for a in means(results, model, kind))] for model, title in MODELS.items()]
        parts.append(in_markdown(rows))
    return "\n\n".join(parts)


def draw(results: Results, path: Path) -> None:
    figure = require("matplotlib.figure", "plot").Figure(figsize=(8, 3.2), dpi=150, layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for axes, kind, sizes, label in zip(
        panels, ("shift", "rotation"), (PIXELS, DEGREES), ("shift, pixels", "rotation, degrees"), strict=True
    ):
        for model, look in zip(MODELS, ("o--", "s-"), strict=True):
            axes.plot(sizes, means(results, model, kind), look, label=MODELS[model].replace("`", ""))
        axes.set_xlabel(label)
        axes.set_xticks(sizes)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend()
    with atomic_writer(path) as file:
        figure.savefig(file, format="png")


if __name__ == "__main__":
    main()
