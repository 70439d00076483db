"""Weights of ``torch.save`` are read without unpickling: nothing in such a file is run."""

import io
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.storage.atomic import CheckpointError
from tinygrad_cnn.storage.pytorch import load_pytorch

FILES = pathlib.Path(__file__).parent / "files" / "pytorch"
RNG = np.random.default_rng(14)
ADVICE = r"safetensors.torch.save_file\(model.state_dict\(\), 'weights.safetensors'\)"


def test_a_state_dict_is_loaded_into_a_network():
    layer = tg.load(FILES / "linear.pt", into=nn.Sequential(nn.Linear(4, 3)))
    np.testing.assert_array_equal(layer[0].weight.data, np.arange(12.0).reshape(3, 4))
    assert layer[0].bias.data.tolist() == [1, 2, 3] and not layer.training
    with pytest.raises(CheckpointError, match=r"linear.pt: .*0.weight has shape"):
        tg.load(FILES / "linear.pt", into=nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(CheckpointError, match=r"a PyTorch network; make one and load\(path, into=model\)"):
        tg.load(FILES / "linear.pt")


def test_strides_types_and_shared_storages_of_a_checkpoint_are_read():
    base = np.arange(24, dtype=np.float32)
    expected = {
        "turned": base.reshape(4, 6).T, "shared": base[2:8], "step": base[::5], "half": base[:3],
        "brain": base[:3] * 1.5,
        "long": np.array(7), "bool": np.array([True, False]), "empty": np.zeros((0, 3), np.float32),
        "double": np.array([0.1]), "int8": np.array([-3], np.int8), "uint8": np.array([200], np.uint8),
        "parameter": np.array([2.5], np.float32),
    }  # fmt: skip
    arrays = load_pytorch(FILES / "checkpoint.pt")
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype and arrays[name].flags.c_contiguous and arrays[name].flags.writeable


def archive(path: Any, pickled: bytes, **members: bytes) -> Any:
    """A file as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in members.items():
            file.writestr(f"archive/{name.replace('_', '/')}", content)
    return path


class Attack:
    """An object whose pickle runs a command."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrap", [lambda attack: attack, lambda attack: {"weight": attack}, lambda attack: [attack]])
def test_code_is_named_and_never_run(wrap, protocol, tmp_path):
    trace = tmp_path / "trace"
    for function, arguments in ((pathlib.Path.touch, (trace,)), (eval, ("1",)), (OrderedDict, ([("a", 1)],))):
        pickled = pickle.dumps(wrap(Attack(function, *arguments)), protocol)
        with pytest.raises(CheckpointError, match=ADVICE) as caught:
            tg.load(archive(tmp_path / "w.pt", pickled), into=nn.Linear(2, 2))
        assert "\n" not in str(caught.value)
    assert not trace.exists()
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Attack(pathlib.Path.touch, trace), protocol))
    with pytest.raises(CheckpointError, match=f"would run code when it is loaded: .*{ADVICE}"):
        tg.load(tmp_path / "old.pth", into=nn.Linear(2, 2))
    assert not trace.exists()


def storage(kind: str, key: str, count: int) -> bytes:
    """The pickle of a storage's name."""
    text = b"".join(b"X" + len(t).to_bytes(4, "little") + t.encode() for t in ("storage",))
    rest = b"".join(b"X" + len(t).to_bytes(4, "little") + t.encode() for t in (key, "cpu"))
    return b"(" + text + f"ctorch\n{kind}\n".encode() + rest + b"J" + count.to_bytes(4, "little") + b"tQ"


def tensor(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: str = "FloatStorage", count: int = 6
) -> bytes:
    """The pickle of {"w": a tensor}."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + v.to_bytes(4, "little", signed=True) for v in values) + b"t"

    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, "0", count)
    call += b"J" + offset.to_bytes(4, "little", signed=True) + numbers(shape) + numbers(strides)
    return b"\x80\x02}X\x01\0\0\0w" + call + b"\x89ccollections\nOrderedDict\n)RtRs."


NUMBERS = np.arange(6, dtype=np.float32).tobytes()


def test_tensors_stay_inside_their_storage(tmp_path):
    path = archive(tmp_path / "w.pt", tensor(0, (2, 3), (3, 1)), data_0=NUMBERS)
    assert load_pytorch(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert load_pytorch(archive(path, tensor(1, (2, 2), (1, 2)), data_0=NUMBERS))["w"].tolist() == [[1, 3], [2, 4]]
    for pickled in (
        tensor(1, (2, 3), (3, 1)), tensor(0, (2, 3), (4, 1)), tensor(-1, (2,), (1,)), tensor(0, (2,), (-1,)),
        tensor(0, (2**30,), (0,)), tensor(0, (2**30, 2**30), (0, 0)), tensor(0, (2, 3), (3,)),
        tensor(0, (-1, 3), (3, 1)),
        tensor(0, (2,), (1,), count=5), tensor(0, (2,), (1,), "DoubleStorage"), tensor(7, (1,), (1,)),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match="is damaged"):
            load_pytorch(archive(path, pickled, data_0=NUMBERS))
    with pytest.raises(CheckpointError, match=r"is not a PyTorch file of weights, or is damaged"):
        load_pytorch(archive(path, tensor(0, (2,), (1,))))  # the storage is missing
    with pytest.raises(CheckpointError, match=r"holds torch\.QInt8Storage"):
        load_pytorch(archive(path, tensor(0, (2,), (1,), "QInt8Storage"), data_0=NUMBERS))


def test_numbers_of_the_other_byte_order_are_turned(tmp_path):
    big = np.arange(6, dtype=">f4").tobytes()
    path = archive(tmp_path / "w.pt", tensor(0, (6,), (1,)), data_0=big, byteorder=b"big")
    assert load_pytorch(path)["w"].tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_no_state_dict_is_refused_with_advice(tmp_path):
    for value, message in (
        ([1, 2], "holds no state dict"),
        ({"epoch": 3, "lr": 0.1}, "holds 'epoch', 'lr', and no tensors under names"),
        ({}, "holds nothing, and no tensors"),
        ({"state_dict": {"a": 1}}, "holds 'a', which is no tensor"),
        (b"bytes", "BINBYTES|_codecs.encode"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_pytorch(archive(tmp_path / "w.pt", pickle.dumps(value, 2)))
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as file:
        file.writestr("net/data.pkl", b".")
        file.writestr("net/constants.pkl", b".")
    with pytest.raises(CheckpointError, match="is a TorchScript program, not weights"):
        load_pytorch(tmp_path / "script.pt")
    for name, content in (("empty.pt", b""), ("text.pt", b"hello"), ("zip.pt", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name}: is not a "):
            load_pytorch(tmp_path / name)
    with pytest.raises(CheckpointError, match="No such file"):
        load_pytorch(tmp_path / "none.pt")


def test_compressed_or_doubled_members_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", tensor(0, (6,), (1,)))
        file.writestr("archive/data/0", b"\0" * 10_000_000)
    with pytest.raises(CheckpointError, match="compressed"):
        load_pytorch(path)
    item = tensor(0, (6,), (1,))[3:-2]  # the name and the tensor, without what opens and closes the dictionary
    repeated = archive(path, b"\x80\x02}(" + _names(item, 2_000) + b"u.", data_0=NUMBERS)
    assert len(load_pytorch(repeated)) == 2_000
    large = np.zeros(10_000, np.float32).tobytes()
    item = tensor(0, (10_000,), (1,), count=10_000)[3:-2]
    with pytest.raises(CheckpointError, match="its tensors have 20,000,000 numbers"):
        load_pytorch(archive(path, b"\x80\x02}(" + _names(item, 2_000) + b"u.", data_0=large))


def _names(item: bytes, count: int) -> bytes:
    """The items of a dictionary with many names for one tensor."""
    return b"".join(b"X\x04\0\0\0" + f"{k:04d}".encode() + item[6:] for k in range(count))


@pytest.mark.parametrize("name", ["linear.pt", "checkpoint.pt"])
def test_damaged_files_are_errors_of_one_line_or_other_numbers(name, tmp_path):
    content = (FILES / name).read_bytes()
    path = tmp_path / "w.pt"
    for k in range(300):
        data = bytearray(content)
        if k < 30:
            data = data[: len(data) * k // 30]
        else:
            for _ in range(RNG.integers(1, 4)):
                data[RNG.integers(len(data))] ^= 1 << int(RNG.integers(8))
        path.write_bytes(bytes(data))
        try:
            arrays = load_pytorch(path)
        except CheckpointError as error:
            assert "\n" not in str(error) and "w.pt" in str(error)
        else:
            assert all(isinstance(a, np.ndarray) for a in arrays.values())


def test_pytorch_s_own_files_give_pytorch_s_results(tmp_path):
    torch = pytest.importorskip("torch")
    layers = [("Conv2d", (1, 4, 3)), ("BatchNorm2d", (4,)), ("Flatten", ()), ("Linear", (144, 10))]
    theirs = torch.nn.Sequential(*(getattr(torch.nn, kind)(*args) for kind, args in layers))
    ours = nn.Sequential(*(getattr(nn, kind)(*args) for kind, args in layers))
    x = RNG.random((3, 1, 8, 8), np.float32)
    theirs(torch.tensor(x))
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    buffer = io.BytesIO()
    parts = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    for saved in (theirs.state_dict(), {"epoch": 1, "model_state_dict": theirs.state_dict()}, parts):
        torch.save(saved, buffer)
        (tmp_path / "w.pth").write_bytes(buffer.getvalue())
        buffer = io.BytesIO()
        tg.load(tmp_path / "w.pth", into=ours)
        np.testing.assert_allclose(ours(tg.Tensor(x)).data, expected, rtol=1e-5, atol=1e-6)
    torch.save(theirs, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"holds torch.nn.modules.container.Sequential, which would run code"):
        tg.load(tmp_path / "whole.pt", into=ours)
    torch.save(theirs.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"of PyTorch before 1\.6"):
        tg.load(tmp_path / "old.pt", into=ours)
