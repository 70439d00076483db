"""Networks as C: `graph` reads the ops, `lower` and `fold` make a `Plan` of calls, `source` writes them."""

from .export import Sizes, to_c

__all__ = ["Sizes", "to_c"]
