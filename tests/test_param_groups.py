"""Parameter groups with settings of their own: PyTorch's numbers, schedules that scale each, and states."""

import copy
import json
import math
import pickle
import shutil
import weakref
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn, optim

SETTINGS = {
    "SGD": {"lr": st.floats(0, 1), "momentum": st.floats(0, 0.9), "weight_decay": st.floats(0, 0.5)},
    "Adam": {
        "lr": st.floats(0, 1), "betas": st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)), "eps": st.floats(1e-8, 1),
        "weight_decay": st.floats(0, 0.5),
    },
}  # fmt: skip
SETTINGS["AdamW"] = SETTINGS["Adam"]


def parameter(*numbers):
    return Tensor(np.array(numbers), dtype=np.float64, requires_grad=True)


def two_groups(**settings):
    """An optimizer of two groups, the second with a tenth of the rate."""
    return optim.SGD([{"params": [parameter(1.0), parameter(2.0)]}, {"params": [parameter(3.0)], **settings}], 0.5)


def give_gradients(optimizer):
    for p in optimizer.params:
        p.grad = Tensor(np.ones(p.shape))


@pytest.mark.parametrize("name", SETTINGS)
@given(data=st.data())
def test_groups_take_pytorchs_steps(name, data):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shapes = [[(2, 3), (4,)], [(3,)], [(2,)]]
    arrays = [[rng.standard_normal(shape) for shape in group] for group in shapes]
    settings = [data.draw(st.fixed_dictionaries({}, optional=SETTINGS[name])) for _ in arrays]
    mine = [[Tensor(a, requires_grad=True) for a in group] for group in arrays]
    other = [[torch.tensor(a, requires_grad=True) for a in group] for group in arrays]
    common = {"lr": 0.1, **data.draw(st.fixed_dictionaries({}, optional=SETTINGS[name]))}
    ours = getattr(optim, name)([{"params": p, **s} for p, s in zip(mine, settings, strict=True)], **common)
    theirs = getattr(torch.optim, name)([{"params": p, **s} for p, s in zip(other, settings, strict=True)], **common)
    for k in range(6):
        if k == 3:  # settings are changed on the way
            for optimizer in (ours, theirs):
                optimizer.param_groups[1]["lr"] *= 0.5
                optimizer.param_groups[2]["weight_decay"] = 0.25
        for p, q in zip(chain(*mine), chain(*other), strict=True):
            g = rng.standard_normal(p.shape)
            p.grad, q.grad = Tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    for p, q in zip(chain(*mine), chain(*other), strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), 1e-9, 1e-9)
    for group, like in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert {k: group[k] for k in SETTINGS[name]} == {k: like[k] for k in SETTINGS[name]}


def test_groups_are_read_and_set_and_an_attribute_is_the_first_groups():
    optimizer = two_groups(lr=0.05, weight_decay=0.1, name="head")
    first, second = optimizer.param_groups
    assert [len(g["params"]) for g in optimizer.param_groups] == [2, 1] and second["name"] == "head"
    assert (first["lr"], second["lr"], optimizer.lr) == (0.5, 0.05, 0.5)
    assert (first["weight_decay"], second["weight_decay"], optimizer.weight_decay) == (0, 0.1, 0)
    assert {**first} == {"params": tuple(optimizer.params[:2]), "lr": 0.5, "momentum": 0, "weight_decay": 0,
                         "nesterov": False} and len(first) == 5  # fmt: skip
    assert repr(second).startswith("ParamGroup({'params': 1, 'name': 'head', 'lr': 0.05,")
    give_gradients(optimizer)
    optimizer.step()
    np.testing.assert_allclose([p.item() for p in optimizer.params], [0.5, 1.5, 3 - 0.05 * (1 + 0.1 * 3)])


def test_of_one_group_attributes_can_be_set_and_are_the_groups():
    optimizer = optim.Adam([parameter(1.0)], 0.1)
    optimizer.lr, optimizer.weight_decay, optimizer.betas = 0.2, 0.3, [0.5, 0.6]
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.2, 0.3, [0.5, 0.6])
    give_gradients(optimizer)
    optimizer.step()
    assert group["betas"] == (0.5, 0.6) == optimizer.betas
    group["lr"] = 0.7
    assert optimizer.lr == 0.7


def test_a_generator_a_tensor_and_layers_make_groups():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.AdamW([{"params": model[0].parameters(), "lr": 1e-4}, {"params": model[1].weight}])
    assert [len(g["params"]) for g in optimizer.param_groups] == [2, 1]
    optimizer.add_param_group({"params": [model[1].bias], "weight_decay": 0})
    assert optimizer.params[-1] is model[1].bias and len(optimizer.state) == 4
    before = model.state_dict()
    for _ in range(2):
        optimizer.zero_grad()
        model(np.ones((4, 2), np.float32)).sum().backward()
        optimizer.step()
    assert all((before[k] != a).any() for k, a in model.state_dict().items())


def test_a_group_may_be_empty_and_another_without_gradients():
    p, q = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([{"params": []}, {"params": [p]}, {"params": [q], "lr": 9}], 0.5)
    p.grad = Tensor(np.ones(1))
    optimizer.step()
    assert (p.item(), q.item()) == (0.5, 2)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_a_copy_has_groups_of_its_own(how):
    optimizer = two_groups(lr=0.05)
    twin = how(optimizer)
    for group in twin.param_groups:
        group["lr"] = 0.25
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.05] and twin.lr == 0.25
    give_gradients(twin)
    twin.step()
    assert [p.item() for p in twin.params] == [0.75, 1.75, 2.75] and [p.item() for p in optimizer.params] == [1, 2, 3]


def test_a_group_keeps_other_entries_and_its_settings():
    (group,) = optim.SGD([parameter(1.0)], 0.1).param_groups
    group["note"] = "mine"
    assert group["note"] == "mine" and set(group) == {"params", "note", "lr", "momentum", "weight_decay", "nesterov"}
    del group["note"]
    for name in ("lr", "params"):
        with pytest.raises(KeyError, match="cannot be removed"):
            del group[name]
    with pytest.raises(KeyError):
        group["nothing"]


def test_an_optimizer_is_freed_without_the_garbage_collector():
    optimizer = two_groups()
    give_gradients(optimizer)
    optimizer.step()
    gone = weakref.ref(optimizer)
    del optimizer
    assert gone() is None


def test_an_interrupted_step_leaves_the_first_group_current():
    class Interrupted(optim.SGD):
        def update(self, p, g, state):
            if self.lr != 0.5:
                raise KeyboardInterrupt
            super().update(p, g, state)

    optimizer = Interrupted([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)], "lr": 0.1}], 0.5)
    give_gradients(optimizer)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert optimizer.lr == 0.5


def test_an_optimizer_of_ones_own_reads_its_groups():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr, sharpness=1.0):
            super().__init__(params, lr, sharpness=sharpness)

        def check_settings(self, op, settings):
            return super().check_settings(op, settings) | {"sharpness": float(settings["sharpness"])}

        def update(self, p, g, state):
            p -= self.lr * np.tanh(self.sharpness * g)

    one, two = parameter(1.0), parameter(1.0)
    optimizer = Sign([{"params": one}, {"params": two, "sharpness": 0}], 0.5)
    give_gradients(optimizer)
    optimizer.step()
    np.testing.assert_allclose([one.item(), two.item()], [1 - 0.5 * math.tanh(1), 1])
    assert optimizer.settings() == {"sharpness": (1.0, 0.0), "groups": (1, 1)}


# Schedules ------------------------------------------------------------------------------------------------------------


@given(st.floats(1e-3, 1), st.floats(0, 3), st.integers(3, 20))
def test_a_schedule_scales_every_groups_rate_from_its_own(rate, ratio, total):
    torch = pytest.importorskip("torch")
    schedules = {
        "StepDecay": (lambda o: optim.StepDecay(o, 2, factor=0.5),
                      lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)),
        "CosineDecay": (lambda o: optim.CosineDecay(o, total),
                        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total)),
        "OneCycle": (lambda o: optim.OneCycle(o, 1.5, total, warmup=0.4),
                     lambda o: torch.optim.lr_scheduler.OneCycleLR(
                         o, [1.5, 1.5 * ratio], total_steps=total, pct_start=0.4, cycle_momentum=False)),
    }  # fmt: skip
    for make, like in schedules.values():
        mine = optim.SGD([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)], "lr": rate * ratio}], rate)
        leaves = [torch.ones(1, requires_grad=True) for _ in range(2)]
        other = torch.optim.SGD([{"params": leaves[:1]}, {"params": leaves[1:], "lr": rate * ratio}], lr=rate)
        ours, theirs = make(mine), like(other)
        for _ in range(total - 1):
            rates = [g["lr"] for g in mine.param_groups]
            np.testing.assert_allclose(rates, theirs.get_last_lr(), 1e-7, 1e-9)
            ours.step(), other.step(), theirs.step()


def test_a_schedule_goes_on_with_all_rates_from_its_state():
    def build():
        return optim.CosineDecay(two_groups(lr=0.05), 20)

    first, second = build(), build()
    for _ in range(7):
        first.step()
    state = json.loads(json.dumps(first.state_dict()))
    assert state == {"steps": 7, "first": 0.5, "rates": [0.5, 0.05]}
    for group in second.optimizer.param_groups:
        group["lr"] = 9
    second.load_state_dict(state)
    assert [g["lr"] for g in second.optimizer.param_groups] == [g["lr"] for g in first.optimizer.param_groups]
    for wrong in ({"steps": 7, "first": 0.5}, state | {"rates": [0.1, 0.2]}, state | {"rates": [0.5, -1]}):
        with pytest.raises(ValueError, match=r"CosineDecay.load_state_dict: (needs the rates of 2|rates must be)"):
            second.load_state_dict(wrong)


def test_a_group_that_comes_later_is_scaled_too():
    optimizer = optim.SGD([parameter(1.0)], 0.5)
    schedule = optim.StepDecay(optimizer, 1, factor=0.1)
    schedule.step()
    optimizer.add_param_group({"params": [parameter(1.0)], "lr": 5.0})
    schedule.step()
    np.testing.assert_allclose([g["lr"] for g in optimizer.param_groups], [0.005, 0.05])


def test_a_first_rate_of_zero_has_no_ratio():
    optimizer = two_groups()
    optimizer.param_groups[0]["lr"] = 0
    with pytest.raises(ValueError, match="CosineDecay: the first group's lr must be above 0"):
        optim.CosineDecay(optimizer, 10)
    alone = optim.SGD([parameter(1.0)], 0)
    optim.OneCycle(alone, 1.0, 10)
    assert alone.lr == pytest.approx(1 / 25)


# States ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_an_optimizer_of_groups_goes_on_from_its_state(name):
    def build(start):
        groups = [
            {"params": [parameter(*start[:2])], "lr": 0.3},
            {"params": [parameter(start[2])], "weight_decay": 0.1},
        ]
        extra = {"momentum": 0.9} if name == "SGD" else {}
        return getattr(optim, name)(groups, lr=0.1, **extra)

    def run(optimizer, gradients):
        for g in gradients:
            for p, part in zip(optimizer.params, (g[:2], g[2:]), strict=True):
                p.grad = Tensor(part)
            optimizer.step()
        return np.concatenate([p.data for p in optimizer.params])

    gradients = np.random.default_rng(0).standard_normal((6, 3))
    whole = run(build([1.0, 2.0, 3.0]), gradients)
    first = build([1.0, 2.0, 3.0])
    half = run(first, gradients[:3]).copy()
    state = first.state_dict()
    facts = json.loads(json.dumps({k: v for k, v in state.items() if k != "state"}))  # as a checkpoint keeps them
    second = build(half)
    for group in second.param_groups:
        group["lr"] = 9.0
    second.load_state_dict(facts | {"state": state["state"]})
    np.testing.assert_array_equal(run(second, gradients[3:]), whole)


def test_a_state_of_version_0_1_loads_into_one_group():
    optimizer = optim.Adam([parameter(1.0)], 0.1)
    arrays = {"steps": np.array(3), "m": np.array([0.5]), "v": np.array([0.25])}
    optimizer.load_state_dict({"class": "Adam", "lr": 0.02, "steps": 3, "state": [arrays]})
    assert optimizer.lr == 0.02 and optimizer.steps == 3 and optimizer.state[0]["m"].tolist() == [0.5]
    assert optimizer.state_dict().keys() == {"class", "lr", "steps", "state"}


def test_a_state_of_other_groups_is_refused_and_changes_nothing():
    optimizer, other = two_groups(), optim.SGD([parameter(1.0), parameter(1.0), parameter(1.0)], 0.1)
    states = [
        other.state_dict(),
        two_groups().state_dict() | {"groups": [{"lr": 1, "params": 3}]},
        two_groups().state_dict() | {"groups": 3},
    ]
    for state in states:
        with pytest.raises(
            ValueError, match=r"^SGD.load_state_dict: (the state is of groups of|groups must be a list)"
        ):
            optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match=r"the state is of groups of \[2, 1\] parameters, these are of \[3\]"):
        other.load_state_dict(optimizer.state_dict())
    assert optimizer.lr == 0.5 and other.lr == 0.1


# Training -------------------------------------------------------------------------------------------------------------

SOME = tg.data.digits()[0][:50]


def run_of_groups(path, head=None, schedule=None, **settings):
    """Two epochs of four steps with a slow first layer and, by default, a quick second one."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, rng=rng), nn.Tanh(), nn.Linear(8, 10, rng=rng))
    groups = [{"params": model[1].parameters()}, {"params": model[3].parameters(), **(head or {"lr": 0.2})}]
    optimizer = optim.SGD(groups, 0.02, momentum=0.9)
    return tg.train(
        model, SOME, epochs=2, batch_size=16, optimizer=optimizer, schedule=schedule and schedule(optimizer),
        checkpoint=path, rng=np.random.default_rng(5), **settings,
    )  # fmt: skip


@pytest.mark.parametrize("schedule", [None, lambda o: optim.OneCycle(o, 0.1, 8)], ids=["plain", "one cycle"])
def test_a_run_of_groups_goes_on_to_the_same_bits_and_compares_every_group(schedule, tmp_path):
    path = tmp_path / "run.npz"
    whole = run_of_groups(None, schedule=schedule)
    losses = [record.loss for record in whole]
    steps = iter(run_of_groups(path, schedule=schedule))
    part = [next(steps).loss for _ in range(6)]
    steps.close()
    changes = {
        r"lr was \[0.02, 0.2\], now \[0.02, 0.1\]": {"lr": 0.1},
        r"optimizer weight_decay was 0.*, now \[0.*, 0.1\]": {"lr": 0.2, "weight_decay": 0.1},
    }
    for message, head in changes.items():
        with pytest.raises(ValueError, match=message):
            run_of_groups(path, head, schedule, resume=True)
        overridden = run_of_groups(shutil.copy(path, tmp_path / "copy.npz"), head, schedule, resume=True, override=True)
        ratio = overridden.optimizer.param_groups[1]["lr"] / overridden.optimizer.lr
        assert ratio == pytest.approx(head["lr"] / 0.02)
    resumed = run_of_groups(path, schedule=schedule, resume=True)
    assert part + [record.loss for record in resumed] == losses


# Wrong calls ----------------------------------------------------------------------------------------------------------

P, Q = parameter(1.0), parameter(1.0)
WRONG = {
    r"params must be a collection of tensors, or a list of groups": lambda: optim.SGD({"params": [P]}, 0.1),
    r"may have lr, momentum, name, nesterov, params, weight_decay; got \['params', 'learning_rate'\]":
        lambda: optim.SGD([{"params": [P], "learning_rate": 0.1}], 0.1),
    "a group must have params": lambda: optim.Adam([{"lr": 0.1}]),
    "a parameter group must be a dict": lambda: optim.Adam([{"params": [P]}, Q]),
    "params must be a collection of tensors": lambda: optim.Adam([{"params": 3}]),
    "parameter 0 must be a Tensor, got str": lambda: optim.Adam([{"params": ["a"]}]),
    "parameter 1 must be a Tensor, got dict": lambda: optim.Adam([P, {"params": [Q]}]),
    "a parameter comes twice": lambda: optim.SGD([{"params": [P]}, {"params": [Q, P]}], 0.1),
    "SGD: lr must be finite and between": lambda: optim.SGD([{"params": [P], "lr": -1}], 0.1),
    "Adam: betas must be two numbers": lambda: optim.Adam([{"params": [P], "betas": 0.9}]),
    "SGD: nesterov needs a momentum above 0": lambda: optim.SGD([{"params": [P], "nesterov": True}], 0.1),
    "there are no parameters to change": lambda: optim.SGD([{"params": []}], 0.1),
    "is an op's result": lambda: optim.SGD([{"params": [P * 2]}], 0.1),
}  # fmt: skip


@pytest.mark.parametrize("message, call", WRONG.items(), ids=WRONG.keys())
def test_wrong_groups_are_answered(message, call):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("setting, value", [("lr", -1), ("weight_decay", math.nan), ("momentum", "a"), ("nesterov", 1)])
def test_a_setting_that_became_impossible_is_refused_before_anything_moves(setting, value):
    optimizer = two_groups()
    give_gradients(optimizer)
    optimizer.param_groups[1][setting] = value
    with pytest.raises((ValueError, TypeError), match=rf"^SGD.step: {setting} must be"):
        optimizer.step()
    assert [p.item() for p in optimizer.params] == [1, 2, 3] and optimizer.steps == 0


def test_clipping_goes_over_all_groups():
    optimizer = two_groups()
    for p in optimizer.params:
        p.grad = Tensor(np.array([2.0]))
    assert tg.optim.clip_grad_norm(optimizer.params, 1.0) == pytest.approx(math.sqrt(12))
