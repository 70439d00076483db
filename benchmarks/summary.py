"""From raw samples to the figures of a table: medians, ratios with their spread, shares of the floor.

A *ratio* is another contender's time over ours: above 1 we are the faster. Each round gives one, from the medians of
two turns that lay close together; the table shows their median and their quartiles.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SQUARE_MULTIPLY_ADDS = 1024**3  # of peers.gemm's square product


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        digits = 2 if self.middle < 10 else 1 if self.middle < 100 else 0
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Row:
    """One contender in one workload. Seconds are those of a run, or of one image where runs differ in images."""

    name: str
    title: str
    group: str
    median: float
    best: float
    first: float
    ratios: dict[str, Spread]  # by the name of each of our kernel sets
    share: float | None
    memory: int | None
    memory_before: int
    agrees: bool | None


def rows(workload: dict[str, Any]) -> list[Row]:
    """Ours first, then the others, without the floor."""
    contenders = [c for c in workload["contenders"] if c["group"] != "floor"]
    ours = [c for c in contenders if c["group"] == "ours"]
    floor = floor_seconds(workload, "gemm")
    found = []
    for c in contenders:
        seconds = per_unit(workload, c)
        steady = np.concatenate([np.asarray(t) for t in c["turns"]]) * unit(workload, c)
        found.append(Row(
            name=c["name"], title=c["title"], group=c["group"],
            median=float(np.median(steady)), best=float(steady.min()), first=c["first_seconds"],
            ratios={o["name"]: spread(seconds / per_unit(workload, o)) for o in ours if o is not c},
            share=None if floor is None else float(np.median(floor / (seconds * workload_scale(workload)))),
            memory=c["memory_peak"], memory_before=c["memory_before"], agrees=c["agrees"],
        ))  # fmt: skip
    return found


def by_image(workload: dict[str, Any]) -> bool:
    """Whether runs differ in images, so that only the time of one image compares."""
    return len({c["images"] for c in workload["contenders"] if c["group"] != "floor"}) > 1


def unit(workload: dict[str, Any], contender: dict[str, Any]) -> float:
    return 1 / contender["images"] if by_image(workload) else 1.0


def workload_scale(workload: dict[str, Any]) -> int:
    """How many units make the workload's own batch."""
    return workload["batch"] if by_image(workload) else 1


def per_unit(workload: dict[str, Any], contender: dict[str, Any]) -> np.ndarray:
    """Each round's median."""
    return np.array([np.median(t) for t in contender["turns"]]) * unit(workload, contender)


def spread(values: np.ndarray) -> Spread:
    return Spread(*(float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])))


def floor_seconds(workload: dict[str, Any], name: str) -> np.ndarray | None:
    """Each round's time for the workload's multiply-adds: at the speed of "gemm", or those of "gemm-own" itself."""
    found = [c for c in workload["contenders"] if c["name"] == name]
    if not found or not workload["multiply_adds"]:
        return None
    scale = workload["multiply_adds"] / SQUARE_MULTIPLY_ADDS if name == "gemm" else 1.0
    return np.array([np.median(t) for t in found[0]["turns"]]) * scale


def time(seconds: float) -> str:
    """Milliseconds with three digits."""
    milliseconds = 1e3 * seconds
    digits = 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2 if milliseconds >= 1 else 3
    return f"{milliseconds:.{digits}f}"
