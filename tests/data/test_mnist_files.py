"""mnist() and load_folder() read what is in MNIST's format, find it in the promised order, and refuse the rest."""

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinygrad_cnn.data import DataError, fashion_mnist, load_folder, mnist, read_idx

Writer = Callable[[NDArray[np.generic]], bytes]
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.delenv("TINYGRAD_CNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        mnist(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_real_files_are_read(mnist_folder: Path) -> None:
    train, test = mnist(mnist_folder)
    assert repr(train) == "Dataset(60,000 images of 1x28x28, 10 classes)"
    assert repr(test) == "Dataset(10,000 images of 1x28x28, 10 classes)"
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert round(train.pixels.mean() / 255, 4) == 0.1307  # the mean that every MNIST recipe quotes
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_sizes_and_counts_are_the_files_own(small_folder: Path) -> None:
    train, test = load_folder(small_folder)
    assert repr(train) == "Dataset(12 images of 1x6x4, 3 classes)"
    assert repr(test) == "Dataset(5 images of 1x6x4, 3 classes)"
    np.testing.assert_array_equal(train.pixels[:, 0], read_idx(small_folder / NAMES[0]))


@pytest.mark.parametrize("read", [mnist, fashion_mnist])
def test_mnist_has_ten_classes_whichever_labels_there_are(small_folder: Path, idx_bytes: Writer, read: Any) -> None:
    assert [part.num_classes for part in read(small_folder)] == [10, 10]
    for name, count in ((NAMES[3], 5), (NAMES[1], 12)):
        labels = np.arange(count, dtype=np.uint8) % 3
        labels[1] |= 0x80  # one flipped bit
        (small_folder / name).write_bytes(idx_bytes(labels))
        assert refusal(small_folder) == f"{small_folder / name}: label 129, but the classes are 0 to 9"


def test_a_string_names_a_folder_too(small_folder: Path) -> None:
    assert len(fashion_mnist(str(small_folder))[0]) == 12


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_plain_zipped_and_dotted_names_are_all_read(small_folder: Path, dotted: bool, zipped: bool) -> None:
    expected = load_folder(small_folder)
    for name in NAMES:
        content = (small_folder / name).read_bytes()
        (small_folder / name).unlink()
        target = name.replace("-idx", ".idx") if dotted else name
        path = small_folder / (target + ".gz" if zipped else target)
        path.write_bytes(gzip.compress(content) if zipped else content)
    for part, same in zip(load_folder(small_folder), expected, strict=True):
        np.testing.assert_array_equal(part.pixels, same.pixels)
        np.testing.assert_array_equal(part.labels, same.labels)


def test_colour_images_have_four_dimensions(small_folder: Path, idx_bytes: Writer) -> None:
    for name, count in (("train", 12), ("t10k", 5)):
        (small_folder / f"{name}-images-idx3-ubyte").unlink()
        colour = np.zeros((count, 3, 6, 4), np.uint8)
        (small_folder / f"{name}-images-idx4-ubyte").write_bytes(idx_bytes(colour))
    assert load_folder(small_folder)[0].image_shape == (3, 6, 4)


def test_mapped_images_are_the_same_and_stay_on_disk(small_folder: Path) -> None:
    read, mapped = load_folder(small_folder)[0], load_folder(small_folder, memmap=True)[0]
    np.testing.assert_array_equal(mapped.pixels, read.pixels)
    assert holds_a_memmap(mapped.pixels)
    rest, held = mapped.split(4, np.random.default_rng(0))
    assert len(rest) + len(held) == 12
    np.testing.assert_array_equal(mapped.take(np.array([7, 2]))[0], read.images[[7, 2]])


def holds_a_memmap(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_missing_files_are_all_named(small_folder: Path) -> None:
    (small_folder / NAMES[0]).unlink()
    (small_folder / NAMES[3]).unlink()
    assert refusal(small_folder) == f"{small_folder}: lacks {NAMES[0]}, {NAMES[3]} (plain or .gz)"


@pytest.mark.parametrize("name", ["nowhere", "a-file"])
def test_what_is_not_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    assert refusal(tmp_path / name) == f"{tmp_path / name}: is not a folder"


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        (NAMES[0], np.zeros((12, 6, 4), np.int8), f"{NAMES[0]}: holds int8, images and labels are uint8"),
        (NAMES[1], np.zeros(12, np.int32), f"{NAMES[1]}: holds int32, images and labels are uint8"),
        (NAMES[0], np.zeros((12, 24), np.uint8), f"{NAMES[0]}: has 2 dimensions, images have 3"),
        (NAMES[0], np.zeros((12, 1, 1, 6, 4), np.uint8), f"{NAMES[0]}: has 5 dimensions, images have 3"),
        (NAMES[1], np.zeros((12, 3), np.uint8), f"{NAMES[1]}: has 2 dimensions, labels have 1"),
        (NAMES[1], np.zeros(11, np.uint8), f"{NAMES[1]}: 11 labels for the 12 images of {NAMES[0]}"),
        (NAMES[2], np.zeros((5, 6, 5), np.uint8), "training images are (1, 6, 4), test images (1, 6, 5)"),
        (NAMES[3], np.full(5, 3, np.uint8), f"{NAMES[3]}: label 3, but the classes are 0 to 2"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    small_folder: Path, idx_bytes: Writer, name: str, values: NDArray[np.generic], complaint: str
) -> None:
    (small_folder / name).write_bytes(idx_bytes(values))
    with pytest.raises(DataError, match=re.escape(complaint)):
        load_folder(small_folder)


def test_swapped_images_and_labels_are_recognised(small_folder: Path) -> None:
    images, labels = small_folder / NAMES[0], small_folder / NAMES[1]
    shutil.move(images, small_folder / "aside")
    shutil.move(labels, images)
    shutil.move(small_folder / "aside", labels)
    assert refusal(small_folder) == f"{images}: holds labels, and {labels.name} holds images: they are swapped"


def test_a_damaged_file_is_named(small_folder: Path) -> None:
    (small_folder / NAMES[1]).write_bytes(b"<html>")
    assert refusal(small_folder).startswith(f"{small_folder / NAMES[1]}: is not an IDX file")


def test_the_environment_names_the_folder(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(small_folder))
    assert len(mnist()[0]) == 12


@pytest.mark.parametrize(("load", "name"), [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")])
def test_the_environments_subfolder_comes_first(
    small_folder: Path, idx_bytes: Writer, monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any], name: str
) -> None:
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(small_folder))
    shutil.copytree(small_folder, small_folder / name)
    (small_folder / name / NAMES[2]).write_bytes(idx_bytes(np.zeros((2, 6, 4), np.uint8)))
    (small_folder / name / NAMES[3]).write_bytes(idx_bytes(np.zeros(2, np.uint8)))
    assert len(load()[1]) == 2


def test_the_cache_is_used_where_the_environment_has_nothing(
    small_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path_factory.mktemp("home")
    shutil.copytree(small_folder, cache / "tinygrad-cnn" / "fashion-mnist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(small_folder))  # MNIST's names, but no subfolder: not fashion
    assert len(fashion_mnist()[0]) == 12


def test_a_half_filled_folder_of_the_environment_is_an_error_not_a_download(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_folder / NAMES[2]).unlink()
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(small_folder))
    with pytest.raises(DataError, match=f"lacks {NAMES[2]}"):
        mnist()
