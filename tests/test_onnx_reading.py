"""What ONNX means, `from_onnx` computes: integers, axes, shapes, batches; and it says what is a parameter."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_files import compute, graph, in_onnxruntime, model, node, read, write

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.storage.atomic import CheckpointError

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
RNG = np.random.default_rng(11)
INT64_MAX, INT64_MIN = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_integers_are_computed_as_integers(tmp_path):
    a, b = np.array([7, 8, 9, -7, 7]), np.array([2, 3, 2, 2, -2])
    for op, expected in (
        ("Div", [3, 2, 4, -3, -3]),
        ("Mul", [14, 24, 18, -14, -14]),
        ("Sub", [5, 5, 7, -9, 9]),
        ("Mod", [1, 2, 1, 1, -1]),
        ("Pow", [49, 512, 81, 49, 0]),
        ("Max", [7, 8, 9, 2, 7]),
    ):
        y = compute(tmp_path, [node(op, "a b")], {"a": a, "b": b})
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == np.int64
    wrapped = compute(tmp_path, [node("Add", "a b")], {"a": np.array([200], np.uint8), "b": np.array([100], np.uint8)})
    assert wrapped.dtype == np.uint8 and wrapped.tolist() == [44]
    assert compute(tmp_path, [node("Cast", "a", to=7)], {"a": np.array([2.9, -2.9], np.float32)}).tolist() == [2, -2]
    assert compute(tmp_path, [node("Less", "a b")], {"a": a, "b": b}).tolist() == [False, False, False, True, False]


def test_a_sum_over_no_axes_is_over_all_unless_the_node_says_otherwise(tmp_path):
    x, none = random(2, 3), np.zeros(0, np.int64)
    for constants in ({"axes": none}, {}):
        inputs = "x axes" if constants else "x"
        y = read(tmp_path, [node("ReduceSum", inputs, keepdims=0)], {"x": [2, 3]}, ["y"], constants)(x)
        np.testing.assert_allclose(y.data, x.sum(), rtol=1e-6)
    same = read(tmp_path, [node("ReduceSum", "x axes", noop_with_empty_axes=1)], {"x": [2, 3]}, ["y"], {"axes": none})
    np.testing.assert_array_equal(same(x).data, x)


def test_gather_counts_axes_and_places_from_the_end_too(tmp_path):
    x = random(2, 3, 4)
    for axis, places in itertools.product((0, 1, 2, -1, -2, -3), (1, -1, [1, 0], [[0, -1], [1, 1]])):
        y = compute(tmp_path, [node("Gather", "x i", axis=axis)], {"x": x, "i": np.array(places)})
        np.testing.assert_array_equal(y, np.take(x, np.array(places), axis))
    with pytest.raises(ValueError, match=r"node 0 \(Gather\): an index from 3 to 3 is outside of an axis of length 3"):
        compute(tmp_path, [node("Gather", "x i", axis=1)], {"x": x, "i": np.array(3)})


ENDS = st.one_of(st.integers(-8, 8), st.sampled_from([INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, 2**31]))


def sliced(x: np.ndarray, start: int, stop: int, step: int, axis: int) -> np.ndarray:
    """By the words of the specification: negative ends count from the end, then all are clipped."""
    n = x.shape[axis]
    start, stop = start + n if start < 0 else start, stop + n if stop < 0 else stop
    low, high = (0, n) if step > 0 else (-1, n - 1)
    places = range(min(max(start, 0), high if step < 0 else n), min(max(stop, low), high), step)
    return np.take(x, list(places) if start >= 0 or step > 0 else [], axis)


@given(start=ENDS, stop=ENDS, step=st.sampled_from([1, 2, 3, -1, -2, INT64_MAX, INT64_MIN]), axis=st.integers(-2, 1))
def test_slices_end_where_the_axis_does(start, stop, step, axis, tmp_path_factory):
    folder, x = tmp_path_factory.mktemp("slice"), np.arange(15.0, dtype=np.float32).reshape(3, 5)
    numbers = dict(zip("bcde", (np.array([n]) for n in (start, stop, axis, step)), strict=True))
    y = read(folder, [node("Slice", "x b c d e")], {"x": x}, ["y"], numbers)(x).data
    np.testing.assert_array_equal(y, sliced(x, start, stop, step, axis))
    reader = reference.ReferenceEvaluator(model([node("Slice", "x b c d e")], {"x": x}, ["y"], numbers))
    if abs(start) < 9 and abs(stop) < 9 and abs(step) < 9:  # the reference takes Python's slices
        np.testing.assert_array_equal(y, reader.run(None, {"x": x})[0])


@st.composite
def windows(draw: Any) -> tuple[str, dict[str, Any], tuple[int, ...], int]:
    """A convolution or a pooling with any settings, an image's shape, and the filters' groups."""
    op = draw(st.sampled_from(["Conv", "MaxPool", "AveragePool"]))
    count = draw(st.sampled_from([1, 2, 2, 2]))
    kernel = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    if draw(st.booleans()):
        attributes["strides"] = [draw(st.integers(1, min(3, k))) for k in kernel]  # ONNX Runtime lacks gaps
    if op != "AveragePool" and draw(st.booleans()):
        attributes["dilations"] = draw(st.lists(st.integers(1, 2), min_size=count, max_size=count))
    same = [] if "dilations" in attributes else ["SAME_UPPER", "SAME_LOWER"]  # ONNX Runtime lacks dilated ones
    auto_pad = draw(st.sampled_from([None, "NOTSET", "VALID", *same]))
    if auto_pad:
        attributes["auto_pad"] = auto_pad
    if auto_pad in (None, "NOTSET") and draw(st.booleans()):
        largest = [k - 1 for k in kernel] * 2
        attributes["pads"] = [draw(st.integers(0, n)) for n in largest]
    if op != "Conv" and auto_pad in (None, "NOTSET"):
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    groups = draw(st.sampled_from([1, 2])) if op == "Conv" else 1
    return op, attributes, tuple(draw(st.lists(st.integers(7, 9), min_size=count, max_size=count))), groups


@given(case=windows())
def test_windows_have_every_setting_of_onnx(case, tmp_path_factory):
    op, attributes, image, groups = case
    x, weights = random(2, 4, *image), {}
    if op == "Conv":
        weights = {"w": random(6, 4 // groups, *attributes["kernel_shape"]), "b": random(6)}
        attributes["group"] = groups
    inputs = "x w b" if op == "Conv" else "x"
    path = tmp_path_factory.mktemp("window") / "net.onnx"
    write(path, [node(op, inputs, **attributes)], {"x": ["N", 4, *image]}, ["y"], weights)
    expected = in_onnxruntime(path, x)[0]
    network = tg.from_onnx(path)
    np.testing.assert_allclose(network(x).data, expected, rtol=1e-4, atol=1e-5)
    if len(image) == 2:
        tg.to_onnx(network, path.with_name("again.onnx"))
        np.testing.assert_allclose(in_onnxruntime(path.with_name("again.onnx"), x)[0], expected, rtol=1e-4, atol=1e-5)


GEMM = [((3,), "C"), ((1, 3), "C"), ((2, 1), "C"), ((2, 3), "C"), ((), "C"), ((1,), "C"), (None, "")]


@pytest.mark.parametrize(("shape", "name"), GEMM)
def test_gemm_has_every_factor_transposition_and_shape_of_its_bias(shape, name, tmp_path):
    a, b = random(2, 4), random(4, 3)
    for alpha, beta, a_turned, b_turned in itertools.product((1.0, 0.5), (1.0, -2.0, 0.0), (0, 1), (0, 1)):
        constants = {"B": b.T.copy() if b_turned else b} | ({} if shape is None else {"C": random(*shape)})
        x = a.T.copy() if a_turned else a
        settings = {"alpha": alpha, "beta": beta, "transA": a_turned, "transB": b_turned}
        network = read(tmp_path, [node("Gemm", f"x B {name}", **settings)], {"x": x}, ["y"], constants)
        expected = alpha * (a @ b) + (0 if shape is None else beta * constants["C"])
        np.testing.assert_allclose(network(x).data, expected, rtol=1e-4, atol=1e-5)


def torch_like(**weights: np.ndarray) -> list[Any]:
    """A convolution, its normalisation, an activation and scores, as PyTorch names them."""
    return [
        node("Div", "image scale", "x"),
        node("Conv", "x conv.weight conv.bias", "z", "/conv/Conv"),
        node("BatchNormalization", "z bn.weight bn.bias bn.running_mean bn.running_var", "n", "/bn/BatchNormalization",
             epsilon=1e-3, momentum=0.8),
        node("Relu", "n", "a", "/relu/Relu"),
        node("Shape", "a", "s"),
        node("Gather", "s zero", "batch", axis=0),
        node("Unsqueeze", "batch axes", "rows"),
        node("Concat", "rows minus", "shape", axis=0),
        node("Reshape", "a shape", "flat", "/Reshape"),
        node("Gemm", "flat fc.weight fc.bias", "y", "/fc/Gemm", transB=1),
    ]  # fmt: skip


WEIGHTS = {
    "scale": np.array(255.0, np.float32), "conv.weight": random(4, 1, 3, 3), "conv.bias": random(4),
    "bn.weight": random(4), "bn.bias": random(4), "bn.running_mean": random(4), "bn.running_var": random(4) ** 2,
    "zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1]), "fc.weight": random(3, 64),
    "fc.bias": random(3),
}  # fmt: skip


def test_nodes_become_layers_that_train_with_their_statistics(tmp_path):
    network = read(tmp_path, torch_like(), {"image": ["N", 1, 6, 6]}, ["y"], WEIGHTS)
    assert [(name, type(layer).__name__) for name, layer in network.layers.items()] == [
        ("conv", "Conv2d"), ("bn", "BatchNorm2d"), ("relu", "ReLU"), ("reshape", "Flatten"), ("fc", "Linear")
    ]  # fmt: skip
    assert repr(network.bn) == "BatchNorm2d(4, eps=0.001, momentum=0.2)"
    assert {name for name, _ in network.named_parameters()} == {
        f"{layer}.{name}" for layer in ("conv", "bn", "fc") for name in ("weight", "bias")
    }
    assert not network.training and type(dict(network._named_tensors())["scale"]) is nn.Buffer
    same = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, 1e-3, 0.2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    names = dict(zip("0145", ("conv", "bn", "fc", ""), strict=False)) | {"0": "conv", "1": "bn", "4": "fc"}
    same.load_state_dict({k: network.state_dict()[names[k[0]] + k[1:]] for k in same.state_dict()})
    x, labels = random(8, 1, 6, 6) * 255, RNG.integers(0, 3, 8)
    for module, images in ((network.train(), x), (same.train(), x / np.float32(255))):
        optimizer = tg.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            tg.cross_entropy(module(tg.Tensor(images)), labels).backward()
            optimizer.step()
    for name, array in same.state_dict().items():
        np.testing.assert_allclose(network.state_dict()[names[name[0]] + name[1:]], array, rtol=1e-4, atol=1e-5)
    assert network.state_dict()["scale"] == 255 and network.state_dict()["bn.num_batches_tracked"] == 3
    network.eval(), tg.to_onnx(network, tmp_path / "again.onnx")
    operators = [n.op_type for n in onnx.load(tmp_path / "again.onnx").graph.node]
    assert operators == ["Div", "Conv", "BatchNormalization", "Relu", "Constant", "Reshape", "Gemm"]
    again = tg.from_onnx(tmp_path / "again.onnx")
    state = network.state_dict()
    assert {k for k in again.state_dict()} == set(state)
    for name, array in again.state_dict().items():
        if "tracked" not in name:
            np.testing.assert_array_equal(array, state[name])


def test_layers_survive_under_names_that_the_network_has_too(tmp_path):
    class Net(nn.Module):
        def __init__(self) -> None:
            self.metadata, self.image_shape, self.layers = nn.Linear(4, 5), nn.Linear(5, 3), nn.BatchNorm1d(3)
            self.graph = [nn.Linear(3, 3), nn.Tanh()]

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            y = self.layers(self.image_shape(tg.relu(self.metadata(x))))
            return self.graph[1](self.graph[0](y))

    network = Net().eval()
    for _ in range(2):
        tg.to_onnx(network, tmp_path / "net.onnx", (4,), metadata={"note": "kept"})
        again = tg.from_onnx(tmp_path / "net.onnx")
        assert {k: v.shape for k, v in again.state_dict().items()} == {
            k: v.shape for k, v in network.state_dict().items()
        }
        assert again.metadata == {"note": "kept"} and again.image_shape == (4,)
        x = random(3, 4)
        np.testing.assert_allclose(again(x).data, network(tg.Tensor(x)).data, rtol=1e-5, atol=1e-6)
        network = again


def test_a_layer_that_is_used_twice_is_one_layer(tmp_path):
    w, b = random(4, 4), random(4)
    nodes = [
        node("Gemm", "x fc.weight fc.bias", "h", "/fc/Gemm"),
        node("Gemm", "h fc.weight fc.bias", "y", "/fc/Gemm_1"),
    ]
    network = read(tmp_path, nodes, {"x": ["N", 4]}, ["y"], {"fc.weight": w, "fc.bias": b})
    assert list(network.layers) == ["fc"]
    x = random(2, 4)
    np.testing.assert_allclose(network(x).data, (x @ w + b) @ w + b, rtol=1e-4, atol=1e-5)


def test_a_file_for_one_image_takes_any_number(tmp_path):
    w = random(12, 3)
    nodes = [node("Reshape", "x shape", "r"), node("MatMul", "r w", "m"), node("Reshape", "m again", "y")]
    constants = {"w": w, "shape": np.array([1, 12]), "again": np.array([1, 3, 1])}
    network = read(tmp_path, nodes, {"x": [1, 3, 4]}, ["y"], constants)
    x = random(5, 3, 4)
    np.testing.assert_allclose(network(x).data, (x.reshape(5, 12) @ w)[..., None], rtol=1e-4, atol=1e-5)
    assert tg.from_onnx(tmp_path / "net.onnx", output="y")(x[:0]).shape == (0, 3, 1)


@pytest.mark.parametrize("count", [1, 4])
def test_a_file_that_mixes_its_images_is_run_on_as_many_as_it_was_written_for(count, tmp_path):
    nodes = [node("ReduceMean", "x", "mean", axes=[0], keepdims=1), node("Sub", "x mean")]
    network = read(tmp_path, nodes, {"x": [count, 3]}, ["y"])
    x = random(8, 3)
    parts = x.reshape(-1, count, 3)
    np.testing.assert_allclose(network(x).data, (parts - parts.mean(1, keepdims=True)).reshape(8, 3), atol=1e-6)
    if count == 4:
        with pytest.raises(ValueError, match="this file takes 4 images at a time, got 5"):
            network(x[:5])


def test_several_inputs_and_outputs_are_named(tmp_path):
    nodes = [node("Add", "a b", "s"), node("Sub", "a b", "d"), node("ArgMax", "a", "i", axis=1, keepdims=0)]
    path = write(tmp_path / "net.onnx", nodes, {"a": ["N", 3], "b": ["N", 3]}, ["s", "d", "i"])
    a, b = random(2, 3), random(2, 3)
    total, difference, place = tg.from_onnx(path)(a, b=b)
    np.testing.assert_array_equal(total.data, a + b)
    np.testing.assert_array_equal(difference.data, a - b)
    assert place.dtype == np.int64 and place.data.tolist() == a.argmax(1).tolist()
    np.testing.assert_array_equal(tg.from_onnx(path, output="d")(a, b).data, a - b)
    with pytest.raises(CheckpointError, match="output must be one of s, d, i, got 'q'"):
        tg.from_onnx(path, output="q")
    for wrong in ((a,), (a, b, b)):
        with pytest.raises(TypeError, match="takes 2 inputs, a, b, got"):
            tg.from_onnx(path)(*wrong)
    one = read(tmp_path, nodes[:1], {"a": ["N", 3], "b": [3]}, ["s"], {"b": b[0]})  # an older file lists constants too
    np.testing.assert_array_equal(one(a).data, a + b[0])


def test_constants_have_eight_forms(tmp_path):
    sparse = onnx.helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(np.array([5.0, 7.0], np.float32), "v"),
        onnx.numpy_helper.from_array(np.array([0, 2]), "i"), [3],
    )  # fmt: skip
    for attributes, expected in (
        ({"value": onnx.numpy_helper.from_array(np.array([1, 2, 3], np.float32))}, [1, 2, 3]),
        ({"value_float": 2.5}, 2.5),
        ({"value_floats": [1.0, 2.0, 0.5]}, [1, 2, 0.5]),
        ({"sparse_value": sparse}, [5, 0, 7]),
    ):
        y = read(tmp_path, [node("Constant", "", "c", **attributes), node("Add", "x c")], {"x": ["N", 3]})
        np.testing.assert_array_equal(y(np.zeros((2, 3), np.float32)).data, np.broadcast_to(expected, (2, 3)))
    for attributes in ({"value_int": 1}, {"value_ints": [1]}):
        y = read(tmp_path, [node("Constant", "", "c", **attributes), node("Gather", "x c", axis=1)], {"x": ["N", 3]})
        assert y(random(2, 3)).data.size == 2
    with pytest.raises(CheckpointError, match=r"node 0 \(Constant\): its attribute value_string is not supported"):
        read(tmp_path, [node("Constant", "", "y", value_string="a")], {"x": ["N", 3]})
    filled = [node("ConstantOfShape", "shape", "c"), node("Add", "x c")]
    assert read(tmp_path, filled, {"x": ["N", 3]}, ["y"], {"shape": np.array([3])})(random(1, 3)).shape == (1, 3)


def test_nodes_may_come_in_any_order_but_not_in_a_circle(tmp_path):
    nodes = [node("Relu", "z"), node("Neg", "x", "z")]
    x = random(2, 3)
    np.testing.assert_array_equal(read(tmp_path, nodes, {"x": ["N", 3]})(x).data, np.maximum(-x, 0))
    for wrong, message in (
        ([node("Add", "x y")], r"node 0 \(Add\): is computed from its own result"),
        ([node("Add", "x q")], r"node 0 \(Add\): its input q is never computed"),
        ([node("Neg", "x"), node("Relu", "x")], "two values are called y"),
        ([node("Neg", "x", "z")], "the output y is not computed by any node"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read(tmp_path, wrong, {"x": ["N", 3]})


def test_a_condition_chooses_a_graph_and_a_loop_repeats_one(tmp_path):
    body = graph([node("Neg", "x", "r")], {}, ["r"]), graph([node("Relu", "x", "r")], {}, ["r"])
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        node("If", "c", "y", then_branch=body[0], else_branch=body[1]),
    ]
    network = read(tmp_path, nodes, {"x": [2, 2]}, ["y"], {"zero": np.array(0.0, np.float32)})
    for x in (np.ones((2, 2), np.float32), np.array([[1, -3], [0, 1]], np.float32)):
        np.testing.assert_array_equal(network(x).data, -x if x.sum() > 0 else np.maximum(x, 0))
    step = graph(
        [node("Add", "v v", "w"), node("Identity", "go", "go_on"), node("Identity", "w", "each")],
        {"k": np.array(0), "go": np.array(True), "v": [2]}, ["go_on", "w", "each"],
    )  # fmt: skip
    looped = read(tmp_path, [node("Loop", "n - x", "y all", body=step)], {"x": [2]}, ["y", "all"], {"n": np.array(3)})
    last, everything = looped(np.array([1, 2], np.float32))
    assert last.data.tolist() == [8, 16] and everything.data.tolist() == [[2, 4], [4, 8], [8, 16]]


def test_half_floats_are_computed_as_float32(tmp_path):
    w = random(4, 3).astype(np.float16)
    x = random(2, 4).astype(np.float16)
    network = read(tmp_path, [node("MatMul", "x w")], {"x": x}, ["y"], {"w": w})
    assert network(x).dtype == np.float32
    np.testing.assert_allclose(network(x).data, x.astype(np.float32) @ w.astype(np.float32), rtol=1e-5, atol=1e-5)


def test_quantised_weights_are_numbers_that_train(tmp_path):
    w = RNG.integers(-100, 100, (3, 4)).astype(np.int8)
    constants = {"w": w, "s": np.array([0.1, 0.2, 0.3], np.float32), "z": np.zeros(3, np.int8),
                 "xs": np.array(0.05, np.float32), "xz": np.array(128, np.uint8)}  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("DequantizeLinear", "q xs xz", "d"),
        node("DequantizeLinear", "w s z", "wd", axis=0),
        node("Gemm", "d wd", "y", transB=1),
    ]
    network = read(tmp_path, nodes, {"x": ["N", 4]}, ["y"], constants)
    x = random(5, 4)
    rounded = (np.clip(np.rint(x / np.float32(0.05)) + 128, 0, 255) - 128) * np.float32(0.05)
    expected = rounded @ (w * np.array([[0.1], [0.2], [0.3]])).T.astype(np.float32)
    np.testing.assert_allclose(network(x).data, expected, rtol=1e-4, atol=1e-4)
    assert [p.shape for p in network.parameters()] == [(3, 4)]


def test_the_shape_of_an_image_can_be_said_where_the_file_leaves_it_open(tmp_path):
    nodes = [node("Conv", "x w", "z"), node("GlobalAveragePool", "z", "p"), node("Flatten", "p")]
    path = write(tmp_path / "net.onnx", nodes, {"x": ["N", 1, "H", "W"]}, ["y"], {"w": random(3, 1, 3, 3)})
    network = tg.from_onnx(path)
    assert network.image_shape == (1, 0, 0) and network(random(2, 1, 5, 6)).shape == (2, 3)
    tg.to_onnx(network, tmp_path / "again.onnx")
    again, image = tg.from_onnx(tmp_path / "again.onnx"), random(2, 1, 5, 6)
    np.testing.assert_array_equal(again(image).data, network(image).data)
    known = tg.from_onnx(path, image_shape=(1, 9, 8))
    assert known.image_shape == (1, 9, 8) and isinstance(known.layers["flatten"], nn.Flatten)
    with pytest.raises(CheckpointError, match=r"image_shape \(3, 9, 8\) is not that of the input x"):
        tg.from_onnx(path, image_shape=(3, 9, 8))
