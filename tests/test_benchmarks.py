"""The benchmarks measure what they say: the same work for everyone, samples in turn, figures that follow from them."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cnn as tg

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import article_baseline  # noqa: E402
import growth  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402
import summary  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402

ONCE = measure.Plan(rounds=1, turn_seconds=0, checks=3, fresh=False)


def small(name: str) -> workloads.Workload:
    return dataclasses.replace(workloads.by_name(name), batch=4)


@pytest.fixture
def numpy_kernels():
    tg.set_kernels("numpy")
    yield
    tg.set_kernels("auto")


# The baseline ---------------------------------------------------------------------------------------------------------


def test_the_listing_extended_to_nielsen_has_our_gradients(numpy_kernels):
    workload = small("nielsen-64")
    given = workloads.inputs(workload)
    net = tg.nn.Sequential(*(peers_ours().layer(k) for k in workload.layers))
    net.load_state_dict(given.parameters)
    tg.cross_entropy(net(tg.Tensor(given.images)), given.labels).backward()
    listing = article_baseline.Nielsen(given.parameters)
    each = [listing.gradients(image[0], label) for image, label in zip(given.images, given.labels, strict=True)]
    means = [np.mean(g, axis=0) for layer in zip(*each, strict=True) for g in zip(*layer, strict=True)]
    for ours, theirs in zip(net.parameters(), means, strict=True):
        np.testing.assert_allclose(ours.grad.data, theirs, rtol=1e-3, atol=1e-6)


def test_the_listings_feature_map_has_the_articles_gradients(numpy_kernels):
    rng = np.random.default_rng(0)
    image, w, gradient = rng.random((6, 7)), rng.standard_normal((3, 2)), rng.standard_normal((4, 6))
    x, f = tg.Tensor(image, requires_grad=True), tg.Tensor(w, requires_grad=True)
    b = tg.Tensor(np.array([[0.5]]), requires_grad=True)
    a = tg.sigmoid(tg.correlate2d(x, f) + b)
    a.backward(gradient)
    listing = article_baseline.FeatureMap(w, 0.5)
    np.testing.assert_allclose(listing.feed_forward(image), a.data)
    dx, dw, db = listing.propagate_backward(gradient)
    for ours, theirs in ((x, dx), (f, dw), (b, db[None])):
        np.testing.assert_allclose(ours.grad.data, theirs, atol=1e-12)


def test_pooling_place_by_place_and_pooling_by_tiles_are_one():
    rng = np.random.default_rng(0)
    a, gradient = rng.integers(0, 3, (8, 6)).astype(float), rng.random((4, 3))
    loop, tiles = article_baseline.MaxPoolingMap(), article_baseline.TiledPoolingMap()
    np.testing.assert_array_equal(loop.feed_forward(a), tiles.feed_forward(a))
    np.testing.assert_array_equal(loop.propagate_backward(gradient), tiles.propagate_backward(gradient))


# The workloads --------------------------------------------------------------------------------------------------------


def test_multiply_adds_of_nielsens_step_by_hand():
    first, second = 20 * 25 * 24 * 24, 40 * 20 * 25 * 8 * 8
    full = 640 * 100 + 100 * 10
    assert workloads.by_name("nielsen-64").multiply_adds() == 64 * (2 * first + 3 * (second + full))
    assert workloads.by_name("nielsen-inference-1").multiply_adds() == first + second + full


@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda w: w.name)
def test_shapes_are_those_of_our_layers(workload, numpy_kernels):
    x = tg.Tensor(np.zeros((1, *workload.image), np.float32))
    for layer, shape in zip(workload.layers, workload.shapes()[1:], strict=True):
        x = peers_ours().layer(layer)(x)
        assert x.shape[1:] == shape


# The contenders -------------------------------------------------------------------------------------------------------


SLOW_TO_COMPILE = ("torch-compile", "tinygrad")  # up to a minute; run.py compares their answers too
COMPARED = {
    "numba": ("article-map-1", "batchnorm-128", "nielsen-inference-1"),
    "torch": ("article-map-1", "batchnorm-128", "nielsen-inference-1"),
    "torch-channels-last": ("conv-layer", "batchnorm-128"),
    "jax": ("conv-layer", "batchnorm-128", "nielsen-inference-1"),
    "mygrad": ("article-map-1", "batchnorm-128", "nielsen-inference-1"),
    "scipy": ("article-map-1", "nielsen-inference-1"),
    "article": ("article-map-1",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_every_contender_computes_what_ours_does(name):
    contender = peers.by_name(name)
    if not contender.installed():
        pytest.skip(f"{contender.needs} is not installed")
    crew = measure.Crew(threads=1)
    try:
        for workload in map(small, COMPARED[name]):
            workload = dataclasses.replace(workload, batch=1) if name == "article" else workload
            found = measure.measure(workload, [peers.by_name("numpy"), contender], crew, ONCE, str)
            assert not found["skipped"]
            assert found["contenders"][1]["agrees"] is True
    finally:
        crew.close()


def test_no_contender_is_left_uncompared():
    assert {c.name for c in peers.CONTENDERS if c.group != "floor"} == {
        *COMPARED, *SLOW_TO_COMPILE, "numpy", "article-tiled",
    }  # fmt: skip


def test_a_fast_but_wrong_contender_is_noticed():
    import worker

    answers = []
    for slower in (1, 2):
        workload = small("nielsen-64")
        server = worker.Server("numpy", 1)
        server.load()
        workload = dataclasses.replace(workload, learning_rate=workload.learning_rate / slower)
        answers.append({"group": "ours", **server.build(workload, 3)})
    tg.set_kernels("auto")
    right, wrong = answers
    assert measure.agrees(dict(right), [right]) is True
    assert measure.agrees(wrong, [right]) is False


def test_numbers_in_the_wrong_places_are_noticed():
    import worker

    a = np.random.default_rng(0).standard_normal((4, 3, 5, 5))
    mine = {"group": "ours", "answer": [worker.signature(a)]}
    theirs = {"group": "torch", "answer": [worker.signature(a.transpose(0, 1, 3, 2))]}
    assert measure.agrees(theirs, [mine, theirs]) is False


def test_what_fails_is_left_out_with_its_reason():
    impossible = dataclasses.replace(small("conv-layer"), image=(3, 12, 12))
    crew = measure.Crew(threads=1)
    try:
        found = measure.measure(impossible, [peers.by_name("numpy")], crew, ONCE, str)
    finally:
        crew.close()
    assert "x has 3 channels, w expects 20" in found["skipped"]["numpy"]
    assert found["contenders"] == []


def test_everybody_runs_once_a_round_in_changing_order():
    names = [{"name": n} for n in "abc"]
    orders = ["".join(r["name"] for r in measure.in_turn(names, k)) for k in range(4)]
    assert orders == ["abc", "acb", "cab", "cba"]


# The figures ----------------------------------------------------------------------------------------------------------


def record(name, group, turns, images=64, agrees=True):
    return {
        "name": name, "title": name, "group": group, "turns": turns, "images": images, "first_seconds": 0.5,
        "memory_before": 2**20, "memory_peak": 3 * 2**20, "agrees": agrees,
    }  # fmt: skip


def workload_record(*contenders):
    return {
        "name": "w", "title": "a workload", "batch": 64, "multiply_adds": 1024**3 // 2,
        "contenders": list(contenders), "skipped": {"jax": "not here"},
    }  # fmt: skip


def test_ratios_are_of_turns_side_by_side_so_that_a_drift_cancels():
    drift = [1.0, 2.0, 4.0]
    w = workload_record(
        record("numba", "ours", [[d * 1e-3] * 3 for d in drift]), record("torch", "torch", [[d * 2e-3] for d in drift])
    )
    ours, torch = summary.rows(w)
    assert torch.ratios["numba"] == summary.Spread(2.0, 2.0, 2.0)
    assert (ours.median, ours.best) == (2e-3, 1e-3)


def test_the_floor_is_the_multiply_adds_at_the_speed_of_the_square_product():
    w = workload_record(record("numba", "ours", [[0.01]]), record("gemm", "floor", [[0.01]]))
    (ours,) = summary.rows(w)
    assert ours.share == pytest.approx(0.5)


def test_where_runs_differ_in_images_times_are_those_of_one():
    w = workload_record(
        record("numpy", "ours", [[0.064]]), record("article", "article", [[0.3]], images=1),
        record("gemm", "floor", [[0.064]]),
    )  # fmt: skip
    ours, listing = summary.rows(w)
    assert ours.median == pytest.approx(1e-3)
    assert listing.ratios["numpy"].middle == pytest.approx(300)
    assert ours.share == pytest.approx(0.5)


def test_tables_name_everyone_and_who_was_left_out(capsys, monkeypatch):
    w = workload_record(
        record("numba", "ours", [[1e-3], [1e-3]]), record("torch", "torch", [[2e-3], [3e-3]], agrees=False)
    )
    table.show(w)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    table.show(w)
    rich, plain = capsys.readouterr().out.split("skipped jax: not here")[1:]
    for shown in (rich, plain):
        assert "2.50 (2.25-2.75)" in shown and "NO" in shown
    machine = {"cpu": "a CPU", "cpus": 2, "load": 0.1, "python": "3", "packages": {}, "date": "2000-01-01T00:00"}
    text = table.markdown({"machine": machine, "threads": 2, "plan": {"rounds": 2}, "workloads": [w]})
    assert "| a workload | 1.00 | 2.50 | 2.50 (2.25-2.75) | - |" in text
    assert "a CPU, 2 CPUs, 2 threads each" in text


def test_growth_finds_the_power():
    points = [{"work": float(n), "time": 3.0 * n**1.5} for n in (1, 10, 100, 1000)]
    points[0]["time"] = 1e9  # a fixed cost far below the largest work has no say
    assert growth.exponent([*points, {"work": 500.0, "time": 3.0 * 500**1.5}], "work", "time") == pytest.approx(1.5)


# The commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_writes_samples_and_machine(tmp_path):
    out = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--quick", "--peers", "none", "--only", "article-map-1"]
    done = subprocess.run([*command, "--json", str(out)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "the article's listing" in done.stdout
    results = json.loads(out.read_text())
    assert {"cpu", "cpus", "python", "packages", "date"} <= results["machine"].keys()
    (found,) = results["workloads"]
    assert {"numpy", "article", "gemm"} <= {c["name"] for c in found["contenders"]}
    assert all(len(c["turns"]) == results["plan"]["rounds"] for c in found["contenders"])


@pytest.mark.parametrize("flags", [["--only", "no such"], ["--peers", "torch,no-such"], ["--threads", "0"]])
def test_bad_flags_are_one_line_and_status_2(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(flags)
    assert stop.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize(("name", "reason"), [("none.json", "No such file or directory"), ("a.txt", "is not JSON")])
def test_a_table_of_no_results_is_one_line_and_status_2(name, reason, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path / name)])
    with pytest.raises(SystemExit) as stop:
        table.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"table.py: {tmp_path / name}: {reason}\n"


def test_a_bar_chart_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import figure

    w = workload_record(record("numba", "ours", [[1e-3]]), record("torch", "torch", [[2e-3]]))
    figure.save({"machine": {"cpu": "a CPU"}, "threads": 2, "workloads": [w]}, str(tmp_path / "bars.png"))
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def peers_ours():
    import peers.ours

    return peers.ours


@pytest.mark.parametrize(
    ("option", "path", "message"),
    [
        ("--json", "nowhere/x.json", "cannot be written"),
        ("--json", ".", "cannot be written"),
        ("--save-figure", "x.foo", "the name must end in one of"),
    ],
)
def test_what_cannot_be_saved_is_said_before_anything_is_measured(option, path, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run.parse([option, path])
    assert message in capsys.readouterr().err
