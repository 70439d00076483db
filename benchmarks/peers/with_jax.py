"""JAX: one jit for the whole step, parameters and momenta donated; it takes its threads from the affinity mask.

Images are (N, H, W, C), the order in which its convolution runs on a CPU.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import workloads as w

from . import Program

Parameters = dict[str, Any]


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    parameters = {name: jnp.asarray(a) for name, a in given.parameters.items()}
    x = jnp.asarray(given.images.transpose(0, 2, 3, 1))
    if workload.kind == "step":
        return training(workload.layers, parameters, x, jnp.asarray(given.labels), workload.learning_rate)
    if workload.kind == "inference":
        forward = jax.jit(lambda p, x: network(workload.layers, p, x))
        return Program(lambda: forward(parameters, x).block_until_ready(), lambda y: [np.asarray(y)], len(x))
    return one_layer(workload.layers, parameters, x, jnp.asarray(given.gradient.transpose(0, 2, 3, 1)))


def network(layers: tuple[w.Layer, ...], p: Parameters, x: Any) -> Any:
    for k, of in enumerate(layers):
        x = layer(of, p.get(f"{k}.weight"), p.get(f"{k}.bias"), x)
    return x


def layer(of: w.Layer, weight: Any, bias: Any, x: Any) -> Any:
    match of:
        case w.Conv():
            padding, axes = [(of.padding, of.padding)] * 2, ("NHWC", "OIHW", "NHWC")
            return jax.lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=axes) + bias
        case w.BatchNorm():
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias
        case w.MaxPool():
            window = 1, of.size, of.size, 1
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        case w.ReLU():
            return jax.nn.relu(x)
        case w.Sigmoid():
            return jax.nn.sigmoid(x)
        case w.Flatten():
            return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        case w.Linear():
            return x @ weight.T + bias


def training(layers: tuple[w.Layer, ...], parameters: Parameters, x: Any, labels: Any, rate: float) -> Program:
    def cost(p: Parameters, x: Any, labels: Any) -> Any:
        chosen = jax.nn.log_softmax(network(layers, p, x))[jnp.arange(len(x)), labels]
        return -chosen.mean()

    def update(p: Parameters, v: Parameters, x: Any, labels: Any) -> tuple[Any, Parameters, Parameters]:
        c, g = jax.value_and_grad(cost)(p, x, labels)
        v = {name: w.MOMENTUM * v[name] + g[name] for name in p}
        return c, {name: p[name] - rate * v[name] for name in p}, v

    compiled = jax.jit(update, donate_argnums=(0, 1))
    state = [parameters, {name: jnp.zeros_like(a) for name, a in parameters.items()}]

    def step() -> float:
        c, *state[:] = compiled(*state, x, labels)
        jax.block_until_ready(state)
        return float(c)

    return Program(step, lambda c: [np.array(c)], len(x))


def one_layer(layers: tuple[w.Layer, ...], parameters: Parameters, x: Any, gradient: Any) -> Program:
    @jax.jit
    def both(p: Parameters, x: Any, gradient: Any) -> tuple[Any, Any, Parameters]:
        y, pull_back = jax.vjp(lambda p, x: network(layers, p, x), p, x)
        dp, dx = pull_back(gradient)
        return y, dx, dp

    def arrays(result: tuple[Any, Any, Parameters]) -> list[np.ndarray]:
        y, dx, dp = result
        return [*(np.asarray(a).transpose(0, 3, 1, 2) for a in (y, dx)), *(np.asarray(dp[name]) for name in parameters)]

    return Program(lambda: jax.block_until_ready(both(parameters, x, gradient)), arrays, len(x))
