# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""One pass over numbers as they lie in memory: gates, sums, and the steps of the optimizers."""

import numpy as np

from .compiling import compiled, compiled_literally
from .team import finish, take

_PART = 1 << 14  # numbers a task


@compiled
def relu_backward(progress, g, a, out):
    """``out = g`` where ``a > 0``, else 0; flat arrays. A task: a part of them."""
    tasks, zero = (g.size + _PART - 1) // _PART, g.dtype.type(0)
    task = take(progress)
    while task < tasks:
        part = slice(task * _PART, (task + 1) * _PART)
        gradient, activation, passed = g[part], a[part], out[part]
        for i in range(gradient.size):
            passed[i] = gradient[i] if activation[i] > 0 else zero
        finish(progress)
        task = take(progress)
    return tasks


@compiled
def sums(progress, rows, out):
    """``out[f]``: the sum of each row (F, K). A task: a row."""
    task = take(progress)
    while task < len(rows):
        row, total = rows[task], rows.dtype.type(0)
        for i in range(row.size):
            total += row[i]
        out[task] = total
        finish(progress)
        task = take(progress)
    return len(rows)


@compiled_literally
def sgd(progress, p, g, v, lr, momentum, nesterov):
    """The velocity and the step, number by number; without a velocity, v is empty. A task: a part of them."""
    tasks = (p.size + _PART - 1) // _PART
    lr, momentum = p.dtype.type(lr), p.dtype.type(momentum)
    task = take(progress)
    while task < tasks:
        part = slice(task * _PART, (task + 1) * _PART)
        moved, gradient, velocity = p[part], g[part], v[part]
        if not v.size:
            for i in range(moved.size):
                moved[i] -= lr * gradient[i]
        elif nesterov:
            for i in range(moved.size):
                velocity[i] = velocity[i] * momentum + gradient[i]
                moved[i] -= lr * (gradient[i] + momentum * velocity[i])
        else:
            for i in range(moved.size):
                velocity[i] = velocity[i] * momentum + gradient[i]
                moved[i] -= lr * velocity[i]
        finish(progress)
        task = take(progress)
    return tasks


@compiled_literally
def adam(progress, p, g, m, v, step_size, betas, bias_correction2, eps):
    """Both means and the step, number by number. A task: a part of them."""
    tasks, kind = (p.size + _PART - 1) // _PART, p.dtype.type
    beta1, beta2, fresh1, fresh2 = kind(betas[0]), kind(betas[1]), kind(1 - betas[0]), kind(1 - betas[1])
    step_size, bias_correction2, eps = kind(step_size), kind(bias_correction2), kind(eps)
    task = take(progress)
    while task < tasks:
        part = slice(task * _PART, (task + 1) * _PART)
        moved, gradient, mean, square = p[part], g[part], m[part], v[part]
        for i in range(moved.size):
            mean[i] = beta1 * mean[i] + fresh1 * gradient[i]
            square[i] = beta2 * square[i] + fresh2 * (gradient[i] * gradient[i])
            moved[i] -= step_size * mean[i] / (np.sqrt(square[i] / bias_correction2) + eps)
        finish(progress)
        task = take(progress)
    return tasks
