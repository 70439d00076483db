"""A resumed run: everything that its bits depend on is compared, or overridden; files of version 0.1 go on."""

import importlib.util
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import cli
from tinygrad_cnn.models import saving
from tinygrad_cnn.optim import SGD, Adam, CosineDecay, OneCycle
from tinygrad_cnn.storage import archive
from tinygrad_cnn.storage.atomic import CheckpointError
from tinygrad_cnn.training.checkpoint import read
from tinygrad_cnn.training.spec import differences, plain

FILES = Path(__file__).parent / "files"
TRAIN, TEST = tg.data.digits()
SOME, OTHERS = TRAIN[:50], TEST[:40]


@dataclass(frozen=True)
class Scaled:
    """An augmentation that is an object."""

    factor: float

    def __call__(self, images, rng):
        return images * np.float32(self.factor)


class Leaky(tg.nn.Module):
    """A layer with a setting of its own, which its repr does not show."""

    def __init__(self, slope):
        self.slope = slope

    def forward(self, x):
        return tg.relu(x) - self.slope * tg.relu(-x)


def weighted(factor):
    def cost(scores, labels):
        return tg.cross_entropy(scores, labels) * factor

    return cost


def pairs(parameters):
    parameters = list(parameters)
    return parameters[:2], parameters[2:]


def scaled_cost(scores, labels, *, factor):
    return tg.cross_entropy(scores, labels) * factor


def run_of(path=None, *, p=0.4, slope=0.1, seed=5, optimizer=lambda q: SGD(q, 0.1, momentum=0.9), schedule=None,
           frozen=False, evaluation=False, train=SOME, **changes):  # fmt: skip
    """Two epochs of four steps over 50 digits, with everything that changes the bits, and the model."""
    rng = np.random.default_rng(0)
    model = tg.nn.Sequential(
        tg.nn.Flatten(), tg.nn.Linear(64, 8, rng=rng), Leaky(slope), tg.nn.Dropout(p, rng=rng),
        tg.nn.Linear(8, 10, rng=rng),
    )  # fmt: skip
    model[1].requires_grad_(not frozen)
    model[3].train(not evaluation)
    sgd = optimizer(model.parameters())
    settings = {
        "epochs": 2,
        "batch_size": 16,
        "augment": tg.data.shift(1),
        "ema": 0.8,
        "validation": OTHERS,
        "clip": 2.0,
    }
    return tg.train(
        model, train, optimizer=sgd, schedule=schedule and schedule(sgd), checkpoint=path,
        rng=None if seed is None else np.random.default_rng(seed), **settings | changes,
    )  # fmt: skip


def left_after(run, records):
    steps = iter(run)
    for _ in range(records):
        next(steps)
    steps.close()
    return run


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The checkpoint of a run that was left after its first epoch and one step more."""
    path = tmp_path_factory.mktemp("resume") / "run.npz"
    left_after(run_of(path), 6)
    return path


def copied(path, folder):
    return Path(shutil.copy(path, folder / path.name))


# What is compared -----------------------------------------------------------------------------------------------------

PIXELS = SOME.pixels.copy()
PIXELS[0, 0, 0, 0] ^= 1

CHANGES = {
    "epochs": ({"epochs": 3}, "epochs was 2, now 3"),
    "batch size": ({"batch_size": 8}, "batch_size was 16, now 8"),
    "clip": ({"clip": 1.0}, "clip was 2.0, now 1.0"),
    "no clip": ({"clip": None}, "clip was 2.0, now None"),
    "ema": ({"ema": 0.9}, "ema was 0.8, now 0.9"),
    "patience": ({"patience": 2}, "patience was None, now 2"),
    "rate": ({"optimizer": lambda q: SGD(q, 0.2, momentum=0.9)}, "lr was 0.1, now 0.2"),
    "momentum": ({"optimizer": lambda q: SGD(q, 0.1, momentum=0.8)}, "optimizer momentum was 0.9, now 0.8"),
    "nesterov": ({"optimizer": lambda q: SGD(q, 0.1, 0.9, nesterov=True)}, "optimizer nesterov was False, now True"),
    "optimizer": ({"optimizer": lambda q: Adam(q, 0.1)}, "optimizer was SGD, now Adam"),
    "fewer parameters": (
        {"optimizer": lambda q: SGD(list(q)[:2], 0.1, momentum=0.9)},
        "frozen was [], now [4.weight, ",
    ),
    "parameter groups": (
        {"optimizer": lambda q: SGD([{"params": w} for w in pairs(q)], 0.1, momentum=0.9)},
        "lr was 0.1, now [0.1, 0.1]; optimizer groups was [[1.weight, 1.bias, 4.weight, 4.bias]], now [[1.weight, ",
    ),
    "parameters in another order": (
        {"optimizer": lambda q: SGD(list(q)[::-1], 0.1, momentum=0.9)},
        "optimizer groups was [[1.weight, 1.bias, 4.weight, 4.bias]], now [[4.bias, 4.weight, 1.bias, 1.weight]]",
    ),
    "other parameters": (
        {"optimizer": lambda q: SGD(list(q)[2:], 0.1, momentum=0.9)},
        "frozen was [], now [1.weight, ",
    ),
    "schedule": ({"schedule": lambda o: CosineDecay(o, 8)}, "schedule was None, now CosineDecay"),
    "seed": ({"seed": 6}, "the order's seed was "),
    "dropout": ({"p": 0.5}, "layer 3 p was 0.4, now 0.5"),
    "a layer's own setting": ({"slope": 0.2}, "layer 2 slope was 0.1, now 0.2"),
    "frozen layer": ({"frozen": True}, "frozen was [], now [1.weight, 1.bias]"),
    "layer in evaluation mode": ({"evaluation": True}, "evaluation was [], now [3]"),
    "augmentation": ({"augment": tg.data.shift(2)}, "augment was shift(max_pixels=1), now shift(max_pixels=2)"),
    "no augmentation": ({"augment": None}, "augment was shift(max_pixels=1), now None"),
    "composed augmentation": (
        {"augment": tg.data.compose(tg.data.shift(1), tg.data.elastic(8, 3))},
        "augment was shift(max_pixels=1), now compose(steps=[shift(max_pixels=1), elastic(alpha=8.0, sigma=3.0)])",
    ),
    "augmentation as an object": ({"augment": Scaled(0.5)}, "now Scaled(factor=0.5)"),
    "cost": ({"cost": partial(scaled_cost, factor=2)}, "cost was cross_entropy, now scaled_cost(factor=2)"),
    "cost with a closure": ({"cost": weighted(2)}, "cost was cross_entropy, now cost(factor=2)"),
    "cost of an object": ({"cost": Scaled(2.0).__call__}, "cost was cross_entropy, now Scaled(factor=2.0).__call__"),
    "validation images": ({"validation": TEST[1:41]}, "the validation images or labels are others, though as many"),
    "fewer validation images": ({"validation": TEST[:39]}, "the validation images' number was 40, now 39"),
    "no validation images": ({"validation": None}, "the validation images' number was 40, now None"),
    "fewer images": ({"train": TRAIN[:49]}, "the training images' number was 50, now 49"),
    "a pixel": (
        {"train": tg.data.Dataset(PIXELS, SOME.labels, full_scale=SOME.full_scale)},
        "the training images or labels are others, though as many",
    ),
    "brightness": (
        {"train": tg.data.Dataset(SOME.pixels, SOME.labels, full_scale=32)},
        "the training images' full_scale was 16, now 32",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_that_changes_the_bits_is_refused_by_its_name(change, path):
    changes, message = CHANGES[change]
    with pytest.raises(CheckpointError) as caught:
        run_of(path, resume=True, **changes)
    text = str(caught.value)
    assert text.startswith(f"{path}: is of another run: ") and message in text and "\n" not in text
    assert ";" not in text.partition("(override")[0].partition(message)[0], "it alone, or first"


def test_the_same_settings_made_anew_are_not_refused(path, tmp_path):
    assert run_of(copied(path, tmp_path), resume=True, augment=tg.data.shift(1)).step == 5
    run = run_of(copied(path, tmp_path), resume=True, seed=None)
    assert run.step == 5 and run.overrides == [], "a run whose order nobody chose takes the checkpoint's"
    assert run.state_dict()["batches"]["seed"] == run_of().state_dict()["batches"]["seed"]


@pytest.mark.parametrize("one, other", [(0.5, 0.25), (partial(scaled_cost, factor=1), partial(scaled_cost, factor=2))])
def test_schedules_and_functions_bound_within_functions_are_compared(one, other, tmp_path):
    costs = [partial(weighted(one), labels=None), partial(weighted(other), labels=None)]
    assert plain(costs[0]) != plain(costs[1]) and plain(costs[0]) == plain(partial(weighted(one), labels=None))
    left_after(run_of(tmp_path / "a.npz", schedule=lambda o: OneCycle(o, 0.5, 8)), 3)
    with pytest.raises(CheckpointError, match=r"schedule warmup was 0\.3, now 0\.5"):
        run_of(tmp_path / "a.npz", schedule=lambda o: OneCycle(o, 0.5, 8, warmup=0.5), resume=True)
    with pytest.raises(CheckpointError, match=r"schedule was OneCycle, now None"):
        run_of(tmp_path / "a.npz", resume=True)


def test_what_is_no_setting_is_not_described():
    assert plain(np.ones(3)) is plain(tg.nn.ReLU()) is plain(tg.Tensor([1.0])) is plain((1, np.ones(3))) is None
    assert plain(np.float32(0.5)) == 0.5 and plain((1, (2.0, "a"))) == [1, [2.0, "a"]]

    def recursive(k):
        return recursive(k - 1)

    assert plain(recursive) is not None
    assert differences({"layer 0": "ReLU"}, {"layer 0": "ReLU", "layer 1": "Dropout", "layer 1 p": 0.5}) == {
        "layer 1": "layer 1 was None, now Dropout"
    }
    assert differences({}, {"layer 0": "ReLU"}) == {}, "files of version 0.1 hold no layers"


# Override -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_override_goes_on_with_the_new_setting_and_names_it(change, path, tmp_path):
    changes, message = CHANGES[change]
    changes = changes if not change.startswith("cost of") else {"cost": weighted(3)}
    run = run_of(copied(path, tmp_path), resume=True, override=True, **changes)
    assert run.overrides and (change.startswith("cost of") or message in "; ".join(run.overrides))
    assert run.step == 5 and run.epoch == 1
    records = list(run)
    assert records[0].step == 6 and run.finished and np.isfinite([r.loss for r in records]).all()
    again = run_of(tmp_path / "run.npz", resume=True, **changes)
    assert again.finished and again.overrides == [], "the file is now of the new settings"


def test_an_override_has_the_effect_of_the_setting(path, tmp_path):
    def resumed(**changes):
        return run_of(copied(path, tmp_path), resume=True, override=True, **changes)

    assert next(iter(resumed(optimizer=lambda q: SGD(q, 0.2, momentum=0.9)))).lr == 0.2
    assert resumed(optimizer=lambda q: SGD(q, 0.1, momentum=0.8)).optimizer.momentum == 0.8
    assert resumed(optimizer=lambda q: Adam(q, 0.02)).optimizer.state_dict()["steps"] == 0
    assert len([r for r in resumed(epochs=4) if type(r).__name__ == "EpochRecord"]) == 3
    assert resumed(ema=None).average is None
    without = left_after(run_of(tmp_path / "plain.npz", ema=None), 3)
    started = run_of(tmp_path / "plain.npz", resume=True, override=True)
    assert {k: a.tobytes() for k, a in started.average.items()} == bits(without.model)
    fewer = resumed(batch_size=8)
    assert fewer.batches.state_dict() | {"seed": 0} == {
        "seed": 0, "epoch": 1, "position": 0, "images": 50, "batch_size": 8, "shuffle": 1, "drop_last": 0,
    }  # fmt: skip
    assert [r.images for r in fewer if hasattr(r, "images")] == [8] * 6 + [2], "the epoch under way starts again"


def test_other_validation_images_start_the_search_for_the_best_epoch_again(path, tmp_path):
    assert run_of(copied(path, tmp_path), resume=True).best is not None
    run = run_of(copied(path, tmp_path), resume=True, override=True, validation=TEST[40:80])
    assert run.best is None and [r.best for r in run.history] == [False]
    list(run)
    assert run.history[1].best and run.best is not None
    run = run_of(copied(path, tmp_path), resume=True, override=True, validation=None)
    list(run)
    assert run.best is None and run.history[1].validation_loss is None


def test_the_consequence_for_the_schedule_is_said_in_a_line(tmp_path):
    def cycle(steps):
        return lambda optimizer: OneCycle(optimizer, 0.5, steps)

    left_after(run_of(tmp_path / "a.npz", schedule=cycle(8)), 6)

    def overrides(**changes):
        return run_of(copied(tmp_path / "a.npz", folder), resume=True, override=True, **changes).overrides

    (folder := tmp_path / "copy").mkdir()
    assert overrides(schedule=cycle(8)) == []
    rate = cycle(16)(SGD([tg.nn.Parameter([1.0])], 0.1)).rate(5)
    assert overrides(epochs=4, schedule=cycle(16)) == [
        "epochs was 2, now 4",
        "schedule total_steps was 8, now 16",
        f"schedule OneCycle was planned for 8 steps; it goes on over 16, from step 5 at lr {rate:.3g}",
    ]
    assert overrides(epochs=4, schedule=cycle(8)) == [
        "epochs was 2, now 4",
        "schedule OneCycle has 8 steps; its last rate stays up to step 16",
    ]
    run = run_of(folder / "a.npz", resume=True, override=True, epochs=4, schedule=cycle(16))
    assert [r.lr for r in run if hasattr(r, "lr")] == [run.schedule.rate(k) for k in range(5, 16)]
    run = run_of(copied(tmp_path / "a.npz", folder), resume=True, override=True)
    assert run.overrides == ["schedule was OneCycle, now None"] and next(iter(run)).lr == 0.1


def test_fit_says_what_it_overrides(path, tmp_path, capsys):
    rng = np.random.default_rng(0)

    def fit(**settings):
        model = tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Linear(64, 10, rng=np.random.default_rng(0)))
        return tg.fit(model, SOME, epochs=1, rng=rng, checkpoint=tmp_path / "a.npz", **settings)

    fit(progress="none")
    rng = np.random.default_rng(0)
    fit(resume=True, override=True, lr=0.01)
    assert capsys.readouterr().err == "fit: lr was 0.001, now 0.01\n"
    rng = np.random.default_rng(0)
    fit(resume=True, override=True, lr=0.02, progress="none")
    assert capsys.readouterr().err == ""


def test_another_model_is_never_taken_over(path, tmp_path):
    other = tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Linear(64, 10))
    with pytest.raises(CheckpointError, match=r"run\.npz: .*missing: 1\.weight|run\.npz: .*1\.weight has shape"):
        tg.train(other, SOME, epochs=2, checkpoint=copied(path, tmp_path), resume=True, override=True)
    named = tg.models.build("digits", (1, 8, 8))
    with pytest.raises(CheckpointError, match=r"is of the model \{'class': 'Sequential'\}, this one is .*'digits'"):
        tg.train(named, SOME, epochs=2, checkpoint=copied(path, tmp_path), resume=True, override=True)


# The state ------------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_from_a_state_dict_to_the_same_bits_without_any_file():
    whole = run_of()
    losses = [r.loss for r in whole]
    first = run_of()
    steps = iter(first)
    part = [next(steps).loss for _ in range(6)]
    state = first.state_dict()
    rest = [r.loss for r in steps]  # which changes nothing in the state
    second = run_of()
    second.load_state_dict(state)
    assert part + rest == losses and [r.loss for r in second] == rest
    assert bits(first.model) == bits(second.model) == bits(whole.model)
    with pytest.raises(CheckpointError, match=r"^is of another run: layer 3 p was 0\.4, now 0\.1"):
        run_of(p=0.1).load_state_dict(state)
    run = run_of(p=0.1)
    run.load_state_dict(state, override=True)
    assert run.overrides == ["layer 3 p was 0.4, now 0.1"]


def test_a_checkpoint_is_read_once_when_a_run_is_resumed(path, tmp_path, monkeypatch, capsys):
    reads = []

    def counted(name):
        reads.append(name)
        return archive.read_archive(name)

    monkeypatch.setattr(saving, "read_archive", counted)
    run_of(copied(path, tmp_path), resume=True)
    assert len(reads) == 1
    stored = read(tmp_path / "run.npz")
    assert run_of(tmp_path / "run.npz", resume=stored).step == 5 and len(reads) == 2
    command = ["train", "--kernels", "numpy", "--progress", "none"]
    assert cli.main([*command, "--epochs", "1", "--checkpoint", str(tmp_path / "c.npz")]) == 0
    assert cli.main([*command, "--resume", str(tmp_path / "c.npz")]) == 0
    assert len(reads) == 3
    capsys.readouterr()


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_goes_on_with_other_flags_if_it_is_told_to_override(tmp_path, capsys):
    path = str(tmp_path / "run.npz")
    command = ["train", "--kernels", "numpy", "--progress", "none"]
    assert cli.main([*command, "--epochs", "1", "--checkpoint", path]) == 0
    flags = ["--resume", path, "--lr", "0.01", "--epochs", "2"]
    assert cli.main([*command, *flags]) == 2
    err = capsys.readouterr().err
    assert "--epochs was 1, not 2; --lr was 0.005, not 0.01 (--override changes them)" in err
    assert cli.main([*command, *flags, "--override", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["epochs"], result["steps"], result["lr"]) == (2, 90, 0.01)
    lines = err.splitlines()
    assert lines[0] == "tinygrad-cnn: epochs was 1, now 2"
    assert any(line.startswith("tinygrad-cnn: lr was 0.005, now 0.01") for line in lines)
    assert "schedule OneCycle was planned for 45 steps; it goes on over 90, from step 45 at lr" in lines[-1]
    assert tg.checkpoint.about(path)["lr"] == 0.01, "it is of the new flags from now on"
    assert cli.main([*command, "--override"]) == 2
    assert capsys.readouterr().err == "tinygrad-cnn: error: --override goes with --resume\n"


# Files of version 0.1 -------------------------------------------------------------------------------------------------

spec = importlib.util.spec_from_file_location("make_v0_1", FILES / "make_v0_1.py")
version_0_1 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(version_0_1)
EXPECTED = json.loads((FILES / "v0_1.json").read_text())


@pytest.mark.parametrize("name", version_0_1.LEFT_AFTER)
def test_a_run_of_version_0_1_goes_on_as_it_did_there(name, tmp_path, kernel_set):
    path = Path(shutil.copy(FILES / f"v0_1_{name}.npz", tmp_path))
    run, model = version_0_1.own_run(name, path, resume=True)
    history = tg.checkpoint.history(path)
    assert history == run.history and len(history) == {"interrupted": 1, "finished": 2, "plain": 0}[name]
    assert version_0_1.losses(run) == pytest.approx(EXPECTED[name]["losses"], rel=1e-4)
    sums = {k: float(a.sum()) for k, a in model.state_dict().items()}
    assert sums == pytest.approx(EXPECTED[name]["sum"], rel=1e-3)
    loaded = tg.load(path, into=version_0_1.own_run(name, tmp_path / "new.npz")[1])
    assert bits(loaded) == bits(model)


def test_a_run_of_version_0_1_is_compared_as_far_as_its_file_tells(tmp_path):
    path = Path(shutil.copy(FILES / "v0_1_interrupted.npz", tmp_path))

    def own_run(**changes):
        return version_0_1.own_run("interrupted", path, resume=True, **changes)[0]

    with pytest.raises(CheckpointError, match=r"is of another run: epochs was 2, now 3 \(override"):
        own_run(epochs=3)
    with pytest.raises(CheckpointError, match=r"clip was 1\.0, now 2\.0; the order's seed was \d+, now \d+ \("):
        own_run(clip=2.0, rng=np.random.default_rng(9))
    with pytest.raises(CheckpointError, match=r"the validation images' number was 40, now 39 \("):
        own_run(validation=TEST[:39])
    others = tg.data.Dataset(SOME.pixels, np.roll(SOME.labels, 1), full_scale=SOME.full_scale)
    with pytest.raises(CheckpointError, match=r"the training images or labels are others, though as many \("):
        version_0_1.TRAIN, before = others, version_0_1.TRAIN
        try:
            own_run()
        finally:
            version_0_1.TRAIN = before
    run = own_run(augment=tg.data.shift(2), validation=TEST[1:41])
    assert run.step == 5 and run.overrides == [], "what the file does not tell is not compared"
    run = own_run(epochs=3, override=True)
    assert run.overrides[0] == "epochs was 2, now 3" and "its last rate stays up to step 12" in run.overrides[1]


def test_weights_of_version_0_1_are_loaded():
    model = tg.load(FILES / "v0_1_weights.npz")
    assert model.settings() == {"name": "primer", "image_shape": [1, 4, 4], "num_classes": 10}
    sums = {k: float(a.sum()) for k, a in model.state_dict().items()}
    assert sums == pytest.approx(EXPECTED["weights"], rel=1e-5)
    assert tg.checkpoint.about(FILES / "v0_1_weights.npz") == {"dataset": "digits"}


def test_a_command_of_version_0_1_goes_on(tmp_path, capsys):
    path = Path(shutil.copy(FILES / "v0_1_command.npz", tmp_path))
    assert read(path).step == 5
    assert cli.main(["train", "--resume", str(path), "--json", "--progress", "none"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["steps"], result["seed"], result["model"]) == (23, 4, "primer")
    assert result["history"][0]["loss"] == pytest.approx(EXPECTED["command"]["loss"], rel=1e-4)
