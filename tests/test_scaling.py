"""The scaling benchmark: its formulas count what is sent, and what it says follows from what it measured."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import scaling  # noqa: E402

import tinygrad_cnn as tg  # noqa: E402

LATENCY, BANDWIDTH = 2e-6, 1e9


def ring_by_hand(values):
    """All-reduce p rows of p pieces. Returns what each rank then has, the rounds, and how many pieces a rank sent."""
    p, held = len(values), [row.copy() for row in values]
    for k in range(p - 1):  # each rank's running sum of a piece goes on to its neighbour
        sent = [(r, (r - k) % p, held[r][(r - k) % p]) for r in range(p)]
        for r, piece, value in sent:
            held[(r + 1) % p][piece] += value
    for k in range(p - 1):  # and then the finished sums do
        sent = [(r, (r + 1 - k) % p, held[r][(r + 1 - k) % p]) for r in range(p)]
        for r, piece, value in sent:
            held[(r + 1) % p][piece] = value
    return held, 2 * (p - 1), 2 * (p - 1)


def doubling_by_hand(values):
    """The same with everything swapped in each round, for a power of two."""
    p, held, rounds = len(values), [row.copy() for row in values], 0
    while 2**rounds < p:
        held = [held[r] + held[r ^ 2**rounds] for r in range(p)]
        rounds += 1
    return held, rounds, rounds * p


@given(ranks=st.integers(1, 40), piece=st.integers(1, 10**6))
def test_a_ring_takes_as_long_as_its_rounds(ranks, piece):
    values = np.random.default_rng(0).integers(100, size=(ranks, ranks))
    held, rounds, pieces = ring_by_hand(values)
    assert all((row == values.sum(axis=0)).all() for row in held)
    seconds = rounds * LATENCY + pieces * piece / BANDWIDTH
    assert scaling.ring(ranks, ranks * piece, LATENCY, BANDWIDTH) == pytest.approx(seconds)


@given(power=st.integers(0, 6), piece=st.integers(1, 10**6))
def test_recursive_doubling_takes_as_long_as_its_rounds(power, piece):
    values = np.random.default_rng(0).integers(100, size=(2**power, 2**power))
    held, rounds, pieces = doubling_by_hand(values)
    assert all((row == values.sum(axis=0)).all() for row in held)
    seconds = rounds * LATENCY + pieces * piece / BANDWIDTH
    assert scaling.tree(2**power, 2**power * piece, LATENCY, BANDWIDTH) == pytest.approx(seconds)


def test_a_tree_is_quicker_for_short_messages_and_a_ring_for_long_ones():
    assert scaling.tree(64, 100, LATENCY, BANDWIDTH) < scaling.ring(64, 100, LATENCY, BANDWIDTH)
    assert scaling.tree(64, 10**8, LATENCY, BANDWIDTH) > scaling.ring(64, 10**8, LATENCY, BANDWIDTH)


def halving(whole_seconds=0.0):
    """A network whose steps take half as long for half of the images."""
    return {"bytes": 10**6, "whole_seconds": whole_seconds, "seconds": {2**k: 0.256 / 2**k for k in range(9)}}


def test_without_cost_of_sending_every_rank_counts_in_full():
    for curves in scaling.projected(halving(), 0.0, np.inf).values():
        assert scaling.quicker(curves) == pytest.approx(dict.fromkeys(curves["ring"], 1.0))


def test_efficiency_follows_from_the_times():
    curves = scaling.projected(halving(whole_seconds=0.001), LATENCY, BANDWIDTH)
    sent = scaling.ring(4, 10**6, LATENCY, BANDWIDTH)
    assert curves["one batch"]["ring"][4] == pytest.approx(0.256 / (4 * (0.064 + sent)))
    assert curves["a batch each"]["ring"][4] == pytest.approx(0.256 / (0.256 + 3 * 0.001 + sent))
    assert max(curves["one batch"]["tree"]) == 256  # no rank without an image
    assert max(curves["a batch each"]["tree"]) == 1024


@pytest.mark.parametrize(
    ("curve", "ranks"),
    [({1: 1.0, 2: 0.9, 4: 0.5, 8: 0.4}, 4), ({1: 1.0, 2: 0.4, 4: 0.6}, 1), ({1: 1.0, 2: 0.99}, 2)],
)
def test_it_pays_up_to_the_last_number_of_ranks_that_works_at_half_or_more(curve, ranks):
    assert scaling.pays_up_to(curve) == ranks


def test_measured_efficiency_compares_the_jobs_of_a_round():
    steps = [(1, 0.1), (2, 0.0625), (1, 0.12), (2, 0.06)]
    jobs = [{"ranks": p, "networks": {"nielsen": {"step_seconds": s}}} for p, s in steps]
    assert scaling.efficiencies("nielsen", jobs) == {1: [1.0, 1.0], 2: pytest.approx([0.8, 1.0])}


@pytest.fixture
def threads():
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_it_says_and_draws_what_it_measured(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    beside = Path(sys.executable).with_name("mpiexec")
    has_mpi = importlib.util.find_spec("mpi4py") is not None and (beside.exists() or shutil.which("mpiexec"))
    figure, numbers = tmp_path / "scaling.png", tmp_path / "scaling.json"
    ranks = ["--ranks", "1", "2"] if has_mpi else ["--ranks"]
    scaling.main(["--models", "primer", "--batch", "16", "--rounds", "1", *ranks, "--figure", str(figure), "--json",
                  str(numbers)])  # fmt: skip
    said = capsys.readouterr().out
    assert "primer: 23,860 parameters, 0.10 MB of gradients" in said
    assert "16 images shared by all" in said
    assert ("measured on 2 ranks" in said) == bool(has_mpi)
    assert figure.read_bytes().startswith(b"\x89PNG")
    found = json.loads(numbers.read_text())
    assert sorted(map(int, found["networks"]["primer"]["seconds"])) == [1, 2, 4, 8, 16]
    assert [job["ranks"] for job in found["jobs"]] == ([1, 2] if has_mpi else [])
