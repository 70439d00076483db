"""Plain NumPy functions as subjects: ``forward(x, ...)`` with ``backward(g, ...)``."""

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...checks import abbreviated, plural
from .probing import Array

_RESULT_NAMES = {"y", "a", "out", "output", "result", "activation"}
_GRADIENT_NAME = re.compile(r"g|grad|delta|upstream|grad_?\w*|\w*_?gradient\w*|\w*_grad|d[A-Za-z]\w*")


def parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's parameters that can be passed by position; none if it does not tell."""
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def input_names(fn: Callable[..., Any], count: int) -> list[str]:
    """Return the names of a function's first ``count`` arguments; "input k" where they have none."""
    names = [p.name for p in parameters(fn)][:count]
    return [*names, *(f"input {k}" for k in range(len(names), count))]


class _Rule:
    """A backward function, with what to pass for which of its parameters."""

    def __init__(self, fn: Any, forward_names: Sequence[str], cached: int) -> None:
        if not callable(fn):
            raise TypeError(f"diagnose: backward must be a function, got {abbreviated(fn)}")
        self.fn = fn
        found = parameters(fn)
        names = [p.name for p in found if p.default is p.empty or p.name in forward_names]
        if not found or any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(fn).parameters.values()):
            rest = [f"cache {i}" for i in range(cached)] or [n for n in forward_names if n not in names]
            names = [*(names or ["g"]), *rest]  # a function that takes anything, or does not tell
        others = [n for n in names if n not in forward_names]
        self.is_slope = bool(names) and not others and not cached
        gradient = names[0] if names else ""
        if others and names[0] != others[0]:
            gradient = next((n for n in others if _GRADIENT_NAME.fullmatch(n)), gradient)
        self.sources: list[tuple[str, int]] = []
        rest = [n for n in names if n not in forward_names and n != gradient]
        unused = [i for i, n in enumerate(forward_names) if n not in names]
        for name in names:
            if name == gradient and not self.is_slope:
                self.sources.append(("g", 0))
            elif name in forward_names:
                self.sources.append(("input", list(forward_names).index(name)))
            elif cached and len(rest) == 1:
                self.sources.append(("cache", -1))
            elif cached and len(rest) <= cached:
                self.sources.append(("cache", rest.index(name)))
            elif ("y", 0) not in self.sources and (name in _RESULT_NAMES or not unused):
                self.sources.append(("y", 0))
            elif unused:
                self.sources.append(("input", unused.pop(0)))
            else:
                raise TypeError(
                    f"diagnose: backward{inspect.signature(fn)} takes more than g, the inputs "
                    f"({', '.join(forward_names)}) and y: nothing is left for {name!r}"
                )
        self.of_g_alone = self.sources == [("g", 0)]

    def __call__(self, g: Array, y: Any, inputs: Sequence[Any], cache: Sequence[Any]) -> Any:
        """Return what the function returns; of a slope its product with g, where the shapes allow it."""
        values = {
            "g": [_fresh(g)],
            "y": [y],
            "input": inputs,
            "cache": [*cache, cache[0] if len(cache) == 1 else cache],
        }
        result = self.fn(*[values[source][i] for source, i in self.sources])
        if self.is_slope and result is not None and np.shape(result) == np.shape(g):
            return np.asarray(result) * g
        return result


class FunctionSubject:
    """``forward`` and ``backward`` on arrays; see `probing.Subject`.

    Args:
        forward: y, or (y, cache, ...), of the inputs.
        backward: one function, or a mapping from inputs' names to functions of one gradient each.
        inputs: the point. Where none is in floating point, integer arrays are taken for numbers, and not for labels.
    """

    def __init__(self, forward: Callable[..., Any], backward: Any, inputs: Sequence[Any]) -> None:
        self.forward, self._names = forward, input_names(forward, len(inputs))
        self._inputs = [_argument(x) for x in inputs]
        for kinds in ("f", "iu"):
            floats = [i for i, a in enumerate(self._inputs) if isinstance(a, np.ndarray) and a.dtype.kind in kinds]
            if floats:
                break
        for i in floats:
            self._inputs[i] = self._inputs[i].astype(np.float64)
        y, cache = self._forward(self._inputs)
        self._checked = floats
        rules = backward if isinstance(backward, Mapping) else {None: backward}
        self._rules = [(self._position(key), _Rule(rule, self._names, len(cache))) for key, rule in rules.items()]
        returned = self._call(self._inputs, np.ones(np.shape(y)))
        self._checked = [i for i in floats if returned.get(i) is not None]
        left_out = [self._names[i] for i in floats if i not in self._checked]
        self.notes = [f"backward returned no gradient for {', '.join(left_out)}: not checked"] if left_out else []
        self.numbers, self.names = list(self._checked), [self._names[i] for i in self._checked]
        self.arrays = [np.array(self._inputs[i]) for i in self._checked]
        self.float64_inputs = [getattr(inputs[i], "dtype", None) == np.float64 for i in self._checked]
        others = [i for i, a in enumerate(self._inputs) if i not in self._checked and isinstance(a, np.ndarray)]
        self.constants = {self._names[i]: self._inputs[i] for i in others}
        # A rule of g alone may use arrays of the caller's point, and is right only there.
        self.may_have_captured = not cache and all(rule.of_g_alone for _, rule in self._rules)

    def _position(self, name: Any) -> int | None:
        """The position of an input by name; None for None. ValueError if there is none in floating point."""
        position = self._names.index(name) if name in self._names else name
        if position is not None and position not in self._checked:
            names = ", ".join(self._names)
            raise ValueError(f"diagnose: backward={{{name!r}: ...}} is none of the floating point inputs of ({names})")
        return None if position is None else int(position)

    def _forward(self, inputs: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
        """Return y, and what forward returned after it."""
        out = self.forward(*map(_fresh, inputs))
        y, *cache = out if isinstance(out, tuple) and out else (out,)
        if np.asarray(y).dtype.kind not in "fiub":
            raise TypeError(f"diagnose: forward must return an array of numbers, got {abbreviated(out)}")
        return y, tuple(cache)

    def _call(self, inputs: Sequence[Any], g: Array) -> dict[int, Any]:
        """Return the gradients by the numbers of the inputs."""
        gradients: dict[int, Any] = {}
        for position, rule in self._rules:
            result = rule(g, *self._with_inputs(inputs))
            gradients |= self._assigned(result) if position is None else {position: result}
        return gradients

    def _with_inputs(self, inputs: Sequence[Any]) -> tuple[Any, list[Any], tuple[Any, ...]]:
        y, cache = self._forward(inputs)
        return y, [_fresh(a) for a in inputs], cache

    def _assigned(self, result: Any) -> dict[int, Any]:
        """Return what backward returned, by the number of the input it belongs to. TypeError if there is too much."""
        if isinstance(result, Mapping):
            keys = {i: (self._names[i], f"d{self._names[i]}", f"grad_{self._names[i]}") for i in self._checked}
            return {i: result[name] for i, names in keys.items() for name in names if name in result}
        numbers = isinstance(result, list) and all(isinstance(v, int | float) for v in result)
        parts = result if isinstance(result, tuple | list) and not numbers else (result,)
        count = len(self._names)
        if len(parts) > count:
            returned, takes = plural(len(parts), "gradient"), plural(count, "input")
            raise TypeError(f"diagnose: backward returned {returned}, forward takes {takes}")
        positions = range(count) if len(parts) == count else self._checked
        return {i: g for i, g in zip(positions, parts, strict=False) if i in self._checked}

    def inputs_at(self, arrays: Sequence[Array]) -> list[Any]:
        """Return all inputs at a point."""
        inputs = list(self._inputs)
        for i, a in zip(self._checked, arrays, strict=True):
            inputs[i] = a
        return inputs

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""
        y = np.asarray(self._forward(self.inputs_at(arrays))[0])
        return y if y.dtype.kind == "f" else y.astype(np.float64)

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what backward returns for each input."""
        results = [self._call(self.inputs_at(arrays), g) for g in cotangents]
        return [[None if r.get(i) is None else np.array(r[i]) for i in self._checked] for r in results]


def _argument(x: Any) -> Any:
    """Numbers as an array, floats in float64; an integer, and everything else, as it is."""
    if isinstance(x, bool | int | str | tuple | dict) or x is None:
        return x
    try:
        array = np.array(x)
    except ValueError:
        return x
    return array.astype(np.float64) if array.dtype.kind == "f" else array if array.dtype.kind in "iub" else x


def _fresh(a: Any) -> Any:
    """A copy, so that a function may work in place; a single number as a NumPy number."""
    return (a.copy() if a.ndim else a[()]) if isinstance(a, np.ndarray) else copy.copy(a)
