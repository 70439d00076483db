# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""One pass over numbers as they lie in memory: the rule of ReLU, sums, and the updates of the optimizers."""

import numpy as np

from .compiling import compiled, compiled_literally
from .workers import tasks

_TASK_SIZE = 1 << 14  # numbers


@compiled
def relu_backward(progress, g, a, out):
    """``out = g`` where ``a > 0``, else 0; flat arrays. A task: a part of them."""
    total, zero = (g.size + _TASK_SIZE - 1) // _TASK_SIZE, g.dtype.type(0)
    for task in tasks(progress.ctypes.data, total):
        part = slice(task * _TASK_SIZE, (task + 1) * _TASK_SIZE)
        gradient, activation, passed = g[part], a[part], out[part]
        for i in range(gradient.size):
            passed[i] = gradient[i] if activation[i] > 0 else zero
    return total


@compiled
def sums(progress, rows, out):
    """``out[f]``: the sum of each row (F, K), within parts of it and then over the parts. A task: a row."""
    for task in tasks(progress.ctypes.data, len(rows)):
        row, total = rows[task], 0.0
        for start in range(0, row.size, _TASK_SIZE):
            part, subtotal = row[start : start + _TASK_SIZE], rows.dtype.type(0)
            for i in range(part.size):
                subtotal += part[i]
            total += subtotal
        out[task] = total
    return len(rows)


@compiled_literally
def sgd(progress, p, g, v, lr, momentum, nesterov):
    """`optim.SGD`'s update, number by number; without momentum, v is empty. A task: a part of the numbers."""
    total = (p.size + _TASK_SIZE - 1) // _TASK_SIZE
    lr, momentum = p.dtype.type(lr), p.dtype.type(momentum)
    for task in tasks(progress.ctypes.data, total):
        part = slice(task * _TASK_SIZE, (task + 1) * _TASK_SIZE)
        weights, gradient, velocity = p[part], g[part], v[part]
        if not v.size:
            for i in range(weights.size):
                weights[i] -= lr * gradient[i]
        elif nesterov:
            for i in range(weights.size):
                velocity[i] = velocity[i] * momentum + gradient[i]
                weights[i] -= lr * (gradient[i] + momentum * velocity[i])
        else:
            for i in range(weights.size):
                velocity[i] = velocity[i] * momentum + gradient[i]
                weights[i] -= lr * velocity[i]
    return total


@compiled_literally
def adam(progress, p, g, m, v, step_size, betas, bias_correction2, eps):
    """`optim.Adam`'s update, number by number. A task: a part of the numbers."""
    total, kind = (p.size + _TASK_SIZE - 1) // _TASK_SIZE, p.dtype.type
    beta1, beta2, rest1, rest2 = kind(betas[0]), kind(betas[1]), kind(1 - betas[0]), kind(1 - betas[1])
    step_size, bias_correction2, eps = kind(step_size), kind(bias_correction2), kind(eps)
    for task in tasks(progress.ctypes.data, total):
        part = slice(task * _TASK_SIZE, (task + 1) * _TASK_SIZE)
        weights, gradient, mean, square = p[part], g[part], m[part], v[part]
        for i in range(weights.size):
            mean[i] = beta1 * mean[i] + rest1 * gradient[i]
            square[i] = beta2 * square[i] + rest2 * (gradient[i] * gradient[i])
            weights[i] -= step_size * mean[i] / (np.sqrt(square[i] / bias_correction2) + eps)
    return total
