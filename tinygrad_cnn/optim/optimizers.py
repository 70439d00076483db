"""Optimizers: the update of the parameters by their gradients, written out in each class."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.dtypes import cast_finite
from ..autograd.tensor import Tensor
from ..checks import abbreviated, flag
from ..kernels import current

Array = NDArray[Any]


class Optimizer:
    """The base of all optimizers. Subclasses define ``update``, the change of one parameter.

    Args:
        params: the parameters, each once.
        lr: the learning rate, the article's ``step_size``; it can be set between steps, as schedules do.

    Raises:
        ValueError: no parameters, one that comes twice, an op's result, or a rate that is negative or not finite.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        name = type(self).__name__
        self.params = _check_params(name, params)
        self.lr = checks.number(name, "lr", lr, 0, math.inf)
        self.steps = 0
        self.state: list[dict[str, Array]] = [{} for _ in self.params]
        if not self.params:
            raise ValueError(f"{name}: there are no parameters to change")
        for k, p in enumerate(self.params):
            if p.dtype.kind != "f":
                raise TypeError(f"{name}: parameter {k} must be float32 or float64 to be changed, got {p.dtype}")
            if not p.is_leaf:
                raise ValueError(f"{name}: parameter {k}, shape {p.shape}, is an op's result, not a leaf")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{name}: a parameter comes twice")

    def step(self) -> None:
        """Update every parameter that has a gradient. ValueError if none has: `backward` was not called."""
        name = f"{type(self).__name__}.step"
        _check_gradients(name, self.params)
        self.lr = checks.number(name, "lr", self.lr, 0, math.inf)  # it can be set between steps
        self.steps += 1
        with np.errstate(all="ignore"):  # as in every op, overflow gives inf
            for p, state in zip(self.params, self.state, strict=True):
                if p.grad is not None:
                    self.update(p.writable(), p.grad.data, state)

    def update(self, p: Array, g: Array, state: dict[str, Array]) -> None:
        """Update ``p`` in place, given its gradient ``g`` and its state, arrays by name that the update keeps."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set every gradient to None."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the class, the rate, the number of steps, and a copy of each parameter's state."""
        copies = [{k: a.copy() for k, a in state.items()} for state in self.state]
        return {"class": type(self).__name__, "lr": self.lr, "steps": self.steps, "state": copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`. ValueError when it does not fit the parameters."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, dict) or not state.keys() >= {"lr", "steps", "state"}:
            raise ValueError(f"{name}: expected lr, steps and state, got {abbreviated(state)}")
        kind = state.get("class", type(self).__name__)
        if not isinstance(kind, str) or kind != type(self).__name__:
            raise ValueError(f"{name}: the state is of another optimizer, {abbreviated(kind)}")
        lr = checks.number(name, "lr", state["lr"], 0, math.inf)
        steps = checks.integer(name, "steps", state["steps"], 0)
        try:
            arrays = [{k: np.array(a) for k, a in s.items()} for s in state["state"]]
        except (AttributeError, TypeError, ValueError):
            arrays = []
        if len(arrays) != len(self.params):
            raise ValueError(f"{name}: the state is of other parameters")
        cast = [{k: _cast(name, k, a, p) for k, a in s.items()} for p, s in zip(self.params, arrays, strict=True)]
        self.lr, self.steps, self.state = lr, steps, cast


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

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0, weight_decay: float = 0, nesterov: bool = False
    ) -> None:
        super().__init__(params, lr)
        self.momentum = checks.number("SGD", "momentum", momentum, 0, 1)
        self.weight_decay = checks.number("SGD", "weight_decay", weight_decay, 0, math.inf)
        self.nesterov = flag("SGD", "nesterov", nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")

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

    decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, lr)
        name = type(self).__name__
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be two numbers, got {abbreviated(betas)}")
        first, second = (checks.number(name, "betas", b, 0, 1) for b in betas)
        if max(first, second) == 1:
            raise ValueError(f"{name}: betas must be below 1, got {betas!r}")
        self.betas = first, second
        self.eps = checks.number(name, "eps", eps, 0, math.inf)
        self.weight_decay = checks.number(name, "weight_decay", weight_decay, 0, math.inf)

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
        params: Iterable[Tensor],
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
    gradients = _check_gradients("clip_grad_norm", _check_params("clip_grad_norm", params))
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


def _cast(name: str, key: str, array: Array, p: Tensor) -> Array:
    """A loaded state array in the parameter's type. ValueError or TypeError where it does not fit."""
    if key == "steps":
        return np.array(checks.integer(name, "steps", array.tolist(), 0), np.int64)
    if array.dtype.kind not in "fiu" or array.shape != p.shape:
        raise ValueError(f"{name}: the state is of other parameters")
    return cast_finite(f"{name}: {key}", array, p.dtype)


def _check_gradients(name: str, params: list[Tensor]) -> list[Tensor]:
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


def _check_params(name: str, params: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters as a list. TypeError for a single tensor or a member that is not a tensor."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{name}: params must be a collection of tensors, such as model.parameters()")
    params = list(params)
    for k, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameter {k} must be a Tensor, got {type(p).__name__}")
    return params
