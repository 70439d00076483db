"""Networks as C in integers of 8 bits: near Python's numbers, and about as accurate."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from c_nets import OPS, images_of, random_network, trained_tiny
from c_programs import functions_of, python_scores, run_all

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.interop.c import to_c
from tinygrad_cnn.interop.c.library import library

MNIST = os.environ.get("TINYGRAD_CNN_DATA") or str(Path(__file__).resolve().parents[2] / "shared" / "mnist")


def test_every_op_in_integers_is_near_pythons_numbers(tmp_path):
    kinds = {name: net for name, net in OPS.items() if can_be_int8(*net, tmp_path / "attempt.c")}
    assert len(kinds) > 40
    images, expected = {}, {}
    for name, (model, shape) in kinds.items():
        x = images_of(shape, n=20)
        to_c(model, tmp_path / f"net_{name}.c", shape, int8=True, calibration=x)
        expected[f"net_{name}"] = python_scores(model, x)
        images[f"net_{name}"] = x, expected[f"net_{name}"].shape[1]
    scores = run_all(tmp_path, images)
    for name in images:
        spread = np.ptp(expected[name])
        rms = np.sqrt(((scores[name] - expected[name]) ** 2).mean()) / spread
        assert rms < (0.15 if name == "net_logarithm" else 0.01), (name, rms)  # steep near 0, where bytes are coarse
    used = set.union(*(functions_of(tmp_path / f"{name}.c") for name in images))
    integer = {name for name, f in library("int8").items() if "int8_t" in f.text}
    assert not integer - used, "no test has these functions"


def can_be_int8(model, shape, path):
    try:
        to_c(model, path, shape, int8=True, calibration=images_of(shape))
    except ValueError as error:
        assert "no form in integers" in str(error)
        return False
    return True


@pytest.mark.parametrize("part", range(3))
def test_random_networks_in_integers_are_near(part, tmp_path):
    images, expected = {}, {}
    for seed in range(10 * part, 10 * part + 10):
        model, shape = random_network(seed)
        x, name = images_of(shape, n=20), f"net_{seed}"
        to_c(model, tmp_path / f"{name}.c", shape, int8=True, calibration=x)
        images[name], expected[name] = (x, 5), python_scores(model, x)
    scores = run_all(tmp_path, images)
    for name in images:
        rms = np.sqrt(((scores[name] - expected[name]) ** 2).mean()) / np.ptp(expected[name])
        assert rms < 0.02, (name, rms)


def test_images_beyond_the_calibration_saturate_and_no_number_is_zero(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False, rng=np.random.default_rng(0)))
    to_c(model, tmp_path / "net.c", (1, 2, 2), int8=True, calibration=np.random.default_rng(0).random((99, 1, 2, 2)))
    x = np.array([[1, 1, 1, 1], [9, 1e30, np.inf, 3], [0, 0, 0, 0], [np.nan, -1, -np.inf, -1e30]], np.float32)
    ones, large, zeros, small = run_all(tmp_path, {"net": (x.reshape(4, 1, 2, 2), 2)})["net"]
    np.testing.assert_array_equal(ones, large)
    np.testing.assert_array_equal(zeros, small)


@pytest.mark.parametrize("low", [0.0, 3.0])
def test_constant_images_and_weights_of_zeros(low, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    for p in model.parameters():
        p.writable()[...] = 0 if p.data.ndim > 1 else 0.5
    x = np.full((5, 1, 4, 4), low, np.float32)
    to_c(model, tmp_path / "net.c", (1, 4, 4), int8=True, calibration=x)
    np.testing.assert_allclose(run_all(tmp_path, {"net": (x, 2)})["net"], 0.5, 1e-5)


def test_tiny_in_integers_is_as_small_as_it_should_be(tmp_path):
    model = trained_tiny()
    calibration = np.random.default_rng(0).random((20, 1, 28, 28), np.float32)
    sizes = to_c(model, tmp_path / "net.c", int8=True, calibration=calibration)
    assert sizes.weight_bytes <= 2500 and sizes.buffer_bytes <= 16_000
    code = (tmp_path / "net.c").read_text().partition("#ifdef NET_MAIN")[0]
    assert "expf" not in code and "static const float" in code, "floats at the two ends only"
    functions = re.findall(r"(?m)^static void (\w+)\([^)]*float[^)]*\)", code)
    assert set(functions) == {"quantise", "fully_connected_scores"}


def test_integers_are_about_as_accurate_on_digits(tmp_path):
    train, test = tg.data.digits()
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, bias=False, rng=rng), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 10, rng=rng),
    )  # fmt: skip
    tg.fit(model, train, epochs=2, batch_size=32, lr=0.01, rng=rng)
    to_c(model, tmp_path / "net.c", (1, 8, 8), int8=True, calibration=train[:300])
    scores = run_all(tmp_path, {"net": (test.images, 10)}, ["-O1"])["net"]
    accuracy = (scores.argmax(1) == test.labels).mean()
    expected = (python_scores(model, test.images).argmax(1) == test.labels).mean()
    assert expected > 0.9 and accuracy > expected - 0.01


@pytest.mark.slow
def test_tiny_trained_on_mnist_keeps_its_accuracy_in_integers(tmp_path):
    if not Path(MNIST).is_dir():
        pytest.skip("MNIST is not here: TINYGRAD_CNN_DATA")
    train, test = tg.data.mnist(MNIST)
    model = trained_tiny()
    to_c(model, tmp_path / "float32.c")
    rows = np.random.default_rng(0).permutation(len(train))[:500]
    sizes = to_c(model, tmp_path / "int8.c", int8=True, calibration=train[rows])
    images = {"float32": (test.images, 10), "int8": (test.images, 10)}
    scores = run_all(tmp_path, images, ["-O2"])
    accuracies = [float((scores[name].argmax(1) == test.labels).mean()) for name in images]
    assert accuracies[0] >= 0.989 and accuracies[1] >= 0.988
    assert sizes.weight_bytes <= 2500 and sizes.buffer_bytes <= 16_000


@pytest.mark.parametrize("op", ["divide", "matmul", "power", "transposed", "softmax_inside"])
def test_what_integers_cannot_do_is_refused_by_name(op, tmp_path):
    inside = nn.Sequential(nn.Linear(5, 4), nn.Softmax(-1), nn.Linear(4, 3))
    model, shape = OPS[op] if op != "softmax_inside" else (inside, (5,))
    with pytest.raises(ValueError, match=r"to_c: \w+ in .*cannot be written: it has no form in integers of 8 bits"):
        to_c(model, tmp_path / "net.c", shape, int8=True, calibration=images_of(shape))
    assert not list(tmp_path.iterdir())
