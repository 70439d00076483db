"""Weights as ``.safetensors``: the real library reads what we write, we read what it writes, and damage is refused."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.interop import load_safetensors, save_safetensors
from tinygrad_cnn.models import build
from tinygrad_cnn.storage.atomic import CheckpointError
from tinygrad_cnn.training import checkpoint

library = pytest.importorskip("safetensors.numpy")
RNG = np.random.default_rng(4)


def test_a_state_comes_back_in_the_same_bits_with_its_texts(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 2).astype(np.float64))
    texts = {"model": json.dumps(build("digits").settings()), "note": "née"}
    save_safetensors(network.state_dict(), tmp_path / "net.safetensors", texts)
    state, found = load_safetensors(tmp_path / "net.safetensors")
    assert found == texts and set(state) == set(network.state_dict())
    for name, array in network.state_dict().items():
        assert state[name].dtype == array.dtype and state[name].shape == array.shape
        np.testing.assert_array_equal(state[name], array)
    network.load_state_dict(state)


@examples(40)
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    order=st.sampled_from(["C", "F", "reversed", "moved"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_array_in_any_memory_order_is_read_by_the_library_as_it_was(tmp_path_factory, shape, dtype, order, seed):
    array = np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
    if order == "F":
        array = np.asfortranarray(array)
    elif order == "reversed":
        array = array[tuple(slice(None, None, -1) for _ in shape)]
    elif order == "moved" and shape:
        array = np.moveaxis(array, 0, -1)
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    save_safetensors({"a": array}, path)
    for found in (library.load_file(path)["a"], load_safetensors(path)[0]["a"]):
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)


def test_what_the_library_and_pytorch_write_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    state, texts = load_safetensors(tmp_path / "net.safetensors")
    ours.load_state_dict(state)
    assert texts == {}
    np.testing.assert_array_equal(ours[0].weight.data, theirs[0].weight.detach().numpy())


def test_an_existing_file_stays_whole_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_safetensors({"a": np.ones(3)}, path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save_safetensors({"a": np.zeros(3)}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def refusal(path: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_safetensors(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def header(table: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


DAMAGED = {
    "empty": b"",
    "random": RNG.bytes(500),
    "a page of HTML": b"<!DOCTYPE html><html><body>not found</body></html>",
    "a header of 2^40 bytes": struct.pack("<Q", 2**40) + b"{}",
    "an array of 2^40 bytes": header({"a": entry("U8", [2**40], 2**40)}),
    "a shape that overflows": header({"a": entry("F32", [2**62, 2**62], 4)}, b"1234"),
    "an array larger than its bytes": header({"a": entry("F32", [2], 4)}, b"1234"),
    "bytes after the end": header({"a": entry("F32", [1], 4)}, b"12345678"),
    "an array that begins before the data": header({"a": entry("F32", [1], 4) | {"data_offsets": [-4, 0]}}, b"1234"),
    "a type that NumPy lacks": header({"a": entry("BF16", [2], 4)}, b"1234"),
    "an unknown type": header({"a": entry("PICKLE", [1], 4)}, b"1234"),
    "a list where a table is needed": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_file_that_is_none_is_refused_in_one_line(kind, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(DAMAGED[kind])
    assert refusal(tmp_path / "bad.safetensors").startswith(f"{tmp_path / 'bad.safetensors'}: is not a file of weights")


def test_weights_whose_facts_are_not_json_are_refused(tmp_path):
    save_safetensors({"weight": np.zeros(2, np.float32)}, tmp_path / "w.safetensors", {"model": "LeNet"})
    with pytest.raises(CheckpointError, match=r"w\.safetensors: its metadata is not JSON"):
        checkpoint.load(tmp_path / "w.safetensors")


FOREIGN = [
    {"format": "pt"},
    {"format": "np", "note": "née"},
    {"model": "LeNet"},
    {"about": "[1,"},
    {"model": "[" * 10**5},
]


@pytest.mark.parametrize("texts", FOREIGN, ids=lambda texts: str(texts)[:30])
def test_a_file_with_another_programs_metadata_loads_into_a_model(texts, tmp_path):
    weight, bias = RNG.random((2, 2), np.float32), RNG.random(2, np.float32)
    save_safetensors({"weight": weight, "bias": bias}, tmp_path / "w.safetensors", texts)
    model = tg.load(tmp_path / "w.safetensors", into=nn.Linear(2, 2))
    np.testing.assert_array_equal(model.weight.data, weight)
    np.testing.assert_array_equal(model.bias.data, bias)
    assert checkpoint.about(tmp_path / "w.safetensors") == {}
    with pytest.raises(CheckpointError, match=r"w\.safetensors: .*load\(path, into=model\)"):
        tg.load(tmp_path / "w.safetensors")


def test_what_pytorch_saves_with_a_prefix_says_how_to_load_it(tmp_path):
    state = {f"module.{k}": a for k, a in nn.Linear(2, 2).state_dict().items()}
    save_safetensors(state, tmp_path / "w.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"w\.safetensors: .*all keys begin with 'module\.'"):
        tg.load(tmp_path / "w.safetensors", into=nn.Linear(2, 2))


def test_a_file_that_was_cut_off_is_refused_at_every_sixteenth(tmp_path):
    save_safetensors(build("digits").state_dict(), tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    for k in range(16):
        (tmp_path / "cut.safetensors").write_bytes(content[: len(content) * k // 16])
        assert "cut.safetensors" in refusal(tmp_path / "cut.safetensors")


def test_a_flipped_bit_is_refused_or_changes_numbers_and_names_only(tmp_path):
    state = {"a": RNG.random((3, 2)), "b": np.arange(4)}
    save_safetensors(state, tmp_path / "net.safetensors", {"model": "digits"})
    content = (tmp_path / "net.safetensors").read_bytes()
    refused = 0
    for bit in RNG.choice(8 * len(content), 200, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        (tmp_path / "flipped.safetensors").write_bytes(flipped)
        try:
            found, _ = load_safetensors(tmp_path / "flipped.safetensors")
            assert sorted(a.nbytes for a in found.values()) == [32, 48]
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 40


def test_what_is_not_a_file_is_refused(tmp_path):
    assert "is not a regular file" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.safetensors")
    assert "is not a regular file" in refusal("/dev/zero")
