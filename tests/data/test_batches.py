"""Batches cover every image once an epoch, repeat bit for bit from a seed or a state, and leave no thread behind."""

import json
import threading
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinygrad_cnn.data import (
    Augmentation,
    Batches,
    Dataset,
    affine,
    batches,
    compose,
    elastic,
    load_folder,
)

Floats = NDArray[np.float32]
Batch = tuple[Floats, NDArray[np.int64]]

JITTER: Augmentation = compose(affine(max_pixels=1, max_degrees=20), elastic(alpha=8, sigma=2))


def numbered(count: int) -> Dataset:
    """Make a data set whose labels are its row numbers."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 3), dtype=np.uint8)
    return Dataset(pixels, np.arange(count))


def labels_of(epoch: Iterable[Batch]) -> list[list[int]]:
    return [labels.tolist() for _, labels in epoch]


def assert_same(one: Iterable[Batch], other: Iterable[Batch]) -> None:
    for (images, labels), (same_images, same_labels) in zip(one, other, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(labels, same_labels)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


sizes = {"count": st.integers(1, 30), "size": st.integers(1, 12), "seed": st.integers(0, 2**32), "ahead": st.booleans()}


@given(**sizes)
def test_an_epoch_hands_out_every_image_once(count: int, size: int, seed: int, ahead: bool) -> None:
    stream = batches(numbered(count), size, rng=np.random.default_rng(seed), prefetch=ahead)
    epoch = labels_of(stream)
    assert sorted(label for labels in epoch for label in labels) == list(range(count))
    assert [len(labels) for labels in epoch[:-1]] == [size] * (len(stream) - 1)
    assert len(epoch) == len(stream)


@given(**sizes)
def test_drop_last_leaves_out_only_a_smaller_batch(count: int, size: int, seed: int, ahead: bool) -> None:
    size = min(size, count)
    stream = batches(numbered(count), size, rng=np.random.default_rng(seed), drop_last=True, prefetch=ahead)
    assert [len(labels) for labels in labels_of(stream)] == [size] * (count // size)
    assert len(stream) == count // size


def test_images_belong_to_their_labels_and_have_the_batch_innermost() -> None:
    dataset = numbered(20)
    for images, labels in batches(dataset, 7, rng=np.random.default_rng(0)):
        np.testing.assert_array_equal(images, dataset.images[labels])
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        assert images.transpose(1, 2, 3, 0).flags.c_contiguous


def test_without_shuffling_the_order_is_the_data_sets_own() -> None:
    stream = batches(numbered(5), 2, shuffle=False)
    assert labels_of(stream) == labels_of(stream) == [[0, 1], [2, 3], [4]]


def test_each_epoch_has_an_order_and_changes_of_its_own() -> None:
    stream = batches(numbered(30), 30, rng=np.random.default_rng(0), augment=JITTER)
    (first, order), (second, other) = next(iter(stream)), next(iter(stream))
    assert order.tolist() != other.tolist()
    assert not np.array_equal(first[np.argsort(order)], second[np.argsort(other)])


def test_each_batch_is_changed_in_its_own_way() -> None:
    same = Dataset(np.repeat(numbered(1).pixels, 4, axis=0), [0, 0, 0, 0])
    first, second = (images for images, _ in batches(same, 2, rng=np.random.default_rng(0), augment=JITTER))
    assert not np.array_equal(first, second)


def test_the_same_seed_gives_the_same_bits() -> None:
    streams = [batches(numbered(30), 7, rng=np.random.default_rng(3), augment=JITTER) for _ in range(2)]
    for _ in range(3):
        assert_same(*streams)


def test_without_a_generator_every_run_is_another() -> None:
    assert labels_of(batches(numbered(30), 30)) != labels_of(batches(numbered(30), 30))


def test_a_thread_does_not_change_the_numbers() -> None:
    plain, ahead = (
        batches(numbered(30), 7, rng=np.random.default_rng(3), augment=JITTER, prefetch=prefetch)
        for prefetch in (False, True)
    )
    for _ in range(3):
        assert_same(plain, ahead)


@given(
    count=st.integers(1, 20),
    size=st.integers(1, 7),
    shuffle=st.booleans(),
    ahead=st.booleans(),
    epochs=st.integers(0, 2),
    data=st.data(),
)
def test_a_state_resumes_with_the_same_bits(
    count: int, size: int, shuffle: bool, ahead: bool, epochs: int, data: st.DataObject
) -> None:
    def stream(seed: int) -> Batches:
        rng = np.random.default_rng(seed)
        return batches(numbered(count), size, shuffle=shuffle, rng=rng, augment=JITTER, prefetch=ahead)

    original, resumed = stream(1), stream(2)
    for _ in range(epochs):
        list(original)
    running = iter(original)
    list(islice(running, data.draw(st.integers(0, len(original)))))
    resumed.load_state_dict(json.loads(json.dumps(original.state_dict())))
    assert_same(running, resumed)
    assert_same(original, resumed)


def test_a_state_taken_after_an_epoch_starts_the_next_one() -> None:
    original, resumed = (batches(numbered(9), 2, rng=np.random.default_rng(seed)) for seed in (1, 2))
    list(original)
    resumed.load_state_dict(original.state_dict())
    assert len(list(resumed)) == 5


def test_leaving_an_epoch_early_starts_the_next_one() -> None:
    left, whole = (batches(numbered(9), 2, rng=np.random.default_rng(1)) for _ in range(2))
    next(iter(left))
    list(whole)
    assert_same(left, whole)


def test_an_older_iterator_does_not_disturb_the_newer_ones_state() -> None:
    stream = batches(numbered(9), 2, rng=np.random.default_rng(1))
    older, newer = iter(stream), iter(stream)
    next(newer)
    before = stream.state_dict()
    list(older)
    assert stream.state_dict() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_size": 3}, ValueError, "the state has batch_size=3, these batches have 2"),
        ({"images": 8}, ValueError, "the state has images=8, these batches have 9"),
        ({"shuffle": 0}, ValueError, "the state has shuffle=0, these batches have 1"),
        ({"drop_last": 1}, ValueError, "the state has drop_last=1, these batches have 0"),
        ({"position": 6}, ValueError, "position 6 is beyond the epoch's 5 batches"),
        ({"position": -1}, ValueError, "position must be at least 0, got -1"),
        ({"epoch": 0.5}, TypeError, "epoch must be an integer, got 0.5"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    stream = batches(numbered(9), 2, rng=np.random.default_rng(1))
    before = stream.state_dict()
    with pytest.raises(error, match=f"^load_state_dict: {message}"):
        stream.load_state_dict(before | change)
    assert stream.state_dict() == before


def test_a_state_names_what_it_lacks() -> None:
    stream = batches(numbered(9), 2)
    with pytest.raises(ValueError, match=r"^load_state_dict: the state of batches lacks epoch, position$"):
        stream.load_state_dict({key: 1 for key in stream.state_dict() if key not in ("epoch", "position")})


def test_the_next_batch_is_made_while_this_one_is_used() -> None:
    made = threading.Semaphore(0)

    def counting(images: Floats, rng: np.random.Generator) -> Floats:
        made.release()
        return images.copy()

    stream = iter(batches(numbered(9), 2, augment=counting, prefetch=True))
    next(stream)
    assert made.acquire(timeout=10)
    assert made.acquire(timeout=10)  # the second, although only the first was asked for
    assert not made.acquire(timeout=0.05)  # and no third: one batch ahead, no more


def test_leaving_a_prefetched_epoch_early_ends_its_thread() -> None:
    for _ in batches(numbered(9), 2, prefetch=True):
        assert len(threads()) == 1
        break
    assert threads() == []


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_in_the_augmentation_reaches_the_consumer(ahead: bool) -> None:
    def failing(images: Floats, rng: np.random.Generator) -> Floats:
        if 3 in images.shape[:1]:
            raise RuntimeError("no more")
        return images

    seen = []
    with pytest.raises(RuntimeError, match="no more"):
        for _, labels in batches(numbered(11), 4, shuffle=False, augment=failing, prefetch=ahead):
            seen.append(labels.tolist())
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert threads() == []


def test_an_error_in_the_consumer_ends_the_thread() -> None:
    with pytest.raises(RuntimeError, match="mine"):
        for _ in batches(numbered(9), 2, prefetch=True):
            raise RuntimeError("mine")
    assert threads() == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda images, rng: images.astype(float), r"float64 \(2, 1, 4, 3\)"),
        (lambda images, rng: images[:1], r"float32 \(1, 1, 4, 3\)"),
        (lambda images, rng: None, "None"),
    ],
)
def test_an_augmentation_that_returns_something_else_is_named(changed: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"^batches: augment must return float32 \(2, 1, 4, 3\), got {message}$"):
        next(iter(batches(numbered(4), 2, augment=changed)))


def test_batches_of_a_mapped_file_equal_those_of_a_read_one(small_folder: Path) -> None:
    read, mapped = (
        batches(load_folder(small_folder, memmap=memmap)[0], 5, rng=np.random.default_rng(0))
        for memmap in (False, True)
    )
    assert_same(read, mapped)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((numbered(4), 0), ValueError, "batch_size must be at least 1, got 0"),
        ((numbered(4), -3), ValueError, "batch_size must be at least 1, got -3"),
        ((numbered(4), 2.0), TypeError, "batch_size must be an integer, got 2.0"),
        ((numbered(4), True), TypeError, "batch_size must be an integer, got True"),
        ((numbered(4), np.array(2.0)), TypeError, r"batch_size must be an integer, got array\(2\.\)"),
        ((numbered(4), "2"), TypeError, "batch_size must be an integer, got '2'"),
        ((numbered(4)[:0], 2), ValueError, "no batch of 2 from 0 images"),
        (((numbered(4), numbered(4)), 2), TypeError, r"dataset must be a Dataset, got \(Dataset\(4 images"),
    ],
)
def test_wrong_arguments_are_answered(arguments: tuple[Any, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^batches: {message}"):
        batches(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got 0; make one with"),
        ({"rng": np.random.RandomState(0)}, TypeError, "rng must be a numpy.random.Generator, got RandomState"),
        ({"augment": 3}, TypeError, "augment must be a function of images and rng, got 3"),
        ({"shard": True}, TypeError, "shard must be a function of the number of images, got True"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"drop_last": None}, TypeError, "drop_last must be True or False, got None"),
        ({"prefetch": "yes"}, TypeError, "prefetch must be True or False, got 'yes'"),
        ({"drop_last": True, "batch_size": 5}, ValueError, "no batch of 5 from 4 images"),
    ],
)
def test_wrong_options_are_answered(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^batches: {message}"):
        batches(numbered(4), options.pop("batch_size", 2), **options)
