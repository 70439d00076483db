"""One backward pass in words: each op in order, its rule in the article's notation, shapes and numbers."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..article import FeatureMap
from ..autograd.engine import GraphError, Node, backward_pass, unbroadcast
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor
from ..checks import instance
from ..nn.module import Module
from ..ops import quadratic_cost
from .graph_view import GraphView, graph_view, is_constant

_MAX_PRINTED_NUMBERS = 20  # of larger arrays only the range is printed


def explain(loss: Tensor, model: Module | None = None, *, file: TextIO | None = None) -> None:
    """Print how ``loss`` was computed, and how its gradient flows back, step by step.

    Each rule is printed from the docstring of the function that runs. The graph stays as it is and no ``.grad`` is
    touched: `backward` may be called afterwards.

    Args:
        loss: the cost C, a single number; its graph must not have been used up.
        model: names the parameters; without it they are w1, w2, ...
        file: where to print; standard output by default.

    Raises:
        GraphError: there is no graph behind ``loss``, it was used up or changed, or loss is not one number.

    >>> w = Tensor([2.0, 3.0], requires_grad=True)
    >>> explain((w * w).sum())  # doctest: +ELLIPSIS
    Forward: from the input to the cost
      x (2,), wants its gradient
          [2. 3.]
      #1 multiply: y = u * v   with u = x, v = x   gives (2,)
          [4. 9.]
      #2 sum: y = the sum of u   with u = #1   gives ()
          13.
    ...
    """
    for line in explanation(loss, model):
        print(line, file=file or sys.stdout)


def article_example() -> tuple[Tensor, Module]:
    """Return the cost and the layer of the article's example, one feature map.

    The input is 3x3 and the filter 2x2 as in its appendix A, scaled down so that the sigmoid is not flat; with a bias
    and the quadratic cost.
    """
    layer = FeatureMap((2, 2))
    layer.w.data = np.array([[0.1, 0.2], [0.3, 0.4]])
    layer.b.data = np.array([[0.1]])
    x = Tensor(np.arange(1, 10, dtype=np.float32).reshape(3, 3) / 10, requires_grad=True)
    target = Tensor([1.0, 0.0, 0.0, 1.0])
    return quadratic_cost(layer(x).flatten(), target), layer


def explanation(loss: Tensor, model: Module | None = None) -> Iterator[str]:
    """Yield the lines that `explain` prints."""
    instance("explain", "loss", loss, Tensor)
    if model is not None:
        instance("explain", "model", model, Module)
    view = graph_view(loss, model)
    if loss.size != 1:
        raise GraphError(f"explain: the cost must be one number, got shape {loss.shape}")
    targets = [t for t in [*view.leaves, *view.results] if t.requires_grad]
    seed = Tensor(np.ones(loss.shape, loss.dtype))
    grads = {id(t): g for t, g in backward_pass(loss, seed, targets, retain_graph=True, record=False)}
    yield "Forward: from the input to the cost"
    yield from _forward(view)
    yield ""
    yield f"Backward: from the cost to the input. C is {view.name(loss)}, so dC/d{view.name(loss)} = 1"
    uses = Counter(id(x) for node, _ in view.steps for x in node.inputs)
    for node, y in reversed(view.steps):
        if id(y) in grads:
            yield from _step_back(node, y, grads[id(y)], uses[id(y)], view)
    yield ""
    yield "What backward() adds to .grad; an optimizer then goes against it, as in  w -= dC/dw * step_size"
    for t in view.leaves:
        if id(t) in grads:
            yield f"  dC/d{view.name(t)} {t.shape}"
            yield from _numbers(grads[id(t)].data)


def _forward(view: GraphView) -> Iterator[str]:
    for t in view.leaves:
        if not is_constant(t):
            yield f"  {view.name(t)} {t.shape}" + (", wants its gradient" if t.requires_grad else "")
            yield from _numbers(t.data)
    for node, y in view.steps:
        yield f"{_headline(node, y, view)}   gives {y.shape}"
        if node.kind != "movement":
            yield from _numbers(y.data)


def _step_back(node: Node, y: Tensor, g: Tensor, uses: int, view: GraphView) -> Iterator[str]:
    """Yield the rules of one op, applied to g = dC/dy."""
    yield _headline(node, y, view)
    if uses > 1:
        yield f"    {view.name(y)} was used in {uses} places: what came back from them was added up"
        yield from _numbers(g.data)
    with no_grad():
        gradients = node.gradients(g, y, [x.requires_grad for x in node.inputs])
    for k, (x, raw) in enumerate(zip(node.inputs, gradients, strict=True)):
        if x.requires_grad:
            yield from _rule(node, k, raw, view.name(x))
        elif not is_constant(x):
            yield f"    {view.name(x)} asks for no gradient: its rule is not run"


def _rule(node: Node, k: int, raw: Tensor, name: str) -> Iterator[str]:
    """Yield a rule's docstring, ``dC/dw = formula: reason``, and the gradient that the rule returned for input k."""
    with no_grad():
        gx = unbroadcast(raw, node.inputs[k], node.name, k)
    if node.kind == "movement":
        yield f"    the gradient for {name} {gx.shape}"
        return
    formula, _, reason = node.sentence(k).partition(": ")
    yield f"    {formula}   for {name} {gx.shape}" if formula else f"    the gradient for {name} {gx.shape}"
    if reason:
        yield f"      {reason}"
    if formula and raw.shape != gx.shape:
        symbol = _symbol(formula)
        yield f"      {symbol} was repeated to {raw.shape}, so the numbers that reach it are added up; of a bias"
        yield "      this is the article's dC/db = correlate2d(sigmoid'(z), dC/da, valid)"
    yield from _numbers(gx.data)


def _headline(node: Node, y: Tensor, view: GraphView) -> str:
    """``#3 sigmoid: a = sigmoid(z)   with z = #2``; of an op without a formula, its name and inputs."""
    names = [view.name(x) for x in node.inputs]
    symbols = [] if node.kind == "movement" else [_symbol(node.sentence(k)) for k in range(len(names))]
    if any(symbols):
        names = [f"{symbol} = {name}" for symbol, name in zip(symbols, names, strict=True)]
    formula = f": {node.formula}" if node.formula else ""
    return f"  {view.name(y)} {node.name}{formula}   with {', '.join(names)}"


def _symbol(sentence: str) -> str:
    """Return the input's name in a rule's docstring: ``w`` of ``dC/dw = ...``."""
    match = re.match(r"dC/d(\S+) = ", sentence)
    return match[1] if match else ""


def _numbers(data: NDArray[np.generic]) -> Iterator[str]:
    """Yield the numbers of a small array, without leading axes of length 1, or the range of a large one."""
    if not data.size:
        return
    if data.size > _MAX_PRINTED_NUMBERS:
        yield f"      {data.size:,} numbers from {data.min():.3g} to {data.max():.3g}"
        return
    lead = next((k for k, n in enumerate(data.shape[:-2]) if n != 1), max(data.ndim - 2, 0))
    block = data.reshape(data.shape[lead:])
    text = np.array2string(block, precision=4, suppress_small=True, prefix="      ")
    yield from (f"      {line.removeprefix('      ')}" for line in text.splitlines())
