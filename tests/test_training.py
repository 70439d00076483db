"""Training and evaluation: what the records say, what the settings mean, and that the bits follow from the seed."""

import dataclasses
import errno
import functools
import gc
import math
import os
import resource
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.data import Dataset
from tinygrad_cnn.kernels import threads
from tinygrad_cnn.models.network import quadratic_cost_of_labels
from tinygrad_cnn.optim import (
    SGD,
    Adam,
    AdamW,
    CosineDecay,
    OneCycle,
    StepDecay,
)
from tinygrad_cnn.storage.archive import read_archive, write_archive
from tinygrad_cnn.storage.atomic import CheckpointError
from tinygrad_cnn.training import DivergenceError
from tinygrad_cnn.training.evaluate import evaluate
from tinygrad_cnn.training.records import EpochRecord, StepRecord

TRAIN, TEST = tg.data.digits()
SOME, OTHERS = TRAIN[:50], TEST[:40]


def dense(seed=0, dropout=0.0):
    """A small network: 64-16-10, perhaps with dropout."""
    rng = np.random.default_rng(seed)
    layers = [tg.nn.Flatten(), tg.nn.Linear(64, 16, rng=rng), tg.nn.Tanh(), tg.nn.Dropout(dropout, rng=rng)]
    return tg.nn.Sequential(*layers, tg.nn.Linear(16, 10, rng=rng))


def run_of(model, make=lambda p: SGD(p, 0.1), **changes):
    """A run over 50 digits in batches of 16: four steps an epoch, the last of 2 images."""
    settings = {"epochs": 2, "batch_size": 16, "rng": np.random.default_rng(5), "train": SOME} | changes
    return tg.train(model, settings.pop("train"), optimizer=make(model.parameters()), **settings)


WIDE = Dataset(np.zeros((2, 9, 9), np.uint8), [0, 1], num_classes=10)
ELEVEN = Dataset(np.zeros((2, 8, 8), np.uint8), [0, 10])


def bits(model):
    return {k: a.tobytes() for k, a in model.state_dict().items()}


# Records --------------------------------------------------------------------------------------------------------------


def test_a_record_for_each_step_and_each_epoch_and_nothing_printed(capsys):
    records = list(run_of(dense()))
    kinds = [type(r).__name__[0] for r in records]
    assert "".join(kinds) == "SSSSE" * 2
    steps = [r for r in records if isinstance(r, StepRecord)]
    assert [r.step for r in steps] == list(range(1, 9))
    assert [(r.epoch, r.batch, r.batches) for r in steps[3:5]] == [(1, 4, 4), (2, 1, 4)]
    assert [r.images for r in steps[:4]] == [16, 16, 16, 2]
    assert {r.lr for r in steps} == {0.1}
    assert capsys.readouterr() == ("", "")


def test_an_epochs_loss_and_accuracy_are_means_over_its_images():
    records = list(run_of(dense(), epochs=1))
    steps, epoch = records[:-1], records[-1]
    assert epoch.loss == pytest.approx(sum(r.loss * r.images for r in steps) / 50)
    assert epoch.accuracy == pytest.approx(sum(r.accuracy * r.images for r in steps) / 50)


def test_seconds_grow_and_count_from_the_first_batch_to_the_last_update():
    run = run_of(dense())
    seconds = [r.seconds for r in run]
    assert seconds[0] > 0 and seconds == sorted(seconds)
    assert seconds[-1] == seconds[-2] == run.seconds, "what comes after an epoch's last update does not count"
    assert (run.step, run.images, run.epoch) == (8, 100, 2)


def test_it_learns():
    model = dense()
    before = evaluate(model, TEST)
    records = [r for r in run_of(model, lambda p: Adam(p, 0.01), epochs=6, train=TRAIN) if isinstance(r, EpochRecord)]
    after = evaluate(model, TEST)
    assert before.accuracy < 0.3 and after.accuracy > 0.9 and after.loss < before.loss
    assert records[-1].loss < records[0].loss


def test_an_update_is_the_optimizers_own():
    """One step of `fit` is cost, backward, step: written out beside it."""
    model, twin = dense(), dense()
    next(iter(run_of(model, rng=np.random.default_rng(5))))
    images, labels = next(iter(tg.data.batches(SOME, 16, rng=np.random.default_rng(5))))
    by_hand = SGD(twin.parameters(), 0.1)
    tg.cross_entropy(twin(tg.Tensor(images)), labels).backward()
    by_hand.step()
    assert bits(model) == bits(twin)


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule", [lambda o: OneCycle(o, 0.5, 8), lambda o: CosineDecay(o, 8), lambda o: StepDecay(o, 3)]
)
def test_a_schedule_goes_on_with_every_update(schedule):
    model = dense()
    optimizer, twin = (SGD(model.parameters(), 0.1) for _ in range(2))
    run = tg.train(model, SOME, epochs=2, batch_size=16, optimizer=optimizer, schedule=schedule(optimizer))
    rates = schedule(twin)
    assert [r.lr for r in run if isinstance(r, StepRecord)] == [rates.rate(k) for k in range(8)]


def test_clipping_bounds_the_length_of_an_update():
    model = dense()
    before = np.concatenate([p.data.ravel() for p in model.parameters()])
    next(iter(run_of(model, clip=1e-3)))
    after = np.concatenate([p.data.ravel() for p in model.parameters()])
    assert np.linalg.norm(after - before) == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_the_running_average_is_its_formula():
    model, seen = dense(), []
    run = run_of(model, ema=0.5)
    average = model.state_dict()["1.weight"]
    for record in run:
        if isinstance(record, StepRecord):
            t = record.step
            decay = min(0.5, t / (9 + t))
            average = decay * average + (1 - decay) * model.state_dict()["1.weight"]
            seen.append(decay)
    assert seen[:2] == [0.1, 2 / 11] and seen[-1] == 8 / 17
    np.testing.assert_allclose(model.state_dict()["1.weight"], average, rtol=1e-5)


def test_the_best_epoch_on_held_out_images_is_the_model_in_the_end():
    model = dense()
    run = run_of(model, lambda p: SGD(p, 8.0), epochs=8, validation=OTHERS)  # a rate that shakes it about
    kept = []
    for record in run:
        if isinstance(record, EpochRecord):
            assert record.validation_accuracy == evaluate(model, OTHERS).accuracy
            kept.append(bits(model))
    ranks = [(r.validation_accuracy, -r.validation_loss) for r in run.history]
    best = ranks.index(max(ranks))
    assert best < 7, "the last epoch was to be worse, or this shows nothing"
    assert bits(model) == kept[best]
    assert [r.best for r in run.history] == [rank == max(ranks[: k + 1]) for k, rank in enumerate(ranks)]


def test_held_out_images_change_no_bit_of_the_training():
    plain, watched = dense(dropout=0.5), dense(dropout=0.5)
    losses = [r.loss for r in run_of(plain)]
    assert losses == [r.loss for r in run_of(watched, validation=OTHERS)]


def test_patience_stops_after_epochs_that_are_not_the_best():
    run = run_of(dense(), lambda p: SGD(p, 0.0), epochs=9, validation=OTHERS, patience=3)
    assert len(list(run)) == 5 * 4, "the first epoch is the best, three more are as good: 4 epochs of 4 steps"
    assert [r.best for r in run.history] == [True, False, False, False]


def test_the_quadratic_cost_of_labels_is_that_of_one_hot_rows():
    a = tg.Tensor(np.random.default_rng(0).random((5, 4)))
    labels = np.array([0, 3, 1, 1, 2])
    assert quadratic_cost_of_labels(a, labels).item() == tg.quadratic_cost(a, np.eye(4)[labels]).item()


# Evaluation -----------------------------------------------------------------------------------------------------------


class Fixed(tg.nn.Module):
    """Scores that name the class written in an image's first pixel."""

    def __init__(self, classes):
        self.classes = classes
        self.dropout = tg.nn.Dropout(0.9)

    def forward(self, x):
        answers = (x.data[:, 0, 0, 0] * 255).round().astype(int)
        return self.dropout(tg.Tensor(np.eye(self.classes, dtype=np.float32)[answers]))


def test_counts_of_an_evaluation_by_hand():
    answers, labels = [0, 1, 1, 2, 0, 0], [0, 1, 2, 2, 0, 2]
    pixels = np.array(answers, np.uint8).reshape(-1, 1, 1)
    scored = evaluate(Fixed(4), Dataset(pixels, labels, num_classes=4), batch_size=4)
    assert scored.accuracy == pytest.approx(4 / 6)
    assert scored.confusion.tolist() == [[2, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scored.per_class_accuracy, [1, 1, 1 / 3, math.nan])
    assert scored.misclassified.tolist() == [2, 5]
    assert scored.predictions.tolist() == answers
    right, wrong = (-math.log(math.exp(v) / (math.e + 3)) for v in (1, 0))
    assert scored.loss == pytest.approx((4 * right + 2 * wrong) / 6, rel=1e-6)


class Unsure(Fixed):
    """As `Fixed`, but where the first pixel is 3 one score is NaN."""

    def forward(self, x):
        scores = super().forward(x).data.copy()
        scores[(x.data[:, 0, 0, 0] * 255).round() == 3, 1] = math.nan
        return tg.Tensor(scores)


def test_an_image_with_a_score_that_is_no_number_is_not_recognised():
    pixels = np.array([0, 3, 1, 3, 1], np.uint8).reshape(-1, 1, 1)
    scored = evaluate(Unsure(4), Dataset(pixels, [0, 0, 1, 3, 0], num_classes=4))
    assert math.isnan(scored.loss) and scored.accuracy == 2 / 5
    assert scored.predictions.tolist() == [0, -1, 1, -1, 1] and scored.misclassified.tolist() == [1, 3, 4]
    assert scored.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scored.per_class_accuracy, [1 / 3, 1, math.nan, 0])


def test_an_epoch_whose_validation_loss_is_no_number_is_never_the_best():
    class Blinking(tg.nn.Module):
        """Its scores are NaN in evaluation, before so many updates are made."""

        def __init__(self, until):
            self.inner, self.until = dense(), until

        def forward(self, x):
            lost = not self.training and run.step < self.until
            return self.inner(x) * (math.nan if lost else 1.0)

    model = Blinking(until=5)
    run = run_of(model, epochs=3, validation=OTHERS)
    list(run)
    assert not run.history[0].best and run.history[1].best, "the second is the first that can be judged"
    model = Blinking(until=99)
    run = run_of(model, validation=OTHERS)
    list(run)
    assert [r.best for r in run.history] == [False, False] and run.best is None


def test_an_evaluation_that_is_interrupted_leaves_the_weights_and_not_their_average():
    class Interrupted(tg.nn.Module):
        def __init__(self):
            self.inner = dense()

        def forward(self, x):
            if not self.training:
                raise KeyboardInterrupt
            return self.inner(x)

    model, twin = Interrupted(), Interrupted()
    with pytest.raises(KeyboardInterrupt):
        list(run_of(model, epochs=1, validation=OTHERS, ema=0.9))
    with pytest.raises(KeyboardInterrupt):
        list(run_of(twin, epochs=1, validation=OTHERS))
    assert bits(model) == bits(twin)


def test_evaluation_leaves_the_model_as_it_was_and_records_nothing():
    model = dense(dropout=0.5).train()
    model[3].training = False
    before, chance = bits(model), model[3].rng.bit_generator.state
    evaluate(model, OTHERS)
    assert bits(model) == before and model[3].rng.bit_generator.state == chance
    assert [m.training for m in model.modules()] == [True, True, True, True, False, True]
    assert all(p.grad is None for p in model.parameters())

    class Broken(tg.nn.Module):
        def forward(self, x):
            assert not self.training
            raise RuntimeError("broken")

    broken = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(broken, OTHERS)
    assert broken.training


def test_an_evaluation_does_not_depend_on_the_batch_size():
    model = dense()
    whole, parts = evaluate(model, OTHERS, batch_size=40), evaluate(model, OTHERS, batch_size=7)
    assert (whole.predictions == parts.predictions).all() and whole.loss == pytest.approx(parts.loss, rel=1e-5)


# The same bits --------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "momentum": lambda p: SGD(p, 0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: Adam(p, 0.01),
    "adamw": lambda p: AdamW(p, 0.01),
}


def chancy(name, **changes):
    """A run in which everything that can be random is."""
    model = dense(dropout=0.4)
    optimizer = OPTIMIZERS[name](model.parameters())
    settings = {"augment": tg.data.affine(max_pixels=1, max_degrees=10), "ema": 0.8, "validation": OTHERS} | changes
    run = tg.train(
        model, SOME, epochs=2, batch_size=16, optimizer=optimizer, schedule=OneCycle(optimizer, 0.05, 8),
        rng=np.random.default_rng(5), **settings,
    )  # fmt: skip
    return run, model


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("after", range(1, 10, 2))
def test_left_after_any_record_and_resumed_it_ends_in_the_same_bits(name, after, tmp_path):
    whole, model = chancy(name)
    losses = [r.loss for r in whole]
    path = tmp_path / "run.npz"
    first, _ = chancy(name, checkpoint=path)
    records = iter(first)
    part = [next(records).loss for _ in range(after)]
    records.close()
    second, resumed = chancy(name, checkpoint=path, resume=True)
    part += [r.loss for r in second]
    assert part == losses
    assert bits(resumed) == bits(model)
    assert [dataclasses.replace(r, seconds=0) for r in second.history] == [
        dataclasses.replace(r, seconds=0) for r in whole.history
    ]
    assert second.seconds >= first.seconds


def test_resuming_a_finished_run_gives_its_model_and_no_record(tmp_path):
    run, model = chancy("adam", checkpoint=tmp_path / "run.npz")
    list(run)
    again, twin = chancy("adam", checkpoint=tmp_path / "run.npz", resume=True)
    assert list(again) == [] and bits(twin) == bits(model)


def test_resuming_without_a_file_starts_from_the_beginning(tmp_path):
    run, model = chancy("adam", checkpoint=tmp_path / "run.npz", resume=True)
    plain, twin = chancy("adam")
    assert [r.loss for r in run] == [r.loss for r in plain] and bits(model) == bits(twin)


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_generators_of_every_kind_go_through_a_checkpoint(generator, tmp_path):
    def begin(**changes):
        model = dense(dropout=0.4)
        model[3].rng = np.random.Generator(generator(3))
        return run_of(model, checkpoint=tmp_path / "run.npz", **changes)

    losses = [r.loss for r in begin()]
    records = iter(begin())
    part = [next(records).loss for _ in range(3)]
    records.close()
    assert part + [r.loss for r in begin(resume=True)] == losses


@pytest.mark.parametrize("box", [lambda rng: [rng], lambda rng: (0, {"a": rng})], ids=["list", "dict in a tuple"])
def test_generators_inside_lists_tuples_and_dicts_go_through_a_checkpoint(box, tmp_path):
    class Noisy(tg.nn.Module):
        def __init__(self):
            self.inner, rng = dense(), np.random.default_rng(3)
            self.kept, self.rng_of = box(rng), lambda: rng

        def forward(self, x):
            return self.inner(x) + self.rng_of().random(10, np.float32)

    losses = [r.loss for r in run_of(Noisy(), checkpoint=tmp_path / "run.npz")]
    records = iter(run_of(Noisy(), checkpoint=tmp_path / "run.npz"))
    part = [next(records).loss for _ in range(3)]
    records.close()
    assert part + [r.loss for r in run_of(Noisy(), checkpoint=tmp_path / "run.npz", resume=True)] == losses


@pytest.mark.parametrize("name", ["nielsen", "best"])
def test_the_same_seed_gives_the_same_bits_twice_and_at_one_and_two_threads(name):
    def trained(count):
        threads.set_num_threads(count)
        rng = np.random.default_rng(2)
        model = models.build(name, (1, 28, 28), rng=rng)
        pixels = np.random.default_rng(0).integers(0, 256, (96, 28, 28), dtype=np.uint8)
        optimizer = Adam(model.parameters(), 0.003)
        images = Dataset(pixels, np.arange(96) % 10)
        list(tg.train(model, images, epochs=1, batch_size=32, optimizer=optimizer, rng=rng))
        return bits(model)

    before = threads.get_num_threads()
    try:
        assert trained(1) == trained(1) == trained(2)
    finally:
        threads.set_num_threads(before)


@pytest.mark.slow
def test_memory_is_flat_over_thousands_of_steps_without_the_garbage_collector():
    model = dense(dropout=0.5)
    records = iter(run_of(model, lambda p: Adam(p, 1e-4), epochs=900, validation=OTHERS[:5], ema=0.9))
    objects, blocks, peaks = [], [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            for _ in range(1500):
                next(records)
            objects.append(len(gc.get_objects()))
            blocks.append(sys.getallocatedblocks())
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    finally:
        gc.enable()
    records.close()
    epochs = 300  # in 1500 records; the history keeps one of them an epoch, with its numbers
    assert objects[2] - objects[1] <= 2 * epochs
    assert blocks[2] - blocks[1] < 12 * epochs
    assert peaks[2] - peaks[1] < 1024, "kilobytes"


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_a_run_that_diverges_names_the_step_and_the_op_and_leaves_the_checkpoint(tmp_path):
    path = tmp_path / "run.npz"
    run = run_of(dense(), lambda p: SGD(p, 1e38), epochs=50, checkpoint=path, save_every=0.0)
    story = r"^fit: step \d+: .* made (nan|-?inf), first at index .* in test_"
    with pytest.raises(DivergenceError, match=story) as caught:
        list(run)
    assert "\n" not in str(caught.value)
    arrays, metadata = read_archive(path)
    assert all(np.isfinite(a).all() for a in arrays.values())
    assert f"step {metadata['run']['step'] + 1}:" in str(caught.value)


def test_the_op_that_made_the_first_infinity_is_named():
    class Wrong(tg.nn.Module):
        def __init__(self):
            self.linear = tg.nn.Linear(64, 10, rng=np.random.default_rng(0))

        def forward(self, x):
            return (self.linear(x.flatten(1)) * 0).log()

    with pytest.raises(DivergenceError, match=r"fit: step 1: the cost is nan: log made -inf, first at index \(0, 0\)"):
        list(run_of(Wrong()))


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_update():
    class Wrong(tg.nn.Module):
        def __init__(self):
            self.linear = tg.nn.Linear(64, 10, rng=np.random.default_rng(0))

        def forward(self, x):
            return (self.linear(x.flatten(1)) * 0).sqrt()

    model = Wrong()
    before = bits(model)
    with pytest.raises(DivergenceError, match=r"step 1: the gradient of linear.weight is not finite: the rule of sqrt"):
        list(run_of(model))
    assert bits(model) == before


def test_a_last_update_that_leaves_no_number_is_not_saved(tmp_path):
    model = dense()
    run = run_of(model, lambda p: SGD(p, 1e39), epochs=1, batch_size=50, checkpoint=tmp_path / "run.npz")
    with pytest.raises(DivergenceError, match=r"step 1: the update left 1\.weight, .*4\.bias not finite"):
        list(run)
    assert not (tmp_path / "run.npz").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"epochs": 0}, ValueError, "fit: epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "fit: epochs must be an integer, got 1.5"),
        ({"batch_size": 0}, ValueError, "fit: batch_size must be at least 1, got 0"),
        ({"clip": -1}, ValueError, "fit: clip must be finite and between 0 and inf, got -1"),
        ({"ema": 1.1}, ValueError, "fit: ema must be finite and between 0 and 1, got 1.1"),
        ({"patience": 0, "validation": OTHERS}, ValueError, "fit: patience must be at least 1, got 0"),
        ({"patience": 2}, ValueError, "fit: patience needs validation images to judge by"),
        ({"resume": True}, ValueError, "fit: resume=True needs the checkpoint to go on from"),
        ({"save_every": math.nan, "checkpoint": "x.npz"}, ValueError, "fit: save_every must be finite"),
        ({"train": TRAIN[:0]}, ValueError, "batches: no batch of 16 from 0 images"),
        ({"train": TRAIN.images}, TypeError, "batches: dataset must be a Dataset"),
        ({"epoch": 3}, TypeError, "unexpected keyword argument 'epoch'"),
        ({"make": lambda p: "sgd"}, TypeError, "fit: optimizer must be an Optimizer, got 'sgd'"),
        ({"schedule": "x"}, TypeError, "fit: schedule must be a Schedule, got 'x'"),
        ({"cost": "ce"}, TypeError, "fit: cost must be a function of scores and labels, got 'ce'"),
        ({"validation": [1, 2]}, TypeError, r"fit: validation must be a Dataset, got \[1, 2\]"),
        ({"validation": OTHERS[:0]}, ValueError, "fit: there is no image in validation"),
        ({"validation": WIDE}, ValueError, r"fit: validation is Dataset\(2 images of 1x9x9, .*, train is Dataset\(50"),
        ({"validation": ELEVEN}, ValueError, r"11 classes need scores of shape \(N, 11\), the model gives \(1, 10\)"),
        ({"checkpoint": 5}, TypeError, "fit: the path must be a str or an os.PathLike of one, got 5"),
        ({"checkpoint": b"a.npz"}, TypeError, "fit: the path must be a str or an os.PathLike of one, got b'a.npz'"),
        ({"checkpoint": "/nowhere/a.npz"}, ValueError, "fit: checkpoint /nowhere/a.npz: there is no folder /nowhere"),
        ({"checkpoint": "x.npz", "about": {"a": dense}}, TypeError, "fit: about must be facts for JSON"),
        ({"checkpoint": "x.npz", "about": 5}, TypeError, "fit: about must be facts by name, got 5"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        run_of(dense(), **changes)
    assert "\n" not in str(caught.value)


def test_a_plain_function_is_no_model_to_fit():
    adam = Adam(dense().parameters())
    with pytest.raises(TypeError, match=r"^fit: model must be a Module, got <function"):
        tg.train(lambda x: x, SOME, epochs=1, batch_size=16, optimizer=adam)


def test_a_checkpoint_that_could_not_be_written_is_refused_before_any_training(tmp_path, monkeypatch):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(ValueError, match=r"a\.npz: is a folder"):
        run_of(dense(), checkpoint=tmp_path / "a.npz")
    run_of(dense(), checkpoint=tmp_path / "b.npz")
    assert os.listdir(tmp_path) == ["a.npz"], "trying leaves nothing behind"

    def refused(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tinygrad_cnn.storage.atomic.open", refused, raising=False)  # as for anybody but the superuser
    with pytest.raises(ValueError, match=r"b\.npz: cannot be written \(Permission denied\)"):
        run_of(dense(), checkpoint=tmp_path / "b.npz")


def test_held_out_images_of_another_size_or_more_classes_are_taken_if_the_model_takes_them():
    """And that this was tried leaves no trace."""

    class Anywhere(tg.nn.Module):
        def __init__(self):
            self.linear, self.rng = tg.nn.Linear(1, 11, rng=np.random.default_rng(0)), np.random.default_rng(1)

        def forward(self, x):
            return self.linear(x.mean((2, 3))) + self.rng.random(11, np.float32)

    losses = [next(iter(run_of(Anywhere(), validation=v))).loss for v in (WIDE, ELEVEN, None)]
    assert losses[0] == losses[1] == losses[2]


def test_a_cost_without_a_name_goes_through_a_checkpoint(tmp_path):
    def begin(**changes):
        return run_of(dense(), cost=functools.partial(tg.cross_entropy), checkpoint=tmp_path / "run.npz", **changes)

    list(begin())
    assert begin(resume=True).epoch == 2


def test_a_run_goes_on_only_with_the_images_it_began_with(tmp_path):
    path = tmp_path / "run.npz"
    next(iter(records := iter(run_of(dense(), checkpoint=path))))
    records.close()
    others = Dataset(SOME.pixels, np.roll(SOME.labels, 1), num_classes=10, full_scale=SOME.full_scale)
    with pytest.raises(CheckpointError, match=r"run\.npz: is of another run: the training images or labels are others"):
        run_of(dense(), train=others, checkpoint=path, resume=True)
    same = Dataset(SOME.pixels.copy(), SOME.labels, num_classes=10, full_scale=SOME.full_scale)
    assert run_of(dense(), train=same, checkpoint=path, resume=True).step == 1
    arrays, metadata = read_archive(path)
    del metadata["run"]["spec"]["train sha256"]
    write_archive(path, arrays, metadata)
    assert run_of(dense(), checkpoint=path, resume=True).step == 1


def test_a_schedule_of_another_optimizer_is_refused():
    model = dense()
    mine, other = (SGD(model.parameters(), 0.1) for _ in range(2))
    with pytest.raises(ValueError, match="fit: the schedule is of another optimizer"):
        tg.train(model, SOME, epochs=1, batch_size=16, optimizer=mine, schedule=CosineDecay(other, 4))


def test_a_run_is_walked_once():
    run = run_of(dense())
    next(iter(run))
    with pytest.raises(ValueError, match="this run was started before"):
        next(iter(run))


@pytest.mark.parametrize(
    "answer, shown", [(None, "None"), (0.5, "0.5"), (tg.Tensor([1.0, 2.0]), r"Tensor\(\[1\., 2\.\]\)")]
)
def test_a_cost_must_return_a_tensor_of_one_number(answer, shown):
    said = f"cost must return a Tensor of one number, got {shown}$"
    with pytest.raises(TypeError, match=f"^evaluate: {said}"):
        evaluate(dense(), OTHERS, cost=lambda scores, labels: answer)
    with pytest.raises(TypeError, match=f"^fit: {said}"):
        next(iter(run_of(dense(), cost=lambda scores, labels: answer)))


def test_the_numbers_of_a_run_may_be_numpys():
    one, other = dense(), dense()
    small = {"epochs": np.uint8(3), "batch_size": np.uint8(20), "patience": np.int8(2), "clip": np.float32(0.5),
             "ema": np.float32(0.5), "validation": OTHERS}  # fmt: skip
    run = run_of(one, train=TRAIN[:300], **small)
    list(run)
    list(run_of(other, train=TRAIN[:300], **{k: v.item() if k != "validation" else v for k, v in small.items()}))
    assert bits(one) == bits(other)
    assert [type(v) for v in dataclasses.astuple(run.settings)] == [int, int, float, float, int, bool]


def test_evaluating_what_cannot_be_is_answered():
    with pytest.raises(ValueError, match="evaluate: the data set is empty"):
        evaluate(dense(), TEST[:0])
    with pytest.raises(TypeError, match=r"^evaluate: dataset must be a Dataset, got \[1, 2\]$"):
        evaluate(dense(), [1, 2])
    with pytest.raises(TypeError, match=r"^evaluate: cost must be a function of scores and labels, got 'ce'$"):
        evaluate(dense(), OTHERS, cost="ce")
    few = tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Linear(64, 3))
    with pytest.raises(ValueError, match=r"10 classes need scores of shape \(N, 10\), the model gives \(40, 3\)"):
        evaluate(few, OTHERS)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    list(run_of(dense(), checkpoint=tmp_path / "run.npz"))
    other = tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Linear(64, 10))
    with pytest.raises(CheckpointError, match=r"run\.npz: "):
        run_of(other, checkpoint=tmp_path / "run.npz", resume=True)


@pytest.mark.parametrize("name", ["model.txt", "run.safetensors", "run"])
def test_a_checkpoint_is_named_as_what_it_is(name, tmp_path):
    with pytest.raises(ValueError, match=rf"fit: checkpoint .*{name}: the name must end in \.npz$"):
        run_of(dense(), checkpoint=tmp_path / name)
