"""What a PyTorch user types first: the same signatures, accepted and refused alike, with the same numbers."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")

NO_LAYERS = {"Buffer", "IncompatibleKeys", "Module", "Normalize", "Parameter", "Sequential", "StateError"}
LAYERS = sorted(set(nn.__all__) - NO_LAYERS)
PLACES = {"device", "dtype"}  # where PyTorch puts a parameter: here it is always float32 in memory
POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters(layer):
    if layer.__init__ in (nn.Module.__init__, torch.nn.Module.__init__):
        return []
    signature = inspect.signature(layer).parameters.values()
    return [(p.name, p.kind, p.default) for p in signature if p.name not in PLACES and p.kind in POSITIONAL]


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_pytorchs_arguments_in_their_order_with_their_defaults(name):
    ours, theirs = parameters(getattr(nn, name)), parameters(getattr(torch.nn, name))
    if name == "Softmax":  # PyTorch guesses an axis where none is named, and warns
        theirs = [("dim", POSITIONAL[0], -1)]
    assert ours == theirs


# Any arguments --------------------------------------------------------------------------------------------------------


@st.composite
def pairs(draw, low, high):
    """One integer or two."""
    return draw(st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high)))


# Of a dilation above 1, some paddings make PyTorch abort: those are left to the table of ops.
BOOLS, SOME = st.booleans(), st.integers(1, 4)
ARGUMENTS = {
    "Conv2d": {
        "in_channels": st.sampled_from([2, 4]), "out_channels": st.sampled_from([2, 4]), "kernel_size": pairs(1, 3),
        "stride": pairs(1, 3), "padding": pairs(0, 3) | st.sampled_from(["same", "valid"]), "dilation": pairs(1, 2),
        "groups": st.integers(1, 3), "bias": BOOLS, "padding_mode": st.just("zeros"),
    },
    "ConvTranspose2d": {
        "in_channels": st.sampled_from([2, 4]), "out_channels": st.sampled_from([2, 4]), "kernel_size": pairs(1, 3),
        "stride": pairs(1, 3), "padding": pairs(0, 3), "output_padding": pairs(0, 3), "groups": st.integers(1, 3),
        "bias": BOOLS, "dilation": pairs(1, 4), "padding_mode": st.just("zeros"),
    },
    "MaxPool2d": {
        "kernel_size": pairs(1, 4), "stride": st.none() | pairs(1, 4), "padding": pairs(0, 2), "dilation": pairs(1, 1),
        "return_indices": st.just(False), "ceil_mode": BOOLS,
    },
    "AvgPool2d": {
        "kernel_size": pairs(1, 4), "stride": st.none() | pairs(1, 4), "padding": pairs(0, 2), "ceil_mode": BOOLS,
        "count_include_pad": BOOLS, "divisor_override": st.none() | SOME,
    },
    "AdaptiveAvgPool2d": {
        "output_size": SOME | st.tuples(st.none() | SOME, st.none() | SOME),
    },
    "Linear": {"in_features": st.sampled_from([5, 6]), "out_features": SOME, "bias": BOOLS},
    "Flatten": {"start_dim": st.integers(-4, 4), "end_dim": st.integers(-4, 4)},
    "Dropout": {"p": st.just(0.0), "inplace": BOOLS},
    "BatchNorm1d": {
        "num_features": st.sampled_from([3, 4]), "eps": st.floats(1e-5, 1), "momentum": st.none() | st.floats(0, 1),
        "affine": BOOLS, "track_running_stats": BOOLS,
    },
    "Sigmoid": {}, "Tanh": {}, "Identity": {}, "Softmax": {"dim": st.integers(-5, 4)}, "ReLU": {"inplace": BOOLS},
    "LeakyReLU": {"negative_slope": st.floats(0, 2), "inplace": BOOLS},
    "GELU": {"approximate": st.sampled_from(["none", "tanh", "sigmoid"])},
}  # fmt: skip
ARGUMENTS["BatchNorm2d"] = ARGUMENTS["BatchNorm1d"]
SHAPES = st.tuples(st.integers(1, 3), st.just(4), st.integers(1, 7), st.integers(5, 6))
REFUSALS = (ValueError, RuntimeError, IndexError, ZeroDivisionError)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"ModuleList"}))
@given(data=st.data())
def test_any_arguments_are_accepted_or_refused_as_in_pytorch_and_give_its_numbers(name, data):
    """State, values, gradients and running statistics, in two steps of training and one of evaluation."""
    settings = ARGUMENTS[name]
    given_ones = data.draw(st.integers(0, len(settings)))  # so many first arguments by position, some others by name
    needed = [
        k
        for k, p in inspect.signature(getattr(nn, name)).parameters.items()
        if p.default is p.empty or k in ("dim", "p")
    ]
    args = [data.draw(settings[k]) for k in list(settings)[:given_ones]]
    kwargs = {k: data.draw(settings[k]) for k in list(settings)[given_ones:] if k in needed or data.draw(BOOLS)}
    shape = data.draw(SHAPES)
    shape = shape[:2] if name == "BatchNorm1d" and shape[2] == 1 else shape[:3] if name == "BatchNorm1d" else shape
    seed = data.draw(st.integers(0, 99))
    results = []
    for build, run in ((getattr(nn, name), ours), (getattr(torch.nn, name), theirs)):
        try:
            results.append(run(build(*args, **kwargs), shape, seed))
        except REFUSALS as error:
            results.append(error)
    mine, other = results
    assert isinstance(mine, Exception) == isinstance(other, Exception), (mine, other)
    if not isinstance(mine, Exception):
        assert list(mine) == list(other)
        for key in mine:
            np.testing.assert_allclose(mine[key], other[key], 1e-8, 1e-8, err_msg=key)


def numbers(seed):
    rng = np.random.default_rng(seed)
    return lambda shape: rng.standard_normal(shape)


def ours(layer, shape, seed):
    draw, layer = numbers(seed), layer.astype(np.float64)
    layer.load_state_dict({k: draw(a.shape) if "num" not in k else a for k, a in layer.state_dict().items()})
    results = {}
    for training in (True, True, False):
        x = Tensor(draw(shape), requires_grad=True)
        y = layer.train(training)(x)
        y.backward(draw(y.shape))
        results |= {f"{len(results)} y": y.data, f"{len(results)} dx": x.grad.data}
    gradients = {f"d{k}": p.grad.data for k, p in layer.named_parameters()}
    return results | gradients | layer.state_dict()


def theirs(layer, shape, seed):
    draw, layer = numbers(seed), layer.double()
    layer.load_state_dict(
        {k: torch.tensor(draw(a.shape)) if "num" not in k else a for k, a in layer.state_dict().items()}
    )
    results = {}
    for training in (True, True, False):
        x = torch.tensor(draw(shape), requires_grad=True)
        y = layer.train(training)(x * 1)  # a layer in place may not change a leaf
        y.backward(torch.tensor(draw(y.shape)))
        results |= {f"{len(results)} y": y.detach().numpy(), f"{len(results)} dx": x.grad.numpy()}
    gradients = {f"d{k}": p.grad.numpy() for k, p in layer.named_parameters()}
    return results | gradients | {k: a.numpy() for k, a in layer.state_dict().items()}


@given(st.data())
def test_the_size_of_a_transposed_convolution_may_be_named(data):
    stride, kernel, extra = (data.draw(st.integers(1, 3)) for _ in range(3))
    padding = data.draw(st.integers(0, kernel - 1))
    size = 3 * stride - 2 * padding + kernel + data.draw(st.integers(-1, extra))
    mine, other = (library.ConvTranspose2d(1, 2, kernel, stride, padding) for library in (nn, torch.nn))
    mine.load_state_dict(other.state_dict())
    try:
        expected = other(torch.ones(1, 1, 4, 4), output_size=[size, size])
    except ValueError:
        with pytest.raises(ValueError, match=r"x must have maps of|output_size must be at least 1"):
            mine(np.ones((1, 1, 4, 4), np.float32), output_size=(size, size))
    else:
        got = mine(np.ones((1, 1, 4, 4), np.float32), output_size=(size, size))
        np.testing.assert_allclose(got.data, expected.detach().numpy(), 1e-5, 1e-6)


def test_inplace_leaves_the_input_alone():
    x = Tensor([-1.0, 2.0], requires_grad=True)
    for layer in (nn.ReLU(True), nn.LeakyReLU(0.1, True), nn.Dropout(0.5, True)):
        layer(x).sum().backward()
        assert x.data.tolist() == [-1, 2]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)], ids=repr)
def test_rounding_up_is_no_anomaly(pool):
    x = Tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    with tg.detect_anomaly():
        pool(x).sum().backward()
        with pytest.raises(tg.AnomalyError, match="made nan"):
            pool(Tensor(np.full((1, 1, 3, 3), np.nan)))
    assert np.isfinite(x.grad.data).all()


def test_the_mean_of_a_map_of_ones_is_one():
    assert (nn.AdaptiveAvgPool2d(1)(np.ones((2, 3, 41, 7), np.float32)).data == 1).all()


# Lists of modules -----------------------------------------------------------------------------------------------------

STEPS = {
    "append": lambda m, new, k: m.append(new()),
    "extend": lambda m, new, k: m.extend([new(), new()]),
    "insert": lambda m, new, k: m.insert(k % (len(m) + 1), new()),
    "set": lambda m, new, k: m.__setitem__(k % len(m), new()) if len(m) else None,
    "delete": lambda m, new, k: m.__delitem__(k % len(m)) if len(m) else None,
    "delete a slice": lambda m, new, k: m.__delitem__(slice(k, k + 2)),
    "pop": lambda m, new, k: m.pop(k % len(m)) if len(m) else None,
    "+=": lambda m, new, k: m.__iadd__([new()]),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3)), max_size=8), st.integers(0, 3))
def test_a_list_of_modules_behaves_as_pytorchs(steps, first):
    mine, other = (lib.ModuleList(lib.Linear(1, k + 1) for k in range(first)) for lib in (nn, torch.nn))
    for library, modules in ((nn, mine), (torch.nn, other)):
        counter = iter(range(10, 99))
        for step, k in steps:
            STEPS[step](modules, lambda lib=library, c=counter: lib.Linear(1, next(c)), k)
    assert len(mine) == len(other)
    shapes = {name: tuple(t.shape) for name, t in other.state_dict().items()}
    assert {name: a.shape for name, a in mine.state_dict().items()} == shapes
    assert [m.out_features for m in mine] == [m.out_features for m in other]
    if len(mine):
        assert mine[-1].out_features == other[-1].out_features and mine[0] in mine
    tail, whole = mine[1:], mine + [nn.ReLU()]  # noqa: RUF005
    assert isinstance(tail, nn.ModuleList) and [m.out_features for m in tail] == [m.out_features for m in other[1:]]
    assert isinstance(whole, nn.ModuleList) and len(whole) == len(mine) + 1 and list(mine) == list(whole)[:-1]


def test_a_network_of_lists_is_saved_printed_and_trained():
    class Net(nn.Module):
        def __init__(self):
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.BatchNorm1d(2)])

        def forward(self, x):
            for block in self.blocks:
                x = x + block(x)
            return x

    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"
    ]  # fmt: skip
    assert repr(net) == (
        "Net(\n  (blocks): ModuleList(\n    (0): Linear(2, 2)\n    (1): BatchNorm1d(2, eps=1e-05, momentum=0.1)\n  )\n)"
    )
    assert not any(m.training for m in net.eval().modules())
    net.train()(np.ones((3, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


# States ---------------------------------------------------------------------------------------------------------------


def network(library):
    return library.Sequential(library.Linear(2, 3), library.BatchNorm1d(3), library.Linear(3, 1))


@given(st.data())
def test_what_did_not_fit_is_returned_as_pytorch_returns_it(data):
    names = list(network(nn).state_dict())
    absent = data.draw(st.sets(st.sampled_from(names)))
    state = {k: a for k, a in network(nn).state_dict().items() if k not in absent}
    state |= dict.fromkeys(data.draw(st.sets(st.sampled_from(["extra", "0.scale", "3.weight"]))), np.ones(1))
    expected = network(torch.nn).load_state_dict({k: torch.as_tensor(a) for k, a in state.items()}, strict=False)
    got = network(nn).load_state_dict(state, strict=False)
    assert got.missing_keys == expected.missing_keys
    assert sorted(got.unexpected_keys) == sorted(expected.unexpected_keys)
    missing, unexpected = got
    assert (missing, unexpected) == (got.missing_keys, got.unexpected_keys)


def test_a_strict_state_returns_that_nothing_is_missing():
    net = network(nn)
    assert net.load_state_dict(net.state_dict()) == ([], [])


def test_a_state_without_counts_of_batches_loads_and_the_count_stays():
    net = network(nn)
    net(np.ones((4, 2), np.float32))
    state = {k: a for k, a in network(nn).state_dict().items() if "num_batches_tracked" not in k}
    assert net.load_state_dict(state) == ([], [])
    assert net[1].num_batches_tracked.item() == 1
    del state["1.running_mean"]
    with pytest.raises(nn.StateError, match=r"Sequential: missing: 1\.running_mean$"):
        net.load_state_dict(state)


PREFIXES = ["module.", "_orig_mod.", "model.backbone.", "a.b.c."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_named_and_what_the_message_says_works(prefix):
    net, own = network(nn), network(nn).state_dict()
    state = {prefix + k: a for k, a in own.items()}
    with pytest.raises(nn.StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert f"Sequential: all keys begin with '{prefix}'; load {{k.removeprefix(" in message and "missing: " in message
    advice = message.partition("; load ")[2].partition("; ")[0]
    assert net.load_state_dict(eval(advice, {"state": state})) == ([], [])
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert unexpected == list(state) and missing == [k for k in own if "num_batches" not in k]


@pytest.mark.parametrize("prefix", ["net.", "net.inner."])
def test_a_prefix_that_the_state_lacks_is_named_too(prefix):
    module = network(nn)
    for name in reversed(prefix.split(".")[:-1]):
        outer = nn.Module()
        setattr(outer, name, module)
        module = outer
    state = network(nn).state_dict()
    with pytest.raises(nn.StateError) as caught:
        module.load_state_dict(state)
    assert f"no key begins with '{prefix}'; load {{'{prefix}' + k: v" in str(caught.value)
    advice = str(caught.value).partition("; load ")[2].partition("; ")[0]
    assert module.load_state_dict(eval(advice, {"state": state})) == ([], [])


def test_a_state_inside_a_checkpoint_is_pointed_at():
    net = network(nn)
    with pytest.raises(nn.StateError, match=r"'state_dict' is a state inside the state; load state\['state_dict'\]"):
        net.load_state_dict({"epoch": 3, "state_dict": net.state_dict()})


def test_no_prefix_is_invented():
    with pytest.raises(nn.StateError) as caught:
        network(nn).load_state_dict({"conv.kernel": np.ones(1), "conv.shift": np.ones(1)})
    assert "begin" not in str(caught.value)
    with pytest.raises(nn.StateError) as caught:  # some fit: the others are simply others
        network(nn).load_state_dict({"0.weight": np.ones((3, 2)), "0.0.bias": np.ones(3)})
    assert "begin" not in str(caught.value)


# Numbers in text ------------------------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6, width=32), st.sampled_from([".4f", ".2e", "g", ">10.1f", "+.3f", ""]))
def test_a_number_is_formatted_as_pytorch_formats_it(value, spec):
    assert format(Tensor(value), spec) == format(torch.tensor(value), spec)
    assert format(tg.nn.Parameter(value), spec) == format(torch.tensor(value), spec)


def test_what_cannot_be_formatted_says_so():
    assert f"{Tensor(0.5):.2f}" == "0.50" and f"{Tensor([[0.5]]):.1f}" == "0.5" and f"{Tensor(7):03d}" == "007"
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    with pytest.raises(TypeError, match=r"format: '.4f' needs a tensor of one number, this one has shape \(2,\)"):
        f"{Tensor([1.0, 2.0]):.4f}"
    with pytest.raises(ValueError, match="Unknown format code 'd'"):
        f"{Tensor(0.5):d}"
