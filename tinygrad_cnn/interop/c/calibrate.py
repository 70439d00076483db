"""Ranges and means of a network's arrays on images, for which the bytes are chosen."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...nn import Module
from ..trace import recording_copy, run
from .graph import CALLER, Graph

LEVELS = 255  # steps between the lowest and the highest byte
_BATCH_IMAGES = 50
_BINS = 4096
_CUTS = np.linspace(0.3, 1, 36)  # the shares of a range that are tried as its clipped end


class Range(NamedTuple):
    """The range of numbers of an array that its bytes stand for, 0 included, and its mean number by number.

    Numbers beyond the range become its ends: it is the range of least mean squared error, rounding and clipping
    together, on the calibration images.
    """

    low: float
    high: float
    mean: NDArray[np.float64]


def calibrate(model: Module, graph: Graph, images: NDArray[Any], values: Iterable[str]) -> dict[str, Range]:
    """Return the range of each value that depends on the images and is in the network's graph, on images ``(N, ...)``.

    Raises:
        ValueError: a value is not finite, or the images are taken along other steps.
    """
    names = [value for value in values if value == graph.input or value in graph.results]
    lows, highs, sums = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)  # 0 included
    for value, array in _arrays(model, graph, images, names):
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise ValueError(f"{CALLER}: {value} holds NaN or infinity on the calibration images; bytes have neither")
        lows[value], highs[value] = min(lows[value], low), max(highs[value], high)
        sums[value] = sums[value] + array.reshape(array.shape[0], -1).sum(0, dtype=np.float64)
    histograms = {value: np.zeros(_BINS) for value in names}
    for value, array in _arrays(model, graph, images, names):
        histograms[value] += np.histogram(array, _BINS, (lows[value], highs[value] or 1e-9))[0]
    return {
        value: Range(*_best_range(histograms[value], lows[value], highs[value]), np.asarray(sums[value]) / len(images))
        for value in names
    }


def _arrays(model: Module, graph: Graph, images: NDArray[Any], names: list[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Iterate over (value, array), batch by batch."""
    twin = recording_copy(model)
    index = {name: k for k, name in enumerate(graph.results)}
    for start in range(0, len(images), _BATCH_IMAGES):
        batch = run(CALLER, twin, images[start : start + _BATCH_IMAGES])
        if len(batch.results) != len(graph.results):
            raise ValueError(f"{CALLER}: the network takes other steps for other images")
        for name in names:
            yield name, (batch.input if name == graph.input else batch.results[index[name]]).data


def _best_range(histogram: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Return the range within (low, high) of least squared error: first its upper end, then its lower one."""
    centres = low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS

    def error(ends: tuple[float, float]) -> float:
        step = (ends[1] - ends[0]) / LEVELS or 1.0
        rounded = np.round(np.clip(centres, *ends) / step) * step
        return float(histogram @ (rounded - centres) ** 2)

    best_high = min((high * cut for cut in _CUTS), key=lambda end: error((low, end)))
    best_low = min((low * cut for cut in _CUTS), key=lambda end: error((end, best_high)))
    return best_low, best_high
