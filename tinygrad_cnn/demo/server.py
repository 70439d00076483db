"""The server: this computer only, small questions, plain answers. Flask is imported when an app is made."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import require
from ..models import Network
from ..storage.atomic import PathLike
from ..training import checkpoint
from . import anatomy, asking, strokes
from .asking import AskedWrongly, TokenBucket

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")  # what a browser on this computer may call it; others are pages that rebound their name
_RATE, _BURST = 80.0, 160.0  # requests a second, and at once: several times what the page sends
_PATIENCE = 10.0  # seconds for a request to arrive
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def shipped_weights() -> Path:
    """The file of the weights that come with the package: see ``mnist.md``."""
    return Path(__file__).with_name("mnist.npz")


def load(path: PathLike) -> Network:
    """The network of a weights file. Raises ValueError unless it tells ten classes in 28x28 images apart."""
    network = checkpoint.load(path)
    shape, classes = (1, strokes.SIDE, strokes.SIDE), 10
    if not isinstance(network, Network) or (network.image_shape, network.num_classes) != (shape, classes):
        raise ValueError(f"{path}: the page needs a named network for {shape} images of {classes} classes")
    return network


def bind(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1, on any free port for 0. Raises OSError, in a line, when there is none."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(f"port {port}: {error.strerror}; choose another one, or 0 for any that is free") from None


def make_server(network: Network, listening: socket.socket) -> "BaseWSGIServer":
    """A server of the page on a bound socket, a thread for each request; call its ``serve_forever``."""
    app = make_app(network)
    serving = require("werkzeug.serving", "demo")

    class Handler(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]
        timeout = _PATIENCE
        server_version, sys_version = "tinygrad-cnn", ""

        def log(self, type: str, message: str, *args: object) -> None:
            """Say nothing: a drawing is many requests, and browsers open connections that they do not use."""

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            """Refuse what is no HTTP, and never reaches the app, in the app's manner."""
            body = json.dumps({"error": message or self.responses[code][0]}).encode()
            self.send_response(code)
            about_body = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
            for name, value in (_HEADERS | about_body).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server: BaseWSGIServer = serving.make_server(
        HOST, listening.getsockname()[1], app, threaded=True, request_handler=Handler, fd=listening.fileno()
    )
    return server


def make_app(network: Network, bucket: TokenBucket | None = None) -> "Flask":
    """The page and the three questions it asks, as a Flask app; every refusal is JSON ``{"error": ...}``."""
    flask = require("flask", "demo")
    tokens = bucket or TokenBucket(_RATE, _BURST)
    desk = _Desk(network)
    app: Flask = flask.Flask(__name__, static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = asking.MAX_BYTES

    def answering(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[], "Response"]:
        def view() -> "Response":
            response: Response = flask.jsonify(answer(asking.question(flask.request.get_data())))
            return response

        return view

    def gate() -> None:
        request = flask.request
        host = request.headers.get("Host", "")
        if host.partition(":")[0] not in _NAMES:
            flask.abort(403, f"this page is for {HOST} alone")
        if not tokens.take():
            flask.abort(429, "too many requests; slow down")
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            flask.abort(403, "another page may not ask")
        if request.method == "POST" and request.mimetype != "application/json":
            flask.abort(415, "the body must be application/json")

    def headed(response: "Response") -> "Response":
        response.headers.update(_HEADERS)
        if response.status_code == 429:
            response.headers["Retry-After"] = "1"
        return response

    def refused(error: "HTTPException") -> tuple["Response", int]:
        return flask.jsonify(error=error.description), error.code or 500

    def asked_wrongly(error: AskedWrongly) -> tuple["Response", int]:
        return flask.jsonify(error=str(error)), 400

    app.before_request(gate)
    app.after_request(headed)
    app.register_error_handler(require("werkzeug.exceptions", "demo").HTTPException, refused)
    app.register_error_handler(AskedWrongly, asked_wrongly)
    app.add_url_rule("/", "page", lambda: app.send_static_file("index.html"))
    app.add_url_rule("/favicon.ico", "icon", lambda: ("", 204))
    for name, answer in (("look", desk.look), ("neuron", desk.neuron), ("pull", desk.pull)):
        app.add_url_rule(f"/{name}", name, answering(answer), methods=["POST"])
    return app


class _Desk:
    """Answers questions about one network, one at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()

    def look(self, asked: dict[str, Any]) -> dict[str, Any]:
        """``{strokes}``: the image they make, every layer's maps, and each class's share."""
        image = strokes.normalized(asking.strokes(asked))
        with self._lock:
            return anatomy.look(self._network, image)

    def neuron(self, asked: dict[str, Any]) -> dict[str, Any]:
        """``{image, layer, map, row, column}``: what made that neuron."""
        image = asking.image(asked)
        with self._lock:
            found, _ = anatomy.steps(self._network, image)
        step = found[asking.index(asked, "layer", len(found))]
        sizes = zip(("map", "row", "column"), step.maps.shape, strict=True)
        place = [asking.index(asked, name, count) for name, count in sizes]
        try:
            return anatomy.described_neuron(anatomy.neuron(step, *place))
        except ValueError as error:
            raise AskedWrongly(str(error)) from None

    def pull(self, asked: dict[str, Any]) -> dict[str, Any]:
        """``{image, class}``: the gradient of the class's score with respect to the pixels."""
        image, label = asking.image(asked), asking.index(asked, "class", self._network.num_classes)
        with self._lock:
            return anatomy.packed(anatomy.pull(self._network, image, label))
