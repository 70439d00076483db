"""Where data-parallel training stops paying: measured on this machine, projected to 1,024 ranks.

A step on p ranks takes ``T(p) = t(p) + r(p)``. ``t`` is what a rank of p does by itself on one thread: it is timed
here, share by share, with all that every rank does for the whole batch (augmentation, dropout's masks). ``r`` is the
all-reduce of n bytes of gradients, from the latency α of a message and the bandwidth β of a link:

- ring: ``2 (p - 1) α + 2 (p - 1) / p n / β``: the least that can be sent, in many messages;
- tree (recursive doubling): ``⌈log2 p⌉ (α + n / β)``: few messages, each with everything.

Additions are not counted. MPI takes a tree for short messages and a ring or its like for long ones, so the quicker of
the two counts. Efficiency compares with one rank:

- one batch: p ranks share B images, ``t(1) / (p T(p))``; they make the updates of one process;
- a batch each: every rank has B images, ``t(1) / T(p)``; the batch grows with p and the learning rate with it, which
  goes well up to some thousands of images (Goyal et al.).

Sources: R. Thakur, R. Rabenseifner and W. Gropp, "Optimization of Collective Communication Operations in MPICH" (2005);
P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour" (2017).

    python benchmarks/scaling.py --figure scaling.png --json scaling.json
    python benchmarks/scaling.py --models nielsen --rounds 9 --ranks 1 2      # the efficiency on this machine
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import machine
import numpy as np
import scaling_job

from tinygrad_cnn import models, nn, set_num_threads
from tinygrad_cnn.checks import require

NAMES = ("primer", "article", "lenet5", "nielsen", "nielsen-dropout", "fast", "best", "tiny")
RANKS = [2**k for k in range(11)]
PAYS = 0.5  # below this efficiency most of the added processors is lost
WAYS = {"one batch": "{} images shared by all", "a batch each": "{} images for each rank"}

Curve = dict[int, float]


# The model ------------------------------------------------------------------------------------------------------------


def ring(ranks: int, size: int, latency: float, bandwidth: float) -> float:
    """Seconds of a ring all-reduce of ``size`` bytes: 2 (p - 1) times a piece of n / p goes on to the neighbour."""
    return 2 * (ranks - 1) * (latency + size / ranks / bandwidth)


def tree(ranks: int, size: int, latency: float, bandwidth: float) -> float:
    """Seconds of an all-reduce by recursive doubling: everything is swapped with a new partner in each round."""
    return math.ceil(math.log2(ranks)) * (latency + size / bandwidth)


def projected(found: dict[str, Any], latency: float, bandwidth: float) -> dict[str, dict[str, Curve]]:
    """Efficiency by way of growing, kind of all-reduce and ranks, from what `computed` found."""
    shared, size = {int(p): s for p, s in found["seconds"].items()}, found["bytes"]
    curves: dict[str, dict[str, Curve]] = {way: {} for way in WAYS}
    for name, all_reduce in (("ring", ring), ("tree", tree)):
        sent = {p: all_reduce(p, size, latency, bandwidth) for p in RANKS}
        curves["one batch"][name] = {p: shared[1] / (p * (t + sent[p])) for p, t in shared.items()}
        curves["a batch each"][name] = {
            p: shared[1] / (shared[1] + (p - 1) * found["whole_seconds"] + sent[p]) for p in RANKS
        }
    return curves


def quicker(curves: dict[str, Curve]) -> Curve:
    """The efficiency with the better all-reduce for each number of ranks."""
    return {p: max(curve[p] for curve in curves.values()) for p in curves["ring"]}


def pays_up_to(curve: Curve) -> int:
    """The most ranks before the efficiency first falls below `PAYS`."""
    paying = 1
    for ranks, efficiency in sorted(curve.items()):
        if efficiency < PAYS:
            break
        paying = ranks
    return paying


# Measuring ------------------------------------------------------------------------------------------------------------


def computed(name: str, batch: int) -> dict[str, Any]:
    """Size of a network, and the seconds that a rank of 1, 2, 4, ... takes for its share of a batch by itself."""
    model, recipe = models.build(name, rng=np.random.default_rng(0)), models.RECIPES[name]
    parameters = list(model.parameters())
    whole = 0.0  # seconds of what every rank does for all of a batch
    if recipe.augment is not None or any(isinstance(m, nn.Dropout) for m in model.modules()):
        whole = max(whole, scaling_job.alone(name, batch, batch) - scaling_job.alone(name, 1, 1))
    seconds = {p: scaling_job.alone(name, batch, p) for p in RANKS if p <= batch}
    return {
        "parameters": sum(p.size for p in parameters),
        "bytes": sum(p.data.nbytes for p in parameters),
        "seconds": seconds,
        "whole_seconds": whole,
    }


def launched(names: list[str], batch: int, ranks: list[int], rounds: int) -> list[dict[str, Any]]:
    """What jobs of these numbers of ranks measured, one after another, round after round; empty without MPI."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None or find_spec("mpi4py") is None:
        print("mpi4py or mpiexec is missing: nothing is measured on several ranks", file=sys.stderr)
        return []
    script = Path(__file__).with_name("scaling_job.py")
    jobs = []
    for k in range(rounds):
        for p in ranks:
            print(f"round {k + 1} of {rounds}: {p} ranks", file=sys.stderr)
            command = [mpiexec, "-n", str(p), sys.executable, str(script), str(batch), *names]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            jobs.append({"ranks": p, "networks": json.loads(done.stdout)})
    return jobs


def measured(name: str, jobs: list[dict[str, Any]], quantity: str) -> dict[int, list[float]]:
    """A quantity of all rounds, by ranks."""
    found: dict[int, list[float]] = {}
    for job in jobs:
        found.setdefault(job["ranks"], []).append(job["networks"][name][quantity])
    return found


def efficiencies(name: str, jobs: list[dict[str, Any]]) -> dict[int, list[float]]:
    """Measured efficiency at one shared batch, by ranks: each round's, against the same round's single rank."""
    steps = measured(name, jobs, "step_seconds")
    return {p: [a / (p * s) for a, s in zip(steps[1], steps[p], strict=True)] for p in steps} if 1 in steps else {}


# Telling --------------------------------------------------------------------------------------------------------------


def sentences(results: dict[str, Any]) -> list[str]:
    """What was found, a few lines for each network."""
    latency, bandwidth, batch = (results[k] for k in ("latency", "bandwidth", "batch"))
    lines = [f"projected for messages of {latency * 1e6:g} µs and links of {bandwidth / 1e9:g} GB/s:"]
    for name, found in results["networks"].items():
        lines.append(
            f"{name}: {found['parameters']:,} parameters, {found['bytes'] / 1e6:.2f} MB of gradients, "
            f"{found['seconds'][1] * 1e3:.1f} ms a step of {batch} images on one rank"
        )
        for way, curves in projected(found, latency, bandwidth).items():
            curve = quicker(curves)
            shown = ", ".join(f"{p}: {e:.2f}" for p, e in curve.items() if p > 1)
            limit = f"pay up to {pays_up_to(curve):,} ranks" if pays_up_to(curve) > 1 else "pay on one rank only"
            lines.append(f"  {WAYS[way].format(batch)} {limit} ({shown})")
        lines += [f"  {line}" for line in measured_sentences(name, results["jobs"])]
    return lines


def measured_sentences(name: str, jobs: list[dict[str, Any]]) -> list[str]:
    """What was measured on several ranks of this machine, with the range over all rounds."""
    lines = []
    for p, rates in efficiencies(name, jobs).items():
        step, sent, latency = (
            statistics.median(measured(name, jobs, f"{quantity}_seconds")[p]) * 1e3
            for quantity in ("step", "all_reduce", "latency")
        )
        lines.append(
            f"measured on {p} ranks: {step:.1f} ms a step, all-reduce {sent:.2f} ms (of one number: {latency:.3f} ms), "
            f"efficiency {statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f} in {len(rates)} rounds)"
        )
    return lines[1:]  # without that of a single rank


def draw(results: dict[str, Any], path: str) -> None:
    """Efficiency over ranks: projected lines, measured points."""
    figure = require("matplotlib.figure", "plot").Figure(figsize=(11, 5), layout="constrained")
    for axes, (way, title) in zip(figure.subplots(1, 2, sharey=True), WAYS.items(), strict=True):
        for k, (name, found) in enumerate(results["networks"].items()):
            curves = projected(found, results["latency"], results["bandwidth"])[way]
            for curve, style in zip(curves.values(), (":", "--"), strict=True):
                axes.plot(list(curve), list(curve.values()), style, color=f"C{k}", linewidth=0.9)
            best = quicker(curves)
            axes.plot(list(best), list(best.values()), color=f"C{k}", label=name)
            rates = efficiencies(name, results["jobs"]) if way == "one batch" else {}
            for p, values in rates.items():
                axes.plot(p, statistics.median(values), "o", color=f"C{k}", markeredgecolor="black", zorder=3)
        axes.axhline(PAYS, color="grey", linewidth=0.8)
        axes.set(xscale="log", xlabel="ranks", title=title.format(results["batch"]))
        axes.set_ylim(bottom=0)
        axes.set_xticks(RANKS, [str(p) for p in RANKS])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("efficiency")
    for style, label in ((":", "ring"), ("--", "tree")):
        figure.axes[1].plot([], [], style, color="grey", label=f"{label} all-reduce")
    figure.axes[1].plot([], [], "o", color="white", markeredgecolor="black", label="measured here")
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(
        f"{results['machine']['cpu']}, 1 thread a rank; projected for {results['latency'] * 1e6:g} µs a message, "
        f"{results['bandwidth'] / 1e9:g} GB/s", fontsize=10,
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=models.RECIPES, default=NAMES, metavar="NAME")
    parser.add_argument("--batch", type=int, default=256, help="images (default: 256)")
    parser.add_argument("--ranks", type=int, nargs="*", help="what to measure here (default: 1, 2, ... processors)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--latency", type=float, default=20e-6, help="seconds a message (default: 20e-6)")
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes/s (default: 1.25e9, 10 Gbit/s)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers here")
    parser.add_argument("--figure", metavar="FILE", help="draw them here")
    args = parser.parse_args(arguments)
    ranks = [p for p in RANKS if p <= machine.available_cpus()] if args.ranks is None else args.ranks
    results: dict[str, Any] = {
        "machine": machine.describe(), "batch": args.batch, "latency": args.latency, "bandwidth": args.bandwidth,
        "jobs": launched(list(args.models), args.batch, ranks, args.rounds),
    }  # fmt: skip
    set_num_threads(1)
    results["networks"] = {name: computed(name, args.batch) for name in args.models}
    print("\n".join(sentences(results)))
    if args.figure:
        draw(results, args.figure)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
