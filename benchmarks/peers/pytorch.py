"""PyTorch: its default layout, channels_last (weights and images laid out so beforehand), and torch.compile."""

import shutil
from typing import Any

import torch
import workloads as w

from . import Program

cross_entropy = torch.nn.functional.cross_entropy


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    if variant == "compile" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise RuntimeError("torch.compile needs a C++ compiler")
    torch.set_num_threads(threads)
    net = torch.nn.Sequential(*(layer(k) for k in workload.layers))
    state = {name: torch.from_numpy(a.copy()) for name, a in given.parameters.items()}
    net.load_state_dict(state, strict=False)  # batch norm's running statistics keep their defaults
    x, gradient = torch.from_numpy(given.images), torch.from_numpy(given.gradient)
    if variant == "channels-last":
        net.to(memory_format=torch.channels_last)
        x, gradient = (t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in (x, gradient))
    if workload.kind == "step":
        labels = torch.from_numpy(given.labels)
        return training(net, x, labels, workload.learning_rate, variant == "compile")
    run = torch.compile(net, dynamic=False) if variant == "compile" else net
    return inference(net, run, x) if workload.kind == "inference" else one_layer(net, run, x, gradient)


def layer(of: w.Layer) -> torch.nn.Module:
    match of:
        case w.Conv():
            return torch.nn.Conv2d(of.channels, of.filters, of.size, padding=of.padding)
        case w.BatchNorm():
            return torch.nn.BatchNorm2d(of.channels)
        case w.MaxPool():
            return torch.nn.MaxPool2d(of.size)
        case w.ReLU():
            return torch.nn.ReLU()
        case w.Sigmoid():
            return torch.nn.Sigmoid()
        case w.Flatten():
            return torch.nn.Flatten()
        case w.Linear():
            return torch.nn.Linear(of.inputs, of.outputs)


def training(net: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor, rate: float, compiled: bool) -> Program:
    def forward() -> torch.Tensor:
        return cross_entropy(net(x), labels)

    cost_of = torch.compile(forward, dynamic=False) if compiled else forward
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=w.MOMENTUM)

    def step() -> float:
        cost = cost_of()
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        return float(cost.item())

    return Program(step, lambda cost: [torch.tensor(cost).numpy()], len(x))


def inference(net: torch.nn.Module, run: Any, x: torch.Tensor) -> Program:
    net.eval()

    def step() -> torch.Tensor:
        with torch.inference_mode():
            return run(x)

    return Program(step, lambda y: [y.numpy()], len(x))


def one_layer(net: torch.nn.Module, run: Any, x: torch.Tensor, gradient: torch.Tensor) -> Program:
    x.requires_grad = True
    leaves = [x, *net.parameters()]

    def step() -> list[torch.Tensor]:
        y = run(x)
        return [y, *torch.autograd.grad(y, leaves, gradient)]

    return Program(step, lambda result: [t.detach().numpy() for t in result], len(x))
