"""The feature map and its gradients: the article's correlations and convolutions.

Three ops are the three partial derivatives of one sum over images, places and taps,

    T(x, w, g) = sum  x[n, c, p + i, q + j]  w[f, c, i, j]  g[n, f, p, q]:

the feature map `correlate2d` is dT/dg, the weight gradient `correlate2d_weight` is dT/dw, and the gradient for the
previous layer `convolve2d_full` is dT/dx. So the rules of each are the other two, and every order of derivative closes.
"""

from .. import checks
from ..autograd.tensor import Tensor, as_tensor, record, same_float
from ..checks import abbreviated, plural
from ..kernels import current
from ..kernels.geometry import ConvParams, Pair, dilated_size, map_shape, spatial
from . import arguments
from .shape import pad

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

    Rules, in the article's words: the weight gradient is the input correlated with ∂C/dz; the gradient for the
    previous layer is the full convolution of ∂C/dz with the weights; the bias gradient is the sum of ∂C/dz.

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

    Raises ValueError when ranks, channels or groups do not fit, or the filter is larger than the padded image
    (SciPy would silently exchange the two).

    Source: the article, "Feature Map Activation" and "Backpropagation through a Feature Map".

    >>> values, f = Tensor([[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]), Tensor([[10., 20.], [30., 40.]])
    >>> correlate2d(values, f)
    Tensor([[370., 470.],
            [670., 770.]])
    """
    name = "correlate2d"
    x, w = same_float(as_tensor(name, x), as_tensor(name, w))
    how = _sliding(name, stride, padding, dilation, groups)
    given, lone = (x, w), x.ndim != 4 or w.ndim != 4
    if lone:
        x, w = _lift(name, x, w)
        if bias is not None:
            raise ValueError(f"{name}: a bias needs images (N, C, H, W) {_shapes(given)}")
    x, how = _bordered(name, x, w, mode, how, turned=False)
    _check_channels(name, x, w, how, given)
    y = feature_maps(x, w, None if bias is None else arguments.bias(name, "bias", bias, w, "filter"), how)
    return y.reshape(spatial(y.shape)) if lone else y


def feature_maps(x: Tensor, w: Tensor, bias: Tensor | None, how: ConvParams) -> Tensor:
    """`correlate2d` of what fits: the kernel, and a rule for each input."""
    b = () if bias is None else (bias,)
    return record(
        "correlate2d",
        current().correlate2d(x.data, w.data, b[0].data if b else None, how),
        (x, w, *b),
        (
            lambda g, y: image_gradient(g, w, how, spatial(x.shape)),
            lambda g, y: weight_gradient(x, g, how, spatial(w.shape)),
            lambda g, y: bias_gradient(g),
        )[: 2 + len(b)],
        **how._asdict(),
    )


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
        stride, padding, dilation, groups: as they were given to `correlate2d`.

    Source: the article, "Weight Gradient".
    """
    name = "correlate2d_weight"
    x, g = same_float(arguments.images(name, x), arguments.images(name, g, "g"))
    how = _sliding(name, stride, padding, dilation, groups)
    shape = checks.pair(name, "shape", shape, 1)
    if x.shape[0] != g.shape[0] or x.shape[1] % how.groups:
        parts = plural(how.groups, "group")
        raise ValueError(f"{name}: x and g must be one batch, in {parts} {checks.shapes(x=x, g=g)}")
    _check_maps(name, "g", g, map_shape(spatial(x.shape), shape, how), how, g)
    return weight_gradient(x, g, how, shape)


def weight_gradient(x: Tensor, g: Tensor, how: ConvParams, shape: Pair) -> Tensor:
    """`correlate2d_weight` of what fits."""
    return record(
        "correlate2d_weight",
        current().correlate2d_weight(x.data, g.data, how, shape),
        (x, g),
        (lambda v, y: image_gradient(g, v, how, spatial(x.shape)), lambda v, y: feature_maps(x, v, None, how)),
        **how._asdict(),
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
    what others call a transposed convolution.

    Args:
        x: maps ``(N, F, h, w)``; or one map ``(h, w)`` with one filter ``(KH, KW)``, then exactly
            ``scipy.signal.convolve2d(x, w, "full")`` when the stride and dilation are 1.
        w: filters ``(F, C // groups, KH, KW)``.
        stride, dilation: pixels between neighbours of the map, and between taps.
        shape: (H, W) of the result ``(N, C, H, W)``; the smallest that holds every tap by default. Pixels that no
            window saw are 0: a map of stride 2 fits two image widths.
        padding: rows and columns cut off on each side: the border that `correlate2d` added.
        groups: as in `correlate2d`.

    Raises ValueError when channels do not fit, or windows over ``shape`` do not make maps of x's shape.

    Source: the article, "Activation Gradient for Previous Layer".

    >>> convolve2d_full(Tensor([[1., 2.], [3., 4.]]), Tensor([[1., 10.]]))
    Tensor([[ 1., 12., 20.],
            [ 3., 34., 40.]])
    """
    name = "convolve2d_full"
    x, w = same_float(as_tensor(name, x), as_tensor(name, w))
    given, lone = (x, w), x.ndim == 2 and w.ndim == 2
    if lone:
        x, w = _lift(name, x, w)
    x, w = arguments.images(name, x), arguments.images(name, w, "w")
    how = _sliding(name, stride, padding, dilation, groups)
    if shape is None:
        shape = smallest_image(spatial(x.shape), spatial(w.shape), how)
    shape = checks.pair(name, "shape", shape, 1)
    if w.shape[0] != x.shape[1] or 0 in spatial(w.shape):
        raise ValueError(
            f"{name}: x has {plural(x.shape[1], 'map')}, w has {plural(w.shape[0], 'filter')} of "
            f"{w.shape[2]}x{w.shape[3]} {_shapes(given)}"
        )
    _check_maps(name, "x", x, map_shape(shape, spatial(w.shape), how), how, given[0])
    y = image_gradient(x, w, how, shape)
    return y.reshape(spatial(y.shape)) if lone else y


def image_gradient(g: Tensor, w: Tensor, how: ConvParams, shape: Pair) -> Tensor:
    """`convolve2d_full` of what fits."""
    return record(
        "convolve2d_full",
        current().convolve2d_full(g.data, w.data, how, shape),
        (g, w),
        (lambda v, y: feature_maps(v, w, None, how), lambda v, y: weight_gradient(v, g, how, spatial(w.shape))),
        shape=shape,
        **how._asdict(),
    )


def bias_gradient(g: Tensor) -> Tensor:
    """The sum of ∂C/dz over places and images: one number a map, ``(F,)``."""
    return record(
        "bias_gradient",
        current().bias_gradient(g.data),
        (g,),
        (lambda v, y: v.reshape(-1, 1, 1).broadcast_to(g.shape),),
    )


def convolve2d(x: Tensor, w: Tensor, *, mode: str = "full") -> Tensor:
    """True convolution, the filter turned by 180°: `scipy.signal.convolve2d`, and for stacks and batches what
    `correlate2d` does with the filters turned.

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
    given, lone = (x, w), x.ndim != 4 or w.ndim != 4
    if lone:
        x, w = _lift(name, x, w)
    x, how = _bordered(name, x, w, mode, ConvParams(), turned=True)
    _check_channels(name, x, w, how, given)
    y = feature_maps(x, w[:, :, ::-1, ::-1], None, how)
    return y.reshape(spatial(y.shape)) if lone else y


def smallest_image(maps: Pair, kernel: Pair, how: ConvParams) -> Pair:
    """The smallest image over which such filters make such maps: the shape of a transposed convolution."""
    rows, columns = (
        (m - 1) * s + dilated_size(k, d) - 2 * p
        for m, k, s, p, d in zip(maps, kernel, how.stride, how.padding, how.dilation, strict=True)
    )
    return rows, columns


def _sliding(op: str, stride: Size, padding: Size, dilation: Size, groups: int) -> ConvParams:
    return ConvParams(
        checks.pair(op, "stride", stride, 1),
        checks.pair(op, "padding", padding, 0),
        checks.pair(op, "dilation", dilation, 1),
        checks.integer(op, "groups", groups, 1),
    )


def _lift(op: str, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """One image and one filter, or a stack of each, as batches of one."""
    if x.ndim != w.ndim or x.ndim not in (2, 3):
        raise ValueError(
            f"{op}: takes (H, W) with (KH, KW), (C, H, W) with (C, KH, KW), or (N, C, H, W) with (F, C, KH, KW) "
            f"{checks.shapes(x=x, w=w)}" + "; one image is x.reshape(1, *x.shape)" * (x.ndim == 3 and w.ndim == 4)
        )
    if x.shape[:-2] != w.shape[:-2]:
        channels = plural(x.shape[0], "channel")
        raise ValueError(f"{op}: x has {channels}, w expects {w.shape[0]} {checks.shapes(x=x, w=w)}")
    lead = (1,) * (4 - x.ndim)
    return x.reshape(*lead, *x.shape), w.reshape(*lead, *w.shape)


def _bordered(op: str, x: Tensor, w: Tensor, mode: str, how: ConvParams, *, turned: bool) -> tuple[Tensor, ConvParams]:
    """The image and the padding that turn the mode into "valid"; of an odd border "same" puts the larger half last.

    For a turned filter the larger half comes first: both as SciPy centres them.
    """
    if not isinstance(mode, str) or mode not in ("valid", "same", "full"):
        raise ValueError(f"{op}: mode must be 'valid', 'same' or 'full', got {abbreviated(mode)}")
    if mode == "valid":
        return x, how
    if how.padding != (0, 0) or (mode == "same" and how.stride != (1, 1)):
        raise ValueError(f"{op}: mode {mode!r} sets its own padding" + " and needs stride 1" * (mode == "same"))
    borders = [dilated_size(k, d) - 1 for k, d in zip(spatial(w.shape), how.dilation, strict=True)]
    if mode == "full":
        return x, how._replace(padding=(borders[0], borders[1]))
    sides = [((b + turned) // 2, (b + 1 - turned) // 2) for b in borders]
    if all(before == after for before, after in sides):
        return x, how._replace(padding=(sides[0][0], sides[1][0]))
    return pad(x, ((0, 0), (0, 0), *sides)), how


def _shapes(given: tuple[Tensor, Tensor]) -> str:
    """What the caller gave, before it was lifted or bordered."""
    return checks.shapes(x=given[0], w=given[1])


def _check_channels(op: str, x: Tensor, w: Tensor, how: ConvParams, given: tuple[Tensor, Tensor]) -> None:
    channels, filters, groups = x.shape[1], w.shape[0], how.groups
    if channels % groups or filters % groups:
        raise ValueError(
            f"{op}: groups={groups} must divide {plural(channels, 'channel')} and {plural(filters, 'filter')} "
            f"{_shapes(given)}"
        )
    if channels != w.shape[1] * groups:
        expected = f"{w.shape[1]} * {groups} groups" if groups > 1 else f"{w.shape[1]}"
        raise ValueError(f"{op}: x has {plural(channels, 'channel')}, w expects {expected} {_shapes(given)}")
    if 0 in (kernel := spatial(w.shape)) or 0 in map_shape(spatial(x.shape), kernel, how):
        raise ValueError(
            f"{op}: the filter must not be empty nor larger than the image with its padding {how.padding} "
            f"and dilation {how.dilation} {_shapes(given)}"
        )


def _check_maps(op: str, name: str, g: Tensor, expected: Pair, how: ConvParams, given: Tensor) -> None:
    """The maps must have the shape that windows over the image make, and channels that the groups divide."""
    if spatial(g.shape) != expected or g.shape[1] % how.groups:
        raise ValueError(
            f"{op}: {name} must have maps of {expected[0]}x{expected[1]}, as windows over the image's shape make, "
            f"a multiple of {how.groups} of them {checks.shapes(**{name: given})}"
        )
