"""Train the named networks on MNIST over several seeds, keep every result, and make the table of them.

    python benchmarks/results.py --data-dir DIR --run fast nielsen-relu --seeds 5
    python benchmarks/results.py

Each run is a ``tinygrad-cnn train --json`` in a process of its own; what it prints is kept as
``benchmarks/results/MODEL-SEED.json``, and a run that is there already is not made again. The table, in Markdown, is
made of all files there.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from table import in_markdown

from tinygrad_cnn.models import RECIPES
from tinygrad_cnn.storage.atomic import atomic_writer

FOLDER = Path(__file__).parent / "results"

# M. Nielsen, "Neural Networks and Deep Learning", chapters 1 and 6: test accuracy in percent.
BOOK = {
    "primer": 95.42,
    "nielsen-sigmoid": 99.06,
    "nielsen-relu": 99.23,
    "nielsen-shifted": 99.37,
    "nielsen-dropout": 99.60,
}

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", choices=RECIPES, default=[], metavar="MODEL", help="train these first")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST's four files are")
    parser.add_argument("--threads", metavar="N")
    args = parser.parse_args(arguments)
    for model in args.run:
        for seed in range(args.seeds):
            train(model, seed, args.data_dir, args.threads)
    print(table(kept()))


def train(model: str, seed: int, data_dir: str | None, threads: str | None) -> None:
    """Make a run, unless its result is there. It can be interrupted: its checkpoint lies beside the result."""
    path = FOLDER / f"{model}-{seed}.json"
    if path.exists():
        return
    FOLDER.mkdir(exist_ok=True)
    checkpoint = path.with_suffix(".npz")
    command = [sys.executable, "-m", "tinygrad_cnn", "train", "--json", "--dataset", "mnist", "--model", model]
    command += ["--seed", str(seed), "--checkpoint", str(checkpoint), "--resume"]
    command += ["--data-dir", data_dir] if data_dir else []
    command += ["--threads", threads] if threads else []
    print(f"{model}, seed {seed}", file=sys.stderr, flush=True)
    before = cpu_seconds_of_children()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout) | {"cpu_seconds": cpu_seconds_of_children() - before}
    with atomic_writer(path) as file:
        file.write(json.dumps(result, indent=1).encode() + b"\n")
    for leftover in (checkpoint, checkpoint.with_name(checkpoint.name + ".previous")):
        leftover.unlink(missing_ok=True)


def cpu_seconds_of_children() -> float:
    """CPU time of the processes that have ended: on a busy machine a fairer measure than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def kept() -> dict[str, list[Result]]:
    """All results, by model, in the recipes' order."""
    found = {model: sorted(FOLDER.glob(f"{model}-[0-9]*.json")) for model in RECIPES}
    return {model: [json.loads(path.read_text()) for path in paths] for model, paths in found.items() if paths}


def table(results: dict[str, list[Result]]) -> str:
    """The results in Markdown: mean and spread over the seeds, in percent, and the median of the CPU seconds."""
    lines = [["model", "test accuracy, %", "lowest to highest", "runs", "the book, %", "parameters", "epochs",
              "CPU seconds a run"]]  # fmt: skip
    for model, runs in results.items():
        accuracies = [100 * r["test_accuracy"] for r in runs]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
        lines.append([
            f"`{model}`", f"{statistics.mean(accuracies):.2f}{spread}",
            f"{min(accuracies):.2f} to {max(accuracies):.2f}", f"{len(runs)}",
            f"{BOOK[model]:.2f}" if model in BOOK else "", f"{runs[0]['parameters']:,}", f"{runs[0]['epochs']}",
            f"{statistics.median(r['cpu_seconds'] for r in runs):,.0f}",
        ])  # fmt: skip
    return in_markdown(lines)


if __name__ == "__main__":
    main()
