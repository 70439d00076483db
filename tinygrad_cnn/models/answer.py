"""What a network's scores mean: what they were trained to make small, and how sure they are of each class."""

import numpy as np

from ..autograd.tensor import Tensor
from ..nn import Module
from ..ops import cross_entropy, softmax
from .network import Network
from .recipe import Cost
from .recipes import RECIPES


def cost_of(network: Module) -> Cost:
    """The cost that suits what a network gives: a named one's recipe says it, of any other the cross-entropy."""
    if isinstance(network, Network) and network.name in RECIPES:
        return RECIPES[network.name].cost
    return cross_entropy


def probabilities(network: Module, scores: Tensor) -> Tensor:
    """A network's share of belief in each class, (N, K); each row adds up to 1.

    Scores that the cross-entropy was made small for are logits: their softmax. The article's and the primer's are
    activations between 0 and 1 already, ``a``: they are ``a / sum(a)``, and equal where every activation is 0.

    Args:
        network: what gave the scores.
        scores: (N, K).
    """
    if cost_of(network) is cross_entropy:
        return softmax(scores)
    a = scores + float(np.finfo(scores.dtype).tiny)
    return a / a.sum(1, keepdims=True)
