"""Files of strangers: nothing outside a file's folder is read, a small file takes little, and a refusal says why."""

import os
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx_files import FILES, graph, model, node, read, write

import tinygrad_cnn as tg
from tinygrad_cnn.storage.atomic import CheckpointError

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(12)


def with_external(folder: Any, location: str, offset: int | None = 0, length: int | None = None) -> Any:
    """A file in whose place for the weight's numbers is another file."""
    proto = model([node("Add", "x w")], {"x": ["N", 3]}, ["y"], {"w": np.zeros(3, np.float32)})
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return folder / "net.onnx"


NUMBERS = np.array([0, 1, 2, 3], np.float32)


@pytest.mark.parametrize("location", ["weights.bin", "part/weights.bin", "./part/../weights.bin"])
def test_numbers_in_a_file_of_the_same_folder_are_read_from_anywhere(location, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    (folder / "part").mkdir(parents=True)
    for name in ("weights.bin", "part/weights.bin"):
        (folder / name).write_bytes(NUMBERS.tobytes())
    monkeypatch.chdir(tmp_path)
    for length in (None, 12):
        path = with_external(folder, location, 4, length)
        for name in (path, os.path.relpath(path), str(path)):
            y = tg.from_onnx(name)(np.zeros((1, 3), np.float32))
            assert y.data.tolist() == [[1, 2, 3]]


def test_numbers_outside_of_the_folder_are_never_read(tmp_path, monkeypatch):
    folder, secret = tmp_path / "model", tmp_path / "secret.bin"
    folder.mkdir()
    for path in (secret, tmp_path / "model2.bin"):
        path.write_bytes(NUMBERS.tobytes())
    (folder / "link.bin").symlink_to(secret)
    (folder / "out").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for location in ("../secret.bin", str(secret), "link.bin", "out/secret.bin", "a/../../secret.bin", "../model2.bin",
                     "", ".", "..", "/dev/zero"):  # fmt: skip
        with pytest.raises(CheckpointError, match=r"the tensor w is in .*, which is not inside the folder of the file"):
            tg.from_onnx(with_external(folder, location))
    for location in ("secret.bin", "missing.bin"):  # the first is in the current folder
        with pytest.raises(CheckpointError, match="which is not beside the file"):
            tg.from_onnx(with_external(folder, location))


@pytest.mark.parametrize(("offset", "length"), [(8, None), (-4, None), (0, 8), (0, 16), ("x", None), (2**70, None)])
def test_numbers_that_the_other_file_does_not_have_are_refused(offset, length, tmp_path):
    (tmp_path / "w.bin").write_bytes(NUMBERS.tobytes())
    with pytest.raises(CheckpointError, match=r"the tensor w n(eeds 12 bytes|ames a part)"):
        tg.from_onnx(with_external(tmp_path, "w.bin", offset, length))


def test_numbers_of_constants_and_of_inner_graphs_are_read_by_the_same_rule(tmp_path):
    value = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    value.ClearField("raw_data")
    value.data_location = onnx.TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../w.bin")
    constant = node("Constant", "", "c", value=value)
    inner = graph([constant, node("Add", "x c", "r")], {}, ["r"])
    for nodes in (
        [constant, node("Add", "x c")],
        [node("Cast", "x", "b", to=9), node("If", "b", "y", then_branch=inner, else_branch=inner)],
    ):
        with pytest.raises(CheckpointError, match="is not inside the folder"):
            read(tmp_path, nodes, {"x": [1]})


BOMBS = {
    "a constant": ([node("ConstantOfShape", "n", "c"), node("Add", "x c")], {"n": np.array([2**20, 2**20])}),
    "a constant of constants": (
        [node("Expand", "one n", "c"), node("Tile", "c n", "d"), node("Add", "x d")],
        {"one": np.ones((1, 1), np.float32), "n": np.array([2**15, 2**15])},
    ),
    "an outer product": ([node("MatMul", "a b", "c"), node("Add", "x c")],
                         {"a": np.ones((2**16, 1), np.float32), "b": np.ones((1, 2**16), np.float32)}),
    "a broadcast": ([node("Mul", "a b", "c"), node("Add", "x c")],
                    {"a": np.ones((2**16, 1), np.float32), "b": np.ones((1, 2**16), np.float32)}),
    "a range": ([node("Range", "a b d", "c"), node("Add", "x c")],
                {"a": np.array(0), "b": np.array(2**40), "d": np.array(1)}),
    "a border": ([node("Pad", "x p")], {"p": np.array([0, 2**30, 0, 2**30])}),
    "a size": ([node("Resize", "x - s")], {"s": np.array([1, 2.0**40], np.float32)}),
    "one-hot rows": ([node("OneHot", "i n v", "c"), node("Add", "x c")],
                     {"i": np.zeros(2**10, np.int64), "n": np.array(2**40), "v": np.array([0, 1], np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_neither_long_nor_much_to_be_read(name, tmp_path):
    nodes, constants = BOMBS[name]
    path = write(tmp_path / "net.onnx", nodes, {"x": ["N", 4]}, ["y"], constants)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        tg.from_onnx(path)
    except CheckpointError as error:
        assert "node" in str(error) and "damaged" not in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - start < 2
    assert peak < 600e6


def test_flipped_bits_and_cut_files_are_errors_of_one_line_or_other_networks(tmp_path):
    contents = [(FILES / "public" / f"{name}.onnx").read_bytes() for name in ("keras2onnx-opset10", "cntk-opset8")]
    damaged = [content[: len(content) * k // 9] for content in contents for k in range(9)]
    for _ in range(150):
        content = bytearray(contents[RNG.integers(2)])
        for _ in range(RNG.integers(1, 4)):
            content[RNG.integers(len(content))] ^= 1 << int(RNG.integers(8))
        damaged.append(bytes(content))
    for data in damaged:
        (tmp_path / "net.onnx").write_bytes(data)
        try:
            network = tg.from_onnx(tmp_path / "net.onnx")
        except CheckpointError as error:
            assert "\n" not in str(error) and "net.onnx" in str(error)
        else:
            assert isinstance(network, tg.nn.Module)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Conv", "x w", pads=[1, 1])], r"node 0 \(Conv\): images of shape"),
        ([node("Relu", "x", "h"), node("MatMul", "h w", name="fc")], r"node fc \(MatMul\): .*inner lengths must match"),
        ([node("Reshape", "x s")], r"node 0 \(Reshape\): reshape: 8 numbers of shape \(2, 4\) do not fit \(3, 5\)"),
        ([node("BatchNormalization", "x w")], r"node 0 \(BatchNormalization\): missing a required argument: 'bias'"),
        ([node("Loop", "x")], r"node 0 \(Loop\)"),
        ([onnx.helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], "is of the domain com.microsoft"),
        ([node("MaxPool", "x", "y i", kernel_shape=[2]), node("Cast", "i", "q", to=1)], "MaxPool"),
        ([node("SequenceConstruct", "x", "y")], r"node 0 \(SequenceConstruct\): is not supported"),
    ],
)  # fmt: skip
def test_what_a_valid_file_has_that_cannot_be_read_is_named_when_it_is_read(nodes, message, tmp_path):
    constants = {"w": np.ones((3, 4), np.float32), "s": np.array([3, 5])}
    with pytest.raises(CheckpointError, match=message) as caught:
        read(tmp_path, nodes, {"x": ["N", 4]}, ["y"], constants)
    assert "\n" not in str(caught.value)
