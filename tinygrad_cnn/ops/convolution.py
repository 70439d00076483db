"""The feature map and its gradients: the article's correlations and convolutions.

Three ops are the three partial derivatives of one sum over images, places and taps,

    T(x, w, g) = sum  x[n, c, p + i, q + j]  w[f, c, i, j]  g[n, f, p, q]:

the feature map `correlate2d` is dT/dg, the weight gradient `correlate2d_weight` is dT/dw, and the gradient for the
previous layer `convolve2d_full` is dT/dx. So the rules of each are the other two, and every order of derivative closes.

In the rules dC/dz is what the article calls the components of dC/db, one for each neuron; the two operands of a full
convolution, which turns one of them by 180 degrees, may be exchanged.
"""

from __future__ import annotations  # rules are defined at every call: nothing is evaluated for their types

from ..autograd.operands import same_float
from ..autograd.tensor import Tensor, as_tensor, record
from ..checks import Pair, abbreviated, integer, pair, plural, shapes
from ..kernels import current
from ..kernels.geometry import ConvParams, dilated_size, map_shape, spatial
from . import arguments
from .movement import pad

Size = int | Pair


def correlate2d(
    x: Tensor,
    w: Tensor,
    *,
    bias: Tensor | None = None,
    mode: str = "valid",
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide each filter over each image, unturned, and sum the products: the article's feature map ``z``.

    ``y[n, f, p, q] = b[f] + sum over c i j of x[n, c, p + i, q + j] w[f, c, i, j]``

    Args:
        x, w: images ``(N, C, H, W)`` with filters ``(F, C // groups, KH, KW)`` give maps ``(N, F, OH, OW)``; one image
            ``(H, W)`` with one filter ``(KH, KW)`` gives one map as `scipy.signal.correlate2d` does; a stack
            ``(C, H, W)`` with a stack of filters ``(C, KH, KW)`` gives one map (the article's appendix B).
        bias: one number a filter, ``(F,)``; 4-d only.
        mode: "valid": the filter stays on the image; "same": the map has the image's shape (stride 1 only);
            "full": any overlap counts. Pixels beyond the border are 0.
        stride, padding, dilation: pixels between windows, rows and columns of zeros added on each side, pixels
            between taps; an integer or (rows, columns).
        groups: filters f of group k see only the channels of group k.

    Raises:
        ValueError: ranks, channels or groups do not fit, or the filter is larger than the padded image (SciPy would
            silently exchange the two).

    Source: the article, "Feature Map Activation" and "Backpropagation through a Feature Map".

    >>> values, f = Tensor([[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]), Tensor([[10., 20.], [30., 40.]])
    >>> correlate2d(values, f)
    Tensor([[370., 470.],
            [670., 770.]])
    """
    name = "correlate2d"
    x, w = same_float(as_tensor(name, x), as_tensor(name, w))
    params = _params(name, stride, padding, dilation, groups)
    original, unbatched = (x, w), x.ndim != 4 or w.ndim != 4
    if unbatched:
        x, w = _add_batch_axes(name, x, w)
        if bias is not None:
            raise ValueError(f"{name}: a bias needs images (N, C, H, W) {_shapes(original)}")
    x, params = _pad_for_mode(name, x, w, mode, params, turned=False)
    _check_channels(name, x, w, params, original)
    y = _correlate2d(x, w, None if bias is None else arguments.bias(name, "bias", bias, w, "filter"), params)
    return y.reshape(spatial(y.shape)) if unbatched else y


def _correlate2d(x: Tensor, w: Tensor, bias: Tensor | None, params: ConvParams) -> Tensor:
    """`correlate2d` without argument checks."""

    def grad_a(g: Tensor, z: Tensor) -> Tensor:
        """dC/da^{L-1} = convolve2d(dC/dz, w, full): each neuron paints its weights, times its dC/dz, back where its
        overlay stood
        """
        return _convolve2d_full(g, w, params, spatial(x.shape))

    def grad_w(g: Tensor, z: Tensor) -> Tensor:
        """dC/dw = correlate2d(a^{L-1}, dC/dz, valid): dC/dz slides over the previous layer as a filter"""
        return _correlate2d_weight(x, g, params, spatial(w.shape))

    def grad_b(g: Tensor, z: Tensor) -> Tensor:
        """dC/db = the sum of dC/dz: the neurons of a map share one bias: their components add up"""
        return bias_gradient(g)

    z = current().correlate2d(x.data, w.data, None if bias is None else bias.data, params)
    inputs, rules = ((x, w), (grad_a, grad_w)) if bias is None else ((x, w, bias), (grad_a, grad_w, grad_b))
    formula = "z = correlate2d(a^{L-1}, w)" if bias is None else "z = correlate2d(a^{L-1}, w) + b"
    return record("correlate2d", z, inputs, rules, kind="sliding", formula=formula, **params._asdict())


def correlate2d_weight(
    x: Tensor, g: Tensor, *, shape: Pair, stride: Size = 1, padding: Size = 0, dilation: Size = 1, groups: int = 1
) -> Tensor:
    """The weight gradient of `correlate2d`: slide the maps' gradient over the images.

    ``dw[f, c, i, j] = sum over n p q of x[n, c, p + i, q + j] g[n, f, p, q]``; for one image and one map this is
    ``correlate2d(x, g, mode="valid")``, the article's line. Where a stride does not divide, the result is cropped
    to the filter's ``shape``.

    Args:
        x: images ``(N, C, H, W)``.
        g: dC/dz, ``(N, F, OH, OW)``.
        shape: (KH, KW), the filters'.
        stride, padding, dilation, groups: the arguments of `correlate2d`.

    Raises:
        ValueError: g is not of the shape of maps that such filters make from x.

    Source: the article, "Weight Gradient".
    """
    name = "correlate2d_weight"
    x, g = same_float(arguments.images(name, x), arguments.images(name, g, "g"))
    params = _params(name, stride, padding, dilation, groups)
    shape = pair(name, "shape", shape, 1)
    if x.shape[0] != g.shape[0] or x.shape[1] % params.groups:
        parts = plural(params.groups, "group")
        raise ValueError(f"{name}: x and g must be one batch, in {parts} {shapes(x=x, g=g)}")
    _check_maps(name, "g", g, map_shape(spatial(x.shape), shape, params), params, g)
    return _correlate2d_weight(x, g, params, shape)


def _correlate2d_weight(x: Tensor, g: Tensor, params: ConvParams, shape: Pair) -> Tensor:
    """`correlate2d_weight` without argument checks."""

    def grad_a(v: Tensor, y: Tensor) -> Tensor:
        """dC/da = convolve2d(g, dC/dw', full)"""
        return _convolve2d_full(g, v, params, spatial(x.shape))

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = correlate2d(a, dC/dw')"""
        return _correlate2d(x, v, None, params)

    data = current().correlate2d_weight(x.data, g.data, params, shape)
    formula = "w' = correlate2d(a, g)"
    return record(
        "correlate2d_weight", data, (x, g), (grad_a, grad_g), kind="sliding", formula=formula, **params._asdict()
    )


def convolve2d_full(
    x: Tensor,
    w: Tensor,
    *,
    stride: Size = 1,
    dilation: Size = 1,
    shape: Pair | None = None,
    padding: Size = 0,
    groups: int = 1,
) -> Tensor:
    """Let every number of a map paint its weighted filter where the filter stood: the gradient for the previous layer.

    ``y[n, c, p s + i d, q s + j d] += x[n, f, p, q] w[f, c, i, j]``: the full convolution of the maps with the filters,
    also called a transposed convolution.

    Args:
        x: maps ``(N, F, h, w)``; or one map ``(h, w)`` with one filter ``(KH, KW)``, then exactly
            ``scipy.signal.convolve2d(x, w, "full")`` when the stride and dilation are 1.
        w: filters ``(F, C // groups, KH, KW)``.
        stride, dilation: pixels between neighbours of the map, and between taps.
        shape: (H, W) of the result ``(N, C, H, W)``; the smallest that holds every tap by default, and at most the
            stride or dilation, less one, larger. Pixels that no window saw are 0: a map of stride 2 fits two image
            widths.
        padding: rows and columns cut off on each side: the border that `correlate2d` added.
        groups: as in `correlate2d`.

    Raises:
        ValueError: channels do not fit, or windows over ``shape`` do not make maps of x's shape.

    Source: the article, "Activation Gradient for Previous Layer".

    >>> convolve2d_full(Tensor([[1., 2.], [3., 4.]]), Tensor([[1., 10.]]))
    Tensor([[ 1., 12., 20.],
            [ 3., 34., 40.]])
    """
    name = "convolve2d_full"
    x, w = same_float(as_tensor(name, x), as_tensor(name, w))
    original, unbatched = (x, w), x.ndim == 2 and w.ndim == 2
    if unbatched:
        x, w = _add_batch_axes(name, x, w)
    x, w = arguments.images(name, x), arguments.images(name, w, "w")
    params = _params(name, stride, padding, dilation, groups)
    if shape is None:
        shape = smallest_image(spatial(x.shape), spatial(w.shape), params)
    shape = pair(name, "shape", shape, 1)
    if w.shape[0] != x.shape[1] or 0 in spatial(w.shape):
        maps, filters = plural(x.shape[1], "map"), plural(w.shape[0], "filter")
        raise ValueError(f"{name}: x has {maps}, w has {filters} of {w.shape[2]}x{w.shape[3]} {_shapes(original)}")
    has_more_room = _has_room_for_more_windows(x, w, params, shape)
    expected = spatial(x.shape) if has_more_room else map_shape(shape, spatial(w.shape), params)
    _check_maps(name, "x", x, expected, params, original[0])
    y = (_convolve2d_into if has_more_room else _convolve2d_full)(x, w, params, shape)
    return y.reshape(spatial(y.shape)) if unbatched else y


def _convolve2d_full(x: Tensor, w: Tensor, params: ConvParams, shape: Pair) -> Tensor:
    """`convolve2d_full` without argument checks."""

    def grad_a(g: Tensor, z: Tensor) -> Tensor:
        """dC/da^{L-1} = correlate2d(dC/dz, w, valid): each collects from where its weights were painted"""
        return _correlate2d(g, w, None, params)

    def grad_w(g: Tensor, z: Tensor) -> Tensor:
        """dC/dw = correlate2d(dC/dz, a^{L-1}, valid)"""
        return _correlate2d_weight(g, x, params, spatial(w.shape))

    z = current().convolve2d_full(x.data, w.data, params, shape)
    formula = "z = convolve2d(a^{L-1}, w, full)"
    return record(
        "convolve2d_full", z, (x, w), (grad_a, grad_w), kind="sliding", formula=formula, shape=shape, **params._asdict()
    )


def _has_room_for_more_windows(x: Tensor, w: Tensor, params: ConvParams, shape: Pair) -> bool:
    """Return True if the shape is allowed and makes larger maps than x: by as much as a stride, but no dilation."""
    least = smallest_image(spatial(x.shape), spatial(w.shape), params)
    extra = [n - m for n, m in zip(shape, least, strict=True)]
    limits = [max(s, d) for s, d in zip(params.stride, params.dilation, strict=True)]
    is_allowed = all(0 <= e < limit for e, limit in zip(extra, limits, strict=True))
    return is_allowed and any(e >= s for e, s in zip(extra, params.stride, strict=True))


def _convolve2d_into(x: Tensor, w: Tensor, params: ConvParams, shape: Pair) -> Tensor:
    """`convolve2d_full` where the image has room for more windows: without padding, then cut and filled up to shape."""
    whole = params._replace(padding=(0, 0))
    y = _convolve2d_full(x, w, whole, smallest_image(spatial(x.shape), spatial(w.shape), whole))
    (top, left), (rows, columns) = params.padding, shape
    y = y[:, :, top : top + rows, left : left + columns]
    return pad(y, ((0, 0), (0, 0), (0, rows - y.shape[2]), (0, columns - y.shape[3])))


def bias_gradient(g: Tensor) -> Tensor:
    """The sum of ∂C/dz over places and images: one number a map, ``(F,)``."""

    def grad_g(v: Tensor, y: Tensor) -> Tensor:
        """dC/dg = dC/d(db) at every neuron of the map, with g = dC/dz"""
        return v.reshape(-1, 1, 1).broadcast_to(g.shape)

    data = current().bias_gradient(g.data)
    return record("bias_gradient", data, (g,), (grad_g,), kind="reduction", formula="db = the sum of dC/dz")


def convolve2d(x: Tensor, w: Tensor, *, mode: str = "full") -> Tensor:
    """True convolution, the filter turned by 180°: `scipy.signal.convolve2d`, also for stacks and batches.

    Args:
        x, w: at the ranks of `correlate2d`.
        mode: "full", "same" or "valid", as in `correlate2d`.

    Source: the article, "Introducing Convolutions" and appendix A.

    >>> values, f = Tensor([[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]), Tensor([[10., 20.], [30., 40.]])
    >>> convolve2d(values, f, mode="valid")
    Tensor([[230., 330.],
            [530., 630.]])
    """
    name = "convolve2d"
    x, w = same_float(as_tensor(name, x), as_tensor(name, w))
    original, unbatched = (x, w), x.ndim != 4 or w.ndim != 4
    if unbatched:
        x, w = _add_batch_axes(name, x, w)
    x, params = _pad_for_mode(name, x, w, mode, ConvParams(), turned=True)
    _check_channels(name, x, w, params, original)
    y = _correlate2d(x, w[:, :, ::-1, ::-1], None, params)
    return y.reshape(spatial(y.shape)) if unbatched else y


def smallest_image(maps: Pair, kernel: Pair, params: ConvParams) -> Pair:
    """The smallest image over which such filters make such maps: the shape of a transposed convolution."""
    rows, columns = (
        (m - 1) * s + dilated_size(k, d) - 2 * p
        for m, k, s, p, d in zip(maps, kernel, params.stride, params.padding, params.dilation, strict=True)
    )
    return rows, columns


def _params(op: str, stride: Size, padding: Size, dilation: Size, groups: int) -> ConvParams:
    return ConvParams(
        pair(op, "stride", stride, 1),
        pair(op, "padding", padding, 0),
        pair(op, "dilation", dilation, 1),
        integer(op, "groups", groups, 1),
    )


def _add_batch_axes(op: str, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """One image and one filter, or a stack of each, as batches of one."""
    if x.ndim != w.ndim or x.ndim not in (2, 3):
        hint = "; one image is x.reshape(1, *x.shape)" if x.ndim == 3 and w.ndim == 4 else ""
        raise ValueError(
            f"{op}: takes (H, W) with (KH, KW), (C, H, W) with (C, KH, KW), or (N, C, H, W) with (F, C, KH, KW) "
            f"{shapes(x=x, w=w)}{hint}"
        )
    if x.shape[:-2] != w.shape[:-2]:
        raise ValueError(f"{op}: x has {plural(x.shape[0], 'channel')}, w expects {w.shape[0]} {shapes(x=x, w=w)}")
    lead = (1,) * (4 - x.ndim)
    return x.reshape(*lead, *x.shape), w.reshape(*lead, *w.shape)


def _pad_for_mode(
    op: str, x: Tensor, w: Tensor, mode: str, params: ConvParams, *, turned: bool
) -> tuple[Tensor, ConvParams]:
    """The image and the padding with which "valid" gives the mode's map.

    Of an odd border "same" puts the larger half last, for a turned filter first: both as SciPy centres them.
    """
    if not isinstance(mode, str) or mode not in ("valid", "same", "full"):
        raise ValueError(f"{op}: mode must be 'valid', 'same' or 'full', got {abbreviated(mode)}")
    if mode == "valid":
        return x, params
    if params.padding != (0, 0) or (mode == "same" and params.stride != (1, 1)):
        also = " and needs stride 1" if mode == "same" else ""
        raise ValueError(f"{op}: mode {mode!r} sets its own padding{also}")
    borders = [dilated_size(k, d) - 1 for k, d in zip(spatial(w.shape), params.dilation, strict=True)]
    if mode == "full":
        return x, params._replace(padding=(borders[0], borders[1]))
    sides = [((b + turned) // 2, (b + 1 - turned) // 2) for b in borders]
    if all(before == after for before, after in sides):
        return x, params._replace(padding=(sides[0][0], sides[1][0]))
    return pad(x, ((0, 0), (0, 0), *sides)), params


def _shapes(original: tuple[Tensor, Tensor]) -> str:
    """The shapes of the caller's arguments, before axes or a border were added."""
    return shapes(x=original[0], w=original[1])


def _check_channels(op: str, x: Tensor, w: Tensor, params: ConvParams, original: tuple[Tensor, Tensor]) -> None:
    channels, filters, groups = x.shape[1], w.shape[0], params.groups
    if channels % groups or filters % groups:
        raise ValueError(
            f"{op}: groups={groups} must divide {plural(channels, 'channel')} and {plural(filters, 'filter')} "
            f"{_shapes(original)}"
        )
    if channels != w.shape[1] * groups:
        expected = f"{w.shape[1]} * {groups} groups" if groups > 1 else f"{w.shape[1]}"
        raise ValueError(f"{op}: x has {plural(channels, 'channel')}, w expects {expected} {_shapes(original)}")
    if 0 in (kernel := spatial(w.shape)) or 0 in map_shape(spatial(x.shape), kernel, params):
        raise ValueError(
            f"{op}: the filter must not be empty nor larger than the image with its padding {params.padding} "
            f"and dilation {params.dilation} {_shapes(original)}"
        )


def _check_maps(op: str, name: str, g: Tensor, expected: Pair, params: ConvParams, original: Tensor) -> None:
    """ValueError unless the maps have the shape that windows over the image make, and channels in whole groups."""
    if spatial(g.shape) != expected or g.shape[1] % params.groups:
        raise ValueError(
            f"{op}: {name} must have maps of {expected[0]}x{expected[1]}, as windows over the image's shape make, "
            f"a multiple of {params.groups} of them {shapes(**{name: original})}"
        )
