"""A misbehaving object store on loopback: moto's S3 server behind a proxy with faults drawn by seed.

The proxy is slow, answers 500 and 503 in bursts, resets connections before or after it forwards a request, and loses
the response of conditional puts that succeeded. `faults` counts what it did.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import logging
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-west-2"}
_HOPS = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


@dataclass(slots=True)
class Faults:
    """Decides what to do with the next request. A burst is a few errors in a row."""

    seed: int
    slow_s: float = 0.03
    share: float = 0.1  # share of requests that start a fault; the response of each conditional put is lost once
    counts: Counter[str] = field(default_factory=Counter)
    _lost: set[str] = field(default_factory=set)
    burst: int = 0  # errors still to answer in the current burst
    _dice: random.Random = field(default_factory=random.Random)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._dice.seed(self.seed)

    def next(self, path: str, *, conditional: bool) -> str:
        """ "", "500", "503", "reset before", "reset after" or "lost put"."""
        with self._lock:
            time.sleep(self._dice.uniform(0, self.slow_s))
            fault = self._draw(path, conditional)
            self.counts[fault or "passed on"] += 1
            return fault

    def _draw(self, path: str, conditional: bool) -> str:
        if self.burst:
            self.burst -= 1
            return self._dice.choice(("500", "503"))
        if conditional and path not in self._lost:
            self._lost.add(path)
            return "lost put"
        if self._dice.random() >= self.share:
            return ""
        fault = self._dice.choice(("burst", "reset before", "reset after"))
        if fault == "burst":
            self.burst = self._dice.randint(1, 3)
            return "503"
        return fault


@contextmanager
def faulty_s3(faults: Faults) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Environment variables for reaching the server through the proxy, and directly. It has the bucket `sets`."""
    import urllib.request

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # otherwise it logs each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    connection = http.client.HTTPConnection(host, port)
    connection.request("PUT", "/sets", headers={"Authorization": "AWS4-HMAC-SHA256 Credential=test/us-east-1/s3"})
    connection.getresponse().read()
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Proxy, host, port, faults))
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        through = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_address[1]}"}
        yield through, KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Forwards requests to the server at `host` and `port`, unless `faults` decides otherwise."""

    protocol_version = "HTTP/1.1"

    def __init__(self, host: str, port: int, faults: Faults, *arguments: Any) -> None:
        self.server_host, self.server_port, self.faults = host, port, faults
        super().__init__(*arguments)  # handles the requests of a connection

    def log_message(self, *_: object) -> None:
        return None

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        conditional = self.command == "PUT" and "If-None-Match" in self.headers
        fault = self.faults.next(self.path, conditional=conditional)
        if fault in ("500", "503"):
            self._answer(int(fault), [], b"<Error><Code>SlowDown</Code></Error>")
        elif fault == "reset before":
            self._reset()
        else:
            connection = http.client.HTTPConnection(self.server_host, self.server_port, timeout=60)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
            kept["Host"] = self.headers["Host"]  # it is part of the signature
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if fault in ("reset after", "lost put"):
                self._reset()
            else:
                self._answer(answer.status, answer.getheaders(), data)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        size = str(len(data))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                size = value
            elif name.lower() not in _HOPS:
                self.send_header(name, value)
        self.send_header("Content-Length", size)
        with contextlib.suppress(ConnectionError):  # the client has closed the connection
            self.end_headers()
            self.wfile.write(data)

    def _reset(self) -> None:
        """Ends the connection with RST instead of an orderly close."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RD)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815 the library's names
