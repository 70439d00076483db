"""Make the files of version 0.1 that lie beside this script, with an installed version 0.1: python make_v0_1.py FOLDER.

Each run is left after some steps, which saves it, and then run to its end beside the file, to note how it goes on.
"""

import io
import json
import shutil
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn import cli
from tinygrad_cnn.cli import train as train_command

TRAIN, TEST = tg.data.digits()
LEFT_AFTER = {"interrupted": 6, "finished": 99, "plain": 3}  # records: an epoch is four steps and a record of its own


def own_run(name, path, **more):
    """Two epochs of 8 steps on 50 digits: with everything that has a state ("plain": with nothing of it)."""
    rng = np.random.default_rng(7)
    layers = [tg.nn.AvgPool2d(2), tg.nn.Flatten(), tg.nn.Linear(16, 5, rng=rng), tg.nn.Tanh()]
    layers += [] if name == "plain" else [tg.nn.Dropout(0.4, rng=rng)]
    model = tg.nn.Sequential(*layers, tg.nn.Linear(5, 10, bias=False, rng=rng))
    settings = {"epochs": 2, "batch_size": 16, "rng": np.random.default_rng(8), "checkpoint": path}
    if name == "plain":
        optimizer = tg.optim.Adam(model.parameters(), 0.01)
    else:
        optimizer = tg.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        settings |= {
            "schedule": tg.optim.OneCycle(optimizer, 0.2, 8), "validation": TEST[:40], "ema": 0.8, "clip": 1.0,
            "augment": tg.data.compose(tg.data.shift(1), tg.data.affine(max_degrees=10)), "patience": 2,
        }  # fmt: skip
    begin = tg.train if hasattr(tg, "train") else tg.fit  # 0.1's `fit` is 0.2's `train`
    return begin(model, TRAIN[:50], optimizer=optimizer, **settings | more), model


def losses(run, records=99):
    """The losses of the first records; leaving the run early saves it."""
    steps = iter(run)
    found = [record.loss for _, record in zip(range(records), steps, strict=False)]
    steps.close()
    return found


class AfterFiveSteps:
    """An `Interrupt` that comes when it was looked at five times."""

    looks = 0

    @property
    def status(self):
        self.looks += 1
        return 130 if self.looks >= 5 else 0


def command_line_run(path):
    """`train`, interrupted after step 5. Returns the epoch's loss when a copy of the file goes on."""
    usual, train_command.Interrupt = train_command.Interrupt, lambda: nullcontext(AfterFiveSteps())
    cli.main(["train", "--model", "primer", "--epochs", "1", "--seed", "4", "--validation", "0.2", "--batch-size", "50",
              "--kernels", "numpy", "--checkpoint", str(path)])  # fmt: skip
    train_command.Interrupt = usual
    copy = str(shutil.copy(path, path.with_name("copy.npz")))
    with redirect_stdout(io.StringIO()) as out:
        cli.main(["train", "--resume", copy, "--json"])
    return json.loads(out.getvalue())["history"][0]["loss"]


def main(folder):
    expected = {}
    for name, records in LEFT_AFTER.items():
        path = folder / f"v0_1_{name}.npz"
        losses(own_run(name, path)[0], records)
        copy = shutil.copy(path, folder / "copy.npz")
        run, model = own_run(name, copy, resume=True)
        expected[name] = {"losses": losses(run), "sum": {k: float(a.sum()) for k, a in model.state_dict().items()}}
    network = tg.models.build("primer", (1, 4, 4), 10, rng=np.random.default_rng(9))
    tg.save(network, folder / "v0_1_weights.npz", about={"dataset": "digits"})
    expected["weights"] = {k: float(a.sum()) for k, a in network.state_dict().items()}
    expected["command"] = {"loss": command_line_run(folder / "v0_1_command.npz")}
    (folder / "v0_1.json").write_text(json.dumps(expected, indent=1) + "\n")
    for leftover in ("copy.npz", *(p.name for p in folder.glob("*.previous"))):
        (folder / leftover).unlink(missing_ok=True)


if __name__ == "__main__":
    tg.set_kernels("numpy")
    main(Path(sys.argv[1]))
