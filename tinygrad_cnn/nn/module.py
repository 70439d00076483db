"""Module: a part of a network, with its parameters, buffers and submodules."""

import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..autograd.dtypes import FLOATS, as_dtype, cast_finite
from ..autograd.notebook import module_html
from ..autograd.tensor import Tensor
from ..checks import abbreviated, flag
from ..kernels.warnings import without_warnings

_COUNT = "num_batches_tracked"  # by batch normalisation; older states lack it


class Parameter(Tensor):
    """A trainable tensor of a `Module`: it requires a gradient, and optimizers update it."""

    __slots__ = ()

    def __init__(self, data: Any, *, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)


class Buffer(Tensor):
    """A tensor that is saved with a `Module` and not trained, such as running statistics."""

    __slots__ = ()


class IncompatibleKeys(NamedTuple):
    """The names that a state and a module do not share.

    Attributes:
        missing_keys: the module has them, the state does not.
        unexpected_keys: the state has them, the module does not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class StateError(ValueError):
    """A state does not fit the module; the message names every wrong key."""


class Module:
    """The base of all layers and networks: assign parameters and modules as attributes, and define ``forward``.

    ``super().__init__()`` may be left out. Parameters are found among the attributes, in the order of assignment.

    >>> import tinygrad_cnn as tg
    >>> class Net(tg.nn.Module):
    ...     def __init__(self):
    ...         self.conv = tg.nn.Conv2d(1, 2, 3)
    ...         self.out = tg.nn.Linear(8, 10)
    ...     def forward(self, x):
    ...         return self.out(tg.sigmoid(self.conv(x)).flatten(1))
    >>> [name for name, _ in Net().named_parameters()]
    ['conv.weight', 'conv.bias', 'out.weight', 'out.bias']
    """

    training: bool = True
    image_spec: object = None  # the facts about the images that `fit` trained it on (`data.ImageSpec`), saved with it
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``."""
        if not hasattr(self, "forward"):
            raise TypeError(f"{type(self).__name__}: define forward(self, x)")
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(before, Parameter | Buffer) and not isinstance(value, Parameter | Buffer | None):
            raise TypeError(
                f"{type(self).__name__}.{name} is a {type(before).__name__}; edit its numbers with "
                f"{name}.data[...] = ..., or assign a new {type(before).__name__} (got {type(value).__name__})"
            )
        object.__setattr__(self, name, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """Iterate over this module and every one below it, each once, with its dotted name."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            stack.extend(reversed([(f"{name}.{k}" if name else k, m) for k, m in module.children()]))

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """Iterate over the direct submodules with their names, also those inside lists, tuples and dicts."""
        return ((name, value) for name, value in named_values(vars(self)) if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """Iterate over this module and every one below it, each once."""
        return (m for _, m in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters, each once, with its dotted name, in the order of definition."""
        seen: set[int] = set()
        for name, t in self._named_tensors():
            if isinstance(t, Parameter) and id(t) not in seen:
                seen.add(id(t))
                yield name, t

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over the parameters, each once, in the order of definition."""
        return (t for _, t in self.named_parameters())

    def parameters_without_grad(self) -> list[str]:
        """Return the names of the parameters that have had no gradient since `zero_grad`."""
        return [name for name, p in self.named_parameters() if p.requires_grad and p.grad is None]

    def _named_tensors(self, prefix: str = "", above: frozenset[int] = frozenset()) -> Iterator[tuple[str, Tensor]]:
        """Iterate over parameters and buffers under all their names: one that two layers share comes twice."""
        if id(self) in above:
            return
        for name, value in named_values(vars(self)):
            if isinstance(value, Parameter | Buffer):
                yield prefix + name, value
        for name, module in self.children():
            yield from module._named_tensors(f"{prefix}{name}.", above | {id(self)})

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return a C-contiguous copy of every parameter and buffer by its dotted name: PyTorch's keys."""
        return {name: np.array(t.data, order="C") for name, t in self._named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names.

        Args:
            state: arrays or tensors by dotted name. A count of batches, ``num_batches_tracked``, may be missing.
            strict: True raises for missing and unexpected names; False loads the names that are in both.

        Returns:
            The missing and the unexpected names; both are empty if ``strict``.

        Raises:
            StateError: a name is missing or unexpected, or a shape, a type or a value does not fit; the message names
                all of them, and nothing has changed.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expected arrays by name, got {type(state).__name__}")
        strict = flag("load_state_dict", "strict", strict)
        own = dict(self._named_tensors())
        missing = [k for k in own if k not in state and k.rpartition(".")[2] != _COUNT]
        unexpected = [k for k in state if k not in own]
        wrong = []
        if strict:
            wrong = [f"missing: {k}" for k in missing] + [f"unexpected: {k}" for k in unexpected]
            wrong[:0] = _renaming(state, own) if wrong else []
        arrays: dict[str, NDArray[Any]] = {}
        for k, v in state.items():
            try:
                if k in own:
                    arrays[k] = _fit(k, v, own[k])
            except ValueError as error:
                wrong.append(str(error))
        first: dict[int, str] = {}
        for k in arrays:  # a tensor that two layers share has two names
            other = first.setdefault(id(own[k]), k)
            if not np.array_equal(arrays[k], arrays[other], equal_nan=True):
                wrong.append(f"{other} and {k} are one tensor here, but their numbers differ")
        if wrong:
            raise StateError(f"load_state_dict: {type(self).__name__}: " + "; ".join(wrong))
        for k, a in arrays.items():
            own[k].writable()[...] = a
        return IncompatibleKeys(missing, unexpected)

    def zero_grad(self) -> None:
        """Set every parameter's gradient to None."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or evaluation mode), here and below: it switches dropout and batch statistics."""
        mode = flag("train", "mode", mode)
        for m in self.modules():
            m.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode, here and below."""
        return self.train(False)

    def requires_grad_(self, value: bool = True) -> Self:
        """Set `requires_grad` of all parameters; False freezes them."""
        for p in self.parameters():
            p.requires_grad = value
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert all floating point parameters and buffers to float32 or float64, in place."""
        target = as_dtype("astype", dtype)
        if target not in FLOATS:
            raise TypeError(f"astype: parameters are float32 or float64, got {abbreviated(dtype)}")
        for _, t in self._named_tensors():
            if t.dtype.kind == "f":
                t._data, t.grad = without_warnings.run(t.data.astype, target), None
        return self

    def extra_repr(self) -> str:
        """Return the text between the brackets of `repr`: a layer's settings; by default its parameters' shapes."""
        own = ((name, value) for name, value in named_values(vars(self)) if isinstance(value, Parameter))
        return ", ".join(f"{name}={value.shape}" for name, value in own)

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the parts that `repr` prints on a line each, by name."""
        return self.children()

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        lines = [f"({name}): {_label(part)}".replace("\n", "\n  ") for name, part in self.parts()]
        inside = "\n  ".join(["", self.extra_repr(), *lines] if self.extra_repr() else ["", *lines])
        return f"{type(self).__name__}({inside}\n)" if lines else f"{type(self).__name__}({self.extra_repr()})"

    def _repr_html_(self) -> str:
        """The display of a notebook: the layers with their parameters."""
        own: Counter[str] = Counter()
        for name, p in self.named_parameters():
            own[name.rpartition(".")[0]] += p.size
        layers = [(name, m) for name, m in self.named_modules() if own[name] or not any(m.children())]
        rows = [(n, f"{type(m).__name__}({m.extra_repr()})", own[n]) for n, m in layers]
        return module_html(type(self).__name__, rows)


def named_values(
    values: Mapping[Any, Any], prefix: str = "", above: frozenset[int] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """Attributes by name, those inside lists, tuples and dicts by dotted names; one that holds itself comes once."""
    for name, value in values.items():
        if id(value) in above:
            continue
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, dict):
            yield from named_values(inner, f"{prefix}{name}.", above | {id(value)})
        else:
            yield f"{prefix}{name}", value


def _fit(name: str, value: Any, own: Tensor) -> NDArray[Any]:
    """A copy of the value in the type of its tensor. ValueError if it does not fit."""
    try:
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError) as error:  # PyTorch's own word is a RuntimeError
        raise ValueError(f"{name} is no array ({' '.join(str(error).split())})") from None
    if array.shape != own.shape:
        raise ValueError(f"{name} has shape {array.shape}, {own.shape} is needed")
    if array.dtype.kind not in {"f": "fiu", "b": "b"}.get(own.dtype.kind, "iu"):
        raise ValueError(f"{name} has dtype {array.dtype}, {own.dtype} is needed")
    return cast_finite(name, array, own.dtype)


def _renaming(state: Mapping[str, Any], own: Iterable[str]) -> list[str]:
    """Return what to load instead, if the names would fit without or with a prefix, or inside a part of the state."""
    names, own = [k for k in state if isinstance(k, str)], list(own)
    for k in names:
        if isinstance(state[k], Mapping) and k not in own:
            return [f"{k!r} is a state inside the state; load state[{k!r}]"]
    if not names or len(names) < len(state) or set(names) & set(own):
        return []
    if prefix := _common_prefix(names, own):
        return [f"all keys begin with {prefix!r}; load {{k.removeprefix({prefix!r}): v for k, v in state.items()}}"]
    if prefix := _common_prefix(own, names):
        return [f"no key begins with {prefix!r}; load {{{prefix!r} + k: v for k, v in state.items()}}"]
    return []


def _common_prefix(names: list[str], others: list[str]) -> str:
    """Return the prefix, up to a dot, that all names share and without which some are among the others; or ""."""
    parts = names[0].split(".")[:-1] if names else []
    for prefix in [".".join(parts[: i + 1]) + "." for i in range(len(parts))]:
        if all(name.startswith(prefix) for name in names) and {n.removeprefix(prefix) for n in names} & set(others):
            return prefix
    return ""


def _label(part: Any) -> str:
    return getattr(part, "__name__", None) or repr(part)
