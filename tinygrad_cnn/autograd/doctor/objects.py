"""Classes and objects of NumPy code as subjects: ``forward``/``backward``, or the article's two methods."""

import copy
import inspect
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...checks import abbreviated, plural
from .functions import FunctionSubject, as_array, assigned, checkable, detached
from .probing import Array
from .signatures import bind, input_names, parameters

METHODS = (("forward", "backward"), ("feed_forward", "propagate_backward"))
_INPUT_NAMES = ("a_prev", "x", "input", "inputs", "input_data")
_RESULT_NAMES = ("a", "y", "out", "output", "z")
_DICTS = ("params", "parameters", "weights")


def methods_of(fn: Any) -> tuple[str, str] | None:
    """Return the names of the two methods, if fn is a class or object of NumPy code."""
    if hasattr(fn, "named_parameters"):
        return None
    return next(((f, b) for f, b in METHODS if callable(getattr(fn, f, None)) and callable(getattr(fn, b, None))), None)


def object_subject(fn: Any, inputs: Sequence[Any], names: tuple[str, str]) -> "FunctionSubject | ObjectSubject":
    """Return the subject of a class or an object with a forward and a backward method."""
    if not inspect.isclass(fn):
        return ObjectSubject(fn, inputs, names)
    first = parameters(getattr(fn, names[0])) or []
    if first and first[0].name == "ctx":
        return _with_context(fn, inputs)
    if all(isinstance(inspect.getattr_static(fn, name), staticmethod | classmethod) for name in names):
        return FunctionSubject(getattr(fn, names[0]), getattr(fn, names[1]), inputs)
    arguments, _, _ = checkable(inputs)
    takes_inputs = len(first) > 1
    try:
        made = fn() if takes_inputs else fn(*arguments)
    except TypeError as error:
        hint = f"make the object first: diagnose({fn.__name__}(...), x)"
        raise TypeError(f"diagnose: {fn.__name__} cannot be made: {error}; {hint}") from error
    return ObjectSubject(made, inputs if takes_inputs else (), names)


class _Context:
    """What PyTorch passes to the two static methods of a function."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *values: Any) -> None:
        """Keep values for backward."""
        self.saved_tensors = values


def _with_context(fn: Any, inputs: Sequence[Any]) -> FunctionSubject:
    names = input_names(fn.forward, len(inputs) + 1)[1:]

    def forward(*arrays: Any) -> Any:
        context = _Context()
        return fn.forward(context, *arrays), context

    def backward(g: Any, context: Any) -> Any:
        return fn.backward(context, g)

    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names if n.isidentifier()]
    )
    return FunctionSubject(forward, backward, inputs)


class ObjectSubject:
    """An object whose methods are a forward and a backward pass; see `probing.Subject`.

    The object is copied for every call. Its inputs are the arguments of its forward method, or, where that has none,
    its attribute ``a_prev`` (or ``x``, ``input``). Its parameters are its other arrays in floating point; the gradient
    of a parameter w is read from what backward leaves in ``dw``, ``w_gradient``, ``grads["w"]`` or the like, from what
    it returns after the inputs' gradients, or from an update ``w -= step_size * gradient``.
    """

    def __init__(self, obj: Any, inputs: Sequence[Any], names: tuple[str, str]) -> None:
        self.notes: list[str] = []
        self._names = names
        self._object = copy.deepcopy(obj)
        forward = getattr(obj, names[0])
        taken = [p for p in parameters(forward) or [] if p.default is p.empty or inputs]
        self._attribute = "" if taken else self._input_attribute()
        if self._attribute:
            inputs = inputs or (getattr(self._object, self._attribute),)
        self._inputs, self._floats, _ = checkable(inputs)
        self._all_names = [self._attribute] if self._attribute else input_names(forward, len(inputs))
        self._paths = self._arrays_of(self._object)
        for path in self._paths:
            self._set(self._object, path, as_array(self._get(self._object, path)))
        y, _ = self._forward(self._object, self._inputs)
        used = bind(getattr(obj, names[1]), self._all_names, len(self._inputs), 0, method=True)
        self._binding = used
        self._parameters: list[tuple[str, Any]] = []
        points = [np.array(self._inputs[i]) for i in self._floats]
        _, found = self._pass(points, np.random.default_rng(0).standard_normal(np.shape(y)))
        self._checked = [i for i in self._floats if found.get(i) is not None]
        self._parameters = [path for path in self._paths if path in found]
        missing = [self._label(path) for path in self._paths if path not in found]
        missing += [self._all_names[i] for i in self._floats if i not in self._checked]
        if missing:
            self.notes.append(f"{names[1]} leaves no gradient for {', '.join(missing)}: not checked")
        self.names = [self._all_names[i] for i in self._checked] + [self._label(p) for p in self._parameters]
        self.numbers = [*self._checked, *range(len(inputs), len(inputs) + len(self._parameters))]
        self.arrays = [np.array(self._inputs[i]) for i in self._checked]
        self.arrays += [np.array(self._get(self._object, path)) for path in self._parameters]
        self.constants: dict[str, Array] = {}
        self.float64_inputs = [False] * len(self.names)

    def _input_attribute(self) -> str:
        """The name of the attribute that holds the input. TypeError if there is none."""
        attributes = vars(self._object)
        for name in (*_INPUT_NAMES, *(p.name for p in parameters(type(self._object)) or [])):
            if isinstance(attributes.get(name), np.ndarray | list):
                return name
        have = ", ".join(attributes) or "none"
        raise TypeError(
            f"diagnose: {self._names[0]}() takes no argument, and there is no attribute a_prev that it could read "
            f"(attributes: {have})"
        )

    def _arrays_of(self, obj: Any) -> list[tuple[str, Any]]:
        """The paths of the object's arrays in floating point: (attribute, None) or (attribute, key)."""
        paths: list[tuple[str, Any]] = []
        for name, value in vars(obj).items():
            if name == self._attribute:
                continue
            if name in _DICTS and isinstance(value, dict):
                paths += [(name, key) for key, v in value.items() if _is_float(v)]
            elif _is_float(value):
                paths.append((name, None))
        return paths

    @staticmethod
    def _label(path: tuple[str, Any]) -> str:
        return path[0] if path[1] is None else str(path[1])

    @staticmethod
    def _get(obj: Any, path: tuple[str, Any]) -> Any:
        value = getattr(obj, path[0])
        return value if path[1] is None else value[path[1]]

    @staticmethod
    def _set(obj: Any, path: tuple[str, Any], value: Any) -> None:
        if path[1] is None:
            setattr(obj, path[0], value)
        else:
            getattr(obj, path[0])[path[1]] = value

    def _forward(self, obj: Any, inputs: Sequence[Any]) -> tuple[Array, Any]:
        """Return y of a copy of the object, and the copy."""
        obj = copy.deepcopy(obj)
        method = getattr(obj, self._names[0])
        if self._attribute:
            setattr(obj, self._attribute, inputs[0].copy())
            y = method()
        else:
            y = method(*[a.copy() if isinstance(a, np.ndarray) else a for a in inputs])
        if isinstance(y, tuple) and y:
            y = y[0]
        if y is None:
            y = next((getattr(obj, name) for name in _RESULT_NAMES if hasattr(obj, name)), None)
        array = np.asarray(y)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"diagnose: {self._names[0]} must return an array of numbers, got {abbreviated(y)}")
        return array if array.dtype.kind == "f" else array.astype(np.float64), obj

    def _at(self, arrays: Sequence[Array]) -> tuple[Any, list[Any]]:
        """The object with the parameters, and the inputs, that the arrays hold."""
        obj, inputs = copy.deepcopy(self._object), list(self._inputs)
        checked = getattr(self, "_checked", self._floats)
        for i, array in zip(checked, arrays, strict=False):
            inputs[i] = array
        for path, array in zip(self._parameters, arrays[len(checked) :], strict=False):
            self._set(obj, path, np.array(array))
        return obj, inputs

    def inputs_at(self, arrays: Sequence[Array]) -> list[Any]:
        """Return all inputs, then the parameters, at a point."""
        return [*self._at(arrays)[1], *(np.array(a) for a in arrays[len(self._checked) :])]

    def value(self, arrays: Sequence[Array]) -> Array:
        """Return y."""
        return self._forward(*self._at(arrays))[0]

    def _pass(self, arrays: Sequence[Array], g: Array) -> tuple[Any, dict[Any, Any]]:
        """Return y, and the gradients by input number or parameter path."""
        obj, inputs = self._at(arrays)
        y, obj = self._forward(obj, inputs)
        before = {path: np.array(self._get(obj, path)) for path in self._paths}
        backward = getattr(obj, self._names[1])
        result = self._binding.call(backward, g.copy(), y, inputs, ())
        parts = list(result) if isinstance(result, tuple | list) else result
        surplus = []
        if isinstance(parts, list) and len(parts) > len(self._inputs):
            if len(parts) > len(self._inputs) + len(self._paths):
                counts = plural(len(parts), "gradient")
                raise TypeError(f"diagnose: {self._names[1]} returned {counts}, for {self._all_names}")
            parts, surplus = parts[: len(self._inputs)], parts[len(self._inputs) :]
        gradients: dict[Any, Any] = {}
        if parts is not None:
            value = tuple(parts) if isinstance(parts, list) else parts
            gradients |= assigned(value, self._floats, len(self._inputs), self._all_names)
        elif self._attribute and hasattr(obj, f"{self._attribute}_gradient"):
            gradients[0] = getattr(obj, f"{self._attribute}_gradient")
        for path, gradient in zip(self._paths, surplus, strict=False):
            gradients[path] = gradient
        for path in self._paths:
            if path not in gradients:
                gradient = self._parameter_gradient(obj, path, before[path])
                if gradient is not None:
                    gradients[path] = gradient
        return y, gradients

    def _parameter_gradient(self, obj: Any, path: tuple[str, Any], before: Array) -> Any:
        """The gradient that backward left for a parameter; None if there is none."""
        after = np.asarray(self._get(obj, path))
        if self._binding.takes_step and (after.shape != before.shape or not np.array_equal(after, before)):
            return before - after if after.shape == before.shape else after
        if self._binding.takes_step and path in self._parameters:
            return np.zeros_like(before)
        name = re.escape(self._label(path).lower())
        pattern = re.compile(rf"_?(d_?{name}|grad_?{name}|gradient_?{name}|{name}_?grad(ient)?|dc_?d{name}|{name}_?g)")
        for attribute, value in vars(obj).items():
            if pattern.fullmatch(attribute.lower()) and value is not None:
                return value
            if isinstance(value, dict) and "grad" in attribute.lower():
                keys = [k for k in value if k == self._label(path) or pattern.fullmatch(str(k).lower())]
                if keys:
                    return value[keys[0]]
        return None

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[list[Any]]:
        """Return the gradients of the inputs, then of the parameters."""
        rows = []
        for g in cotangents:
            _, found = self._pass(arrays, np.asarray(g))
            rows.append([detached(found.get(key)) for key in [*self._checked, *self._parameters]])
        return rows


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(value.size)
