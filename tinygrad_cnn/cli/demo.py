"""Open a page to draw a digit on: it shows the network's probabilities, feature maps and gradients as you draw.

The page runs in the browser; `tinygrad-cnn page` writes the same as a file. Its server stays on this computer.
"""

import argparse
import threading
import webbrowser
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..page import page_text, shipped_weights
from ._options import Subparsers, number, say
from ._weights import load_network

HOST = "127.0.0.1"
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TIMEOUT_SECONDS = 10  # for a request to arrive


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("demo", help="draw a digit and watch the network read it", description=__doc__)
    parser.add_argument("--weights", metavar="FILE", help="a trained network (default: one that comes along)")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="default: 8000; 0: any that is free")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")


def run(args: argparse.Namespace) -> int:
    network, _ = load_network(args.weights or str(shipped_weights()))
    with make_server(page_text(network), args.port) as server:
        address = f"http://{HOST}:{server.server_port}/"
        print(address, flush=True)
        say("stop with Ctrl-C")
        if not args.no_browser:  # in a thread: some browsers keep their caller waiting
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def make_server(page: str, port: int) -> ThreadingHTTPServer:
    """Return a server of the page on 127.0.0.1, on any free port for 0. OSError when the port is in use."""
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_SECONDS
        server_version, sys_version = "tinygrad-cnn", ""

        def do_GET(self) -> None:
            if self.path != "/":
                return self.send_error(HTTPStatus.NOT_FOUND)
            self.send_response(HTTPStatus.OK)
            for name, value in (_HEADERS | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing: browsers open connections that they do not use."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise OSError(f"port {port}: {error.strerror}; choose another one, or 0 for any that is free") from None


def _port(text: str) -> int:
    """An argparse type: a port number, or 0 for any that is free."""
    value = number(int, text)
    if not 0 <= value < 65_536:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text}")
    return value
