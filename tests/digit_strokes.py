"""Ten digits as a hand would draw them: strokes of points in a unit square, x to the right, y downwards."""

import numpy as np


def arc(cx, cy, rx, ry, start, end, points=16):
    """A part of an ellipse from one angle to another, in degrees clockwise from three o'clock."""
    angles = np.radians(np.linspace(start, end, points))
    return [(cx + rx * np.cos(a), cy + ry * np.sin(a)) for a in angles]


STROKES = {
    0: [arc(0.5, 0.5, 0.27, 0.42, -100, 265, 28)],
    1: [[(0.42, 0.2), (0.55, 0.08), (0.54, 0.5), (0.52, 0.94)]],
    2: [[*arc(0.48, 0.3, 0.24, 0.22, -170, 30), (0.5, 0.66), (0.22, 0.92), (0.5, 0.88), (0.8, 0.92)]],
    3: [[*arc(0.45, 0.29, 0.24, 0.21, -150, 80), *arc(0.45, 0.71, 0.28, 0.23, -80, 150)]],
    4: [[(0.38, 0.08), (0.3, 0.32), (0.2, 0.56), (0.5, 0.55), (0.8, 0.53)], [(0.66, 0.3), (0.63, 0.6), (0.6, 0.95)]],
    5: [[(0.34, 0.1), (0.31, 0.3), (0.29, 0.46), *arc(0.46, 0.67, 0.27, 0.25, -120, 145)], [(0.34, 0.1), (0.76, 0.08)]],
    6: [[(0.62, 0.06), (0.42, 0.28), (0.28, 0.55), *arc(0.48, 0.72, 0.21, 0.21, 180, -185, 24)]],
    7: [[(0.2, 0.14), (0.5, 0.12), (0.8, 0.12), (0.62, 0.45), (0.45, 0.94)]],
    8: [[*arc(0.5, 0.3, 0.19, 0.2, -60, -270), *arc(0.5, 0.7, 0.2, 0.2, -90, 270), *arc(0.5, 0.3, 0.2, 0.2, 90, -50)]],
    9: [[*arc(0.47, 0.31, 0.22, 0.22, -30, -375, 24), (0.68, 0.5), (0.64, 0.7), (0.56, 0.95)]],
}  # fmt: skip


def placed(digit, x=0.0, y=0.0, size=1.0):
    """The strokes of a digit with the corner of their square at (x, y)."""
    return [np.array(stroke) * size + (x, y) for stroke in STROKES[digit]]
