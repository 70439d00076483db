"""The strokes of a pen as an image of the size, place and thickness that MNIST's digits have."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIDE = 28  # pixels of an image
_BOX_PIXELS = 20  # the square that holds the ink
_CENTRE_PIXELS = 14.5  # of the ink's mass, from the image's edge; in MNIST it lies at pixel 14.0 on average
_PEN_PIXELS = 2.5  # the usual thickness of MNIST's strokes
_DOT = 0.02  # drawings smaller than this fraction of the page are a dot
_STEPS_PER_PIXEL = 8  # for smooth edges


def normalized(strokes: Sequence[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Return the image (28, 28) of a drawing, white ink (255) on black (0).

    The drawing is scaled until its longer side, ink included, takes 20 pixels, drawn with a round pen and smooth
    edges, and moved until its centre of mass is the image's: what MNIST did with its scans. So the drawing's place
    and size make no difference; the pen keeps its thickness.

    Args:
        strokes: each (points, 2): x to the right and y downwards, in sides of the page.

    Source: Y. LeCun et al., Gradient-based learning applied to document recognition, 1998, section III A.

    >>> import numpy as np
    >>> seven = np.array([[0.1, 0.1], [0.3, 0.1], [0.2, 0.4]])
    >>> bool((normalized([seven]) == normalized([seven / 2 + 0.5])).all())
    True
    """
    if not strokes:
        return np.zeros((SIDE, SIDE), np.uint8)
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max())
    scale = (_BOX_PIXELS - _PEN_PIXELS) / size if size > _DOT else 0.0
    line = np.zeros((SIDE * _STEPS_PER_PIXEL, SIDE * _STEPS_PER_PIXEL), bool)
    for stroke in strokes:
        points = (_resampled((stroke - (low + high) / 2) * scale) + SIDE / 2) * _STEPS_PER_PIXEL
        columns, rows = np.rint(points).astype(int).T
        line[rows, columns] = True
    ink = _centred(ndimage.distance_transform_edt(~line) <= _PEN_PIXELS / 2 * _STEPS_PER_PIXEL)
    grey: NDArray[np.float64] = ink.reshape(SIDE, _STEPS_PER_PIXEL, SIDE, _STEPS_PER_PIXEL).mean(axis=(1, 3))
    return np.rint(255 * grey).astype(np.uint8)


def _resampled(stroke: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along a stroke, so close that no step of a pixel is skipped."""
    lengths = np.hypot(*np.diff(stroke, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(lengths)])
    stops = np.linspace(0.0, way[-1], int(way[-1] * _STEPS_PER_PIXEL) + 2)
    return np.stack([np.interp(stops, way, axis) for axis in stroke.T], axis=1)


def _centred(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ink moved so that its centre of mass is the image's, but never over the edge."""
    moves = []
    for centre, places in zip(ndimage.center_of_mass(ink), np.nonzero(ink), strict=True):
        move = round(_CENTRE_PIXELS * _STEPS_PER_PIXEL - 0.5 - centre)
        moves.append(int(np.clip(move, -places.min(), len(ink) - 1 - places.max())))
    return np.roll(ink, moves, axis=(0, 1))
