"""Learning-rate schedules: the rate of every step, written out in each class."""

import math
from typing import Any

from .. import checks
from ..checks import abbreviated, plural
from .base import Optimizer


class Schedule:
    """The base of all schedules. It sets the optimizer's rate; call ``step()`` after each ``optimizer.step()``.

    Subclasses define ``rate(k)``, the rate of step k = 0, 1, ... That is the first parameter group's; the rates of
    others keep the proportion to it that they have when the schedule is made.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.rates: list[float] = []
        self.steps = 0
        self._add_rates()
        self.first = self.rates[0]

    def rate(self, k: int) -> float:
        """Return the learning rate of step ``k``, counted from 0."""
        raise NotImplementedError

    def _add_rates(self) -> None:
        """Note the initial rates of groups that have none yet. ValueError if the first of several is 0."""
        name = type(self).__name__
        for group in self.optimizer.param_groups[len(self.rates) :]:
            self.rates.append(checks.number(name, "the optimizer's lr", group["lr"], 0, math.inf))
        if len(self.rates) > 1 and not self.rates[0]:
            raise ValueError(f"{name}: the first group's lr must be above 0, so that others can be in proportion to it")

    def _apply(self) -> None:
        rate = self.rate(self.steps)
        self._add_rates()
        for group, initial in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate if initial == self.first else rate * (initial / self.first)

    def step(self) -> None:
        """Set the rate of the next step."""
        self.steps += 1
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps made, and the optimizer's rate before the first; of several groups, all rates."""
        rates = {"rates": list(self.rates)} if len(self.rates) > 1 else {}
        return {"steps": self.steps, "first": self.first, **rates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, dict) or not state.keys() >= {"steps", "first"}:
            raise ValueError(f"{name}: expected steps and first, got {abbreviated(state)}")
        steps = checks.integer(name, "steps", state["steps"], 0)
        first = checks.number(name, "first", state["first"], 0, math.inf)
        rates = state.get("rates", [first])
        if not isinstance(rates, list) or len(rates) != len(self.optimizer.param_groups) or rates[0] != first:
            groups = plural(len(self.optimizer.param_groups), "parameter group")
            raise ValueError(f"{name}: needs the rates of {groups}, got {abbreviated(rates)}")
        self.rates = [checks.number(name, "rates", rate, 0, math.inf) for rate in rates]
        self.first, self.steps = first, steps
        self._apply()


class OneCycle(Schedule):
    """Up to ``max_lr`` over the first ``warmup`` of the steps, then down to almost 0, both along a half cosine.

    The rate starts at ``max_lr / start_factor`` and ends at ``max_lr / (start_factor * end_factor)``.

    Args:
        optimizer: its ``lr`` is set.
        max_lr: the highest rate, of the first parameter group.
        total_steps: the number of steps of the whole training.
        warmup: the fraction of the steps that the rate rises, between 0 and 1.
        start_factor, end_factor: at least 1.

    Source: L. Smith and N. Topin, "Super-Convergence" (2018), in PyTorch's form (OneCycleLR).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        *,
        warmup: float = 0.3,
        start_factor: float = 25.0,
        end_factor: float = 1e4,
    ) -> None:
        super().__init__(optimizer)
        self.max_lr = checks.number("OneCycle", "max_lr", max_lr, 0, math.inf)
        self.total_steps = checks.integer("OneCycle", "total_steps", total_steps, 1)
        self.warmup = checks.number("OneCycle", "warmup", warmup, 0, 1)
        self.start = self.max_lr / checks.number("OneCycle", "start_factor", start_factor, 1, math.inf)
        self.end = self.start / checks.number("OneCycle", "end_factor", end_factor, 1, math.inf)
        self._apply()

    def rate(self, k: int) -> float:
        """Return the learning rate of step ``k``, counted from 0."""
        last = self.total_steps - 1
        peak = self.warmup * self.total_steps - 1
        if k < peak:
            return _half_cosine(self.start, self.max_lr, k / peak)
        return _half_cosine(self.max_lr, self.end, (k - peak) / (last - peak) if k < last else float(k > peak))


class CosineDecay(Schedule):
    """From the optimizer's rate down to ``final`` over ``total_steps``, along a half cosine.

    Source: I. Loshchilov and F. Hutter, "SGDR" (2017), one cycle.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, *, final: float = 0.0) -> None:
        super().__init__(optimizer)
        self.total_steps = checks.integer("CosineDecay", "total_steps", total_steps, 1)
        self.final = checks.number("CosineDecay", "final", final, 0, math.inf)

    def rate(self, k: int) -> float:
        """Return the learning rate of step ``k``, counted from 0."""
        return _half_cosine(self.first, self.final, min(1.0, k / self.total_steps))


class StepDecay(Schedule):
    """The optimizer's rate times ``factor`` after every ``every`` steps."""

    def __init__(self, optimizer: Optimizer, every: int, *, factor: float = 0.1) -> None:
        super().__init__(optimizer)
        self.every = checks.integer("StepDecay", "every", every, 1)
        self.factor = checks.number("StepDecay", "factor", factor, 0, math.inf)

    def rate(self, k: int) -> float:
        """Return the learning rate of step ``k``, counted from 0."""
        return float(self.first * self.factor ** (k // self.every))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
