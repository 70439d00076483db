# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""One pass over numbers as they lie in memory: gates and sums."""

from .compiling import compiled
from .team import finish, take

_PART = 1 << 14  # numbers a task


@compiled
def gate(progress, g, a, out):
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
