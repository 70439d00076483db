"""A Dataset holds bytes, hands out floats, and shares what it holds with its subsets."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinygrad_cnn.data import Dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 3, 5), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
INDEXES = st.one_of(
    st.integers(-10, 9),
    st.slices(10),
    st.lists(st.integers(-10, 9)),
    st.lists(st.booleans(), min_size=10, max_size=10),
)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(PIXELS, LABELS)


def test_images_are_the_pixels_scaled_to_one(dataset: Dataset) -> None:
    assert dataset.images.dtype == np.float32
    assert dataset.images.flags.c_contiguous
    np.testing.assert_array_equal(dataset.images, (PIXELS[:, None] / np.float32(255)).astype(np.float32))


@pytest.mark.parametrize("full_scale", [1, 16, 255])
def test_full_scale_is_exactly_one(full_scale: int) -> None:
    levels = np.arange(full_scale + 1, dtype=np.uint8)
    images = Dataset(levels[:, None, None], np.zeros(len(levels), int), full_scale=full_scale).images
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.all(np.diff(images.ravel()) > 0)


def test_labels_are_a_copy_in_int64(dataset: Dataset) -> None:
    labels = [2, 0, 1]
    given_labels = np.array(labels)
    held = Dataset(PIXELS[:3], given_labels)
    given_labels[:] = 0
    assert held.labels.dtype == np.int64
    assert held.labels.tolist() == labels


def test_repr_is_one_short_line(dataset: Dataset) -> None:
    assert repr(dataset) == "Dataset(10 images of 1x3x5, 4 classes)"
    assert repr(dataset[:1]).startswith("Dataset(1 image of 1x3x5, ")


def test_colour_images_keep_their_channels() -> None:
    colour = Dataset(np.zeros((2, 3, 4, 5), np.uint8), [0, 1])
    assert colour.image_shape == (3, 4, 5)
    assert colour.images.shape == (2, 3, 4, 5)


@given(index=INDEXES)
def test_indexing_chooses_images_and_labels_together(index: Any) -> None:
    chosen = Dataset(PIXELS, LABELS)[index]
    rows = np.atleast_1d(np.arange(10)[index if not isinstance(index, list) or index else []])
    np.testing.assert_array_equal(chosen.pixels, PIXELS[rows, None])
    np.testing.assert_array_equal(chosen.labels, LABELS[rows])
    assert chosen.num_classes == 4
    assert len(chosen) == len(rows)


@given(first=st.slices(10), data=st.data())
def test_a_subset_of_a_subset_counts_from_the_subset(first: slice, data: st.DataObject) -> None:
    outer = Dataset(PIXELS, LABELS)[first]
    second = data.draw(st.slices(len(outer)))
    np.testing.assert_array_equal(outer[second].pixels, PIXELS[first][second][:, None])


@given(first=st.slices(10), data=st.data())
def test_take_agrees_with_images_and_has_the_batch_innermost(first: slice, data: st.DataObject) -> None:
    subset = Dataset(PIXELS, LABELS)[first]
    rows: NDArray[np.int64] | slice = data.draw(st.slices(len(subset)))
    images, labels = subset.take(rows)
    np.testing.assert_array_equal(images, subset.images[rows])
    np.testing.assert_array_equal(labels, subset.labels[rows])
    assert images.transpose(1, 2, 3, 0).flags.c_contiguous


def test_iterating_ends_after_the_last_image(dataset: Dataset) -> None:
    assert [int(one.labels[0]) for one in dataset] == LABELS.tolist()  # type: ignore[attr-defined]


@given(size=st.one_of(st.integers(1, 9), st.floats(0.06, 0.94)), seed=st.integers(0, 2**32))
def test_split_divides_the_whole_without_repetition(size: float, seed: int) -> None:
    tagged = Dataset(np.arange(10, dtype=np.uint8)[:, None, None], LABELS)
    rest, held = tagged.split(size, np.random.default_rng(seed))
    assert len(held) == (size if isinstance(size, int) else round(size * 10))
    assert sorted([*rest.pixels.ravel(), *held.pixels.ravel()]) == list(range(10))
    again = tagged.split(size, np.random.default_rng(seed))
    np.testing.assert_array_equal(again[1].pixels, held.pixels)


def test_split_depends_on_the_generator(dataset: Dataset) -> None:
    splits = {dataset.split(5, np.random.default_rng(seed))[1].pixels.tobytes() for seed in range(5)}
    assert len(splits) > 1


@pytest.mark.parametrize(
    ("pixels", "labels", "options", "error", "message"),
    [
        (PIXELS.astype(float), LABELS, {}, ValueError, r"floats must be in \[0, 1\], got 0 to 2"),
        (PIXELS / -255.0, LABELS, {}, ValueError, r"floats must be in \[0, 1\]"),
        (PIXELS * np.nan, LABELS, {}, ValueError, r"floats must be in \[0, 1\], got nan"),
        (PIXELS.astype(np.int32), LABELS, {}, TypeError, "a uint8, uint16 or float array, got dtype int32"),
        ([[[0]]], [0], {}, TypeError, r"pixels must be a uint8, uint16 or float array, got \[\[\[0\]\]\]"),
        (np.zeros((5, 48, 64, 3), np.uint8), LABELS[:5], {}, ValueError, "channels seem to be last"),
        (PIXELS, LABELS, {"class_names": ["a", "b"]}, ValueError, r"label 3 is outside 0\.\.1"),
        (PIXELS, LABELS, {"class_names": ["a", "b", "c", "a"]}, ValueError, "class_names has 'a' twice"),
        (PIXELS, LABELS, {"class_names": [0, 1, 2, 3]}, TypeError, "class_names must be texts"),
        (PIXELS, LABELS, {"class_names": ["a"], "num_classes": 4}, ValueError, "has 1 name for 4 classes"),
        (PIXELS[0], LABELS, {}, ValueError, r"pixels must be \(N, H, W\) or \(N, C, H, W\), got shape \(3, 5\)"),
        (PIXELS[:, :0], LABELS, {}, ValueError, r"got shape \(10, 0, 5\)"),
        (PIXELS, LABELS[:9], {}, ValueError, r"10 images, but 9 labels \(pixels.shape=\(10, 3, 5\)"),
        (PIXELS, LABELS / 1, {}, TypeError, "labels must be integers, got dtype float64"),
        (PIXELS, LABELS > 0, {}, TypeError, "labels must be integers, got dtype bool"),
        (PIXELS, np.eye(10, dtype=int), {}, ValueError, r"one number an image, \(N,\), got shape \(10, 10\)"),
        (PIXELS, -LABELS, {}, ValueError, "label -3 is negative"),
        (PIXELS, LABELS, {"num_classes": 3}, ValueError, r"label 3 is outside 0\.\.2"),
        (PIXELS, LABELS, {"num_classes": 4.0}, TypeError, "num_classes must be an integer, got 4.0"),
        (PIXELS, LABELS, {"full_scale": 16}, ValueError, "above full_scale=16"),
        (PIXELS, LABELS, {"full_scale": 0}, ValueError, "full_scale must be at least 1, got 0"),
        (PIXELS, LABELS, {"full_scale": 256}, ValueError, "full_scale must be below 256, got 256"),
        (PIXELS, LABELS, {"full_scale": True}, TypeError, "full_scale must be an integer, got True"),
    ],
)
def test_wrong_contents_are_answered(
    pixels: Any, labels: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^Dataset: .*{message}"):
        Dataset(pixels, labels, **options)


@pytest.mark.parametrize("index", [1.0, "a", None, (1, 2), [[1]], ..., [0.5], [[1], [1, 2]]])
def test_an_index_of_another_kind_is_a_type_error(dataset: Dataset, index: Any) -> None:
    with pytest.raises(TypeError, match="Dataset: index must be an integer, a slice, integers or booleans, got "):
        dataset[index]
    with pytest.raises(TypeError, match="Dataset: index must be an integer, a slice, integers or booleans, got "):
        dataset.take(index)


@pytest.mark.parametrize("index", [10, -11, [0, 10], [True], 2**63, [0, -(2**63) - 1], 10**400])
def test_an_index_out_of_range_is_an_index_error(dataset: Dataset, index: Any) -> None:
    with pytest.raises(IndexError, match=r"^Dataset: "):
        dataset[index]
    with pytest.raises(IndexError, match=r"^Dataset: "):
        dataset.take(index)


def test_labels_that_are_no_row_of_numbers_are_answered() -> None:
    pixels = np.zeros((2, 1, 1), np.uint8)
    with pytest.raises(ValueError, match=r"^Dataset: labels must be one number an image, .* got a ragged list$"):
        Dataset(pixels, [[1], [1, 2]])
    with pytest.raises(ValueError, match=f"^Dataset: label {2**63} is above those of int64$"):
        Dataset(pixels, [2**63, 2**63])


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "size must be at least 1, got 0"),
        (10, ValueError, "size 10 of 10 images leaves one part empty"),
        (0.01, ValueError, "size 0.01 of 10 images leaves one part empty"),
        (1.0, ValueError, "size as a fraction must be finite and at least 0 and below 1, got 1.0"),
        (float("nan"), ValueError, "size as a fraction must be finite and at least 0 and below 1, got nan"),
        (True, TypeError, "size must be an integer, got True"),
        ("half", TypeError, "size must be an integer, got 'half'"),
    ],
)
def test_a_split_that_cannot_be_is_answered(dataset: Dataset, size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^split: {message}"):
        dataset.split(size, np.random.default_rng(0))


def test_split_wants_a_generator(dataset: Dataset) -> None:
    with pytest.raises(TypeError, match=r"^split: rng must be a numpy.random.Generator, got 0; make one with"):
        dataset.split(3, 0)  # type: ignore[arg-type]
