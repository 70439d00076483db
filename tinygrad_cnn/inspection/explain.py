"""One backward pass told as a story: each op in order, its rule in the article's notation, shapes and numbers."""

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
from .graph_view import GraphView, is_constant, walk

_FEW = 20  # so many numbers are printed; of more, only the range


def explain(loss: Tensor, model: Module | None = None, *, file: TextIO | None = None) -> None:
    """Print how ``loss`` was computed, and how its gradient flows back, step by step.

    The graph stays as it is and no ``.grad`` is touched: `backward` may be called afterwards.

    Args:
        loss: the cost C, a single number; its graph must not have been used up.
        model: names the parameters; without it they are w1, w2, ...
        file: where to print; standard output by default.

    Raises GraphError when there is no graph behind ``loss``, it was used up or changed, or loss is not one number.

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
    for line in story(loss, model):
        print(line, file=file or sys.stdout)


def article_example() -> tuple[Tensor, Module]:
    """The article's feature map: its 3x3 input and 2x2 filter (appendix A, scaled down so that the sigmoid can tell
    the sums apart), a bias, and the quadratic cost. Returns the cost and the map.
    """
    layer = FeatureMap((2, 2))
    layer.w.data = np.array([[0.1, 0.2], [0.3, 0.4]])
    layer.b.data = np.array([[0.1]])
    x = Tensor(np.arange(1, 10, dtype=np.float32).reshape(3, 3) / 10, requires_grad=True)
    wanted = Tensor([1.0, 0.0, 0.0, 1.0])
    return quadratic_cost(layer(x).flatten(), wanted), layer


def story(loss: Tensor, model: Module | None = None) -> Iterator[str]:
    """The lines that `explain` prints."""
    instance("explain", "loss", loss, Tensor)
    if model is not None:
        instance("explain", "model", model, Module)
    found = walk(loss, model)
    if loss.size != 1:
        raise GraphError(f"explain: the cost must be one number, got shape {loss.shape}")
    wanted = [t for t in [*found.leaves, *found.results] if t.requires_grad]
    seed = Tensor(np.ones(loss.shape, loss.dtype))
    totals = {id(t): g for t, g in backward_pass(loss, seed, wanted, retain_graph=True, record=False)}
    yield "Forward: from the input to the cost"
    yield from _forward(found)
    yield ""
    yield f"Backward: from the cost to the input. C is {found.name(loss)}, so dC/d{found.name(loss)} = 1"
    uses = Counter(id(t) for y in found.results if y.node is not None for t in y.node.inputs)
    for y in reversed(found.results):
        if y.node is not None and id(y) in totals:
            yield from _step_back(y, y.node, totals[id(y)], uses[id(y)], found)
    yield ""
    yield "What backward() adds to .grad; an optimizer then goes against it, as in  w -= dC/dw * step_size"
    for t in found.leaves:
        if id(t) in totals:
            yield f"  dC/d{found.name(t)} {t.shape}"
            yield from _numbers(totals[id(t)].data)


def _forward(found: GraphView) -> Iterator[str]:
    for t in found.leaves:
        if not is_constant(t):
            yield f"  {found.name(t)} {t.shape}" + (", wants its gradient" if t.requires_grad else "")
            yield from _numbers(t.data)
    for y in found.results:
        if y.node is not None:
            yield f"{_headline(y, y.node, found)}   gives {y.shape}"
            if y.node.kind != "movement":
                yield from _numbers(y.data)


def _step_back(y: Tensor, node: Node, g: Tensor, uses: int, view: GraphView) -> Iterator[str]:
    """The rules of one op, applied."""
    yield _headline(y, node, view)
    if uses > 1:
        yield f"    {view.name(y)} was used in {uses} places: what came back from them was added up"
        yield from _numbers(g.data)
    with no_grad():
        gradients = node.gradients(g, y, [x.requires_grad for x in node.inputs])
    for k, (x, raw) in enumerate(zip(node.inputs, gradients, strict=True)):
        if not x.requires_grad:
            if not is_constant(x):
                yield f"    {view.name(x)} asks for no gradient: its rule is not run"
            continue
        with no_grad():
            gx = unbroadcast(raw, x, node.name, k)
        sentence = "" if node.kind == "movement" else node.sentence(k)
        if sentence:
            yield from _rule(sentence, raw, gx, view.name(x))
        else:
            yield f"    the gradient for {view.name(x)} {gx.shape}"
            if node.kind != "movement":
                yield from _numbers(gx.data)


def _rule(sentence: str, raw: Tensor, gx: Tensor, name: str) -> Iterator[str]:
    """A rule's docstring, ``dC/dw = formula: reason``, and the gradient that it gave."""
    formula, _, reason = sentence.partition(": ")
    yield f"    {formula}   for {name} {gx.shape}"
    if reason:
        yield f"      {reason}"
    if raw.shape != gx.shape:
        symbol = _symbol(sentence)
        yield f"      {symbol} was repeated to {raw.shape}, so the numbers that reach it are added up; of a bias"
        yield "      this is the article's dC/db = correlate2d(sigmoid'(z), dC/da, valid)"
    yield from _numbers(gx.data)


def _headline(y: Tensor, node: Node, view: GraphView) -> str:
    """``#3 sigmoid: a = sigmoid(z)   with z = #2``; of an op without a formula, its name and inputs."""
    names = [view.name(t) for t in node.inputs]
    symbols = [] if node.kind == "movement" else [_symbol(node.sentence(k)) for k in range(len(names))]
    if any(symbols):
        names = [f"{symbol} = {name}" for symbol, name in zip(symbols, names, strict=True)]
    formula = node.formula.replace(" [+ b]", " + b" if "b" in symbols else "")
    return f"  {view.name(y)} {node.name}" + (f": {formula}" if formula else "") + f"   with {', '.join(names)}"


def _symbol(sentence: str) -> str:
    """The input's name in a rule's docstring: ``w`` of ``dC/dw = ...``."""
    match = re.match(r"dC/d(\S+) = ", sentence)
    return match[1] if match else ""


def _numbers(data: NDArray[np.generic]) -> Iterator[str]:
    """The numbers, when they are few; leading axes of length 1 are left out."""
    if not data.size:
        return
    if data.size > _FEW:
        yield f"      {data.size:,} numbers from {data.min():.3g} to {data.max():.3g}"
        return
    lead = next((k for k, n in enumerate(data.shape[:-2]) if n != 1), max(data.ndim - 2, 0))
    shown = data.reshape(data.shape[lead:])
    text = np.array2string(shown, precision=4, suppress_small=True, prefix="      ")
    yield from (f"      {line.removeprefix('      ')}" for line in text.splitlines())
