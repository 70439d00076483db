"""A training that will not go well is explained in a sentence; a healthy one is left alone."""

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn
from tinygrad_cnn.models import RECIPES
from tinygrad_cnn.training.records import EpochRecord

TRAIN, TEST = tg.data.digits()


def network(seed=0, hidden=32):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, hidden, rng=rng), nn.ReLU(), nn.Linear(hidden, 10, rng=rng),
    )  # fmt: skip


def advice(model=None, train=TRAIN, **settings):
    """The sentences about a run."""
    settings = {"epochs": 2, "batch_size": 20, "rng": np.random.default_rng(0)} | settings
    run = tg.train(model or network(), train, **settings)
    list(run)
    return run.advice


def only(sentences, *words):
    assert len(sentences) == 1, sentences
    for word in words:
        assert word in sentences[0], sentences
    return sentences[0]


# planted faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [255, 100])
def test_inputs_that_are_not_scaled(factor):
    said = advice(augment=lambda images, rng: images * np.float32(factor), lr=1e-5)
    assert any("the inputs go up to" in s and "divide by 255" in s for s in said)


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_in_no_order_with_the_images(seed):
    labels = np.random.default_rng(seed).permutation(TRAIN.labels)
    shuffled = tg.data.Dataset(TRAIN.pixels, labels, full_scale=16)
    said = only(advice(train=shuffled), "guessing", "do the labels belong to the images?")
    assert "(loss 2.30)" in said


def test_one_class_for_all():
    model = network()
    model[6].bias.data[...] = np.where(np.arange(10) == 3, 50, 0)
    said = advice(model, optimizer=tg.optim.SGD(model.parameters(), 1e-6))
    assert any("every image of epoch" in s and "'3'" in s for s in said)


def test_a_rate_that_is_too_low():
    model = network()
    said = advice(model, optimizer=tg.optim.SGD(model.parameters(), 1e-9))
    assert any("the learning rate is too low" in s for s in said), said


def test_a_rate_that_is_too_high():
    model = network()
    said = advice(model, optimizer=tg.optim.Adam(model.parameters(), 1.0))
    assert any("too high" in s or "dead" in s for s in said), said


def test_dead_maps_are_named_by_layer_and_number():
    model = network()
    model[0].bias.data[[1, 2, 4, 6, 7]] = -10
    said = advice(model)
    assert any("dead maps in layer 1 (ReLU): 1, 2, 4, 6, 7 of 8" in s for s in said), said


def test_dead_neurons_behind_everything():
    model = network()
    model[4].bias.data[...] = -100
    said = advice(model)
    assert any("dead neurons in layer 5 (ReLU)" in s for s in said), said


def test_saturated_activations():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30, rng=rng), nn.Sigmoid(), nn.Linear(30, 10, rng=rng))
    model[1].weight.data[...] *= 5000
    said = advice(model, optimizer=tg.optim.SGD(model.parameters(), 0.1), epochs=6)
    assert any("saturated layer 2 (Sigmoid)" in s for s in said), said


def test_a_network_without_any_gradient():
    model = network()
    model[6].weight.data[...] = 0
    model[4].bias.data[...] = -100
    said = advice(model, optimizer=tg.optim.SGD([model[0].weight, model[4].weight], 0.1))
    assert any("all gradients are 0" in s or "dead" in s for s in said), said


class Forgetful(nn.Module):
    """A network with a layer that its forward pass does not use."""

    def __init__(self):
        self.used, self.forgotten = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        return self.used(x.flatten(1))


def test_a_parameter_that_no_gradient_reaches():
    only(advice(Forgetful()), "no gradient reaches forgotten.weight, forgotten.bias")


def test_classes_so_unequal_that_accuracy_misleads():
    rows = np.concatenate([np.flatnonzero(TRAIN.labels == 0), np.flatnonzero(TRAIN.labels == 1)[:10]])
    assert any("the classes are unequal: 142 images of '0', 10 of '1'" in s for s in advice(train=TRAIN[rows]))


def test_a_softmax_before_the_softmax_of_the_cost():
    model = nn.Sequential(*network(), nn.Softmax())
    assert any("ends in a softmax" in s for s in advice(model))


def test_a_last_batch_of_one_image_under_batch_norm_is_left_out():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20, rng=rng), nn.BatchNorm1d(20), nn.Linear(20, 10, rng=rng))
    run = tg.train(model, TRAIN[:241], epochs=2, batch_size=20, rng=rng)
    list(run)
    assert run.step == 24 and any("one image, too few for batch norm: it is left out" in s for s in run.advice)
    model.eval()
    model[1].train()
    assert tg.train(model, TRAIN[:241], epochs=1, batch_size=20, rng=rng).settings.drop_last is False


def test_overfitting_is_told_with_its_beginning():
    few = TRAIN[:60]
    labels = few.labels.copy()
    labels[::3] = (labels[::3] + 1) % 10  # a third are wrong, to be learned by heart
    noisy = tg.data.Dataset(few.pixels, labels, full_scale=16, num_classes=10)
    model = network(hidden=200)
    said = advice(model, noisy, epochs=40, validation=TEST, optimizer=tg.optim.Adam(model.parameters(), 0.01))
    assert any(s.startswith("overfitting: since epoch ") for s in said), said


# silence --------------------------------------------------------------------------------------------------------------


LARGE = np.pad(TRAIN.pixels[:, 0].repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_healthy_recipe_is_left_alone(name):
    """Each recipe on the digits, enlarged to the 28x28 pixels that it was made for."""
    recipe, rng = RECIPES[name], np.random.default_rng(0)
    train = tg.data.Dataset(LARGE, TRAIN.labels, full_scale=16)
    model = models.build(name, train.image_shape, rng=rng)
    optimizer = recipe.make_optimizer(model)
    epochs = 2 if name == "nielsen-dropout" else 4
    total = epochs * -(-len(TRAIN) // recipe.batch_size)
    run = tg.train(
        model, train, epochs=epochs, batch_size=recipe.batch_size, optimizer=optimizer, cost=recipe.cost,
        schedule=recipe.schedule and recipe.schedule(optimizer, total), ema=recipe.ema, rng=rng, validation=train[::4],
    )  # fmt: skip
    list(run)
    assert run.advice == []


def test_advice_can_be_switched_off_and_changes_no_bit():
    weights = []
    for wanted in (True, False):
        model = network()
        labels = np.random.default_rng(0).permutation(TRAIN.labels)
        shuffled = tg.data.Dataset(TRAIN.pixels, labels, full_scale=16)
        run = tg.train(model, shuffled, epochs=2, batch_size=20, rng=np.random.default_rng(0), advice=wanted)
        list(run)
        assert bool(run.advice) is wanted
        weights.append(b"".join(a.tobytes() for a in model.state_dict().values()))
    assert weights[0] == weights[1]


def test_fit_says_it_on_standard_error(capsys):
    tg.fit(Forgetful(), TRAIN[:100], epochs=1, progress="plain")
    assert "advice: no gradient reaches forgotten.weight" in capsys.readouterr().err
    tg.fit(Forgetful(), TRAIN[:100], epochs=1, progress="none")
    assert capsys.readouterr().err == ""


def test_every_sentence_is_said_once():
    labels = np.random.default_rng(0).permutation(TRAIN.labels)
    said = advice(train=tg.data.Dataset(TRAIN.pixels, labels, full_scale=16), epochs=4)
    assert len(said) == len(set(said)) == 1


def test_records_of_a_run_are_unchanged_by_advice():
    run = tg.train(Forgetful(), TRAIN[:100], epochs=2)
    assert sum(isinstance(r, EpochRecord) for r in run) == 2
