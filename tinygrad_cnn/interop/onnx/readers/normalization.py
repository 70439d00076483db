"""Normalisation of ONNX, and its losses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor, wrap
from ..registry import reader
from ..values import Value, as_tensor, axis_of, numbers_of, to_value


def _channels(t: Value, ndim: int) -> Tensor:
    """Return one number for each channel with axes of length 1 after it."""
    return as_tensor(t).reshape(-1, *(1,) * (ndim - 2))


@reader("BatchNormalization", outputs=5)
def batch_normalization(
    x: Tensor, scale: Value, bias: Value, mean: Value, var: Value, *, epsilon: float = 1e-5, momentum: float = 0.9,
    spatial: int = 1, training_mode: int = 0, is_test: int = 0, outputs: int, opset: int,
) -> Any:  # fmt: skip
    """Channels with the statistics of the file, or the batch's with ``training_mode`` (below 7 without ``is_test``).

    Without ``spatial``, which operator set 9 abolished, there is a scale, a bias, a mean and a variance for each pixel.
    """
    training_mode = training_mode if opset >= 7 else not is_test
    if not spatial:
        y = (x - as_tensor(mean)) / (as_tensor(var) + epsilon).sqrt()
        return y * as_tensor(scale) + as_tensor(bias)
    ndim = max(x.ndim, 2)
    means, variances = as_tensor(mean), as_tensor(var)
    old = means, variances
    if training_mode:
        axes = (0, *range(2, x.ndim))
        means = x.mean(axes)
        deviations = x - _channels(means, ndim)
        variances = (deviations * deviations).mean(axes)
    factor = as_tensor(scale) / (variances + epsilon).sqrt()
    y = x * _channels(factor, ndim) + _channels(as_tensor(bias) - means * factor, ndim)
    if outputs == 1:
        return y
    running = [a * momentum + b * (1 - momentum) for a, b in zip(old, (means, variances), strict=True)]
    return (y, *running, means, variances)[:outputs]


def standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return x with mean 0 and variance 1 over the axes, its mean, and 1 / sqrt(variance + epsilon)."""
    mean = x.mean(tuple(axes), True)
    centred = x - mean
    inverse = ((centred * centred).mean(tuple(axes), True) + epsilon) ** -0.5
    return centred * inverse, mean, inverse


@reader("InstanceNormalization")
def instance_normalization(x: Tensor, scale: Value, bias: Value, *, epsilon: float = 1e-5) -> Value:
    """Each map with its own mean and variance."""
    normal, _, _ = standardized(x, range(2, x.ndim), epsilon)
    return normal * _channels(scale, x.ndim) + _channels(bias, x.ndim)


@reader("GroupNormalization")
def group_normalization(
    x: Tensor, scale: Value, bias: Value, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1, opset: int
) -> Value:
    """Groups of channels with their own mean and variance; below operator set 21 a scale and bias for each group."""
    groups = x.reshape(x.shape[0], num_groups, -1)
    normal = standardized(groups, (2,), epsilon)[0]
    if as_tensor(scale).size == num_groups != x.shape[1] or opset < 21:
        return (normal * as_tensor(scale).reshape(-1, 1) + as_tensor(bias).reshape(-1, 1)).reshape(x.shape)
    return normal.reshape(x.shape) * _channels(scale, x.ndim) + _channels(bias, x.ndim)


@reader("LayerNormalization", outputs=3)
def layer_normalization(
    x: Tensor, scale: Value, bias: Value | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1,
    outputs: int,
) -> Any:  # fmt: skip
    """The axes from ``axis`` on with their mean and variance."""
    normal, mean, inverse = standardized(x, range(axis_of(axis, x.ndim), x.ndim), epsilon)
    y = normal * as_tensor(scale)
    y = y if bias is None else y + as_tensor(bias)
    return (y, mean, inverse)[:outputs] if outputs > 1 else y


@reader("RMSNormalization")
def rms_normalization(x: Tensor, scale: Value, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Value:
    """The axes from ``axis`` on over the root of their squares' mean."""
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    return x * ((x * x).mean(axes, True) + epsilon) ** -0.5 * as_tensor(scale)


@reader("MeanVarianceNormalization")
def mean_variance_normalization(x: Tensor, *, axes: Sequence[int] = (0, 2, 3)) -> Value:
    """x less its mean, over its standard deviation."""
    named = tuple(axis_of(i, x.ndim) for i in axes)
    centred = x - x.mean(named, True)
    return centred / ((centred * centred).mean(named, True).sqrt() + 1e-9)


@reader("NegativeLogLikelihoodLoss", allowed={"reduction": ("mean", "sum", "none")})
def negative_log_likelihood(
    scores: Tensor, labels: Value, weight: Value | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean",
) -> Value:  # fmt: skip
    """The negative score of each label's class, with a weight for each class."""
    targets = numbers_of(labels).astype(np.int64)
    ignored = np.zeros(targets.shape, bool) if ignore_index is None else targets == ignore_index
    classes = np.where(ignored, 0, targets)
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in targets.shape)])
    index.insert(1, classes)
    counted = wrap((~ignored).astype(scores.dtype))
    weights = counted if weight is None else as_tensor(weight)[classes] * counted
    losses = -scores[tuple(index)] * weights
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / weights.sum()


@reader("SoftmaxCrossEntropyLoss", outputs=2, allowed={"reduction": ("mean", "sum", "none")})
def softmax_cross_entropy(
    scores: Tensor, labels: Value, weight: Value | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean", outputs: int,
) -> Any:  # fmt: skip
    """The negative log-likelihood of log softmax(scores), and that."""
    log_probabilities = ops.log_softmax(scores, 1)
    loss = negative_log_likelihood(log_probabilities, labels, weight, ignore_index=ignore_index, reduction=reduction)
    return (loss, log_probabilities) if outputs > 1 else loss


@reader("Scaler")
def scaler(x: Value, *, offset: Sequence[float], scale: Sequence[float]) -> Value:
    """(x - offset) scale, of scikit-learn's scalers."""
    t = as_tensor(x)
    shift, factor = (wrap(np.asarray(n, t.dtype)) for n in (offset, scale))
    return (t - shift) * factor


@reader("Normalizer", allowed={"norm": ("MAX", "L1", "L2")})
def normalizer(x: Value, *, norm: str = "MAX") -> Value:
    """Each row over its norm."""
    t = as_tensor(x)
    size = t.max(1, True) if norm == "MAX" else t.abs().sum(1, True) if norm == "L1" else (t * t).sum(1, True).sqrt()
    zero = wrap((size.data == 0).astype(t.dtype))
    return t / (size + zero)


@reader("LinearRegressor", allowed={"post_transform": ("NONE",)})
def linear_regressor(
    x: Value, *, coefficients: Sequence[float], intercepts: Sequence[float] | None = None, targets: int = 1,
    post_transform: str = "NONE",
) -> Value:  # fmt: skip
    """The linear functions of scikit-learn's regressions."""
    t = as_tensor(x)
    weights = to_value(np.asarray(coefficients, np.float32).reshape(targets, -1))
    y = ops.linear(t, as_tensor(weights))
    return y if intercepts is None else y + np.asarray(intercepts, np.float32)
