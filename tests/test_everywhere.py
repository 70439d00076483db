"""The same answers under other interpreters' flags, in threads and processes, at great length, without spare memory."""

import copy
import errno
import gc
import multiprocessing
import os
import pathlib
import pickle
import stat
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import settings

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor
from tinygrad_cnn.kernels import threads

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

# Trains a small net of every layer for three steps and prints what its parameters add up to.
PROGRAM = """
import numpy as np, tinygrad_cnn as tg
tg.set_kernels("numpy")
rng = np.random.default_rng(0)
net = tg.nn.Sequential(
    tg.nn.Conv2d(1, 3, 3, rng=rng), tg.nn.BatchNorm2d(3), tg.nn.ReLU(), tg.nn.MaxPool2d(2), tg.nn.Flatten(),
    tg.nn.Dropout(0.5, rng=rng), tg.nn.Linear(27, 4, rng=rng))
optimizer = tg.optim.Adam(net.parameters(), 0.01)
for _ in range(3):
    optimizer.zero_grad()
    tg.cross_entropy(net(rng.random((5, 1, 8, 8), np.float32)), rng.integers(0, 4, 5)).backward()
    optimizer.step()
for wrong in (lambda: tg.relu("a"), lambda: tg.correlate2d(np.ones((2, 2)), np.ones((3, 3))),
              lambda: tg.cross_entropy(np.ones((2, 3)), [0, 5]), lambda: (net(np.ones((1, 1, 8, 8))) * 2).backward()):
    try:
        wrong()
    except (TypeError, ValueError):
        continue
    raise SystemExit("a wrong call was not answered")
print(repr(sum(float(np.abs(p.data.astype(np.float64)).sum()) for p in net.parameters())))
"""


def run(code=PROGRAM, *flags, **environment):
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plainly():
    return run()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O",), ("-OO",), ("-W", "error"), ("-X", "dev")], ids=" ".join)
def test_interpreter_flags_change_nothing(flags, plainly):
    assert run(PROGRAM, *flags) == plainly


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"}],
    ids=["ascii", "hash seed 1", "hash seed 2"],
)
def test_surroundings_change_nothing(environment, plainly):
    assert run(**environment) == plainly


def test_no_home_to_write_to(tmp_path, plainly):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o555)
    nowhere = str(home / "missing")
    assert run(HOME=nowhere, XDG_CACHE_HOME=nowhere, TMPDIR=str(tmp_path)) == plainly
    assert list(home.iterdir()) == []


def test_no_optional_extra_is_needed(plainly):
    extras = ("numba", "threadpoolctl", "rich", "matplotlib", "graphviz", "pooch", "onnx", "safetensors", "sklearn",
              "mpi4py", "scipy")  # fmt: skip
    hidden = f"import sys\nfor m in {extras}: sys.modules[m] = None\nfrom tinygrad_cnn import *\n"
    assert run(hidden + PROGRAM) == plainly


# Runs every command twice: with a standard output that is closed, and with one whose reader has left.
COMMANDS = """
import os, sys
from tinygrad_cnn.cli import main
numpy = ["--kernels", "numpy"]
for command in (
    ["train", "--epochs", "1", "--save", "w.npz", *numpy], ["train", "--epochs", "1", "--json", *numpy],
    ["evaluate", "w.npz", *numpy], ["summary", "nielsen"], ["explain"], ["explain", "w.npz"],
    ["predict", "w.npz", "digit.pgm", *numpy], ["export", "w.npz", "w.onnx"], ["report", "w.npz", *numpy],
):
    for way in ("closed", "left"):
        if way == "closed":
            sys.stdout = None
        else:
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
            sys.stdout = open(1, "w", closefd=False)
        status = main(command)
        if status != 0:
            raise SystemExit(f"{command} with standard output {way}: {status}")
"""


def test_numba_that_may_not_compile_is_as_good_as_none():
    code = """
import tinygrad_cnn as tg
print(tg.get_kernels())
try:
    tg.set_kernels("numba")
except ImportError as error:
    print(error)
"""
    output = run(code, NUMBA_DISABLE_JIT="1")
    assert output.startswith("numpy") and "NUMBA_DISABLE_JIT" in output


@pytest.mark.slow
def test_no_command_minds_a_standard_output_that_nobody_reads(tmp_path):
    for needed in ("matplotlib", "onnx"):
        pytest.importorskip(needed)
    (tmp_path / "digit.pgm").write_bytes(b"P5 8 8 255 " + bytes(range(0, 256, 4)))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"digit.pgm", "w.npz", "w.onnx", "report.html"}


@pytest.mark.slow
def test_parameter_order_does_not_depend_on_hash_seeds():
    code = """
import tinygrad_cnn as tg
class Net(tg.nn.Module):
    def __init__(self):
        for name in ("gamma", "alpha", "beta"):
            setattr(self, name, tg.nn.Linear(2, 2))
        self.more = {name: tg.nn.Linear(1, 1) for name in ("z", "y", "x")}
print(*Net().state_dict())
"""
    orders = {run(code, PYTHONHASHSEED=str(seed)) for seed in range(3)}
    assert len(orders) == 1 and orders.pop().split()[::2] == [
        "gamma.weight", "alpha.weight", "beta.weight", "more.z.weight", "more.y.weight", "more.x.weight"
    ]  # fmt: skip


# Length ---------------------------------------------------------------------------------------------------------------


def chain():
    x = Tensor(np.array([1.0]), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    return x, y


@pytest.mark.slow
def test_a_long_chain_walks_prints_copies_and_dies():
    x, y = chain()
    assert repr(y) == "Tensor([100001.], dtype=float64, op=add)"
    assert copy.deepcopy(y).item() == pickle.loads(pickle.dumps(y)).item() == 100_001
    y.backward(retain_graph=True)
    assert x.grad.item() == 1
    del y  # without recursion: a chain of destructors would overflow the stack
    x, y = chain()
    y.backward()
    assert x.grad.item() == 1


def test_a_long_chain_has_a_second_derivative():
    x = Tensor(np.array([1.0]), requires_grad=True)
    y = x
    for _ in range(5000):
        y = y * 1.0
    slope = tg.grad(y * y, x, create_graph=True)[0]
    assert tg.grad(slope, x)[0].item() == 2


def test_a_wide_sum():
    x = Tensor(np.array([1.0]), requires_grad=True)
    sum([x * float(k) for k in range(3000)], start=Tensor(np.array([0.0]))).backward()
    assert x.grad.item() == sum(range(3000))


# Memory ---------------------------------------------------------------------------------------------------------------


def training_step():
    rng = np.random.default_rng(0)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(1, 2, 3, rng=rng), tg.nn.BatchNorm2d(2), tg.nn.ReLU(), tg.nn.MaxPool2d(2), tg.nn.Dropout(0.2),
        tg.nn.Flatten(), tg.nn.Linear(18, 3, rng=rng),
    )  # fmt: skip
    optimizer = tg.optim.Adam(net.parameters())
    x, labels = Tensor(rng.random((4, 1, 8, 8), np.float32)), rng.integers(0, 3, 4)

    def step():
        optimizer.zero_grad()
        tg.cross_entropy(net(x), labels).backward()
        optimizer.step()

    return step


@pytest.mark.slow
def test_memory_is_flat_over_many_steps_without_the_garbage_collector():
    tg.set_kernels("numpy")
    step, steps = training_step(), 10_000 if NIGHTLY else 300
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(600):  # until the interpreter's own lists of spare objects are full
            step()
        before, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        for _ in range(steps):
            step()
        grown, more = tracemalloc.get_traced_memory()[0] - before, len(gc.get_objects()) - objects
    finally:
        tracemalloc.stop()
        gc.enable()
    assert more < 20 and grown < 100_000


# Threads and processes ------------------------------------------------------------------------------------------------


def trained(seed):
    """The parameters of a net after a few steps, from a seed."""
    rng = np.random.default_rng(seed)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(1, 4, 3, rng=rng), tg.nn.Tanh(), tg.nn.MaxPool2d(2), tg.nn.Flatten(), tg.nn.Linear(36, 3, rng=rng)
    )
    optimizer = tg.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(10):
        with tg.no_grad():
            net(rng.random((2, 1, 8, 8), np.float32))
        optimizer.zero_grad()
        tg.cross_entropy(net(rng.random((8, 1, 8, 8), np.float32)), rng.integers(0, 3, 8)).backward()
        optimizer.step()
    return np.concatenate([p.data.ravel() for p in net.parameters()])


def test_threads_train_different_models_at_once():
    alone = [trained(seed) for seed in range(6)]
    together, failures = {}, []

    def work(seed):
        try:
            together[seed] = trained(seed)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    for seed, parameters in enumerate(alone):
        np.testing.assert_array_equal(together[seed], parameters)


def test_threads_share_one_model_for_evaluation():
    rng = np.random.default_rng(0)
    net = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3, rng=rng), tg.nn.Flatten(), tg.nn.Linear(8, 2, rng=rng)).eval()
    x = Tensor(rng.random((3, 1, 4, 4), np.float32))
    expected, wrong = net(x).data.copy(), []

    def work():
        for _ in range(50):
            y = net(x)
            if not np.array_equal(y.data, expected):
                wrong.append(y)
            tg.grad(y.sum(), list(net.parameters()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    net[0].weight.data[...] = 0  # and no graph holds it any more


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_compute_what_this_process_does(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    tg.set_kernels("numpy")
    expected = trained(0)
    here = str(pathlib.Path(__file__).parent)
    guarded = f"if __name__ == '__main__': import workers; workers.main({method!r})"
    code = f"import sys; sys.path.insert(0, {here!r})\n{guarded}"
    np.testing.assert_allclose(float(run(code)), float(np.abs(expected).sum()), 1e-6)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copied_modules_and_optimizers_go_on_alike(twin):
    rng = np.random.default_rng(0)
    net = tg.nn.Sequential(
        tg.nn.Conv2d(1, 2, 3, rng=rng), tg.nn.BatchNorm2d(2), tg.relu, tg.nn.Dropout(0.5, rng=rng), tg.nn.Flatten(),
        tg.nn.Linear(8, 3, rng=rng),
    )  # fmt: skip
    optimizer = tg.optim.Adam(net.parameters(), 0.01)
    schedule = tg.optim.CosineDecay(optimizer, 10)

    def steps(net, optimizer, schedule, seed):
        rng = np.random.default_rng(seed)
        for _ in range(3):
            optimizer.zero_grad()
            tg.cross_entropy(net(rng.random((4, 1, 4, 4), np.float32)), rng.integers(0, 3, 4)).backward()
            optimizer.step()
            schedule.step()

    steps(net, optimizer, schedule, 0)
    other = twin((net, optimizer, schedule))
    assert next(other[0].parameters()) is other[1].params[0]  # what was shared is shared in the copy
    assert other[2].optimizer is other[1]
    steps(net, optimizer, schedule, 1)
    before = other[0].state_dict()
    steps(*other, 1)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other[0].state_dict()[name], array, err_msg=name)
        assert name.startswith("1.num") or (before[name] != array).any() or "bias" in name


@pytest.mark.parametrize("where", range(3))
def test_an_interrupt_anywhere_leaves_parameters_usable(where):
    """Ctrl-C in a rule, between forward and backward, or in an update: the next step works as ever."""

    class Stop(tg.optim.SGD):
        def update(self, p, g, state):
            if where == 2:
                raise KeyboardInterrupt
            super().update(p, g, state)

    net = tg.nn.Linear(3, 2)
    optimizer = Stop(net.parameters(), 0.1)

    def interrupted(g, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        y = net(np.ones((2, 3), np.float32))
        if where == 0:
            y = tg.record("stop", y.data.copy(), (y,), (interrupted,))
        cost = (y * y).sum()
        if where == 1:
            raise KeyboardInterrupt
        cost.backward()
        optimizer.step()
    net.zero_grad()
    y = cost = None
    assert net.weight.data.flags.writeable
    (net(np.ones((2, 3), np.float32)) ** 2).sum().backward()
    tg.optim.SGD(net.parameters(), 0.1).step()
    assert np.isfinite(net.weight.data).all()


def test_the_profiles_are_what_they_say():
    ci, nightly = (settings.get_profile(name) for name in ("ci", "nightly"))
    assert ci.derandomize and nightly.max_examples == 20 * ci.max_examples


def test_numba_that_cannot_be_imported_is_replaced_with_one_line(tmp_path):
    """Installed, and broken: the numpy kernels compute instead."""
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise SystemError('numba needs another NumPy')")
    code = (
        "import warnings, tinygrad_cnn as tg\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    y = tg.correlate2d([[1.0, 2.0]], [[3.0]]).data.tolist(); tg.correlate2d([[1.0, 2.0]], [[3.0]])\n"
        "print(tg.get_kernels(), y, len(said), said[0].message)\n"
        "try: tg.set_kernels('numba'); tg.correlate2d([[1.0, 2.0]], [[3.0]])\n"
        "except (ImportError, SystemError) as error: print(type(error).__name__)"
    )
    output = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert output.startswith("numpy [[3.0, 6.0]] 1 numba cannot be used (numba needs another NumPy); the numpy kernels")
    assert output.splitlines()[-1] in ("ImportError", "SystemError")


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_threads_follow_a_containers_quota(tmp_path, files, processors):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads._quota(str(tmp_path)) == processors


def test_a_folder_that_cannot_be_synced_does_not_lose_a_finished_save(tmp_path, monkeypatch):
    sync = os.fsync

    def refuse(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    tg.save(tg.nn.Linear(2, 2), tmp_path / "w.npz")
    assert tg.load(tmp_path / "w.npz", into=tg.nn.Linear(2, 2)) is not None
