"""Who runs: one small file a library, each with `build(workload, given, variant, threads) -> Program`."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """A workload as one contender built it.

    ``step()`` runs it once and returns when the result is there: for "step" the cost as a float, for "inference" the
    logits, for "layer" y, dC/dx and each parameter's gradient. ``arrays`` turns such a result into NumPy arrays with
    PyTorch's axes (never timed). ``images`` is how many images one run handles.
    """

    step: Callable[[], Any]
    arrays: Callable[[Any], list[np.ndarray]]
    images: int


@dataclass(frozen=True)
class Contender:
    """``group`` is what `--peers` names; ``module`` the file here; ``needs`` what must be installed."""

    name: str
    title: str
    group: str
    module: str
    needs: str
    variant: str = ""

    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None


CONTENDERS = (
    Contender("numba", "ours, numba kernels", "ours", "ours", "numba", "numba"),
    Contender("numpy", "ours, numpy kernels", "ours", "ours", "numpy", "numpy"),
    Contender("scipy", "ours, scipy kernels", "ours", "ours", "scipy", "scipy"),
    Contender("torch", "PyTorch", "torch", "pytorch", "torch"),
    Contender("torch-channels-last", "PyTorch channels_last", "torch", "pytorch", "torch", "channels-last"),
    Contender("torch-compile", "PyTorch compiled", "torch", "pytorch", "torch", "compile"),
    Contender("jax", "JAX jit", "jax", "with_jax", "jax"),
    Contender("mygrad", "MyGrad", "mygrad", "with_mygrad", "mygrad"),
    Contender("tinygrad", "tinygrad jit", "tinygrad", "with_tinygrad", "tinygrad"),
    Contender("article", "the article's listing", "article", "article", "scipy"),
    Contender("article-tiled", "listing, NumPy pooling", "article", "article", "scipy", "tiled"),
    Contender("gemm", "matrix product 1024^3", "floor", "gemm", "numpy", "square"),
    Contender("gemm-own", "the workload's matrix products", "floor", "gemm", "numpy", "own"),
)
PEERS = tuple(dict.fromkeys(c.group for c in CONTENDERS if c.group not in ("ours", "article", "floor")))


def by_name(name: str) -> Contender:
    return next(c for c in CONTENDERS if c.name == name)
