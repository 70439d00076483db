# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
"""Images copied into the memory layout of the convolution kernels, with a border and by column phases, and back."""

from .compiling import compiled
from .workers import tasks


@compiled
def to_layout(progress, x, image, padding, stride):
    """Copy x (C, H, W, N) into image (C, rows, phases, columns, N), with a border of zeros. A task: a row.

    Every stride-th column goes into the same phase, so that the pixels of a tap are neighbours whatever the stride.
    """
    channels, height, width, n = x.shape
    total = channels * image.shape[1]
    for task in tasks(progress.ctypes.data, total):
        c, row = task // image.shape[1], task % image.shape[1]
        image[c, row] = 0
        if padding[0] <= row < height + padding[0]:
            for column in range(width):
                target = image[c, row, (column + padding[1]) % stride, (column + padding[1]) // stride]
                source = x[c, row - padding[0], column]
                for i in range(n):
                    target[i] = source[i]
    return total


@compiled
def from_layout(progress, image, x, padding, stride):
    """The reverse of `to_layout`: x (C, H, W, N) out of the image, without its border. A task: a row."""
    channels, height, width, n = x.shape
    total = channels * height
    for task in tasks(progress.ctypes.data, total):
        c, row = task // height, task % height
        for column in range(width):
            source = image[c, row + padding[0], (column + padding[1]) % stride, (column + padding[1]) // stride]
            target = x[c, row, column]
            for i in range(n):
                target[i] = source[i]
    return total
