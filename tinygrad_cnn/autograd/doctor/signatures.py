"""Which argument a backward function takes for which of its parameters; see `diagnose` for the rules."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...checks import plural

_RESULT_NAMES = {"y", "a", "out", "output", "outputs", "result", "activation", "activations"}
_STEP_NAMES = {"step_size", "step", "lr", "learning_rate", "eta", "rate", "alpha"}
_GRADIENT_NAME = re.compile(r"g|grad|delta|upstream|cotangent|grad_?\w*|\w*_?gradient\w*|\w*_grad|d[A-Za-z]\w*|v")


def parameters(fn: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return a function's positional parameters, and required keyword-only ones; None if it does not tell."""
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p for p in found if p.kind != p.VAR_KEYWORD and (p.kind != p.KEYWORD_ONLY or p.default is p.empty)]


def input_names(fn: Callable[..., Any], count: int) -> list[str]:
    """Return the names of a function's first ``count`` arguments; "input k" where they have none."""
    named = [p.name for p in parameters(fn) or [] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [*named[:count], *(f"input {k}" for k in range(len(named[:count]), count))]


@dataclass
class Binding:
    """The sources of a backward function's arguments.

    Attributes:
        positional, keywords: for each argument its source: "g", "y", "step", "cache", ("cache", i) or ("input", i).
        takes_g: False if the function returns a slope without dC/dy, which is multiplied by it afterwards.
        takes_step: True if it updates parameters by a step size.
    """

    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    takes_g: bool = True
    takes_step: bool = False

    def call(self, fn: Callable[..., Any], g: Any, y: Any, inputs: Sequence[Any], cache: Sequence[Any]) -> Any:
        """Call the backward function."""

        def source(s: Any) -> Any:
            if s == "cache":
                return cache[0] if len(cache) == 1 else tuple(cache)
            if isinstance(s, tuple):
                return (cache if s[0] == "cache" else inputs)[s[1]]
            return {"g": g, "y": y, "step": 1.0}[s]

        return fn(*map(source, self.positional), **{name: source(s) for name, s in self.keywords.items()})


def bind(
    backward: Callable[..., Any], forward_names: Sequence[str], count: int, cached: int, *, method: bool = False
) -> Binding:
    """Return where a backward function's arguments come from.

    Args:
        backward: the function.
        forward_names: the names of the forward function's inputs.
        count: the number of inputs.
        cached: how many values forward returned after y.
        method: if True, it belongs to an object: then its first parameter is always g.

    Raises:
        TypeError: there are parameters for which nothing is left.
    """
    found = parameters(backward)
    if found is None:  # a function that does not tell its parameters
        return Binding(["g", *([("cache", i) for i in range(cached)] or [("input", i) for i in range(count)])])
    required = [p for p in found if p.default is p.empty and p.kind != p.VAR_POSITIONAL]
    named = [p for p in found if p.kind != p.VAR_POSITIONAL and (p in required or p.name in forward_names)]
    named = [p for p in named if p in required or p.name not in _STEP_NAMES]
    names = [p.name for p in named]
    binding = Binding(takes_g=method or not (names and cached == 0 and names == list(forward_names)[: len(names)]))
    g_name = _gradient_parameter(names, forward_names, method) if binding.takes_g else None
    sources: dict[str, Any] = {g_name: "g"} if g_name is not None else {}
    for name in names:
        if name in sources:
            continue
        if name in forward_names:
            sources[name] = ("input", list(forward_names).index(name))
        elif name in _STEP_NAMES:
            sources[name], binding.takes_step = "step", True
    rest = [name for name in names if name not in sources]
    used = {s[1] for s in sources.values() if isinstance(s, tuple)}
    sources |= _unnamed(rest, [i for i in range(count) if i not in used], cached, backward, forward_names)
    for p in named:
        if p.kind == p.KEYWORD_ONLY:
            binding.keywords[p.name] = sources[p.name]
        else:
            binding.positional.append(sources[p.name])
    if any(p.kind == p.VAR_POSITIONAL for p in found):
        if binding.takes_g and g_name is None:
            binding.positional.append("g")
        binding.positional += [("cache", i) for i in range(cached)] or [("input", i) for i in range(count)]
    return binding


def _gradient_parameter(names: Sequence[str], forward_names: Sequence[str], method: bool) -> str | None:
    """The parameter that is g: the first that is not one of forward's, as in ``dc_db(z, dc_da)``."""
    others = [name for name in names if name not in forward_names]
    if method or not others or names[0] == others[0]:
        return names[0] if names else None
    return next((name for name in others if _GRADIENT_NAME.fullmatch(name)), names[0])


def _unnamed(
    names: Sequence[str], inputs: list[int], cached: int, backward: Callable[..., Any], forward_names: Sequence[str]
) -> dict[str, Any]:
    """Sources for the parameters that are not named after an input: the cache, the result, or inputs in order."""
    if cached:
        if len(names) == 1:
            return {names[0]: "cache"}
        if len(names) <= cached:
            return {name: ("cache", i) for i, name in enumerate(names)}
    sources: dict[str, Any] = {}
    for name in names:
        if name in _RESULT_NAMES and "y" not in sources.values():
            sources[name] = "y"
        elif inputs:
            sources[name] = ("input", inputs.pop(0))
        elif "y" not in sources.values():
            sources[name] = "y"
        else:
            after = f" and {plural(cached, 'cached value')}" if cached else ""
            raise TypeError(
                f"diagnose: backward{inspect.signature(backward)} takes more than g, the inputs "
                f"({', '.join(forward_names)}), y{after}: nothing is left for {name!r}"
            )
    return sources
