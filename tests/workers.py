"""What the worker processes of `test_everywhere` run: importable by name, as a spawned process needs it."""

import multiprocessing

import numpy as np
from test_everywhere import trained

import tinygrad_cnn as tg


def work(seed):
    tg.set_kernels("numpy")
    return float(np.abs(trained(seed)).sum())


def main(method):
    work(1)  # the parent has computed before it starts its workers
    with multiprocessing.get_context(method).Pool(2) as pool:
        (first, second) = pool.map(work, [0, 0])
    assert first == second
    print(first)
