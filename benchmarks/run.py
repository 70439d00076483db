"""Time training and inference with tinygrad_cnn beside other libraries, in turn, on one machine.

    python benchmarks/run.py                                  everything, with every library that is installed
    python benchmarks/run.py --quick --peers none             ours alone, once over, in well under a minute
    python benchmarks/run.py --only nielsen-64 --json out.json

`measure` says how, `workloads` what, `peers` who, `summary` what the columns mean.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import figure
import machine
import measure
import peers
import table
import workloads


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    plan = measure.QUICK if options.quick else measure.Plan()
    results: dict[str, Any] = {
        "machine": machine.describe(), "threads": options.threads, "plan": dataclasses.asdict(plan), "workloads": [],
    }  # fmt: skip
    with measure.Crew(options.threads) as crew:
        for workload in options.workloads:
            found = measure.measure(workload, contenders(workload, options.peers), crew, plan, tell)
            results["workloads"].append(found)
            if plan.fresh:
                crew.close()
            tell("")
            table.show(found)
            if options.json:
                save(results, options.json)
    print(table.conditions(results))
    if options.save_figure:
        figure.save(results, options.save_figure)
    return report_disagreement(results)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time tinygrad_cnn beside other libraries.")
    parser.add_argument("--quick", action="store_true", help="few repeats: does everything run, and roughly how fast")
    parser.add_argument("--only", metavar="NAME", help="the workload of this name, or all whose names contain it")
    parser.add_argument("--peers", default="auto", help=f"auto: all installed, none, or of {','.join(peers.PEERS)}")
    parser.add_argument("--threads", type=int, default=machine.available_cpus(), help="for each contender")
    parser.add_argument("--json", metavar="FILE", help="write the machine, the versions and every sample")
    parser.add_argument("--save-figure", metavar="FILE", help="draw a bar chart (needs matplotlib)")
    options = parser.parse_args(arguments)
    options.workloads = workloads.chosen(options.only)
    options.peers = peer_groups(options.peers, parser)
    if not options.workloads:
        names = ", ".join(w.name for w in workloads.WORKLOADS)
        parser.error(f"--only: no workload {options.only!r}; there are {names}")
    for path in filter(None, (options.json, options.save_figure)):
        if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK) or os.path.isdir(path):
            parser.error(f"{path}: cannot be written")
    if options.save_figure and (wrong := figure.refusal(options.save_figure)):
        parser.error(f"--save-figure: {wrong}")
    if not 1 <= options.threads <= machine.available_cpus():
        parser.error(f"--threads: must be between 1 and {machine.available_cpus()}, got {options.threads}")
    return options


def peer_groups(text: str, parser: argparse.ArgumentParser) -> tuple[str, ...]:
    if text in ("auto", "none"):
        return peers.PEERS if text == "auto" else ()
    groups = tuple(text.split(","))
    unknown = [g for g in groups if g not in peers.PEERS]
    if unknown:
        parser.error(f"--peers: {unknown[0]!r} is not one of {', '.join(peers.PEERS)}")
    return groups


def contenders(workload: workloads.Workload, groups: Sequence[str]) -> list[peers.Contender]:
    """Ours and the floor, with the peers asked for or, in the article's workloads, the contenders that these name."""
    wanted = {"numba", "numpy", *workload.extra}
    if not workload.extra:
        wanted |= {c.name for c in peers.CONTENDERS if c.group in groups}
    if workload.products():
        wanted |= {"gemm", "gemm-own"}
    found = [c for c in peers.CONTENDERS if c.name in wanted]
    for c in found:
        if not c.installed():
            tell(f"{workload.name}: {c.title} skipped: {c.needs} is not installed\n")
    return [c for c in found if c.installed()]


def tell(text: str) -> None:
    """Progress, on one line of standard error where that is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save(results: dict[str, Any], path: str) -> None:
    with open(path, "w") as file:
        json.dump(results, file)


def report_disagreement(results: dict[str, Any]) -> int:
    """Exit status 1, and a line for each, when an answer differs from ours."""
    wrong = [(w, c) for w in results["workloads"] for c in w["contenders"] if c["agrees"] is False]
    for w, c in wrong:
        print(f"{w['name']}: the answer of {c['title']} is not ours", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
