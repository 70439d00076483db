"""An autograd micro-framework for convolutional networks on NumPy and SciPy.

A tour, from below: `kernels` compute on arrays; a `tensor` remembers how it was made, and the `graph` brings gradients
back; `ops` hold each formula beside its rules, and `gradcheck` proves them; `nn`, `optim` and `data` are what networks
are trained with; `article` has the article's own three classes. Above them `models` names networks with their recipes,
`training` fits them, `checkpoint` keeps them; `interop` leads on to other frameworks; `plot`, `drawing`, `explanation`
and `report` show what happened.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import article, data, nn, optim
from .autograd.engine import AnomalyError, GraphError
from .autograd.gradcheck import GradcheckError, gradcheck
from .autograd.modes import detect_anomaly, enable_grad, no_grad
from .autograd.tensor import Tensor, grad, record
from .kernels import get_kernels, set_kernels
from .kernels.threads import get_num_threads, set_num_threads
from .ops import (
    avgpool,
    batch_norm,
    concatenate,
    convolve2d,
    convolve2d_full,
    correlate2d,
    correlate2d_weight,
    cross_entropy,
    dropout,
    linear,
    log_softmax,
    matmul,
    maxpool,
    pad,
    quadratic_cost,
    relu,
    sigmoid,
    softmax,
    tanh,
    where,
)

if TYPE_CHECKING:
    from . import interop, models
    from . import train as training
    from .autograd.doctor import Diagnosis, diagnose
    from .inspection import plot, report
    from .inspection.drawing import draw
    from .inspection.explain import explain
    from .interop import from_dlpack, from_onnx, to_onnx
    from .interop import sklearn as sklearn
    from .models.saving import load, save
    from .storage.archive import CheckpointError
    from .train import DivergenceError, checkpoint, fit
    from .train import mpi as distributed
    from .train.evaluate import evaluate

__version__ = "0.1.0"

# Public names that are imported at their first use, so that `import tinygrad_cnn` stays light: (module, attribute).
_LAZY = {
    "CheckpointError": ("storage.archive", "CheckpointError"),
    "Diagnosis": ("autograd.doctor", "Diagnosis"),
    "DivergenceError": ("train", "DivergenceError"),
    "checkpoint": ("train.checkpoint", ""),
    "diagnose": ("autograd.doctor", "diagnose"),
    "distributed": ("train.mpi", ""),
    "draw": ("inspection.drawing", "draw"),
    "evaluate": ("train.evaluate", "evaluate"),
    "explain": ("inspection.explain", "explain"),
    "fit": ("train", "fit"),
    "from_dlpack": ("interop", "from_dlpack"),
    "from_onnx": ("interop", "from_onnx"),
    "interop": ("interop", ""),
    "load": ("models.saving", "load"),
    "models": ("models", ""),
    "plot": ("inspection.plot", ""),
    "report": ("inspection.report", ""),
    "save": ("models.saving", "save"),
    "sklearn": ("interop.sklearn", ""),
    "to_onnx": ("interop", "to_onnx"),
    "training": ("train", ""),
}

__all__ = [  # but `sklearn`: it needs its extra to be loaded at all, and `import *` loads what stands here
    "AnomalyError",
    "CheckpointError",
    "Diagnosis",
    "DivergenceError",
    "GradcheckError",
    "GraphError",
    "Tensor",
    "article",
    "avgpool",
    "batch_norm",
    "checkpoint",
    "concatenate",
    "convolve2d",
    "convolve2d_full",
    "correlate2d",
    "correlate2d_weight",
    "cross_entropy",
    "data",
    "detect_anomaly",
    "diagnose",
    "distributed",
    "draw",
    "dropout",
    "enable_grad",
    "evaluate",
    "explain",
    "fit",
    "from_dlpack",
    "from_onnx",
    "get_kernels",
    "get_num_threads",
    "grad",
    "gradcheck",
    "interop",
    "linear",
    "load",
    "log_softmax",
    "matmul",
    "maxpool",
    "models",
    "nn",
    "no_grad",
    "optim",
    "pad",
    "plot",
    "quadratic_cost",
    "record",
    "relu",
    "report",
    "save",
    "set_kernels",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "tanh",
    "to_onnx",
    "training",
    "where",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinygrad_cnn' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value: Any = importlib.import_module(f".{module}", __name__)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
