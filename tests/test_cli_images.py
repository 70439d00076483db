"""The whole way of people's own images through the commands: train, evaluate, predict, report, export, with names."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow")
from image_sources import SHAPES, shape_picture, write_folder, write_idx, write_table
from PIL import Image

import tinygrad_cnn as tg
from tinygrad_cnn import cli, nn
from tinygrad_cnn.training import checkpoint

FAST = ["--kernels", "numpy", "--progress", "none", "--epochs", "2"]
TRAIN, TEST = tg.data.digits()


def called(capsys, *arguments):
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as leaving:
        status = leaving.code
    return status, *capsys.readouterr()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def shapes(folder="shapes", counts=(12, 10, 8)):
    root = write_folder(folder, counts, modes=("RGB", "RGBA", "L"), suffixes=(".png", ".jpg"))
    (root / "cross" / "damaged.jpg").write_bytes(b"\xff\xd8\xff" + b"0" * 50)
    return root


def sources(tmp_path):
    """What people keep images in, and the names of the classes."""
    np.savez("digits.npz", x_train=TRAIN.pixels[:300, 0], y_train=TRAIN.labels[:300],
             x_test=TEST.pixels[:80, 0], y_test=TEST.labels[:80])  # fmt: skip
    write_table("train.csv", TRAIN.pixels[:300, 0], TRAIN.labels[:300].tolist())
    for part in ("train", "test"):
        labels = np.arange(60) % 4 + 1
        write_idx(Path("emnist", f"emnist-letters-{part}-images-idx3-ubyte.gz"), np.random.rand(60, 12, 12) * 255)
        write_idx(Path("emnist", f"emnist-letters-{part}-labels-idx1-ubyte.gz"), labels)
    Path("emnist", "emnist-letters-mapping.txt").write_text("\n".join(f"{k} {64 + k} {96 + k}" for k in range(1, 5)))
    shapes()
    return {
        "shapes": (SHAPES, ["--skip-damaged", "--size", "16", "--model", "digits"]),
        "train.csv": (tuple("0123456789"), []),
        "digits.npz": (tuple("0123456789"), []),
        "emnist": (("A/a", "B/b", "C/c", "D/d"), []),
    }


@pytest.mark.parametrize("source", ["shapes", "train.csv", "digits.npz", "emnist"])
def test_train_evaluate_predict_report_and_export_with_names(source, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnx")
    names, flags = sources(tmp_path)[source]
    status, out, err = called(capsys, "train", "--data", source, *flags, *FAST, "--save", "net.npz")
    assert status == 0, err
    assert f"tinygrad-cnn: {len(names)} classes: {', '.join(names)}; " in err
    assert err.count(" images, ") == 1 and "test accuracy" in out
    status, out, err = called(capsys, "evaluate", "net.npz")
    assert status == 0 and all(f"\n{name} " in out for name in names), out
    result = json.loads(called(capsys, "evaluate", "net.npz", "--json")[1])
    assert result["class_names"] == list(names)
    network = checkpoint.load("net.npz")
    assert network.class_names == names
    size = network.image_shape[1:]
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(picture).save("photo.jpg")
    status, out, err = called(capsys, "predict", "net.npz", "photo.jpg", "--as-is")
    assert status == 0 and out.split(": ")[1].split(" ")[0] in names
    assert called(capsys, "report", "net.npz", "--output", "r.html")[0] == 0
    html = Path("r.html").read_text()
    assert all(name in html for name in names)
    assert called(capsys, "export", "net.npz", "net.onnx")[0] == 0
    status, out, _ = called(capsys, "summary", "net.npz")
    assert status == 0 and (f"classes: {', '.join(names)}" in out or names == tuple("0123456789"))
    assert called(capsys, "explain", "net.npz")[0] == 0


def test_damaged_pictures_stop_the_training_before_it_begins(capsys):
    shapes()
    status, out, err = called(capsys, "train", "--data", "shapes", *FAST)
    assert status == 2 and out == "" and "1 picture cannot be read: cross/damaged.jpg; --skip-damaged" in err


def test_colour_pictures_of_any_size_by_the_default_network(capsys):
    write_folder("shapes", (12, 10, 8))
    status, out, _ = called(capsys, "train", "--data", "shapes", *FAST, "--save", "net.npz", "--json")
    assert status == 0 and json.loads(out)["model"] == "photo"
    big = shape_picture("square", (400, 300), np.random.default_rng(0))
    big.save("big.bmp")
    transparent = shape_picture("circle", (60, 60), np.random.default_rng(0), "RGBA")
    transparent.save("ring.png")
    transparent.convert("P").save("ring.gif")
    status, out, _ = called(capsys, "predict", "net.npz", "big.bmp", "ring.png", "ring.gif", "--json")
    found = json.loads(out)["predictions"]
    assert status == 0 and [p["file"] for p in found] == ["big.bmp", "ring.png", "ring.gif"]
    for p in found:
        assert p["class_name"] in SHAPES and abs(sum(p["probabilities"].values()) - 1) < 1e-5


def test_folders_standard_input_and_one_bad_file_among_good_ones(capsys, monkeypatch):
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 16, "--model", "digits", *FAST, "--save", "net.npz")
    status, out, _ = called(capsys, "predict", "net.npz", "shapes/circle")
    assert status == 0 and len(out.splitlines()) == 12
    Path("bad.png").write_bytes(b"nothing")
    status, out, err = called(capsys, "predict", "net.npz", "bad.png", "shapes/cross/img1.png", "none.png")
    assert status == 2 and len(out.splitlines()) == 1
    assert "bad.png: is no picture" in err and "none.png: No such file" in err
    content = Path("shapes/square/img0.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, out, _ = called(capsys, "predict", "net.npz", "-")
    assert status == 0 and out.startswith("-: ")


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are bytes on POSIX")
def test_a_file_name_that_cannot_be_printed_does_not_stop_the_others(capsys):
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 16, "--model", "digits", *FAST, "--save", "net.npz")
    strange = b"ring\xff.png".decode(sys.getfilesystemencoding(), "surrogateescape")
    shape_picture("circle", (30, 30), np.random.default_rng(0)).save(strange)
    status, out, _ = called(capsys, "predict", "net.npz", strange, "shapes/circle/img0.png")
    assert status == 0 and len(out.splitlines()) == 2 and "ring" in out


def test_show_writes_what_the_network_saw(capsys):
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 16, "--model", "digits", *FAST, "--save", "net.npz")
    status, _, err = called(capsys, "predict", "net.npz", "shapes/circle", "--show", "seen.png")
    assert status == 0 and "12 images as the network saw them" in err
    with Image.open("seen.png") as seen:
        size = seen.size
    assert size == (4 * (16 * 7 + 4) + 4, 3 * (16 * 7 + 4) + 4)
    status, _, err = called(capsys, "predict", "net.npz", "shapes/circle", "--show", "seen.txt")
    assert status == 2 and "must end in .png" in err


@pytest.mark.parametrize("colour", [(0, 0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 255)])
def test_a_blank_picture_has_no_class(capsys, colour):
    called(capsys, "train", *FAST, "--save", "net.npz")
    Image.new("RGBA", (40, 40), colour).save("blank.png")
    status, out, err = called(capsys, "predict", "net.npz", "blank.png")
    assert (status, out) == (2, "") and "blank.png: is blank, no ink was found on it" in err
    assert called(capsys, "predict", "net.npz", "blank.png", "--as-is")[0] == 0


def test_a_sequential_of_ones_own_needs_no_code(capsys, tmp_path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, rng=rng))
    tg.fit(model, TRAIN[:300], epochs=1, progress="none", rng=rng)
    tg.save(model, "own.npz")
    for command in (["evaluate", "own.npz"], ["summary", "own.npz"], ["explain", "own.npz"],
                    ["export", "own.npz", "own.onnx"], ["report", "own.npz", "--output", "r.html"]):  # fmt: skip
        status, _, err = called(capsys, *command)
        assert status == 0, err
    expected = tg.evaluate(model, TEST).accuracy
    assert json.loads(called(capsys, "evaluate", "own.npz", "--json")[1])["test_accuracy"] == expected
    result = json.loads(
        called(capsys, "train", "--init", "own.npz", "--lr", 0.01, *FAST, "--save", "more.npz", "--json")[1]
    )
    assert result["model"] == "own" and result["test_accuracy"] > expected
    tg.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "bare.npz")
    status, _, err = called(capsys, "evaluate", "bare.npz")
    assert status == 0, err


def test_init_takes_what_fits_and_lists_the_rest(capsys):
    called(capsys, "train", *FAST, "--save", "net.npz")
    write_folder("shapes", (12, 10, 8))
    flags = ["--data", "shapes", "--size", 8, "--channels", 1, "--model", "digits", "--lr", 1e-9, "--optimizer", "sgd"]
    status, _, err = called(capsys, "train", "--init", "net.npz", *flags, *FAST, "--save", "more.npz")
    assert status == 0
    assert "6 arrays of 8 taken; new: 9.weight ((3, 64), there (10, 64)), 9.bias ((3,), there (10,))" in err
    one, other = checkpoint.load("net.npz"), checkpoint.load("more.npz")
    np.testing.assert_allclose(other[0].weight.data, one[0].weight.data, atol=1e-5)


def test_an_onnx_file_is_evaluated_predicted_with_and_fine_tuned(capsys):
    pytest.importorskip("onnx")
    called(capsys, "train", *FAST, "--save", "net.npz")
    called(capsys, "export", "net.npz", "net.onnx")
    one = json.loads(called(capsys, "evaluate", "net.npz", "--json")[1])
    other = json.loads(called(capsys, "evaluate", "net.onnx", "--json")[1])
    assert one["confusion"] == other["confusion"]
    assert called(capsys, "summary", "net.onnx")[0] == 0
    np.save("digit.npy", TEST.images[:2])
    assert called(capsys, "predict", "net.onnx", "digit.npy")[0] == 0
    result = json.loads(called(capsys, "train", "--init", "net.onnx", *FAST, "--save", "more.onnx", "--json")[1])
    assert result["test_accuracy"] > one["test_accuracy"]
    again = json.loads(called(capsys, "evaluate", "more.onnx", "--json")[1])
    assert again["test_accuracy"] == result["test_accuracy"]


def test_the_file_knows_where_its_images_are_but_no_absolute_path(capsys, tmp_path, monkeypatch):
    write_folder("shapes", (12, 10, 8))
    for place in ("shapes", str(tmp_path / "shapes"), "./shapes/../shapes"):
        called(capsys, "train", "--data", place, "--size", 8, "--model", "digits", *FAST, "--save", "net.npz")
        assert str(tmp_path).encode() not in Path("net.npz").read_bytes()
        assert called(capsys, "evaluate", "net.npz")[0] == 0
    Path("shapes").rename("moved")
    status, _, err = called(capsys, "evaluate", "net.npz")
    assert status == 2 and "was trained on" in err and "say where by --data PATH" in err
    assert called(capsys, "evaluate", "net.npz", "--data", "moved")[0] == 0


def test_other_data_are_aligned_by_the_names_of_their_classes(capsys):
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 12, "--model", "digits", *FAST, "--save", "net.npz")
    write_folder("more", (6, 6, 6), seed=1)
    for file in Path("more", "circle").iterdir():
        file.unlink()
    status, out, _ = called(capsys, "evaluate", "net.npz", "--data", "more", "--json")
    result = json.loads(out)
    assert status == 0 and result["class_names"] == list(SHAPES) and sum(result["confusion"][0]) == 0
    Path("more", "square").rename(Path("more", "star"))
    status, _, err = called(capsys, "evaluate", "net.npz", "--data", "more")
    assert status == 2 and "among them 'star'" in err


def test_unequal_classes_are_balanced_and_said(capsys):
    write_folder("shapes", (60, 30, 10))
    status, out, err = called(capsys, "train", "--data", "shapes", "--size", 12, "--model", "digits", "--balance",
                              "--kernels", "numpy", "--epochs", "2", "--progress", "plain")  # fmt: skip
    assert status == 0 and "balanced accuracy" in out
    assert "advice: the classes are unequal" in err or "5" in err


@pytest.mark.parametrize("names", ["none", "flip,crop", "brightness,cutout,affine"])
def test_augmentations_by_name(capsys, names):
    write_folder("shapes", (12, 10, 8))
    flags = ["--data", "shapes", "--size", 12, "--model", "digits", "--augment", names, "--normalize", "--drop-last"]
    flags += ["--batch-size", 8]
    assert called(capsys, "train", *flags, *FAST, "--save", "net.npz", "--log-dir", "logs")[0] == 0
    assert isinstance(checkpoint.load("net.npz")[0], nn.Normalize)
    assert {p.name.split(".")[0] for p in Path("logs").iterdir()} == {"history", "events"}
    status, _, err = called(capsys, "train", "--augment", "rain")
    assert status == 2 and "must be none, or some of affine, crop" in err


def test_an_interrupted_run_on_a_folder_goes_on(capsys, tmp_path):
    write_folder("shapes", (12, 10, 8))
    flags = ["--data", "shapes", "--size", 12, "--model", "digits", "--kernels", "numpy", "--progress", "none"]
    called(capsys, "train", *flags, "--epochs", 3, "--checkpoint", "run.npz", "--save", "a.npz")
    status, out, _ = called(capsys, "train", "--resume", "run.npz", "--epochs", 5, "--override", "--progress", "none",
                            "--json")  # fmt: skip
    assert status == 0 and json.loads(out)["epochs"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--data", "x", "--dataset", "mnist"], "--data and --dataset: choose one"),
        (["train", "--data", "x", "--data-dir", "y"], "--data-dir goes with --dataset"),
        (["train", "--data", "nowhere"], "nowhere: is not there"),
        (["train", "--size", "8"], "--size goes with --data"),
        (["train", "--data", "x", "--size", "8x"], "--size: must be a number of pixels such as 64"),
        (["train", "--init", "nowhere.npz"], "nowhere.npz: No such file"),
        (["train", "--log-dir", "file"], "--log-dir file: is not a folder"),
        (["explain", "--size", "8"], "--size goes with --data or --dataset"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, said, capsys):
    Path("file").write_text("")
    status, out, err = called(capsys, *arguments)
    assert status == 2 and out == "" and said in err and err.count("\n") == 1


def test_what_a_command_needs_at_its_end_is_checked_at_its_start(capsys, monkeypatch):
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *a: None if name in ("safetensors", "onnx") else find(name, *a))
    for name, extra in (("w.safetensors", "safetensors"), ("w.onnx", "onnx")):
        status, out, err = called(capsys, "train", *FAST, "--save", name)
        assert (status, out) == (2, "") and f"pip install 'tinygrad_cnn[{extra}]'" in err


def test_the_version_is_said(capsys):
    assert called(capsys, "--version")[:2] == (0, f"tinygrad-cnn {tg.__version__}\n")


def test_weights_of_other_classes_are_not_taken_by_their_place(capsys):
    """The output neuron of a class goes to the class of that name, and a class without one begins anew."""
    write_folder("shapes", (12, 10, 8))
    flags = ["--size", 12, "--model", "digits", *FAST]
    called(capsys, "train", "--data", "shapes", *flags, "--save", "net.npz")
    write_folder("other", (6, 6, 6))
    Path("other", "circle").rename(Path("other", "zebra"))  # now: cross, square, zebra
    rate = ["--lr", 1e-9, "--optimizer", "sgd"]
    status, _, err = called(capsys, "train", "--data", "other", "--init", "net.npz", *flags, *rate, "--save", "b.npz")
    assert status == 0 and "the output neurons of zebra are new" in err
    one, other = checkpoint.load("net.npz")[-1].weight.data, checkpoint.load("b.npz")[-1].weight.data
    np.testing.assert_allclose(other[:2], one[1:], atol=1e-5)
    assert not np.allclose(other[2], one[0], atol=1e-3)


def test_other_data_are_tested_whole(capsys):
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 12, "--model", "digits", *FAST, "--save", "net.npz")
    write_folder("new", (5, 6, 7), seed=2)
    result = json.loads(called(capsys, "evaluate", "net.npz", "--data", "new", "--json")[1])
    assert [sum(row) for row in result["confusion"]] == [5, 6, 7]
    result = json.loads(called(capsys, "evaluate", "net.npz", "--data", "shapes", "--json")[1])
    assert result["test_images"] == 6, "of its own images, those that it did not learn from"
    for name in ("cross", "square"):
        for file in Path("new", name).iterdir():
            file.unlink()
        Path("new", name).rmdir()
    result = json.loads(called(capsys, "evaluate", "net.npz", "--data", "new", "--json")[1])
    assert [sum(row) for row in result["confusion"]] == [5, 0, 0]


def test_an_onnx_file_of_ones_own_keeps_the_names_of_its_classes(capsys):
    pytest.importorskip("onnx")
    write_folder("shapes", (12, 10, 8))
    called(capsys, "train", "--data", "shapes", "--size", 12, "--model", "digits", *FAST, "--save", "net.npz")
    called(capsys, "export", "net.npz", "net.onnx")
    out = called(capsys, "predict", "net.onnx", "shapes/circle/img0.png")[1]
    assert out == called(capsys, "predict", "net.npz", "shapes/circle/img0.png")[1] and any(n in out for n in SHAPES)


def test_a_column_that_numbers_the_rows_is_no_pixel(capsys):
    write_table("t.csv", TRAIN.pixels[:100, 0], TRAIN.labels[:100].tolist())
    lines = Path("t.csv").read_text().splitlines()
    Path("t.csv").write_text("\n".join(f"{'id' if k == 0 else k},{line}" for k, line in enumerate(lines)))
    assert called(capsys, "train", "--data", "t.csv", *FAST)[0] == 0


def test_folders_without_pictures_are_named(capsys):
    write_folder("shapes", (12, 10, 8))
    Path("shapes", "empty").mkdir()
    err = called(capsys, "train", "--data", "shapes", "--size", 12, "--model", "digits", *FAST)[2]
    assert "no class: empty (no pictures" in err


def test_flags_about_the_images_go_with_those_that_the_network_was_trained_on(capsys, tmp_path):
    shapes()
    flags = ["--data", "shapes", "--skip-damaged", "--size", 12, "--model", "digits", *FAST]
    called(capsys, "train", *flags, "--save", "net.npz")
    assert called(capsys, "evaluate", "net.npz", "--skip-damaged")[0] == 0
    for part in ("train", "t10k"):
        write_idx(tmp_path / "idx" / f"{part}-images-idx3-ubyte", TRAIN.pixels[:60, 0])
        write_idx(tmp_path / "idx" / f"{part}-labels-idx1-ubyte", TRAIN.labels[:60])
    place = tmp_path / "idx"
    called(capsys, "train", "--dataset", "mnist", "--data-dir", place, "--model", "digits", *FAST, "--save", "m.npz")
    place.rename(tmp_path / "moved")
    assert called(capsys, "evaluate", "m.npz", "--data-dir", tmp_path / "moved")[0] == 0
