"""The places of values in one buffer: each from the step that makes it to the last that reads it."""

from typing import NamedTuple

from .plan import Plan, Step

_IN_PLACE = {
    "absolute", "add", "clip", "divide", "error_function", "exponential", "gelu", "gelu_tanh", "hyperbolic_tangent",
    "larger", "leaky_relu", "log_softmax", "logarithm", "lookup", "multiply", "power", "relu", "requantise",
    "scale_and_shift", "sigmoid", "smaller", "softmax", "softplus", "square_root", "subtract",
}  # fmt: skip  # a column of one word a line says no more
"""Functions that may write over what they read first: they read a number before they write in its place."""


class Buffer(NamedTuple):
    """The places of values in one buffer.

    Attributes:
        offsets: where each value begins; values that share a place share its number.
        size: how many numbers the buffer holds.
        in_scores: the values that stand in the caller's array of scores.
    """

    offsets: dict[str, int]
    size: int
    in_scores: set[str]


class _Block:
    """A place that one value takes up, or several after one another."""

    def __init__(self, value: str, size: int, first: int) -> None:
        self.values, self.size, self.first, self.last = [value], size, first, first
        self.offset = 0

    def overlaps(self, other: "_Block") -> bool:
        """Return True if both are in use at one time."""
        return self.first <= other.last and other.first <= self.last


def place(plan: Plan) -> Buffer:
    """Return a small buffer for all values but the image and constants.

    The largest block is placed first, each at the lowest place that no block has that is in use at the same time (the
    greedy placement by size of Y. Pisarchyk and J. Lee, "Efficient Memory Management for Deep Neural Net Inference",
    2020). A function that may write over its input does so where nothing else reads it later.
    """
    blocks = _blocks(plan)
    scores = next(block for block in blocks if plan.output in block.values)
    blocks.remove(scores)
    placed: list[_Block] = []
    for block in sorted(blocks, key=lambda b: (-b.size, b.first)):
        for other in sorted(placed, key=lambda b: b.offset):
            if block.overlaps(other) and block.offset < other.offset + other.size:
                if block.offset + block.size <= other.offset:
                    break
                block.offset = other.offset + other.size
        placed.append(block)
    offsets = {value: block.offset for block in placed for value in block.values}
    return Buffer(offsets, max((b.offset + b.size for b in placed), default=0), set(scores.values))


def _blocks(plan: Plan) -> list[_Block]:
    last_reader = {value: k for k, step in enumerate(plan.steps) for value in step.inputs}
    blocks: dict[str, _Block] = {}
    for k, step in enumerate(plan.steps):
        for value in step.inputs:
            if value in blocks:
                blocks[value].last = k
        inherited = next((v for v in _overwritable(plan, step) if v in blocks and last_reader[v] == k), None)
        if inherited is None:
            blocks[step.result] = _Block(step.result, plan.size(step.result), k)
        else:
            blocks[step.result] = blocks[inherited]
            blocks[inherited].values.append(step.result)
    return list(dict.fromkeys(blocks.values()))


def _overwritable(plan: Plan, step: Step) -> list[str]:
    """Return the inputs in whose place the result may stand."""
    if step.op not in _IN_PLACE:
        return []
    size = plan.size(step.result)
    return [v for v in step.inputs if plan.size(v) == size]
