"""A bar chart of results: for each workload, how many times longer than our fastest each contender takes."""

from typing import Any

import summary

from tinygrad_cnn.checks import require

WIDTH = 0.8


def refusal(path: str) -> str | None:
    """Why a chart could not be saved under that name, or None: to be asked before hours of measuring."""
    try:
        canvas = require("matplotlib.backends.backend_agg", "plot").FigureCanvasAgg
    except ImportError as error:
        return str(error)
    ending = path.rpartition(".")[2].lower() if "." in path else ""
    known = sorted(canvas.get_supported_filetypes())
    return None if ending in known else f"the name must end in one of {', '.join(known)}, got {path}"


def save(results: dict[str, Any], path: str) -> None:
    """Draw with matplotlib, in the format that the file's ending names."""
    figures = require("matplotlib.figure", "plot")
    titles = dict.fromkeys((r.name, r.title) for w in results["workloads"] for r in summary.rows(w))
    colours = {name: f"C{k % 10}" for k, (name, _) in enumerate(titles)}
    counts = [len(summary.rows(w)) for w in results["workloads"]]
    figure = figures.Figure(figsize=(9, 1.2 + 0.19 * sum(counts) + 0.25 * len(counts)), layout="constrained")
    axes = figure.subplots()
    place, ticks = 0.0, []
    for workload in results["workloads"]:
        found = summary.rows(workload)
        quickest = min((r for r in found if r.group == "ours"), key=lambda r: r.median, default=found[0])
        for k, r in enumerate(found):
            ratio = r.median / quickest.median
            axes.barh(place + k, ratio, WIDTH, color=colours[r.name], hatch="//" if r.group == "ours" else None)
            axes.text(ratio * 1.03, place + k, f"{summary.time(r.median)} ms", va="center", fontsize=7)
        ticks.append((place + (len(found) - 1) / 2, workload["name"]))
        place += len(found) + 1
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    ticks_module = require("matplotlib.ticker", "plot")
    axes.xaxis.set_minor_locator(ticks_module.LogLocator(subs=(2, 5)))
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("median time over that of tinygrad_cnn's fastest kernels (logarithmic)")
    axes.set_title(f"{results['machine']['cpu']}, {results['threads']} threads", fontsize=9)
    bars = {name: axes.barh(0, 0, color=colours[name], label=title) for name, title in titles}
    figure.legend(handles=list(bars.values()), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=150)
