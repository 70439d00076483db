"""A training that is killed again and again ends in the same bits as one that is left alone.

The training runs in processes of its own: this file, run as a program, forks one after another and kills each at a
random moment. Every step is saved, so that many of the kills fall into a write.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn.storage.archive import read_archive
from tinygrad_cnn.training import Run

pytestmark = pytest.mark.slow
KILLS = 12  # for each of the two optimizers


def training(optimizer_name, checkpoint):
    """All that has a state of its own at once: momentum, schedule, dropout, augmentation, average, best epoch."""
    train = tg.data.digits()[0][:96]
    rng = np.random.default_rng(7)
    nn = tg.nn
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 16, rng=rng), nn.ReLU(), nn.Dropout(0.5, rng=rng), nn.Linear(16, 10, rng=rng),
    )  # fmt: skip
    if optimizer_name == "adam":
        optimizer = tg.optim.Adam(model.parameters(), 0.01)
    else:
        optimizer = tg.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    run = tg.train(
        model, train, epochs=5, batch_size=10, optimizer=optimizer, schedule=tg.optim.OneCycle(optimizer, 0.05, 50),
        validation=tg.data.digits()[1][:50], augment=tg.data.affine(max_pixels=1, max_degrees=10),
        rng=np.random.default_rng(8), clip=5.0, ema=0.9, checkpoint=checkpoint, save_every=0.0, resume=True,
    )  # fmt: skip
    return run, model


def train_to_the_end(optimizer_name, checkpoint):
    run, model = training(optimizer_name, checkpoint)
    losses = [record.loss for record in run]
    np.savez(f"{checkpoint}.final.npz", **model.state_dict())
    return losses


def kill_and_resume(optimizer_name, folder, seed):
    """Fork a training, kill it, and so on until enough died and one came to its end. Returns at which steps."""
    chance = random.Random(seed)
    start = time.perf_counter()
    train_to_the_end(optimizer_name, folder / "alone.npz")
    longest = time.perf_counter() - start
    steps, finished = [], False
    while not finished or len(steps) < KILLS:
        if finished:  # it came to its end too soon: once more from the beginning
            (folder / "killed.npz").unlink()
        child = os.fork()
        if child == 0:
            train_to_the_end(optimizer_name, folder / "killed.npz")
            os._exit(0)
        if len(steps) < KILLS:
            time.sleep(chance.uniform(0, longest / 4))
            os.kill(child, signal.SIGKILL)
        finished = os.waitpid(child, 0)[1] == 0
        if not finished:
            there = (folder / "killed.npz").exists()
            steps.append(read_archive(folder / "killed.npz")[1]["run"]["step"] if there else 0)
    return steps


def without_times(state):
    """A checkpoint's state but for the seconds that training took."""
    history = [{k: v for k, v in record.items() if k != "seconds"} for record in state["history"]]
    return {k: v for k, v in state.items() if k not in ("seconds", "history")} | {"history": history}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("optimizer_name", ["sgd", "adam"])
def test_killed_at_random_moments_it_ends_in_the_same_bits(optimizer_name, tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, optimizer_name, str(tmp_path), "1"],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True, timeout=300,
    )  # fmt: skip
    steps = json.loads(done.stdout)
    assert len(steps) >= KILLS
    assert len(set(steps)) > 3, f"the kills were to fall at many moments, they fell after steps {steps}"
    (alone, about_alone), (killed, about_killed) = (read_archive(tmp_path / f"{k}.npz") for k in ("alone", "killed"))
    assert alone.keys() == killed.keys()
    for name, array in alone.items():
        assert array.tobytes() == killed[name].tobytes(), name
    assert without_times(about_alone["run"]) == without_times(about_killed["run"])
    with np.load(tmp_path / "alone.npz.final.npz") as a, np.load(tmp_path / "killed.npz.final.npz") as b:
        assert all(a[name].tobytes() == b[name].tobytes() for name in a.files)
    assert not list(tmp_path.glob(".*.tmp")), "what the killed writers left behind is swept"
    read_archive(tmp_path / "killed.npz.previous")


def test_the_test_would_notice(tmp_path):
    """A run resumed without dropout's generator goes elsewhere: the comparison above can fail."""
    first, _ = training("sgd", tmp_path / "a.npz")
    records = iter(first)
    for _ in range(7):
        next(records)
    records.close()
    honest, _ = training("sgd", tmp_path / "a.npz")
    forgetful, model = training("sgd", tmp_path / "a.npz")
    model[6].rng.bit_generator.state = np.random.default_rng(99).bit_generator.state
    assert isinstance(honest, Run)
    assert [r.loss for r, _ in zip(honest, range(5), strict=False)] != [
        r.loss for r, _ in zip(forgetful, range(5), strict=False)
    ]


if __name__ == "__main__":
    tg.set_kernels("numpy")
    print(json.dumps(kill_and_resume(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
