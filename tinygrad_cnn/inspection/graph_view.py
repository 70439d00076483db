"""A computation graph as lists: the tensors behind a result, in the order of making, with names.

Explanations, drawings and the pictures of a network's layers read this.
"""

from itertools import chain, count
from typing import NamedTuple

from ..autograd.engine import GraphError, Node
from ..autograd.tensor import Tensor
from ..nn.module import Module, Parameter


class GraphView(NamedTuple):
    """The tensors behind an output.

    Attributes:
        leaves: tensors that no op made: parameters, images, labels, constants.
        results: results of ops, each after its inputs; the output comes last.
        names: a name for each by `id`: ``conv.weight`` or ``w1``, ``x``, the number of a constant, ``#1 #2 ...``.
    """

    leaves: list[Tensor]
    results: list[Tensor]
    names: dict[int, str]

    @property
    def steps(self) -> list[tuple[Node, Tensor]]:
        """The ops in the order of making: each node with its result."""
        return [(t.node, t) for t in self.results if t.node is not None]

    def name(self, t: Tensor) -> str:
        """Return the name of a tensor of this graph."""
        return self.names[id(t)]


def graph_view(output: Tensor, model: Module | None = None) -> GraphView:
    """Return the graph behind ``output``.

    Args:
        output: the result of an op that was recorded.
        model: names the parameters; without it they are w1, w2, ...

    Raises:
        GraphError: nothing was recorded, or an earlier `backward` freed the graph.

    >>> w = Tensor([2.0], requires_grad=True)
    >>> view = graph_view((w * 3).sum())
    >>> [node.name for node, _ in view.steps], [view.name(t) for t in view.leaves]
    (['multiply', 'sum'], ['x', '3'])
    """
    if output.node is None:
        raise GraphError("graph: this tensor was not made by a recorded op: there is no graph behind it")
    leaves: dict[int, Tensor] = {}
    results: dict[int, Tensor] = {}  # by serial number, which grows from op to op
    stack = [output]
    while stack:
        t = stack.pop()
        if t.node is None:
            leaves[id(t)] = t
        elif t.node.rules is None:
            raise GraphError(
                f"graph: the graph through {t.node.name} was used up by backward(); look at it before, "
                "or pass retain_graph=True"
            )
        elif t.node.serial not in results:
            results[t.node.serial] = t
            stack.extend(reversed(t.node.inputs))
    ordered = [results[serial] for serial in sorted(results)]
    return GraphView(list(leaves.values()), ordered, _names(list(leaves.values()), ordered, model))


def is_constant(t: Tensor) -> bool:
    """Return True for a single number without a gradient: it is written where it is used."""
    return t.node is None and t.size == 1 and not t.requires_grad and not isinstance(t, Parameter)


def _names(leaves: list[Tensor], results: list[Tensor], model: Module | None) -> dict[int, str]:
    of_model = {id(p): name for name, p in model.named_parameters()} if model is not None else {}
    names = {id(t): of_model[id(t)] for t in leaves if id(t) in of_model}
    names |= {id(t): f"{t.item():.6g}" for t in leaves if is_constant(t)}
    unnamed = [t for t in leaves if id(t) not in names]
    for stem, group in (
        ("w", [t for t in unnamed if isinstance(t, Parameter)]),
        ("x", [t for t in unnamed if not isinstance(t, Parameter)]),
    ):
        candidates = chain([stem] if len(group) == 1 else [], (f"{stem}{k}" for k in count(1)))
        free = (name for name in candidates if name not in of_model.values())
        names |= {id(t): name for t, name in zip(group, free, strict=False)}
    return names | {id(t): f"#{k}" for k, t in enumerate(results, 1)}
