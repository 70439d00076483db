"""`CNNClassifier` is a scikit-learn classifier: by scikit-learn's own checks, in a pipeline and in a grid search."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from tinygrad_cnn.interop.sklearn import CNNClassifier

X, Y = load_digits(return_X_y=True)
NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


# Every one of them applies. Scikit-learn itself skips those with pandas, where that is missing, and with the array API,
# which a classifier on NumPy does not claim. One is left out: with weights in place of repeated rows the batches are
# others, so the results are alike but not equal, as with every classifier that is trained in batches.
IN_BATCHES = "check_sample_weight_equivalence_on_dense_data"


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        check
        for _, check in estimator_checks_generator(CNNClassifier(random_state=0), mark=None)
        if check.func.__name__ != IN_BATCHES
    ],
    ids=lambda check: check.func.__name__,
)
def test_scikit_learns_own_check(check):
    check(CNNClassifier(random_state=0))


def test_it_learns_the_digits_with_any_labels():
    classifier = CNNClassifier(epochs=8, random_state=0).fit(X[:1200], NAMES[Y[:1200]])
    assert classifier.classes_.tolist() == sorted(NAMES)
    assert classifier.score(X[1200:], NAMES[Y[1200:]]) > 0.93
    assert classifier.costs_[-1] < classifier.costs_[0] / 5
    probabilities = classifier.predict_proba(X[1200:1210])
    assert probabilities.shape == (10, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(classifier.predict(X[1200:1210]), classifier.classes_[probabilities.argmax(axis=1)])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    def probabilities(seed: object) -> np.ndarray:
        return CNNClassifier(epochs=1, random_state=seed).fit(X[:100], Y[:100]).predict_proba(X[:5])

    np.testing.assert_array_equal(probabilities(3), probabilities(3))
    np.testing.assert_array_equal(probabilities(np.random.RandomState(3)), probabilities(3))
    assert (probabilities(3) != probabilities(4)).any()


def test_parameters_can_be_read_set_and_cloned():
    classifier = CNNClassifier("digits", image_shape=(8, 8), epochs=3).set_params(lr=0.01)
    assert classifier.get_params() == {
        "model": "digits", "image_shape": (8, 8), "epochs": 3, "batch_size": 32, "lr": 0.01, "class_weight": None,
        "random_state": None,
    }  # fmt: skip
    assert clone(classifier).get_params() == classifier.get_params()


def test_it_works_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(epochs=2, random_state=0))
    search = GridSearchCV(pipeline, {"cnnclassifier__lr": [1e-5, 0.005]}, cv=2).fit(X[:300], Y[:300])
    assert search.best_params_ == {"cnnclassifier__lr": 0.005}
    assert search.best_estimator_.named_steps["cnnclassifier"].n_features_in_ == 64


def test_a_network_can_be_named_or_made():
    named = CNNClassifier("digits", epochs=1, random_state=0).fit(X[:100], Y[:100])
    assert isinstance(named.model_, tg.models.Network) and named.model_.name == "digits"

    def make(image_shape, num_classes, rng):
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.2, rng=rng), nn.Linear(64, num_classes, rng=rng))

    made = CNNClassifier(make, epochs=1, random_state=0).fit(X[:100], Y[:100])
    assert len(made.model_) == 3 and not made.model_.training


@pytest.mark.parametrize("name", ["primer", "digits"])
def test_a_named_network_is_trained_with_its_own_cost_and_its_scores_are_read_as_that_cost_means_them(name):
    few = CNNClassifier(name, epochs=1, batch_size=100, random_state=0).fit(X[:100], Y[:100])
    made = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    start = tg.models.build(name, (1, 8, 8), 10, rng=made)
    images = ((X[:200] - few.mean_) / few.scale_).astype(np.float32).reshape(-1, 1, 8, 8)
    wanted = tg.models.RECIPES[name].cost(start(tg.Tensor(images[:100])), Y[:100])
    np.testing.assert_allclose(few.costs_[0], wanted.item(), rtol=1e-5)

    scores = few.model_(tg.Tensor(images[100:])).data.astype(np.float64)
    shares = scores if name == "primer" else np.exp(scores)
    np.testing.assert_allclose(few.predict_proba(X[100:200]), shares / shares.sum(1, keepdims=True), rtol=1e-5)


def test_a_network_that_ends_in_sigmoids_can_be_sure_of_itself():
    primer = CNNClassifier("primer", epochs=20, lr=0.02, random_state=0).fit(X[:1200], Y[:1200])
    assert primer.score(X[1200:], Y[1200:]) > 0.85
    assert np.median(primer.predict_proba(X[1200:]).max(1)) > 0.6


@pytest.mark.parametrize(
    ("features", "given", "found"),
    [(64, None, (1, 8, 8)), (7, None, (1, 1, 7)), (1, None, (1, 1, 1)), (6, (2, 3), (1, 2, 3)),
     (12, (3, 2, 2), (3, 2, 2))],
)  # fmt: skip
def test_the_shape_of_the_images_is_given_or_follows_from_the_features(features, given, found):
    rows = np.random.default_rng(0).random((6, features))
    assert CNNClassifier(image_shape=given, epochs=1).fit(rows, [0, 1] * 3).image_shape_ == found


def test_pixels_of_any_range_give_the_same_network():
    a, b = (CNNClassifier(epochs=1, random_state=0).fit(X[:100] * k, Y[:100]) for k in (1, 4096))
    np.testing.assert_array_equal(a.predict_proba(X[:5]), b.predict_proba(X[:5] * 4096))


def test_a_trained_classifier_can_be_pickled():
    classifier = CNNClassifier(epochs=1, random_state=0).fit(X[:100], Y[:100])
    twin = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(twin.predict_proba(X[:5]), classifier.predict_proba(X[:5]))


def test_wrong_settings_are_answered_in_one_line():
    def fit(**settings: object) -> None:
        CNNClassifier(**settings).fit(X[:20], Y[:20])

    with pytest.raises(ValueError, match=r"image_shape \(3, 3\) must be \(H, W\) or \(C, H, W\) and hold 64 numbers"):
        fit(image_shape=(3, 3))
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        fit(epochs=0)
    with pytest.raises(TypeError, match="batch_size must be an integer, got '32'"):
        fit(batch_size="32")
    with pytest.raises(ValueError, match="there is no model 'nothing'"):
        fit(model="nothing")
    with pytest.raises(TypeError, match="model must return a Module, got None"):
        fit(model=lambda *_: None)
    with pytest.raises(ValueError, match="training diverged"):
        fit(lr=1e30, epochs=3)


def test_importing_the_library_does_not_import_scikit_learn():
    code = "import sys, tinygrad_cnn; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(-1, 8, 8), (-1, 1, 8, 8), (-1, 8, 8, 1)])
def test_images_of_three_and_four_axes_are_taken_as_they_are(shape):
    images = X[:200].reshape(shape)
    one = CNNClassifier(epochs=1, random_state=0).fit(images, Y[:200])
    other = CNNClassifier(epochs=1, random_state=0).fit(X[:200], Y[:200])
    assert one.image_shape_ == (1, 8, 8)
    np.testing.assert_array_equal(one.predict_proba(images), other.predict_proba(X[:200]))


def test_colour_images_with_their_channels_last():
    images = np.random.default_rng(0).random((30, 10, 12, 3))
    assert CNNClassifier(epochs=1, random_state=0).fit(images, Y[:30]).image_shape_ == (3, 10, 12)


def test_weights_of_classes_and_of_images():
    labels = (Y[:300] == 3).astype(int)
    plain, balanced = (CNNClassifier(epochs=2, class_weight=w, random_state=0).fit(X[:300], labels)
                       for w in (None, "balanced"))  # fmt: skip
    assert balanced.predict_proba(X[:300])[:, 1].mean() > plain.predict_proba(X[:300])[:, 1].mean()
    weights = np.where(labels, len(labels) / 2 / labels.sum(), len(labels) / 2 / (labels == 0).sum())
    by_image = CNNClassifier(epochs=2, random_state=0).fit(X[:300], labels, sample_weight=weights)
    np.testing.assert_allclose(by_image.predict_proba(X[:50]), balanced.predict_proba(X[:50]), rtol=1e-6)
