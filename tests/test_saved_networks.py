"""A network of this library's layers comes back from its file without its code, with all that prediction needs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.data.spec import ImageSpec
from tinygrad_cnn.models import as_network
from tinygrad_cnn.models.architecture import describe, restore
from tinygrad_cnn.models.network import log_loss, quadratic_cost_of_labels

BOOLS = st.booleans()


@st.composite
def layers(draw):
    """Layers that keep images of 4 channels and at least 5x5 pixels what they are, then some that end in scores."""
    pair = st.tuples(st.integers(1, 2), st.integers(1, 2))
    kinds = {
        "conv": lambda: nn.Conv2d(4, 4, draw(pair), dilation=draw(pair), groups=draw(st.sampled_from([1, 2, 4])),
                                  bias=draw(BOOLS), padding=draw(st.sampled_from([1, "same", (1, 2)]))),
        "transpose": lambda: nn.ConvTranspose2d(4, 4, draw(pair), bias=draw(BOOLS), groups=2),
        "norm": lambda: nn.BatchNorm2d(4, eps=draw(st.floats(1e-5, 0.1)), affine=draw(BOOLS),
                                       track_running_stats=draw(BOOLS)),
        "max": lambda: nn.MaxPool2d(2, stride=1, padding=draw(st.integers(0, 1)), ceil_mode=draw(BOOLS)),
        "mean": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=draw(BOOLS)),
        "leaky": lambda: nn.LeakyReLU(draw(st.floats(0, 1))),
        "gelu": lambda: nn.GELU(draw(st.sampled_from(["none", "tanh"]))),
        "function": lambda: draw(st.sampled_from([tg.relu, tg.sigmoid, tg.tanh, tg.gelu])),
        "dropout": lambda: nn.Dropout(draw(st.floats(0, 0.9))),
        "normalize": lambda: nn.Normalize(draw(st.sampled_from([0.5, [0.1, 0.2, 0.3, 0.4]])), draw(st.just(0.25)))
        if draw(BOOLS) else nn.Identity(),
    }  # fmt: skip
    names = draw(st.lists(st.sampled_from(sorted(kinds)), max_size=4))
    made = []
    for name in names:
        try:
            made.append(kinds[name]())
        except ValueError:
            made.append(nn.ReLU())
    if draw(BOOLS) and made:
        made.append(made[0])  # one layer in two places
    inner = nn.Sequential(*made)
    return nn.Sequential(inner, nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(16, 3))


@given(layers(), BOOLS)
def test_any_sequential_comes_back_with_its_layers_and_its_numbers(tmp_path_factory, model, doubled):
    if doubled:
        model.astype(np.float64)
    x = tg.Tensor(np.random.default_rng(0).random((2, 4, 7, 6)))
    model(x)  # moves running statistics
    path = tmp_path_factory.mktemp("net") / "net.npz"
    tg.save(model, path)
    twin = tg.load(path)
    model.eval()
    assert repr(twin) == repr(model)
    np.testing.assert_array_equal(twin(x).data, model(x).data)
    assert [p.dtype for p in twin.parameters()] == [p.dtype for p in model.parameters()]
    shared = len(list(model.parameters()))
    assert len(list(twin.parameters())) == shared


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


@pytest.mark.parametrize("layer", [Doubling(), nn.Sequential(Doubling()), lambda x: x, nn.ModuleList([nn.ReLU()])])
def test_layers_of_ones_own_have_no_description(layer):
    assert describe(nn.Sequential(nn.Linear(2, 2), layer)) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class": "Linear", "settings": {"in_features": 10**6, "out_features": 10**6}}, "more numbers"),
        ({"class": "Conv2d", "settings": {"in_channels": 9, "out_channels": 9, "kernel_size": [99999, 9]}}, "numbers"),
        ({"class": "Module", "settings": {}}, "no layer"),
        ({"class": "os.system", "settings": {}}, "no layer"),
        ({"class": ["x"], "settings": {}}, "no layer"),
        ({"function": "eval"}, "no function"),
        ({"class": "Linear", "settings": {"in_features": -1, "out_features": 2}}, "in_features must be"),
        ({"class": "Linear", "settings": {"evil": 1}}, "damaged"),
        ({"class": "Linear"}, "damaged"),
        (3, "damaged"),
    ],
)
def test_a_damaged_description_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        restore({"class": "Sequential", "layers": [spec]}, 1000)


def test_a_description_that_nests_without_end_is_refused():
    spec = {"class": "ReLU", "settings": {}}
    for _ in range(200):
        spec = {"class": "Sequential", "layers": [spec]}
    with pytest.raises(ValueError, match="too long"):
        restore(spec, 1000)


def trained(names=("cat", "dog"), **options):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 3, 8, 9), dtype=np.uint8)
    dataset = tg.data.Dataset(pixels, np.arange(20) % 2, class_names=names)
    model = nn.Sequential(nn.Normalize(*dataset.mean_and_std()), nn.Flatten(), nn.Linear(3 * 8 * 9, 2, rng=rng))
    tg.fit(model, dataset, epochs=1, progress="none", rng=rng, **options)
    return model, dataset


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_fit_saw_of_the_images_is_saved_with_the_weights(tmp_path, suffix):
    model, dataset = trained()
    path = tmp_path / f"net{suffix}"
    tg.save(model, path)
    assert tg.load(path).image_spec == dataset.spec == ImageSpec((3, 8, 9), ("cat", "dog"), "pad", None)


def test_a_checkpoint_keeps_the_images_facts_too(tmp_path):
    _, dataset = trained(checkpoint=tmp_path / "run.npz")
    loaded = tg.load(tmp_path / "run.npz")
    assert loaded.image_spec == dataset.spec and isinstance(loaded[0], nn.Normalize)


@pytest.mark.parametrize(
    "facts",
    [None, 3, {}, {"shape": [1, 2], "class_names": [], "fit": "pad", "paper": None},
     {"shape": [1, 2, 2], "class_names": [1], "fit": "pad", "paper": None},
     {"shape": [1, 2, 2], "class_names": ["a"], "fit": "x", "paper": None},
     {"shape": [1, 2, 2], "class_names": ["a"], "fit": "pad", "paper": 1}],
)  # fmt: skip
def test_damaged_facts_about_images_are_refused(facts):
    with pytest.raises(ValueError):
        ImageSpec.from_dict(json.loads(json.dumps(facts)))


def test_normalisation_belongs_to_the_network_in_evaluation_too():
    rng = np.random.default_rng(0)
    images = rng.random((50, 2, 3, 3), np.float32) * np.array([1, 0.1]).reshape(2, 1, 1) + 0.1
    dataset = tg.data.Dataset(np.clip(images, 0, 1).astype(np.float32), np.arange(50) % 2)
    mean, std = dataset.mean_and_std()
    layer = nn.Normalize(mean, std)
    for mode in (True, False):
        y = layer.train(mode)(tg.Tensor(dataset.images)).data
        np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-5)
    assert not list(layer.parameters())


@pytest.mark.parametrize(("mean", "std"), [(0, 0), (0, -1), ([1, 2], [1]), (np.nan, 1), (0, np.inf), ([[1]], [[1]])])
def test_a_normalisation_without_meaning_is_refused(mean, std):
    with pytest.raises(ValueError, match=r"^Normalize: "):
        nn.Normalize(mean, std)


def test_a_named_network_with_normalisation_is_made_anew(tmp_path):
    model = tg.models.build("fast", (3, 28, 28), 4, normalize=([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]))
    tg.save(model, tmp_path / "net.npz")
    twin = tg.load(tmp_path / "net.npz")
    x = tg.Tensor(np.random.default_rng(0).random((2, 3, 28, 28), np.float32))
    np.testing.assert_array_equal(model.eval()(x).data, twin(x).data)
    assert twin.name == "fast" and twin.num_classes == 4


@pytest.mark.parametrize(
    ("last", "cost"),
    [
        (nn.Identity(), tg.cross_entropy),
        (nn.Softmax(), log_loss),
        (nn.Sigmoid(), quadratic_cost_of_labels),
    ],
)
def test_any_classifier_becomes_a_network_whose_scores_are_understood(last, cost):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), last)
    network = as_network(model, "own", (1, 2, 2))
    assert network.cost is cost and network.num_classes == 3 and network.class_names == ("0", "1", "2")
    scores = network(tg.Tensor(np.random.default_rng(0).random((5, 1, 2, 2))))
    np.testing.assert_allclose(network.probabilities(scores).data.sum(1), 1, rtol=1e-6)
    assert model.training


def test_what_does_not_take_the_images_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^own: does not take images of shape \(1, 3, 3\)"):
        as_network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), "own", (1, 3, 3))
    with pytest.raises(ValueError, match=r"^own: must give scores"):
        as_network(nn.Sequential(nn.ReLU()), "own", (1, 3, 3))


def test_log_loss_is_the_cross_entropy_of_the_softmax():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(6, 4)), rng.integers(0, 4, 6)
    np.testing.assert_allclose(
        log_loss(tg.softmax(tg.Tensor(scores)), labels).item(), tg.cross_entropy(tg.Tensor(scores), labels).item()
    )
