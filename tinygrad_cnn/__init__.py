"""An autograd micro-framework for convolutional networks on NumPy and SciPy.

A tour, from below: `kernels` compute on arrays; a `tensor` remembers how it was made, and the `graph` brings gradients
back; `ops` hold each formula beside its rules, and `gradcheck` proves them; `nn`, `optim` and `data` are what networks
are trained with; `article` has the article's own three classes. Above them `models` names networks with their recipes,
`training` fits them, `checkpoint` keeps them; `interop` leads on to other frameworks; `plot`, `drawing`, `explanation`
and `report` show what happened.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import article, data, distributed, nn, optim
from .gradcheck import GradcheckError, gradcheck
from .graph import AnomalyError, GraphError, detect_anomaly, enable_grad, no_grad
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
    maxpool,
    pad,
    quadratic_cost,
    relu,
    sigmoid,
    softmax,
    tanh,
    where,
)
from .tensor import Tensor, grad, matmul, record

if TYPE_CHECKING:
    from . import checkpoint, interop, models, plot, report, training
    from . import sklearn as sklearn
    from .checkpoint import load, save
    from .drawing import draw
    from .evaluation import evaluate
    from .explanation import explain
    from .files import CheckpointError
    from .interop import from_dlpack, from_onnx, to_onnx
    from .training import DivergenceError, fit

__version__ = "0.1.0"

# What `import tinygrad_cnn` need not load: found by `__getattr__` when it is first asked for.
_LATER = {
    "CheckpointError": "files",
    "DivergenceError": "training",
    "draw": "drawing",
    "evaluate": "evaluation",
    "explain": "explanation",
    "fit": "training",
    "from_dlpack": "interop",
    "from_onnx": "interop",
    "checkpoint": "",
    "interop": "",
    "load": "checkpoint",
    "models": "",
    "plot": "",
    "report": "",
    "save": "checkpoint",
    "sklearn": "",
    "to_onnx": "interop",
    "training": "",
}

__all__ = [  # but `sklearn`: it needs its extra to be loaded at all, and `import *` loads what stands here
    "AnomalyError",
    "CheckpointError",
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
    if name not in _LATER:
        raise AttributeError(f"module 'tinygrad_cnn' has no attribute {name!r}")
    found: Any = importlib.import_module(f".{_LATER[name] or name}", __name__)
    if _LATER[name]:
        found = getattr(found, name)
    globals()[name] = found
    return found
