"""Networks as C: `graph` reads the ops, `lower` and `fold` make a `Plan` of calls, `source` writes them."""

from .export import to_c
from .source import Sizes

__all__ = ["Sizes", "to_c"]
