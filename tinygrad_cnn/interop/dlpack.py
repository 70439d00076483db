"""Memory shared with other array libraries through DLPack."""

from typing import Any

import numpy as np

from ..autograd.dtypes import check_dtype
from ..autograd.tensor import Tensor, wrap
from ..checks import abbreviated


def from_dlpack(x: Any) -> Tensor:
    """Return a tensor that shares the memory of another library's array: editing one edits the other.

    The other direction is ``torch.from_dlpack(t)``, or any library's function of that name. It shares the memory too,
    except where a graph still reads it (another library could change a gradient) or where the array runs backwards in
    memory, as in ``t[::-1]``: these are copied. Graphs do not notice what other libraries write: share before a
    forward pass or after `backward`, not between.

    Args:
        x: an array in the CPU's memory with ``__dlpack__``, such as a PyTorch tensor (``x.detach()`` if it requires a
            gradient).

    Raises:
        TypeError: another object, or numbers of a type that a tensor cannot have.
        ValueError: the other library does not share the array.

    >>> a = np.zeros(2, np.float32)
    >>> t = from_dlpack(a)
    >>> a[0] = 5
    >>> t
    Tensor([5., 0.])
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: x must be an array with __dlpack__, got {abbreviated(x)}")
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise ValueError(f"from_dlpack: {error}") from None
    check_dtype(array.dtype)
    return wrap(array.view())  # a graph makes it read-only for a while, and only a view can be made writable again
