"""A picture of one handwritten or printed sign as MNIST has it: light ink on black, in the middle, of the usual size.

The steps: find the paper and its shading; the ink is what differs from it; drop specks and whatever enters from the
edge; scale the rest so that its longer side takes 20 of 28 pixels, thicken a thin pen, and centre it by mass.

Source: Y. LeCun et al., "Gradient-based learning applied to document recognition" (1998), section III A, for size and
centring; N. Otsu, "A threshold selection method from gray-level histograms" (1979).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.float64]

_STEPS = 8  # per pixel of the result, for smooth edges
_BOX = 20 / 28  # of the image's side: the square that holds the ink
_PEN = 2.4 / 28  # of the image's side: the thickness of MNIST's strokes
_LARGEST_SIDE_PIXELS = 400  # larger pictures are reduced first
_SMALLEST_FRAMED_SIDE = 12  # pixels: smaller images are too coarse to be centred anew
_FAINTEST = 0.06  # the difference of ink from paper, of the full scale
_SPECK = 0.04  # of the largest stroke's area: smaller parts are dust


def normalized_ink(grey: NDArray[np.generic], side: int = 28) -> NDArray[np.float32]:
    """Return the sign in a grey picture as an image (side, side) in [0, 1], light ink on black.

    Args:
        grey: (H, W) in [0, 1]; the ink may be darker or lighter than the paper.
        side: rows and columns of the result.

    Returns:
        The image; all zeros where the picture is blank.
    """
    picture = np.asarray(grey, np.float64)
    if framed := _as_it_is(picture, side):
        return picture.astype(np.float32) if framed == "light" else (1 - picture).astype(np.float32)
    picture = _reduced(picture, _LARGEST_SIDE_PIXELS)
    ink = _ink(picture)
    if ink is None:
        return np.zeros((side, side), np.float32)
    return _framed(_main_parts(ink), side)


def ink_is_dark(picture: Grey) -> bool:
    """Return True if the ink is darker than the paper around it: in every neighbourhood most pixels are paper."""
    small = _reduced(picture, 64)
    paper = ndimage.median_filter(small, max(3, min(small.shape) // 2), mode="nearest")
    darkest, lightest = np.percentile(small - paper, (1, 99))
    return bool(-darkest > lightest)


def _as_it_is(picture: Grey, side: int) -> str:
    """The ink, "light" or "dark", of a picture of the image's size that needs no framing; else an empty string.

    Light ink on black is taken to be an image already; dark ink is framed anew unless it is where MNIST's would be.
    """
    if picture.shape != (side, side):
        return ""
    dark = ink_is_dark(picture)
    ink = 1 - picture if dark else picture
    mask = ink > 0.3
    edge = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    if not mask.any():
        return ""
    if side < _SMALLEST_FRAMED_SIDE:
        return "dark" if dark else "light"
    if not dark and np.median(edge) < 0.1:
        return "light"
    if edge.max() > 0.1:
        return ""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    centre = np.array(ndimage.center_of_mass(ink))
    fits = 0.8 <= longer / (_BOX * side) <= 1.15 and np.abs(centre - (side - 1) / 2).max() <= side / 14
    return "dark" if fits else ""


def _reduced(picture: Grey, side: int) -> Grey:
    """The picture with at most so many pixels a side, by averaging blocks."""
    block = min(-(-max(picture.shape) // side), *picture.shape)
    if block > 1:
        rows, columns = (n // block for n in picture.shape)
        picture = picture[: rows * block, : columns * block]
        picture = picture.reshape(rows, block, columns, block).mean(axis=(1, 3))
    return picture


def _ink(picture: Grey) -> Grey | None:
    """Return the ink at each pixel, 0 to 1: the difference from the paper; None for a blank picture."""
    if max(picture.shape) > 56:
        picture = ndimage.median_filter(picture, 3, mode="nearest")
    dark = -picture if ink_is_dark(picture) else picture
    size = max(3, int(0.3 * min(picture.shape))) | 1  # wider than any stroke, so that an opening leaves the paper alone
    paper = ndimage.grey_opening(ndimage.gaussian_filter(dark, 1.0), (size, size), mode="nearest")
    difference = dark - paper
    difference = np.maximum(difference - np.median(difference), 0)
    if difference.max() < _FAINTEST:
        return None
    threshold = _otsu(difference)
    strong, weak = difference[difference > threshold], difference[difference <= threshold]
    if not strong.size or strong.mean() < max(_FAINTEST, 4.5 * float(np.std(weak))):
        return None
    top = float(np.percentile(strong, 60))
    ink: Grey = np.clip(difference / top, 0, 1)
    return ink


def _otsu(values: Grey) -> float:
    """The threshold that separates two groups best: of the largest variance between them."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    between = np.zeros(len(counts))
    both = (below > 0) & (above > 0)
    means = sums[both] / below[both] - (sums[-1] - sums[both]) / above[both]
    between[both] = below[both] * above[both] * means**2
    return float(centres[between.argmax()])


def _main_parts(ink: Grey) -> Grey:
    """The ink without specks, and without parts at the picture's edge if there are others as large."""
    labels, count = ndimage.label(ink > 0.5, np.ones((3, 3)))
    if count <= 1:
        return ink
    index = np.arange(1, count + 1)
    area = ndimage.sum_labels(np.ones_like(ink), labels, index)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = ~np.isin(index, edge)
    if inner.any() and area[inner].max() > 0.15 * area.max():
        area = np.where(inner, area, 0)
    main = int(area.argmax()) + 1
    (rows, columns) = ndimage.find_objects(labels)[main - 1]
    reach = 0.35 * max(rows.stop - rows.start, columns.stop - columns.start)
    distance = ndimage.distance_transform_edt(labels != main)
    nearest = ndimage.minimum(distance, labels, index)
    chosen = index[(area > _SPECK * area.max()) & (nearest <= reach)]
    near = ndimage.binary_dilation(np.isin(labels, chosen), iterations=2)
    return np.where(near, ink, 0)


def _framed(ink: Grey, side: int) -> NDArray[np.float32]:
    """The ink scaled into the box, of the usual thickness, and centred by its mass."""
    mask = ink > 0.5
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return np.zeros((side, side), np.float32)
    high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    ridge = depth[(depth == ndimage.maximum_filter(depth, 3)) & (depth > 0)]
    thickness = max(2 * float(np.median(ridge)) - 1, 1.0)
    box, pen = _BOX * side * _STEPS, _PEN * side * _STEPS
    longer = max(high, wide)
    extra = max(0.0, (pen - thickness * box / longer) / 2)  # on each side of a thin stroke
    scale = (box - 2 * extra) / longer
    middle = np.array([(rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2])
    n = side * _STEPS
    offset = middle - (n - 1) / 2 / scale
    fine = ndimage.affine_transform(ink, np.full(2, 1 / scale), offset, (n, n), order=1)
    strokes = fine > 0.5
    if extra:
        strokes = ndimage.distance_transform_edt(~strokes) <= extra
    move = [(n - 1) / 2 - c for c in ndimage.center_of_mass(strokes)]
    margin = (n - box) / 2
    shift = tuple(int(np.clip(round(m), -margin, margin)) for m in move)
    strokes = np.roll(strokes, shift, axis=(0, 1))
    grey: NDArray[np.float64] = strokes.reshape(side, _STEPS, side, _STEPS).mean(axis=(1, 3))
    return grey.astype(np.float32)
