"""Fixed shifts and turns do to every image what NumPy and SciPy do to one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from tinygrad_cnn.data import Dataset, expand_shifted, rotated, shifted

IMAGES = np.random.default_rng(0).random((3, 2, 6, 5), dtype=np.float32)


@given(dy=st.integers(-9, 9), dx=st.integers(-9, 9))
def test_shifted_agrees_with_scipy(dy: int, dx: int) -> None:
    expected = ndimage.shift(IMAGES, (0, 0, dy, dx), order=0, mode="constant")
    np.testing.assert_array_equal(shifted(IMAGES, dy, dx), expected)


@given(degrees=st.floats(-360, 360))
def test_rotated_agrees_with_scipy(degrees: float) -> None:
    expected = ndimage.rotate(IMAGES, degrees, axes=(3, 2), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(rotated(IMAGES, degrees), expected, atol=1e-5)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    square = IMAGES[:, :, :5]
    np.testing.assert_allclose(rotated(square, 90), np.rot90(square, axes=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("change", [lambda images: shifted(images, 1, -1), lambda images: rotated(images, 30)])
def test_the_input_is_left_alone(change: Any) -> None:
    images = IMAGES.copy()
    assert change(images).dtype == np.float32
    np.testing.assert_array_equal(images, IMAGES)


def test_expand_shifted_adds_four_copies_moved_by_one_pixel() -> None:
    dataset = Dataset((IMAGES * 16).astype(np.uint8), [0, 1, 0], num_classes=4, full_scale=16)[1:]
    expanded = expand_shifted(dataset)
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    expected = np.concatenate([shifted(dataset.images, dy, dx) for dy, dx in moves])
    np.testing.assert_array_equal(expanded.images, expected)
    assert expanded.labels.tolist() == [1, 0] * 5
    assert (expanded.num_classes, expanded.full_scale) == (4, 16)


def flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(3, -1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shifted(IMAGES, 1.0, 0), TypeError, "shifted: dy must be an integer, got 1.0"),  # type: ignore[arg-type]
        (lambda: shifted(IMAGES, np.ones(2), 0), TypeError, r"shifted: dy must be an integer, got array\(\[1., 1.\]\)"),  # type: ignore[arg-type]
        (lambda: shifted(IMAGES, 0, True), TypeError, "shifted: dx must be an integer, got True"),
        (
            lambda: shifted(flat(IMAGES), 0, 0),
            ValueError,
            r"shifted: images must be \(N, C, H, W\), got shape \(3, 60\)",
        ),
        (lambda: rotated(IMAGES, float("nan")), ValueError, "rotated: degrees must be finite, got nan"),
        (lambda: rotated(IMAGES, 10**400), ValueError, "rotated: degrees must be finite, got 1000"),
        (lambda: rotated(IMAGES, None), TypeError, "rotated: degrees must be a number, got None"),  # type: ignore[arg-type]
        (lambda: rotated(flat(IMAGES), 1), ValueError, r"rotated: images must be \(N, C, H, W\)"),
        (lambda: expand_shifted(IMAGES), TypeError, r"expand_shifted: dataset must be a Dataset, got array\("),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_answered(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call()
