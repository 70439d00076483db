"""The demo: what it makes of strokes, that it tells the truth about the network, and what its server refuses."""

import base64
import json
import math
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
from digit_strokes import STROKES, placed
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn import models
from tinygrad_cnn.cli import main
from tinygrad_cnn.demo import introspect, requests, strokes

pytest.importorskip("flask", reason="Flask is not installed")

from tinygrad_cnn.demo import server

PLACES = st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.05, 4))


@pytest.fixture(scope="module")
def network():
    return server.load(server.shipped_weights())


@pytest.fixture(scope="module")
def app(network):
    return server.make_app(network, requests.TokenBucket(1e9, 1e9))


@pytest.fixture
def client(app):
    return app.test_client()


def shares(network, drawing):
    return np.array(introspect.look(network, strokes.normalized(drawing))["shares"])


def coded(image):
    return base64.b64encode(np.asarray(image, np.uint8).tobytes()).decode()


def unpacked(answer):
    return np.frombuffer(base64.b64decode(answer["bytes"]), np.int8).reshape(answer["shape"]) / 127


# Strokes --------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(STROKES)), PLACES)
def test_where_and_how_large_a_digit_is_drawn_makes_no_difference(digit, place):
    first, moved = strokes.normalized(placed(digit)), strokes.normalized(placed(digit, *place))
    assert np.abs(first.astype(int) - moved).mean() < 1.0  # of 255: rounding may move a fine pixel


@given(st.sampled_from(sorted(STROKES)))
def test_the_image_is_as_mnist_makes_them(digit):
    image = strokes.normalized(placed(digit))
    rows, columns = np.nonzero(image)
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255
    assert 20 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21  # the box, which may lie across pixels
    weights = image / image.sum()
    assert np.allclose([(weights * axis).sum() for axis in np.mgrid[:28, :28]], 14.0, atol=0.1)
    assert 0.2 < ((image > 0) & (image < 255)).sum() / (image > 0).sum() < 0.8  # smooth edges


@examples(30)
@given(st.lists(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=1, max_size=8), max_size=5))
def test_any_strokes_make_an_image_and_no_ink_leaves_its_box(drawn):
    image = strokes.normalized([np.array(stroke) for stroke in drawn])
    assert image.shape == (28, 28) and image.any() == bool(drawn)
    assert all(np.ptp(axis) + 1 <= 21 for axis in np.nonzero(image) if drawn)  # moved over an edge it would span more


def test_a_dot_stays_a_dot():
    dot = strokes.normalized([np.array([[0.3, 0.3]]), np.array([[0.305, 0.3], [0.3, 0.31]])])
    assert 0 < (dot > 0).sum() <= 16


@pytest.mark.parametrize("digit", sorted(STROKES))
def test_a_drawn_digit_is_recognised_wherever_it_is_drawn(network, digit):
    for place in ((0, 0, 1), (0.6, 0.1, 0.35), (0.05, 0.7, 0.25)):
        assert shares(network, placed(digit, *place)).argmax() == digit


def test_shaky_slanted_and_squeezed_digits_are_recognised(network):
    rng = np.random.default_rng(0)
    right = 0
    for digit in 10 * sorted(STROKES):
        slant = np.array([[rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)], [0, 1]])
        drawing = [s @ slant.T + rng.normal(0, 0.008, s.shape) for s in placed(digit)]
        right += shares(network, drawing).argmax() == digit
    assert right >= 94  # of 100; a 1 with a long flag passes for a 7


# What the page shows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nielsen", "lenet5", "article", "tiny", "primer", "best"])
def test_every_neuron_is_the_sum_of_its_products(name):
    network = models.build(name, rng=np.random.default_rng(0)).eval()
    sequence, _ = introspect.steps(network, strokes.normalized(placed(5)))
    rng = np.random.default_rng(1)
    explained = 0
    for step in sequence:
        for _ in range(5):
            place = [int(rng.integers(n)) for n in step.maps.shape]
            try:
                made = introspect.neuron(step, *place)
            except ValueError:
                break
            explained += 1
            assert made.value == step.maps[tuple(place)]
            if made.filter is not None:
                total = (made.underlay * made.filter).sum() + made.bias
            else:
                total = made.underlay.max() if isinstance(step.layer, tg.nn.MaxPool2d) else made.underlay.mean()
            assert math.isclose(total, made.value, rel_tol=1e-4, abs_tol=1e-5)
    assert explained >= 10


def test_the_overlay_lies_where_the_underlay_comes_from(network):
    sequence, _ = introspect.steps(network, strokes.normalized(placed(2)))
    conv, pool = sequence[0], sequence[1]
    made = introspect.neuron(conv, 3, 7, 11)
    assert (made.top, made.left) == (7, 11)
    np.testing.assert_array_equal(made.underlay, conv.inputs[:, 7:12, 11:16])
    made = introspect.neuron(pool, 3, 7, 11)
    assert (made.top, made.left) == (14, 22)
    np.testing.assert_array_equal(made.underlay, pool.inputs[3:4, 14:16, 22:24])


def test_the_shares_are_the_networks_own(client, network):
    answer = client.post("/look", json={"strokes": [s.tolist() for s in placed(7)]}).get_json()
    image = strokes.normalized(placed(7))
    assert answer["image"] == coded(image)
    with tg.no_grad():
        wanted = tg.softmax(network(tg.Tensor(image[None, None] / np.float32(255)))).numpy()[0]
    np.testing.assert_allclose(answer["shares"], wanted, atol=1e-5)


def test_the_maps_are_the_networks_own(client, network):
    answer = client.post("/look", json={"strokes": [s.tolist() for s in placed(7)]}).get_json()
    sequence, _ = introspect.steps(network, strokes.normalized(placed(7)))
    assert len(answer["layers"]) == len(sequence) == 9
    for layer, step in zip(answer["layers"], sequence, strict=True):
        np.testing.assert_allclose(unpacked(layer), step.maps / np.abs(step.maps).max(), atol=0.5 / 127 + 1e-6)


def test_pooling_keeps_the_largest_of_each_overlay(client, network):
    answer = client.post("/look", json={"strokes": [s.tolist() for s in placed(7)]}).get_json()
    sequence, _ = introspect.steps(network, strokes.normalized(placed(7)))
    kept = np.frombuffer(base64.b64decode(answer["layers"][1]["kept"]), bool).reshape(20, 24, 24)
    blocks = kept.reshape(20, 12, 2, 12, 2).sum(axis=(2, 4))
    assert (blocks == 1).all()
    np.testing.assert_array_equal(np.sort(sequence[1].inputs[kept]), np.sort(sequence[1].maps.ravel()))


def test_the_pull_is_the_slope_of_the_score(network):
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)  # a drawing has ties, where slopes jump
    slope = introspect.pull(network, image, 8)
    assert slope.shape == (1, 28, 28)
    step = 0.01 * slope / np.linalg.norm(slope)
    with tg.no_grad():
        up, down = (network(tg.Tensor((image / np.float32(255) + s)[None])).numpy()[0, 8] for s in (step, -step))
    assert math.isclose((up - down) / 2, (slope * step).sum(), rel_tol=0.01)
    assert all(p.grad is None for p in network.parameters())  # asking leaves nothing in the network


# What the server refuses ----------------------------------------------------------------------------------------------

BLANK = coded(np.zeros((28, 28)))
GOOD = {
    "/look": {"strokes": [[[0.1, 0.1], [0.4, 0.9]]]},
    "/neuron": {"image": BLANK, "layer": 0, "map": 19, "row": 23, "column": 23},
    "/pull": {"image": BLANK, "class": 9},
}
BAD = [
    ("/look", {}),
    ("/look", {"strokes": None}),
    ("/look", {"strokes": "abc"}),
    ("/look", {"strokes": [[[1, 2, 3]]]}),
    ("/look", {"strokes": [[[1]]]}),
    ("/look", {"strokes": [[["1", "2"]]]}),
    ("/look", {"strokes": [[[True, 1]]]}),
    ("/look", {"strokes": [[[1, None]]]}),
    ("/look", {"strokes": [[[1e9, 0]]]}),
    ("/look", {"strokes": [[[10**400, 0]]]}),
    ("/look", {"strokes": [[{}]]}),
    ("/look", {"strokes": [[[0, 0]] * 4001]}),
    ("/look", {"strokes": [[]] * 4001}),
    ("/neuron", GOOD["/neuron"] | {"image": BLANK[:-4]}),
    ("/neuron", GOOD["/neuron"] | {"image": "é" * 1048}),
    ("/neuron", GOOD["/neuron"] | {"image": [0] * 784}),
    ("/neuron", GOOD["/neuron"] | {"layer": 9}),
    ("/neuron", GOOD["/neuron"] | {"layer": -1}),
    ("/neuron", GOOD["/neuron"] | {"layer": 2}),  # ReLU: no overlay
    ("/neuron", GOOD["/neuron"] | {"map": 20}),
    ("/neuron", GOOD["/neuron"] | {"row": 24}),
    ("/neuron", GOOD["/neuron"] | {"column": 1.0}),
    ("/neuron", GOOD["/neuron"] | {"column": True}),
    ("/pull", {"image": BLANK}),
    ("/pull", {"image": BLANK, "class": 10}),
    ("/pull", {"image": BLANK, "class": "3"}),
]


def refused(response, status):
    assert response.status_code == status, response.get_data(as_text=True)
    answer = response.get_json()
    assert list(answer) == ["error"] and answer["error"]
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
    return answer["error"]


@pytest.mark.parametrize("path", GOOD)
def test_good_questions_are_answered(client, path):
    response = client.post(path, json=GOOD[path])
    assert response.status_code == 200 and "error" not in response.get_json()


@pytest.mark.parametrize(("path", "asked"), BAD)
def test_what_makes_no_sense_is_refused(client, path, asked):
    refused(client.post(path, data=json.dumps(asked), content_type="application/json"), 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[]", b"3", b"null", b'{"strokes": [[[NaN, 0]]]}', b'{"strokes": [[[Infinity, 0]]]}',
     b'{"strokes": [[[1e999, 0]]]}', b'{"strokes": ' + 30_000 * b"[", b'{"strokes": [[[' + 5_000 * b"9" + b", 0]]]}"],
)  # fmt: skip
def test_what_is_not_json_is_refused(client, body):
    refused(client.post("/look", data=body, content_type="application/json"), 400)


@examples(100)
@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=300))
def test_no_body_makes_it_stumble(app, path, body):
    assert 400 <= app.test_client().post(path, data=body, content_type="application/json").status_code < 500


JUNK = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@examples(100)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_no_value_makes_it_stumble(app, path, data):
    name = data.draw(st.sampled_from(sorted(GOOD[path])))
    body = json.dumps(GOOD[path] | {name: data.draw(JUNK)})
    assert app.test_client().post(path, data=body, content_type="application/json").status_code in (200, 400)


def test_bodies_are_bounded(client):
    body = json.dumps(GOOD["/look"]).encode()
    room = requests.MAX_BYTES - len(body)
    assert client.post("/look", data=body + room * b" ", content_type="application/json").status_code == 200
    refused(client.post("/look", data=body + (room + 1) * b" ", content_type="application/json"), 413)


def test_other_names_for_this_computer_are_refused(client):
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "0.0.0.0:8000", "localhost.evil", ""):
        refused(client.get("/", headers={"Host": host}), 403)
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000"):
        assert client.get("/favicon.ico", headers={"Host": host}).status_code == 204


def test_other_pages_cannot_ask(client):
    headers = {"Host": "localhost:8000"}
    good = GOOD["/look"]
    assert client.post("/look", json=good, headers=headers | {"Origin": "http://localhost:8000"}).status_code == 200
    for origin in ("http://evil.example", "http://localhost:8001", "https://localhost:8000", "null"):
        refused(client.post("/look", json=good, headers=headers | {"Origin": origin}), 403)
    refused(client.post("/look", data=json.dumps(good), content_type="text/plain"), 415)


def test_methods_and_places_that_are_not_there(client):
    refused(client.get("/look"), 405)
    refused(client.put("/look", json={}), 405)
    refused(client.post("/", json={}), 405)
    refused(client.get("/nothing"), 404)
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/server.py", "/mnist.npz"):
        refused(client.get(path), 404)


@pytest.fixture(scope="module")
def address(network):
    """Where a server listens."""
    with server.bind(0) as listening:
        serving = server.make_server(network, listening)
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_address
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (b'GET "/\\ " HTTP/1.1\r\n\r\n', 400, "Bad request syntax"),
        (b"GET /" + b"a" * 65_532, 414, "URI Too Long"),  # as much as is read of a line
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "Too many headers"),
    ],
    ids=["syntax", "path", "headers"],
)
def test_what_is_no_http_is_refused_like_the_rest(sent, status, error, address, capfd):
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(sent)
        head, _, body = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"Content-Type: application/json" in head
    assert b"nosniff" in head and b"Python" not in head
    assert error in json.loads(body)["error"]
    assert capfd.readouterr() == ("", "")


def test_rates_are_bounded(network):
    now = [0.0]
    client = server.make_app(network, requests.TokenBucket(2.0, 3.0, clock=lambda: now[0])).test_client()
    statuses = [client.get("/favicon.ico").status_code for _ in range(5)]
    assert statuses == [204, 204, 204, 429, 429]
    now[0] = 0.5
    assert client.get("/favicon.ico").status_code == 204
    response = client.post("/look", json=GOOD["/look"])
    assert response.headers["Retry-After"] == "1"
    refused(response, 429)
    now[0] = 1000.0
    assert [client.get("/favicon.ico").status_code for _ in range(4)] == [204, 204, 204, 429]


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/page.css", "/favicon.ico"])
def test_every_answer_is_headed(client, path):
    with client.get(path) as response:
        assert response.status_code in (200, 204)
        headers = response.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_a_fault_of_the_server_says_nothing_about_its_inside(network, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(introspect, "look", broken)
    app = server.make_app(network, requests.TokenBucket(1e9, 1e9))
    assert "secret" not in refused(app.test_client().post("/look", json=GOOD["/look"]), 500)


def test_networks_for_other_images_are_refused(tmp_path):
    for shape, classes in (((1, 8, 8), 10), ((3, 28, 28), 10), ((1, 28, 28), 26)):
        path = tmp_path / "other.npz"
        tg.checkpoint.save(models.build("nielsen", shape, classes, rng=np.random.default_rng(0)), path)
        with pytest.raises(ValueError, match="the page needs"):
            server.load(path)


def test_the_shipped_weights_are_small_and_say_where_they_come_from():
    assert server.shipped_weights().stat().st_size < 400_000
    assert "LeCun" in server.shipped_weights().with_suffix(".md").read_text()


# The command ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_it_quietly_and_only_this_computer_reaches_it():
    command = [sys.executable, "-m", "tinygrad_cnn", "demo", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert b"Draw a digit" in answer.read()
                assert "Python" not in str(answer.headers)
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
