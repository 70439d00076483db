"""Networks as C: every op, every named network and random ones give Python's numbers, under sanitizers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_nets import MAPS, OPS, images_of, norm2d, random_network
from c_programs import SANITIZERS, Function, compile_c, compiler, functions_of, python_scores, run_all

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.cli import main
from tinygrad_cnn.interop.c import to_c
from tinygrad_cnn.interop.c.library import library

FILES = Path(__file__).parent / "files"
MNIST = os.environ.get("TINYGRAD_CNN_DATA") or str(Path(__file__).resolve().parents[2] / "shared" / "mnist")
SLOW_NAMES = {"nielsen-dropout", "photo", "best", "fast"}  # a million numbers, which a compiler reads for seconds
NAMED = [pytest.param(name, marks=pytest.mark.slow if name in SLOW_NAMES else ()) for name in tg.models.RECIPES]

# Floats ---------------------------------------------------------------------------------------------------------------


def exported(folder, networks, **kwargs):
    """The networks' files in a folder; their images and Python's scores, by name."""
    images, expected = {}, {}
    for name, (model, shape) in networks.items():
        x = images_of(shape)
        to_c(model, folder / f"net_{name}.c", shape, **kwargs)
        expected[f"net_{name}"] = python_scores(model, x)
        images[f"net_{name}"] = x, expected[f"net_{name}"].shape[1]
    return images, expected


def test_every_op_gives_pythons_numbers(tmp_path):
    images, expected = exported(tmp_path, OPS)
    scores = run_all(tmp_path, images)
    for name in images:
        np.testing.assert_allclose(scores[name], expected[name], 1e-5, 1e-5, err_msg=name)
    used = set.union(*(functions_of(tmp_path / f"{name}.c") for name in images))
    missing = set(library("float")) - used - {"Geometry", "shares"}  # which a program alone has
    assert not missing, "no test has these functions"


@pytest.mark.parametrize("part", range(3))
def test_random_networks_give_pythons_scores(part, tmp_path):
    images, expected = exported(tmp_path, {seed: random_network(seed) for seed in range(10 * part, 10 * part + 10)})
    scores = run_all(tmp_path, images)
    for name in images:
        np.testing.assert_allclose(scores[name], expected[name], 1e-5, 1e-5, err_msg=name)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_network_gives_pythons_scores(name, tmp_path):
    shape = {"digits": (1, 8, 8), "photo": (3, 32, 32)}.get(name, (1, 28, 28))
    rng = np.random.default_rng(0)
    model = tg.models.build(name, shape, rng=rng)
    state = model.state_dict()
    for key, values in state.items():  # of batch normalisation too, as training leaves them
        if values.dtype.kind == "f":
            state[key] = values + abs(rng.normal(0, 0.02, values.shape))
    model.load_state_dict(state)
    x = rng.random((3, *shape), np.float32)
    sizes = to_c(model, tmp_path / "net.c")
    scores = run_all(tmp_path, {"net": (x, 10)})["net"]
    np.testing.assert_allclose(scores, python_scores(model, x), 1e-5, 1e-5)
    count = sum(p.data.size for p in model.parameters())
    assert sizes.weight_bytes <= 4 * count + 80, "bias=False layers get one where batch normalisation is folded"


def test_a_network_of_doubles_is_written_in_floats(tmp_path):
    model = nn.Sequential(nn.Linear(12, 3, rng=np.random.default_rng(0)))
    x = images_of((12,))
    expected = python_scores(model, x)
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    to_c(model, tmp_path / "net.c", (12,))
    np.testing.assert_allclose(run_all(tmp_path, {"net": (x, 3)})["net"], expected, 1e-6)


def test_no_number_and_infinity_go_through(tmp_path):
    layers = [nn.Conv2d(1, 2, 3, rng=np.random.default_rng(0)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    x = np.zeros((2, 1, 6, 6), np.float32)
    x[0, 0, 1, 1], x[1, 0, 4, 4] = np.nan, np.inf
    to_c(nn.Sequential(*layers), tmp_path / "net.c", (1, 6, 6))
    np.testing.assert_array_equal(
        np.isfinite(run_all(tmp_path, {"net": (x, 8)})["net"]), np.isfinite(python_scores(nn.Sequential(*layers), x))
    )


# The file -------------------------------------------------------------------------------------------------------------


def test_the_file_tells_its_sizes(tmp_path):
    model = trained_tiny()
    sizes = to_c(model, tmp_path / "net.c")
    head = (tmp_path / "net.c").read_text().partition("*/")[0]
    assert re.findall(r"(\S+) +([\d,]+)(?: bytes| for)", head) == [
        ("weights", f"{sizes.weight_bytes:,}"),
        ("buffers", f"{sizes.buffer_bytes:,}"),
        ("multiply-adds", f"{sizes.multiply_adds:,}"),
    ]
    summary = tg.models.summarize(model, (1, 28, 28))
    assert sizes.multiply_adds == sum(row.multiply_adds for row in summary)
    assert sizes.weight_bytes == 4 * (72 + 3 * 576 + 80 + 4 * 8 + 10)
    assert sizes.buffer_bytes == 4 * 8 * (26**2 + 24**2), "the two largest arrays that live at one time"


def test_buffers_are_shared_over_lifetimes_and_elementwise_ops_write_in_place(tmp_path):
    layers = [layer for _ in range(6) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())]
    sizes = to_c(nn.Sequential(*layers, nn.Flatten()), tmp_path / "net.c", MAPS)
    assert sizes.buffer_bytes == 4 * 2 * 4 * 6 * 5


def test_batch_normalisation_and_padding_are_folded(tmp_path):
    pad = Function(lambda net, x: tg.pad(x, 1))
    model = nn.Sequential(pad, nn.Conv2d(4, 4, 3, bias=False), norm2d(4), nn.ReLU(), nn.Flatten())
    to_c(model, tmp_path / "net.c", MAPS)
    assert functions_of(tmp_path / "net.c") == {"first_tap", "end_tap", "correlate2d", "relu"}


def test_nothing_but_expf_is_needed(tmp_path):
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("there is no nm")
    for name, (model, shape) in OPS.items():
        to_c(model, tmp_path / f"net_{name}.c", shape)
    sources = [f"net_{name}.c" for name in OPS]
    subprocess.run([compiler(), "-std=c99", "-fno-builtin", "-c", *sources], cwd=tmp_path, check=True, timeout=100)
    symbols = subprocess.run([nm, "-u", *(s.replace(".c", ".o") for s in sources)], cwd=tmp_path, capture_output=True)
    needed = set(re.findall(r"\bU (\w+)", symbols.stdout.decode()))
    assert needed - {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"} == {"expf"}


def test_the_header_is_for_cpp_too_and_the_name_is_the_files(tmp_path):
    to_c(nn.Linear(3, 2), tmp_path / "my-net 2.c", (3,))
    header = (tmp_path / "my-net 2.h").read_text()
    assert "void my_net_2(const float *image, float *scores);" in header
    to_c(nn.Linear(3, 2), tmp_path / "net.c", (3,), name="classify")
    (tmp_path / "use.cpp").write_text(
        '#include "net.h"\nint main() { float x[3] = {0, 0, 0}, y[2]; classify(x, y); }\n'
    )
    if shutil.which("c++"):
        compile_c(tmp_path, ["-c", "net.c"], "net.o")
        subprocess.run(["c++", "-Wall", "-Werror", "use.cpp", "net.o"], cwd=tmp_path, check=True, timeout=100)


def test_names_of_layers_and_classes_cannot_break_the_file(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2))
    model.__dict__["for"] = model[0]
    odd = Function(lambda net, x: net.a(x), a=nn.Linear(3, 2))
    odd.extra_repr = lambda: "*/ int main; /* \\ ??/"
    to_c(odd, tmp_path / "net.c", (3,))
    network = tg.models.network.as_network(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 'a */ "b"', (1, 2, 2))
    network.image_spec = tg.data.ImageSpec((1, 2, 2), ('a "b" \\n %s ??/', "é\n"), "pad", 0.0)
    to_c(network, tmp_path / "odd.c")
    compile_c(tmp_path, ["net.c"], "net", "-DNET_MAIN")
    compile_c(tmp_path, ["odd.c"], "odd", "-DODD_MAIN")
    output = subprocess.run([tmp_path / "odd"], input=b"P5 2 2 255\n" + bytes(4), capture_output=True, check=True)
    assert output.stdout.decode().startswith('a "b" \\n %s ??/: ') and "é\n: " in output.stdout.decode()


# The program ----------------------------------------------------------------------------------------------------------


def run_program(folder, image, *arguments):
    return subprocess.run([folder / "net", *arguments], input=image, capture_output=True, timeout=60)


def shares_of(output):
    return [float(n) for n in re.findall(r"(?m): (\d+\.\d) %$", output.decode())]


@pytest.mark.parametrize("name", ["tiny", "article"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_program_prints_each_class_s_share(name, channels, tmp_path):
    model = tg.models.build(name, (channels, 28, 20), 7, rng=np.random.default_rng(2)).eval()
    to_c(model, tmp_path / "net.c")
    compile_c(tmp_path, ["net.c"], "net", "-DNET_MAIN", *SANITIZERS)
    pixels = np.random.default_rng(0).integers(0, 256, (28, 20, channels), np.uint8)
    picture = f"P{'5' if channels == 1 else '6'}\n# a comment\n20 28\n255\n".encode() + pixels.tobytes()
    images = np.moveaxis(pixels, 2, 0)[None] / np.float32(255)
    expected = model.probabilities(model(tg.Tensor(images))).data[0] * 100
    for done in (run_program(tmp_path, picture), run_program(tmp_path, b"", write(tmp_path / "image", picture))):
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(shares_of(done.stdout), expected, atol=0.051)


def write(path, content):
    path.write_bytes(content)
    return path


def test_the_program_refuses_what_is_no_such_image(tmp_path):
    to_c(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), tmp_path / "net.c", (1, 2, 3))
    compile_c(tmp_path, ["net.c"], "net", "-DNET_MAIN", *SANITIZERS)
    good = b"P5 3 2 255\n" + bytes(6)
    assert run_program(tmp_path, good).returncode == 0
    for bad in (
        b"",
        b"P",
        b"P5",
        good[:-1],
        b"P6 3 2 255\n" + bytes(18),
        b"P5 2 3 255\n" + bytes(6),
        b"P5 3 2 0\n......",
        b"P5 3 2 65535\n" + bytes(12),
        b"P5 # 3 2 255",
        b"P5 99999999999999999999 2 255\n",
        b"P5 -3 2 255\n",
    ):
        done = run_program(tmp_path, bad)
        assert (
            done.returncode == 2 and b"standard input: cannot be read; needed is a PGM file (P5) of 3x2" in done.stderr
        )
    assert run_program(tmp_path, b"", "/nowhere/image").returncode == 2


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(-1), Function(lambda net, x: tg.log_softmax(x))])
def test_the_program_of_images_that_are_no_picture_reads_floats(last, tmp_path):
    model = nn.Sequential(nn.Linear(4, 3, rng=np.random.default_rng(0)), last)
    to_c(model, tmp_path / "net.c", (4,))
    compile_c(tmp_path, ["net.c"], "net", "-DNET_MAIN", *SANITIZERS)
    x = images_of((4,), n=1)
    expected = tg.softmax(model[0](tg.Tensor(x))).data[0] * 100
    np.testing.assert_allclose(shares_of(run_program(tmp_path, x.tobytes()).stdout), expected, atol=0.051)
    assert run_program(tmp_path, x.tobytes()[:-1]).returncode == 2


# Refusals -------------------------------------------------------------------------------------------------------------


def refused(model, shape, tmp_path, **kwargs):
    with pytest.raises(ValueError) as caught:
        to_c(model, tmp_path / "net.c", shape, **kwargs)
    assert not list(tmp_path.iterdir())
    return str(caught.value)


@pytest.mark.parametrize(
    "layer, message",
    [
        (Function(lambda n, x: tg.where(np.ones((1, 6, 5), bool), x, 0.0)), r"where in 1 Function\(.*condition"),
        (nn.BatchNorm2d(4, track_running_stats=False), r"batch_norm in 1 BatchNorm2d\(4.*running statistics"),
        (Function(lambda n, x: x.max(1)), r"getitem in 1 Function\(\).*index depends on the images"),
        (Function(lambda n, x: tg.correlate2d(x, x[:1])), "weights depend on the image|another batch|changes"),
        (Function(lambda n, x: tg.dropout(x, 0.5)), "dropout in 1 Function"),
    ],
)
def test_what_cannot_be_written_is_refused_by_op_and_layer(layer, message, tmp_path):
    text = refused(nn.Sequential(nn.ReLU(), layer), MAPS, tmp_path)
    assert text.startswith("to_c: ") and re.search(message, text), text


def test_a_network_that_computes_differently_for_one_image_is_refused(tmp_path):
    model = Function(lambda net, x: x if len(x.data) > 1 else x * 2.0)
    assert "other steps for one image" in refused(model, (3,), tmp_path)


@pytest.mark.parametrize("op", ["divide", "matmul", "power", "transposed", "softmax_inside"])
def test_what_integers_cannot_do_is_refused_by_name(op, tmp_path):
    inside = nn.Sequential(nn.Linear(5, 4), nn.Softmax(-1), nn.Linear(4, 3))
    model, shape = OPS[op] if op != "softmax_inside" else (inside, (5,))
    text = refused(model, shape, tmp_path, int8=True, calibration=images_of(shape))
    assert re.match(r"to_c: \w+ in .*cannot be written: it has no form in integers of 8 bits", text), text


def test_wrong_arguments_are_refused(tmp_path):
    model, x = nn.Linear(3, 2), np.zeros((2, 3), np.float32)
    assert "image_shape is needed" in refused(model, None, tmp_path)
    assert "must end in .c" in refused_path(model, tmp_path / "net.cc")
    assert "there is no folder" in refused_path(model, tmp_path / "none" / "net.c")
    assert "go together" in refused(model, (3,), tmp_path, int8=True)
    assert "go together" in refused(model, (3,), tmp_path, calibration=x)
    for wrong in (x[:, :2], x[0], x[:0], x.astype(int)):
        assert "calibration must be floats of shape (N, 3)" in refused(
            model, (3,), tmp_path, int8=True, calibration=wrong
        )
    for name in ("", "2nd", "exp", "int", "class", "relu", "a-b", "image", "é"):
        assert "name must be one that a function of C can have" in refused(model, (3,), tmp_path, name=name)
    assert "NaN or infinity" in refused(model, (3,), tmp_path, int8=True, calibration=np.full((2, 3), np.nan))
    with pytest.raises(TypeError, match="model must be a Module"):
        to_c(print, tmp_path / "net.c", (3,))


def refused_path(model, path):
    with pytest.raises(ValueError) as caught:
        to_c(model, path, (3,))
    return str(caught.value)


# Integers -------------------------------------------------------------------------------------------------------------


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


def trained_tiny():
    """The network of the recipe, trained on MNIST."""
    model = tg.models.build("tiny")
    with np.load(FILES / "tiny_mnist.npz") as state:
        model.load_state_dict(dict(state))
    return model


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


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_c(tmp_path, capsys):
    model = tg.models.build("tiny", (1, 8, 8), rng=np.random.default_rng(0))
    tg.save(model, tmp_path / "net.npz")
    weights, target = str(tmp_path / "net.npz"), str(tmp_path / "net.c")
    assert main(["export", weights, target]) == 0
    assert re.search(r"net\.c: tiny, image \(1, 8, 8\), 10 scores; [\d,]+ bytes of weights", capsys.readouterr().out)
    assert main(["export", weights, target, "--int8", "--dataset", "digits"]) == 0
    assert "int8_t" in (tmp_path / "net.c").read_text()
    assert main(["export", weights, str(tmp_path / "net.onnx"), "--int8"]) != 0
    assert "--int8 goes with a .c file" in capsys.readouterr().err
    assert main(["export", weights, str(tmp_path / "net.d")]) != 0
    assert "must end in .onnx or .c" in capsys.readouterr().err
