"""Resizing of ONNX: along each axis, every new pixel is a weighted sum of old ones."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .... import ops
from ....autograd.tensor import Tensor
from ..registry import reader
from ..values import (
    Array,
    UnsupportedError,
    Value,
    as_tensor,
    axis_of,
    check_size,
    floats,
    integers,
    numbers_of,
    to_value,
)

_COORDINATES: dict[str, Callable[..., Array]] = {
    "asymmetric": lambda p, scale, n, m, roi: p / scale,
    "half_pixel": lambda p, scale, n, m, roi: (p + 0.5) / scale - 0.5,
    "half_pixel_symmetric": lambda p, scale, n, m, roi: (
        n / 2 * (1 - (m / (scale * n) if scale * n else 1)) + (p + 0.5) / scale - 0.5
    ),
    "pytorch_half_pixel": lambda p, scale, n, m, roi: (p + 0.5) / scale - 0.5 if m > 1 else p * 0.0,
    "align_corners": lambda p, scale, n, m, roi: p * (n - 1) / (m - 1) if m > 1 else p * 0.0,
    "tf_half_pixel_for_nn": lambda p, scale, n, m, roi: (p + 0.5) / scale,
    "tf_crop_and_resize": lambda p, scale, n, m, roi: (
        roi[0] * (n - 1) + p * (roi[1] - roi[0]) * (n - 1) / (m - 1) if m > 1 else p * 0.0 + 0.5 * sum(roi) * (n - 1)
    ),
}
_ROUNDING: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


class _Method(NamedTuple):
    """The interpolation of new pixels; the fields are Resize's attributes."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    exclude_outside: bool
    antialias: bool


@reader(
    "Resize",
    allowed={
        "mode": ("nearest", "linear", "cubic"),
        "coordinate_transformation_mode": tuple(_COORDINATES),
        "nearest_mode": tuple(_ROUNDING),
        "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
    },
)
def resize(
    x: Value, roi: Any = None, scales: Any = None, sizes: Any = None, *, antialias: int = 0,
    axes: list[int] | None = None, coordinate_transformation_mode: str | None = None, cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0, extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest", nearest_mode: str = "round_prefer_floor", opset: int,
) -> Value:  # fmt: skip
    """x at another size, by scales or sizes of all or some axes; operator set 10 has no ``roi``."""
    named = list(range(x.ndim)) if axes is None else [axis_of(i, x.ndim) for i in axes]
    if opset < 11:
        roi, scales = None, roi
        coordinate_transformation_mode, nearest_mode = "asymmetric", "floor"
    factors = floats(scales) if scales is not None and np.size(numbers_of(scales)) else None
    lengths = [x.shape[i] for i in named]
    if factors is None:
        if sizes is None:
            raise UnsupportedError("scales or sizes are needed")
        new = integers(sizes)
        factors = [m / n for m, n in zip(new, lengths, strict=True)]
        if keep_aspect_ratio_policy != "stretch":
            factor = (min if keep_aspect_ratio_policy == "not_larger" else max)(factors)
            factors, new = [factor] * len(named), [math.floor(factor * n + 0.5) for n in lengths]
    else:
        new = [math.floor(n * f + 1e-9) for n, f in zip(lengths, factors, strict=True)]
    regions = floats(roi) if roi is not None and np.size(numbers_of(roi)) else [0.0] * len(named) + [1.0] * len(named)
    how = _Method(
        mode, coordinate_transformation_mode or "half_pixel", nearest_mode, cubic_coeff_a, bool(exclude_outside),
        bool(antialias),
    )  # fmt: skip
    plan = [
        (i, n, m, f, (regions[k], regions[k + len(named)]))
        for k, (i, n, m, f) in enumerate(zip(named, lengths, new, factors, strict=True))
    ]
    return _resized(x, plan, how, extrapolation_value)


@reader("Upsample", allowed={"mode": ("nearest", "linear", "bilinear")})
def upsample(
    x: Value, scales: Any = None, *, mode: str = "nearest", width_scale: float = 1.0, height_scale: float = 1.0
) -> Value:
    """x at another size, the forerunner of Resize."""
    factors = [1.0, 1.0, height_scale, width_scale] if scales is None else floats(scales)
    plan = [(i, n, math.floor(n * f), f, (0.0, 1.0)) for i, (n, f) in enumerate(zip(x.shape, factors, strict=True))]
    how = _Method("nearest" if mode == "nearest" else "linear", "asymmetric", "floor", -0.75, False, False)
    return _resized(x, plan, how, 0.0)


_Axis = tuple[int, int, int, float, tuple[float, float]]  # the axis, its old and new length, the scale, the region


def _resized(x: Value, plan: Sequence[_Axis], how: _Method, fill: float) -> Value:
    target = list(x.shape)
    for i, _, m, _, _ in plan:
        target[i] = m
    check_size(target)
    y, outside = as_tensor(x), np.zeros(target, bool)
    for i, n, m, scale, region in plan:
        if m == n and scale == 1 and how.coordinates != "tf_crop_and_resize":
            continue
        places = _COORDINATES[how.coordinates](np.arange(m), scale, n, m, region)
        if how.coordinates == "tf_crop_and_resize":
            out = (places < 0) | (places > n - 1)
            outside |= out.reshape([-1 if k == i else 1 for k in range(x.ndim)])
        y = _along(y, i, places, n, scale, how)
    if outside.any():
        y = ops.where(outside, as_tensor(np.asarray(fill)).astype(y.dtype), y)
    return y if isinstance(x, Tensor) else to_value(np.rint(y.data).astype(x.dtype))


def _along(x: Tensor, axis: int, places: Array, n: int, scale: float, how: _Method) -> Tensor:
    """Return x with new pixels at the places along one axis."""
    if how.mode == "nearest":
        nearest = np.clip(_ROUNDING[how.rounding](places), 0, n - 1).astype(np.int64)
        return x[(*(slice(None),) * axis, nearest)]
    matrix = _weights(places, n, scale, how)
    return ops.matmul(x.swapaxes(axis, -1), as_tensor(matrix.T).astype(x.dtype)).swapaxes(axis, -1)


def _weights(places: Array, n: int, scale: float, how: _Method) -> Array:
    """The weight of each old pixel in each new one, (new, old); those beyond the border count for the last one."""
    check_size((len(places), n))
    stretch = min(scale, 1.0) if how.antialias else 1.0
    reach = math.ceil((1 if how.mode == "linear" else 2) / stretch)
    first = np.floor(places).astype(np.int64) - reach + 1
    taps = first[:, None] + np.arange(2 * reach)
    distance = np.abs((taps - places[:, None]) * stretch)
    weights = np.maximum(0, 1 - distance) if how.mode == "linear" else _cubic(distance, how.cubic)
    inside = (taps >= 0) & (taps < n)
    if how.exclude_outside:
        weights = weights * inside
    weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((len(places), n))
    np.add.at(matrix, (np.arange(len(places))[:, None], np.clip(taps, 0, n - 1)), weights)
    return matrix


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel (1981)."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


@reader("AffineGrid", allowed={"align_corners": (0, 1)})
def affine_grid(theta: Tensor, size: Value, *, align_corners: int = 0) -> Value:
    """The places of a new image's pixels in an old one, by affine maps (N, 2, 3) or (N, 3, 4)."""
    lengths = integers(size)[2:]
    check_size([theta.shape[0], *lengths, len(lengths)])
    axes = [np.linspace(-1, 1, n) if align_corners and n > 1 else (2 * np.arange(n) + 1) / n - 1 for n in lengths]
    mesh = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(lengths)], -1)
    points = as_tensor(mesh.reshape(-1, len(lengths) + 1)).astype(theta.dtype)
    grid = ops.matmul(points, theta.swapaxes(1, 2))
    return grid.reshape(theta.shape[0], *lengths, len(lengths))


@reader(
    "GridSample",
    allowed={
        "mode": ("bilinear", "linear", "nearest", "bicubic", "cubic"),
        "padding_mode": ("zeros", "border", "reflection"),
        "align_corners": (0, 1),
    },
)
def grid_sample(
    x: Tensor, grid: Tensor, *, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
) -> Value:
    """The image at the places of a grid (N, ..., axes), whose coordinates run from -1 to 1, the last axis first."""
    image = x.shape[2:]
    shape = (x.shape[0], *grid.shape[1:-1])
    places = []
    for k, n in enumerate(image):
        p = grid[..., len(image) - 1 - k].reshape(shape[0], -1)
        p = (p + 1) * ((n - 1) / 2) if align_corners else ((p + 1) * n - 1) * 0.5
        if padding_mode != "zeros" and not mode.endswith("cubic"):
            p = _inside(p, n, padding_mode, bool(align_corners))
        places.append(p)
    cubic = mode.endswith("cubic")
    total: Tensor | None = None
    taps = [_taps(p, mode) for p in places]
    flat = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)
    for corner in np.ndindex(*(len(t) for t in taps)):
        weight, index, valid = None, np.zeros(places[0].shape, np.int64), np.ones(places[0].shape, bool)
        for k, (n, choice) in enumerate(zip(image, corner, strict=True)):
            at, w = taps[k][choice]
            if cubic and padding_mode != "zeros":
                at = np.rint(numbers_of(_inside(as_tensor(at), n, padding_mode, bool(align_corners)))).astype(np.int64)
            valid &= (at >= 0) & (at < n)
            index = index * n + np.clip(at, 0, n - 1)
            weight = w if weight is None else weight * w
        part = flat[np.arange(shape[0])[:, None], index] * (weight * valid).reshape(shape[0], -1, 1)
        total = part if total is None else total + part
    assert total is not None
    return total.transpose(0, 2, 1).reshape(shape[0], x.shape[1], *shape[1:])


def _taps(p: Tensor, mode: str) -> list[tuple[Array, Any]]:
    """The pixels about a place along one axis, each with its weight."""
    if mode == "nearest":
        return [(np.rint(p.data).astype(np.int64), as_tensor(np.ones(p.shape)).astype(p.dtype))]
    low = np.floor(p.data)
    base, rest = low.astype(np.int64), p - low
    if not mode.endswith("cubic"):
        return [(base, 1 - rest), (base + 1, rest)]
    taps = []
    for k in (-1, 0, 1, 2):
        d, a = (rest - k) if k < 1 else (k - rest), -0.75
        weight = ((d * (a + 2) - (a + 3)) * d * d + 1) if k in (0, 1) else (((d * a - 5 * a) * d + 8 * a) * d - 4 * a)
        taps.append((base + k, weight))
    return taps


def _inside(p: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Places clipped to the image, or reflected at its border."""
    if padding_mode == "border":
        return p.clip(0.0, float(n - 1))
    low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
    if high <= low:
        return p * 0
    turns = np.floor((p.data - low) / (high - low))
    odd = turns % 2 == 1
    shifted = p - (turns * (high - low)).astype(p.dtype)
    reflected = ops.where(odd, (high + low) - shifted, shifted)
    return reflected.clip(0.0, float(n - 1))
