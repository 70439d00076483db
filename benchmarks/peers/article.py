"""The article's listing: one image a run, one `scipy.signal` call for each pair of maps. See `article_baseline`."""

import itertools
from typing import Any

import numpy as np
import workloads as w
from article_baseline import FeatureMap, MaxPoolingMap, Nielsen, TiledPoolingMap

from . import Program


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    if workload.kind == "layer":
        return feature_map(given)
    return nielsen(given, TiledPoolingMap if variant == "tiled" else MaxPoolingMap, workload.learning_rate)


def feature_map(given: w.Inputs) -> Program:
    neuron = FeatureMap(given.parameters["0.weight"][0, 0], given.parameters["0.bias"][0])
    image, gradient = (a[0, 0].astype(np.float64) for a in (given.images, given.gradient))

    def step() -> list[Any]:
        a = neuron.feed_forward(image)
        return [a, *neuron.propagate_backward(gradient)]

    return Program(step, lambda result: result if len(given.images) == 1 else [], 1)


def nielsen(given: w.Inputs, pooling: type, rate: float) -> Program:
    net = Nielsen(given.parameters, pooling)
    images = given.images[:, 0].astype(np.float64)
    turn = itertools.cycle(range(len(images)))

    def step() -> None:
        k = next(turn)
        net.learn(images[k], int(given.labels[k]), rate)

    return Program(step, lambda nothing: [], 1)
