"""Tables from results: for the terminal, and as Markdown for `benchmarks/README.md`.

python benchmarks/table.py results.json        prints the Markdown table again from saved results
"""

import argparse
import json
from typing import Any

import summary

MISSING = "-"
REFERENCES = ("numba", "numpy")  # our kernel sets that the others are held against


def references(workload: dict[str, Any]) -> list[str]:
    return [name for name in REFERENCES if any(c["name"] == name for c in workload["contenders"])]


def headings(workload: dict[str, Any]) -> list[str]:
    return [
        "contender", "median ms", "best ms", *(f"time / {name}" for name in references(workload)),
        "floor", "first s", "peak MB", "added", "agrees",
    ]  # fmt: skip


def cells(workload: dict[str, Any]) -> list[list[str]]:
    agreement = {True: "yes", False: "NO", None: MISSING}
    return [
        [
            r.title, summary.time(r.median), summary.time(r.best),
            *(str(r.ratios.get(name, MISSING)) for name in references(workload)),
            MISSING if r.share is None else f"{r.share:.2f}",
            f"{r.first:.2f}", *memory(r),
            agreement[r.agrees],
        ]
        for r in summary.rows(workload)
    ]  # fmt: skip


def memory(row: summary.Row) -> tuple[str, str]:
    """The process's peak, and how much of it came after the program was built."""
    if row.memory is None:
        return MISSING, MISSING
    return f"{row.memory / 2**20:.0f}", f"{(row.memory - row.memory_before) / 2**20:.0f}"


def caption(workload: dict[str, Any]) -> str:
    """The title, the floors of the run, and who was left out and why."""
    parts = [f"{workload['name']}: {workload['title']}"]
    if summary.by_image(workload):
        parts.append("times of one image")
    floor, own = (summary.floor_seconds(workload, name) for name in ("gemm", "gemm-own"))
    if floor is not None and own is not None:
        middle, own_middle = (summary.spread(f).middle for f in (floor, own))
        parts.append(
            f"{workload['multiply_adds'] / 1e6:.3g} million multiply-adds a batch: "
            f"{summary.time(middle)} ms at 1024^3 speed, {summary.time(own_middle)} ms as matrix products of their own"
        )
    parts += [f"skipped {name}: {reason}" for name, reason in workload["skipped"].items()]
    return "\n".join(parts)


def show(workload: dict[str, Any]) -> None:
    """Print one workload's table: with rich where it is installed, else plainly."""
    head, body = headings(workload), cells(workload)
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(caption(workload), plain([head, *body]), sep="\n", end="\n\n")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for k, name in enumerate(head):
        table.add_column(name, justify="right" if k else "left", no_wrap=True)
    for line in body:
        table.add_row(*line, style="red" if line[-1] == "NO" else "bold" if line[0].startswith("ours") else None)
    console = Console()
    console.width = max(console.width, Console(width=1000).measure(table).maximum)  # wrapped rather than cut
    console.print(caption(workload), style="cyan", highlight=False, soft_wrap=True)
    console.print(table)
    console.print()


def plain(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(c.rjust(n) if k else c.ljust(n) for k, (c, n) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )


def markdown(results: dict[str, Any]) -> str:
    """The table of `benchmarks/README.md`: a line a workload, medians in ms, our ratios to the fastest other."""
    everyone = dict.fromkeys((r.name, r.title) for w in results["workloads"] for r in summary.rows(w))
    ours = [name for name in REFERENCES if any(name == n for n, _ in everyone)]
    head = ["workload (ms)", *(title for _, title in everyone), *(f"fastest other / {n}" for n in ours), "floor share"]
    lines = [head]
    for w in results["workloads"]:
        found = {r.name: r for r in summary.rows(w)}
        others = [r for r in found.values() if r.name == "article" or r.group not in ("ours", "article")]
        fastest = min(others, key=lambda r: r.median, default=None)
        share = next((f"{found[n].share:.2f}" for n in ours if n in found and found[n].share is not None), MISSING)
        lines.append([
            w["title"],
            *(summary.time(found[name].median) if name in found else MISSING for name, _ in everyone),
            *(str(fastest.ratios.get(n, MISSING)) if fastest else MISSING for n in ours),
            share,
        ])  # fmt: skip
    return in_markdown(lines) + "\n\n" + conditions(results)


def in_markdown(lines: list[list[str]]) -> str:
    """A heading and the lines below it."""
    ruled = [lines[0], ["---", *["---:"] * (len(lines[0]) - 1)], *lines[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)


def conditions(results: dict[str, Any]) -> str:
    """One sentence: the machine, the threads, the versions, the day."""
    m = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    return (
        f"{m['cpu']}, {m['cpus']} CPUs, {results['threads']} threads each, Python {m['python']}, {versions}; "
        f"{m['date'][:10]}, load {m['load']} at the start. "
        f"Medians of {results['plan']['rounds']} alternating rounds; in brackets the quartiles."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the Markdown table of saved results.")
    parser.add_argument("results", help="what run.py --json wrote")
    path = parser.parse_args().results
    try:
        with open(path) as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {path}: {getattr(error, 'strerror', None) or 'is not JSON'}\n")
    print(markdown(results))


if __name__ == "__main__":
    main()
