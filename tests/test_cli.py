"""The command line: what it prints where, its exit statuses, one line for whatever is wrong."""

import errno
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import cli, models
from tinygrad_cnn.cli._facts import _LATER, OPTIONS
from tinygrad_cnn.kernels.threads import processors
from tinygrad_cnn.storage import archive as files
from tinygrad_cnn.storage import atomic
from tinygrad_cnn.storage.archive import read_archive
from tinygrad_cnn.training import checkpoint
from tinygrad_cnn.training.interrupt import Interrupt
from tinygrad_cnn.training.progress import meter
from tinygrad_cnn.training.records import StepRecord, as_json

SHORT = ["train", "--kernels", "numpy", "--epochs", "2"]


def called(capsys, *arguments):
    """(exit status, standard output, standard error) of a command in this process."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as leaving:  # argparse
        status = leaving.code
    return status, *capsys.readouterr()


def started(*arguments):
    """A command in a process of its own."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tinygrad_cnn", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def complaint(capsys, *arguments):
    """The one line that a wrong call gets."""
    status, out, err = called(capsys, *arguments)
    assert status == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("tinygrad-cnn"), err
    assert "Traceback" not in err and "[Errno" not in err, err
    return err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A weights file of a network for the digits."""
    path = tmp_path_factory.mktemp("trained") / "w.npz"
    assert cli.main([*SHORT, "--seed", "3", "--save", str(path), "--progress", "none"]) == 0
    return path


# train ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_default_run_recognises_97_of_100_digits(capsys):
    status, out, err = called(capsys, "train", "--json")
    result = json.loads(out)
    assert status == 0 and result["test_accuracy"] >= 0.97
    assert err.splitlines()[-1].startswith("epoch 20/20: loss ")


def test_json_is_one_object_with_what_was_promised(capsys):
    status, out, _ = called(capsys, *SHORT, "--json", "--seed", "5", "--threads", "1")
    result = json.loads(out)
    assert status == 0
    assert result["epochs"] == 2 and result["seed"] == 5 and result["threads"] == 1 and result["kernels"] == "numpy"
    assert result["parameters"] == 13_706 and 0 < result["test_accuracy"] <= 1
    assert result["images_per_second"] == pytest.approx(2 * 1437 / result["train_seconds"])
    assert [r["epoch"] for r in result["history"]] == [1, 2]


def test_json_has_null_where_a_number_is_lost(trained, tmp_path, capsys):
    model = checkpoint.load(trained)
    next(model.parameters()).data[...] = np.nan
    checkpoint.save(model, tmp_path / "lost.npz")
    status, out, _ = called(capsys, "evaluate", tmp_path / "lost.npz", "--json")
    result = json.loads(out, parse_constant=pytest.fail)
    assert status == 0 and result["test_loss"] is None and result["test_accuracy"] == 0.0
    assert json.loads(as_json({"history": [{"loss": np.inf, "k": (1, np.nan)}]})) == {
        "history": [{"loss": None, "k": [1, None]}]
    }


def test_flags_override_the_recipe(capsys):
    flags = ["--model", "lenet5", "--epochs", 1, "--batch-size", 100, "--lr", 0.01, "--optimizer", "sgd"]
    _, out, _ = called(capsys, "train", *flags, "--json")
    result = json.loads(out)
    assert (result["model"], result["epochs"], result["batch_size"], result["steps"]) == ("lenet5", 1, 100, 15)
    assert (result["lr"], result["optimizer"]) == (0.01, "sgd")


def test_held_out_images_and_patience(capsys):
    flags = ["--validation", 0.25, "--patience", 1, "--lr", 1e-9, "--optimizer", "sgd"]
    _, out, err = called(capsys, "train", *flags, "--json")
    result = json.loads(out)
    assert result["epochs"] < 20 and not result["history"][-1]["best"]
    assert result["steps"] == result["epochs"] * 34, "1,078 of 1,437 images in batches of 32"
    assert re.search(r"^epoch 1/20: loss .*, validation \d\.\d{4} and \d+\.\d\d% \(best\)", err, re.M)


def test_without_json_three_lines(capsys):
    _, out, err = called(capsys, *SHORT)
    accuracy, rest, how = out.splitlines()
    assert re.fullmatch(r"test accuracy \d+\.\d\d% on 360 images, loss \d\.\d{4}", accuracy)
    assert re.fullmatch(r"digits: 13,706 parameters, 2 epochs in \d+\.\d s, [\d,]+ images/s", rest)
    assert re.fullmatch(r"numpy kernels, \d+ threads?, seed 0", how)
    assert [line.split(":")[0] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_one_is_not_many(capsys):
    _, out, _ = called(capsys, "train", "--kernels", "numpy", "--epochs", "1", "--threads", "1")
    assert " 1 epoch in " in out and " 1 thread, " in out


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(capsys):
    first, second, other = (
        {k: v for k, v in json.loads(called(capsys, *SHORT, "--json", "--seed", s)[1]).items() if "second" not in k}
        for s in (1, 1, 2)
    )
    losses = [[r["loss"] for r in result["history"]] for result in (first, second, other)]
    assert losses[0] == losses[1] != losses[2] and first["test_loss"] == second["test_loss"]


def test_a_run_that_diverges_ends_with_status_1_and_one_line(capsys):
    status, out, err = called(capsys, *SHORT, "--optimizer", "sgd", "--lr", 1e30, "--progress", "none")
    assert status == 1 and out == "" and re.match(r"tinygrad-cnn: error: fit: step \d+: .* made ", err)
    assert err.count("\n") == 1


# Interrupted and resumed ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_it_finishes_the_step_saves_and_says_how_to_go_on(number, status, tmp_path, capsys):
    options = ["--seed", 4, "--checkpoint", tmp_path / "run.npz", "--kernels", "numpy"]
    process = started("train", *options, "--epochs", 200, "--progress", "json")
    for _ in range(20):
        assert json.loads(process.stderr.readline())["record"] == "step"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status and out == ""
    last = err.splitlines()[-1]
    match = re.fullmatch(r"tinygrad-cnn: interrupted after step (\d+); go on with: tinygrad-cnn (.*)", last)
    assert match, err
    assert read_archive(tmp_path / "run.npz")[1]["run"]["step"] == int(match[1])

    assert match[2] == f"train --checkpoint {tmp_path / 'run.npz'} --resume"
    process = started(*match[2].split(), "--progress", "json")
    record = json.loads(process.stderr.readline())
    assert record["step"] == int(match[1]) + 1
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.communicate()


class AfterFiveSteps:
    """An `Interrupt` that comes when it was looked at five times."""

    looks = 0

    @property
    def status(self):
        self.looks += 1
        return 130 if self.looks >= 5 else 0


def test_a_resumed_command_ends_in_the_bits_of_one_that_was_left_alone(tmp_path, capsys, monkeypatch):
    quiet = ["--progress", "none", "--json"]
    flags = [*SHORT, "--model", "best", "--seed", "4", "--validation", "0.5", "--batch-size", "128", *quiet]
    status, out, _ = called(capsys, *flags, "--save", tmp_path / "whole.npz")
    assert status == 0
    whole = json.loads(out)

    monkeypatch.setattr(cli.train, "Interrupt", lambda: nullcontext(AfterFiveSteps()))
    assert called(capsys, *flags, "--checkpoint", tmp_path / "run.npz")[0] == 130
    monkeypatch.undo()
    status, out, _ = called(capsys, "train", "--resume", tmp_path / "run.npz", "--save", tmp_path / "parts.npz", *quiet)
    parts = json.loads(out)
    assert status == 0 and parts["steps"] == whole["steps"] == 12
    a, b = (checkpoint.load(tmp_path / f"{k}.npz").state_dict() for k in ("whole", "parts"))
    assert all(a[k].tobytes() == b[k].tobytes() for k in a)
    assert parts["test_loss"] == whole["test_loss"]


def test_a_finished_run_resumed_is_evaluated_again(tmp_path, capsys):
    first = json.loads(called(capsys, *SHORT, "--checkpoint", tmp_path / "run.npz", "--json")[1])
    status, out, err = called(capsys, "train", "--checkpoint", tmp_path / "run.npz", "--resume", "--json")
    assert (status, err) == (0, "") and json.loads(out)["test_loss"] == first["test_loss"]


def test_resuming_what_is_not_there_starts_and_says_so(tmp_path, capsys):
    status, _, err = called(capsys, *SHORT, "--checkpoint", tmp_path / "run.npz", "--resume", "--progress", "none")
    assert status == 0
    assert err == f"tinygrad-cnn: {tmp_path / 'run.npz'} is not there yet: starting from the beginning\n"
    assert (tmp_path / "run.npz").exists()


def test_resuming_with_other_settings_is_refused(tmp_path, capsys):
    called(capsys, *SHORT, "--checkpoint", tmp_path / "run.npz")
    err = complaint(capsys, "train", "--checkpoint", tmp_path / "run.npz", "--resume", "--epochs", 3, "--seed", 1)
    assert "--epochs was 2, not 3; --seed was 0, not 1" in err
    assert "--resume goes on in one file" in complaint(capsys, "train", "--resume")
    assert "--resume goes on in one file" in complaint(capsys, "train", "--resume", "a.npz", "--checkpoint", "b.npz")


def test_resuming_what_a_program_of_ones_own_began_names_the_way_to_go_on(tmp_path, capsys):
    train, _ = tg.data.digits()
    model = models.build("digits", train.image_shape)
    sgd = tg.optim.SGD(model.parameters(), 0.1)
    list(tg.train(model, train[:64], epochs=1, batch_size=32, optimizer=sgd, checkpoint=tmp_path / "own.npz"))
    err = complaint(capsys, "train", "--resume", tmp_path / "own.npz")
    assert "own.npz: was not made by 'tinygrad-cnn train'; go on with tg.fit(..., resume=True)" in err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The arrays and the metadata of a run's checkpoint."""
    path = tmp_path_factory.mktemp("finished") / "run.npz"
    assert cli.main(["train", "--epochs", "1", "--checkpoint", str(path), "--progress", "none"]) == 0
    return read_archive(path)


JUNK = (True, -1, 0, 2.5, 10**400, float("nan"), float("inf"), "", "junk\udcff\n", [], [1], {}, {"a": None}, None)
FITTING = [("data_dir", None), ("patience", None), ("validation", 0), ("seed", 0), ("seed", 10**400), ("lr", 2.5)]


@pytest.mark.slow
@pytest.mark.parametrize("fact", ["dataset", "data_dir", "model", "epochs", "batch_size", "lr", "optimizer",
                                  "validation", "patience", "seed", "kernels", "data", "reading", "augment", "balance",
                                  "normalize", "drop_last"])  # fmt: skip
def test_facts_that_are_junk_are_refused_in_one_line(fact, finished, tmp_path, capsys):
    arrays, metadata = finished
    path = tmp_path / "odd.npz"
    for junk in JUNK:
        files.write_archive(path, arrays, metadata | {"about": metadata["about"] | {fact: junk}})
        later = fact in {"model", *_LATER} and OPTIONS[fact][0](junk)  # null, true or an empty list may be right there
        if not later and not any(fact == k and type(junk) is type(v) and junk == v for k, v in FITTING):
            err = complaint(capsys, "train", "--resume", path, "--progress", "none")
            damaged = f"odd.npz: its facts are damaged: {fact} must be "
            assert damaged in err or "--data-dir goes with" in err or "there is no data set" in err
        if fact in ("dataset", "data_dir") and junk not in ("", None):
            for command in (["evaluate"], ["report", "--output", tmp_path / "r.html"], ["explain"]):
                complaint(capsys, command[0], path, *command[1:])


def test_a_fact_that_lacks_is_refused_and_one_too_many_is_not(finished, tmp_path, capsys):
    arrays, metadata = finished
    for fact in OPTIONS.keys() - _LATER.keys():
        rest = {k: v for k, v in metadata["about"].items() if k != fact}
        files.write_archive(tmp_path / "odd.npz", arrays, metadata | {"about": rest})
        assert "was not made by 'tinygrad-cnn train'" in complaint(capsys, "train", "--resume", tmp_path / "odd.npz")
    old = {k: v for k, v in metadata["about"].items() if k not in _LATER}
    files.write_archive(tmp_path / "odd.npz", arrays, metadata | {"about": old | {"by": ["me"]}})
    assert called(capsys, "train", "--resume", tmp_path / "odd.npz")[0] == 0


def test_an_unfinished_run_is_not_written_over(tmp_path, capsys, trained, monkeypatch):
    flags = [*SHORT, "--checkpoint", tmp_path / "run.npz", "--progress", "none"]
    with monkeypatch.context() as patch:
        patch.setattr(cli.train, "Interrupt", lambda: nullcontext(AfterFiveSteps()))
        called(capsys, *flags)
    assert "holds a run that was interrupted after step 5; add --resume" in complaint(capsys, *flags)
    assert called(capsys, *flags, "--resume")[0] == 0
    assert called(capsys, *flags)[0] == 0, "a finished one may be"
    assert "holds weights, not a run" in complaint(capsys, "train", "--checkpoint", trained)
    for state in (3, [1], {"finished": False}):
        files.write_archive(tmp_path / "odd.npz", {}, {"run": state})
        assert "holds weights, not a run" in complaint(capsys, "train", "--checkpoint", tmp_path / "odd.npz")
    (tmp_path / "other.npz").write_bytes(b"something else")
    assert "is not a weights file or checkpoint" in complaint(capsys, "train", "--checkpoint", tmp_path / "other.npz")


# evaluate, predict, summary -------------------------------------------------------------------------------------------


def test_evaluate_needs_only_the_weights(trained, capsys):
    status, out, _ = called(capsys, "evaluate", trained)
    assert status == 0
    head, classes, confusion, mistakes = out.split("\n\n")
    assert re.fullmatch(r"test accuracy \d+\.\d\d% on 360 images \(\d+ misclassified\), loss \d\.\d{4}", head)
    header, *rows = classes.splitlines()
    assert header.split() == ["class", "images", "recall", "precision"] and len(rows) == 10
    assert rows[3].split()[:2] == ["3", "37"]
    header, *rows = confusion.splitlines()[1:]
    assert header.split() == [*map(str, range(10))] and len(rows) == 10
    assert sum(int(count) for count in re.sub(r"\.( |$)", "0 ", rows[3]).split()[1:]) == 37, "images of a 3"
    first = mistakes.splitlines()[1].split()
    assert "most confident mistakes" in mistakes and 0 <= int(first[0]) < 360 and first[-1].endswith("%")
    assert max(map(len, out.splitlines())) < 80
    result = json.loads(called(capsys, "evaluate", trained, "--json")[1])
    assert result["test_accuracy"] == pytest.approx(1 - len(result["misclassified"]) / 360)
    assert np.trace(result["confusion"]) == 360 - len(result["misclassified"])


def images_of(path):
    """The first three test digits, as the kind of file that the path's ending says."""
    images = tg.data.digits()[1].images[:3]
    pixels = (images[:, 0] * 255).round().astype(np.uint8)
    if path.suffix == ".npy":
        np.save(path, pixels if "bytes" in path.name else images)
    elif path.suffix == ".pgm" and "text" in path.name:
        path.write_text("P2 # made here\n8 8\n255\n" + " ".join(map(str, pixels[0].ravel())))
    elif path.suffix == ".pgm":
        path.write_bytes(b"P5\n# made here\n8 8 255\n" + pixels[0].tobytes())
    elif path.suffix == ".png":
        image = pytest.importorskip("matplotlib.image")
        image.imsave(path, pixels[0], cmap="gray", vmin=0, vmax=255)
    else:
        content = struct.pack(">HBBIII", 0, 8, 3, 3, 8, 8) + pixels.tobytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.npy", "bytes.npy", "a.pgm", "text.pgm", "a.png", "a-idx3-ubyte", "a.gz"])
def test_predict_reads_image_files_of_every_kind(name, trained, tmp_path, capsys):
    path = images_of(tmp_path / name)
    status, out, err = called(capsys, "predict", trained, path, "--json")
    assert (status, err) == (0, "")
    predictions = json.loads(out)["predictions"]
    network = checkpoint.load(trained)
    count = len(predictions)
    assert count in (1, 3)
    scores = tg.softmax(network(tg.Tensor(tg.data.digits()[1].images[:count])))
    assert [p["class"] for p in predictions] == scores.data.argmax(1).tolist()
    np.testing.assert_allclose([p["confidence"] for p in predictions], scores.data.max(1), atol=0.02)
    lines = called(capsys, "predict", trained, path)[1].splitlines()
    where = re.escape(str(path)) + ("" if path.suffix in (".pgm", ".png") else r"\[0\]")
    assert len(lines) == count and re.fullmatch(rf"{where}: \d \d+\.\d%( \(\d \d+\.\d%(, \d \d+\.\d%)?\))?", lines[0])


def bad_images(folder):
    """Files that are no images for the network, by what shall be said of them."""
    whole = images_of(folder / "whole.npy").read_bytes()
    made = {
        "holds no pictures": folder,
        "is empty": b"",
        "holds no image (its shape is (0, 8, 8))": np.zeros((0, 8, 8), np.uint8),
        "has shape (), the network takes images of shape (1, 8, 8)": np.array(3, np.uint8),
        "No such file": folder / "none.npy",
        "has shape (2, 9, 9), the network takes images of shape (1, 8, 8)": np.zeros((2, 9, 9), np.float32),
        "holds float64 outside its range: floats are 0 to 1, integers 0 to 255": np.full((8, 8), 2.0),
        "holds float64 outside its range": np.full((8, 8), np.nan),
        "holds int64 outside its range": np.full((8, 8), 256),
        "holds bool outside its range": np.zeros((8, 8), bool),
        "is not a .npy image, or is damaged": whole[: len(whole) // 2],
        "is not a .npy image, or is damaged ": b"<!DOCTYPE html>",
        "is not a .npy image, or is damaged  ": whole.replace(b"(3, 1, 8, 8)", b"(2**40, 8,)"),
        "holds more than one array": whole + b"trailing",
    }
    for k, (reason, content) in enumerate(made.items()):
        path = folder / f"bad{k}.npy"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path = content
        yield reason.strip(), path


def test_predict_refuses_files_that_are_no_images(trained, tmp_path, capsys):
    for reason, path in bad_images(tmp_path):
        err = complaint(capsys, "predict", trained, path)
        assert str(path) in err
        assert reason in err
    np.save(tmp_path / "pickle.npy", np.array([print], dtype=object), allow_pickle=True)
    assert "is not a .npy image" in complaint(capsys, "predict", trained, tmp_path / "pickle.npy")
    for content in (b"P5 9 9 255 ", b"P5 8 8 65535 \0", b"P6 8 8 255 ", b"P5", b"P5 " + b"9" * 5000, b"P2 2 1 255 1 x"):
        (tmp_path / "bad.pgm").write_bytes(content)
        complaint(capsys, "predict", trained, tmp_path / "bad.pgm")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    complaint(capsys, "predict", trained, tmp_path / "bad.png")


@pytest.mark.parametrize("name", ["photo.jpg", "photo", "photo.png", "photo.pgm"])
def test_predict_names_a_damaged_picture(name, trained, tmp_path, capsys):
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    assert f"{name}: is damaged" in complaint(capsys, "predict", trained, tmp_path / name)


def test_predict_names_the_extra_that_a_picture_needs(trained, tmp_path, capsys, monkeypatch):
    path = images_of(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert "pip install 'tinygrad_cnn[cli]'" in complaint(capsys, "predict", trained, path)


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e30])
def test_predict_gives_no_class_where_the_scores_are_not_numbers(weight, tmp_path, capsys):
    model = models.build("digits", (1, 8, 8))
    for parameter in model.parameters():
        parameter.data[...] = weight
    checkpoint.save(model, tmp_path / "lost.npz")
    np.save(tmp_path / "two.npy", np.full((2, 8, 8), 0.5))
    arguments = "predict", tmp_path / "lost.npz", tmp_path / "two.npy"
    assert "two.npy[0]: the network's scores for it are not numbers" in complaint(capsys, *arguments)
    found = json.loads(called(capsys, *arguments, "--json")[1])["predictions"]
    assert [(p["index"], p["class"], p["confidence"]) for p in found] == [(0, None, None), (1, None, None)]


def test_of_lost_numbers_explain_and_export_warn_in_one_line(tmp_path, capsys):
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = models.build("digits", (1, 8, 8))
    model[0].weight.data[...] = np.nan
    checkpoint.save(model, tmp_path / "lost.npz")
    for rest in (["explain"], ["export", tmp_path / "lost.onnx"]):
        status, _, err = called(capsys, rest[0], tmp_path / "lost.npz", *rest[1:])
        assert (status, err) == (0, f"tinygrad-cnn: {tmp_path / 'lost.npz'}: holds NaN or infinity in 0.weight\n")


@pytest.mark.slow
def test_predict_survives_bit_flips_and_cuts(trained, tmp_path, capsys):
    """Pixels have no checksum: another picture may come of it, but never another kind of failure."""
    rng = np.random.default_rng(0)
    for name in ("a.npy", "a.pgm", "text.pgm", "a-idx3-ubyte", "a.gz"):
        whole = images_of(tmp_path / name).read_bytes()
        variants = [whole[: len(whole) * k // 16] for k in range(16)]
        for _ in range(40):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            variants.append(bytes(damaged))
        for content in variants:
            (tmp_path / name).write_bytes(content)
            status, _, err = called(capsys, "predict", trained, tmp_path / name, "--json")
            assert status == 0 or (status == 2 and err.count("\n") == 1), err


def test_summary_of_a_name_and_of_a_file(trained, capsys):
    status, out, _ = called(capsys, "summary", "nielsen")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "nielsen: images 1x28x28 (C x H x W), 10 classes"
    assert lines[1].startswith("recipe: 3 epochs, batches of 64, adam at 0.003; the book, chapter 6")
    assert re.search(r"Conv2d\(1, 20, 5\)  +20x24x24 +520 +288,000$", lines[3])
    assert re.match(r"total +85,670 +1,633,000$", lines[-1])
    assert "images 1x8x8" in called(capsys, "summary", "nielsen", "--dataset", "digits")[1]
    assert re.search(r"total +13,706 ", called(capsys, "summary", trained)[1])


# Wrong calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--epochs", "0"], "argument --epochs: must be above 0 and finite, got 0"),
        (["train", "--epochs", "two"], "argument --epochs: must be an integer, got 'two'"),
        (["train", "--lr", "nan"], "argument --lr: must be above 0"),
        (["train", "--lr", "inf"], "argument --lr: must be above 0 and finite, got inf"),
        (["train", "--batch-size", "-3"], "argument --batch-size: must be above 0"),
        (["train", "--seed", "-1"], "argument --seed: must be 0 or more, got -1"),
        (["train", "--model", "nobody"], "nobody: is no file and no network"),
        (["train", "--model", "fas"], "did you mean fast?"),
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["train", "--threads", "0"], "argument --threads: must be above 0"),
        (["train", "--validation", "1.5"], "argument --validation: must be at least 0 and below 1, got 1.5"),
        (["train", "--validation", "nan"], "argument --validation: must be at least 0 and below 1, got nan"),
        (["train", "--validation", "half"], "argument --validation: must be a number, got 'half'"),
        (["train", "--seed", "x"], "argument --seed: must be an integer, got 'x'"),
        (["report", "w.npz", "--output", "/nowhere/r.html"], "--output /nowhere/r.html: there is no folder /nowhere"),
        (["report", "w.npz", "--output", "r" * 300], f"{'r' * 300}: File name too long"),
        (["export", "w.npz", "/nowhere/w.onnx"], "export: /nowhere/w.onnx: there is no folder /nowhere"),
        (["train", "--patience", "3"], "fit: patience needs validation images to judge by"),
        (["train", "--data-dir", "/tmp"], "the digits come with the program"),
        (["train", "--dataset", "mnist", "--data-dir", "/nowhere"], "/nowhere: is not a folder"),
        (["train", "--save", "/nowhere/w.npz"], "--save /nowhere/w.npz: there is no folder /nowhere"),
        (["train", "--checkpoint", "/nowhere/c.npz"], "--checkpoint /nowhere/c.npz: there is no folder /nowhere"),
        (["train", "--checkpoint", "/"], "--checkpoint /: is a folder"),
        (["train", "--checkpoint", "a.npz", "--save", "./a.npz"], "--save ./a.npz: is the checkpoint's file"),
        (["train", "--save", "w.pt"], "--save w.pt: the name must end in .npz or .safetensors"),
        (["train", "--checkpoint", "model.txt"], "--checkpoint model.txt: the name must end in .npz"),
        (["train", "--checkpoint", "run.safetensors"], "the name must end in .npz"),
        (["train", "--threads", "100000"], f"must be at most {processors()}, the processors there are to run on"),
        (["evaluate", "/nowhere.npz"], "/nowhere.npz: No such file or directory"),
        (["evaluate", __file__], "is not a weights file or checkpoint"),
        (["predict", "/nowhere.npz", "a.npy"], "/nowhere.npz: No such file or directory"),
        (["summary", "nobody"], "nobody: is no file and no network; the networks are digits, primer"),
        (["summary", "lenet"], "did you mean lenet5?"),
        (["summary", "nobody.npz"], "nobody.npz: No such file or directory"),
        (["summary", "nobody", "--dataset", "digits"], "--dataset goes with the name of a model"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_said_in_one_line(arguments, said, capsys):
    assert said in complaint(capsys, *arguments)


def test_files_in_a_folder_that_cannot_be_written_to_are_refused(tmp_path, capsys, monkeypatch):
    def refused(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(atomic, "open", refused, raising=False)
    for flag in ("--save", "--checkpoint"):
        assert "cannot be written (Permission denied)" in complaint(capsys, "train", flag, tmp_path / "a.npz")


def test_weights_for_other_images_are_refused(trained, tmp_path, capsys):
    checkpoint.save(models.build("nielsen", (1, 28, 28)), tmp_path / "w.npz")
    err = complaint(capsys, "evaluate", tmp_path / "w.npz", "--dataset", "digits")
    assert "takes 1x28x28 images of 10 classes; digits has 1x8x8 of 10" in err
    model = tg.nn.Sequential(tg.nn.Linear(3, 2))
    checkpoint.save(model, tmp_path / "own.npz")
    assert "does not say which images its network takes" in complaint(capsys, "predict", tmp_path / "own.npz", "a.npy")


def test_a_data_set_that_only_the_file_knows_is_refused(tmp_path, capsys):
    checkpoint.save(models.build("digits", (1, 8, 8)), tmp_path / "w.npz", about={"dataset": "birds"})
    assert "there is no data set 'birds'" in complaint(capsys, "evaluate", tmp_path / "w.npz")


def test_help_is_printed_for_every_command_and_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = called(capsys, "--help")
    assert status == 0
    for command in ("train", "evaluate", "predict", "summary", "demo", "explain", "export", "page", "report"):
        assert command in out
        status, text, _ = called(capsys, command, "--help")
        assert status == 0 and max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize("name", models.RECIPES)
def test_summaries_of_named_networks_fit_a_terminal(name, capsys):
    out = called(capsys, "summary", name)[1]
    assert max(len(line) for line in out.splitlines() if not line.startswith("recipe:")) <= 80


def test_in_another_thread_signals_are_left_as_they_are():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interrupt() as interrupt:
            seen.append((signal.getsignal(signal.SIGINT), interrupt.status))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, 0)]


# Around the process ---------------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_error():
    process = started("summary", "best")
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_named():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "tinygrad_cnn", "summary", "digits"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    expected = f"tinygrad-cnn: error: standard output: {os.strerror(errno.ENOSPC)}\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.slow
def test_training_goes_on_when_nobody_reads_its_progress(tmp_path):
    process = started(*SHORT, "--progress", "json", "--save", tmp_path / "w.npz")
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(60) == 0
    assert process.stdout.read().startswith("test accuracy")
    process.stdout.close()
    assert checkpoint.about(tmp_path / "w.npz")["epochs"] == 2


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("progress", ["plain", "json"])
def test_training_goes_on_when_standard_error_cannot_be_written_to(progress, tmp_path):
    command = [sys.executable, "-m", "tinygrad_cnn", *SHORT, "--progress", progress, "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, timeout=120, check=False)
    assert json.loads(done.stdout)["epochs"] == 2 and done.returncode == 0


def test_a_terminal_that_hangs_up_twice_is_noted_once_and_nohup_is_obeyed():
    before = signal.getsignal(signal.SIGHUP)
    try:
        with Interrupt() as interrupt:
            for _ in range(2):
                signal.raise_signal(signal.SIGHUP)
        assert interrupt.status == 129 and signal.getsignal(signal.SIGHUP) == before
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGHUP)
        assert interrupt.status == 0 and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_without_a_standard_output_or_error_it_works():
    for command, wanted in ((["summary", "tiny"], "stdout"), ([*SHORT, "--json"], "stderr")):
        closed = {"stdout": ">&-", "stderr": "2>&-"}[wanted]
        words = f"{sys.executable} -m tinygrad_cnn {' '.join(command)} {closed}"
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and getattr(done, wanted) == ""
    assert json.loads(done.stdout)["epochs"] == 2, "standard output holds the object and nothing else"


@pytest.mark.slow
def test_in_an_ascii_locale_and_optimised():
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-O", "-W", "error", "-m", "tinygrad_cnn", *SHORT, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2


@pytest.mark.slow
def test_on_a_terminal_there_is_a_bar():
    pytest.importorskip("rich")
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_cnn", *SHORT, "--epochs", "6"],
        text=True, stdout=subprocess.PIPE, stderr=slave,
        env=os.environ
        | {"TERM": "xterm-256color", "COLUMNS": "110", "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and out.startswith("test accuracy")
    os.close(master)
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown).decode()
    assert "epoch 6/6" in text and "images/s" in text and "accuracy" in text and "━" in text


def test_records_as_json_lines(capsys):
    _, _, err = called(capsys, *SHORT, "--progress", "json")
    records = [json.loads(line) for line in err.splitlines()]
    assert [r["record"] for r in records].count("epoch") == 2 and len(records) == 2 * 45 + 2
    assert records[0]["step"] == 1 and records[-1]["epoch"] == 2


def test_a_long_epoch_is_told_about_in_between(monkeypatch, capsys):
    clock = iter(np.arange(0.0, 1000.0, 6.0))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    step = StepRecord(1, 1, 1, 9, 32, 2.0, 0.5, 0.1, 1.0)
    with meter("plain", 3) as show:
        for _ in range(4):
            show(step)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1/3, batch 1/9: loss 2.0000, accuracy 50.00%, ")
