"""`tg.fit`: defaults, the history, progress, Ctrl-C, and modules that stay as they are."""

import importlib
import signal
import sys
import threading
import types

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.optim import SGD, Adam
from tinygrad_cnn.training import progress as meters
from tinygrad_cnn.training.checkpoint import read
from tinygrad_cnn.training.records import EpochRecord, History, StepRecord

TRAIN, TEST = tg.data.digits()
SOME, OTHERS = TRAIN[:50], TEST[:40]


def network(seed=0):
    rng = np.random.default_rng(seed)
    return tg.nn.Sequential(
        tg.nn.Conv2d(1, 3, 3, rng=rng), tg.nn.BatchNorm2d(3), tg.nn.ReLU(), tg.nn.Flatten(),
        tg.nn.Dropout(0.2, rng=rng), tg.nn.Linear(108, 10, rng=rng),
    )  # fmt: skip


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# What it does and returns ---------------------------------------------------------------------------------------------


def test_fit_and_train_are_the_functions_and_training_is_the_room():
    assert tg.fit is tg.training.fit and tg.train is tg.training.train
    assert isinstance(tg.training, types.ModuleType)
    importlib.import_module("tinygrad_cnn.training.run")  # which sets attributes of the packages
    assert callable(tg.train) and callable(tg.fit)


def test_it_trains_as_the_generator_does_and_returns_the_history():
    fitted, trained = network(), network()
    history = tg.fit(fitted, SOME, epochs=2, rng=np.random.default_rng(1), validation=OTHERS, progress="none")
    run = tg.train(trained, SOME, epochs=2, rng=np.random.default_rng(1), validation=OTHERS)
    records = [record for record in run if isinstance(record, EpochRecord)]
    assert bits(fitted) == bits(trained)
    assert isinstance(history, History) and [r.loss for r in history] == [r.loss for r in records]


def test_its_defaults_are_adam_on_what_is_not_frozen_and_batches_of_64():
    plain, written_out = network(), network()
    for model in (plain, written_out):
        model[0].requires_grad_(False)
    tg.fit(plain, TRAIN[:100], epochs=1, rng=np.random.default_rng(1), progress="none")
    adam = Adam([p for p in written_out.parameters() if p.requires_grad], 1e-3)
    settings = {"epochs": 1, "batch_size": 64, "optimizer": adam, "rng": np.random.default_rng(1)}
    tg.fit(written_out, TRAIN[:100], progress="none", **settings)
    assert bits(plain) == bits(written_out)
    faster = network()
    faster[0].requires_grad_(False)
    tg.fit(faster, TRAIN[:100], epochs=1, lr=0.01, rng=np.random.default_rng(1), progress="none")
    assert bits(faster) != bits(plain)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"lr": 0.1, "optimizer": "own"}, ValueError, "fit: lr is the default optimizer's"),
        ({"lr": -1}, ValueError, "Adam: lr must be finite and between 0 and inf, got -1"),
        ({"progress": "loud"}, ValueError, "fit: progress must be one of auto, bar, plain, json, none, got 'loud'"),
        ({"progress": []}, ValueError, "fit: progress must be one of"),
        ({"override": True}, ValueError, "fit: override=True needs resume"),
        ({"override": 1}, TypeError, "fit: override must be True or False, got 1"),
        ({"resume": 1, "checkpoint": "a.npz"}, TypeError, "fit: resume must be True or False, got 1"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(settings, kind, message):
    model = network()
    if "optimizer" in settings:
        settings = settings | {"optimizer": SGD(model.parameters(), 0.1)}
    with pytest.raises(kind, match=message) as caught:
        tg.fit(model, SOME, **{"epochs": 1, "progress": "none"} | settings)
    assert "\n" not in str(caught.value)


def test_the_history_has_its_figures_as_lists_and_shows_itself_as_a_table():
    history = History(
        EpochRecord(k, 4 * k, 2.0 / k, 0.25 * k, 1.5, 0.5, k == 2, 0.1 * k) for k in (1, 2, 3)
    )  # fmt: skip
    assert history.loss == [2.0, 1.0, 2.0 / 3] and history.accuracy == [0.25, 0.5, 0.75]
    assert history.validation_loss == [1.5] * 3 and history.validation_accuracy == [0.5] * 3
    assert history.best is history[1] and History().best is None
    assert repr(history).splitlines() == [
        "epoch    loss  accuracy  validation loss  validation accuracy  best  seconds",
        "    1  2.0000    25.00%           1.5000               50.00%            0.1",
        "    2  1.0000    50.00%           1.5000               50.00%  best      0.2",
        "    3  0.6667    75.00%           1.5000               50.00%            0.3",
    ]
    assert history._repr_html_().count("<tr>") == 4 and "<td>66" not in history._repr_html_()
    assert history == list(history) and repr(History()) == "epoch  loss  accuracy  seconds"
    pytest.importorskip("matplotlib")
    tg.plot.curves(history)


# Progress -------------------------------------------------------------------------------------------------------------


def test_lines_where_nobody_looks_and_nothing_if_asked(capsys):
    tg.fit(network(), SOME, epochs=2, validation=OTHERS)
    out, err = capsys.readouterr()
    assert out == "" and [line.split(":")[0] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert ", validation " in err
    tg.fit(network(), SOME, epochs=2, progress="none")
    assert capsys.readouterr() == ("", "")


class Display:
    """IPython's `display` and the handle that it returns: what they show, in turn."""

    def __init__(self):
        self.shown = []

    def __call__(self, data, *, raw, display_id):
        assert raw and display_id
        return self

    def update(self, data, *, raw):
        self.shown.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for the kernel of a notebook."""
    display = Display()
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return display


def test_a_notebook_gets_a_bar_that_is_updated_in_place(notebook, monkeypatch, capsys):
    monkeypatch.setattr(meters, "_NOTEBOOK_SECONDS", 0.0)
    tg.fit(network(), SOME, epochs=2, batch_size=25)
    assert capsys.readouterr() == ("", "")
    assert len(notebook.shown) == 6 + 1
    assert "25%" in notebook.shown[0] and "██" in notebook.shown[0] and "images/s" in notebook.shown[0]
    assert "75%" in notebook.shown[3] and notebook.shown[3].startswith("epoch 1/2: loss")
    assert [line[:9] for line in notebook.shown[-1].splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_terminal_with_ipython_is_no_notebook(notebook, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: object())
    tg.fit(network(), SOME, epochs=1)
    assert not notebook.shown and capsys.readouterr().err.startswith("epoch 1/1")


# Ctrl-C ---------------------------------------------------------------------------------------------------------------


class Interrupting(tg.nn.Module):
    """A network whose user presses Ctrl-C in the middle of its third forward pass."""

    def __init__(self):
        self.inner, self.passes = network(), 0

    def forward(self, x):
        self.passes += 1
        if self.passes == 3:
            signal.raise_signal(signal.SIGINT)
        return self.inner(x)


def test_ctrl_c_lets_the_update_finish_saves_the_run_and_is_raised(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    path, model = tmp_path / "run.npz", Interrupting()
    settings = {"batch_size": 10, "epochs": 2, "rng": np.random.default_rng(1), "progress": "none"}
    with pytest.raises(KeyboardInterrupt, match=r"fit: interrupted after step 3, saved in .*run\.npz"):
        tg.fit(model, SOME, checkpoint=path, **settings)
    assert signal.getsignal(signal.SIGINT) is before
    assert read(path).step == 3 and not read(path).finished
    whole = tg.train(network(), SOME, epochs=2, batch_size=10, rng=np.random.default_rng(1))
    for record in whole:
        if record.step == 3:
            break
    inner = {name.removeprefix("inner."): array for name, array in bits(model).items()}
    assert inner == bits(whole.model), "three whole updates"


def test_without_a_checkpoint_it_says_that_nothing_is_saved():
    with pytest.raises(KeyboardInterrupt, match="after step 3, not saved"):
        tg.fit(Interrupting(), SOME, epochs=1, batch_size=10, progress="none")


def test_a_handler_of_the_callers_own_and_other_threads_are_left_alone():
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        history = tg.fit(Interrupting(), SOME, epochs=1, batch_size=10, progress="none")
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT] and len(history) == 1
    lengths = []
    settings = {"epochs": 1, "progress": "none"}
    thread = threading.Thread(target=lambda: lengths.append(len(tg.fit(network(), SOME, **settings))))
    thread.start()
    thread.join()
    assert lengths == [1]


# Modes ----------------------------------------------------------------------------------------------------------------


def statistics(model):
    return {name: a.tobytes() for name, a in model.state_dict().items() if "running" in name or "tracked" in name}


def test_a_module_in_evaluation_mode_stays_so_through_training_and_validation():
    model = network()
    model[1].eval()
    before, modes = statistics(model), []
    for record in tg.train(model, SOME, epochs=2, validation=OTHERS):
        modes.append([m.training for m in model.modules()])
        assert isinstance(record, EpochRecord | StepRecord)
    assert statistics(model) == before and set(map(tuple, modes)) == {(True, True, False, True, True, True, True)}
    assert not model[1].training and model[4].training


def test_a_model_in_evaluation_mode_as_a_whole_is_trained():
    model = network().eval()
    before = statistics(model)
    tg.fit(model, SOME, epochs=1, progress="none")
    assert statistics(model) != before and all(m.training for m in model.modules())


def test_frozen_parameters_and_the_statistics_beside_them_stay_and_the_rest_is_trained():
    model = network()
    model[:2].requires_grad_(False)
    before = bits(model)
    run = tg.train(model, SOME, epochs=2, validation=OTHERS)
    assert all(not model[1].training for _ in run)
    after = bits(model)
    frozen = [name for name in before if name.startswith(("0.", "1."))]
    assert all(before[name] == after[name] for name in frozen) and before["5.weight"] != after["5.weight"]
    assert all(m.training for m in model.modules()), "its own mode, again"
    assert not any(p.requires_grad for p in model[:2].parameters())


def test_statistics_beside_parameters_that_are_trained_move():
    model = network()
    model[0].requires_grad_(False)
    before = statistics(model)
    tg.fit(model, SOME, epochs=1, progress="none")
    assert statistics(model) != before
