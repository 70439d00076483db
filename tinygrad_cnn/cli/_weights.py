"""Files that hold a named network, as the commands take them."""

from typing import Any

from .. import checkpoint
from ..models import Network


def load_network(path: str) -> tuple[Network, dict[str, Any]]:
    """The named network of a weights file or checkpoint, and what the file says about its training."""
    model = checkpoint.load(path)
    if not isinstance(model, Network):
        raise checkpoint.CheckpointError(f"{path}: does not hold a named network")
    return model, checkpoint.about(path)
