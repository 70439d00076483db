"""How time and memory of a training step grow with batch, image size, channels and depth.

Time should grow as the multiply-adds do, and memory as the numbers in maps and parameters. So the fit is

    log time = a + e log multiply-adds

by least squares, over the points with at least an eighth of the largest one's work: below that, the fixed cost of an
op hides everything. An exponent e well above 1 is a cost that grows faster than its work. Each point is a process of
its own; its time is the best of its runs, its memory what it adds to the peak of a step with one image, in which
libraries are loaded and kernels compiled.

    python benchmarks/growth.py [--quick] [--kernels numba,numpy] [--threads N] [--json FILE] [--save-figure FILE]
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import machine
import measure
import numpy as np
import peers
import table
import workloads as w

from tinygrad_cnn.checks import require

STEEP = 1.15
REPEATS = 3  # turns a point


def by_batch(n: int) -> w.Workload:
    return w.Workload(f"batch-{n}", "", "step", w.nielsen(), n)


def by_image(side: int) -> w.Workload:
    return w.Workload(f"image-{side}", "", "step", w.nielsen(image=side), 32, (1, side, side))


def by_channels(filters: int) -> w.Workload:
    return w.Workload(f"channels-{filters}", "", "step", w.nielsen(filters=filters), 32)


def by_depth(layers: int) -> w.Workload:
    """Layers of 16 maps, all of the image's size."""
    deep = (w.Conv(16, 16, 3, padding=1), w.ReLU()) * (layers - 1)
    net = (w.Conv(1, 16, 3, padding=1), w.ReLU(), *deep, w.MaxPool(), w.Flatten(), w.Linear(16 * 14 * 14, 10))
    return w.Workload(f"depth-{layers}", "", "step", net, 32)


AXES: dict[str, tuple[Callable[[int], w.Workload], tuple[int, ...]]] = {
    "batch": (by_batch, (1, 4, 16, 64, 128, 256, 512, 1024)),
    "image side": (by_image, (16, 20, 28, 40, 56, 80, 112)),
    "first layer's maps": (by_channels, (2, 5, 10, 20, 40, 80, 120)),
    "depth": (by_depth, (1, 2, 4, 8, 16, 32)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    results: dict[str, Any] = {"machine": machine.describe(), "threads": options.threads, "curves": []}
    for axis, (make, sizes) in AXES.items():
        for kernels in options.kernels:
            results["curves"].append(curve(axis, make, sizes[:3] if options.quick else sizes, kernels, options.threads))
            print(text(results["curves"][-1]), end="\n\n")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file)
    if options.save_figure:
        save_figure(results, options.save_figure)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    installed = [c.name for c in peers.CONTENDERS if c.name in table.REFERENCES and c.installed()]
    parser = argparse.ArgumentParser(description="How time and memory of a training step grow.")
    parser.add_argument("--quick", action="store_true", help="three points a curve")
    parser.add_argument("--kernels", type=lambda s: s.split(","), default=installed, help="numba,numpy")
    parser.add_argument("--threads", type=int, default=machine.available_cpus())
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--save-figure", metavar="FILE", help="needs matplotlib")
    options = parser.parse_args(arguments)
    unknown = [k for k in options.kernels if k not in installed]
    if unknown:
        parser.error(f"--kernels: {unknown[0]!r} is not one of {', '.join(installed)}")
    return options


def curve(
    axis: str, make: Callable[[int], w.Workload], sizes: Sequence[int], kernels: str, threads: int
) -> dict[str, Any]:
    """Measure every size; the record has the points and both exponents."""
    points = [point(make(size), kernels, threads) | {"size": size} for size in sizes]
    return {
        "axis": axis, "kernels": kernels, "points": points,
        "time_exponent": exponent(points, "multiply_adds", "seconds"),
        "memory_exponent": exponent(points, "numbers", "memory"),
    }  # fmt: skip


def point(workload: w.Workload, kernels: str, threads: int) -> dict[str, float]:
    """The best time of a run and the memory it added, in a fresh process."""
    crew = measure.Crew(threads)
    worker = crew.worker(peers.by_name(kernels))
    try:
        worker.ask("build", by_batch(1), 1)
        before = worker.ask("memory")
        built = worker.ask("build", workload, 2)
        settle, runs = measure.turn(built["run_seconds"], measure.Plan(most=20))
        seconds = [s for _ in range(REPEATS) for s in worker.ask("run", settle, runs)]
        memory = worker.ask("memory") - before
    finally:
        crew.close()
    return {
        "seconds": min(seconds), "memory": memory,
        "multiply_adds": workload.multiply_adds(), "numbers": workload.numbers(),
    }  # fmt: skip


def exponent(points: Sequence[dict[str, float]], cause: str, effect: str) -> float:
    """The slope of log effect over log cause, where the cause is at least an eighth of its largest."""
    most = max(p[cause] for p in points)
    far = [p for p in points if p[cause] >= most / 8 and p[effect] > 0]
    if len(far) < 2:
        return float("nan")
    x, y = (np.log([p[key] for p in far]) for key in (cause, effect))
    return float(np.polyfit(x, y, 1)[0])


def text(found: dict[str, Any]) -> str:
    lines = [[found["axis"], "step ms", "ns / 1000 multiply-adds", "added MB", "bytes / number"]]
    for p in found["points"]:
        lines.append([
            str(p["size"]), f"{1e3 * p['seconds']:.2f}", f"{1e12 * p['seconds'] / p['multiply_adds']:.1f}",
            f"{p['memory'] / 2**20:.1f}", f"{p['memory'] / p['numbers']:.1f}",
        ])  # fmt: skip
    verdicts = [
        f"{what} grows as {cause} to the power {e:.2f}" + (": FASTER THAN ITS WORK" if e > STEEP else "")
        for what, cause, e in (
            ("time", "multiply-adds", found["time_exponent"]), ("memory", "numbers", found["memory_exponent"]),
        )
    ]  # fmt: skip
    return "\n".join([f"{found['kernels']} kernels, by {found['axis']}", table.plain(lines), *verdicts])


def save_figure(results: dict[str, Any], path: str) -> None:
    """Time over multiply-adds above, memory over numbers below, one column an axis; dashed lines have slope 1."""
    figure = require("matplotlib.figure", "plot").Figure(figsize=(3.2 * len(AXES), 6), layout="constrained")
    panels = figure.subplots(2, len(AXES), squeeze=False)
    rows = (
        ("multiply_adds", "seconds", "time_exponent", 1e3, "ms"), ("numbers", "memory", "memory_exponent", 2**-20, "MB")
    )  # fmt: skip
    for column, axis in enumerate(AXES):
        for panel, (cause, effect, slope, scale, unit) in zip(panels[:, column], rows, strict=True):
            for found in (c for c in results["curves"] if c["axis"] == axis):
                x = np.array([p[cause] for p in found["points"]], float)
                y = np.array([p[effect] for p in found["points"]], float) * scale
                (line,) = panel.loglog(x, y, "o-", label=f"{found['kernels']}: power {found[slope]:.2f}")
                panel.loglog(x, y[-1] * x / x[-1], "--", color=line.get_color(), linewidth=0.8)
            panel.xaxis.set_minor_formatter("")
            panel.set_xlabel(cause.replace("_", "-"))
            panel.set_ylabel(f"{effect}, {unit}" if effect == "memory" else f"step, {unit}")
            panel.legend(fontsize=8)
        panels[0, column].set_title(f"by {axis}")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
