"""Plain NumPy functions as subjects: ``forward(x, ...)`` with ``backward(g, ...)``."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...checks import abbreviated, plural
from .probing import Array
from .signatures import Binding, bind, input_names

Backward = Callable[..., Any]


def as_array(x: Any) -> Any:
    """Return numbers as an array, floats in float64; everything else as it is."""
    if isinstance(x, bool | int | str | tuple | dict) or x is None:
        return x
    if isinstance(x, list):
        try:
            array = np.asarray(x)
        except ValueError:
            return x
    else:
        array = np.asarray(x)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    return np.array(array) if array.dtype.kind in "iub" else x


def checkable(inputs: Sequence[Any]) -> tuple[list[Any], list[int], list[str]]:
    """Return the inputs as arrays, the numbers of those in floating point, and notes on the others.

    Where no input is in floating point, integer arrays with axes are taken for numbers and not for labels.
    """
    arrays = [as_array(x) for x in inputs]
    floats = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if not floats:
        floats = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype.kind in "iu" and a.ndim]
        arrays = [a.astype(np.float64) if i in floats else a for i, a in enumerate(arrays)]
    return arrays, floats, []


class FunctionSubject:
    """``forward`` and ``backward`` on arrays; see `probing.Subject`.

    Args:
        forward: y, or (y, cache), of the inputs.
        backward: one function, or a mapping from inputs, by name or number, to functions of one gradient each.
        inputs: the point.
    """

    def __init__(self, forward: Callable[..., Any], backward: Any, inputs: Sequence[Any]) -> None:
        self.forward = forward
        self._inputs, floats, self.notes = checkable(inputs)
        self._all_names = input_names(forward, len(inputs))
        self.float64_inputs: list[bool] = []
        y, cache = self._value(self._inputs)
        call_inputs = [_fresh(a) for a in self._inputs]
        forward(*call_inputs)
        self.notes += [
            f"forward changes {name} in place: backward gets the changed array"
            for name, before, after in zip(self._all_names, self._inputs, call_inputs, strict=True)
            if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
        ]
        self._rules: list[tuple[Backward, Binding, list[int] | None]] = []  # with the inputs that each is for
        if isinstance(backward, Mapping):
            for key, rule in backward.items():
                self._rules.append((rule, self._bind(rule, len(cache)), [self._position(key, floats)]))
        else:
            self._rules.append((backward, self._bind(backward, len(cache)), None))
        self._checked = list(floats)
        try:
            returned = self._call(self._inputs, np.ones(np.shape(y)))
        except Exception as error:
            error.add_note(f"diagnose: raised by backward, for g of shape {np.shape(y)}")
            raise
        self._checked = [i for i in floats if returned.get(i) is not None]
        skipped = [self._all_names[i] for i in floats if i not in self._checked]
        if skipped:
            self.notes.append(f"backward returned no gradient for {', '.join(skipped)}: not checked")
        self.numbers, self.names = list(self._checked), [self._all_names[i] for i in self._checked]
        self.arrays = [np.array(self._inputs[i]) for i in self._checked]
        self.float64_inputs = [getattr(inputs[i], "dtype", None) == np.float64 for i in self._checked]
        self.constants = {
            name: a
            for i, (name, a) in enumerate(zip(self._all_names, self._inputs, strict=True))
            if i not in self._checked and isinstance(a, np.ndarray)
        }
        only_g = all(b.positional == ["g"] and not b.keywords for _, b, _ in self._rules)
        self.may_have_captured = only_g and not cache  # a rule of g alone may use arrays of the first point

    def _bind(self, rule: Any, cached: int) -> Binding:
        if not callable(rule):
            raise TypeError(f"diagnose: backward must be a function, got {abbreviated(rule)}")
        return bind(rule, self._all_names, len(self._inputs), cached)

    def _position(self, key: Any, floats: Sequence[int]) -> int:
        """The position of an input by name or number. ValueError if there is none in floating point."""
        position = self._all_names.index(key) if key in self._all_names else key
        if position not in floats:
            names = ", ".join(self._all_names)
            raise ValueError(f"diagnose: backward={{{key!r}: ...}} is none of the floating point inputs of ({names})")
        return int(position)

    def _value(self, inputs: Sequence[Any]) -> tuple[Array, tuple[Any, ...]]:
        """Return y and what forward returned after it."""
        out = self.forward(*[_fresh(a) for a in inputs])
        y, *cache = out if isinstance(out, tuple) and out else (out,)
        array = np.asarray(y)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"diagnose: forward must return an array of numbers, got {abbreviated(out)}")
        return array if array.dtype.kind == "f" else array.astype(np.float64), tuple(cache)

    def _call(self, inputs: Sequence[Any], g: Array) -> dict[int, Any]:
        """Return the gradients by the numbers of the inputs."""
        gradients: dict[int, Any] = {}
        for rule, binding, targets in self._rules:
            call_inputs = [_fresh(a) for a in inputs]
            out = self.forward(*call_inputs)
            y, *cache = out if isinstance(out, tuple) and out else (out,)
            result = binding.call(rule, g.copy() if g.ndim else g[()], y, call_inputs, cache)
            if targets is not None:
                parts = {targets[0]: result}
            else:
                parts = assigned(result, self._checked, len(inputs), self._all_names)
            if not binding.takes_g:
                parts = {i: _times(part, g) for i, part in parts.items()}
            gradients |= parts
        return gradients

    def _filled(self, arrays: Sequence[Array]) -> list[Any]:
        inputs = list(self._inputs)
        for i, a in zip(self._checked, arrays, strict=True):
            inputs[i] = a
        return inputs

    def inputs_at(self, arrays: Sequence[Array]) -> list[Any]:
        """Return all inputs at a point."""
        return [_fresh(a) for a in self._filled(arrays)]

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""
        return self._value(self._filled(arrays))[0]

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return what backward returns for each input."""
        inputs = self._filled(arrays)
        results = [self._call(inputs, g) for g in cotangents]
        return [[detached(r.get(i)) for i in self._checked] for r in results]


def _fresh(a: Any) -> Any:
    """A copy, so that a function may work in place; a single number as a NumPy number."""
    return (a.copy() if a.ndim else a[()]) if isinstance(a, np.ndarray) else copy.copy(a)


def detached(gradient: Any) -> Any:
    """Return a gradient as an array that later calls cannot change."""
    return (
        None
        if gradient is None
        else np.array(getattr(gradient, "data", gradient) if hasattr(gradient, "node") else gradient)
    )


def _times(slope: Any, g: Array) -> Any:
    """The slope of a function without g, times g, where the shapes allow it."""
    if slope is None or (g.ndim and np.shape(slope) != g.shape):
        return slope
    return np.asarray(slope) * g


def assigned(result: Any, floats: Sequence[int], count: int, names: Sequence[str]) -> dict[int, Any]:
    """Return what a backward function returned, by the number of the input it belongs to.

    Args:
        result: one gradient; a tuple or list of one for each input, for each input in floating point, or for the first
            of these; or a mapping by name (``w`` or ``dw``).
        floats: the numbers of the inputs in floating point.
        count: the number of all inputs.
        names: their names.

    Raises:
        TypeError: there are more gradients than inputs.
    """
    if isinstance(result, Mapping):
        by_name = {str(key).lower().lstrip("_"): g for key, g in result.items()}
        gradients = {}
        for i in floats:
            name = names[i].lower()
            match = next((by_name[k] for k in (name, f"d{name}", f"grad_{name}", f"{name}_grad") if k in by_name), None)
            if match is not None:
                gradients[i] = match
        return gradients
    parts = result if isinstance(result, tuple | list) and not _is_numbers(result, floats) else (result,)
    if len(parts) > count:
        inputs = plural(count, "input")
        raise TypeError(f"diagnose: backward returned {plural(len(parts), 'gradient')}, forward takes {inputs}")
    numbers = range(count) if len(parts) == count else floats
    return {i: g for i, g in zip(numbers, parts, strict=False) if i in floats}


def _is_numbers(result: Any, floats: Sequence[int]) -> bool:
    """A list of plain numbers is one gradient, if there is one input."""
    return isinstance(result, list) and len(floats) == 1 and all(isinstance(v, int | float) for v in result)
