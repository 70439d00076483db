"""The floor: how fast this machine multiplies matrices in float32, through NumPy's BLAS on the same threads.

"square" is one product of 1024 by 1024 matrices, the speed that a workload's multiply-adds are held against;
"own" is every product of the workload on the shapes that im2col gives it, with the matrices made beforehand.
"""

import numpy as np
import workloads as w

from . import Program

SQUARE = w.Product(1024, 1024, 1024)


def build(workload: w.Workload, given: w.Inputs, variant: str, threads: int) -> Program:
    rng = np.random.default_rng(0)
    factors = []
    for p in [SQUARE] if variant == "square" else workload.products():
        a = rng.random((p.rows, p.inner), np.float32)
        b = rng.random((p.inner, p.columns), np.float32)
        factors.append((a, b, np.zeros((p.rows, p.columns), np.float32)))

    def step() -> None:
        for a, b, out in factors:
            np.matmul(a, b, out=out)

    return Program(step, lambda nothing: [], workload.batch)
