# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Images laid out for the convolution kernels, with a border and with the columns of a stride together, and back."""

from .compiling import compiled
from .team import finish, take


@compiled
def spread(progress, x, image, padding, stride):
    """x (C, H, W, N) into image (C, rows, phases, columns, N): a border of zeros, and every stride-th column together.

    So the places of a tap are neighbours in memory whatever the stride. A task: a row.
    """
    channels, height, width, n = x.shape
    tasks = channels * image.shape[1]
    task = take(progress)
    while task < tasks:
        c, row = task // image.shape[1], task % image.shape[1]
        image[c, row] = 0
        if padding[0] <= row < height + padding[0]:
            for column in range(width):
                target = image[c, row, (column + padding[1]) % stride, (column + padding[1]) // stride]
                source = x[c, row - padding[0], column]
                for i in range(n):
                    target[i] = source[i]
        finish(progress)
        task = take(progress)
    return tasks


@compiled
def gather(progress, image, x, padding, stride):
    """The reverse of `spread`: x (C, H, W, N) out of the image, without its border."""
    channels, height, width, n = x.shape
    tasks = channels * height
    task = take(progress)
    while task < tasks:
        c, row = task // height, task % height
        for column in range(width):
            source = image[c, row + padding[0], (column + padding[1]) % stride, (column + padding[1]) // stride]
            target = x[c, row, column]
            for i in range(n):
                target[i] = source[i]
        finish(progress)
        task = take(progress)
    return tasks
