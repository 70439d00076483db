"""Optimizers and schedules: steps computed by hand, PyTorch's numbers, and what they refuse."""

import copy
import importlib.util
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, optim


def parameter(*numbers, dtype=np.float64):
    return Tensor(np.array(numbers), dtype=dtype, requires_grad=True)


def stepped(optimizer, *gradients):
    """The one parameter after steps with these gradients."""
    (p,) = optimizer.params
    for g in gradients:
        p.grad = Tensor(np.array(g, p.dtype))
        optimizer.step()
    return p.data


# By hand --------------------------------------------------------------------------------------------------------------


def test_sgd_is_the_articles_update():
    np.testing.assert_allclose(stepped(optim.SGD([parameter(1.0, 2.0)], 0.1), [10, -10]), [0, 3])


def test_momentum():
    """v: 1, then 0.5 + 2 = 2.5; p: 1 - 0.1, then 0.9 - 0.25."""
    np.testing.assert_allclose(stepped(optim.SGD([parameter(1.0)], 0.1, momentum=0.5), [1], [2]), [0.65])


def test_nesterov_momentum():
    """v: 1, 2.5; p: 1 - 0.1 (1 + 0.5), then 0.85 - 0.1 (2 + 1.25)."""
    got = stepped(optim.SGD([parameter(1.0)], 0.1, momentum=0.5, nesterov=True), [1], [2])
    np.testing.assert_allclose(got, [0.85 - 0.325])


def test_weight_decay_of_sgd():
    np.testing.assert_allclose(stepped(optim.SGD([parameter(2.0)], 0.1, weight_decay=0.5), [1]), [2 - 0.1 * 2])


def test_adam():
    """At step 1 the means are the gradient itself; at step 2 m = 0.19/0.19... written out."""
    p = parameter(1.0)
    got = stepped(optim.Adam([p], 0.1, (0.9, 0.99), 1e-8), [4]).copy()
    np.testing.assert_allclose(got, [1 - 0.1 * 4 / (4 + 1e-8)])
    m = (0.9 * 0.1 * 4 + 0.1 * -2) / (1 - 0.9**2)
    v = (0.99 * 0.01 * 16 + 0.01 * 4) / (1 - 0.99**2)
    again = parameter(1.0)
    np.testing.assert_allclose(
        stepped(optim.Adam([again], 0.1, (0.9, 0.99), 1e-8), [4], [-2]), got - 0.1 * m / (math.sqrt(v) + 1e-8)
    )


def test_adam_adds_its_decay_to_the_gradient_and_adamw_to_the_parameter():
    np.testing.assert_allclose(stepped(optim.Adam([parameter(2.0)], 0.1, weight_decay=0.5), [3]), [1.9])
    np.testing.assert_allclose(stepped(optim.AdamW([parameter(2.0)], 0.1, weight_decay=0.5), [3]), [2 * 0.95 - 0.1])


def test_clipping_scales_all_gradients_to_one_norm():
    a, b = parameter(0.0), parameter(0.0, 0.0)
    a.grad, b.grad = Tensor(np.array([3.0])), Tensor(np.array([0.0, 4.0]))
    assert optim.clip_grad_norm([a, b], 10) == 5
    assert a.grad.data.tolist() == [3]
    assert optim.clip_grad_norm([a, b], 1) == 5
    np.testing.assert_allclose([*a.grad.data, *b.grad.data], [0.6, 0, 0.8])


def test_a_parameter_without_a_gradient_is_left_alone():
    used, unused = parameter(1.0), parameter(1.0)
    optimizer = optim.Adam([used, unused], 0.1, weight_decay=0.1)
    used.grad = Tensor(np.array([1.0]))
    optimizer.step()
    assert unused.data.tolist() == [1] and used.data.tolist() != [1]
    optimizer.zero_grad()
    assert used.grad is None


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, 0.9, 0.01, True), optim.Adam, optim.AdamW])
def test_float32_parameters_stay_float32_whatever_the_gradient(make):
    p = parameter(1.0, 2.0, dtype=np.float32)
    optimizer = make([p])
    for dtype in (np.float32, np.float64):
        p.grad = Tensor(np.ones(2, dtype))
        optimizer.step()
    assert p.dtype == np.float32 and all(a.dtype == np.float32 for a in optimizer.state[0].values() if a.ndim)


# PyTorch --------------------------------------------------------------------------------------------------------------

SETTINGS = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}), ("Adam", {}), ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}), ("AdamW", {}), ("AdamW", {"lr": 0.1, "weight_decay": 0.3}),
]  # fmt: skip


@pytest.mark.parametrize("name, kwargs", SETTINGS, ids=lambda v: v if isinstance(v, str) else str(len(v)))
@given(seed=st.integers(0, 999))
def test_ten_steps_are_pytorchs(name, kwargs, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((2, 3))
    p, q = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    ours, theirs = getattr(optim, name)([p], **kwargs), getattr(torch.optim, name)([q], **kwargs)
    for _ in range(10):
        g = rng.standard_normal((2, 3))
        p.grad, q.grad = Tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(p.data, q.detach().numpy(), 1e-10, 1e-12)


@given(st.integers(2, 50), st.floats(0.05, 0.95), st.floats(1, 50), st.floats(1, 1e5))
def test_one_cycle_is_pytorchs(total, warmup, start_factor, end_factor):
    torch = pytest.importorskip("torch")
    assume(warmup * total != 1)  # a peak at step 0, for which PyTorch divides by 0
    ours = optim.OneCycle(optim.SGD([parameter(1.0)], 9.0), 0.5, total, warmup=warmup, start_factor=start_factor,
                          end_factor=end_factor)  # fmt: skip
    other = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=9.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        other, 0.5, total_steps=total, pct_start=warmup, div_factor=start_factor, final_div_factor=end_factor,
        cycle_momentum=False,
    )  # fmt: skip
    for k in range(total):
        np.testing.assert_allclose(ours.optimizer.lr, theirs.get_last_lr()[0], 1e-9, 1e-12)
        if k < total - 1:
            ours.step()
            other.step()
            theirs.step()


@given(st.integers(1, 40), st.floats(0, 0.1))
def test_cosine_decay_is_pytorchs(total, final):
    torch = pytest.importorskip("torch")
    ours = optim.CosineDecay(optim.SGD([parameter(1.0)], 0.3), total, final=final)
    other = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(other, total, eta_min=final)
    for _ in range(total + 1):
        np.testing.assert_allclose(ours.optimizer.lr, theirs.get_last_lr()[0], 1e-9, 1e-12)
        ours.step()
        other.step()
        theirs.step()
    assert ours.optimizer.lr == pytest.approx(final)  # and there it stays


@given(st.integers(1, 9), st.floats(0.1, 1))
def test_step_decay_is_pytorchs(every, factor):
    torch = pytest.importorskip("torch")
    ours = optim.StepDecay(optim.SGD([parameter(1.0)], 0.3), every, factor=factor)
    other = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.StepLR(other, every, factor)
    for _ in range(25):
        np.testing.assert_allclose(ours.optimizer.lr, theirs.get_last_lr()[0], 1e-9)
        ours.step()
        other.step()
        theirs.step()


# Schedules ------------------------------------------------------------------------------------------------------------


def test_one_cycle_starts_low_peaks_once_and_ends_lower():
    schedule = optim.OneCycle(optim.SGD([parameter(1.0)], 9.0), 1.0, 10, start_factor=10, end_factor=100)
    rates = [schedule.rate(k) for k in range(10)]
    np.testing.assert_allclose([rates[0], rates[2], rates[9]], [0.1, 1.0, 0.001])
    assert rates[:3] == sorted(rates[:3]) and rates[2:] == sorted(rates[2:], reverse=True)
    assert schedule.rate(10) == schedule.rate(1000) == rates[9]


@pytest.mark.parametrize("warmup, total, last", [(1.0, 10, 1.0), (0.0, 10, 4e-6), (0.5, 1, 4e-6), (0.95, 10, 4e-6)])
def test_one_cycles_last_step(warmup, total, last):
    schedule = optim.OneCycle(optim.SGD([parameter(1.0)], 9.0), 1.0, total, warmup=warmup)
    assert schedule.rate(total - 1) == pytest.approx(last) and schedule.rate(total) == pytest.approx(4e-6)


def test_a_schedule_goes_on_from_its_state():
    def build():
        return optim.CosineDecay(optim.SGD([parameter(1.0)], 0.3), 20)

    first, second = build(), build()
    for _ in range(7):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.optimizer.lr == first.optimizer.lr == first.rate(7)
    for wrong in ({}, 3, {"steps": "a"}, {"steps": -1}, np.ones((3, 3)), {"steps": 1, "first": -1}):
        with pytest.raises((ValueError, TypeError), match=r"CosineDecay") as caught:
            second.load_state_dict(wrong)
        assert "\n" not in str(caught.value) and second.steps == 7


# State ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, 0.9), lambda p: optim.Adam(p, 0.1)])
def test_an_optimizer_goes_on_from_its_state(make):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 2))
    whole = stepped(make([parameter(1.0, 2.0)]), *gradients)
    first = make([parameter(1.0, 2.0)])
    half = stepped(first, *gradients[:3]).copy()
    saved = copy.deepcopy(first.state_dict())
    second = make([parameter(*half)])
    second.load_state_dict(saved)
    np.testing.assert_array_equal(stepped(second, *gradients[3:]), whole)
    for kept in saved["state"][0].values():
        kept[...] = np.nan if kept.dtype.kind == "f" else -1  # a state was copied when it was loaded
    assert np.isfinite(stepped(second, gradients[0])).all()


@pytest.mark.parametrize(
    "state",
    [{}, 3, None, {"lr": 0.1, "steps": 1, "state": []}, {"lr": 0.1, "steps": 1, "state": [{"m": np.ones(3)}]},
     {"lr": -1, "steps": 1, "state": [{}]}, {"lr": 0.1, "steps": "x", "state": [{}]},
     {"lr": 0.1, "steps": 1, "state": 3}, {"lr": 0.1, "steps": 1, "state": [3]},
     {"lr": 0.1, "steps": 1, "state": [{"m": "a"}]}, np.ones((3, 3)),
     {"class": np.ones(2), "lr": 0.1, "steps": 1, "state": [{}]},
     *({"lr": 0.1, "steps": 1, "state": [{"steps": np.array(n)}]} for n in (-1, math.inf, math.nan, 2.5, 2**40, True))],
    ids=str,
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state):
    optimizer = optim.Adam([parameter(1.0, 2.0)], 0.25)
    with pytest.raises((ValueError, TypeError), match=r"^Adam.load_state_dict: .*$") as caught:
        optimizer.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert optimizer.lr == 0.25 and optimizer.steps == 0 and optimizer.state == [{}]


# Wrong calls ----------------------------------------------------------------------------------------------------------

P = [parameter(1.0)]
TWICE = parameter(1.0)
WRONG = {
    "there are no parameters to change": lambda: optim.SGD([], 0.1),
    "params must be a collection of tensors": lambda: optim.SGD(parameter(1.0), 0.1),
    "Adam: params must be a collection": lambda: optim.Adam(3),
    "parameter 1 must be a Tensor, got str": lambda: optim.SGD([parameter(1.0), "a"], 0.1),
    "a parameter comes twice": lambda: optim.SGD([TWICE, TWICE], 0.1),
    "is an op's result, not a leaf": lambda: optim.SGD([TWICE * 2], 0.1),
    "missing 1 required positional argument: 'lr'": lambda: optim.SGD(P),
    "unexpected keyword argument 'momentun'": lambda: optim.SGD(P, 0.1, momentun=0.9),
    "SGD: momentum must be": lambda: optim.SGD(P, 0.1, momentum=1.5),
    "SGD: weight_decay must be": lambda: optim.SGD(P, 0.1, weight_decay=-1),
    "nesterov needs a momentum": lambda: optim.SGD(P, 0.1, nesterov=True),
    "Adam: betas must be two numbers": lambda: optim.Adam(P, betas=0.9),
    "Adam: betas must be below 1": lambda: optim.Adam(P, betas=(0.9, 1)),
    "Adam: eps must be": lambda: optim.Adam(P, eps=-1),
    "AdamW: weight_decay must be": lambda: optim.AdamW(P, weight_decay=-1),
    "no parameter has a gradient; call backward": lambda: optim.SGD([parameter(1.0)], 0.1).step(),
    "OneCycle: expected an Optimizer": lambda: optim.OneCycle(3, 1, 10),
    "OneCycle: total_steps must be at least 1": lambda: optim.OneCycle(optim.SGD(P, 0.1), 1, 0),
    "OneCycle: max_lr must be": lambda: optim.OneCycle(optim.SGD(P, 0.1), -1, 10),
    "OneCycle: warmup must be": lambda: optim.OneCycle(optim.SGD(P, 0.1), 1, 10, warmup=2),
    "OneCycle: start_factor must be": lambda: optim.OneCycle(optim.SGD(P, 0.1), 1, 10, start_factor=0),
    "OneCycle: end_factor must be": lambda: optim.OneCycle(optim.SGD(P, 0.1), 1, 10, end_factor=0),
    "CosineDecay: total_steps must be an integer": lambda: optim.CosineDecay(optim.SGD(P, 0.1), 2.5),
    "CosineDecay: final must be": lambda: optim.CosineDecay(optim.SGD(P, 0.1), 2, final=-1),
    "StepDecay: every must be at least 1": lambda: optim.StepDecay(optim.SGD(P, 0.1), 0),
    "StepDecay: factor must be": lambda: optim.StepDecay(optim.SGD(P, 0.1), 1, factor=-1),
    "clip_grad_norm: no parameter has a gradient": lambda: optim.clip_grad_norm([parameter(1.0)], 1),
    "clip_grad_norm: max_norm must be": lambda: optim.clip_grad_norm(P, -1),
    "clip_grad_norm: params must be": lambda: optim.clip_grad_norm(parameter(1.0), 1),
}


@pytest.mark.parametrize("message, call", WRONG.items(), ids=WRONG.keys())
def test_wrong_calls_are_answered(message, call):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("lr", [-1, math.nan, math.inf, "a", None, True, 1j, 10**400, Tensor(0.1), [0.1]], ids=str)
def test_impossible_rates(lr):
    for make in (optim.SGD, optim.Adam):
        with pytest.raises((ValueError, TypeError), match="lr must be"):
            make([parameter(1.0)], lr)


@pytest.mark.parametrize(
    "lr", [-1, math.nan, math.inf, "a", None, np.array(0.1), Tensor(0.1)], ids=lambda lr: f"{type(lr).__name__} {lr}"
)
def test_a_rate_that_became_impossible_is_refused_before_anything_moves(lr):
    p = parameter(1.0)
    optimizer, p.grad = optim.Adam([p]), Tensor(np.ones(1))
    optimizer.lr = lr
    with pytest.raises((ValueError, TypeError), match=r"^Adam.step: lr must be"):
        optimizer.step()
    assert p.data.tolist() == [1] and optimizer.steps == 0 and optimizer.state == [{}]
    with pytest.raises((ValueError, TypeError), match=r"^CosineDecay: the optimizer's lr must be"):
        optim.CosineDecay(optimizer, 10)


@pytest.mark.parametrize(
    "gradient",
    [Tensor(np.ones(1)), Tensor(np.ones((2, 2))), Tensor(1.0), np.ones(2), 3.0, Tensor(np.array([1, 2]))],
    ids=repr,
)
def test_a_gradient_of_another_shape_or_kind_is_refused_before_anything_moves(gradient):
    good, bad = parameter(1.0, 1.0), parameter(1.0, 1.0)
    good.grad, bad.grad = Tensor(np.ones(2)), gradient
    with pytest.raises(ValueError, match=r"SGD.step: the gradient of parameter 1 must be a tensor of its shape \(2,\)"):
        optim.SGD([good, bad], 0.1).step()
    with pytest.raises(ValueError, match="clip_grad_norm: the gradient of parameter 1 must be a tensor of its shape"):
        optim.clip_grad_norm([good, bad], 0.1)
    assert good.data.tolist() == good.grad.data.tolist() == [1, 1]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_an_error(value):
    p = parameter(1.0)
    p.grad = Tensor(np.array([value]))
    with pytest.raises(ValueError, match="the gradients' norm is"):
        optim.clip_grad_norm([p], 1.0)


@pytest.mark.parametrize("make", [partial(optim.SGD, momentum=0.9, weight_decay=1e38), optim.Adam, optim.AdamW])
def test_a_step_too_large_is_infinite_whatever_numpy_is_set_to_do(make):
    p = Tensor(np.array([3e38, 1.0], np.float32), requires_grad=True)
    p.grad = Tensor(np.array([3e38, np.inf], np.float32))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        make([p], lr=1e38).step()
    assert not np.isfinite(p.data).all()


def test_a_step_leaves_what_others_see_of_a_held_array_alone():
    p = parameter(1.0)
    cost = (p * p).sum()
    p.grad = Tensor(np.array([1.0]))
    seen = p.data
    optim.SGD([p], 0.5).step()
    assert seen.tolist() == [1] and p.data.tolist() == [0.5]
    with pytest.raises(tg.GraphError, match="was changed"):
        cost.backward()


def test_a_state_of_another_type_becomes_the_parameters():
    """As another library may have saved it: an integer velocity would lose every step."""
    optimizer = optim.SGD([parameter(1.0, 2.0)], 0.1, momentum=0.5)
    state = optimizer.state_dict() | {"state": [{"velocity": np.array([2, 0])}]}
    optimizer.load_state_dict(state)
    np.testing.assert_allclose(stepped(optimizer, [0.25, 0.5]), [1 - 0.1 * 1.25, 2 - 0.1 * 0.5])


def test_a_state_too_large_for_the_parameters_type_is_refused_and_an_infinite_one_stays():
    optimizer = optim.SGD([parameter(1.0, 2.0, dtype=np.float32)], 0.1, momentum=0.5)
    state = {"lr": 0.1, "steps": 1, "state": [{"velocity": np.array([1e300, np.inf])}]}
    with pytest.raises(ValueError, match=r"^SGD.load_state_dict: velocity: float32 cannot hold the number 1e\+300$"):
        optimizer.load_state_dict(state)
    state["state"][0]["velocity"][0] = np.nan
    optimizer.load_state_dict(state)
    np.testing.assert_array_equal(optimizer.state[0]["velocity"], [np.nan, np.inf])


# The updates, by their formulas ---------------------------------------------------------------------------------------

KERNEL_SETS = ["numpy", "numba"] if importlib.util.find_spec("numba") else ["numpy"]
MAKERS = {
    "sgd": lambda p: optim.SGD(p, 0.3),
    "momentum": lambda p: optim.SGD(p, 0.3, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, 0.3, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.3, betas=(0.8, 0.95), eps=1e-3),
}


def after_two_updates(make, start, gradients):
    """The parameter and its state; the gradients may be read-only, in any memory order."""
    p = Tensor(start, requires_grad=True)
    optimizer = make([p])
    for g in gradients:
        p.grad = Tensor(g)
        p.grad.data.setflags(write=False)
        optimizer.step()
    return [p.data, *(a for key, a in sorted(optimizer.state[0].items()) if key != "steps")]


def by_formula(name, p, gradients):
    v = m = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        if name == "adam":
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            p = p - 0.3 / (1 - 0.8**t) * m / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
        else:
            v = 0.9 * v + g
            p = p - 0.3 * {"sgd": g, "momentum": v, "nesterov": g + 0.9 * v}[name]
    return {"sgd": [p], "adam": [p, m, v]}.get(name, [p, v])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (3, 5), (2, 3, 4), (170, 200)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernels", KERNEL_SETS)
@pytest.mark.parametrize("name", MAKERS)
def test_an_update_is_its_formula_wherever_the_numbers_lie(name, kernels, dtype, shape, order):
    tg.set_kernels(kernels)
    random = np.random.default_rng(7)
    start, *gradients = (np.array(random.standard_normal(shape), dtype, order=order) for _ in range(3))
    results = after_two_updates(MAKERS[name], start, gradients)
    expected = by_formula(name, start.astype(np.float64), [g.astype(np.float64) for g in gradients])
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5 if dtype == np.float32 else 1e-12, atol=1e-6)


@pytest.mark.skipif("numba" not in KERNEL_SETS, reason="needs numba")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_a_compiled_update_has_the_bits_of_the_one_that_is_written_out(name, dtype, threads):
    before = tg.get_num_threads()
    start, *gradients = np.random.default_rng(3).standard_normal((3, 600_000)).astype(dtype)
    results = {}
    try:
        tg.set_num_threads(threads)
        for kernels in ("numba", "numpy"):
            tg.set_kernels(kernels)
            results[kernels] = after_two_updates(MAKERS[name], start, gradients)
    finally:
        tg.set_num_threads(before)
    for ours, theirs in zip(results["numba"], results["numpy"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
