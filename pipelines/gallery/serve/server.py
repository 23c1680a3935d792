"""The HTTP server of `engine explore`. It listens on 127.0.0.1 only and answers GET and HEAD.

Every URL starts with a secret token, so that other users of the machine and other sites in the browser cannot read
anything. The header Host must name this machine: a site whose name is made to point to 127.0.0.1 (DNS rebinding) sends
its own name.
"""

from __future__ import annotations

import errno
import hmac
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from engine.errors import ConfigError
from pipelines.gallery.serve.replies import HEADERS, Reply, refused

ADDRESS = "127.0.0.1"
_HOSTS = ("127.0.0.1", "localhost")
_CONNECTIONS = 64  # at the same time; a browser opens six
_IDLE = 30.0  # seconds after which a connection without a request is closed
_FIELDS = 20  # parameters of a URL

# (path after the token, parameters, headers)
Answer = Callable[[list[str], dict[str, str], dict[str, str]], Reply]


def _not_ready(path: list[str], given: dict[str, str], headers: dict[str, str]) -> Reply:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "The data set is still being read: try again.")


class GalleryServer(ThreadingHTTPServer):
    """`answer` makes the replies to requests that have the token.

    It listens from the start, so a port in use is noticed early. Raises ConfigError if the port cannot be used.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0, answer: Answer = _not_ready) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError(f"The port is {port}: give 1 to 65535, or none to get a free one.")
        self.answer = answer
        self.token = secrets.token_urlsafe(32)
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            reason = (
                "is in use by another program"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror})"
            )
            raise ConfigError(f"Port {port} {reason}: give another --port, or none to get a free one.") from None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_address[1]}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: the client closed the connection, or it was idle for too long."""


class Handler(BaseHTTPRequestHandler):
    server: GalleryServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # replies to HTTP/0.9, the default, would have no headers
    timeout = _IDLE

    def version_string(self) -> str:
        return "engine"

    def do_GET(self) -> None:
        self._send(self._reply())

    def do_HEAD(self) -> None:
        self._send(self._reply())

    def _reply(self) -> Reply:
        if not self._is_for_this_machine():
            return refused(HTTPStatus.FORBIDDEN, "The header Host does not name this machine.")
        path, _, query = self.path.partition("?")
        token, *rest = path.removeprefix("/").split("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return refused(HTTPStatus.FORBIDDEN, "The token in the address is missing or wrong.")
        if not rest:
            return refused(HTTPStatus.PERMANENT_REDIRECT, "The address ends with '/'.", Location=f"/{token}/")
        try:
            given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_FIELDS))
        except ValueError:
            return refused(HTTPStatus.BAD_REQUEST, f"The address has more than {_FIELDS} parameters.")
        return self.server.answer(rest, given, {name.lower(): value for name, value in self.headers.items()})

    def _is_for_this_machine(self) -> bool:
        """Whether the one header Host names this machine. Any port: it may be forwarded from another machine."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1:
            return False
        name, colon, port = hosts[0].strip().lower().rpartition(":")
        return (name in _HOSTS and port.isdigit()) if colon else port in _HOSTS

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**HEADERS, **reply.headers}.items():
            self.send_header(name, value)
        if reply.status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection or reply.status >= HTTPStatus.BAD_REQUEST:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and reply.status is not HTTPStatus.NOT_MODIFIED:
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by http.server for what is no HTTP request, and for methods without a function do_..."""
        self.close_connection = True
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered.", Allow="GET, HEAD"))
        else:
            self._send(refused(HTTPStatus(code), f"The request cannot be read: {message or HTTPStatus(code).phrase}."))

    def log_message(self, *args: Any) -> None:
        """Prints nothing: the address of a request has the token."""
