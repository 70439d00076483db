"""Each op's backward rule in words, in the article's notation: C the cost, L a layer, z its raw activation, a its
activation, w and b its weights and bias. The rules themselves stand beside the ops; `explain` reads this table.
"""

from typing import NamedTuple


class Way(NamedTuple):
    """The way back to one input of an op."""

    symbol: str
    """What the rule calls the input."""
    rule: str
    """The gradient for it."""
    why: str = ""
    """The same in a sentence."""


class Rule(NamedTuple):
    """What an op does, and the way back to each of its inputs; no ways where it only moves numbers."""

    formula: str
    """The forward pass; ``[+ b]`` marks a bias that may be left out."""
    ways: tuple[Way, ...] = ()


_A = "a^{L-1}"

RULES = {
    # the article's layers
    "correlate2d": Rule(
        f"z = correlate2d({_A}, w) [+ b]",
        (
            Way(
                _A,
                f"dC/d{_A} = convolve2d(dC/dz, w, full)",
                "each neuron paints its weights, times its dC/dz, back where its overlay stood",
            ),
            Way("w", f"dC/dw = correlate2d({_A}, dC/dz, valid)", "dC/dz slides over the previous layer as a filter"),
            Way("b", "dC/db = the sum of dC/dz", "the neurons of a map share one bias: their components add up"),
        ),
    ),
    "linear": Rule(
        f"z = w {_A} [+ b]",
        (
            Way(_A, f"dC/d{_A} = w^T dC/dz", "each neuron hands its dC/dz back along its weights"),
            Way("w", f"dC/dw = dC/dz ({_A})^T", "a weight's gradient is its input times its neuron's dC/dz"),
            Way("b", "dC/db = dC/dz", "summed over the batch"),
        ),
    ),
    "maxpool": Rule(
        f"a = the largest {_A} under each overlay",
        (
            Way(
                _A,
                f"dC/d{_A} = dC/da at each overlay's maximum, 0 elsewhere",
                "only the neuron that passed its activation on can change the cost",
            ),
        ),
    ),
    "quadratic_cost": Rule(
        "C = 1/2 |a - y|^2, mean over the batch",
        (
            Way("a", "dC/da = (a - y) / N", "the further off an activation is, the more it counts"),
            Way("y", "dC/dy = (y - a) / N"),
        ),
    ),
    "avgpool": Rule(
        f"a = the mean {_A} under each overlay",
        (Way(_A, f"dC/d{_A} = dC/da / (neurons under the overlay)", "each had an equal share in the mean"),),
    ),
    "convolve2d_full": Rule(
        f"z = convolve2d({_A}, w, full)",
        (
            Way(_A, f"dC/d{_A} = correlate2d(dC/dz, w, valid)", "each collects from where its weights were painted"),
            Way("w", f"dC/dw = correlate2d(dC/dz, {_A}, valid)"),
        ),
    ),
    "correlate2d_weight": Rule(
        "w' = correlate2d(a, g)",
        (Way("a", "dC/da = convolve2d(g, dC/dw', full)"), Way("g", "dC/dg = correlate2d(a, dC/dw')")),
    ),
    "bias_gradient": Rule(
        "db = the sum of dC/dz", (Way("dC/dz", "its gradient = dC/ddb, at every neuron of the map"),)
    ),
    "linear_weight": Rule("w' = g^T a", (Way("g", "dC/dg = a (dC/dw')^T"), Way("a", "dC/da = g dC/dw'"))),
    "batch_norm": Rule(
        "y = w (x - mean) / sqrt(var + eps) + b",
        (
            Way(
                "x",
                "dC/dx = w / sqrt(var + eps) * (dC/dy - its mean - x^ * the mean of dC/dy x^)",
                "x^ is the normalised x; the means are the batch's",
            ),
            Way("w", "dC/dw = the sum of dC/dy x^"),
            Way("b", "dC/db = the sum of dC/dy"),
        ),
    ),
    "dropout": Rule("a = z times a random mask", (Way("z", "dC/dz = dC/da times the same mask"),)),
    # activations
    "sigmoid": Rule(
        "a = sigmoid(z)",
        (Way("z", "dC/dz = dC/da * sigmoid'(z) = dC/da * a * (1 - a)", "the components of dC/db, one a neuron"),),
    ),
    "tanh": Rule("a = tanh(z)", (Way("z", "dC/dz = dC/da * (1 - a^2)", "the components of dC/db"),)),
    "relu": Rule("a = max(z, 0)", (Way("z", "dC/dz = dC/da where a > 0, else 0", "the components of dC/db"),)),
    "relu_backward": Rule(
        "a = z where the gate is open, else 0", (Way("z", "dC/dz = dC/da where it is open, else 0"),)
    ),
    "softmax": Rule("a = e^z / sum(e^z)", (Way("z", "dC/dz = a * (dC/da - sum(dC/da * a))"),)),
    "log_softmax": Rule("y = log softmax(z)", (Way("z", "dC/dz = dC/dy - softmax(z) * sum(dC/dy)"),)),
    # costs
    "cross_entropy": Rule(
        "C = -log softmax(z)[label], mean over the batch",
        (Way("z", "dC/dz = (softmax(z) - one_hot(label)) / N", "what the network said, less what it should have"),),
    ),
    "cross_entropy_backward": Rule(
        "y = (a - one_hot(label)) g / N with a = softmax(z)",
        (
            Way("g", "dC/dg = the sum of dC/dy (a - one_hot(label)) / N"),
            Way("z", "dC/dz = a * (u - sum(u * a)) with u = dC/dy g / N"),
        ),
    ),
    # arithmetic
    "add": Rule("y = u + v", (Way("u", "dC/du = dC/dy"), Way("v", "dC/dv = dC/dy"))),
    "subtract": Rule("y = u - v", (Way("u", "dC/du = dC/dy"), Way("v", "dC/dv = -dC/dy"))),
    "multiply": Rule("y = u * v", (Way("u", "dC/du = dC/dy * v"), Way("v", "dC/dv = dC/dy * u"))),
    "divide": Rule("y = u / v", (Way("u", "dC/du = dC/dy / v"), Way("v", "dC/dv = -dC/dy * y / v"))),
    "power": Rule("y = u^v", (Way("u", "dC/du = dC/dy * v * u^(v-1)"), Way("v", "dC/dv = dC/dy * y * log(u)"))),
    "matmul": Rule("y = u v", (Way("u", "dC/du = dC/dy v^T"), Way("v", "dC/dv = u^T dC/dy"))),
    "negative": Rule("y = -u", (Way("u", "dC/du = -dC/dy"),)),
    "abs": Rule("y = |u|", (Way("u", "dC/du = dC/dy * sign(u)"),)),
    "exp": Rule("y = e^u", (Way("u", "dC/du = dC/dy * y"),)),
    "log": Rule("y = log(u)", (Way("u", "dC/du = dC/dy / u"),)),
    "sqrt": Rule("y = sqrt(u)", (Way("u", "dC/du = dC/dy / (2 y)"),)),
    "clip": Rule("y = u, kept between bounds", (Way("u", "dC/du = dC/dy where u was inside, else 0"),)),
    "sum": Rule("y = the sum of u", (Way("u", "dC/du = dC/dy for every summand"),)),
    "where": Rule(
        "y = u or v, by a condition",
        (Way("u", "dC/du = dC/dy where u was taken, else 0"), Way("v", "dC/dv = dC/dy where v was taken, else 0")),
    ),
    # the same numbers in other places
    "reshape": Rule("the same numbers in another shape"),
    "transpose": Rule("the same numbers, axes in another order"),
    "broadcast_to": Rule("the same numbers, repeated"),
    "astype": Rule("the same numbers in another type"),
    "pad": Rule("the same numbers with a border"),
    "concatenate": Rule("the same numbers, joined"),
    "getitem": Rule("some of the numbers"),
    "put": Rule("the same numbers among zeros"),
}
