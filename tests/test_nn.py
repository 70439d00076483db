"""Layers and modules: PyTorch's names, shapes, first values and state; parameters found; wrong settings named."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, nn


class Net(nn.Module):
    """Parts of every kind: a layer, a lone parameter, lists, a dict, a shared layer, a buffer."""

    def __init__(self):
        self.conv = nn.Conv2d(1, 2, 3)
        self.scale = nn.Parameter([1.0, 2.0])
        self.blocks = [nn.Linear(8, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4))]
        self.heads = {"left": nn.Linear(4, 1), "right": nn.Linear(4, 1)}
        self.offsets = [nn.Parameter([0.0]), nn.Parameter([1.0])]
        self.shared = self.conv
        self.norm = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.5, rng=np.random.default_rng(0))

    def forward(self, x):
        x = self.drop(self.norm(self.conv(x)) * self.scale.reshape(2, 1, 1)).flatten(1)
        for block in self.blocks:
            x = block(x)
        return self.heads["left"](x) + self.offsets[0], self.heads["right"](x) + self.offsets[1]


NAMES = [
    "scale", "offsets.0", "offsets.1", "conv.weight", "conv.bias", "blocks.0.weight", "blocks.0.bias",
    "blocks.2.0.weight", "blocks.2.0.bias", "heads.left.weight", "heads.left.bias", "heads.right.weight",
    "heads.right.bias", "norm.weight", "norm.bias",
]  # fmt: skip


# Modules --------------------------------------------------------------------------------------------------------------


def test_every_parameter_is_found_once_in_the_order_of_definition():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert len({id(p) for p in net.parameters()}) == len(list(net.parameters())) == len(NAMES)
    once = [name for name in net.state_dict() if not name.startswith("shared.")]
    assert once == [*NAMES, "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]


def test_every_parameter_gets_a_gradient_and_one_that_does_not_can_be_asked_for():
    net = Net()
    left, _ = net(Tensor(np.random.default_rng(0).random((5, 1, 4, 4)), dtype=np.float32))
    left.sum().backward()
    assert net.parameters_without_grad() == ["offsets.1", "heads.right.weight", "heads.right.bias"]
    net.zero_grad()
    assert len(net.parameters_without_grad()) == len(NAMES)


def test_train_and_eval_reach_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    x = Tensor(np.random.default_rng(0).random((5, 1, 4, 4)), dtype=np.float32)
    net.eval()
    before = net.norm.running_mean.data.copy()
    np.testing.assert_array_equal(net(x)[0].data, net(x)[0].data)
    np.testing.assert_array_equal(net.norm.running_mean.data, before)
    net.train()
    assert (net(x)[0].data != net(x)[0].data).any()
    assert net.norm.num_batches_tracked.item() == 2
    with pytest.raises(TypeError, match="mode must be True or False"):
        net.train("yes")


def test_state_goes_from_one_module_to_another():
    a, b = Net(), Net()
    b.load_state_dict(a.state_dict())
    x = Tensor(np.random.default_rng(0).random((5, 1, 4, 4)), dtype=np.float32)
    np.testing.assert_array_equal(a.eval()(x)[0].data, b.eval()(x)[0].data)
    state = a.state_dict()
    state["scale"][0] = 99
    assert a.scale.data[0] == 1  # a state is a copy
    b.load_state_dict({k: Tensor(v) for k, v in a.state_dict().items()})
    b.load_state_dict({k: v.tolist() for k, v in a.state_dict().items()})


def test_a_state_that_does_not_fit_names_everything_that_is_wrong_and_changes_nothing():
    net, other = Net(), Net()
    state = other.state_dict()
    del state["conv.bias"], state["norm.bias"]
    state |= {"stray": np.ones(1), "scale": np.ones(3), "offsets.0": np.array([1j]), "offsets.1": [[1], [2, 3]]}
    before = net.state_dict()
    with pytest.raises(nn.StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "Net", "missing: conv.bias", "missing: norm.bias", "unexpected: stray", "scale has shape (3,), (2,) is needed",
        "offsets.0 has dtype complex128, float32 is needed", "offsets.1 is no array",
    ):  # fmt: skip
        assert part in message
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    for nothing in (3, [1], None):
        with pytest.raises(TypeError, match="load_state_dict: expected arrays by name"):
            net.load_state_dict(nothing)


def test_a_number_too_large_for_its_place_is_refused_before_any_is_copied():
    norm = nn.BatchNorm2d(2)
    before, state = norm.state_dict(), norm.state_dict()
    state |= {"weight": [2.0, 3.0], "bias": [1e300, 1.0], "num_batches_tracked": np.array(2**63, np.uint64)}
    with pytest.raises(nn.StateError) as caught:
        norm.load_state_dict(state)
    assert "bias: float32 cannot hold the number 1e+300" in str(caught.value)
    assert f"num_batches_tracked: int64 cannot hold the numbers from {2**63}" in str(caught.value)
    with pytest.raises(nn.StateError, match="num_batches_tracked has dtype float64, int64 is needed"):
        norm.load_state_dict(before | {"num_batches_tracked": np.array(1.0)})
    for name, array in norm.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    norm.load_state_dict(before | {"bias": [np.inf, np.nan]})  # what is not finite already stays as it is
    np.testing.assert_array_equal(norm.bias.data, [np.inf, np.nan])


def test_loading_reads_everything_before_it_writes():
    layer = nn.Linear(1, 2)
    layer.scale = nn.Parameter([[5.0], [6.0]])
    weight = layer.weight.data.copy()
    layer.load_state_dict({"weight": layer.scale, "scale": layer.weight}, strict=False)
    np.testing.assert_array_equal(layer.weight.data, [[5], [6]])
    np.testing.assert_array_equal(layer.scale.data, weight)


def test_a_buffer_of_truths_goes_through_a_state():
    layer = nn.ReLU()
    layer.seen = nn.Buffer([False, False])
    layer.load_state_dict({"seen": np.array([True, False])})
    assert layer.seen.data.tolist() == [True, False]
    with pytest.raises(nn.StateError, match="seen has dtype int64, bool is needed"):
        layer.load_state_dict({"seen": [1, 0]})


def test_a_list_may_hold_itself_and_the_module():
    net = Net()
    names = list(net.state_dict())
    net.ring = [nn.Linear(1, 1)]
    net.ring.append(net.ring)
    net.ring.append({"up": net.ring, "net": net})
    assert list(net.state_dict()) == [*names, "ring.0.weight", "ring.0.bias"]
    assert sum(1 for _ in net.modules()) == sum(1 for _ in Net().modules()) + 1
    assert "Linear(1, 1)" in repr(net)


def test_loading_what_fits_of_another_state():
    net, part = Net(), {"scale": np.array([5.0, 6.0]), "stray": np.ones(1)}
    net.load_state_dict(part, strict=False)
    assert net.scale.data.tolist() == [5, 6] and net.scale.dtype == np.float32


def test_loading_makes_older_graphs_stale():
    layer = nn.Linear(2, 1)
    cost = layer(Tensor([[1.0, 2.0]], requires_grad=True)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(tg.GraphError, match="was changed"):
        cost.backward()


def test_a_parameters_place_takes_only_a_parameter():
    layer = nn.Linear(2, 2)
    for value in (np.ones((2, 2)), [[1.0]], Tensor(np.ones((2, 2))), nn.ReLU()):
        with pytest.raises(TypeError, match=r"Linear.weight is a Parameter; edit its numbers with weight.data\[...\]"):
            layer.weight = value
    layer.weight, layer.bias = nn.Parameter([[1.0, 2.0]]), None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(TypeError, match=r"BatchNorm2d.running_mean is a Buffer"):
        nn.BatchNorm2d(2).running_mean = np.zeros(2)


def test_super_init_may_be_left_out_or_called():
    class Called(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 1)

        def forward(self, x):
            return self.inner(x)

    assert Called()(Tensor([[1.0, 2.0]])).shape == (1, 1)
    assert [n for n, _ in Called().named_parameters()] == ["inner.weight", "inner.bias"]


def test_a_module_without_forward_says_so():
    class Misspelt(nn.Module):
        def foward(self, x):
            return x

    with pytest.raises(TypeError, match="Misspelt: define forward"):
        Misspelt()(1)


def test_freezing():
    net = Net().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert net.requires_grad_().conv.weight.requires_grad


def test_a_module_in_another_float_type():
    net = Net().astype(np.float64)
    assert {a.dtype for n, a in net.state_dict().items() if "num_" not in n} == {np.dtype(np.float64)}
    assert net.norm.num_batches_tracked.dtype == np.int64
    for wrong in (int, np.float16, object):
        with pytest.raises(TypeError, match="parameters are float32 or float64"):
            net.astype(wrong)


def test_what_is_too_large_for_another_float_type_becomes_infinite_without_a_warning():
    layer = nn.Linear(1, 1).astype(np.float64)
    layer.weight.writable()[...] = 1e300
    assert layer.astype(np.float32).weight.item() == np.inf


def test_repr_shows_the_whole_net():
    assert repr(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), tg.relu, nn.Flatten())) == (
        "Sequential(\n  (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n  (1): relu\n"
        "  (2): Flatten()\n)"
    )
    text = repr(Net())
    for part in ("scale=(2,)", "(blocks.2): Sequential(\n    (0): Linear(4, 4)\n  )", "(heads.left): Linear(4, 1)"):
        assert part in text
    assert repr(tg.article.FeatureMap((2, 3))) == "FeatureMap(w=(2, 3), b=(1, 1))"


@pytest.mark.parametrize(
    "layer, text",
    [
        (nn.Conv2d(4, 6, (3, 2), 2, "valid", (1, 2), 2, False),
         "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), dilation=(1, 2), groups=2, bias=False)"),
        (nn.Conv2d(1, 1, 3, padding="same"), "Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding='same')"),
        (nn.ConvTranspose2d(1, 2, 3, 2, 1, 1),
         "ConvTranspose2d(1, 2, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))"),
        (nn.MaxPool2d(2), "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"),
        (nn.AvgPool2d(2, 1), "AvgPool2d(kernel_size=(2, 2), stride=(1, 1), padding=(0, 0))"),
        (nn.Linear(3, 2, bias=False), "Linear(3, 2, bias=False)"), (nn.Dropout(0.25), "Dropout(p=0.25)"),
        (nn.BatchNorm2d(3), "BatchNorm2d(3, eps=1e-05, momentum=0.1)"), (nn.ReLU(), "ReLU()"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_repr_of_a_layer(layer, text):
    assert repr(layer) == text


def test_a_module_that_holds_itself():
    class Loop(nn.Module):
        def __init__(self):
            self.p, self.me = nn.Parameter([1.0]), self

    assert [n for n, _ in Loop().named_parameters()] == ["p"]
    assert repr(Loop()) == "Loop(\n  p=(1,)\n  (me): ...\n)"


# Sequential -----------------------------------------------------------------------------------------------------------


def test_sequential_applies_modules_and_functions_in_order():
    first = nn.Linear(2, 2)
    net = nn.Sequential(first, tg.relu, lambda x: x * 2)
    x = Tensor([[1.0, -2.0]])
    np.testing.assert_array_equal(net(x).data, 2 * np.maximum(first(x).data, 0))
    assert len(net) == 3 and net[0] is first and net[-2] is tg.relu and list(net)[1] is tg.relu
    assert isinstance(net[:2], nn.Sequential) and len(net[:2]) == 2 and net[:2][0] is first
    assert nn.Sequential()(x) is x
    many = nn.Sequential(*[nn.Linear(1, 1) for _ in range(12)])
    assert [n for n, _ in many.named_parameters()][-2:] == ["11.weight", "11.bias"]


@pytest.mark.parametrize("wrong", [3, None, [nn.ReLU()], "relu"])
def test_sequential_refuses_what_cannot_be_called(wrong):
    with pytest.raises(TypeError, match="Sequential: argument 1 must be a module or a function"):
        nn.Sequential(nn.ReLU(), wrong)


# Layers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_an_rng_fixes_the_first_values_and_none_gives_new_ones(seed):
    def build(rng):
        return nn.Sequential(
            nn.Conv2d(1, 2, 3, rng=rng), nn.ConvTranspose2d(2, 1, 2, rng=rng), nn.Linear(3, 2, rng=rng)
        ).state_dict()

    one, same = build(np.random.default_rng(seed)), build(np.random.default_rng(seed))
    assert all((one[k] == same[k]).all() for k in one)
    assert all((one[k] != fresh).any() for k, fresh in build(None).items())


@pytest.mark.parametrize(
    "make, fan_in",
    [(lambda rng: nn.Conv2d(8, 64, (3, 5), groups=2, rng=rng), 60), (lambda rng: nn.Linear(50, 300, rng=rng), 50),
     (lambda rng: nn.ConvTranspose2d(16, 64, 3, rng=rng), 576)],
    ids=["Conv2d", "Linear", "ConvTranspose2d"],
)  # fmt: skip
def test_first_values_are_uniform_within_one_over_the_root_of_the_fan_in(make, fan_in):
    layer, bound = make(np.random.default_rng(0)), fan_in**-0.5
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    for values in (layer.weight.data, layer.bias.data):
        assert np.abs(values).max() <= bound and np.abs(values).max() > 0.9 * bound
    assert abs(layer.weight.data.std() - bound / 3**0.5) < 0.03 * bound
    assert abs(layer.weight.data.mean()) < 0.03 * bound


def test_a_linear_that_does_not_fit_says_what_to_write():
    images = Tensor(np.ones((2, 3, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"write Linear\(48, 10\) after a Flatten\(\)"):
        nn.Linear(100, 10)(images)
    with pytest.raises(ValueError, match=r"put a Flatten\(\) before it: a row then has 48 numbers"):
        nn.Linear(48, 10)(images)
    with pytest.raises(ValueError, match=r"Linear\(48, 10\): the input's rows have 3 numbers .*write Linear\(3, 10\)"):
        nn.Linear(48, 10)(Tensor(np.ones((2, 3), np.float32)))


def test_layers_take_arrays_and_lists():
    assert nn.Linear(2, 1)([[1.0, 2.0]]).shape == (1, 1)
    assert nn.Flatten()(np.ones((2, 3, 4))).shape == (2, 12)
    assert nn.Conv2d(1, 1, 1)(np.ones((1, 1, 2, 2), np.float32)).shape == (1, 1, 2, 2)


@pytest.mark.parametrize(
    "start, end, shape",
    [(1, -1, (2, 60)), (0, -1, (120,)), (1, 2, (2, 12, 5)), (-2, -1, (2, 3, 20)), (2, 2, (2, 3, 4, 5))],
)
def test_flatten(start, end, shape):
    assert nn.Flatten(start, end)(Tensor(np.ones((2, 3, 4, 5)))).shape == shape


WRONG_LAYERS = {
    "in_channels must be at least 1": lambda: nn.Conv2d(0, 1, 3),
    "out_channels must be an integer": lambda: nn.Conv2d(1, 1.5, 3),
    "kernel_size must be an integer or two": lambda: nn.Conv2d(1, 1, (3,)),
    "stride must be at least 1": lambda: nn.Conv2d(1, 1, 3, 0),
    "padding must be at least 0": lambda: nn.Conv2d(1, 1, 3, 1, -1),
    "padding must be an integer or two": lambda: nn.Conv2d(1, 1, 3, 1, "big"),
    "dilation must be at least 1": lambda: nn.Conv2d(1, 1, 3, dilation=0),
    "groups=4 must divide 4 and 6 channels": lambda: nn.Conv2d(4, 6, 3, groups=4),
    "padding='same' needs stride 1": lambda: nn.Conv2d(1, 1, 3, 2, "same"),
    "padding_mode must be 'zeros', got 'circular'": lambda: nn.Conv2d(1, 1, 3, padding_mode="circular"),
    "ConvTranspose2d: padding_mode must be 'zeros'": lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"),
    "x must have maps of 3x3": lambda: nn.ConvTranspose2d(1, 1, 2)(np.ones((1, 1, 2, 2)), output_size=4),
    "return_indices must be False, got True": lambda: nn.MaxPool2d(2, return_indices=True),
    "MaxPool2d: ceil_mode must be True or False": lambda: nn.MaxPool2d(2, ceil_mode=1),
    "AvgPool2d: divisor_override must be at least 1": lambda: nn.AvgPool2d(2, divisor_override=0),
    r"output_size must be \(rows, columns\) or one integer": lambda: nn.AdaptiveAvgPool2d((1, 2, 3)),
    "AdaptiveAvgPool2d: output_size must be at least 1": lambda: nn.AdaptiveAvgPool2d((None, 0)),
    "ReLU: inplace must be True or False": lambda: nn.ReLU("yes"),
    "GELU: approximate must be 'none' or 'tanh', got 'sigmoid'": lambda: nn.GELU("sigmoid"),
    "LeakyReLU: negative_slope must be a number": lambda: nn.LeakyReLU("a"),
    "ModuleList: item 1 must be a Module": lambda: nn.ModuleList([nn.ReLU(), tg.relu]),
    "ModuleList: call its modules one by one": lambda: nn.ModuleList([nn.ReLU()])(np.ones(2)),
    "rng must be a numpy.random.Generator": lambda: nn.Conv2d(1, 1, 3, rng=3),
    "output_padding 2 must be smaller": lambda: nn.ConvTranspose2d(1, 1, 3, 2, output_padding=2),
    "the padding .* leaves nothing": lambda: nn.ConvTranspose2d(1, 1, 3, padding=4)(np.ones((1, 1, 3, 3))),
    "MaxPool2d: kernel_size must be at least 1": lambda: nn.MaxPool2d(0),
    "maxpool: padding .* at most half the overlay": lambda: nn.MaxPool2d(2, padding=2)(np.ones((1, 1, 3, 3))),
    "maxpool: dilation .* steps over the whole map": lambda: nn.MaxPool2d(2, 1, 1, 3)(np.ones((1, 1, 2, 2))),
    "AvgPool2d: stride must be an integer": lambda: nn.AvgPool2d(2, 1.5),
    "Linear: in_features must be at least 1": lambda: nn.Linear(0, 1),
    "Flatten: axis 9 does not exist in 2 axes": lambda: nn.Flatten(9)(np.ones((2, 2))),
    "Flatten: axis 1 comes after axis 0": lambda: nn.Flatten(1, 0)(np.ones((2, 2))),
    "Dropout: p must be .*between 0 and 1": lambda: nn.Dropout(1.5),
    "Dropout: rng must be": lambda: nn.Dropout(rng=3),
    "BatchNorm2d: eps must be": lambda: nn.BatchNorm2d(2, eps=-1),
    "BatchNorm2d: momentum must be a number": lambda: nn.BatchNorm2d(2, momentum="a"),
    r"BatchNorm2d: x must be \(N, C, H, W\) \(x.shape=\(2, 3\)\)": lambda: nn.BatchNorm2d(3)(np.ones((2, 3))),
    r"BatchNorm1d: x must be \(N, C\) or \(N, C, L\)": lambda: nn.BatchNorm1d(3)(np.ones((2, 3, 1, 1))),
    "one number for each of 3 channels": lambda: nn.BatchNorm2d(2)(np.ones((2, 3, 3, 3))),
    "needs more than one number a channel": lambda: nn.BatchNorm2d(1)(np.ones((1, 1, 1, 1))),
    "one image is x.reshape": lambda: nn.Conv2d(1, 1, 3)(np.ones((1, 3, 3))),
    "softmax: axis must be an integer": lambda: nn.Softmax("a")(np.ones(2)),
    "only float32 and float64 can require": lambda: nn.Parameter([1, 2]),
}


@pytest.mark.parametrize("message, call", WRONG_LAYERS.items(), ids=WRONG_LAYERS.keys())
def test_a_wrong_setting_is_named(message, call):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("number", [np.uint8, np.int8, np.int64])
def test_sizes_of_layers_may_be_numpys(number):
    n = number(100)  # of which two together, or times a filter's numbers, are too many for a small integer
    for layer in (
        lambda n, rng: nn.Conv2d(n, 4, 5, rng=rng),
        lambda n, rng: nn.ConvTranspose2d(4, n, 5, rng=rng),
        lambda n, rng: nn.Linear(n, n, rng=rng),
    ):
        small, plain = (layer(m, np.random.default_rng(0)).state_dict() for m in (n, 100))
        for name in plain:
            np.testing.assert_array_equal(small[name], plain[name])


# PyTorch --------------------------------------------------------------------------------------------------------------

PAIRS = [
    ("Conv2d", (4, 6, 3), {}, (2, 4, 7, 5)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 2}, (2, 4, 8, 9)),
    ("Conv2d", (4, 8, 3), {"padding": "same", "groups": 4, "bias": False}, (2, 4, 5, 6)),
    ("Conv2d", (3, 2, (2, 4)), {"padding": "same", "dilation": (1, 2)}, (2, 3, 7, 9)),
    ("Conv2d", (3, 5, 1), {}, (2, 3, 4, 6)),
    ("Conv2d", (3, 5, (4, 6)), {}, (1, 3, 4, 6)),
    ("Conv2d", (3, 5, 3), {"padding": "valid"}, (1, 3, 4, 6)),
    ("ConvTranspose2d", (4, 6, 3), {}, (2, 4, 3, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (2, 1), (1, 2), 2), {"dilation": (1, 2)}, (2, 4, 4, 3)),
    ("ConvTranspose2d", (3, 2, 3, 3, 0, 2), {"bias": False}, (2, 3, 2, 4)),
    ("MaxPool2d", (2,), {}, (2, 3, 7, 4)),
    ("MaxPool2d", ((3, 2), (1, 2), (1, 1), (2, 1)), {}, (2, 3, 7, 5)),
    ("AvgPool2d", (2,), {}, (2, 3, 7, 4)),
    ("AvgPool2d", ((3, 2), (1, 2), (1, 1)), {}, (2, 3, 7, 5)),
    ("Linear", (5, 3), {}, (4, 5)),
    ("Linear", (5, 3), {"bias": False}, (2, 4, 5)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Sigmoid", (), {}, (2, 3)), ("Tanh", (), {}, (2, 3)), ("ReLU", (), {}, (2, 3)), ("Softmax", (1,), {}, (2, 3)),
    ("Dropout", (0.0,), {}, (2, 3)),
    ("BatchNorm2d", (3,), {}, (4, 3, 2, 5)),
    ("BatchNorm2d", (3, 1e-2, 0.5), {}, (4, 3, 2, 5)),
    ("BatchNorm2d", (3, 1e-2, None), {}, (4, 3, 2, 5)),
    ("BatchNorm2d", (3, 1e-2, None, False, False), {}, (4, 3, 2, 5)),
    ("BatchNorm1d", (3,), {"affine": False}, (4, 3)),
    ("BatchNorm1d", (3,), {"track_running_stats": False}, (4, 3, 5)),
    ("ConvTranspose2d", (1, 1, 2), {"dilation": 3, "output_padding": 2}, (1, 1, 4, 6)),
    ("Identity", (54,), {"unused": 0.1}, (2, 3)),
    ("LeakyReLU", (0.2,), {}, (2, 3)), ("GELU", (), {}, (2, 3)), ("GELU", ("tanh",), {}, (2, 3)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 7, 5)),
    ("AdaptiveAvgPool2d", ((None, 3),), {}, (2, 3, 7, 5)),
    ("MaxPool2d", (3, 2), {"ceil_mode": True}, (2, 3, 6, 7)),
    ("AvgPool2d", (3, 2, 1, True, False), {}, (2, 3, 6, 7)),
    ("AvgPool2d", (2,), {"divisor_override": 3}, (2, 3, 6, 7)),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's word about its own memory
@pytest.mark.parametrize("name, args, kwargs, shape", PAIRS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_layer_is_pytorchs_layer(name, args, kwargs, shape, training):
    """Its state loads unchanged, and values, gradients and statistics agree."""
    torch = pytest.importorskip("torch")
    ours = getattr(nn, name)(*args, **kwargs).astype(np.float64)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.as_tensor(v) for k, v in ours.state_dict().items()})
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    ours.train(training)
    theirs.train(training)
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(shape), None
    for _ in range(2):  # twice, for running statistics
        a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        np.testing.assert_allclose(y.data, z.detach().numpy(), 1e-9, 1e-9)
        g = rng.standard_normal(y.shape)
        y.backward(g)
        z.backward(torch.tensor(g))
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), 1e-9, 1e-9)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), 1e-9, 1e-9, err_msg=key)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), 1e-9, err_msg=key)


@pytest.mark.slow
@examples(10)
@given(st.data())
def test_a_whole_net_trains_as_in_pytorch(data):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ours = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 3, rng=rng),
    ).astype(np.float64)  # fmt: skip
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(36, 3),
    ).double()  # fmt: skip
    theirs.load_state_dict({k: torch.as_tensor(v) for k, v in ours.state_dict().items()})
    a, b = tg.optim.Adam(ours.parameters(), 1e-2), torch.optim.Adam(theirs.parameters(), 1e-2)
    for _ in range(5):
        x, labels = rng.random((6, 1, 8, 8)), rng.integers(0, 3, 6)
        cost, other = (
            tg.cross_entropy(ours(Tensor(x)), labels),
            torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels)),
        )
        a.zero_grad()
        b.zero_grad()
        cost.backward()
        other.backward()
        a.step()
        b.step()
        np.testing.assert_allclose(cost.item(), other.item(), 1e-7)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), 1e-5, 1e-7, err_msg=key)
