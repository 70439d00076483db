"""Downloads come from the first mirror that has the right bytes; without any, one sentence says what to do."""

import gzip
import hashlib
import logging
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tinygrad_cnn.data import DataError, download, mnist
from tinygrad_cnn.data.download import FASHION_MNIST, MNIST, Source

NOBODY = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("TINYGRAD_CNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    logging.getLogger("pooch").setLevel(logging.ERROR)
    return tmp_path / "cache" / "tinygrad-cnn" / "mnist"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def mirror(small_folder: Path) -> Iterator[str]:
    """Serve `small_folder`, zipped, on this machine."""
    for path in list(small_folder.glob("*-ubyte")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(small_folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, folder: Path, *mirrors: str) -> None:
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in MNIST.hashes}
    monkeypatch.setattr(download, "MNIST", Source("mnist", mirrors, sha256))


def refusal() -> str:
    with pytest.raises(DataError) as caught:
        mnist()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("source", [MNIST, FASHION_MNIST])
def test_every_published_file_is_pinned_by_sha256(source: Source) -> None:
    assert len(source.hashes) == 4
    assert all(len(bytes.fromhex(value)) == 32 for value in source.hashes.values())
    assert all(mirror.endswith("/") for mirror in source.mirrors)


def test_files_are_downloaded_once_and_kept(
    mirror: str, cache: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    publish(monkeypatch, small_folder, mirror)
    assert len(mnist()[0]) == 12
    assert sorted(path.name for path in cache.iterdir()) == sorted(MNIST.hashes)
    publish(monkeypatch, small_folder, NOBODY)
    assert len(mnist()[0]) == 12


def test_an_interrupted_download_is_completed(
    mirror: str, cache: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    publish(monkeypatch, small_folder, mirror)
    mnist()
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    assert len(mnist()[1]) == 5


def test_a_mirror_that_fails_is_passed_over(mirror: str, small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch")
    publish(monkeypatch, small_folder, NOBODY, mirror + "gone/", mirror)
    assert len(mnist()[0]) == 12


def test_other_bytes_than_the_published_ones_are_refused_and_not_kept(
    mirror: str, cache: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pooch")
    publish(monkeypatch, small_folder, mirror)
    path = small_folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"!")
    assert f"not downloaded ({mirror}: wrong checksum)" in refusal()
    assert list(cache.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch")
    monkeypatch.setattr(download, "MNIST", Source("mnist", (NOBODY,), MNIST.hashes))
    message = refusal()
    assert message.startswith(f"mnist: not on this machine, and not downloaded ({NOBODY}: ConnectionError). Put train-")
    assert f"t10k-labels-idx1-ubyte.gz in {cache}, or pass the folder that holds them: --data-dir FOLDER" in message


def test_without_pooch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "pip install 'tinygrad_cnn[data]'" in refusal()


def test_a_cache_that_cannot_be_written_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch")
    (tmp_path / "occupied").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "occupied"))
    assert "Not a directory" in refusal()
