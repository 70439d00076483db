"""The functions that compute the nodes of ONNX, by the names of their operators."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from .values import UnsupportedError

_Function = TypeVar("_Function", bound=Callable[..., Any])

_WITHOUT_MEANING = "consumed_inputs"  # of operator sets below 6


class Reader(NamedTuple):
    """The function that computes an operator, and its settings.

    Attributes:
        compute: the function of a node's inputs, None where one is left out, and its attributes by keyword, with ONNX's
            defaults. What one operator set has as an attribute and another as an input is one parameter. It may have
            the parameters ``opset``, and ``outputs``, the number of a node's outputs.
        outputs: how many outputs it returns; None for any number.
        allowed: the values that are supported, of attributes that have several.
        random: True if two calls differ, so that its result is no constant.
    """

    compute: Callable[..., Any]
    outputs: int | None
    allowed: Mapping[str, Sequence[Any]]
    random: bool


READERS: dict[str, Reader] = {}


def reader(
    *names: str, outputs: int | None = 1, allowed: Mapping[str, Sequence[Any]] | None = None, random: bool = False
) -> Callable[[_Function], _Function]:
    """Register the decorated function for operators; the arguments are `Reader`'s."""

    def register(function: _Function) -> _Function:
        for name in names:
            READERS[name] = Reader(function, outputs, allowed or {}, random)
        return function

    return register


@cache
def _parameters(op: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(READERS[op].compute).parameters)


def bind(op: str, label: str, inputs: int, attributes: Mapping[str, Any], opset: int, outputs: int) -> dict[str, Any]:
    """Return the keyword arguments of a node's reader.

    Args:
        op: the operator, one of `READERS`.
        label: the node, for messages.
        inputs, outputs: how many the node has.
        attributes: those that the node has.
        opset: the version of the operator set.

    Raises:
        UnsupportedError: an attribute, its value, or the number of inputs is not supported.
    """
    parameters, arguments = _parameters(op), {}
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    further = _parameters("Conv") if anything else {}  # the quantised convolutions have its attributes
    for name, value in attributes.items():
        if name == _WITHOUT_MEANING:
            continue
        if name not in (*parameters, *further) or name in ("opset", "outputs"):
            raise UnsupportedError(f"{label}: its attribute {name} is not supported")
        allowed = READERS[op].allowed.get(name)
        if allowed is not None and value not in allowed:
            raise UnsupportedError(f"{label}: {name}={value!r} is not supported; {', '.join(map(repr, allowed))} are")
        arguments[name] = value
    if "opset" in parameters:
        arguments["opset"] = opset
    if "outputs" in parameters:
        arguments["outputs"] = outputs
    try:
        inspect.signature(READERS[op].compute).bind(*range(inputs), **arguments)
    except TypeError as error:
        raise UnsupportedError(f"{label}: {error} ({inputs} inputs)") from None
    return arguments
