"""NumPy calls without its floating point warnings: overflow gives inf and undefined results NaN, as in PyTorch.

`numpy.errstate` does the same in a microsecond, which is as long as a small product takes; entering a context that was
prepared once takes a tenth of that. Around several calls, or Python code that may be interrupted, use `errstate`.
"""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _WithoutWarnings(threading.local):
    """``without_warnings.run(f, *args)`` returns ``f(*args)``; ``f`` must be one of NumPy's own functions.

    Each thread has a context of its own, because only one call at a time can be inside it.
    """

    run: Callable[..., Any]

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


without_warnings = _WithoutWarnings()
