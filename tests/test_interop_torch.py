"""The same network in PyTorch: its state goes there and comes back unchanged, and memory is shared without a copy."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.interop import from_dlpack

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
RNG = np.random.default_rng(8)

# constructor and arguments: the same in both libraries, for every layer
LAYERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "Conv2d": ("Conv2d", (4, 6, 3), {}),
    "Conv2d, settings": ("Conv2d", (4, 6, (3, 2), (2, 3), (1, 2), (2, 1), 2, False), {}),
    "Conv2d, same": ("Conv2d", (4, 2, (4, 3)), {"padding": "same"}),  # even: PyTorch warns of a copy
    "Conv2d, depthwise": ("Conv2d", (4, 8, 3), {"groups": 4}),
    "ConvTranspose2d": ("ConvTranspose2d", (4, 6, 3), {}),
    "ConvTranspose2d, settings": ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 2)), {}),
    "MaxPool2d": ("MaxPool2d", (2,), {}),
    "MaxPool2d, settings": ("MaxPool2d", ((3, 2), (1, 2), 1, (2, 1)), {}),
    "AvgPool2d": ("AvgPool2d", (2,), {}),
    "AvgPool2d, settings": ("AvgPool2d", ((3, 2), (2, 1), (1, 1)), {}),
    "Linear": ("Linear", (8, 5), {}),
    "Linear, no bias": ("Linear", (8, 5, False), {}),
    "Flatten": ("Flatten", (), {}),
    "Flatten, inner": ("Flatten", (2, 3), {}),
    "Sigmoid": ("Sigmoid", (), {}),
    "Tanh": ("Tanh", (), {}),
    "ReLU": ("ReLU", (), {}),
    "Softmax": ("Softmax", (1,), {}),
    "Dropout": ("Dropout", (0.3,), {}),
    "BatchNorm2d": ("BatchNorm2d", (4, 1e-3, 0.2), {}),
    "BatchNorm2d, not affine": ("BatchNorm2d", (4,), {"affine": False, "momentum": None}),
    "BatchNorm1d": ("BatchNorm1d", (4,), {}),
    "AdaptiveAvgPool2d": ("AdaptiveAvgPool2d", ((2, 3),), {}),
    "Identity": ("Identity", (), {}),
    "LeakyReLU": ("LeakyReLU", (0.1,), {}),
    "GELU": ("GELU", (), {}),
}


def small_net(library: Any) -> Any:
    return library.Sequential(
        library.Conv2d(1, 4, 3, padding=1), library.BatchNorm2d(4), library.ReLU(), library.MaxPool2d(2),
        library.Sequential(library.Conv2d(4, 6, 3), library.Tanh(), library.AvgPool2d(2, 1)), library.Flatten(),
        library.Dropout(0.5), library.Linear(6, 10),
    )  # fmt: skip


class Ours(nn.Module):
    """A network of one's own, with modules in attributes and in one another."""

    def __init__(self) -> None:
        self.features = small_net(nn)[:4]
        self.out = nn.Linear(64, 3)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.out(self.features(x).flatten(1))


class Theirs(torch.nn.Module):
    """The same network in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.features = small_net(torch.nn)[:4]
        self.out = torch.nn.Linear(64, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.features(x).flatten(1))


def shape_for(layer: str) -> tuple[int, ...]:
    return (3, 4, 9) if layer == "BatchNorm1d" else (3, 4, 9, 8)


def pairs() -> dict[str, tuple[Any, Any, tuple[int, ...]]]:
    """Our network, PyTorch's, and the shape of a batch."""
    found: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
        name: (getattr(nn, kind)(*args, **named), getattr(torch.nn, kind)(*args, **named), shape_for(kind))
        for name, (kind, args, named) in LAYERS.items()
    }
    found["a small net"] = small_net(nn), small_net(torch.nn), (3, 1, 8, 8)
    found["a net of one's own"] = Ours(), Theirs(), (3, 1, 8, 8)
    return found


PAIRS = pairs()


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def as_torch(state: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in state.items()}


def changed(network: nn.Module) -> nn.Module:
    """The network with a state that no other has."""
    network.load_state_dict(
        {k: RNG.random(a.shape, np.float32) if a.dtype.kind == "f" else a + 5 for k, a in network.state_dict().items()}
    )
    return network


def outputs(ours: nn.Module, theirs: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with tg.no_grad(), torch.no_grad():
        return ours(tg.Tensor(x)).numpy(), theirs(torch.from_numpy(x)).numpy()


def test_every_layer_is_among_the_layers_above():
    layers = {n for n, k in vars(nn).items() if isinstance(k, type) and issubclass(k, nn.Module)}
    assert {kind for kind, _, _ in LAYERS.values()} == layers - {"Module", "ModuleList", "Normalize", "Sequential"}


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_loads_into_pytorch_unchanged_and_the_outputs_are_equal(name):
    ours, theirs, shape = PAIRS[name]
    theirs.load_state_dict(as_torch(changed(ours).state_dict()), strict=True)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    a, b = outputs(ours.eval(), theirs.eval(), numbers(*shape))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_of_pytorch_loads_unchanged_and_the_outputs_are_equal(name):
    ours, theirs, shape = PAIRS[name]
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.from_numpy(numbers(*p.shape)))
    ours.load_state_dict(theirs.state_dict())
    for key, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, theirs.state_dict()[key].numpy())
    a, b = outputs(ours.eval(), theirs.eval(), numbers(*shape))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in PAIRS if "Dropout" not in name and "small net" not in name])
def test_the_gradients_of_a_training_step_are_equal(name):
    ours, theirs, shape = PAIRS[name]
    theirs.load_state_dict(as_torch(changed(ours).state_dict()))
    ours.train(), theirs.train(), ours.zero_grad(), theirs.zero_grad()
    x = numbers(*shape)
    mine, others = tg.Tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
    y, z = ours(mine), theirs(others)
    g = numbers(*y.shape)
    y.backward(g)
    z.backward(torch.from_numpy(g))
    np.testing.assert_allclose(mine.grad.data, others.grad.numpy(), rtol=1e-3, atol=1e-3)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-3, atol=1e-3, err_msg=key)
    for key, array in ours.state_dict().items():  # the running statistics moved alike
        np.testing.assert_allclose(array, theirs.state_dict()[key].numpy(), rtol=1e-5, atol=1e-5, err_msg=key)


def test_what_does_not_fit_is_refused_with_every_name_and_nothing_changes():
    ours = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = ours.state_dict()
    state = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 2, bias=False)).state_dict()
    with pytest.raises(ValueError, match=r"missing: 1.bias; 0.weight has shape \(2, 4\), \(2, 3\) is needed"):
        ours.load_state_dict(state)
    for key, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_pytorch_shares_a_tensors_memory_and_we_share_pytorchs(dtype):
    ours = tg.Tensor(np.arange(6).reshape(2, 3).astype(dtype))
    theirs = torch.from_dlpack(ours)
    theirs[0, 1] = 77
    assert ours.data[0, 1] == 77 and str(theirs.dtype) == f"torch.{dtype}"
    back = from_dlpack(theirs)
    back.data[1, 1] = 99
    assert theirs[1, 1] == 99 and back.dtype == dtype and back.data.ctypes.data == ours.data.ctypes.data


def test_images_that_lie_batch_innermost_are_shared_too():
    x = tg.Tensor(numbers(2, 5, 4, 3).transpose(3, 0, 1, 2))
    theirs = torch.from_dlpack(x)
    assert theirs.shape == (3, 2, 5, 4) and theirs.data_ptr() == x.data.ctypes.data
    np.testing.assert_array_equal(theirs.numpy(), x.data)
    again = from_dlpack(torch.from_numpy(numbers(3, 2)).T)
    assert again.shape == (2, 3) and again.data.strides == (4, 8)


@pytest.mark.slow
def test_shared_memory_outlives_the_tensor_and_is_then_freed():
    x = tg.Tensor(numbers(4, 4))
    owner = weakref.ref(x.data)
    expected, theirs = x.data.copy(), torch.from_dlpack(x)
    del x
    gc.collect()
    np.testing.assert_array_equal(theirs.numpy(), expected)
    del theirs
    gc.collect()
    assert owner() is None


def test_pytorch_cannot_spoil_what_a_graph_will_read():
    w = tg.Tensor(numbers(3), requires_grad=True)
    y = w * w
    for held in (w, y, y.detach(), w.broadcast_to((2, 3))):
        before = held.data.copy()
        torch.from_dlpack(held).fill_(float("nan"))
        np.testing.assert_array_equal(held.data, before)
        with pytest.raises(BufferError, match="can only be copied"):
            torch.from_dlpack(held, copy=False)
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.data, 2 * w.data)
    del y, held
    assert torch.from_dlpack(w).data_ptr() == w.data.ctypes.data  # the graph has gone: shared again


def test_memory_that_runs_backwards_is_copied_for_pytorch_knows_no_negative_strides():
    x = tg.Tensor(numbers(4, 3))[::-1]
    np.testing.assert_array_equal(torch.from_dlpack(x).numpy(), x.data)


def test_a_copy_can_be_asked_for():
    x = tg.Tensor(numbers(3))
    assert torch.from_dlpack(x, copy=True).data_ptr() != x.data.ctypes.data


def test_numpy_takes_a_tensor_by_the_same_protocol_and_array_copies_only_when_it_must():
    x = tg.Tensor(numbers(2, 3))
    assert np.shares_memory(np.from_dlpack(x), x.data)
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert x.__dlpack_device__() == (1, 0)


def test_training_on_shared_memory_shows_in_pytorch():
    theirs = torch.nn.Linear(3, 2, bias=False)
    before = theirs.weight.detach().clone()
    w = from_dlpack(theirs.weight.detach())
    w.requires_grad = True
    optimizer = tg.optim.SGD([w], 0.1)
    for _ in range(2):
        tg.linear(tg.Tensor(np.ones((1, 3), np.float32)), w).sum().backward()
        optimizer.step()
        w.grad = None
    np.testing.assert_allclose(theirs.weight.detach().numpy(), before.numpy() - 0.2, rtol=1e-6)


def test_what_cannot_be_shared_is_answered_in_one_line():
    with pytest.raises(ValueError, match="from_dlpack: Can't export tensors that require gradient"):
        from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match="from_dlpack: Unsupported dtype"):
        from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="dtype float16 is not supported"):
        from_dlpack(torch.ones(2, dtype=torch.float16))
    with pytest.raises(TypeError, match="dtype complex64 is not supported"):
        from_dlpack(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="from_dlpack: x must be an array with __dlpack__, got \\["):
        from_dlpack([1.0, 2.0])
