"""Sampling, affine places and the blur agree with SciPy and with plain linear algebra, in blocks or alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from tinygrad_cnn.data.augment import _gaussian
from tinygrad_cnn.data.resample import affine_coordinates, bilinear, resample


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@given(
    dy=st.floats(-4, 4),
    dx=st.floats(-4, 4),
    degrees=st.floats(-180, 180),
    factor=st.floats(0.5, 2),
    shear=st.floats(-1, 1),
)
def test_affine_coordinates_invert_shear_scale_turn_and_shift(
    dy: float, dx: float, degrees: float, factor: float, shear: float
) -> None:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # on (y, x), y downwards
    forward = turn @ np.diag([factor, factor]) @ np.array([[1, 0], [shear, 1]])
    height, width = 9, 6
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    pixels = np.moveaxis(np.mgrid[:height, :width], 0, -1)
    sources = (pixels - centre - [dy, dx]) @ np.linalg.inv(forward).T + centre
    parameters = {"dy": dy, "dx": dx, "degrees": degrees, "scale": factor, "shear": shear}
    y, x = affine_coordinates(height, width, **{name: np.array([value]) for name, value in parameters.items()})
    np.testing.assert_allclose(y[..., 0], sources[..., 0], atol=2e-5)
    np.testing.assert_allclose(x[..., 0], sources[..., 1], atol=2e-5)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    seed=st.integers(0, 2**32),
)
def test_bilinear_agrees_with_scipy(shape: tuple[int, int, int, int], seed: int) -> None:
    images = noise(shape, seed)
    _, height, width, count = shape
    rng = np.random.default_rng(seed)
    y, x = (rng.uniform(-3, size + 2, (5, 6, count)).astype(np.float32) for size in (height, width))
    read = bilinear(images, y, x)
    for channel in range(shape[0]):
        for one in range(count):
            expected = ndimage.map_coordinates(
                images[channel, ..., one], [y[..., one], x[..., one]], order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(read[channel, ..., one], expected, atol=2e-6)


def test_blocks_do_not_show() -> None:
    images, moves = noise((100, 1, 28, 28)), np.linspace(-3, 3, 100, dtype=np.float32)
    rows, columns = np.arange(28, dtype=np.float32)[:, None, None], np.arange(28, dtype=np.float32)[None, :, None]
    whole = resample(images, lambda block: (rows + moves[block], columns - moves[block]))
    for one in (0, 31, 32, 99):
        alone = bilinear(images[one : one + 1].transpose(1, 2, 3, 0), rows + moves[one], columns - moves[one])
        np.testing.assert_array_equal(whole[one], alone[..., 0])


@given(length=st.integers(1, 30), sigma=st.floats(0.3, 6), seed=st.integers(0, 2**32))
def test_the_blur_agrees_with_scipy(length: int, sigma: float, seed: int) -> None:
    row = noise((length,), seed)
    radius = max(length, int(np.ceil(6 * sigma)))
    expected = ndimage.gaussian_filter1d(row.astype(float), sigma, mode="constant", radius=radius)
    np.testing.assert_allclose(_gaussian(length, sigma) @ row, expected, atol=1e-6)
