"""HTTP connections with a deadline for the whole request.

A socket's own time-out limits only the wait for the next byte. The deadline here also holds if a name does not resolve,
or if a host has many addresses, is slow, or redirects.
"""

from __future__ import annotations

import functools
import http.client
import io
import queue
import socket
import ssl
import threading
import time
import urllib.request
from typing import Any


class Clock:
    """Limits for downloading one image.

    `end`: the deadline, in `time.monotonic`. `silence`: longest wait for a byte, seconds.
    """

    def __init__(self, end: float, silence: float) -> None:
        self.end, self.silence = end, silence

    def left(self) -> float:
        """The seconds that the next wait may take. Raises TimeoutError after the deadline."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self.silence)


def opener(end: float, silence: float) -> urllib.request.OpenerDirector:
    """An opener for http and https only. It refuses a redirect to a file or to another scheme."""
    director = urllib.request.OpenerDirector()
    clock = Clock(end, silence)
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(clock),
        _Https(clock),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director


class _Http(urllib.request.HTTPHandler):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, self._clock), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, clock: Clock) -> None:
        super().__init__(context=_context())
        self._clock = clock

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind = functools.partial(_connection, http.client.HTTPSConnection, self._clock, context=_context())
        return self.do_open(kind, req)


@functools.cache
def _context() -> ssl.SSLContext:
    """The TLS settings.

    They are made once, because reading the certificates takes longer than downloading most images.
    """
    return ssl.create_default_context()


def _connection(kind: type[http.client.HTTPConnection], clock: Clock, host: str, **options: Any) -> Any:
    connection: Any = kind(host, **options)
    connection._create_connection = functools.partial(_connected, clock)
    connection.response_class = functools.partial(_response, clock)
    return connection


def _response(clock: Clock, sock: socket.socket, *arguments: Any, **options: Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Timed(sock, clock), *arguments, **options)  # type: ignore[arg-type]


class _Timed:
    """A socket with the methods that HTTPResponse uses. It reads through `_Raw`."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock, self._clock = sock, clock

    def makefile(self, _: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._sock, self._clock))


class _Raw(io.RawIOBase):
    """A socket's bytes. Before each read, the time-out is set from the clock."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until it is closed
        self._sock, self._clock = sock, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._clock.left())
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _connected(clock: Clock, address: tuple[str, int], *_: Any) -> socket.socket:
    """Connect to the first of the host's addresses that accepts. Returns the socket."""
    failure: OSError | None = None
    for family, kind, protocol, _name, target in _addresses(clock, *address):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(clock.left())
            sock.connect(target)
            sock.settimeout(clock.left())  # for the whole TLS handshake
            return sock
        except OSError as error:
            failure = error
            sock.close()
    raise failure or OSError("the name has no address")


def _addresses(clock: Clock, host: str, port: int) -> list[Any]:
    """The addresses of a host. They are resolved in a thread, because the resolver has no time-out.

    After the deadline the thread is abandoned.
    """
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found.put(error)

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=clock.left())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer
