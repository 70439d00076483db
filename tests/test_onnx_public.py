"""Files of other programs are read: they compute what they did there, train, and are exported again."""

import pathlib

import numpy as np
import pytest
from onnx_files import FILES, in_onnxruntime, node, write

import tinygrad_cnn as tg
from tinygrad_cnn import models, nn

onnx = pytest.importorskip("onnx")
PUBLIC = sorted((FILES / "public").glob("*.onnx"))
KERAS = sorted((FILES / "keras").glob("*.onnx"))
RNG = np.random.default_rng(7)


def example(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """The input and the output that ONNX Runtime, or Keras, gave for a file."""
    with np.load(path.with_suffix(".npz")) as arrays:
        return arrays["input"], arrays["output"]


@pytest.mark.parametrize("path", [*PUBLIC, *KERAS], ids=lambda path: path.stem)
def test_a_file_computes_what_it_did_where_it_was_made_for_any_batch(path):
    x, expected = example(path)
    network = tg.from_onnx(path)
    with tg.no_grad():
        np.testing.assert_allclose(network(tg.Tensor(x)).data, expected, rtol=1e-4, atol=1e-4)
        several = network(tg.Tensor(np.concatenate([x, x * 0.5, x])[: len(x) + 1]))
    np.testing.assert_allclose(several.data[: len(x)], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.stem)
def test_a_public_file_trains_and_is_exported_as_what_it_became(path, tmp_path):
    network = tg.from_onnx(path).train()
    x = RNG.random((16, *network.image_shape), np.float32)
    labels, costs = RNG.integers(0, 10, 16), []
    trained = {name: p.data.copy() for name, p in network.named_parameters()}
    optimizer = tg.optim.Adam(network.parameters(), 0.003)
    for _ in range(12):
        cost = tg.cross_entropy(network(tg.Tensor(x)), labels)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < costs[0]
    for name, p in network.named_parameters():
        assert name.endswith(("weight", "bias")) and (p.data != trained[name]).any(), name
    network.eval()
    tg.to_onnx(network, tmp_path / "again.onnx")
    with tg.no_grad():
        y = network(tg.Tensor(x)).data
    np.testing.assert_allclose(in_onnxruntime(tmp_path / "again.onnx", x)[0], y, rtol=1e-4, atol=1e-4)
    again = tg.from_onnx(tmp_path / "again.onnx")
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in network.named_parameters()]
    assert again.state_dict().keys() == network.state_dict().keys()
    with tg.no_grad():
        np.testing.assert_allclose(again(tg.Tensor(x)).data, y, rtol=1e-5, atol=1e-5)


def test_a_public_file_prints_as_layers_under_its_own_names():
    assert repr(tg.from_onnx(FILES / "public" / "torch-1.3-batchnorm-squeeze-opset9.onnx")) == (
        "OnnxModule(\n"
        "  image_shape=(1, 28, 28), 2 further nodes\n"
        "  (body.conv1): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))\n"
        "  (relu): ReLU()\n"
        "  (maxpool): MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))\n"
        "  (body.conv2): Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1))\n"
        "  (relu_1): ReLU()\n"
        "  (maxpool_1): MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))\n"
        "  (flatten): Flatten()\n"
        "  (head.fc1): Linear(400, 120)\n"
        "  (relu_2): ReLU()\n"
        "  (head.batnorm1): BatchNorm1d(120, eps=1e-05, momentum=0.1)\n"
        "  (head.fc2): Linear(120, 84)\n"
        "  (relu_3): ReLU()\n"
        "  (head.fc3): Linear(84, 10)\n"
        "  (softmax): Softmax()\n"
        ")"
    )
    for name, layers in (
        ("cntk-opset8", "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d Flatten Linear"),
        (
            "tf2onnx-opset8",
            "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d Conv2d ReLU Flatten Linear ReLU Linear Softmax",
        ),
    ):
        network = tg.from_onnx(FILES / "public" / f"{name}.onnx")
        assert [type(layer).__name__ for layer in network.layers.values()] == layers.split()
    assert isinstance(network.dense_1, nn.Linear) and network.dense_1 is network.layers["dense_1"]
    with pytest.raises(AttributeError, match="OnnxModule has no attribute or layer 'dense_9'"):
        network.dense_9  # noqa: B018


def test_a_file_that_was_read_is_summarized_and_evaluated():
    _, test = tg.data.digits()
    pixels = (test.images * 255).astype(np.uint8)
    dataset = tg.data.Dataset(np.pad(pixels, ((0, 0), (0, 0), (10, 10), (10, 10))), test.labels)
    for name in ("torch-1.10-opset9", "tf2onnx-opset8", "keras2onnx-opset10"):
        last = "torch" not in name
        network = tg.from_onnx(FILES / "public" / f"{name}.onnx", channels_first=last)
        assert network.image_shape == (1, 28, 28)
        rows = models.summarize(network, network.image_shape)
        assert sum(row.parameters for row in rows) == sum(p.size for p in network.parameters())
        assert sum(row.multiply_adds for row in rows) > 5_000 and rows[-1].output_shape == (10,)
        assert len(tg.evaluate(network, dataset).predictions) == len(dataset)
        x = tg.Tensor(RNG.random((2, 1, 28, 28), np.float32))
        plain = tg.from_onnx(FILES / "public" / f"{name}.onnx")
        with tg.no_grad():
            np.testing.assert_allclose(network(x).data, plain(x.transpose(0, 2, 3, 1) if last else x).data, rtol=1e-6)


def test_images_in_another_layout_are_refused_with_advice():
    x = RNG.random((2, 1, 28, 28), np.float32)
    last = tg.from_onnx(FILES / "public" / "tf2onnx-opset8.onnx")
    with pytest.raises(ValueError, match=r"must be \(N, 28, 28, 1\), got \(2, 1, 28, 28\); its channels come last: "
                       r"give x.transpose\(0, 2, 3, 1\), or read it with channels_first=True"):  # fmt: skip
        last(x)
    first = tg.from_onnx(FILES / "public" / "cntk-opset8.onnx")
    with pytest.raises(ValueError, match=r"must be \(N, 1, 28, 28\), got \(1, 28, 28\); a batch of one is"):
        first(x[0])
    with pytest.raises(TypeError, match="takes 1 inputs, Input3, got 2"):
        first(x, x)


def tensorflow_net(opset: int) -> tuple[list, dict, np.ndarray, np.ndarray]:
    """Nodes and weights as tf2onnx writes a Keras network that keeps channels last, an input, and what it gives."""
    scope = "StatefulPartitionedCall/sequential/"
    w, b = RNG.normal(0, 0.3, (4, 1, 3, 3)).astype(np.float32), RNG.normal(0, 1, 4).astype(np.float32)
    v, c = RNG.normal(0, 0.3, (36, 3)).astype(np.float32), RNG.normal(0, 1, 3).astype(np.float32)
    squeeze = opset >= 13  # axes are an input from then on
    weights = {"conv/kernel": w, "conv/bias": b.reshape(1, 1, 1, 4), "dense/kernel": v, "dense/bias": c,
               "shape": np.array([-1, 36]), "axes": np.array([1, 2])}  # fmt: skip
    nodes = [
        node("Transpose", "x", "nchw", perm=[0, 3, 1, 2]),
        node("Conv", "nchw conv/kernel", "z", f"{scope}conv2d/Conv2D", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", "z", "nhwc", perm=[0, 2, 3, 1]),
        node("Add", "nhwc conv/bias", "biased", f"{scope}conv2d/BiasAdd"),
        node("Relu", "biased", "a", f"{scope}conv2d/Relu"),
        node("Transpose", "a", "a_nchw", perm=[0, 3, 1, 2]),
        node("MaxPool", "a_nchw", "p", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        node("Transpose", "p", "p_nhwc", perm=[0, 2, 3, 1]),
        node("Unsqueeze", "p_nhwc axes" if squeeze else "p_nhwc", "u", **({} if squeeze else {"axes": [1, 2]})),
        node("Squeeze", "u axes" if squeeze else "u", "s", **({} if squeeze else {"axes": [1, 2]})),
        node("Reshape", "s shape", "flat", f"{scope}flatten/Reshape"),
        node("MatMul", "flat dense/kernel", "m", f"{scope}dense/MatMul"),
        node("Add", "m dense/bias", "scores", f"{scope}dense/BiasAdd"),
        node("Softmax", "scores", "y", f"{scope}dense/Softmax", axis=1),
    ]
    x = RNG.random((2, 12, 12, 1), np.float32)
    z = tg.correlate2d(
        tg.pad(tg.Tensor(x.transpose(0, 3, 1, 2)), ((0, 0), (0, 0), (0, 1), (0, 1))), tg.Tensor(w), stride=2
    )
    a = tg.relu(z + b.reshape(-1, 1, 1)).data
    p = tg.maxpool(tg.pad(tg.Tensor(a), ((0, 0), (0, 0), (0, 1), (0, 1)), value=-np.inf), 3, stride=2).data
    scores = p.transpose(0, 2, 3, 1).reshape(2, 36) @ v + c
    return nodes, weights, x, tg.softmax(tg.Tensor(scores)).data


@pytest.mark.parametrize("opset", [8, 11, 13, 17])
def test_a_network_with_channels_last_becomes_layers_with_their_biases(opset, tmp_path):
    nodes, weights, x, expected = tensorflow_net(opset)
    network = tg.from_onnx(write(tmp_path / "a.onnx", nodes, {"x": ["unk__1", 12, 12, 1]}, ["y"], weights, opset))
    assert {name: p.shape for name, p in network.named_parameters()} == {
        "conv2d.weight": (4, 1, 3, 3), "conv2d.bias": (4,), "dense.weight": (3, 36), "dense.bias": (3,)
    }  # fmt: skip
    np.testing.assert_allclose(network(x).data, expected, rtol=1e-4, atol=1e-5)
    kinds = [type(layer).__name__ for layer in network.layers.values()]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "Softmax"]
