"""tinygrad on the CPU: one TinyJit for the whole step, the update by SGD with momentum written out in it.

It compiles through clang, and takes its threads from the affinity mask.
"""

import os
import shutil
from typing import Any

import numpy as np
import workloads as w
from tinygrad import Tensor, TinyJit

from . import Program

Parameters = dict[str, Tensor]


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    if not shutil.which(os.environ.get("CC", "clang")):
        raise RuntimeError("tinygrad's CPU device needs clang")
    parameters = {name: Tensor(a).realize() for name, a in given.parameters.items()}
    x = Tensor(given.images).realize()
    if workload.kind == "step":
        return training(workload.layers, parameters, x, Tensor(given.labels).realize(), workload.learning_rate)
    if workload.kind == "inference":
        forward = TinyJit(lambda: network(workload.layers, parameters, x).realize())
        return Program(forward, lambda y: [y.numpy()], len(given.images))
    return one_layer(workload.layers, parameters, x, Tensor(given.gradient).realize())


def network(layers: tuple[w.Layer, ...], p: Parameters, x: Tensor) -> Tensor:
    for k, of in enumerate(layers):
        x = layer(of, p.get(f"{k}.weight"), p.get(f"{k}.bias"), x)
    return x


def layer(of: w.Layer, weight: Any, bias: Any, x: Tensor) -> Tensor:
    match of:
        case w.Conv():
            return x.conv2d(weight, bias, padding=of.padding)
        case w.BatchNorm():
            mean = x.mean((0, 2, 3))
            centred = x - mean.reshape(1, -1, 1, 1)
            return x.batchnorm(weight, bias, mean, (centred.square().mean((0, 2, 3)) + 1e-5).rsqrt())
        case w.MaxPool():
            return x.max_pool2d((of.size, of.size))
        case w.ReLU():
            return x.relu()
        case w.Sigmoid():
            return x.sigmoid()
        case w.Flatten():
            return x.flatten(1)
        case w.Linear():
            return x.linear(weight.T, bias)


def training(layers: tuple[w.Layer, ...], parameters: Parameters, x: Tensor, labels: Tensor, rate: float) -> Program:
    velocity = {name: Tensor.zeros(*p.shape).contiguous().realize() for name, p in parameters.items()}

    @TinyJit
    def update() -> Tensor:
        cost = network(layers, parameters, x).sparse_categorical_crossentropy(labels)
        for (name, p), g in zip(parameters.items(), cost.gradient(*parameters.values()), strict=True):
            velocity[name].assign(w.MOMENTUM * velocity[name] + g)
            p.assign(p - rate * velocity[name])
        return cost.realize(*velocity.values(), *parameters.values())

    return Program(lambda: float(update().item()), lambda cost: [np.array(cost)], x.shape[0])


def one_layer(layers: tuple[w.Layer, ...], parameters: Parameters, x: Tensor, gradient: Tensor) -> Program:
    leaves = [x, *parameters.values()]

    @TinyJit
    def both() -> list[Tensor]:
        y = network(layers, parameters, x)
        result = [y, *y.gradient(*leaves, gradient=gradient)]
        Tensor.realize(*result)
        return result

    return Program(both, lambda result: [t.numpy() for t in result], x.shape[0])
