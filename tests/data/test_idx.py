"""read_idx gives back what was written, and answers any other file with one line that names it."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from tinygrad_cnn.data import DataError, read_idx

Writer = Callable[[NDArray[np.generic]], bytes]

ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda code: npst.arrays(np.dtype(code), npst.array_shapes(max_dims=4, max_side=5))
)
IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-file"


def refusal(path: Path, content: bytes | None = None) -> str:
    """Return the message that `path` gets, after the checks that hold for every message."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@given(array=ARRAYS, zipped=st.booleans())
def test_every_type_and_shape_survives_the_round_trip(
    file: Path, idx_bytes: Writer, array: NDArray[np.generic], zipped: bool
) -> None:
    content = idx_bytes(array)
    file.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(file)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@given(array=ARRAYS)
def test_a_mapped_file_holds_the_same_values(file: Path, idx_bytes: Writer, array: NDArray[np.generic]) -> None:
    file.write_bytes(idx_bytes(array))
    mapped = read_idx(file, memmap=True)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, array)
    with pytest.raises(ValueError, match="read-only"):
        mapped[...] = 0


def test_a_compressed_file_cannot_be_mapped(file: Path, idx_bytes: Writer) -> None:
    file.write_bytes(gzip.compress(idx_bytes(IMAGES)))
    with pytest.raises(DataError, match="is compressed and cannot be mapped; unpack it first"):
        read_idx(file, memmap=True)


@pytest.mark.parametrize("length", range(16 + 60))
def test_a_file_cut_anywhere_is_refused(file: Path, idx_bytes: Writer, length: int) -> None:
    message = refusal(file, idx_bytes(IMAGES)[:length])
    assert ("is empty" if length == 0 else "not an IDX file" if length < 4 else "truncated") in message


def test_a_gzip_file_cut_anywhere_is_refused(file: Path, idx_bytes: Writer) -> None:
    packed = gzip.compress(idx_bytes(IMAGES))
    for length in range(len(packed)):
        refusal(file, packed[:length])


@given(extra=st.binary(min_size=1))
def test_trailing_bytes_are_refused(file: Path, idx_bytes: Writer, extra: bytes) -> None:
    content = idx_bytes(IMAGES)
    assert "trailing bytes" in refusal(file, content + extra)
    assert "trailing bytes" in refusal(file, gzip.compress(content + extra))


@pytest.mark.parametrize("bit", range(16 * 8))
def test_a_flipped_bit_in_the_header_is_refused_or_changes_the_type(file: Path, idx_bytes: Writer, bit: int) -> None:
    content = bytearray(idx_bytes(IMAGES))
    content[bit // 8] ^= 1 << bit % 8
    if bit == 2 * 8:  # 0x08 -> 0x09: the same file with signed bytes, which images and labels refuse
        file.write_bytes(content)
        assert read_idx(file).dtype == np.int8
    else:
        refusal(file, bytes(content))


def test_a_flipped_bit_in_a_gzip_file_is_refused_or_harmless(file: Path, idx_bytes: Writer) -> None:
    packed = gzip.compress(idx_bytes(IMAGES))
    refused = 0
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_idx(file), IMAGES)
        except DataError:
            refused += 1
    assert refused > 0.8 * len(packed) * 8  # the rest are the file's time and the like, which carry no pixels


@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(file: Path, content: bytes) -> None:
    refusal(file, content)


@given(content=st.binary(max_size=200))
def test_random_bytes_behind_a_good_magic_number_are_refused_or_as_long_as_they_say(file: Path, content: bytes) -> None:
    file.write_bytes(b"\0\0\x08" + content)
    try:
        assert read_idx(file).size == len(content) - 1 - 4 * content[0]
    except DataError as error:
        assert str(error).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<!DOCTYPE html><title>404</title>", "is not an IDX file (it starts with b'<!DO')"),
        (b"\0\0\x08\x00", "the header has 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "the header has 255 dimensions"),
        (b"\0\0\x0a\x01\0\0\0\1x", "unknown IDX type code 0x0a"),
        (b"\0\0\x08\x02\0\0\0\0\0\0\0\3", "holds nothing (shape (0, 3))"),
        (b"\1\x08\0\0\1\0\0\0x", "the header is little-endian"),
        (b"\0\0\x08\x01" + struct.pack("<I", 3) + b"abc", "truncated: shape (50331648,)"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\1x") + b"junk", "corrupt gzip file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip puts the time of day into its bytes
)
def test_each_kind_of_wrong_file_has_its_own_words(file: Path, content: bytes, complaint: str) -> None:
    assert complaint in refusal(file, content)


def test_missing_files_folders_and_loops_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "nowhere") == "No such file or directory"
    assert refusal(tmp_path) == "is not a regular file"
    assert refusal(tmp_path / "pipe") == "is not a regular file"
    assert "symbolic links" in refusal(tmp_path / "loop")
    assert refusal(tmp_path / "null\0byte") == "embedded null byte"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    path.write_bytes(b"\0\0\x08\x01\0\0\0\1x")
    path.chmod(0)
    assert refusal(path) == "Permission denied"


def test_only_a_path_is_accepted() -> None:
    with pytest.raises(TypeError):
        read_idx(0)  # type: ignore[arg-type]  # would be standard input


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_asks_for_a_terabyte_costs_no_memory(file: Path, pack: Callable[[bytes], bytes]) -> None:
    terabyte = b"\0\0\x08\x02" + struct.pack(">II", 1 << 20, 1 << 20)
    assert peak_of(lambda: refusal(file, pack(terabyte + b"x" * 100))) < 1 << 20


def test_a_gzip_file_that_promises_too_much_costs_no_more_than_it_holds(file: Path) -> None:
    packed = gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 1 << 26) + np.random.default_rng(0).bytes(1 << 18))
    assert peak_of(lambda: refusal(file, packed)) < 1 << 22


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(file: Path) -> None:
    content = gzip.compress(b"\0\0\x08\x01\0\0\0\x09" + bytes(1 << 25))
    assert peak_of(lambda: refusal(file, content)) < 1 << 20


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
