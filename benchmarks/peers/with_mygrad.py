"""MyGrad: autograd on NumPy. Its update by SGD with momentum is written out here, since it has no optimizer."""

from typing import Any

import mygrad as mg
import numpy as np
import workloads as w
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.layers import batchnorm, conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from . import Program

Parameters = dict[str, Any]


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    parameters = {name: mg.tensor(a.copy()) for name, a in given.parameters.items()}
    if workload.kind == "step":
        return training(workload.layers, parameters, given, workload.learning_rate)
    if workload.kind == "inference":

        def forward() -> Any:
            with mg.no_autodiff:
                return network(workload.layers, parameters, given.images)

        return Program(forward, lambda y: [np.asarray(y)], len(given.images))
    return one_layer(workload.layers, parameters, given)


def network(layers: tuple[w.Layer, ...], p: Parameters, x: Any) -> Any:
    for k, of in enumerate(layers):
        x = layer(of, p.get(f"{k}.weight"), p.get(f"{k}.bias"), x)
    return x


def layer(of: w.Layer, weight: Any, bias: Any, x: Any) -> Any:
    match of:
        case w.Conv():
            return conv_nd(x, weight, stride=1, padding=of.padding) + bias.reshape(1, -1, 1, 1)
        case w.BatchNorm():
            return batchnorm(x, gamma=weight, beta=bias, eps=1e-5)
        case w.MaxPool():
            rows, columns = (n // of.size * of.size for n in x.shape[2:])  # it refuses windows that do not fit
            return max_pool(x[:, :, :rows, :columns], (of.size, of.size), of.size)
        case w.ReLU():
            return relu(x)
        case w.Sigmoid():
            return sigmoid(x)
        case w.Flatten():
            return x.reshape(len(x), -1)
        case w.Linear():
            return mg.matmul(x, weight.T) + bias


def training(layers: tuple[w.Layer, ...], parameters: Parameters, given: w.Inputs, rate: float) -> Program:
    velocity = {name: np.zeros_like(p.data) for name, p in parameters.items()}

    def step() -> float:
        cost = softmax_crossentropy(network(layers, parameters, given.images), given.labels)
        cost.backward()
        for name, p in parameters.items():
            velocity[name] *= w.MOMENTUM
            velocity[name] += p.grad
            p.data -= rate * velocity[name]
            p.null_grad()
        return float(cost.item())

    return Program(step, lambda cost: [np.array(cost)], len(given.images))


def one_layer(layers: tuple[w.Layer, ...], parameters: Parameters, given: w.Inputs) -> Program:
    x = mg.tensor(given.images)

    def step() -> list[np.ndarray]:
        y = network(layers, parameters, x)
        y.backward(given.gradient)
        return [y.data, x.grad, *(p.grad for p in parameters.values())]

    return Program(step, lambda result: result, len(given.images))
