"""Augmentation moves what it says as far as it says, agrees with SciPy's resampling, and never leaves [0, 1]."""

import os
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinygrad_cnn.data import (
    Augmentation,
    affine,
    brightness,
    compose,
    crop,
    cutout,
    elastic,
    flip,
    rotate,
    scale,
    shift,
    shifted,
)

Floats = NDArray[np.float32]

STEPS: dict[str, Augmentation] = {
    "shift": shift(2),
    "rotate": rotate(30),
    "scale": scale(0.3),
    "affine": affine(max_pixels=1.5, max_degrees=20, max_fraction=0.2, max_shear=0.3),
    "elastic": elastic(alpha=20, sigma=3),
    "flip": flip(),
    "crop": crop(3),
    "brightness": brightness(0.3, 0.4),
    "cutout": cutout(0.5),
    "compose": compose(shift(1), elastic(alpha=10, sigma=2), rotate(5)),
}
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


def noise(shape: tuple[int, ...], seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def spots(count: int, y: float, x: float) -> Floats:
    """Make 41x41 images of one soft spot, at (y, x) from the centre."""
    places = np.arange(41) - 20
    spot = np.exp(-((places[:, None] - y) ** 2 + (places - x) ** 2) / 8)
    return np.repeat(spot.astype(np.float32)[None, None], count, axis=0)


def centres(images: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the spots are, y and x from the centre."""
    places, mass = np.arange(41) - 20, images[:, 0].astype(float)
    total = mass.sum(axis=(1, 2))
    return mass.sum(axis=2) @ places / total, mass.sum(axis=1) @ places / total


@every_step
@given(
    shape=st.tuples(st.integers(0, 9), st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**32),
)
def test_a_step_keeps_shape_type_and_range_and_leaves_its_input_alone(
    step: Augmentation, shape: tuple[int, int, int, int], seed: int
) -> None:
    images = noise(shape, seed)
    images[images > 0.5] = 1.0
    before = images.copy()
    changed = step(images, np.random.default_rng(seed))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min(initial=0) >= 0
    assert changed.max(initial=0) <= 1
    assert not np.shares_memory(changed, images)
    np.testing.assert_array_equal(images, before)


@every_step
def test_a_step_is_seeded_and_changes_each_image_differently(step: Augmentation) -> None:
    images = np.repeat(noise((1, 1, 12, 12)), 40, axis=0)
    first, again, other = (step(images, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({image.tobytes() for image in first}) > (1 if step is STEPS["flip"] else 10)


@every_step
def test_the_memory_order_of_the_input_does_not_matter_and_the_batch_comes_out_innermost(step: Augmentation) -> None:
    images = noise((40, 2, 28, 28))
    innermost = np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    one, other = (step(order, np.random.default_rng(0)) for order in (images, innermost))
    np.testing.assert_array_equal(one, other)
    assert one.transpose(1, 2, 3, 0).flags.c_contiguous


@every_step
def test_all_channels_move_together(step: Augmentation) -> None:
    images = np.repeat(noise((5, 1, 9, 9)), 3, axis=1)
    changed = step(images, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, np.repeat(changed[:, :1], 3, axis=1))


@every_step
def test_a_step_can_be_pickled(step: Augmentation) -> None:
    images = noise((4, 1, 8, 8))
    copy = pickle.loads(pickle.dumps(step))
    np.testing.assert_array_equal(copy(images, np.random.default_rng(0)), step(images, np.random.default_rng(0)))


@pytest.mark.parametrize("step", [shift(0), rotate(0), scale(0), affine(), elastic(0, 1), compose()])
def test_with_bounds_of_zero_nothing_changes(step: Augmentation) -> None:
    images = noise((40, 1, 28, 27))
    np.testing.assert_array_equal(step(images, np.random.default_rng(0)), images)


def test_shift_moves_by_every_whole_number_of_pixels_within_its_bound() -> None:
    image = noise((1, 1, 7, 7)) + 1e-3
    moved = shift(2)(np.repeat(image, 400, axis=0), np.random.default_rng(0))
    bound = range(-2, 3)
    expected = {shifted(image, dy, dx).tobytes() for dy in bound for dx in bound}
    assert {one.tobytes() for one in moved} == expected


def test_rotate_turns_by_up_to_its_bound_either_way() -> None:
    y, x = centres(rotate(40)(spots(300, 0, 10), np.random.default_rng(0)))
    angles = np.rad2deg(np.arctan2(-y, x))
    assert -40.1 < angles.min() < -38
    assert 38 < angles.max() < 40.1
    np.testing.assert_allclose(np.hypot(y, x), 10, atol=0.05)


def test_scale_magnifies_between_its_bounds() -> None:
    y, x = centres(scale(0.25)(spots(300, 0, 10), np.random.default_rng(0)))
    assert 7.4 < x.min() < 7.7
    assert 12.3 < x.max() < 12.6
    np.testing.assert_allclose(y, 0, atol=0.01)


def test_affine_shifts_by_fractions_of_a_pixel_in_both_directions_independently() -> None:
    y, x = centres(affine(max_pixels=3)(spots(400, 0, 0), np.random.default_rng(0)))
    for moves in (y, x):
        assert -3.01 < moves.min() < -2.9
        assert 2.9 < moves.max() < 3.01
        assert np.abs(moves - np.round(moves)).max() > 0.4
    assert abs(np.corrcoef(y, x)[0, 1]) < 0.2


def test_affine_shears_what_is_below_the_centre_to_the_right() -> None:
    y, x = centres(affine(max_shear=0.5)(spots(300, 10, 0), np.random.default_rng(0)))
    np.testing.assert_allclose(y, 10, atol=0.02)
    assert -5.05 < x.min() < -4.8
    assert 4.8 < x.max() < 5.05


def displacements(alpha: float, sigma: float) -> tuple[Floats, Floats]:
    """Read an elastic field off two ramps: a ramp shows the place that each pixel was read from."""
    places = np.broadcast_to(np.arange(64, dtype=np.float32) / 64, (200, 1, 64, 64))
    ramps = np.concatenate([places.swapaxes(2, 3), places], axis=1)
    moved = elastic(alpha, sigma)(ramps, np.random.default_rng(0)) - ramps
    inner = moved[:, :, 20:-20, 20:-20] * 64  # where no border is felt
    return inner[:, 0], inner[:, 1]


@pytest.mark.parametrize(("alpha", "sigma"), [(34, 4), (8, 2)])
def test_an_elastic_field_is_as_strong_as_blurred_uniform_noise(alpha: float, sigma: float) -> None:
    expected = alpha * np.sqrt(1 / 3) / (2 * np.sqrt(np.pi) * sigma)  # 1.4 pixels for 34 and 4
    for field in displacements(alpha, sigma):
        assert abs(field.std() / expected - 1) < 0.05
        assert abs(field.mean()) < 0.1 * expected


def test_an_elastic_field_is_smooth_and_its_directions_are_independent() -> None:
    down, right = displacements(34, 4)
    neighbours = np.corrcoef(down[:, :, :-1].ravel(), down[:, :, 1:].ravel())[0, 1]
    assert neighbours > 0.97  # exp(-1 / (4 sigma^2)) = 0.984
    assert abs(np.corrcoef(down.ravel(), right.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    "step",
    [
        affine(max_pixels=9e5, max_degrees=9e5, max_fraction=1 - 1e-12, max_shear=9e5),
        shift(2**31 - 1),
        elastic(9e5, 0.1),
        elastic(9e5, 999),
    ],
)
def test_extreme_bounds_give_images_too(step: Augmentation) -> None:
    changed = step(noise((50, 1, 9, 9)), np.random.default_rng(0))
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_compose_applies_its_steps_from_left_to_right() -> None:
    def halve(images: Floats, rng: np.random.Generator) -> Floats:
        return images * np.float32(0.5)

    def invert(images: Floats, rng: np.random.Generator) -> Floats:
        return 1 - images

    images = np.ones((1, 1, 2, 2), np.float32)
    assert compose(halve, invert)(images, np.random.default_rng(0)).max() == 0.5
    assert compose(invert, halve)(images, np.random.default_rng(0)).max() == 0.0


def test_the_bits_do_not_depend_on_the_number_of_blas_threads() -> None:
    code = """
import hashlib, numpy as np
from tinygrad_cnn.data import digits, elastic
images, _ = digits()[0].take(slice(None))
print(hashlib.sha256(elastic(20, 2)(images, np.random.default_rng(0)).tobytes()).hexdigest())
"""
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: shift(-1), ValueError, "shift: max_pixels must be at least 0, got -1"),
        (lambda: shift(10**400), ValueError, "shift: max_pixels must be below 2**31, got 1000"),
        (lambda: shift(1.5), TypeError, "shift: max_pixels must be an integer, got 1.5"),  # type: ignore[arg-type]
        (lambda: rotate(-5), ValueError, "affine: max_degrees must be finite and at least 0 and below 1e+06, got -5"),
        (
            lambda: rotate(float("inf")),
            ValueError,
            "affine: max_degrees must be finite and at least 0 and below 1e+06, got inf",
        ),
        (
            lambda: rotate(10**400),
            ValueError,
            f"affine: max_degrees must be finite and at least 0 and below 1e+06, got 1{'0' * 75} ...",
        ),
        (
            lambda: scale(-(10**400)),
            ValueError,
            "affine: max_fraction must be finite and at least 0 and below 1, got -1",
        ),
        (lambda: affine(max_shear=10**400), ValueError, "affine: max_shear must be finite"),
        (lambda: elastic(1, 10**400), ValueError, "elastic: sigma must be finite"),
        (lambda: shift(np.ones(2)), TypeError, "shift: max_pixels must be an integer, got array([1., 1.])"),  # type: ignore[arg-type]
        (lambda: rotate("5"), TypeError, "affine: max_degrees must be a number, got '5'"),  # type: ignore[arg-type]
        (lambda: scale(1), ValueError, "affine: max_fraction must be finite and at least 0 and below 1, got 1"),
        (lambda: affine(max_pixels=True), TypeError, "affine: max_pixels must be a number, got True"),
        (
            lambda: affine(max_shear=float("nan")),
            ValueError,
            "affine: max_shear must be finite and at least 0 and below 1e+06, got nan",
        ),
        (lambda: elastic(-1, 4), ValueError, "elastic: alpha must be finite and at least 0 and below 1e+06, got -1"),
        (lambda: elastic(1, 0), ValueError, "elastic: sigma must be finite and at least 0.1 and below 1000, got 0"),
        (lambda: compose(3), TypeError, "compose: each step must be a function of images and rng, got 3"),  # type: ignore[arg-type]
    ],
)
def test_wrong_bounds_are_answered(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize("name", ["shift", "affine", "elastic"])
@pytest.mark.parametrize(
    ("images", "rng", "error", "message"),
    [
        (
            noise((2, 1, 4, 4)).astype(float),
            np.random.default_rng(0),
            TypeError,
            "must be a float32 array, got dtype float64",
        ),
        ([[0.0]], np.random.default_rng(0), TypeError, r"images must be a float32 array, got \[\[0.0\]\]"),
        (noise((4, 4)), np.random.default_rng(0), ValueError, r"images must be \(N, C, H, W\), got shape \(4, 4\)"),
        (noise((2, 1, 0, 4)), np.random.default_rng(0), ValueError, r"got shape \(2, 1, 0, 4\)"),
        (noise((2, 1, 4, 4)), 0, TypeError, "rng must be a numpy.random.Generator, got 0; make one with"),
    ],
)
def test_wrong_images_and_generators_are_answered(
    name: str, images: Any, rng: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{name}: .*{message}"):
        STEPS[name](images, rng)
