"""A test split of images that come without one."""

import numpy as np
from numpy.typing import NDArray

from .. import checks

Rows = NDArray[np.int64]


def stratified(labels: NDArray[np.int64], fraction: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Return the rows of (rest, held out), in order: of every class the same fraction, drawn at random.

    A class of one image stays in the rest; one of several has at least one image in each part.

    >>> stratified(np.array([0, 0, 0, 0, 1, 1]), 0.5)[1].tolist()
    [0, 2, 5]
    """
    checks.number("stratified", "fraction", fraction, 0.0, 1.0, below=True)
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for k in range(int(labels.max(initial=-1)) + 1):
        rows = np.flatnonzero(labels == k)
        if fraction > 0 and len(rows) > 1:
            count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
            held[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
