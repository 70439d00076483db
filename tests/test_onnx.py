"""A network leaves as ONNX, computes the same in onnxruntime, and comes back as a network that can be trained."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.interop import from_onnx, to_onnx
from tinygrad_cnn.interop.onnx.readers import elementwise as e
from tinygrad_cnn.interop.onnx_nodes import _TRANSLATORS, NODE_NAMES
from tinygrad_cnn.interop.trace import trace
from tinygrad_cnn.models import RECIPES, build

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(6)
IMAGE = (4, 9, 8)
PICTURE = RNG.random((9, 8), np.float32)


class Function(nn.Module):
    """A function of one tensor, and a parameter, as a network."""

    def __init__(self, f: Callable[..., Any], *shape: int) -> None:
        self.f = f
        if shape:
            self.w = nn.Parameter(RNG.random(shape, np.float32))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.f(x, self.w) if hasattr(self, "w") else self.f(x)


def trained_norm() -> nn.BatchNorm2d:
    """Batch normalisation whose statistics and parameters are not the first ones."""
    norm = nn.BatchNorm2d(4, eps=1e-3)
    norm(tg.Tensor(RNG.normal(3, 2, (5, *IMAGE)).astype(np.float32)))
    norm.weight.data[...], norm.bias.data[...] = RNG.random(4), RNG.random(4)
    return norm


LAYERS: dict[str, nn.Module] = {
    "Conv2d": nn.Conv2d(4, 6, 3),
    "Conv2d, settings": nn.Conv2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=2),
    "Conv2d, depthwise": nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "Conv2d, same": nn.Conv2d(4, 2, 3, padding="same"),
    "Conv2d, same and even": nn.Conv2d(4, 2, (4, 2), padding="same"),
    "ConvTranspose2d": nn.ConvTranspose2d(4, 6, 3),
    "ConvTranspose2d, settings": nn.ConvTranspose2d(
        4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2)
    ),
    "MaxPool2d": nn.MaxPool2d(2),
    "MaxPool2d, settings": nn.MaxPool2d((3, 2), stride=(1, 2), padding=1, dilation=(2, 1)),
    "AvgPool2d": nn.AvgPool2d(2),
    "AvgPool2d, settings": nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 1)),
    "ConvTranspose2d, more output padding than stride": nn.ConvTranspose2d(
        4, 6, 2, stride=(1, 2), padding=(2, 0), output_padding=(2, 1), dilation=(3, 1)
    ),
    "MaxPool2d, rounded up": nn.MaxPool2d((2, 3), stride=(2, 3), padding=(1, 0), dilation=(1, 2), ceil_mode=True),
    "AvgPool2d, rounded up": nn.AvgPool2d(2, ceil_mode=True),
    "AvgPool2d, border not counted": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    "AvgPool2d, sums": nn.AvgPool2d(3, divisor_override=1),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(1),
    "AdaptiveAvgPool2d, equal parts": nn.AdaptiveAvgPool2d((3, 4)),
    "AdaptiveAvgPool2d, unequal parts": nn.AdaptiveAvgPool2d((2, None)),
    "Identity": nn.Sequential(nn.Identity(), nn.ReLU()),
    "Identity, alone": nn.Identity(),
    "LeakyReLU": nn.LeakyReLU(0.2),
    "GELU": nn.GELU(),
    "GELU, tanh": nn.GELU("tanh"),
    "Linear": nn.Linear(8, 5),
    "Linear, no bias": nn.Linear(8, 5, bias=False),
    "Flatten": nn.Flatten(),
    "Flatten, inner": nn.Flatten(2, 3),
    "Flatten and Linear": nn.Sequential(nn.Flatten(), nn.Linear(288, 5)),
    "Flatten and Linear, no bias": nn.Sequential(nn.Flatten(), nn.Linear(288, 5, bias=False)),
    "Sigmoid": nn.Sigmoid(),
    "Tanh": nn.Tanh(),
    "ReLU": nn.ReLU(),
    "Softmax": nn.Softmax(),
    "Softmax, channels": nn.Softmax(1),
    "Dropout": nn.Dropout(0.5),
    "BatchNorm2d": trained_norm(),
    "BatchNorm2d, not affine": nn.BatchNorm2d(4, affine=False),
    "BatchNorm1d": nn.Sequential(nn.Flatten(), nn.BatchNorm1d(288)),
    "BatchNorm1d, alone": nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(4)),
    "Sequential": nn.Sequential(),
}

FUNCTIONS: dict[str, nn.Module] = {
    "abs": Function(lambda x: x.abs()),
    "add and subtract": Function(lambda x, w: (x + w) - (2.5 - x), 8),
    "divide and power": Function(lambda x, w: (x * x + 1) ** w / (w + 1), 9, 1),
    "exp, log, sqrt": Function(lambda x: (x.exp() + 1).log().sqrt()),
    "negative and clip": Function(lambda x: (-x).clip(-0.5, 1.0).clip(low=-0.4).clip(high=0.9)),
    "trigonometry": Function(lambda x: e.sin(x) * e.cos(x) + e.tan(x / 9) + e.atan(x)),
    "inverse functions": Function(lambda x: e.asin(e.sin(x)) + e.acos(e.cos(x)) + e.asinh(x) + e.acosh(x * x + 1.1)),
    "hyperbolic functions": Function(lambda x: e.atanh(tg.tanh(x) * 0.5) + e.sinh(x) / e.cosh(x) + e.softplus(x)),
    "steps": Function(lambda x: e.floor(x * 3) + e.ceil(x * 5) + e.round_half_even(x * 7) + e.sign(x)),
    "larger and smaller": Function(lambda x, w: e.larger(x, w) + e.smaller(x, 1 - w) + e.fmod(x, w + 1), 9, 1),
    "extremes over axes": Function(
        lambda x: e.extreme_over(x, (1, 3), True, True) + e.extreme_over(x, (2,), False, False)[:, :1, None]
    ),
    "getitem, an array": Function(lambda x: x[:, ::2, np.array([[0, 3], [2, -1]])]),
    "erf": Function(lambda x: x.erf()),
    "view, permute, squeeze, unsqueeze": Function(
        lambda x: x.unsqueeze(0).permute(1, 0, 3, 2, 4).squeeze(1).view(-1, 4 * 9 * 8)
    ),
    "stack": Function(lambda x: tg.stack([x, x * 2], dim=-1)),
    "variance": Function(lambda x: x.var(dim=1, keepdim=True) + x.std((2, 3), correction=0, keepdims=True)),
    "matmul": Function(lambda x, w: x @ w, 8, 3),
    "log_softmax": Function(lambda x: tg.log_softmax(x, 2)),
    "sum": Function(lambda x: x.sum((1, 3)) + x.mean((1, 2), keepdims=True).sum(axis=(2, 1)) [:, :1]),
    "sum over everything": Function(lambda x: x.sum() * tg.Tensor(1.0)),
    "sum over no axis": Function(lambda x: x.sum(())),
    "global average": Function(lambda x: x.mean((2, 3))),
    "pad": Function(lambda x: tg.pad(x, ((0, 0), (0, 1), (2, 0), (1, 1)), value=-1.5)),
    "concatenate": Function(lambda x: tg.concatenate([x, x * 2, tg.sigmoid(x)], 1)),
    "transpose": Function(lambda x: x.transpose(0, 2, -1, 1).swapaxes(1, 2)),
    "reshape, batch and channels in one": Function(lambda x: x.reshape(-1, 9, 8).sum(2)),
    "reshape, batch not first": Function(lambda x: x.transpose(1, 2, 3, 0).reshape(36, 8, -1)),
    "broadcast_to": Function(lambda x: x.mean(1, keepdims=True).broadcast_to((len(x), 3, 9, 8))),
    "broadcast_to, new axes": Function(lambda x, w: x + w.broadcast_to((4, 9, 8)), 9, 1),
    "astype": Function(lambda x: (x.astype(np.float64) * 3).astype(np.float32)),
    "getitem, slices": Function(lambda x: x[:, 1:, -7:-1:2, ::-1]),
    "getitem, integers": Function(lambda x: x[..., 2, -1]),
    "getitem, one image": Function(lambda x: x[0]),
    "getitem, new axes": Function(lambda x: x[:, None, 1, ..., None]),
    "getitem, everything": Function(lambda x: x[...]),
    "getitem of a parameter, turned": Function(lambda x, w: x * w[::-1, 2:1:-1], 9, 3),
    "convolve2d, same": Function(lambda x, w: tg.convolve2d(x, w, mode="same"), 2, 4, 3, 3),
    "correlate2d, full": Function(lambda x, w: tg.correlate2d(x, w, mode="full"), 2, 4, 3, 2),
    "one map at a time": Function(lambda x, w: tg.correlate2d(x[0, 0], w), 2, 2),
    "linear of a stack": nn.Linear(8, 3),
    "a constant": Function(lambda x: PICTURE - x * np.float64(2)),
    "a skip connection": Function(lambda x, w: x + tg.relu(tg.correlate2d(x, w, padding=1)), 4, 4, 3, 3),
}  # fmt: skip


def ours(network: nn.Module, x: np.ndarray) -> np.ndarray:
    with tg.no_grad():
        return np.asarray(network.eval()(tg.Tensor(x)))


def in_onnxruntime(path: Any, x: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    (y,) = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"input": x})
    return y  # type: ignore[no-any-return]


def images(n: int, shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    return RNG.standard_normal((n, *shape)).astype(np.float32)


def assert_equal_elsewhere(network: nn.Module, shape: tuple[int, ...], path: Any) -> None:
    """From one file, in onnxruntime and read back: equal to 1e-5 for batches of 1 and 7, and written again the same."""
    to_onnx(network, path, shape)
    again = from_onnx(path)
    for n in (1, 7):
        x = images(n, shape)
        y = ours(network, x)
        np.testing.assert_allclose(in_onnxruntime(path, x), y, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(ours(again, x), y)
    to_onnx(again, path.with_name("again.onnx"), shape, metadata=again.metadata)
    assert words(path) == words(path.with_name("again.onnx"))


def words(path: Any) -> list[str]:
    return sorted(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_the_same_in_onnxruntime_and_read_back(name, tmp_path):
    assert_equal_elsewhere(LAYERS[name], IMAGE, tmp_path / "net.onnx")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_op_computes_the_same_in_onnxruntime_and_read_back(name, tmp_path):
    assert_equal_elsewhere(FUNCTIONS[name], IMAGE, tmp_path / "net.onnx")


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 12, 10)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_a_named_network_computes_the_same_in_onnxruntime_and_read_back(name, shape, tmp_path):
    network = build(name, shape, rng=np.random.default_rng(0))
    for p in network.parameters():
        if not p.data.any():  # zeros as first values would compare nothing
            p.data[...] = RNG.normal(0, 0.1, p.shape)
    assert_equal_elsewhere(network, shape, tmp_path / "net.onnx")


def test_every_layer_is_among_the_layers_above():
    layers = {n for n, k in vars(nn).items() if isinstance(k, type) and issubclass(k, nn.Module)}
    inside = {type(m).__name__ for layer in LAYERS.values() for m in layer.modules()}
    assert inside == layers - {"Module", "ModuleList"}  # the last computes nothing by itself


def test_every_op_that_can_be_exported_is_among_the_cases_above():
    networks = [*LAYERS.values(), *FUNCTIONS.values()]
    assert {op.name for net in networks for op in trace("test", net, IMAGE).ops} == {*NODE_NAMES, *_TRANSLATORS}


def test_the_file_has_a_free_batch_known_shapes_and_the_parameters_by_name(tmp_path):
    network = nn.Sequential(nn.Conv2d(4, 6, 3), trained_then(6), nn.ReLU(), nn.Flatten(), nn.Linear(252, 3))
    to_onnx(network, tmp_path / "net.onnx", IMAGE, metadata={"note": "a test"})
    proto = onnx.load(tmp_path / "net.onnx")
    assert proto.producer_name == "tinygrad_cnn"
    assert {p.key: p.value for p in proto.metadata_props}["note"] == "a test"
    assert [i.name for i in proto.graph.initializer] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight", "4.bias"
    ]  # fmt: skip
    ends = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in (*proto.graph.input, *proto.graph.output)}  # fmt: skip
    assert ends == {"input": ["batch", 4, 9, 8], "output": ["batch", 3]}
    inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    assert {v.name for v in inferred.graph.value_info} >= {o for n in proto.graph.node[:-1] for o in n.output}


def trained_then(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    norm(tg.Tensor(images(3, (channels, 7, 6))))
    return norm


def test_a_named_network_takes_its_settings_along(tmp_path):
    network = build("digits", (1, 8, 8), 10)
    to_onnx(network, tmp_path / "net.onnx")
    again = from_onnx(tmp_path / "net.onnx")
    assert json.loads(again.metadata["model"]) == network.settings()
    assert again.image_shape == (1, 8, 8)


def test_the_network_itself_is_not_changed(tmp_path):
    network = nn.Sequential(trained_then(4), nn.Dropout()).requires_grad_(False)
    before = network.state_dict()
    to_onnx(network, tmp_path / "net.onnx", IMAGE)
    assert network.training and not any(p.requires_grad for p in network.parameters())
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_it_is_exported_in_evaluation_mode_whatever_mode_it_is_in_and_under_no_grad(tmp_path):
    network = nn.Sequential(trained_then(4), nn.Dropout()).train()
    with tg.no_grad():
        to_onnx(network, tmp_path / "net.onnx", IMAGE)
    x = images(2)
    np.testing.assert_allclose(in_onnxruntime(tmp_path / "net.onnx", x), ours(network, x), rtol=1e-5, atol=1e-5)


def test_what_comes_back_has_the_state_and_can_be_trained(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 10))
    to_onnx(network, tmp_path / "net.onnx", (1, 8, 8))
    again = from_onnx(tmp_path / "net.onnx")
    state = network.state_dict()
    assert list(again.state_dict()) == list(state)
    for name, array in again.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in network.named_parameters()]
    train, _ = tg.data.digits()
    x, labels = tg.Tensor(train.images[:200]), train.labels[:200]
    optimizer = tg.optim.Adam(again.parameters(), 0.01)
    costs = []
    for _ in range(15):
        cost = tg.cross_entropy(again(x), labels)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < costs[0] / 2
    network.load_state_dict(again.state_dict(), strict=False)
    np.testing.assert_allclose(ours(network, x.data), ours(again, x.data), rtol=1e-6, atol=1e-6)


def test_written_again_it_is_the_same_file(tmp_path):
    network = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1), trained_then(6), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 3)
    )
    to_onnx(network, tmp_path / "a.onnx", IMAGE)
    again = from_onnx(tmp_path / "a.onnx")
    to_onnx(again, tmp_path / "b.onnx", again.image_shape, metadata=again.metadata)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_what_comes_back_can_be_pickled_and_copied(tmp_path):
    to_onnx(nn.Sequential(trained_norm(), nn.Flatten(), nn.Linear(288, 2)), tmp_path / "net.onnx", IMAGE)
    again, x = from_onnx(tmp_path / "net.onnx"), images(2)
    for twin in (pickle.loads(pickle.dumps(again)), copy.deepcopy(again)):
        np.testing.assert_array_equal(ours(twin, x), ours(again, x))


def test_names_of_parameters_do_not_collide_with_names_of_results(tmp_path):
    class Net(nn.Module):
        def __init__(self) -> None:
            self.input, self.output, self.relu_1 = (nn.Parameter(RNG.random(8, np.float32)) for _ in range(3))

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return tg.relu(x * self.input) + self.output * self.relu_1

    to_onnx(Net(), tmp_path / "net.onnx", IMAGE)
    assert set(from_onnx(tmp_path / "net.onnx").state_dict()) == {"input", "output", "relu_1"}


def test_float64_stays_float64(tmp_path):
    network = nn.Linear(8, 2).astype(np.float64)
    to_onnx(network, tmp_path / "net.onnx", (8,))
    x = RNG.random((3, 8))
    np.testing.assert_allclose(in_onnxruntime(tmp_path / "net.onnx", x), ours(network, x), rtol=1e-14)
