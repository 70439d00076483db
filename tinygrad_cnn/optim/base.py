"""The base of all optimizers: parameter groups, steps and state."""

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.dtypes import cast_finite
from ..autograd.tensor import Tensor
from ..checks import abbreviated

Array = NDArray[Any]
Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """The base of all optimizers. Subclasses define ``update``, the change of one parameter.

    Args:
        params: the parameters, each once; or groups of them with settings of their own, dicts such as
            ``{"params": head.parameters(), "lr": 0.1}``, which take the other settings from the arguments.
        lr: the learning rate, the article's ``step_size``; it can be set between steps, as schedules do.
        settings: the other settings by name, which subclasses have; ``check_settings`` checks them.

    Attributes:
        param_groups: the groups, dicts of ``params`` and the settings, which can be changed between steps. Each setting
            is an attribute too: in ``update`` that of the parameter's group, elsewhere that of the first group.
        params: the parameters of all groups.
        state: the arrays by name that the updates of each parameter keep, in the order of ``params``.
        steps: the number of steps made.

    Raises:
        ValueError: no parameters, one that comes twice, an op's result, or a rate that is negative or not finite.
    """

    lr: float

    def __init__(self, params: Params, lr: float, **settings: Any) -> None:
        name = type(self).__name__
        self.params: list[Tensor] = []
        self.steps = 0
        self.state: list[dict[str, Array]] = []
        self._defaults = self.check_settings(name, {"lr": lr, **settings})
        self._entries: list[dict[str, Any]] = []  # each group's params and name; the settings too, but of the first
        self._checked: list[dict[str, Any]] = []  # each group's settings at their last check
        for group in _groups(name, params):
            self.add_param_group(group)
        if not self.params:
            raise ValueError(f"{name}: there are no parameters to change")

    @property
    def param_groups(self) -> "list[ParamGroup]":
        """The parameter groups, which can be read and set as dicts."""
        return [ParamGroup(self, k) for k in range(len(self._entries))]

    def check_settings(self, op: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a group in plain form. TypeError or ValueError for one that is out of range."""
        return {"lr": checks.number(op, "lr", settings["lr"], 0, math.inf)}

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group, such as the layers that a fine-tuning unfreezes: ``params``, and settings of its own.

        Raises:
            ValueError: a setting that this optimizer does not have, or a parameter that it has already.
        """
        name, known = type(self).__name__, {"params", "name", *self._defaults}
        checks.instance(name, "a parameter group", group, dict)
        if "params" not in group or not known >= group.keys():
            got = f"got {abbreviated(list(group))}"
            raise ValueError(f"{name}: a group must have params, and may have {', '.join(sorted(known))}; {got}")
        params = [group["params"]] if isinstance(group["params"], Tensor) else check_params(name, group["params"])
        for k, p in enumerate(params):
            if p.dtype.kind != "f":
                raise TypeError(f"{name}: parameter {k} must be float32 or float64 to be changed, got {p.dtype}")
            if not p.is_leaf:
                raise ValueError(f"{name}: parameter {k}, shape {p.shape}, is an op's result, not a leaf")
        if len({id(p) for p in [*self.params, *params]}) < len(self.params) + len(params):
            raise ValueError(f"{name}: a parameter comes twice")
        settings = self.check_settings(name, self._defaults | group)
        self._checked.append(settings)
        self._entries.append({"params": tuple(params), **{k: group[k] for k in ("name",) if k in group}})
        self.param_groups[-1].update(settings)
        self.params += params
        self.state += [{} for _ in params]

    def settings(self) -> dict[str, Any]:
        """Return what the updates depend on beside the rates, by name; a tuple where groups differ."""
        values = {k: [group[k] for group in self.param_groups] for k in self._defaults if k != "lr"}
        settings = {k: v[0] if all(w == v[0] for w in v) else tuple(v) for k, v in values.items()}
        if len(self._entries) > 1:
            settings["groups"] = tuple(len(entries["params"]) for entries in self._entries)
        return settings

    def step(self) -> None:
        """Update every parameter that has a gradient. ValueError if none has: `backward` was not called."""
        name = f"{type(self).__name__}.step"
        check_gradients(name, self.params)
        self._check_groups(name)
        self.steps += 1
        first, states = self._checked[0], iter(self.state)
        try:
            with np.errstate(all="ignore"):  # as in every op, overflow gives inf
                for entries, settings in zip(self._entries, self._checked, strict=True):
                    if settings is not first:
                        self.__dict__.update(settings)  # where `update` reads them
                    for p in entries["params"]:
                        state = next(states)
                        if p.grad is not None:
                            self.update(p.writable(), p.grad.data, state)
        finally:
            if len(self._entries) > 1:
                self.__dict__.update(first)

    def _check_groups(self, name: str) -> None:
        """Check what was set since the last step."""
        for k, checked in enumerate(self._checked):
            values = self._entries[k] if k else self.__dict__
            if any([values[key] is not value for key, value in checked.items()]):
                checked.update(self.check_settings(name, values))
                values.update(checked)

    def update(self, p: Array, g: Array, state: dict[str, Array]) -> None:
        """Update ``p`` in place, given its gradient ``g`` and its state, arrays by name that the update keeps."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set every gradient to None."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the class, the rates of the groups, the number of steps, and a copy of each parameter's state.

        ``lr`` is the first group's rate; ``groups``, where there are several, has each one's, and its size.
        """
        copies = [{k: a.copy() for k, a in state.items()} for state in self.state]
        state = {"class": type(self).__name__, "lr": self.lr, "steps": self.steps, "state": copies}
        if len(self._entries) > 1:
            state["groups"] = [{"lr": group["lr"], "params": len(group["params"])} for group in self.param_groups]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`; other settings than the rates stay. ValueError if it does not fit the parameters."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, dict) or not state.keys() >= {"lr", "steps", "state"}:
            raise ValueError(f"{name}: expected lr, steps and state, got {abbreviated(state)}")
        kind = state.get("class", type(self).__name__)
        if not isinstance(kind, str) or kind != type(self).__name__:
            raise ValueError(f"{name}: the state is of another optimizer, {abbreviated(kind)}")
        rates = self._rates(name, state)
        steps = checks.integer(name, "steps", state["steps"], 0)
        try:
            arrays = [{k: np.array(a) for k, a in s.items()} for s in state["state"]]
        except (AttributeError, TypeError, ValueError):
            arrays = []
        if len(arrays) != len(self.params):
            raise ValueError(f"{name}: the state is of other parameters")
        cast = [{k: _cast(name, k, a, p) for k, a in s.items()} for p, s in zip(self.params, arrays, strict=True)]
        self.steps, self.state = steps, cast
        for group, lr in zip(self.param_groups, rates, strict=True):
            group["lr"] = lr

    def _rates(self, name: str, state: dict[str, Any]) -> list[float]:
        """The rates of all groups in a state. ValueError if it is of other groups."""
        own = [len(group["params"]) for group in self.param_groups]
        groups = state.get("groups", [{"lr": state["lr"], "params": sum(own)}])
        if not isinstance(groups, list) or not all(
            isinstance(g, dict) and g.keys() >= {"lr", "params"} for g in groups
        ):
            raise ValueError(f"{name}: groups must be a list of lr and params, got {abbreviated(groups)}")
        if (sizes := [group["params"] for group in groups]) != own:
            raise ValueError(f"{name}: the state is of groups of {abbreviated(sizes)} parameters, these are of {own}")
        return [checks.number(name, "lr", group["lr"], 0, math.inf) for group in groups]


class ParamGroup(MutableMapping[str, Any]):
    """A parameter group of an optimizer, seen as a dict: ``params``, ``lr``, and what else the optimizer has.

    The settings of the first group are the optimizer's attributes.
    """

    def __init__(self, optimizer: Optimizer, k: int) -> None:
        self._names, self._entries = tuple(optimizer._defaults), optimizer._entries[k]
        self._settings = self._entries if k else optimizer.__dict__

    def __getitem__(self, name: str) -> Any:
        return (self._settings if name in self._names else self._entries)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        (self._settings if name in self._names else self._entries)[name] = value

    def __delitem__(self, name: str) -> None:
        if name in self._names or name == "params":
            raise KeyError(f"{name} cannot be removed from a parameter group")
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **dict.fromkeys(self._names)})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"ParamGroup({dict(self) | {'params': len(self['params'])}})"


def _cast(name: str, key: str, array: Array, p: Tensor) -> Array:
    """A loaded state array in the parameter's type. ValueError or TypeError where it does not fit."""
    if key == "steps":
        return np.array(checks.integer(name, "steps", array.tolist(), 0), np.int64)
    if array.dtype.kind not in "fiu" or array.shape != p.shape:
        raise ValueError(f"{name}: the state is of other parameters")
    return cast_finite(f"{name}: {key}", array, p.dtype)


def check_gradients(name: str, params: list[Tensor]) -> list[Tensor]:
    """Return the gradients. ValueError for none, or one of another kind or shape than its parameter."""
    gradients = []
    for k, p in enumerate(params):
        if p.grad is None:
            continue
        if not isinstance(p.grad, Tensor) or p.grad.shape != p.shape or p.grad.dtype.kind != "f":
            got = f"shape {p.grad.shape} of {p.grad.dtype}" if isinstance(p.grad, Tensor) else type(p.grad).__name__
            hint = "; float32 or float64 is needed" if isinstance(p.grad, Tensor) and p.grad.shape == p.shape else ""
            raise ValueError(
                f"{name}: the gradient of parameter {k} must be a tensor of its shape {p.shape}, got {got}{hint}"
            )
        gradients.append(p.grad)
    if not gradients:
        raise ValueError(f"{name}: no parameter has a gradient; call backward() first")
    return gradients


def _groups(name: str, params: Params) -> list[dict[str, Any]]:
    """The parameters as groups: one of all of them, unless they come as dicts."""
    if isinstance(params, dict):
        raise TypeError(
            f"{name}: params must be a collection of tensors, or a list of groups such as [{{'params': ...}}]"
        )
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        return [{"params": check_params(name, params)}]
    items: list[Any] = list(params)
    return items if items and isinstance(items[0], dict) else [{"params": items}]


def check_params(name: str, params: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters as a list. TypeError for a single tensor or a member that is not a tensor."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{name}: params must be a collection of tensors, such as model.parameters()")
    params = list(params)
    for k, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameter {k} must be a Tensor, got {type(p).__name__}")
    return params
