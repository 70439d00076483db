"""A command on several ranks: one message for a failure that all have, and an end for all when one fails alone."""

from collections.abc import Callable

from ..storage.atomic import CheckpointError
from ..training import DivergenceError
from ..training.mpi import DistributedError, World, abort
from ._options import say

_SHARED = (DistributedError, DivergenceError, CheckpointError)  # raised by every rank at once


def together(team: World, work: Callable[[], int]) -> int:
    """Do a rank's part of a command, and return its exit status."""
    if team.size == 1:
        return work()
    try:
        return work()
    except _SHARED as error:
        if team.rank == 0:
            raise
        return 1 if isinstance(error, DivergenceError) else 2
    except (ValueError, OSError, ImportError, MemoryError) as error:
        say(f"error: {error}")
        abort(team, 2)
    except KeyboardInterrupt:
        abort(team, 130)
    return 2
