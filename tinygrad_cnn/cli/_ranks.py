"""A command on several ranks: one message for an error of all, and an end for all by an error of one."""

from collections.abc import Callable

from ..storage.atomic import CheckpointError
from ..training import DivergenceError
from ..training.mpi import DistributedError, World, abort
from ._options import say

_COLLECTIVE = (DistributedError, DivergenceError, CheckpointError)  # raised by every rank at once


def on_all_ranks(comm: World, work: Callable[[], int]) -> int:
    """Do a rank's part of a command, and return its exit status."""
    if comm.size == 1:
        return work()
    try:
        return work()
    except _COLLECTIVE as error:
        if comm.rank == 0:
            raise
        return 1 if isinstance(error, DivergenceError) else 2
    except (ValueError, OSError, ImportError, MemoryError) as error:
        say(f"error: {error}")
        abort(comm, 2)
    except KeyboardInterrupt:
        abort(comm, 130)
    return 2
