"""A computation graph as a list: everything that a tensor was made from, in the order of making, with names.

Drawings and explanations read this; so do the pictures of a network's layers.
"""

from itertools import chain, count
from typing import NamedTuple

from ..autograd.engine import GraphError
from ..autograd.tensor import Tensor
from ..nn.module import Module, Parameter


class GraphView(NamedTuple):
    """What `walk` found."""

    leaves: list[Tensor]
    """What no op made: parameters, images, labels, constants."""
    results: list[Tensor]
    """What ops made, each after everything that it was made from; the output comes last."""
    names: dict[int, str]
    """A name for each of them by `id`: ``conv.weight`` or ``w1``, ``x``, a lone constant's number, ``#1 #2 ...``."""

    def name(self, t: Tensor) -> str:
        """What to call a tensor of this graph."""
        return self.names[id(t)]


def walk(output: Tensor, model: Module | None = None) -> GraphView:
    """Everything ``output`` was made from.

    Args:
        output: the result of an op that was recorded.
        model: names the parameters; without it they are w1, w2, ...

    Raises GraphError when nothing was recorded, or an earlier `backward` used the graph up.

    >>> w = Tensor([2.0], requires_grad=True)
    >>> found = walk((w * 3).sum())
    >>> [t.node.name for t in found.results], [found.name(t) for t in found.leaves]
    (['multiply', 'sum'], ['x', '3'])
    """
    if output.node is None:
        raise GraphError("graph: this tensor was not made by a recorded op: there is no graph behind it")
    found: dict[int, Tensor] = {}
    stack = [output]
    while stack:
        t = stack.pop()
        if id(t) in found:
            continue
        found[id(t)] = t
        if t.node is not None:
            if t.node.rules is None:
                raise GraphError(
                    f"graph: the graph through {t.node.name} was used up by backward(); look at it before, "
                    "or pass retain_graph=True"
                )
            stack.extend(reversed(t.node.inputs))
    leaves = [t for t in found.values() if t.node is None]
    results = sorted((t for t in found.values() if t.node is not None), key=_serial)
    return GraphView(leaves, results, _named(leaves, results, model))


def is_constant(t: Tensor) -> bool:
    """A lone number that nobody asks a gradient for: written where it is used."""
    return t.node is None and t.size == 1 and not t.requires_grad and not isinstance(t, Parameter)


def _serial(t: Tensor) -> int:
    return -1 if t.node is None else t.node.serial


def _named(leaves: list[Tensor], results: list[Tensor], model: Module | None) -> dict[int, str]:
    known = {id(p): name for name, p in model.named_parameters()} if model is not None else {}
    names = {id(t): known[id(t)] for t in leaves if id(t) in known}
    names |= {id(t): f"{t.item():.6g}" for t in leaves if is_constant(t)}
    others = [t for t in leaves if id(t) not in names]
    for stem, group in (
        ("w", [t for t in others if isinstance(t, Parameter)]),
        ("x", [t for t in others if not isinstance(t, Parameter)]),
    ):
        candidates = chain([stem] if len(group) == 1 else [], (f"{stem}{k}" for k in count(1)))
        free = (name for name in candidates if name not in known.values())
        names |= {id(t): name for t, name in zip(group, free, strict=False)}
    return names | {id(t): f"#{k}" for k, t in enumerate(results, 1)}
