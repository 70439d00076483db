"""What cannot be exported or read is refused in one line that names it, by the functions and by the command."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.cli import main
from tinygrad_cnn.interop import from_onnx, to_onnx
from tinygrad_cnn.models import build
from tinygrad_cnn.storage.atomic import CheckpointError
from tinygrad_cnn.training import checkpoint

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(6)
IMAGE = (4, 9, 8)


class Function(nn.Module):
    """A function of one tensor as a network."""

    def __init__(self, f: Callable[[tg.Tensor], Any]) -> None:
        self.f = f

    def forward(self, x: tg.Tensor) -> Any:
        return self.f(x)


REFUSED = {
    "the op cross_entropy cannot be exported": lambda x: tg.cross_entropy(x.reshape(len(x), -1), [0] * len(x)),
    "the op where cannot be exported": lambda x: tg.where(x.data > 0, x, 0.0),
    "the op dropout cannot be exported": lambda x: tg.dropout(x, 0.5),
    "getitem can be exported with integers and slices only": lambda x: x.max(1),
    "multiply: a constant, shape (4, 9, 8), changes with the input": lambda x: x * (x.data[0] > 0.5),
    "divide: a constant, shape (), changes with the input": lambda x: x.mean(),
    "getitem: index changes with the batch": lambda x: x[: len(x) // 2],
    "maxpool: shape changes with the batch": lambda x: tg.maxpool(x, len(x) // 4),
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
    with pytest.raises(TypeError, match="to_onnx: model must be a Module, got <function"):
        to_onnx(lambda x: x, path, IMAGE)
    with pytest.raises(TypeError, match="to_onnx: the network must return one Tensor, got tuple"):
        to_onnx(Function(lambda x: (x, x)), path, IMAGE)
    with pytest.raises(ValueError, match="to_onnx: image_shape is needed"):
        to_onnx(nn.ReLU(), path)
    with pytest.raises(ValueError, match="to_onnx: each of image_shape must be at least 1, got 0"):
        to_onnx(nn.ReLU(), path, (1, 0, 3))
    with pytest.raises(ValueError, match="x has 4 channels, w expects 1"):
        to_onnx(nn.Conv2d(1, 2, 3), path, IMAGE)


def node_file(path: Any, op: str, opset: int = 17, **attributes: Any) -> Any:
    """An ONNX file with one node."""
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ["input"], ["output"], **attributes)], "test",
        [onnx.helper.make_tensor_value_info("input", kind, ["batch", 4])],
        [onnx.helper.make_tensor_value_info("output", kind, ["batch", 4])],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]), path)
    return path


def test_a_node_or_an_attribute_that_is_not_understood_is_named_at_load(tmp_path):
    path = tmp_path / "net.onnx"
    for op, attributes, message in (
        ("StringNormalizer", {}, r"cannot be read: node 0 \(StringNormalizer\): is not supported"),
        ("Relu", {"slope": 2.0}, r"node 0 \(Relu\): its attribute slope is not supported"),
        ("Gelu", {"approximate": "erf"}, r"node 0 \(Gelu\): approximate='erf' is not supported; 'none', 'tanh' are"),
        ("Transpose", {"perm": [0, 2, 1]}, r"node 0 \(Transpose\): .*axis"),
        ("Concat", {}, r"node 0 \(Concat\): axis is needed"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            from_onnx(node_file(path, op, 20, **attributes))
        assert "damaged" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_operator_set_that_nobody_knows_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="its operator set is 1000; those up to"):
        from_onnx(node_file(tmp_path / "net.onnx", "Softmax", 1000))


@pytest.mark.parametrize("opset", [1, 7, 11, 12, 13, 17, 25])
def test_softmax_means_what_it_does_in_its_operator_set(opset, tmp_path):
    """Below 13 it runs over all axes from its own, 1 by default, on; then along the last one by default."""
    x = RNG.random((2, 3, 4), np.float32)
    kind = onnx.TensorProto.FLOAT
    values = [onnx.helper.make_tensor_value_info(name, kind, ["batch", 3, 4]) for name in ("input", "output")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Softmax", ["input"], ["output"])], "test", values[:1], values[1:]
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]), tmp_path / "net.onnx")
    rows = (
        tg.softmax(tg.Tensor(x.reshape(2, 12))).data.reshape(2, 3, 4) if opset < 13 else tg.softmax(tg.Tensor(x)).data
    )
    np.testing.assert_allclose(from_onnx(tmp_path / "net.onnx")(x).data, rows, rtol=1e-6)


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


def test_the_command_exports_a_weights_file_with_no_other_argument(tmp_path, capsys):
    network = build("digits", (1, 8, 8), rng=np.random.default_rng(0))
    weights, exported = str(tmp_path / "weights.npz"), str(tmp_path / "net.onnx")
    checkpoint.save(network, weights)
    assert main(["export", weights, exported]) == 0
    assert capsys.readouterr() == (f"{exported}: digits, input (batch, 1, 8, 8), output (batch, 10)\n", "")
    again, x = from_onnx(exported), tg.Tensor(RNG.random((7, 1, 8, 8), np.float32))
    np.testing.assert_array_equal(again(x).data, network.eval()(x).data)


def test_the_command_answers_wrong_files_in_one_line(tmp_path, capsys):
    weights = str(tmp_path / "weights.npz")
    checkpoint.save(build("digits", (1, 8, 8)), weights)
    for arguments, message in (
        ([weights, "net.txt"], "export: net.txt: the name must end in .onnx"),
        ([str(tmp_path / "none.npz"), "net.onnx"], "No such file"),
        ([weights, str(tmp_path / "nowhere" / "net.onnx")], "nowhere"),
    ):
        assert main(["export", *arguments]) == 2
        told, complaint = capsys.readouterr()
        assert told == "" and complaint.count("\n") == 1 and message in complaint
