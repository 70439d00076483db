"""The page in a real Chromium: its engine computes what Python does, and it asks nobody for anything."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import launch, needs_chromium

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn
from tinygrad_cnn.autograd.tensor import grad
from tinygrad_cnn.interop.trace import trace
from tinygrad_cnn.page import page_text, shipped_weights
from tinygrad_cnn.page.program import PARAMETERS

ENGINE = Path(tg.__file__).parent / "page" / "engine.js"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = launch(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def encoded(array):
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


RUN = """
const [image, k] = arguments, bytes = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const text = (data) => {
  let letters = "";
  for (let at = 0, all = bytes(data); at < all.length; at += 8192) {
    letters += String.fromCharCode(...all.subarray(at, at + 8192));
  }
  return btoa(letters);
};
const x = new Float32Array(bytesOf(image).buffer), { network } = window;
const gradients = Object.fromEntries([...network.gradients(x, k)].map(([name, { data }]) => [name, text(data)]));
return { scores: text(network.forward(x)), pixels: text(network.gradient(x, k)), gradients, input: network.input };
"""


def assert_engine_agrees(browser, tmp_path, model, image_shape, seed=0):
    """Compare the scores of an image, and the gradient of one of them for the image and every parameter."""
    path = tmp_path / "net.html"
    tg.to_page(model, path, image_shape)
    browser.get(path.as_uri())
    image = np.random.default_rng(seed).random(image_shape, np.float32)
    x = tg.Tensor(image[None], requires_grad=True)
    scores = model.eval()(x)
    k = scores.shape[1] // 2
    named = dict(model.named_parameters())
    expected = grad(scores[0, k], [x, *named.values()])
    answer = browser.execute_script(RUN, encoded(image), k)
    assert_close(decoded(answer["scores"]), scores.data[0], "scores")
    assert_close(decoded(answer["pixels"]), expected[0].data[0], "pixels")
    for name, gradient in zip(named, expected[1:], strict=True):
        assert_close(decoded(answer["gradients"][name]), gradient.data, name)


def assert_close(actual, expected, name):
    expected = np.ravel(expected)
    assert actual.shape == expected.shape, name
    np.testing.assert_allclose(
        actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(initial=1e-3), err_msg=name
    )


def randomised(model, seed):
    """The model with parameters and running statistics away from their first values."""
    rng = np.random.default_rng(seed)
    for name, t in model._named_tensors():
        if t.dtype.kind == "f":
            noise = rng.normal(0, 0.1, t.shape).astype(t.dtype)
            t.writable()[...] = np.abs(t.data + noise) + 0.1 if name.endswith("running_var") else t.data + noise
    return model


@needs_chromium
@pytest.mark.parametrize("name", models.RECIPES)
def test_the_engine_agrees_on_every_named_network(browser, tmp_path, name):
    model = randomised(models.build(name, rng=np.random.default_rng(1)), 2)
    if name == "primer":  # its first weights saturate the last sigmoid, and 1 - a then has few digits in float32
        for p in model.parameters():
            p.writable()[...] *= 0.3
    assert_engine_agrees(browser, tmp_path, model, model.image_shape)


class Residual(nn.Module):
    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


class Formula(nn.Module):
    def __init__(self, formula):
        self.w = nn.Parameter(np.linspace(0.2, 1, 12, dtype=np.float32).reshape(3, 4))
        self.formula = formula

    def forward(self, x):
        return self.formula(x, self.w)


LAYERS = {
    "strides, borders, dilation, groups": lambda: nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2), nn.GELU(), nn.Flatten(),
        nn.Linear(198, 5),
    ),
    "overlapping pools": lambda: nn.Sequential(
        nn.Conv2d(4, 3, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.Tanh(), nn.AvgPool2d(2, 1, 1), nn.Flatten(),
        nn.Linear(75, 4), nn.Softmax(-1),
    ),
    "pools that reach over the edge": lambda: nn.Sequential(
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.LeakyReLU(0.2), nn.AvgPool2d(2, 2, ceil_mode=True),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.Flatten(), nn.Linear(16, 3),
    ),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2), nn.GELU("tanh"),
        nn.AdaptiveAvgPool2d((3, 5)), nn.Flatten(), nn.Linear(60, 3), nn.BatchNorm1d(3),
    ),
    "residual": lambda: nn.Sequential(
        Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3),
    ),
}  # fmt: skip

FORMULAS = {
    "matmul": lambda x, w: x.mean((2, 3)) @ w.T @ w,
    "indexing": lambda x, w: tg.concatenate([x[:, 1, ::2, 3], x[:, -1, 2, ::-1], x[:, 0, 1:3, None, 5][:, :, 0]], 1)
    @ tg.concatenate([w, w, w, w, w[:2]], 0),
    "axes": lambda x, w: (x.transpose(0, 2, 3, 1).reshape(-1, 64, 4) @ w.T).sum(1),
    "arithmetic": lambda x, w: ((x.mean((2, 3)) * w[0] - w[1]) / w[2]).exp() + (-x.sum((2, 3))).abs().sqrt(),
    "powers": lambda x, w: (x.sum((2, 3)) ** w[0]).log() + (w[1] ** 2 + 2 ** x.mean((2, 3))).erf().clip(0.1, 0.9),
    "broadcast": lambda x, w: tg.pad(
        x[:, :, :2, :2] * w[:, 1].broadcast_to((4, 3)).sum(1).reshape(4, 1, 1), 1
    ).sum((2, 3)),
    "log_softmax": lambda x, w: tg.log_softmax(tg.sigmoid(x).mean((2, 3)) @ w.T, 1),
    "softmax of places": lambda x, w: (
        tg.softmax(x, 2)[:, :, 1, 2] + tg.stack([x[:, 0, 0, :4], x[:, 1, 0, :4]], 1)[:, 1] * w[0]
    ),
}  # fmt: skip


@needs_chromium
@pytest.mark.parametrize("name", LAYERS)
def test_the_engine_agrees_on_layers_with_all_settings(browser, tmp_path, name):
    assert_engine_agrees(browser, tmp_path, randomised(LAYERS[name](), 3), (4, 8, 8))


@needs_chromium
@pytest.mark.parametrize("name", FORMULAS)
def test_the_engine_agrees_on_formulas(browser, tmp_path, name):
    assert_engine_agrees(browser, tmp_path, Formula(FORMULAS[name]), (4, 8, 8))


def test_the_list_of_ops_is_the_engines():
    table = ENGINE.read_text("utf-8").split("const OPS = {")[1].split("\n};")[0]
    assert sorted(re.findall(r"^  (\w+)[:,]", table, re.MULTILINE)) == sorted(PARAMETERS)


def test_every_op_of_the_engine_was_compared():
    networks = [(layer(), (4, 8, 8)) for layer in LAYERS.values()]
    networks += [(Formula(formula), (4, 8, 8)) for formula in FORMULAS.values()]
    networks += [(model, model.image_shape) for model in map(models.build, models.RECIPES)]
    names = {op.name for model, shape in networks for op in trace("test", model, shape).ops}
    assert set(PARAMETERS) - names == {"astype"}, "float64 stays float32 in the page"


REFUSED = {
    "where": (lambda x, w: tg.where(np.ones(3, bool), x.mean((2, 3))[:, :3] @ w[:, :3], 0.0), "the op where "),
    "arrays": (lambda x, w: x.max((2, 3)) @ w.T, "getitem: the page takes integers and slices"),
    "batch": (lambda x, w: x[:2].mean((2, 3)) @ w.T, "getitem"),
    "rank": (lambda x, w: x * w[0, 0], "scores of shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_page_cannot_run_is_refused_by_name(tmp_path, name):
    formula, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"to_page: .*{message}"):
        tg.to_page(Formula(formula), tmp_path / "net.html", (4, 8, 8))
    assert not list(tmp_path.iterdir())


def test_statistics_of_the_batch_are_refused(tmp_path):
    model = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(ValueError, match="to_page: the page cannot run the op batch_norm"):
        tg.to_page(model, tmp_path / "net.html", (1, 4, 4))


@pytest.mark.parametrize("shape", [None, (28, 28), (0, 1, 2, 3)])
def test_image_shapes_are_checked(tmp_path, shape):
    with pytest.raises(ValueError, match="image_shape"):
        tg.to_page(nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), tmp_path / "net.html", shape)


def test_class_names_are_checked(tmp_path):
    with pytest.raises(ValueError, match="to_page: class_names must be 10 names, got 1"):
        tg.to_page(models.build("primer"), tmp_path / "net.html", class_names=["one"])


def test_the_page_with_the_shipped_network_is_one_small_file():
    text = page_text(tg.load(shipped_weights()))
    assert len(text.encode()) <= 1_000_000
    assert re.findall(r"(?:src|href|url\()\s*=?\s*['\"]?(?!data:)(?:https?:)?//\S+", text) == []
