"""Memory shared with other array libraries through DLPack."""

from typing import Any

import numpy as np

from ..autograd.dtypes import check_dtype
from ..autograd.tensor import Tensor, wrap


def from_dlpack(x: Any) -> Tensor:
    """A tensor over the memory of another library's array, which is not copied: editing one edits the other.

    The other way round is ``torch.from_dlpack(t)``, or any library's function of that name: it shares the memory too,
    except where a graph still reads it (then another library could spoil a gradient) or where it runs backwards in
    memory, as in ``t[::-1]``: these are copied. Graphs do not notice what other libraries write: share before a
    forward pass or after `backward`, not between.

    Args:
        x: an array in the CPU's memory with ``__dlpack__``, such as a PyTorch tensor (``x.detach()`` if it requires a
            gradient).

    Raises TypeError for another object, or numbers of a type that a tensor cannot have; ValueError when the other
    library does not share.

    >>> a = np.zeros(2, np.float32)
    >>> t = from_dlpack(a)
    >>> a[0] = 5
    >>> t
    Tensor([5., 0.])
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}")
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise ValueError(f"from_dlpack: {error}") from None
    check_dtype(array.dtype)
    return wrap(array.view())  # a graph makes it read-only for a while, and only a view can be made writable again
