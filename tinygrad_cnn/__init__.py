"""An autograd micro-framework for convolutional networks on NumPy and SciPy.

The package from below: `tinygrad_cnn.kernels` compute on arrays. `tinygrad_cnn.autograd` has the tensor, which
records how it was made, and the backward pass. `tinygrad_cnn.ops` have each formula beside its backward rules. With
`tinygrad_cnn.nn`, `tinygrad_cnn.optim` and `tinygrad_cnn.data` networks are built and trained; `tinygrad_cnn.article`
has the article's three classes. `tinygrad_cnn.models` are named networks with their recipes, `tinygrad_cnn.storage`
writes and reads files, `tinygrad_cnn.training` has the training loop and checkpoints. `tinygrad_cnn.interop` exchanges
networks with other frameworks, and `tinygrad_cnn.inspection` explains and draws them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import article, data, nn, optim
from .autograd.engine import AnomalyError, GraphError
from .autograd.modes import detect_anomaly, enable_grad, no_grad
from .autograd.tensor import Tensor, grad, record
from .kernels import get_kernels, set_kernels
from .kernels.threads import get_num_threads, set_num_threads
from .ops import (
    adaptive_avgpool,
    avgpool,
    batch_norm,
    concatenate,
    convolve2d,
    convolve2d_full,
    correlate2d,
    correlate2d_weight,
    cross_entropy,
    dropout,
    gelu,
    leaky_relu,
    linear,
    log_softmax,
    matmul,
    maxpool,
    pad,
    quadratic_cost,
    relu,
    sigmoid,
    softmax,
    stack,
    tanh,
    where,
)

if TYPE_CHECKING:
    from . import interop, models, training
    from .autograd.doctor import Diagnosis, diagnose
    from .autograd.gradcheck import GradcheckError, gradcheck
    from .inspection import plot, report
    from .inspection.drawing import draw
    from .inspection.explain import explain
    from .interop import from_dlpack, from_onnx, to_c, to_onnx
    from .interop import sklearn as sklearn
    from .models.saving import load, save
    from .page import to_page
    from .storage.atomic import CheckpointError
    from .training import DivergenceError, checkpoint, fit, train
    from .training import mpi as distributed
    from .training.evaluate import evaluate

__version__ = "0.1.0"

# Public names that are imported at their first use, so that `import tinygrad_cnn` stays light: (module, attribute).
_LAZY = {
    "CheckpointError": ("storage.atomic", "CheckpointError"),
    "Diagnosis": ("autograd.doctor", "Diagnosis"),
    "DivergenceError": ("training", "DivergenceError"),
    "GradcheckError": ("autograd.gradcheck", "GradcheckError"),
    "checkpoint": ("training.checkpoint", ""),
    "diagnose": ("autograd.doctor", "diagnose"),
    "distributed": ("training.mpi", ""),
    "draw": ("inspection.drawing", "draw"),
    "evaluate": ("training.evaluate", "evaluate"),
    "explain": ("inspection.explain", "explain"),
    "fit": ("training", "fit"),
    "from_dlpack": ("interop", "from_dlpack"),
    "from_onnx": ("interop", "from_onnx"),
    "gradcheck": ("autograd.gradcheck", "gradcheck"),
    "interop": ("interop", ""),
    "load": ("models.saving", "load"),
    "models": ("models", ""),
    "plot": ("inspection.plot", ""),
    "report": ("inspection.report", ""),
    "save": ("models.saving", "save"),
    "sklearn": ("interop.sklearn", ""),
    "to_c": ("interop", "to_c"),
    "to_onnx": ("interop", "to_onnx"),
    "to_page": ("page", "to_page"),
    "train": ("training", "train"),
    "training": ("training", ""),
}

__all__ = [  # but `sklearn`: it needs its extra to be loaded at all, and `import *` loads what stands here
    "AnomalyError",
    "CheckpointError",
    "Diagnosis",
    "DivergenceError",
    "GradcheckError",
    "GraphError",
    "Tensor",
    "adaptive_avgpool",
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
    "gelu",
    "get_kernels",
    "get_num_threads",
    "grad",
    "gradcheck",
    "interop",
    "leaky_relu",
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
    "stack",
    "tanh",
    "to_c",
    "to_onnx",
    "to_page",
    "train",
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
