"""The named networks: their sizes against hand counts, their shapes against what they really give, their recipes."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn
from tinygrad_cnn.data import Dataset
from tinygrad_cnn.models import RECIPES, Builder, build, output_shape, summarize
from tinygrad_cnn.training.evaluate import evaluate

MNIST = os.environ.get("TINYGRAD_CNN_DATA") or str(Path(__file__).resolve().parents[2] / "shared" / "mnist")

# Parameters and multiply-adds for one 28x28 image, counted by hand from the layers.
NIELSEN = (20 * 26 + 40 * 501 + 641 * 100 + 1010, 24**2 * 500 + 8**2 * 20_000 + 64_000 + 1_000)
BY_HAND = {
    "primer": (785 * 30 + 31 * 10, 784 * 30 + 300),
    "article": (272 + (16 * 24 * 24 + 1) * 30 + 310, 25 * 25 * 256 + 16 * 24 * 24 * 30 + 300),
    "lenet5": (156 + 2416 + 401 * 120 + 121 * 84 + 850, 28**2 * 150 + 10**2 * 2400 + 400 * 120 + 120 * 84 + 840),
    "nielsen": NIELSEN,
    "nielsen-sigmoid": NIELSEN,
    "nielsen-relu": NIELSEN,
    "nielsen-shifted": NIELSEN,
    "nielsen-dropout": (
        520 + 20_040 + 641_000 + 1_001_000 + 10_010, 24**2 * 500 + 8**2 * 20_000 + 640_000 + 1_000_000 + 10_000,
    ),
    "fast": (624 + 32 * 217 + 801 * 256 + 2570, 24**2 * 600 + 10**2 * 24 * 32 * 9 + 800 * 256 + 2560),
}  # fmt: skip


def random(name, shape=(1, 28, 28), classes=10, seed=0):
    return build(name, shape, classes, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", BY_HAND)
def test_a_summary_counts_what_one_counts_by_hand(name):
    rows = summarize(random(name), (1, 28, 28))
    assert (sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows)) == BY_HAND[name]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 17, 20), (1, 20, 21)])
def test_every_network_takes_images_of_every_size_and_its_summary_tells_each_shape(name, shape):
    network = random(name, shape, 7).eval()
    x = tg.Tensor(np.random.default_rng(0).random((2, *shape), np.float32))
    for row, layer in zip(summarize(network, shape), network, strict=True):
        x = layer(x)
        assert x.shape == (2, *row.output_shape), row
    assert x.shape == (2, 7)
    assert sum(r.parameters for r in summarize(network, shape)) == sum(p.size for p in network.parameters())


# What `summarize` and `output_shape` say is what a forward pass gives -------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.MaxPool2d(3, 2, dilation=2), (1, 3, 3)), (nn.ConvTranspose2d(1, 3, 2, stride=2), (3, 18, 18))],
    ids=repr,
)
def test_a_layers_output_shape_is_that_of_a_forward_pass(layer, shape):
    assert output_shape(layer, (1, 9, 9)) == shape == layer(tg.Tensor(np.zeros((5, 1, 9, 9)))).shape[1:]


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def layers(draw):
    """A layer for images of 4 channels, with settings that may not fit them."""
    kernel, stride, dilation, padding = draw(pairs), draw(pairs), draw(pairs), draw(st.integers(0, 2))
    groups, bias = draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    outputs = 4 * draw(st.integers(1, 2))
    extra = draw(st.integers(0, 2).filter(lambda n: all(n < max(s, d) for s, d in zip(stride, dilation, strict=True))))
    return draw(st.sampled_from([
        nn.Conv2d(4, outputs, kernel, stride, padding, dilation, groups, bias),
        nn.Conv2d(4, outputs, kernel, padding="same", groups=groups),
        nn.ConvTranspose2d(4, outputs, kernel, stride, padding, extra, groups, bias, dilation),
        nn.MaxPool2d(kernel, stride, min(padding, min(kernel) // 2), dilation),
        nn.AvgPool2d(kernel, stride, min(padding, min(kernel) // 2)),
        nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), nn.Softmax(1), nn.Flatten(), nn.Flatten(2),
        nn.Linear(7, outputs, bias), nn.Sequential(nn.Conv2d(4, 2, kernel), nn.Tanh(), nn.Flatten(1, 2)),
    ]))  # fmt: skip


@given(layer=layers(), rows=st.integers(1, 9))
def test_random_layers_output_shapes_are_those_of_a_forward_pass(layer, rows):
    state, images = layer.state_dict(), tg.Tensor(np.random.default_rng(0).random((3, 4, rows, 7), np.float32))
    try:
        expected = layer.eval()(images).shape
    except ValueError as error:
        with pytest.raises(ValueError) as caught:
            output_shape(layer, (4, rows, 7))
        assert "does not fit" in str(caught.value) and str(error).partition("(x.shape")[0] in str(caught.value)
        return
    layer.train()
    assert (3, *output_shape(layer, (4, rows, 7))) == expected
    assert summarize(layer, (4, rows, 7))[-1].output_shape == expected[1:]
    assert layer.training and all((layer.state_dict()[k] == a).all() for k, a in state.items()), "it ran in training"


@given(transposed=st.booleans(), kernel=pairs, stride=pairs, dilation=pairs, groups=st.sampled_from([1, 2]))
def test_multiply_adds_of_convolutions_are_the_products_that_are_summed(transposed, kernel, stride, dilation, groups):
    """Of an image and filters of ones, without padding, the sum of all results counts the products."""
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(2, 4, kernel, stride, groups=groups, bias=False, dilation=dilation)
    layer.weight.data[...] = 1
    products = layer(tg.Tensor(np.ones((1, 2, 8, 7), np.float32))).sum().item()
    assert summarize(layer, (2, 8, 7))[0].multiply_adds == products


class Attention(nn.Module):
    """Submodules called in another order than they are defined in, one twice, and products of the module's own."""

    def __init__(self):
        self.last = nn.Linear(6, 2)
        self.scale = nn.Parameter(np.ones((4, 6), np.float32))
        self.parts = [nn.Linear(6, 4, bias=False), nn.Dropout(0.5)]
        self.unused = nn.Linear(3, 1)

    def forward(self, x):
        project, drop = self.parts
        keys, queries = project(x), project(x=tg.relu(x))
        return self.last(drop(keys @ queries.swapaxes(1, 2)) @ x @ self.scale.T @ self.scale)


def test_any_module_is_summarized_in_the_order_of_its_calls():
    rows = summarize(Attention(), (5, 6))
    assert [(r.name, r.output_shape, r.parameters, r.multiply_adds) for r in rows] == [
        ("parts.0", (5, 4), 24, 5 * 6 * 4),
        ("parts.0", (5, 4), 0, 5 * 6 * 4),
        ("parts.1", (5, 5), 0, 0),
        ("last", (5, 2), 14, 5 * 6 * 2),
        ("", (5, 2), 24 + 4, 5 * 5 * 4 + 5 * 5 * 6 + 5 * 6 * 4 + 5 * 4 * 6),
    ]
    assert sum(r.parameters for r in rows) == sum(p.size for p in Attention().parameters())
    assert rows[3].layer == repr(nn.Linear(6, 2))


def test_a_module_that_does_not_fit_is_named_where_it_stands():
    with pytest.raises(ValueError, match=r"^Linear\(6, 2\) does not fit an input of shape \(5,\) \("):
        summarize(nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(6, 2))), (4,))
    with pytest.raises(TypeError, match="summarize: image_shape must be a tuple such as"):
        summarize(nn.ReLU(), 3)
    with pytest.raises(TypeError, match="summarize: a layer must return a Tensor, got None"):
        summarize(Returning(None), (3,))


class Returning(nn.Module):
    def __init__(self, value):
        self.value = value

    def forward(self, x):
        return self.value if self.value is None else {"scores": [x, x]}


def test_the_first_of_several_results_counts():
    assert summarize(Returning(1), (3, 2))[0].output_shape == (3, 2)


def test_tiny_is_tiny():
    assert sum(p.size for p in random("tiny").parameters()) < 2000


@pytest.mark.parametrize("name", RECIPES)
def test_first_values_and_chance_follow_from_the_generator(name):
    twins = random(name), random(name)
    a, b = (t.state_dict() for t in twins)
    assert all((a[k] == b[k]).all() for k in a)
    other = random(name, seed=1).state_dict()
    assert any((a[k] != other[k]).any() for k in a)
    x = tg.Tensor(np.random.default_rng(0).random((4, 1, 28, 28), np.float32))
    assert (twins[0](x).data == twins[1](x).data).all()


@pytest.mark.parametrize("activation", [tg.relu, tg.sigmoid, tg.tanh])
def test_pooling_before_a_monotonic_activation_is_the_same_as_after(activation):
    x = tg.Tensor(np.random.default_rng(0).standard_normal((3, 4, 10, 10)))
    before, after = activation(tg.maxpool(x, 2, stride=2)), tg.maxpool(activation(x), 2, stride=2)
    assert (before.data == after.data).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_a_few_steps_that_lower_its_cost(name):
    recipe, images = RECIPES[name], tg.data.digits()[0][:40]
    network = random(name, images.image_shape)
    optimizer = recipe.make_optimizer(network)
    before = evaluate(network, images, cost=recipe.cost).loss
    schedule = recipe.schedule and recipe.schedule(optimizer, 60)
    list(tg.train(network, images, epochs=15, batch_size=10, optimizer=optimizer, schedule=schedule, cost=recipe.cost,
             augment=recipe.augment, rng=np.random.default_rng(0)))  # fmt: skip
    assert evaluate(network, images, cost=recipe.cost).loss < before


def test_a_recipes_optimizer_can_be_overridden():
    fast = RECIPES["fast"]
    network = random("fast")
    adam = fast.make_optimizer(network)
    assert (type(adam).__name__, adam.lr, adam.betas) == ("Adam", fast.lr, (0.7, 0.9))
    assert fast.make_optimizer(network, lr=0.5).lr == 0.5
    sgd = fast.make_optimizer(network, "sgd", 0.1)
    assert (type(sgd).__name__, sgd.lr) == ("SGD", 0.1)


def test_nielsens_decay_is_lambda_over_the_number_of_batches():
    """His cost adds lambda / (2 batches) |w|^2; ours lambda / 2 |p|^2: 50,000 images in batches of 10."""
    assert RECIPES["nielsen-relu"].options == {"weight_decay": 0.1 / 5000}
    assert RECIPES["nielsen-shifted"].options == {"weight_decay": 0.1 / 25000}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "models: there is no model 'nobody'; there are digits, primer, article"),
        (("nielsen", (28, 28)), r"models: image_shape must be \(C, H, W\), got \(28, 28\)"),
        (("nielsen", (1, 0, 28)), "models: each of image_shape must be at least 1, got 0"),
        (("nielsen", (1, 28, 28), 0), "models: num_classes must be at least 1, got 0"),
        (("nielsen", (1, 3, 3)), r"MaxPool2d\(.*\) does not fit on maps of 1x1 pixels"),
        (
            ("nielsen", (1, 3, 3)),
            r"\(maxpool: the overlay \(2, 2\) is larger than the map \(x.shape=\(1, 40, 1, 1\)",
        ),
        (("nielsen", (1, 300, 28)), "models: named networks take images of at most 256x256 pixels, 64 channels"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)


def test_a_builder_has_the_shape_after_its_layers():
    builder = Builder((1, 28, 28), 10, np.random.default_rng(0))
    assert builder.conv(20, 5).shape == (20, 24, 24)
    assert builder.pool(2).relu().shape == (20, 12, 12)
    assert builder.flatten().scores().shape == (10,)
    assert [output_shape(layer, (20, 24, 24)) for layer in builder.layers[1:3]] == [(20, 12, 12), (20, 24, 24)]


@pytest.fixture(scope="module")
def mnist():
    if not os.path.isdir(MNIST):
        pytest.skip("MNIST is not here: TINYGRAD_CNN_DATA")
    return tg.data.mnist(MNIST)


@pytest.mark.slow
def test_nielsens_network_learns_mnist_in_one_epoch(mnist):
    train, test = mnist
    recipe = RECIPES["nielsen"]
    model_rng, order, _ = np.random.default_rng(0).spawn(3)
    network = build("nielsen", rng=model_rng)
    optimizer = recipe.make_optimizer(network)
    list(tg.train(network, train, epochs=1, batch_size=recipe.batch_size, optimizer=optimizer, rng=order,
             schedule=recipe.schedule(optimizer, 938)))  # fmt: skip
    assert evaluate(network, test).accuracy >= 0.98


def test_another_data_set_in_mnists_format_trains_without_edits(tmp_path):
    """Colour images of 20x24 pixels and 3 classes: class k is bright in channel k."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pixels = rng.integers(0, 60, (120, 3, 20, 24), dtype=np.uint8)
    pixels[np.arange(120), labels] += 120
    data = Dataset(pixels, labels)
    recipe = RECIPES["fast"]
    network = models.build("fast", data.image_shape, data.num_classes, rng=rng)
    list(tg.train(network, data[:90], epochs=3, batch_size=30, optimizer=recipe.make_optimizer(network), rng=rng))
    assert evaluate(network, data[90:]).accuracy > 0.9


def test_scores_become_shares_of_belief_as_the_networks_cost_means_them():
    scores = tg.Tensor([[0.1, 0.9, 0.0], [0.0, 0.0, 0.0]])
    activations, logits = (models.probabilities(random(name, classes=3), scores).data for name in ("primer", "fast"))
    np.testing.assert_allclose(activations, [[0.1, 0.9, 0.0], [1 / 3] * 3], rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal(logits, tg.softmax(scores).data)
    np.testing.assert_array_equal(models.probabilities(tg.nn.Linear(2, 3), scores).data, logits)


@pytest.mark.parametrize("name", RECIPES)
def test_a_network_has_its_recipes_cost(name):
    network = random(name)
    assert network.cost is models.cost_of(network) is RECIPES[name].cost
    assert models.cost_of(nn.ReLU()) is tg.cross_entropy
    assert pickle.loads(pickle.dumps(network)).cost is network.cost
    scores = tg.Tensor(np.random.default_rng(0).random((3, 10)))
    np.testing.assert_array_equal(network.probabilities(scores).data, models.probabilities(network, scores).data)
