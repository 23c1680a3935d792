from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import web
from engine.errors import ImageError
from engine.images import image_id
from engine.storage import Storage, read_image, read_source
from engine.web import fetch, is_web
from tests.written_sources import web_host


@contextmanager
def rude_host(answer: bytes) -> Iterator[str]:
    """Says this to whoever connects, hangs up on those it has something to say to, and is silent to the others."""
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
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SILENCE_S", 0.2)
    monkeypatch.setattr(web, "PAUSE_S", 0.01)
    monkeypatch.setattr(web, "DEADLINE_S", 2.0)


def test_bytes_whole_from_the_start_and_from_the_middle() -> None:
    with web_host({"/a.jpg": b"0123456789", "/empty": b"", "/%C3%A9%20b.jpg": b"e"}) as (host, _):
        assert fetch(f"{host}/a.jpg") == read_source(f"{host}/a.jpg") == b"0123456789"
        assert fetch(f"{host}/a.jpg", 0, 4) == read_source(f"{host}/a.jpg", at_most=4) == b"0123"
        assert fetch(f"{host}/a.jpg", 3, 4) == b"3456"
        assert fetch(f"{host}/a.jpg", 7) == b"789"
        assert fetch(f"{host}/empty", 0, 9) == b""
        assert fetch(f"{host}/é b.jpg") == b"e"
        assert read_source(f"tar://x.jpg::{host}/a.jpg", 2, 3) == b"234"


def test_what_is_not_there_is_no_such_file() -> None:
    with web_host({}) as (host, asked), pytest.raises(FileNotFoundError):
        fetch(f"{host}/gone.jpg")
    assert asked == ["/gone.jpg"]


@pytest.mark.parametrize(("code", "times"), [(403, 1), (410, 1), (451, 1), (429, 3), (500, 3), (503, 3)])
def test_what_a_host_refuses_is_that_images_failure(code: int, times: int) -> None:
    with web_host({"/a.jpg": code}) as (host, asked), pytest.raises(ImageError, match=f"its host says {code}") as error:
        read_source(f"{host}/a.jpg")
    assert (error.value.reason, len(asked)) == ("unreachable", times)


def test_a_host_that_recovers_is_asked_again() -> None:
    with web_host({"/a.jpg": [503, 500, b"there"]}) as (host, asked):
        assert fetch(f"{host}/a.jpg") == b"there"
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "does not answer in time"),
        (b"this is no HTTP\r\n\r\n", "does not give it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "broke off"),
    ],
)
def test_a_host_that_hangs_or_breaks_off_is_left_soon(answer: bytes, told: str) -> None:
    began = time.monotonic()
    with rude_host(answer) as url, pytest.raises(ImageError, match=told) as error:
        fetch(url)
    assert error.value.reason == "unreachable"
    assert time.monotonic() - began < 5


def test_names_without_an_address_closed_ports_and_nonsense_are_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for url in ("http://no-such-host.invalid/a.jpg", f"http://127.0.0.1:{closed}/a.jpg", "http:///a.jpg", "http://[x/"):
        with pytest.raises(ImageError) as error:
            read_source(url)
        assert error.value.reason == "unreachable"


def test_an_image_whose_host_is_gone_is_read_from_another_of_its_sources(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    name, storage = image_id(b"a photo"), Storage(str(tmp_path))
    with web_host({"/a.jpg": 410}) as (host, _):
        place = (f"{host}/a.jpg", 0, -1)
        assert read_image(storage, name, place, lambda: [place[0], str(tmp_path / "a.jpg")]) == b"a photo"
        with pytest.raises(ImageError, match="its host does not give it") as error:
            read_image(storage, name, place, list)
    assert error.value.reason == "unreachable"


def test_what_lies_on_a_host_of_the_web() -> None:
    assert is_web("https://host/a.jpg")
    assert is_web("tar://a.jpg::http://host/x.tar")
    assert not is_web("s3://bucket/http://x")
    assert not is_web("/photos/a.jpg")
    assert not is_web("/photos/a::http://b.jpg")
    assert is_web("HTTP://[::1]:80/a.jpg")
    assert is_web("tar://a.jpg::https://[::1]/x.tar")
