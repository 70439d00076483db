"""Training on several processes: the same weights as on one, and an end with a message when anything goes wrong.

Most tests start this file again under ``mpiexec``; what the ranks then do stands at its end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.cli._ranks import on_all_ranks
from tinygrad_cnn.storage.archive import read_archive
from tinygrad_cnn.training import DivergenceError, checkpoint
from tinygrad_cnn.training.mpi import (
    DistributedError,
    World,
    all_reduce_gradients,
    broadcast_state,
    dropout_rows,
    shard,
    world,
)

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve()
OVERSUBSCRIBE = {  # what Open MPI wants to hear before it starts more ranks than processors, or starts as root
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1",
}  # fmt: skip
BATCHES = {"even": 32, "with a short last one": 49}  # of 150 images: a last batch of 22, or of 3, less than four ranks


# A job, seen from outside ---------------------------------------------------------------------------------------------


def finished(ranks, *command, seconds=30):
    """(exit status, standard output, standard error) of a job of so many ranks, which must end by itself."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("mpiexec is not installed")
    environment = os.environ | OVERSUBSCRIBE | {"TINYGRAD_CNN_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen(
        [mpiexec, "-n", str(ranks), sys.executable, *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        out, err = job.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        job.terminate()  # mpiexec ends its ranks
        out, err = job.communicate()
        pytest.fail(f"the job still runs after {seconds} s\n{out}\n{err}")
    return job.returncode, out, err


def ran(ranks, program, *arguments):
    """Let ranks run a program of this file, to its good end."""
    status, out, err = finished(ranks, HERE, program, *arguments)
    assert status == 0, out + err


def difference(a, b):
    """The largest one between the weights in two files."""
    a, b = (checkpoint.load(path, into=network()).state_dict() for path in (a, b))
    return max(float(np.abs(a[name].astype(np.float64) - b[name]).max()) for name in a)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights that one process reaches, by the name of the batches."""
    folder = tmp_path_factory.mktemp("alone")
    for name, batch_size in BATCHES.items():
        train(folder / f"{name}.npz", batch_size=batch_size, distributed=False)
    return folder


# The same as one process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_reach_the_weights_of_one_process(ranks, alone, tmp_path):
    ran(ranks, "train_both", tmp_path)
    for name in BATCHES:
        for rank in range(ranks):
            reached = tmp_path / f"{name} {rank}.npz"
            assert difference(reached, alone / f"{name}.npz") < 1e-5
            assert difference(reached, tmp_path / f"{name} 0.npz") == 0


def test_the_first_weights_differ_from_the_last_by_much_more(alone, tmp_path):
    checkpoint.save(network(), tmp_path / "first.npz")
    assert all(difference(tmp_path / "first.npz", alone / f"{name}.npz") > 0.01 for name in BATCHES)


def test_a_checkpoint_goes_on_with_any_number_of_ranks(alone, tmp_path):
    ran(3, "stop", tmp_path / "run.npz", 5)
    for ranks in (1, 2):
        run, weights = tmp_path / f"run {ranks}.npz", tmp_path / f"weights {ranks}.npz"
        shutil.copy(tmp_path / "run.npz", run)
        ran(ranks, "go_on", run, weights)
        assert difference(weights, alone / "with a short last one.npz") < 1e-5
        assert read_archive(run)[1]["run"]["step"] == 8


def test_batch_norm_is_not_synchronised_but_all_ranks_stay_the_same(tmp_path):
    ran(2, "train_batch_norm", tmp_path)
    train(tmp_path / "alone.npz", model=network(norm=True), distributed=False)
    first, second, alone = (read_archive(tmp_path / name)[0] for name in ("0.npz", "1.npz", "alone.npz"))
    assert all((first[k] == second[k]).all() for k in first)
    assert 1e-4 < max(np.abs(first[k] - alone[k]).max() for k in first) < 1


# Failure --------------------------------------------------------------------------------------------------------------


def test_a_killed_rank_ends_the_job_and_the_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    status, _, _ = finished(2, HERE, "kill", tmp_path / "run.npz", 1, seconds=30)
    assert status != 0
    checkpoint.load(tmp_path / "run.npz", into=network())
    assert read_archive(tmp_path / "run.npz")[1]["run"]["step"] in (5, 6)  # rank 1 died after step 6
    ran(2, "go_on", tmp_path / "run.npz", tmp_path / "resumed.npz")
    ran(2, "go_on", tmp_path / "new.npz", tmp_path / "uninterrupted.npz")
    assert difference(tmp_path / "resumed.npz", tmp_path / "uninterrupted.npz") == 0


def test_rank_0_may_be_the_one_that_is_killed(tmp_path):
    status, _, _ = finished(2, HERE, "kill", tmp_path / "run.npz", 0, seconds=30)
    assert status != 0
    checkpoint.load(tmp_path / "run.npz", into=network())


def test_an_error_on_one_rank_ends_the_job_with_a_line_about_going_on():
    status, _, err = finished(3, HERE, "fail_alone")
    assert status != 0
    assert "ZeroDivisionError" in err
    assert "rank 1 of 3 failed, and all ranks end with it; a checkpoint saved before is whole" in err


def test_an_error_that_all_ranks_have_is_shown_once():
    status, _, err = finished(3, HERE, "fail_together")
    assert status == 1
    assert err.count("DistributedError: distributed: rank 2 has size 2, rank 0 0") == 1
    assert err.count("Traceback") == 1


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each of two ranks said, by what was wrong."""
    folder = tmp_path_factory.mktemp("refusals")
    ran(2, "refuse", folder / "said")
    return json.loads((folder / "said").read_text())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("data", "distributed: rank 1 has data 'Dataset(150 images of 1x8x8, 10 classes) "),
        ("numpy", "distributed: rank 1 has numpy '1.0', rank 0"),
        ("settings", "distributed: rank 1 has epochs 3, rank 0 2"),
        ("network", "distributed: rank 1 has 5.weight 'float32 (10, 32)', rank 0 'float32 (10, 72)'"),
        ("ranks", "fit: 2 ranks cannot share batches of 1 images: start fewer, or raise batch_size"),
        ("checkpoint", "is not a weights file or checkpoint, or is damaged"),
        ("validation", "no cost of what was not recorded"),
        ("divergence", "fit: step 1: the cost is nan: multiply made inf"),
        ("lost weights", "fit: step 2: the cost is nan: the update of step 1 left 0.weight, "),
    ],
)
def test_every_rank_says_what_is_wrong(wrong, message, refusals):
    assert all(message in said for said in refusals[wrong])
    assert len(set(refusals[wrong])) == 1


# The parts ------------------------------------------------------------------------------------------------------------


def test_gradients_are_summed_by_weight_type_and_presence_and_state_is_rank_0s(tmp_path):
    ran(2, "parts", tmp_path / "parts")
    parts = json.loads((tmp_path / "parts").read_text())
    assert parts["gradients"] == [[[10.25, 20.5]] * 2, [[5.0, 6.0]] * 2, [None] * 2]
    assert parts["types"] == ["float32", "float64"]
    assert parts["state"] == [[0.0, 7.0, 0.25]] * 2


@given(count=st.integers(1, 300), size=st.integers(1, 70))
def test_the_shards_of_a_batch_cover_it_once_and_their_weights_add_up_to_1(count, size):
    parts = [World(rank, size).shard(count) for rank in range(size)]
    rows = [row for part in parts if part.weight for row in range(count)[part.rows]]
    assert rows == list(range(count))
    assert sum(part.weight for part in parts) == pytest.approx(1)
    assert all(part.weight == len(range(count)[part.rows]) / count for part in parts if part.weight)
    assert all(part.rows == slice(0, 1) for part in parts if not part.weight)


@given(size=st.integers(1, 60))
def test_shards_are_the_whole_and_differ_by_one_image_at_most(size):
    shards = [shard(small(), rank, size) for rank in range(size)]
    assert np.array_equal(np.concatenate([s.labels for s in shards]), small().labels)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(("rank", "size", "message"), [(0, 151, "150 images are too few"), (2, 2, "from 0 to size")])
def test_a_shard_that_cannot_be_is_refused(rank, size, message):
    with pytest.raises(ValueError, match=message):
        shard(small(), rank, size)


@given(count=st.integers(1, 9), size=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_masks_of_all_ranks_together_are_those_of_one_process(count, size, seed):
    x = tg.Tensor(np.ones((count, 2, 3)))
    layer = nn.Dropout(0.5, rng=np.random.default_rng(seed))
    whole = [layer(x).data for _ in range(2)]
    for rank in range(size):
        part = World(rank, size).shard(count)
        layer = nn.Dropout(0.5, rng=np.random.default_rng(seed))
        for k in range(2):
            with dropout_rows(layer, part):
                assert np.array_equal(layer(x[part.rows]).data, whole[k][part.rows])
        assert layer.rows is None


def test_dropout_refuses_other_rows_than_it_is_told():
    with pytest.raises(ValueError, match=r"^dropout: x must have rows 2 to 4 of 4 \(x\.shape=\(3, 5\)\)$"):
        tg.dropout(tg.Tensor(np.ones((3, 5))), rows=(slice(2, 4), 4))


def test_without_mpi_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    world.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_cnn\[mpi\]'"):
        world()


def test_without_an_affinity_mask_all_processors_are_shared_out(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert [World(0, size).threads() for size in (1, 2, 4, 7)] == [6, 3, 1, 1]


class Ended(BaseException):
    """What a stand-in for MPI raises when a rank ends the job; the argument is the exit status."""


class Communicator:
    def Abort(self, status):
        raise Ended(status)


def failing_with(error, rank):
    """The exit status of a rank's command that fails, and whether it ended the other ranks; or the error it leaves."""

    def work():
        raise error

    try:
        return on_all_ranks(World(rank, 2, Communicator()), work), "returned"
    except Ended as ended:
        return ended.args[0], "ended all"
    except Exception as raised:
        return raised, "raised"


@pytest.mark.parametrize(("error", "status"), [(DistributedError("x"), 2), (DivergenceError("x"), 1)])
def test_what_fails_on_every_rank_is_left_to_rank_0_to_tell(error, status):
    assert failing_with(error, rank=0) == (error, "raised")
    assert failing_with(error, rank=1) == (status, "returned")


@pytest.mark.parametrize("rank", [0, 1])
def test_what_fails_on_one_rank_ends_them_all(rank, capsys):
    assert failing_with(OSError("the disk is full"), rank) == (2, "ended all")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tinygrad-cnn: error: the disk is full"
    assert said[1].startswith(f"rank {rank} of 2 failed, and all ranks end with it")
    assert failing_with(KeyboardInterrupt(), rank) == (130, "ended all")


def test_gradients_that_nobody_asked_for_cannot_be_shared():
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        all_reduce_gradients([tg.Tensor([1.0])])


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_prints_once_and_reaches_what_one_process_reaches(tmp_path):
    command = ["-m", "tinygrad_cnn", "train", "--epochs", "1", "--optimizer", "sgd", "--lr", "0.1", "--json"]
    kept = tmp_path / "run.npz"
    status, out, err = finished(2, *command, "--distributed", "--save", tmp_path / "two.npz", "--checkpoint", kept)
    assert status == 0, err
    assert json.loads(out)["ranks"] == 2
    assert err.count("should it end early, go on with: mpiexec -n 2 tinygrad-cnn train --distributed --checkpoint") == 1
    assert err.count("epoch 1/1") == 1
    subprocess.run([sys.executable, *command, "--save", tmp_path / "one.npz"], check=True, capture_output=True)
    two, one = (checkpoint.load(tmp_path / name).state_dict() for name in ("two.npz", "one.npz"))
    assert max(np.abs(two[name] - one[name]).max() for name in one) < 1e-5


def test_the_command_says_once_what_is_wrong(tmp_path):
    missing = tmp_path / "missing" / "weights.npz"
    status, out, err = finished(2, "-m", "tinygrad_cnn", "train", "--distributed", "--save", missing)
    assert (status, out) == (2, "")
    assert err.count("tinygrad-cnn: error: --save") == 1


# What the ranks do ----------------------------------------------------------------------------------------------------


def small():
    return tg.data.digits()[0][:150]


def network(*, norm=False, pool=2):
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, rng=rng), *[nn.BatchNorm2d(8)] * norm, nn.ReLU(), nn.MaxPool2d(pool), nn.Flatten(),
        nn.Dropout(0.3, rng=rng), nn.Linear(8 * (6 // pool) ** 2, 10, rng=rng),
    )  # fmt: skip


def run(*, images=None, model=None, batch_size=49, epochs=2, lr=0.1, distributed=True, **more):
    """Two epochs of float32 SGD, with everything that chance has a hand in."""
    model = model or network()
    sgd = tg.optim.SGD(model.parameters(), lr, momentum=0.9)
    return tg.train(
        model, images or small(), epochs=epochs, batch_size=batch_size, optimizer=sgd, augment=tg.data.shift(1),
        clip=2.0, rng=np.random.default_rng(1), distributed=distributed, **more,
    )  # fmt: skip


def train(path, **settings):
    training = run(**settings)
    for _ in training:
        pass
    checkpoint.save(training.model, path)


def train_both(folder):
    for name, batch_size in BATCHES.items():
        train(folder / f"{name} {world().rank}.npz", batch_size=batch_size)


def train_batch_norm(folder):
    train(folder / f"{world().rank}.npz", model=network(norm=True))


def stop(path, steps):
    """Leave the loop early, which saves."""
    with closing(iter(run(checkpoint=path))) as records:
        for record in records:
            if record.step == int(steps):
                return


def go_on(path, weights):
    training = run(checkpoint=path, resume=True)
    for _ in training:
        pass
    if world().rank == 0:
        checkpoint.save(training.model, weights)


def kill(path, victim):
    for record in run(checkpoint=path, save_every=0):
        if record.step == 6 and world().rank == int(victim):
            os.kill(os.getpid(), signal.SIGKILL)


def fail_alone():
    if world().rank == 1:
        raise ZeroDivisionError
    world().total(1)


def fail_together():
    world().agree({"size": 2 if world().rank == 2 else 0})


def refuse(path):
    rank, said = world().rank, {}
    path.with_name("junk.npz").write_bytes(b"junk")

    def note(wrong, **settings):
        with pytest.raises((DistributedError, DivergenceError)) as refusal:
            list(run(**settings))
        said[wrong] = world().gathered(str(refusal.value))

    note("data", images=tg.data.digits()[0][rank : rank + 150])
    note("settings", epochs=2 + rank)
    note("network", model=network(pool=2 + rank))
    note("ranks", batch_size=1)
    note("checkpoint", checkpoint=path.with_name("junk.npz"), resume=True)
    note("validation", validation=small(), cost=failing_in_evaluation)
    note("divergence", cost=diverging_on_rank_1)
    note("lost weights", lr=1e39, checkpoint=path.with_name("lost.npz"), save_every=(0, 1e9)[rank])
    np.__version__ = np.__version__ if rank == 0 else "1.0"
    note("numpy")
    if rank == 0:
        path.write_text(json.dumps(said))


def failing_in_evaluation(scores, labels):
    if not scores.requires_grad:
        raise ValueError("no cost of what was not recorded")
    return tg.cross_entropy(scores, labels)


def diverging_on_rank_1(scores, labels):
    return tg.cross_entropy(scores * (np.inf if world().rank == 1 else 1), labels)


def parts(path):
    comm = world()
    single, double, none = nn.Parameter(np.zeros(2, np.float32)), nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
    single.grad = tg.Tensor(np.array([1, 2], np.float32) * (comm.rank + 1))
    double.grad = tg.Tensor(np.array([1.0, 1.2])) if comm.rank == 1 else None
    all_reduce_gradients([single, double, none], (0.25, 5.0)[comm.rank])
    gradients = [comm.gathered(None if p.grad is None else p.grad.data.tolist()) for p in (single, double, none)]

    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = [[comm.rank]]
    sgd = tg.optim.SGD(layer.parameters(), 0.25 + comm.rank, momentum=0.5)
    sgd.state = [{"velocity": np.array([[7.0 + comm.rank]], np.float32)}]
    broadcast_state(layer, sgd)
    state = comm.gathered([layer.weight.item(), sgd.state[0]["velocity"].item(), sgd.lr])
    if comm.rank == 0:
        types = [p.grad.dtype.name for p in (single, double)]
        path.write_text(json.dumps({"gradients": gradients, "types": types, "state": state}))


PROGRAMS = {
    p.__name__: p for p in (train_both, train_batch_norm, stop, go_on, kill, fail_alone, fail_together, refuse, parts)
}

if __name__ == "__main__":
    tg.set_kernels("numpy")
    PROGRAMS[sys.argv[1]](*(Path(a) if os.sep in a else a for a in sys.argv[2:]))
