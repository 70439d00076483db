"""Optimizers: the update of the parameters by their gradients, written out in each class."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import checks
from ..autograd.tensor import Tensor
from ..checks import abbreviated, flag
from ..kernels import current
from .base import Array, Optimizer, Params, check_gradients, check_params


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr g``, the article's update.

    With momentum μ: ``v = μ v + g`` (v = g at the first step), ``p -= lr v``, or ``p -= lr (g + μ v)`` with
    ``nesterov``. ``weight_decay`` λ adds ``λ p`` to g first (an L2 cost of λ/2 ‖p‖²).

    Args:
        params, lr: see `Optimizer`.
        momentum: μ, between 0 and 1.
        weight_decay: λ, at least 0.
        nesterov: True for Nesterov's momentum; it needs a momentum above 0.

    Source: I. Sutskever et al., "On the importance of initialization and momentum" (2013), in PyTorch's form.
    """

    momentum: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self, params: Params, lr: float, momentum: float = 0, weight_decay: float = 0, nesterov: bool = False
    ) -> None:
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def check_settings(self, op: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in plain form, as `Optimizer.check_settings`."""
        momentum = checks.number(op, "momentum", settings["momentum"], 0, 1)
        weight_decay = checks.number(op, "weight_decay", settings["weight_decay"], 0, math.inf)
        nesterov = flag(op, "nesterov", settings["nesterov"])
        if nesterov and not momentum:
            raise ValueError(f"{op}: nesterov needs a momentum above 0")
        own = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        return super().check_settings(op, settings) | own

    def update(self, p: Array, g: Array, state: dict[str, Array]) -> None:
        """Update ``p`` in place: ``p -= lr g``, or with momentum ``v = μ v + g`` and ``p -= lr v``."""
        if self.weight_decay:
            g = g + self.weight_decay * p
        v = _state_of(p, "velocity", state) if self.momentum else None
        if fused := _fused("sgd", p, *([] if v is None else [v])):
            fused(p, g, v, self.lr, self.momentum, self.nesterov)
            return
        if v is not None:
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        p -= self.lr * g


class Adam(Optimizer):
    """Adaptive moments: each step is scaled by the running size of its gradient.

    ``m = β1 m + (1 - β1) g``, ``v = β2 v + (1 - β2) g²``, and at step t
    ``p -= lr (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + eps)``. ``weight_decay`` λ adds ``λ p`` to g first.

    Args:
        params, lr: see `Optimizer`.
        betas: (β1, β2), from 0 and below 1.
        eps: at least 0; keeps the division finite.
        weight_decay: λ, at least 0.

    Source: D. Kingma and J. Ba, "Adam" (2015).
    """

    betas: tuple[float, float]
    eps: float
    weight_decay: float
    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check_settings(self, op: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in plain form, as `Optimizer.check_settings`."""
        betas = settings["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{op}: betas must be two numbers, got {abbreviated(betas)}")
        first, second = (checks.number(op, "betas", b, 0, 1) for b in betas)
        if max(first, second) == 1:
            raise ValueError(f"{op}: betas must be below 1, got {betas!r}")
        eps = checks.number(op, "eps", settings["eps"], 0, math.inf)
        weight_decay = checks.number(op, "weight_decay", settings["weight_decay"], 0, math.inf)
        own = {"betas": (first, second), "eps": eps, "weight_decay": weight_decay}
        return super().check_settings(op, settings) | own

    def update(self, p: Array, g: Array, state: dict[str, Array]) -> None:
        """Update ``p`` in place, and the two running means m and v; see the class for the formulas."""
        (beta1, beta2), count = self.betas, state.setdefault("steps", np.zeros((), np.int64))
        count += 1  # one for each parameter, because its first gradient may come late
        t = int(count)
        if self.weight_decay and self.decoupled:
            p *= 1 - self.lr * self.weight_decay
        elif self.weight_decay:
            g = g + self.weight_decay * p
        m, v = _state_of(p, "m", state), _state_of(p, "v", state)
        step_size, bias_correction2 = self.lr / (1 - beta1**t), 1 - beta2**t
        if fused := _fused("adam", p, m, v):
            fused(p, g, m, v, step_size, self.betas, bias_correction2, self.eps)
            return
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        p -= step_size * m / (np.sqrt(v / bias_correction2) + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p *= 1 - lr λ``, apart from the gradient.

    Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019).
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients down so that their common Euclidean norm is at most ``max_norm``.

    Returns:
        The norm before scaling.

    Raises:
        ValueError: no parameter has a gradient, or the norm is infinite or NaN.

    Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks" (2013).
    """
    limit = checks.number("clip_grad_norm", "max_norm", max_norm, 0, math.inf)
    gradients = check_gradients("clip_grad_norm", check_params("clip_grad_norm", params))
    with np.errstate(over="ignore"):
        norm = math.sqrt(sum(float(np.sum(np.square(g.data, dtype=np.float64))) for g in gradients))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the gradients' norm is {norm}; detect_anomaly() finds where that began")
    if norm > limit:
        for g in gradients:
            array = g.writable()
            array *= limit / norm
    return norm


def _fused(name: str, *arrays: Array) -> Callable[..., None] | None:
    """The kernel set's form of an update in one pass over memory, if it has one: to the same bits, for C arrays."""
    kernel: Callable[..., None] | None = getattr(current(), name, None)
    return kernel if kernel is not None and all(a.flags.carray for a in arrays) else None


def _state_of(p: Array, name: str, state: dict[str, Array]) -> Array:
    """The state array of a parameter under this name: zeros at first."""
    if name not in state:
        state[name] = np.zeros_like(p)
    return state[name]
