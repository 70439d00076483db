"""Files: what comes back is what was saved, or an error; what stood there before survives a failing write."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import pickle
import signal
import sys
import threading
import zipfile

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.models.saving import load, save
from tinygrad_cnn.storage import atomic as files
from tinygrad_cnn.storage.archive import read_archive, write_archive
from tinygrad_cnn.storage.atomic import CheckpointError, atomic_writer
from tinygrad_cnn.training import checkpoint


def small_model(seed=0):
    return models.build("nielsen", (1, 8, 8), 10, rng=np.random.default_rng(seed))


def same_bits(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def refused(path, *wanted):
    """Loading fails with one line that has these parts."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path)), message
    for part in wanted:
        assert part in message
    return message


def run_of(folder, steps=None, **changes):
    """A short run on 60 digits that saves every step, and its model; left early after so many steps."""
    settings = {"epochs": 2, "batch_size": 20, "lr": 0.01, "save_every": 0.0, "ema": 0.9, "seed": 1} | changes
    rng = np.random.default_rng(settings.pop("seed"))
    model = models.build("nielsen-dropout", (1, 8, 8), 10, rng=rng)
    optimizer = tg.optim.Adam(model.parameters(), settings.pop("lr"))
    train, test = tg.data.digits()
    run = tg.train(
        model, train[:60], optimizer=optimizer, validation=test[:30], rng=rng, checkpoint=folder / "run.npz",
        **settings,
    )  # fmt: skip
    records = iter(run)
    for k, _ in enumerate(records):
        if k + 1 == steps:
            records.close()
    return run, model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """(bytes of a weights file, the model that it holds)."""
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    model = small_model()
    save(model, path)
    return path.read_bytes(), model


# What comes back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.RECIPES)
def test_a_named_network_comes_back_without_being_told_which(name, tmp_path):
    model = models.build(name, (2, 12, 9), 7, rng=np.random.default_rng(3))
    save(model, tmp_path / "w.npz")
    twin = load(tmp_path / "w.npz")
    assert same_bits(model, twin)
    assert twin.settings() == {"name": name, "image_shape": [2, 12, 9], "num_classes": 7}
    assert not any(m.training for m in twin.modules())


def test_a_module_of_ones_own_is_loaded_into_another_of_its_kind(tmp_path):
    rng = np.random.default_rng(0)
    model = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3, rng=rng), tg.nn.BatchNorm2d(2))
    model(tg.Tensor(rng.random((4, 1, 5, 5))))  # the running statistics move
    save(model, tmp_path / "w.npz")
    twin = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3), tg.nn.BatchNorm2d(2))
    assert load(tmp_path / "w.npz", into=twin) is twin
    assert same_bits(model, twin)
    assert same_bits(model, load(tmp_path / "w.npz")) and repr(load(tmp_path / "w.npz")) == repr(model)


class OwnNet(tg.nn.Sequential):
    """A class that no file can make."""

    def forward(self, x):
        return super().forward(x)


def test_a_class_of_ones_own_is_not_made_from_a_file(tmp_path):
    save(OwnNet(tg.nn.Linear(2, 3)), tmp_path / "w.npz")
    refused(tmp_path / "w.npz", "model of class OwnNet", "into=model")


def test_numpy_reads_a_weights_file_without_pickle(weights, tmp_path):
    content, model = weights
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        assert (stored["weights/0.weight"] == model[0].weight.data).all()


def test_the_same_model_makes_the_same_file(weights, tmp_path):
    save(small_model(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == weights[0]


def test_facts_are_kept_beside_the_weights(tmp_path):
    save(small_model(), tmp_path / "w.npz", about={"dataset": "digits"})
    assert checkpoint.about(tmp_path / "w.npz") == {"dataset": "digits"}


@pytest.mark.slow
def test_the_history_of_a_run_is_told_by_its_checkpoint_and_by_weights_that_keep_it(tmp_path):
    run, model = run_of(tmp_path)
    assert len(run.history) == 2 and checkpoint.history(tmp_path / "run.npz") == run.history
    save(model, tmp_path / "w.npz", about={"history": [dataclasses.asdict(record) for record in run.history]})
    assert checkpoint.history(tmp_path / "w.npz") == run.history
    save(model, tmp_path / "w.npz")
    assert checkpoint.history(tmp_path / "w.npz") == []


@pytest.mark.parametrize("history", [5, [5], [{"epoch": 1}], {"epoch": 1}])
def test_a_history_that_is_none_is_refused(history, tmp_path):
    save(small_model(), tmp_path / "w.npz", about={"history": history})
    with pytest.raises(CheckpointError, match="its training history is damaged"):
        checkpoint.history(tmp_path / "w.npz")


def test_a_checkpoint_loads_as_the_weights_that_the_run_would_end_with(tmp_path):
    run, _ = run_of(tmp_path, steps=2)  # in the first epoch: no best one yet, the average counts
    average = load(tmp_path / "run.npz").state_dict()
    assert all(average[k].tobytes() == run.average[k].tobytes() for k in average)
    run, model = run_of(tmp_path)
    assert same_bits(load(tmp_path / "run.npz"), model)
    assert all(run.best[k].tobytes() == a.tobytes() for k, a in model.state_dict().items())


def test_a_name_that_does_not_tell_the_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"save: the name must end in \.npz"):
        save(small_model(), tmp_path / "w.pt")


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_file_cut_short_is_refused(sixteenth, weights, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(weights[0][: len(weights[0]) * sixteenth // 16])
    refused(path)


def flipped(content, seed):
    """The content with one random bit turned."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(content)
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def test_after_a_bit_flip_it_is_an_error_or_the_same_model(weights, tmp_path):
    content, model = weights
    names = len(content) - content.index(b"PK\x01\x02")  # zip's directory, a small part of the file: flip more there
    refusals = 0
    for seed in range(200):
        damaged = flipped(content, seed) if seed % 2 else content[:-names] + flipped(content[-names:], seed)
        path = tmp_path / "w.npz"
        path.write_bytes(damaged)
        try:
            assert same_bits(load(path), model)
        except CheckpointError:
            refusals += 1
    assert refusals > 100


@pytest.mark.slow
def test_after_a_bit_flip_a_run_is_not_resumed_or_resumed_to_the_same_bits(tmp_path):
    _, whole = run_of(tmp_path)
    run_of(tmp_path, steps=4)
    content = (tmp_path / "run.npz").read_bytes()
    refusals = 0
    for seed in range(24):
        (tmp_path / "run.npz").write_bytes(flipped(content, seed))
        try:
            _, model = run_of(tmp_path, resume=True, save_every=60)
            assert same_bits(model, whole)
        except CheckpointError:
            refusals += 1
    assert refusals > 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a weights file or checkpoint"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is not a weights file or checkpoint"),
        (np.random.default_rng(0).bytes(5000), "is not a weights file or checkpoint"),
        (pickle.dumps(print), "is not a weights file or checkpoint"),
    ],
    ids=["empty", "html", "random", "pickle"],
)  # fmt: skip
def test_what_is_no_archive_is_refused(content, reason, tmp_path):
    (tmp_path / "w.npz").write_bytes(content)
    refused(tmp_path / "w.npz", reason)


def test_folders_missing_files_and_pipes_are_refused(tmp_path):
    refused(tmp_path, "is not a regular file")
    refused(tmp_path / "none.npz", "No such file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.npz")
        refused(tmp_path / "pipe.npz", "is not a regular file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(weights, tmp_path):
    (tmp_path / "w.npz").write_bytes(weights[0])
    (tmp_path / "w.npz").chmod(0)
    refused(tmp_path / "w.npz", "Permission denied")


class Harmful:
    """Unpickled, it would say so."""

    ran = False

    def __reduce__(self):
        return setattr, (Harmful, "ran", True)


def test_a_pickle_never_runs(tmp_path):
    np.savez(tmp_path / "w.npz", **{"weights/0.weight": np.array([Harmful()], dtype=object)})
    refused(tmp_path / "w.npz", "is not a file that tinygrad_cnn wrote")

    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([Harmful()], dtype=object), allow_pickle=True)
    rewritten(tmp_path / "w.npz", {"weights/0.weight": pickled.getvalue()}, {"weights/0.weight": ["|O", [1]]})
    refused(tmp_path / "w.npz", "0.weight has dtype |O")
    rewritten(tmp_path / "w.npz", {"weights/0.weight": pickled.getvalue()}, {"weights/0.weight": ["<i8", [1]]})
    refused(tmp_path / "w.npz", "is not a weights file or checkpoint, or is damaged")
    assert not Harmful.ran


def rewritten(path, members, table=None, *, compression=zipfile.ZIP_STORED, **metadata):
    """An archive with any members and any list of them, its checksums in order: what only an adversary makes."""
    digest = hashlib.sha256
    entries = {
        name: [*((table or {}).get(name) or described(content)), digest(content).hexdigest()]
        for name, content in members.items()
    }
    head = {"format": "tinygrad_cnn", "version": 1, "model": small_model().settings(), "arrays": entries} | metadata
    text = json.dumps(head).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", text)
        archive.writestr("metadata.sha256", digest(text).hexdigest())
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def described(content):
    array = np.load(io.BytesIO(content), allow_pickle=False)
    return [array.dtype.str, list(array.shape)]


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    rewritten(tmp_path / "w.npz", {"weights/a": npy(np.zeros(10_000_000))}, compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.npz").stat().st_size < 200_000
    refused(tmp_path / "w.npz", "is compressed or encrypted")


def test_sizes_that_the_file_cannot_have_are_refused_before_memory_is_asked_for(tmp_path):
    rewritten(tmp_path / "w.npz", {"weights/a": npy(np.zeros(3))}, {"weights/a": ["<f8", [2**40]]})
    refused(tmp_path / "w.npz", "a takes 152 bytes, its shape [1099511627776] needs 8796093022208")
    rewritten(tmp_path / "w.npz", {"weights/a": npy(np.zeros(3))}, {"weights/a": ["<f8", [-3]]})
    refused(tmp_path / "w.npz", "weights/a is listed as")
    settings = small_model().settings() | {"image_shape": [1, 2**20, 2**20]}
    rewritten(tmp_path / "w.npz", {"weights/a": npy(np.zeros(3))}, model=settings)
    refused(tmp_path / "w.npz", "at most 256x256 pixels")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil"])
def test_member_names_that_lead_elsewhere_are_refused(name, tmp_path):
    rewritten(tmp_path / "w.npz", {name: npy(np.zeros(3))})
    refused(tmp_path / "w.npz", "is not allowed")


def test_members_of_one_name_are_refused(weights, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(weights[0])
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/0.weight.npy", npy(np.zeros((20, 1, 3, 3), np.float32)))
    refused(path, "2 members are called 'weights/0.weight.npy'")


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    arrays = {f"weights/{k}": npy(a) for k, a in small_model().state_dict().items()}
    del arrays["weights/0.bias"]
    arrays["weights/extra"] = npy(np.zeros(1, np.float32))
    arrays["weights/7.weight"] = npy(np.zeros((100, 3), np.float32))
    rewritten(tmp_path / "w.npz", arrays)
    refused(
        tmp_path / "w.npz", "missing: 0.bias", "unexpected: extra", "7.weight has shape (100, 3), (100, 160) is needed"
    )
    arrays = {f"weights/{k}": npy(a.astype(np.float64)) for k, a in small_model().state_dict().items()}
    rewritten(tmp_path / "w.npz", arrays)
    refused(tmp_path / "w.npz", "0.weight has dtype float64, float32 is needed", "9.bias has dtype float64")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"version": 2}, "has format version 2; this program reads 1"),
        ({"format": "other"}, "its format is not 'tinygrad_cnn'"),
        ({"arrays": 3}, "lists no arrays"),
        ({"arrays": {}}, "unexpected: weights/a"),
        ({"model": {"name": "nobody", "image_shape": [1, 8, 8], "num_classes": 10}}, "there is no model 'nobody'"),
        ({"model": {"name": "nielsen"}}, "image_shape"),
        ({"model": {"name": "nielsen", "image_shape": "abc", "num_classes": 10}}, "image_shape"),
        ({"model": 5}, "class unknown"),
    ],
)
def test_metadata_of_another_kind_is_refused(metadata, reason, tmp_path):
    rewritten(tmp_path / "w.npz", {"weights/a": npy(np.zeros(3))}, **metadata)
    refused(tmp_path / "w.npz", reason)


def test_a_run_goes_on_only_with_the_settings_it_began_with(tmp_path):
    run_of(tmp_path, steps=2)
    with pytest.raises(CheckpointError, match=r"is of another run: epochs was 2, now 3; batch_size was 20, now 10"):
        run_of(tmp_path, resume=True, epochs=3, batch_size=10)
    save(small_model(), tmp_path / "run.npz")
    with pytest.raises(CheckpointError, match="holds weights only"):
        run_of(tmp_path, resume=True)


def test_of_a_damaged_checkpoint_the_whole_one_before_it_is_named(tmp_path):
    run_of(tmp_path, steps=3)
    path = tmp_path / "run.npz"
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, f"; {os.path.realpath(path)}.previous, the file before it, is whole")
    assert load(f"{path}.previous")
    (tmp_path / "run.npz.previous").write_bytes(b"damaged too")
    assert "previous" not in refused(path)


@pytest.mark.parametrize("path", [5, None, b"w.npz"])
def test_what_is_no_path_is_answered_in_one_line(path):
    calls = {"save": lambda path: save(small_model(), path), "load": load, "about": checkpoint.about,
             "history": checkpoint.history}  # fmt: skip
    for op, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{op}: the path must be a str or an os.PathLike of one, got {path}$"):
            call(path)
    with pytest.raises(TypeError, match=r"^load: into must be a Module, got 3$"):
        load("w.npz", into=3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda about: about["run"].pop("optimizer"), "optimizer"),
        (lambda about: about.update(run=5), "not subscriptable"),
        (lambda about: about.update(model=small_model().settings()), r"is of the model .*'nielsen'.*, this one is"),
    ],
    ids=["state that lacks a part", "state that is a number", "another model"],
)
def test_a_checkpoint_whose_state_is_of_another_kind_is_refused_under_its_name(damage, reason, tmp_path):
    run_of(tmp_path, steps=2)
    arrays, about = read_archive(tmp_path / "run.npz")
    damage(about)
    write_archive(tmp_path / "run.npz", arrays, about)
    with pytest.raises(CheckpointError, match=rf"run\.npz: .*{reason}"):
        run_of(tmp_path, resume=True)


# What survives --------------------------------------------------------------------------------------------------------


def failing(monkeypatch, name, number):
    """Let a system call fail from now on."""

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, name, fail)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_when_a_write_fails_the_file_before_is_whole_and_nothing_is_left_behind(call, number, tmp_path, monkeypatch):
    model = small_model()
    save(model, tmp_path / "w.npz")
    before = (tmp_path / "w.npz").read_bytes()
    failing(monkeypatch, call, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        save(small_model(seed=1), tmp_path / "w.npz")
    monkeypatch.undo()
    assert (tmp_path / "w.npz").read_bytes() == before
    assert os.listdir(tmp_path) == ["w.npz"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    save(small_model(), tmp_path / "w.npz")
    before = (tmp_path / "w.npz").read_bytes()
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(files, "_locked_temporary", lambda target: (tmp_path / "none", full))
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            save(small_model(seed=1), tmp_path / "w.npz")
    assert (tmp_path / "w.npz").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("keep_previous", [False, True])
@pytest.mark.parametrize("size", [9_000, 200_000])
def test_a_file_that_does_not_fit_is_named_and_leaves_nothing_behind(size, keep_previous, tmp_path, monkeypatch):
    """Also where what is still buffered fails again when the file is closed."""
    import resource

    write_archive(tmp_path / "a.npz", {"x": np.zeros(1)}, {})
    before = (tmp_path / "a.npz").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught:
            write_archive(tmp_path / "a.npz", {"x": np.zeros(size // 8)}, {}, keep_previous=keep_previous)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == os.path.realpath(tmp_path / "a.npz")
    assert os.listdir(tmp_path) == ["a.npz"] and (tmp_path / "a.npz").read_bytes() == before


def test_when_the_previous_file_cannot_be_kept_nothing_is_left_behind(tmp_path, monkeypatch):
    write_archive(tmp_path / "a.npz", {"x": np.zeros(1)}, {})
    failing(monkeypatch, "link", errno.EPERM)
    failing(monkeypatch, "replace", errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught:
        write_archive(tmp_path / "a.npz", {"x": np.ones(1)}, {}, keep_previous=True)
    assert caught.value.filename == os.path.realpath(tmp_path / "a.npz") and os.listdir(tmp_path) == ["a.npz"]


def test_without_hard_links_the_previous_file_is_copied(tmp_path, monkeypatch):
    failing(monkeypatch, "link", errno.EPERM)
    for k in range(3):
        write_archive(tmp_path / "a.npz", {"x": np.array([k])}, {}, keep_previous=True)
    assert read_archive(tmp_path / "a.npz")[0]["x"] == 2
    assert read_archive(tmp_path / "a.npz.previous")[0]["x"] == 1
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "a.npz.previous"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the child touches no thread's work
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
@pytest.mark.parametrize("occasion", [1, 2])
def test_killed_at_any_call_of_a_write_the_old_file_or_the_new_one_is_there(call, occasion, tmp_path):
    path = tmp_path / "a.npz"
    write_archive(path, {"x": np.array([0])}, {})
    child = os.fork()
    if child == 0:
        real, count = getattr(os, call), 0

        def fatal(*args, **kwargs):
            nonlocal count
            count += 1
            if count == occasion:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(files.os, call, fatal)
        write_archive(path, {"x": np.array([1])}, {}, keep_previous=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert read_archive(path)[0]["x"] in (0, 1)
    write_archive(path, {"x": np.array([2])}, {}, keep_previous=True)
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "a.npz.previous"], "stale temporaries are swept"
    assert read_archive(path)[0]["x"] == 2


def test_a_temporary_that_another_writer_is_still_writing_is_not_swept(tmp_path):
    with atomic_writer(tmp_path / "a") as slow:
        slow.write(b"slow")
        with atomic_writer(tmp_path / "a") as quick:
            quick.write(b"quick")
        assert (tmp_path / "a").read_bytes() == b"quick"
    assert (tmp_path / "a").read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["a"]


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path):
    def write(k):
        for _ in range(20):
            write_archive(tmp_path / "a.npz", {"x": np.full(1000, k)}, {})

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    x = read_archive(tmp_path / "a.npz")[0]["x"]
    assert (x == x[0]).all()
    assert os.listdir(tmp_path) == ["a.npz"]


def test_a_link_is_followed_and_the_permissions_are_the_usual_ones(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "w.npz").write_bytes(b"old")
    (tmp_path / "link.npz").symlink_to(tmp_path / "real" / "w.npz")
    save(small_model(), tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert same_bits(load(tmp_path / "real" / "w.npz"), small_model())
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "real" / "w.npz").stat().st_mode == plain.stat().st_mode


def test_a_folder_that_cannot_be_written_is_reported_under_the_files_own_name(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught, atomic_writer(tmp_path / "missing" / "w.npz"):
        pass
    assert caught.value.filename == os.path.realpath(tmp_path / "missing" / "w.npz")

    def refused(*args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), args[0])

    monkeypatch.setattr(files, "open", refused, raising=False)
    with pytest.raises(PermissionError) as caught, atomic_writer(tmp_path / "w.npz"):
        pass
    assert caught.value.filename == os.path.realpath(tmp_path / "w.npz")


def test_a_device_is_not_written_to(tmp_path):
    with pytest.raises(OSError, match="is not a regular file"), atomic_writer("/dev/null"):
        pass
