"""The named networks: their sizes against hand counts, their shapes against what they really give, their recipes."""

import os
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.data import Dataset
from tinygrad_cnn.models import RECIPES, Builder, build, output_shape, summarize
from tinygrad_cnn.training import fit
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


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_a_few_steps_that_lower_its_cost(name):
    recipe, images = RECIPES[name], tg.data.digits()[0][:40]
    network = random(name, images.image_shape)
    optimizer = recipe.make_optimizer(network)
    before = evaluate(network, images, cost=recipe.cost).loss
    schedule = recipe.schedule and recipe.schedule(optimizer, 60)
    list(fit(network, images, epochs=15, batch_size=10, optimizer=optimizer, schedule=schedule, cost=recipe.cost,
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
        (("nielsen", (1, 0, 28)), "models: image_shape must be at least 1, got 0"),
        (("nielsen", (1, 28, 28), 0), "models: num_classes must be at least 1, got 0"),
        (("nielsen", (1, 3, 3)), r"MaxPool2d\(.*\) does not fit on maps of 1x1 pixels"),
        (("nielsen", (1, 300, 28)), "models: named networks take images of at most 256x256 pixels, 64 channels"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)


def test_a_draft_keeps_track_of_the_shape():
    draft = Builder((1, 28, 28), 10, np.random.default_rng(0))
    assert draft.conv(20, 5).shape == (20, 24, 24)
    assert draft.pool(2).relu().shape == (20, 12, 12)
    assert draft.flatten().scores().shape == (10,)
    assert [output_shape(layer, (20, 24, 24)) for layer in draft.layers[1:3]] == [(20, 12, 12), (20, 24, 24)]


@pytest.fixture(scope="module")
def mnist():
    if not os.path.isdir(MNIST):
        pytest.skip("MNIST is not here: TINYGRAD_CNN_DATA")
    return tg.data.mnist(MNIST)


def test_nielsens_network_learns_mnist_in_one_epoch(mnist):
    train, test = mnist
    recipe = RECIPES["nielsen"]
    model_rng, order, _ = np.random.default_rng(0).spawn(3)
    network = build("nielsen", rng=model_rng)
    optimizer = recipe.make_optimizer(network)
    list(fit(network, train, epochs=1, batch_size=recipe.batch_size, optimizer=optimizer, rng=order,
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
    list(fit(network, data[:90], epochs=3, batch_size=30, optimizer=recipe.make_optimizer(network), rng=rng))
    assert evaluate(network, data[90:]).accuracy > 0.9


def test_scores_become_shares_of_belief_as_the_networks_cost_means_them():
    scores = tg.Tensor([[0.1, 0.9, 0.0], [0.0, 0.0, 0.0]])
    activations, logits = (models.probabilities(random(name, classes=3), scores).data for name in ("primer", "fast"))
    np.testing.assert_allclose(activations, [[0.1, 0.9, 0.0], [1 / 3] * 3], rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal(logits, tg.softmax(scores).data)
    np.testing.assert_array_equal(models.probabilities(tg.nn.Linear(2, 3), scores).data, logits)
