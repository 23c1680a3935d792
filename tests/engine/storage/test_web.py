from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.errors import ImageError
from engine.storage import web
from engine.storage.open_uri import read_uri
from engine.storage.web import fetch, is_web
from tests.written_sources import web_host


@contextmanager
def failing_host(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes and closes the connection; with no bytes it stays silent."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            client.recv(4096)
            client.sendall(answer)
            held.append(client) if not answer else client.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SILENCE_S", 0.2)
    monkeypatch.setattr(web, "PAUSE_S", 0.01)
    monkeypatch.setattr(web, "DEADLINE_S", 2.0)


def test_a_whole_file_its_start_and_a_range_are_read() -> None:
    with web_host({"/a.jpg": b"0123456789", "/empty": b"", "/%C3%A9%20b.jpg": b"e"}) as (host, _):
        assert fetch(f"{host}/a.jpg") == read_uri(f"{host}/a.jpg") == b"0123456789"
        assert fetch(f"{host}/a.jpg", 0, 4) == read_uri(f"{host}/a.jpg", at_most=4) == b"0123"
        assert fetch(f"{host}/a.jpg", 3, 4) == b"3456"
        assert fetch(f"{host}/a.jpg", 7) == b"789"
        assert fetch(f"{host}/empty", 0, 9) == b""
        assert fetch(f"{host}/é b.jpg") == b"e"
        assert read_uri(f"tar://x.jpg::{host}/a.jpg", 2, 3) == b"234"


def test_404_is_file_not_found() -> None:
    with web_host({}) as (host, requested), pytest.raises(FileNotFoundError):
        fetch(f"{host}/gone.jpg")
    assert requested == ["/gone.jpg"]


@pytest.mark.parametrize(("code", "times"), [(403, 1), (410, 1), (451, 1), (429, 3), (500, 3), (503, 3)])
def test_a_status_of_failure_fails_that_image(code: int, times: int) -> None:
    with (
        web_host({"/a.jpg": code}) as (host, requested),
        pytest.raises(ImageError, match=f"host answers {code}") as error,
    ):
        read_uri(f"{host}/a.jpg")
    assert (error.value.reason, len(requested)) == ("unreachable", times)


def test_a_request_is_retried_until_the_host_recovers() -> None:
    with web_host({"/a.jpg": [503, 500, b"there"]}) as (host, requested):
        assert fetch(f"{host}/a.jpg") == b"there"
    assert len(requested) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "does not answer in time"),
        (b"this is no HTTP\r\n\r\n", "does not send it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "broke off"),
    ],
)
def test_a_host_that_hangs_or_breaks_off_is_given_up_soon(answer: bytes, message: str) -> None:
    began = time.monotonic()
    with failing_host(answer) as url, pytest.raises(ImageError, match=message) as error:
        fetch(url)
    assert error.value.reason == "unreachable"
    assert time.monotonic() - began < 5


def test_names_without_an_address_closed_ports_and_nonsense_are_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for url in ("http://no-such-host.invalid/a.jpg", f"http://127.0.0.1:{closed}/a.jpg", "http:///a.jpg", "http://[x/"):
        with pytest.raises(ImageError) as error:
            read_uri(url)
        assert error.value.reason == "unreachable"


def test_uris_on_the_web_are_recognised() -> None:
    assert is_web("https://host/a.jpg")
    assert is_web("tar://a.jpg::http://host/x.tar")
    assert not is_web("s3://bucket/http://x")
    assert not is_web("/photos/a.jpg")
    assert not is_web("/photos/a::http://b.jpg")
    assert is_web("HTTP://[::1]:80/a.jpg")
    assert is_web("tar://a.jpg::https://[::1]/x.tar")


# --- hosts that drip, turn away or answer otherwise -------------------------------------------------


@contextmanager
def dripping_host(start: bytes, drop: bytes, pause: float = 0.02) -> Iterator[str]:
    """A server that sends `start` at once and then `drop` for ever, once every `pause` seconds."""
    server = socket.create_server(("127.0.0.1", 0))

    def drip(client: socket.socket) -> None:
        with client:
            try:
                client.recv(4096)
                client.sendall(start)
                while True:
                    time.sleep(pause)
                    client.sendall(drop)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(client,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "endless", "chunks", "one header", "headers", "status"],
)
def test_the_deadline_holds_when_bytes_come_slowly(monkeypatch: pytest.MonkeyPatch, start: bytes, drop: bytes) -> None:
    monkeypatch.setattr(web, "DEADLINE_S", 0.5)
    began = time.monotonic()
    with dripping_host(start, drop) as url, pytest.raises(ImageError, match="does not answer in time") as error:
        fetch(url)
    assert error.value.reason == "unreachable"
    assert time.monotonic() - began < 1.5


def test_a_slow_host_within_the_deadline_is_read() -> None:
    with dripping_host(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", b"x") as url:
        assert fetch(url) == b"x" * 20


def test_an_endless_body_is_read_up_to_the_limit() -> None:
    with dripping_host(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000, 0.001) as url:
        assert fetch(url, 0, 100_000) == b"x" * 100_000


def test_a_name_that_takes_for_ever_to_resolve_keeps_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "DEADLINE_S", 0.3)
    monkeypatch.setattr("engine.storage.web_connection.socket.getaddrinfo", lambda *_: time.sleep(2) or [])
    began = time.monotonic()
    with pytest.raises(ImageError, match="does not answer in time"):
        fetch("http://slow-name.invalid/a.jpg")
    assert time.monotonic() - began < 1


def answering(*head: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["HTTP/1.1 " + head[0], *head[1:], "", ""]).encode() + body


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (answering("302 Found", "Location: file:///etc/hostname"), "file:///etc/hostname' is not allowed"),
        (answering("302 Found", "Location: ftp://127.0.0.1/x"), "unknown url type: ftp"),
        (answering("302 Found", "Location: /a.jpg"), "infinite loop"),
        (answering("204 No Content"), "status 204 No Content"),
        (answering("206 Partial Content", "Content-Length: 1", body=b"x"), "status 206"),
        (answering("304 Not Modified"), "its host answers 304"),
        (answering("300 Choices"), "its host answers 300"),
        (answering("200 OK", "Content-Encoding: br", body=b"x"), "it is compressed as br, which was not asked for"),
        (answering("200 OK", "Content-Encoding: gzip", body=b"no gzip"), "does not send it"),
        (answering("200 OK", "Content-Encoding: gzip", body=gzip.compress(bytes(9999))[:-20]), "broke off"),
        (answering("200 OK", "Transfer-Encoding: chunked", body=b"zz\r\nx"), "does not send it"),
        (answering("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nab"), "broke off"),
        (answering("OK"), "does not send it"),
        (answering("429 Slow", "Retry-After: 60"), "429 Slow, retry after 60 s"),
        (answering("503 Busy", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"), "503 Busy, retry after"),
    ],
)
def test_every_failure_is_one_short_sentence(answer: bytes, message: str) -> None:
    with failing_host(answer) as url, pytest.raises(ImageError) as error:
        fetch(url)
    assert error.value.reason == "unreachable"
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_retry_after_is_respected() -> None:
    answers = iter([answering("429 Slow", "Retry-After: 1"), answering("200 OK", "Content-Length: 1", body=b"x")])
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(answer)
            client.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    began = time.monotonic()
    assert fetch(f"http://127.0.0.1:{server.getsockname()[1]}/") == b"x"
    assert time.monotonic() - began >= 1
    server.close()


def test_a_compressed_body_is_decompressed_up_to_the_limit() -> None:
    packed = gzip.compress(bytes(10**6))
    with failing_host(answering("200 OK", "Content-Encoding: gzip", body=packed)) as url:
        assert fetch(url) == bytes(10**6)
        assert fetch(url, 0, 10) == bytes(10)


def test_redirects_are_followed_to_http_and_https_only() -> None:
    with web_host({"/b.jpg": b"there"}) as (host, _), failing_host(_moved(host)) as url:
        assert fetch(url) == b"there"


def _moved(host: str) -> bytes:
    return answering("301 Moved", f"Location: {host}/b.jpg")


def test_urls_are_quoted_before_they_are_sent() -> None:
    answers = {"/100%25/%C3%A9%20b.jpg?q=a%20b": b"x"}
    with web_host(answers) as (host, _):
        assert fetch(f"{host}/100%/é b.jpg?q=a%20b#part") == b"x"
    with pytest.raises(ImageError, match="no address"):
        fetch("http://exämple.invalid/a.jpg")


def test_a_host_may_be_an_ipv6_address() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")

    def serve() -> None:
        client, _ = server.accept()
        client.recv(4096)
        client.sendall(answering("200 OK", "Content-Length: 1", body=b"6"))
        client.close()

    threading.Thread(target=serve, daemon=True).start()
    assert read_uri(f"http://[::1]:{server.getsockname()[1]}/a.jpg") == b"6"
    server.close()
