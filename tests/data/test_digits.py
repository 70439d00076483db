"""The embedded digits are the published ones, divided once and for all."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn.data as data
from tinygrad_cnn.data import digits


def test_sizes_levels_and_classes() -> None:
    train, test = digits()
    for part, count in ((train, 1437), (test, 360)):
        assert part.images.shape == (count, 1, 8, 8)
        assert part.labels.shape == (count,)
        assert part.num_classes == 10
        assert np.unique(part.images).tolist() == [level / 16 for level in range(17)]


def test_every_class_has_its_share_of_both_parts() -> None:
    train, test = digits()
    in_train, in_test = np.bincount(train.labels), np.bincount(test.labels)
    np.testing.assert_allclose(in_test, (in_train + in_test) * 360 / 1797, atol=1)


def test_the_split_never_changes() -> None:
    train, test = digits()
    content = b"".join(part.pixels.tobytes() + part.labels.astype(np.uint8).tobytes() for part in (train, test))
    assert hashlib.sha256(content).hexdigest() == "28d636f2f47ec885bab6c1d883c883cd3f85cb5f6d0f1457558c6b672cc71adf"


def test_together_the_parts_are_the_set_that_scikit_learn_ships() -> None:
    source = pytest.importorskip("sklearn.datasets").load_digits()
    train, test = digits()
    ours = sorted(
        (image.tobytes(), label)
        for part in (train, test)
        for image, label in zip(part.pixels, part.labels, strict=True)
    )
    theirs = sorted(
        (image.tobytes(), label) for image, label in zip(source.images.astype(np.uint8), source.target, strict=True)
    )
    assert ours == theirs


def test_importing_the_package_of_data_loads_numpy_and_nothing_heavier() -> None:
    code = "import sys, tinygrad_cnn.data; print({'scipy', 'pooch', 'requests', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_exists_and_is_documented() -> None:
    assert sorted(data.__all__) == data.__all__
    assert all(getattr(data, name).__doc__ for name in data.__all__)
