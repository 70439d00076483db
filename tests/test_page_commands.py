"""The commands that make a page: `page`, `export` and `demo`, which serves one to this computer alone."""

import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.cli import demo, main
from tinygrad_cnn.page import page_text, shipped_weights


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "net.npz"
    tg.save(models.build("primer", rng=np.random.default_rng(0)), path)
    return path


@pytest.mark.parametrize("command", ["page", "export"])
def test_a_network_becomes_a_page(command, weights, tmp_path, capsys):
    target = tmp_path / "net.html"
    assert main([command, str(weights), str(target)]) == 0
    assert capsys.readouterr().out.startswith(f"{target}: primer")
    assert target.read_text("utf-8") == page_text(tg.load(weights))


def test_without_weights_the_page_has_the_shipped_network(tmp_path):
    assert main(["page", str(tmp_path / "net.html")]) == 0
    assert '"title":"nielsen"' in (tmp_path / "net.html").read_text("utf-8")


def test_the_endings_are_checked(weights, tmp_path, capsys):
    assert main(["page", str(weights), str(tmp_path / "net.onnx")]) == 2
    assert "must end in .html" in capsys.readouterr().err
    assert main(["export", str(weights), str(tmp_path / "net.txt")]) == 2
    assert ".onnx" in (said := capsys.readouterr().err) and ".html" in said and said.count("\n") == 1


def test_the_shipped_weights_are_small_and_say_where_they_come_from():
    assert shipped_weights().stat().st_size < 400_000
    assert "LeCun" in shipped_weights().with_suffix(".md").read_text()


@pytest.fixture
def address():
    with demo.make_server("<p>page</p>", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://{demo.HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_server_answers_with_the_page(address):
    with urllib.request.urlopen(f"{address}/", timeout=20) as answer:
        assert answer.read() == b"<p>page</p>"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and answer.headers["X-Frame-Options"]
        assert "Python" not in str(answer.headers)


@pytest.mark.parametrize("path", ["/favicon.ico", "/../pyproject.toml", "/?", "/index.html"])
def test_the_server_has_nothing_else(address, path):
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        urllib.request.urlopen(address + path, timeout=20)
    refusal.value.close()


@pytest.mark.slow
def test_ctrl_c_ends_it_quietly_and_only_this_computer_reaches_it():
    command = [sys.executable, "-m", "tinygrad_cnn", "demo", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert b"window.network" in answer.read()
            port = int(address.rstrip("/").rpartition(":")[2])
            assert _refuses(_own_address(), port)
        finally:
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest == "" and said == "tinygrad-cnn: stop with Ctrl-C\n"


def _own_address():
    """This computer's address on its network, if it has one beside 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.2"
        return probe.getsockname()[0]


def _refuses(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return True
    return False


def test_a_port_in_use_is_one_line_and_status_2(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port), "--no-browser"]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and str(port) in output.err


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1.5"])
def test_ports_that_do_not_exist_are_refused(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--port", port])
    assert capsys.readouterr().err.count("\n") == 1


def test_weights_that_are_not_there_are_one_line_and_status_2(tmp_path, capsys):
    assert main(["demo", "--weights", str(tmp_path / "none.npz"), "--no-browser"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
