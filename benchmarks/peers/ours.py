"""This project, with the kernel set that the variant names.

Images come as a data set holds them, (N, C, H, W) in memory, so that turning them is on our bill. A lone layer gets
its input batch innermost, as the layer before would have left it.
"""

from typing import Any

import numpy as np
import workloads as w

import tinygrad_cnn as tg

from . import Program


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    tg.set_kernels(variant)
    tg.set_num_threads(threads)
    net = tg.nn.Sequential(*(layer(k) for k in workload.layers))
    net.load_state_dict(given.parameters, strict=False)  # batch norm's running statistics keep their defaults
    if workload.kind == "step":
        return training(net, given, workload.learning_rate)
    return inference(net, given) if workload.kind == "inference" else one_layer(net, given)


def layer(of: w.Layer) -> tg.nn.Module:
    match of:
        case w.Conv():
            return tg.nn.Conv2d(of.channels, of.filters, of.size, padding=of.padding)
        case w.BatchNorm():
            return tg.nn.BatchNorm2d(of.channels)
        case w.MaxPool():
            return tg.nn.MaxPool2d(of.size)
        case w.ReLU():
            return tg.nn.ReLU()
        case w.Sigmoid():
            return tg.nn.Sigmoid()
        case w.Flatten():
            return tg.nn.Flatten()
        case w.Linear():
            return tg.nn.Linear(of.inputs, of.outputs)


def training(net: tg.nn.Module, given: w.Inputs, rate: float) -> Program:
    x = tg.Tensor(given.images)
    optimizer = tg.optim.SGD(net.parameters(), rate, momentum=w.MOMENTUM)

    def step() -> float:
        cost = tg.cross_entropy(net(x), given.labels)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        return float(cost.item())

    return Program(step, lambda cost: [np.array(cost)], len(given.images))


def inference(net: tg.nn.Module, given: w.Inputs) -> Program:
    x = tg.Tensor(given.images)
    net.eval()

    def step() -> Any:
        with tg.no_grad():
            return net(x)

    return Program(step, lambda y: [y.data], len(given.images))


def one_layer(net: tg.nn.Module, given: w.Inputs) -> Program:
    x = tg.Tensor(batch_innermost(given.images), requires_grad=True)
    gradient = tg.Tensor(batch_innermost(given.gradient))
    leaves = [x, *net.parameters()]

    def step() -> list[Any]:
        y = net(x)
        y.backward(gradient)
        result = [y, *(t.grad for t in leaves)]
        for t in leaves:
            t.grad = None
        return result

    return Program(step, lambda result: [t.data for t in result], len(given.images))


def batch_innermost(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
