"""Images as people keep them are recognised, read, and split, with the names of their classes."""

import gzip
import os
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="needs Pillow")
from image_sources import SHAPES, shape_picture, write_folder, write_idx, write_table
from PIL import Image

import tinygrad_cnn as tg
from tinygrad_cnn.data import DataError, cache, open_data
from tinygrad_cnn.data.classes import as_classes
from tinygrad_cnn.data.splits import stratified


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


# folders of pictures --------------------------------------------------------------------------------------------------


def test_a_folder_for_each_class_with_pictures_of_every_kind(tmp_path):
    root = write_folder(tmp_path / "pets", (30, 20, 10), modes=("RGB", "RGBA", "L", "P"), suffixes=(".png", ".jpg"))
    (root / "notes.txt").write_text("no picture")
    (root / ".DS_Store").write_bytes(b"hidden")
    (root / "circle" / ".hidden.png").write_bytes(b"hidden")
    loaded = open_data(root)
    assert loaded.train.class_names == SHAPES and loaded.test.class_names == SHAPES
    assert np.bincount(loaded.train.labels).tolist() == [24, 16, 8]
    assert np.bincount(loaded.test.labels).tolist() == [6, 4, 2]
    text = str(loaded)
    assert text == "3 classes: circle, cross, square; 48 + 12 images, 56x56 RGB, from a folder for each class"
    assert any("scaled and padded to 56x56" in note for note in loaded.notes)
    assert any("grey pictures became colour" in note for note in loaded.notes)


def test_pictures_of_one_size_stay_as_they_are(tmp_path):
    root = write_folder(tmp_path, (5, 5, 5), sizes=((20, 30),), modes=("L",))
    train, test = tg.data.image_folder(root)
    assert train.image_shape == (1, 30, 20)
    stored = {np.asarray(Image.open(f)).tobytes() for f in root.rglob("*.png")}
    assert {image[0].tobytes() for part in (train, test) for image in part.pixels} == stored


@pytest.mark.parametrize("test_name", ["test", "val", "validation"])
def test_folders_for_training_and_testing(tmp_path, test_name):
    write_folder(tmp_path, (6, 5, 4), parts=("train", test_name))
    loaded = open_data(tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (15, 15)
    assert not any("no test images" in note for note in loaded.notes)


def test_an_archive_in_a_folder_of_its_own_is_found(tmp_path):
    write_folder(tmp_path / "archive" / "shapes", (5, 5, 5))
    assert len(open_data(tmp_path).train.class_names) == 3


def test_damaged_pictures_are_named_and_left_out_when_told_to(tmp_path):
    root = write_folder(tmp_path, (8, 8, 8))
    (root / "cross" / "img3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 90)
    content = (root / "circle" / "img2.png").read_bytes()
    (root / "circle" / "img2.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        DataError, match=r"2 pictures cannot be read: circle.img2\.png, cross.img3\.png; --skip-damaged"
    ):
        open_data(root)
    loaded = open_data(root, skip_damaged=True)
    assert len(loaded.train) + len(loaded.test) == 22
    assert "left out: 2 pictures cannot be read: circle/img2.png, cross/img3.png" in loaded.notes


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    for name in "ab":
        (tmp_path / name).mkdir()
        for k in range(3):
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png", exif=exif)
    train, _ = tg.data.image_folder(tmp_path)
    assert train.image_shape == (3, 40, 20)
    np.testing.assert_array_equal(train.pixels[0, 0, :20], 0)
    np.testing.assert_array_equal(train.pixels[0, 0, 20:], 255)


def test_size_channels_and_fit_are_as_one_says(tmp_path):
    write_folder(tmp_path, (4, 4, 4))
    train, _ = tg.data.image_folder(tmp_path, size=(16, 24), channels=1, fit="crop")
    assert train.image_shape == (1, 16, 24) and train.spec.fit == "crop"


def test_a_class_that_training_lacks_is_refused(tmp_path):
    write_folder(tmp_path, (4, 4, 4), parts=("train", "test"))
    (tmp_path / "test" / "star").mkdir()
    shape_picture("circle", (20, 20), np.random.default_rng(0)).save(tmp_path / "test" / "star" / "a.png")
    with pytest.raises(DataError, match="has the class 'star', which train has not"):
        open_data(tmp_path)


def test_classes_are_in_natural_order(tmp_path):
    for name in ("class10", "class9", "Class1"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "a.png")
        Image.new("L", (9, 9)).save(tmp_path / name / "b.png")
    assert open_data(tmp_path).train.class_names == ("Class1", "class9", "class10")


def test_large_sets_are_decoded_once_and_mapped(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(cache, "_MIN_BYTES", 1000)
    root = write_folder(tmp_path, (10, 10, 10))
    first, _ = tg.data.image_folder(root)
    (stored,) = own_cache.rglob("*.pixels")
    monkeypatch.setattr("tinygrad_cnn.data.folders.read_picture", None)  # not needed again
    again, _ = tg.data.image_folder(root)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert stored.stat().st_size == 30 * 3 * 56 * 56 + 30
    old = stored.with_name("old.pixels")
    old.write_bytes(b"")
    os.utime(old, (0, time.time() - 40 * 24 * 3600))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    monkeypatch.setattr(cache, "_MIN_BYTES", 1000)
    (root / "circle" / "img0.png").unlink()
    changed, _ = tg.data.image_folder(root)
    assert len(changed) < len(first) and not old.exists()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_MIN_BYTES", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    root = write_folder(tmp_path / "shapes", (5, 5, 5))
    assert len(tg.data.image_folder(root)[0]) == 12


def test_a_damaged_cache_is_made_anew(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(cache, "_MIN_BYTES", 1)
    root = write_folder(tmp_path, (5, 5, 5))
    first, _ = tg.data.image_folder(root)
    pixels = first.pixels.copy()
    (stored,) = own_cache.rglob("*.pixels")
    stored.write_bytes(b"short")
    np.testing.assert_array_equal(tg.data.image_folder(root)[0].pixels, pixels)


def test_pictures_without_classes_are_refused_in_words(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="has pictures, but no folder for each class"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="is one picture"):
        open_data(tmp_path / "a.png")
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="is not recognised"):
        open_data(tmp_path / "x")
    with pytest.raises(DataError, match="is not there"):
        open_data(tmp_path / "y")
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    with pytest.raises(DataError, match="is an archive; unpack it"):
        open_data(tmp_path / "a.zip")


def test_one_class_is_nothing_to_learn(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    Image.new("L", (9, 9)).save(tmp_path / "train" / "a" / "a.png")
    with pytest.raises(DataError, match="holds the one class 'a'"):
        open_data(tmp_path)


# tables ---------------------------------------------------------------------------------------------------------------

TRAIN, TEST = tg.data.digits()
PIXELS, LABELS = TRAIN.pixels[:300, 0], TRAIN.labels[:300]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("name", ["digits.csv", "digits.csv.gz", "digits.tsv"])
def test_a_table_with_the_label_first_or_last(tmp_path, name, header, last):
    delimiter = "\t" if ".tsv" in name else ","
    write_table(tmp_path / name, PIXELS, LABELS.tolist(), header=header, last=last, delimiter=delimiter)
    loaded = open_data(tmp_path / name)
    assert loaded.train.class_names == tuple("0123456789") and loaded.train.full_scale == 16
    rows, held = stratified(LABELS, 0.2)
    np.testing.assert_array_equal(loaded.train.pixels[:, 0], PIXELS[rows])
    np.testing.assert_array_equal(loaded.train.labels, LABELS[rows])
    np.testing.assert_array_equal(loaded.test.labels, LABELS[held])


def test_labels_that_are_words_and_semicolons(tmp_path):
    words = [["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][k] for k in LABELS]
    write_table(tmp_path / "a.csv", PIXELS, words, delimiter=";")
    train, _ = tg.data.csv(tmp_path / "a.csv")
    assert train.class_names == tuple(sorted(set(words)))
    rows, _ = stratified(as_classes(np.array(words), "")[0], 0.2)
    assert [train.class_names[k] for k in train.labels] == [words[k] for k in rows]


def test_the_label_column_by_name_and_by_number(tmp_path):
    write_table(tmp_path / "a.csv", PIXELS, LABELS.tolist(), header=True)
    text = (tmp_path / "a.csv").read_text().replace("label", "kind", 1)
    (tmp_path / "a.csv").write_text(text)
    for column in ("kind", 0, "0", -65):
        np.testing.assert_array_equal(tg.data.csv(tmp_path / "a.csv", label_column=column)[0].labels[:5],
                                      LABELS[stratified(LABELS, 0.2)[0]][:5])  # fmt: skip
    with pytest.raises(DataError, match="there is no column 'x'"):
        tg.data.csv(tmp_path / "a.csv", label_column="x")
    with pytest.raises(DataError, match="there is no column 65; there are 65"):
        tg.data.csv(tmp_path / "a.csv", label_column=65)


def test_kaggles_two_tables_of_which_one_has_no_labels(tmp_path):
    write_table(tmp_path / "train.csv", PIXELS, LABELS.tolist())
    write_table(tmp_path / "test.csv", PIXELS[:, :, :], [""] * 300)
    lines = (tmp_path / "test.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(line.split(",", 1)[1] for line in lines))
    loaded = open_data(tmp_path)
    assert "test.csv has no labels: not used" in loaded.notes and len(loaded.train) + len(loaded.test) == 300
    write_table(tmp_path / "test.csv", TEST.pixels[:50, 0], TEST.labels[:50].tolist())
    loaded = open_data(tmp_path)
    assert len(loaded.train) == 300 and len(loaded.test) == 50
    np.testing.assert_array_equal(loaded.test.labels, TEST.labels[:50])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("label,p0,p1,p2,p3\n", "has names of columns, and no row"),
        ("label,p0,p1,p2,p3\n1,2,3\n", "no square images"),
        ("label,p0,p1,p2,p3\n1,2,3,4,5\n2,2,3\n", "line 3 has 3 cells, the first row 5"),
        ("label,p0,p1,p2,p3\n" + "1,2,3,4,5\n2,2,3,x,5\n" * 2, "line 3, column 'p2': 'x' is not a number"),
        ("label,p0,p1,p2,p3\n1,2,3,4,5\n1,2,3,4,5\n", "holds the one class '1'"),
        ("label,p0,p1,p2\n1,2,3,4\n2,2,3,4\n", "rows of 3 numbers are no square images; say their --size"),
        ("label,p0,p1,p2,p3\n1,2,3,4,-5\n2,2,3,4,5\n", "were brought to 0 to 1"),
        ("\n".join(f"{k}.5,1,2,3,4" for k in range(9)), "no column can be told to be the label"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    if message == "were brought to 0 to 1":
        (tmp_path / "a.csv").write_text(text + "1,2,3,4,-5\n2,2,3,4,5\n")
        assert any(message in note for note in open_data(tmp_path / "a.csv").notes)
        return
    with pytest.raises(DataError) as error:
        open_data(tmp_path / "a.csv")
    assert message in str(error.value) or "no square images" in message


def test_a_table_that_names_pictures(tmp_path):
    root = write_folder(tmp_path / "pictures", (6, 6, 6))
    files = sorted(root.rglob("*.png"))
    for k, file in enumerate(files):
        file.rename(root / f"{k}_{file.parent.name}.png")
    for name in SHAPES:
        (root / name).rmdir()
    rows = [f"{f.name},{f.stem.split('_')[1]}" for f in sorted(root.iterdir())]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]))
    loaded = open_data(tmp_path)
    assert loaded.train.class_names == SHAPES and loaded.origin == "a table of pictures"
    assert len(loaded.train) + len(loaded.test) == 18
    (root / sorted(root.iterdir())[3].name).unlink()
    with pytest.raises(DataError, match="1 file named in it cannot be found in"):
        open_data(tmp_path)


@pytest.mark.slow
def test_a_large_table_is_read_without_an_object_for_each_number(tmp_path):
    import tracemalloc

    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (3000, 28, 28), np.uint8), np.arange(3000) % 10
    write_table(tmp_path / "a.csv", pixels, labels.tolist())
    pixels_size = pixels.nbytes
    tracemalloc.start()
    train, test = tg.data.csv(tmp_path / "a.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(train) + len(test) == 3000 and peak < 20 * pixels_size
    np.testing.assert_array_equal(
        np.sort(train.pixels.sum((1, 2, 3)))[-1], pixels[stratified(labels, 0.2)[0]].sum((1, 2)).max()
    )


# arrays ---------------------------------------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 12, 10, 3), np.uint8)
KINDS = np.arange(20) % 4


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("X_train", "Y_train", "X_test", "Y_test"),
     ("train_images", "train_labels", "test_images", "test_labels"), ("train_x", "train_y", "val_x", "val_y"),
     ("xtrain", "ytrain", "xtest", "ytest"), ("trainX", "trainy", "testX", "testy")],
)  # fmt: skip
def test_arrays_under_the_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (IMAGES, KINDS, IMAGES[:8], KINDS[:8]), strict=True)))
    loaded = open_data(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.train.pixels, IMAGES.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(loaded.test.labels, KINDS[:8])
    assert "the channels were last" in loaded.notes


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("X", "y"), ("x", "y"), ("data", "target"), ("arr_0", "arr_1")]
)
@pytest.mark.parametrize("as_files", [False, True])
def test_arrays_that_are_to_be_split(tmp_path, names, as_files):
    if as_files:
        for name, array in zip(names, (IMAGES, KINDS), strict=True):
            np.save(tmp_path / f"{name}.npy", array)
    else:
        np.savez_compressed(tmp_path / "a.npz", **dict(zip(names, (IMAGES, KINDS), strict=True)))
    loaded = open_data(tmp_path)
    assert np.bincount(loaded.train.labels).tolist() == [4, 4, 4, 4]
    assert np.bincount(loaded.test.labels).tolist() == [1, 1, 1, 1]


@given(
    n=st.integers(6, 9), height=st.integers(5, 9), width=st.integers(5, 9), channels=st.sampled_from([1, 3]),
    layout=st.sampled_from(["NHWC", "NCHW", "NHW", "HWCN", "flat"]),
    kind=st.sampled_from(["uint8", "uint16", "int64", "float32", "float64", "float255", "signed"]),
    label_kind=st.sampled_from(["int", "from 1", "gaps", "text", "bytes", "column", "one-hot", "float"]),
    told=st.booleans(),
)  # fmt: skip
def test_any_layout_type_and_labels_come_to_the_same(n, height, width, channels, layout, kind, label_kind, told):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, channels, height, width))
    pixels[0, 0, 0, :2] = 0, 255
    if layout == "NHW":
        pixels = pixels[:, :1]
    axes = {"NHWC": (0, 2, 3, 1), "HWCN": (2, 3, 1, 0)}.get(layout, (0, 1, 2, 3))
    arranged = pixels.transpose(axes)
    if layout == "NHW":
        arranged = arranged[:, 0]
    if layout == "flat":
        arranged = arranged.reshape(n, -1)
    convert = {
        "uint16": lambda a: (a * 257).astype(np.uint16), "float32": lambda a: (a / 255).astype(np.float32),
        "float64": lambda a: a / 255, "float255": lambda a: a.astype(np.float32),
        "signed": lambda a: a / 127.5 - 1, "uint8": lambda a: a.astype(np.uint8), "int64": lambda a: a,
    }[kind]  # fmt: skip
    classes = np.arange(n) % 2
    words = np.array(["cat", "dog"])
    labels = {
        "int": classes, "from 1": classes + 1, "gaps": classes * 7 + 2, "text": words[classes],
        "bytes": words[classes].astype("S"), "column": classes[:, None], "one-hot": np.eye(2)[classes],
        "float": classes.astype(float),
    }[label_kind]  # fmt: skip
    names = {"from 1": ("1", "2"), "gaps": ("2", "9"), "text": ("cat", "dog"), "bytes": ("cat", "dog")}
    options = {"size": (height, width)} if layout == "flat" else {}
    if told and layout in ("NHWC", "NCHW", "HWCN"):
        options["layout"] = layout
    if layout == "HWCN" and n in (height, channels):
        options["layout"] = layout
    train, test = tg.data.arrays(convert(arranged), labels, test=0.3, **options)
    rows, held = stratified(classes, 0.3)
    assert train.class_names == names.get(label_kind, ("0", "1"))
    for part, which in ((train, rows), (test, held)):
        np.testing.assert_array_equal(part.labels, classes[which])
        np.testing.assert_allclose(part.images, pixels[which] / 255, atol=1e-6)


def test_the_test_images_are_scaled_as_the_training_images(tmp_path):
    """One scale for both, though their extremes differ: standardised floats, and the 17 levels of small digits."""
    rng = np.random.default_rng(0)
    train, test = rng.normal(0, 2, (20, 6, 6)), rng.normal(0, 1, (8, 6, 6))
    np.savez(tmp_path / "a.npz", x_train=train, y_train=KINDS, x_test=test, y_test=KINDS[:8])
    loaded = open_data(tmp_path / "a.npz")
    both = np.concatenate([train, test])
    scale = np.ptp(both)
    np.testing.assert_allclose(loaded.test.images[:, 0], (test - both.min()) / scale, atol=1e-6)
    levels = rng.integers(0, 17, (20, 6, 6))
    levels[0, 0, 0] = 16
    np.savez(tmp_path / "a.npz", x_train=levels, y_train=KINDS, x_test=levels[:8] % 15, y_test=KINDS[:8])
    loaded = open_data(tmp_path / "a.npz")
    assert loaded.train.full_scale == loaded.test.full_scale == 16


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (IMAGES, KINDS[:5], {}, "20 images, but 5 labels"),
        (IMAGES, None, {}, "labels are missing"),
        (np.zeros((5, 3, 9, 3)), KINDS[:5], {}, "channels first or last; say --layout"),
        (np.zeros((5, 99, 98, 97)), KINDS[:5], {}, "no axis of 1, 3 or 4 channels"),
        (np.zeros((5, 10)), KINDS[:5], {}, "rows of 10 numbers are no square images"),
        (np.full((5, 4, 4), np.nan), KINDS[:5], {}, "pixels must be finite"),
        (np.full((5, 4, 4), -3), KINDS[:5], {}, "pixels must be from 0 to 255 or 65,535, got -3"),
        (IMAGES, KINDS / 3, {}, "labels must be classes, got numbers such as 0.333"),
        (IMAGES, np.ones((20, 3)), {}, "must have one 1 in each row"),
        (IMAGES, ["a"] * 20, {}, "holds the one class 'a'"),
        (IMAGES, ["a", ""] * 10, {}, "10 labels missing, of 20"),
        (IMAGES.astype(str), KINDS, {}, "images must be numbers"),
        (IMAGES, KINDS, {"class_names": ["a"]}, "1 class names for 4 classes"),
    ],
)
def test_arrays_that_cannot_be_understood_are_refused_in_words(images, labels, options, message):
    with pytest.raises(DataError, match=message):
        tg.data.arrays(images, labels, **options)


def test_files_without_images_and_damaged_ones(tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.zeros(3))
    with pytest.raises(DataError, match=r"needs images and labels under names such as .* it holds weights \(3,\)"):
        open_data(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=np.array([print], dtype=object), labels=KINDS)
    with pytest.raises(DataError, match="holds Python objects"):
        open_data(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(DataError, match=r"is no \.npz file of arrays, or is damaged"):
        open_data(tmp_path / "a.npz")


def test_an_archive_that_promises_more_than_it_holds_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"\x93NUMPY" + b"\0" * 100)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError):
        open_data(tmp_path / "a.npz")


# IDX files ------------------------------------------------------------------------------------------------------------


def write_set(folder, prefix="", labels=KINDS, pixels=IMAGES[..., 0], sets=("train", "t10k"), form="-idx{}-ubyte"):
    for part in sets:
        write_idx(folder / f"{prefix}{part}-images{form.format(3)}", pixels)
        write_idx(folder / f"{prefix}{part}-labels{form.format(1)}", labels)


@pytest.mark.parametrize("form", ["-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz", "_idx{}_ubyte"])
@pytest.mark.parametrize("sets", [("train", "t10k"), ("train", "test")])
def test_idx_files_under_every_usual_name(tmp_path, form, sets):
    write_set(tmp_path, sets=sets, form=form)
    loaded = open_data(tmp_path)
    np.testing.assert_array_equal(loaded.train.pixels[:, 0], IMAGES[..., 0])
    assert loaded.train.class_names == ("0", "1", "2", "3")
    assert len(tg.data.load_folder(tmp_path)[0]) == 20


def test_an_unpacked_archive_has_folders_of_the_files_names(tmp_path):
    for part in ("train", "t10k"):
        for kind, number, array in (("images", 3, IMAGES[..., 0]), ("labels", 1, KINDS)):
            name = f"{part}-{kind}-idx{number}-ubyte"
            write_idx(tmp_path / name / name, array)
            write_idx(tmp_path / f"{part}-{kind}.idx{number}-ubyte", array)
    assert len(open_data(tmp_path).train) == 20 and len(tg.data.mnist(tmp_path)[0]) == 20


def test_emnist_is_upright_with_its_letters_as_names(tmp_path):
    labels = np.arange(20) % 5 + 1
    for prefix in ("emnist-letters-", "emnist-digits-"):
        write_set(tmp_path, prefix, labels, form="-idx{}-ubyte.gz")
        rows = "\n".join(f"{k} {64 + k} {96 + k}" for k in range(1, 27))
        (tmp_path / f"{prefix}mapping.txt").write_text(rows)
    with pytest.raises(DataError, match="holds several sets: digits, letters; choose one by --split"):
        open_data(tmp_path)
    for train in (open_data(tmp_path, split="letters").train, tg.data.emnist("letters", tmp_path)[0]):
        assert train.class_names == ("A/a", "B/b", "C/c", "D/d", "E/e")
        np.testing.assert_array_equal(train.pixels[:, 0], IMAGES[..., 0].swapaxes(1, 2))
        np.testing.assert_array_equal(train.labels, labels - 1)
    with pytest.raises(DataError, match="emnist: split must be one of"):
        tg.data.emnist("words", tmp_path)


def test_emnist_says_where_to_find_it(monkeypatch):
    monkeypatch.delenv("TINYGRAD_CNN_DATA", raising=False)
    with pytest.raises(DataError, match=r"emnist: not on this machine; unpack https://.*gzip\.zip"):
        tg.data.emnist()


def test_the_named_sets_have_their_classes_names(tmp_path, monkeypatch):
    for folder in ("fashion-mnist", "kmnist"):
        write_set(tmp_path / folder, labels=np.arange(20) % 10)
    monkeypatch.setenv("TINYGRAD_CNN_DATA", str(tmp_path))
    assert tg.data.fashion_mnist()[0].class_names[-1] == "Ankle boot"
    assert tg.data.kmnist()[1].class_names[0] == "お o"


def test_the_home_folder_in_the_environment_and_a_wrong_one(tmp_path, monkeypatch):
    write_set(tmp_path / "data" / "mnist")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINYGRAD_CNN_DATA", "~/data")
    assert len(tg.data.mnist()[0]) == 20
    monkeypatch.setenv("TINYGRAD_CNN_DATA", "~/nowhere")
    with pytest.raises(DataError, match="nowhere: is not a folder"):
        tg.data.mnist()


# classes and splits ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0, 0.9), st.integers(0, 9))
def test_a_split_takes_the_same_fraction_of_every_class(labels, fraction, seed):
    labels = np.array(labels)
    rest, held = stratified(labels, fraction, seed)
    assert sorted([*rest, *held]) == list(range(len(labels)))
    for k in range(5):
        count, part = (labels == k).sum(), (labels[held] == k).sum()
        assert abs(part - fraction * count) <= 1 and (part < count or count == 0)
    np.testing.assert_array_equal(stratified(labels, fraction, seed)[1], held)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8), min_size=1, max_size=30))
def test_words_are_classes_in_natural_order_and_keep_their_names(words):
    classes, names = as_classes(np.array(words, dtype=object), "labels")
    assert len(set(names)) == len(names)
    if not all(w.strip().lstrip("+-").isdecimal() for w in words):
        assert [names[k] for k in classes] == [w.strip() for w in words]


def test_options_that_mean_nothing_are_refused(tmp_path):
    write_table(tmp_path / "a.csv", PIXELS, LABELS.tolist())
    with pytest.raises(DataError, match="--layout does not apply"):
        open_data(tmp_path / "a.csv", layout="NHWC")
    write_folder(tmp_path / "shapes", (4, 4, 4))
    with pytest.raises(DataError, match="--label-column and --split do not apply"):
        open_data(tmp_path / "shapes", label_column="x", split="y")
    with pytest.raises(ValueError, match="channels must be 1"):
        open_data(tmp_path / "shapes", channels=2)


def test_a_gzipped_table_that_is_cut_off(tmp_path):
    write_table(tmp_path / "a.csv.gz", PIXELS, LABELS.tolist())
    content = (tmp_path / "a.csv.gz").read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="corrupt gzip file"):
        open_data(tmp_path / "a.csv.gz")
    assert gzip.decompress(content).startswith(b"label")
