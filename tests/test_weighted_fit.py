"""Weights of classes and of images, dropped batches, logs, and figures of an evaluation."""

import csv
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.training import class_weights
from tinygrad_cnn.training.logs import LogWriter, _masked
from tinygrad_cnn.training.records import EpochRecord, StepRecord

TRAIN, TEST = tg.data.digits()


def model_of(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, rng=rng))


def trained(train=TRAIN[:50], **settings):
    model = model_of()
    settings = {"epochs": 1, "batch_size": 10, "optimizer": tg.optim.SGD(model.parameters(), 0.1)} | settings
    tg.fit(model, train, progress="none", rng=np.random.default_rng(0), **settings)
    return model.state_dict()


def same(a, b):
    return all(np.allclose(a[k], b[k], rtol=1e-5, atol=1e-6) for k in a)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40))
def test_balanced_weights_give_every_class_the_same_sum(labels):
    dataset = tg.data.Dataset(np.zeros((len(labels), 1, 1), np.uint8), labels)
    weights = np.array(class_weights(dataset))
    counts = np.bincount(labels, minlength=dataset.num_classes)
    sums = (weights * counts)[counts > 0]
    np.testing.assert_allclose(sums, sums[0])
    np.testing.assert_allclose(sums.sum(), len(labels))


def test_class_weights_are_those_of_the_cost():
    weights = np.linspace(0.5, 2, 10)
    expected = trained(cost=lambda z, y: tg.cross_entropy(z, y, weight=weights))
    assert same(trained(class_weight=weights), expected)
    assert same(trained(class_weight={str(k): w for k, w in enumerate(weights)}), expected)
    assert not same(trained(), expected)


def test_a_class_by_name_counts_as_it_is_told_to():
    ones = [1.0] * 10
    ones[3] = 5.0
    assert same(trained(class_weight={"3": 5.0}), trained(class_weight=ones))


def test_sample_weights_repeat_or_drop_images():
    """An image of weight 2 counts as two of it, one of weight 0 as none."""
    weights = np.ones(10)
    weights[2], weights[7] = 2, 0
    rows = [0, 1, 2, 2, 3, 4, 5, 6, 8, 9]
    assert same(trained(TRAIN[:10], sample_weight=weights), trained(TRAIN[rows]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weight": "equal"}, "class_weight must be 'balanced'"),
        ({"class_weight": [1, 2]}, "class_weight must have 10 numbers, got 2"),
        ({"class_weight": {"cat": 1}}, "class_weight has 'cat'; the classes are 0, 1"),
        ({"class_weight": [-1] * 10}, "each class_weight must be"),
        ({"sample_weight": [1, 2]}, "sample_weight must be a number from 0 for each of 50 images"),
        ({"sample_weight": [np.nan] * 50}, "sample_weight must be"),
        (
            {"class_weight": "balanced", "cost": lambda z, y: tg.cross_entropy(z, y)},
            "class_weight needs a cost that takes weight=",
        ),
        (
            {"sample_weight": np.ones(50), "cost": lambda z, y: tg.cross_entropy(z, y)},
            "sample_weight needs a cost that takes reduction=",
        ),
    ],
)
def test_weights_that_make_no_sense_are_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=f"^fit: {message}"):
        trained(**settings)


def test_a_smaller_last_batch_can_be_dropped():
    run = tg.train(model_of(), TRAIN[:55], epochs=2, batch_size=10, drop_last=True)
    counts = [r.images for r in run if isinstance(r, StepRecord)]
    assert counts == [10] * 10


@pytest.mark.parametrize(
    "changes", [{"drop_last": True}, {"class_weight": "balanced"}, {"sample_weight": np.arange(1, 56)}]
)
def test_a_resumed_run_compares_the_new_settings_too(tmp_path, changes):
    def run(**more):
        model = model_of()
        return tg.train(model, TRAIN[:55], epochs=2, batch_size=10, checkpoint=tmp_path / "c.npz",
                        rng=np.random.default_rng(0), **more)  # fmt: skip

    records = iter(run(**changes))
    next(records)
    records.close()
    with pytest.raises(tg.CheckpointError, match="is of another run"):
        run(resume=True)
    list(run(resume=True, **changes))


# logs -----------------------------------------------------------------------------------------------------------------


def events_of(path):
    """The scalars of an event file, read field by field: {tag: [(step, value)]}."""
    content, scalars = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        message = content[12 : 12 + length]
        assert struct.unpack("<I", content[8:12]) == (_masked(content[:8]),)
        assert struct.unpack("<I", content[12 + length : 16 + length]) == (_masked(message),)
        content = content[16 + length :]
        fields = dict(fields_of(message))
        if 5 in fields:
            value = dict(fields_of(dict(fields_of(fields[5]))[1]))
            scalars.setdefault(value[1].decode(), []).append((fields[2], struct.unpack("<f", value[2])[0]))
    return scalars


def fields_of(message):
    while message:
        key, message = varint(message)
        kind = key & 7
        if kind == 0:
            value, message = varint(message)
        elif kind == 2:
            length, message = varint(message)
            value, message = message[:length], message[length:]
        else:
            length = {1: 8, 5: 4}[kind]
            value, message = message[:length], message[length:]
        yield key >> 3, value


def varint(message):
    value = shift = 0
    for k, byte in enumerate(message):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, message[k + 1 :]
    raise ValueError("cut off")


def test_the_checksum_is_crc_32c():
    """The check value of the polynomial: of the nine digits, 0xE3069283."""
    crc = (_masked(b"123456789") - 0xA282EAD8) & 0xFFFFFFFF
    assert (crc << 15 | crc >> 17) & 0xFFFFFFFF == 0xE3069283


def test_curves_for_tensorboard_and_as_a_table(tmp_path):
    model = model_of()
    history = tg.fit(model, TRAIN[:200], epochs=3, batch_size=10, validation=TEST[:50], progress="none",
                     log_dir=tmp_path / "logs")  # fmt: skip
    (events,) = (tmp_path / "logs").glob("events.out.tfevents.*")
    scalars = events_of(events)
    assert [step for step, _ in scalars["batch/loss"]] == [10, 20, 30, 40, 50, 60]
    np.testing.assert_allclose([v for _, v in scalars["train/loss"]], history.loss, rtol=1e-6)
    np.testing.assert_allclose([v for _, v in scalars["validation/accuracy"]], history.validation_accuracy, rtol=1e-6)
    rows = list(csv.DictReader((tmp_path / "logs" / "history.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == history.loss and len(rows) == 3


def test_tensorboards_own_reader_reads_them(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs TensorBoard")
    with LogWriter(tmp_path) as log:
        log.write(EpochRecord(1, 300, 0.25, 0.5, None, None, True, 1.0))
    accumulator = reader.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    (event,) = accumulator.Scalars("train/loss")
    assert (event.step, event.value) == (300, 0.25)


# evaluation -----------------------------------------------------------------------------------------------------------


def test_the_figures_of_an_evaluation_follow_from_its_predictions():
    model = model_of()
    tg.fit(model, TRAIN[:300], epochs=1, progress="none", rng=np.random.default_rng(0))
    result = tg.evaluate(model, TEST)
    labels, predicted = TEST.labels, result.predictions
    for k in range(10):
        np.testing.assert_allclose(result.recall[k], (predicted[labels == k] == k).mean())
        if (predicted == k).any():
            np.testing.assert_allclose(result.precision[k], (labels[predicted == k] == k).mean())
    np.testing.assert_allclose(result.balanced_accuracy, result.recall.mean())
    assert result.top_k_accuracy(1) == result.accuracy and result.top_k_accuracy(10) == 1
    scores = model(tg.Tensor(TEST.images)).data
    top = np.argsort(-scores, axis=1)[:, :3]
    np.testing.assert_allclose(result.top_k_accuracy(3), (top == labels[:, None]).any(1).mean())
    mistakes = result.most_confident_mistakes
    assert sorted(mistakes) == result.misclassified.tolist()
    assert (np.diff(result.confidences[mistakes]) <= 0).all()
    assert repr(result).startswith("Evaluation(accuracy ") and result._repr_html_().count("<tr>") == 11
