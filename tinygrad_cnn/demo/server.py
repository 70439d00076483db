"""The server of the page, for this computer only. Flask is imported when an app is made."""

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
from . import introspect, requests, strokes
from .requests import BadRequest, TokenBucket

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"
_HOST_NAMES = (HOST, "localhost")  # another name is that of a page that was rebound to this address
_REQUESTS_PER_SECOND, _MAX_BURST_REQUESTS = 80.0, 160.0  # several times as many as the page sends
_TIMEOUT_SECONDS = 10.0  # for a request to arrive
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
    """Return the file of the weights that come with the package: see ``mnist.md``."""
    return Path(__file__).parent.parent / "page" / "mnist.npz"


def load(path: PathLike) -> Network:
    """Return the network of a weights file. ValueError unless it has ten classes and takes 28x28 images."""
    network = checkpoint.load(path)
    shape, classes = (1, strokes.SIDE, strokes.SIDE), 10
    if not isinstance(network, Network) or (network.image_shape, network.num_classes) != (shape, classes):
        raise ValueError(f"{path}: the page needs a named network for {shape} images of {classes} classes")
    return network


def bind(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1, on any free port for 0. OSError when there is none."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(f"port {port}: {error.strerror}; choose another one, or 0 for any that is free") from None


def make_server(network: Network, listening: socket.socket) -> "BaseWSGIServer":
    """Return a server of the page on a bound socket, a thread for each request; call its ``serve_forever``."""
    app = make_app(network)
    serving = require("werkzeug.serving", "demo")

    class Handler(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]
        timeout = _TIMEOUT_SECONDS
        server_version, sys_version = "tinygrad-cnn", ""

        def log(self, type: str, message: str, *args: object) -> None:
            """Log nothing: a drawing is many requests, and browsers open connections that they do not use."""

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            """Answer a request that is no HTTP, and never reaches the app, as the app answers errors."""
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
    """Return the page and its three requests as a Flask app; every error is JSON ``{"error": ...}``."""
    flask = require("flask", "demo")
    tokens = bucket or TokenBucket(_REQUESTS_PER_SECOND, _MAX_BURST_REQUESTS)
    introspection = _Introspection(network)
    app: Flask = flask.Flask(__name__, static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = requests.MAX_BYTES

    def json_view(method: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[], "Response"]:
        def view() -> "Response":
            response: Response = flask.jsonify(method(requests.fields(flask.request.get_data())))
            return response

        return view

    def check_request() -> None:
        request = flask.request
        host = request.headers.get("Host", "")
        if host.partition(":")[0] not in _HOST_NAMES:
            flask.abort(403, f"this page is for {HOST} alone")
        if not tokens.take():
            flask.abort(429, "too many requests; slow down")
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            flask.abort(403, "another page may not ask")
        if request.method == "POST" and request.mimetype != "application/json":
            flask.abort(415, "the body must be application/json")

    def add_headers(response: "Response") -> "Response":
        response.headers.update(_HEADERS)
        if response.status_code == 429:
            response.headers["Retry-After"] = "1"
        return response

    def http_error(error: "HTTPException") -> tuple["Response", int]:
        return flask.jsonify(error=error.description), error.code or 500

    def bad_request(error: BadRequest) -> tuple["Response", int]:
        return flask.jsonify(error=str(error)), 400

    app.before_request(check_request)
    app.after_request(add_headers)
    app.register_error_handler(require("werkzeug.exceptions", "demo").HTTPException, http_error)
    app.register_error_handler(BadRequest, bad_request)
    app.add_url_rule("/", "page", lambda: app.send_static_file("index.html"))
    app.add_url_rule("/favicon.ico", "icon", lambda: ("", 204))
    for method in (introspection.look, introspection.neuron, introspection.pull):
        app.add_url_rule(f"/{method.__name__}", method.__name__, json_view(method), methods=["POST"])
    return app


class _Introspection:
    """Answers requests about one network, one at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """``{strokes}``: the image they make, every layer's maps, and the class probabilities."""
        image = strokes.normalized(requests.strokes(request))
        with self._lock:
            return introspect.look(self._network, image)

    def neuron(self, request: dict[str, Any]) -> dict[str, Any]:
        """``{image, layer, map, row, column}``: the origin of that neuron."""
        image = requests.image(request)
        with self._lock:
            sequence, _ = introspect.steps(self._network, image)
        step = sequence[requests.index(request, "layer", len(sequence))]
        sizes = zip(("map", "row", "column"), step.maps.shape, strict=True)
        place = [requests.index(request, name, count) for name, count in sizes]
        try:
            return introspect.neuron_json(introspect.neuron(step, *place))
        except ValueError as error:
            raise BadRequest(str(error)) from None

    def pull(self, request: dict[str, Any]) -> dict[str, Any]:
        """``{image, class}``: the gradient of the class's score with respect to the pixels."""
        image, label = requests.image(request), requests.index(request, "class", self._network.num_classes)
        with self._lock:
            return introspect.maps_json(introspect.pull(self._network, image, label))
