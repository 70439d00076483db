"""One epoch of the recipe `fast`: ours by the command that a user types, PyTorch's with the same net, rates and sizes.

All train in turn, each in a process of its own, on the same threads. The seconds are those of the training loop,
without starting up, reading data or testing; PyTorch's images are floating point and laid out before it begins.

    python benchmarks/epoch.py --data-dir DIR --rounds 5 --json benchmarks/results/epoch-fast.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
from table import in_markdown

from tinygrad_cnn import data, nn
from tinygrad_cnn.models import RECIPES

Result = dict[str, Any]
RECIPE = RECIPES["fast"]
TORCH = ("channels_last", "contiguous_format")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST's four files are")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="a seed for each (default: 5)")
    parser.add_argument("--threads", type=int, default=machine.available_cpus(), metavar="N")
    parser.add_argument("--json", metavar="FILE", help="write every run and the machine")
    parser.add_argument("--torch", nargs=2, metavar=("SEED", "LAYOUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch:
        print(json.dumps(with_pytorch(int(args.torch[0]), args.torch[1], args.threads, args.data_dir)))
        return
    runs: dict[str, list[Result]] = {}
    for seed in range(args.rounds):
        for name, command in contenders(seed, args.threads, args.data_dir).items():
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            runs.setdefault(name, []).append(json.loads(done.stdout))
            print(f"seed {seed}, {name}: {runs[name][-1]['train_seconds']:.2f} s", file=sys.stderr, flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": machine.describe(), "threads": args.threads, "runs": runs}))
    print(summary(runs))


def contenders(seed: int, threads: int, data_dir: str | None) -> dict[str, list[str]]:
    """Who trains, and by which command."""
    common = ["--threads", str(threads), *(["--data-dir", data_dir] if data_dir else [])]
    ours = [sys.executable, "-m", "tinygrad_cnn", "train", "--dataset", "mnist", "--model", "fast", "--epochs", "1"]
    found = {
        f"ours, {kernels} kernels": [*ours, "--kernels", kernels, "--seed", str(seed), "--json", *common]
        for kernels in ("numba", "numpy")
    }
    for layout in TORCH:
        found[f"PyTorch {layout}"] = [sys.executable, __file__, "--torch", str(seed), layout, *common]
    return found


def with_pytorch(seed: int, layout: str, threads: int, data_dir: str | None) -> Result:
    """The recipe in PyTorch: the seconds of its loop, and the accuracy."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    order, memory = np.random.default_rng(seed), getattr(torch, layout)
    train, test = (as_tensors(split, memory) for split in data.mnist(data_dir))
    t, f = torch.nn, torch.nn.functional
    net = t.Sequential(
        t.Conv2d(1, 24, 5), t.MaxPool2d(2), t.ReLU(), t.Conv2d(24, 32, 3), t.MaxPool2d(2), t.ReLU(),
        t.Flatten(), t.Linear(800, 256), t.ReLU(), t.Linear(256, 10),
    ).to(memory_format=memory)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), RECIPE.lr, **RECIPE.options)
    count, size = len(train[0]), RECIPE.batch_size
    rates = all_rates(-(-count // size))
    begun = time.perf_counter()
    shuffled = torch.from_numpy(order.permutation(count))
    for step, rate in enumerate(rates):
        rows = shuffled[step * size : (step + 1) * size]
        optimizer.param_groups[0]["lr"] = rate
        cost = f.cross_entropy(net(train[0][rows]), train[1][rows])
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        right = (net.eval()(test[0]).argmax(1) == test[1]).float().mean().item()
    return {"train_seconds": seconds, "test_accuracy": right, "seed": seed}


def as_tensors(split: data.Dataset, memory: Any) -> tuple[Any, Any]:
    """All images (N, 1, H, W) and labels."""
    import torch

    images = torch.from_numpy(split.images).contiguous(memory_format=memory)
    return images, torch.from_numpy(split.labels)


def all_rates(steps: int) -> list[float]:
    """The recipe's learning rate at each step."""
    assert RECIPE.schedule is not None
    schedule = RECIPE.schedule(RECIPE.make_optimizer(nn.Linear(1, 1)), steps)
    return [schedule.rate(k) for k in range(steps)]


def summary(runs: dict[str, list[Result]]) -> str:
    """A line for each contender, in Markdown."""
    ours = next(iter(runs.values()))
    rows = [["", "seconds", "to ours, round by round", "test accuracy, %"]]
    for name, found in runs.items():
        ratios = [a["train_seconds"] / b["train_seconds"] for a, b in zip(found, ours, strict=True)]
        accuracies = [100 * r["test_accuracy"] for r in found]
        rows.append([
            name, f"{statistics.median(r['train_seconds'] for r in found):.2f}", f"{statistics.median(ratios):.2f}",
            f"{statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f}" if len(found) > 1 else
            f"{accuracies[0]:.2f}",
        ])  # fmt: skip
    return in_markdown(rows)


if __name__ == "__main__":
    main()
