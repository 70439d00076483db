"""A network leaves as ONNX, computes the same in onnxruntime, and comes back as a network that can be trained."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import checkpoint, nn
from tinygrad_cnn.files import CheckpointError
from tinygrad_cnn.interop import from_onnx, to_onnx
from tinygrad_cnn.interop.onnx_nodes import _TRANSLATORS, SAME
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
    "Sequential": nn.Sequential(),
}

FUNCTIONS: dict[str, nn.Module] = {
    "abs": Function(lambda x: x.abs()),
    "add and subtract": Function(lambda x, w: (x + w) - (2.5 - x), 8),
    "divide and power": Function(lambda x, w: (x * x + 1) ** w / (w + 1), 9, 1),
    "exp, log, sqrt": Function(lambda x: (x.exp() + 1).log().sqrt()),
    "negative and clip": Function(lambda x: (-x).clip(-0.5, 1.0).clip(low=-0.4).clip(high=0.9)),
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
    assert_equal_elsewhere(build(name, shape, rng=np.random.default_rng(0)), shape, tmp_path / "net.onnx")


def test_every_layer_is_among_the_layers_above():
    layers = {n for n, k in vars(nn).items() if isinstance(k, type) and issubclass(k, nn.Module) and k is not nn.Module}
    assert {type(layer).__name__ for layer in LAYERS.values()} == layers


def test_every_op_that_can_be_exported_is_among_the_cases_above():
    networks = [*LAYERS.values(), *FUNCTIONS.values()]
    assert {op.name for net in networks for op in trace("test", net, IMAGE).ops} == {*SAME, *_TRANSLATORS}


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
    state = {k: v for k, v in network.state_dict().items() if k != "1.num_batches_tracked"}
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


REFUSED = {
    "the op cross_entropy cannot be exported": lambda x: tg.cross_entropy(x.reshape(len(x), -1), [0] * len(x)),
    "the op where cannot be exported": lambda x: tg.where(x.data > 0, x, 0.0),
    "the op dropout cannot be exported": lambda x: tg.dropout(x, 0.5),
    "getitem can be exported with integers and slices only": lambda x: x.max(1),
    "multiply: a constant, shape (4, 9, 8), changes with the input": lambda x: x * (x.data[0] > 0.5),
    "multiply: a constant, shape (), changes with the input": lambda x: x.mean(),
    "getitem: index changes with the batch": lambda x: x[: len(x) // 2],
    "takes other steps for another batch": lambda x: tg.relu(x) if len(x) > 5 else tg.tanh(x),
    "reshape spreads the batch over several axes": lambda x: x[:, None].broadcast_to((len(x), 4, 4, 9, 8)).reshape(
        len(x), 2, -1, 2 * len(x)) if len(x) % 2 == 0 else x[:, None].broadcast_to((len(x), 4, 4, 9, 8)).reshape(
        1, 2, -1, 2 * len(x)),
    "broadcast_to makes an axis as long as the batch": lambda x: x.sum().broadcast_to((len(x),)),
    "correlate2d: rows and columns change with the batch": lambda x: tg.correlate2d(
        x.transpose(1, 2, 3, 0), x.transpose(1, 2, 3, 0)[:1]),
    "the network's result does not depend on its input": lambda x: tg.Tensor([1.0], requires_grad=True) * 2,
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(message, tmp_path):
    with pytest.raises(ValueError) as caught:
        to_onnx(Function(REFUSED[message]), tmp_path / "net.onnx", IMAGE)
    assert message in str(caught.value) and str(caught.value).startswith("to_onnx: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_wrong_calls_are_answered(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(TypeError, match="to_onnx: model must be a Module, got function"):
        to_onnx(lambda x: x, path, IMAGE)
    with pytest.raises(TypeError, match="to_onnx: the network must return one Tensor, got tuple"):
        to_onnx(Function(lambda x: (x, x)), path, IMAGE)
    with pytest.raises(ValueError, match="to_onnx: image_shape is needed"):
        to_onnx(nn.ReLU(), path)
    with pytest.raises(ValueError, match="to_onnx: each of image_shape must be at least 1, got 0"):
        to_onnx(nn.ReLU(), path, (1, 0, 3))
    with pytest.raises(ValueError, match="x has 4 channels, w expects 1"):
        to_onnx(nn.Conv2d(1, 2, 3), path, IMAGE)


def node_file(path: Any, op: str, **attributes: Any) -> Any:
    """A valid ONNX file with one node that to_onnx does not write."""
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ["input"], ["output"], **attributes)], "test",
        [onnx.helper.make_tensor_value_info("input", kind, ["batch", 4])],
        [onnx.helper.make_tensor_value_info("output", kind, ["batch", 4])],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    return path


def test_a_node_that_is_not_understood_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="the node Erf is not supported"):
        from_onnx(node_file(tmp_path / "erf.onnx", "Erf"))
    with pytest.raises(CheckpointError, match="the node Softmax is not written as to_onnx writes it"):
        from_onnx(node_file(tmp_path / "softmax.onnx", "Softmax"))


def test_damaged_files_are_refused_in_one_line_or_hold_other_numbers(tmp_path):
    whole = tmp_path / "net.onnx"
    to_onnx(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)), whole, (1, 8, 8))
    content = whole.read_bytes()
    damaged = [content[: len(content) * k // 16] for k in range(16)]
    damaged += [b"<!DOCTYPE html><html></html>", RNG.bytes(1000), b"\0" * 500]
    for _ in range(200):
        flipped = bytearray(content)
        flipped[RNG.integers(len(content))] ^= 1 << int(RNG.integers(8))
        damaged.append(bytes(flipped))
    refused = 0
    for data in damaged:
        (tmp_path / "damaged.onnx").write_bytes(data)
        try:
            assert isinstance(from_onnx(tmp_path / "damaged.onnx"), nn.Module)
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error) and "damaged.onnx" in str(error)
    assert refused >= 19  # every truncated one, and those that are no ONNX at all


def test_what_is_not_a_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.onnx", "/dev/zero"):
        with pytest.raises(CheckpointError):
            from_onnx(path)


def command(*arguments: str) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of ``tinygrad-cnn ARGUMENTS``."""
    program = [sys.executable, "-m", "tinygrad_cnn"]
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_command_exports_a_weights_file_with_no_other_argument(tmp_path):
    network = build("digits", (1, 8, 8), rng=np.random.default_rng(0))
    weights, exported = tmp_path / "weights.npz", tmp_path / "net.onnx"
    checkpoint.save(network, weights)
    status, told, complaint = command("export", str(weights), str(exported))
    assert (status, complaint) == (0, "")
    assert told == f"{exported}: digits, input (batch, 1, 8, 8), output (batch, 10)\n"
    x = images(7, (1, 8, 8))
    np.testing.assert_allclose(in_onnxruntime(exported, x), ours(network, x), rtol=1e-5, atol=1e-5)


def test_the_command_answers_wrong_files_in_one_line(tmp_path):
    weights = tmp_path / "weights.npz"
    checkpoint.save(build("digits", (1, 8, 8)), weights)
    for arguments, message in (
        ((str(weights), "net.txt"), "the file to write must end in .onnx, got net.txt"),
        ((str(tmp_path / "none.npz"), "net.onnx"), "No such file"),
        ((str(weights), str(tmp_path / "nowhere" / "net.onnx")), "nowhere"),
    ):
        status, told, complaint = command("export", *arguments)
        assert (status, told, complaint.count("\n")) == (2, "", 1) and message in complaint
