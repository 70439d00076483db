"""Arithmetic without NumPy's warnings: a result too large for its type is an infinity, one without an answer NaN.

That is PyTorch's manner, and the policy of every op here; `detect_anomaly` finds where such a number came from.
`numpy.errstate` does the same in a microsecond, as long as a small product takes; entering a context that was prepared
once takes a tenth of that. Where an op is many calls, or Python code that may be interrupted, `errstate` is right.
"""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _Quiet(threading.local):
    """``quiet.run(f, *args)``: what ``f`` returns, NumPy's warnings off. ``f`` must be one of NumPy's own functions.

    A context for each thread, because only one call at a time can be inside it.
    """

    run: Callable[..., Any]

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()
