"""What a request must have to be answered, and what every reply has."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.errors import ConfigError
from pipelines.gallery.serve.server import GalleryServer
from tests.pipelines.gallery.serve.conftest import Served

ADDRESSES = ("", "facts", "images", "gallery.js", "picture/small/0")


@pytest.mark.parametrize("path", ["/", "/facts", "/wrong/facts", "//facts", "/wrong/", "*", "/%00/"])
def test_without_the_token_nothing_is_answered(gallery: Served, path: str) -> None:
    got = gallery.request(path)
    assert (got.status, got.json["error"]) == (403, "The token in the address is missing or wrong.")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "x", lambda t: t.swapcase(), lambda t: ""])
def test_a_token_that_is_almost_right_is_wrong(gallery: Served, change: object) -> None:
    assert callable(change)
    assert gallery.request(f"/{change(gallery.server.token)}/facts").status == 403


def test_two_servers_have_different_tokens() -> None:
    with GalleryServer() as first, GalleryServer() as second:
        assert first.token != second.token
        assert len(first.token) >= 32


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "localhost:x"])
def test_a_name_that_points_to_this_machine_is_refused(gallery: Served, host: str) -> None:
    path = f"/{gallery.server.token}/facts"
    got = gallery.request(path, headers={"Host": host.format(port=gallery.port)})
    assert (got.status, got.json["error"]) == (403, "The header Host does not name this machine.")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "localhost:9999"])
def test_the_names_of_this_machine_are_answered(gallery: Served, host: str) -> None:
    """Another port is that of a tunnel from another machine."""
    path = f"/{gallery.server.token}/facts"
    assert gallery.request(path, headers={"Host": host.format(port=gallery.port)}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(gallery: Served, method: str) -> None:
    got = gallery.request(f"/{gallery.server.token}/facts", method)
    assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")
    assert got.json["error"] == "Only GET and HEAD are answered."


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_has_the_headers_of_get_and_no_body(gallery: Served, address: str) -> None:
    path = f"/{gallery.server.token}/{address}"
    head, get = gallery.request(path, "HEAD"), gallery.request(path)
    assert (head.status, head.body) == (get.status, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize("address", [*ADDRESSES, "nothing", "images?limit=x"])
def test_every_reply_has_the_strict_headers(gallery: Served, address: str) -> None:
    for path in (f"/{gallery.server.token}/{address}", "/wrong/"):
        headers = gallery.request(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "set-cookie" not in headers
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "address",
    ["../dataset.json", "%2e%2e/dataset.json", "explore.html", "assets/explore.js", "/etc/passwd", "gallery.js%00",
     "picture/small/..%2f..%2fdataset.json", "picture/../facts", "picture/huge/0", "images/", "facts/x"],
)  # fmt: skip
def test_no_address_is_a_path(gallery: Served, address: str) -> None:
    got = gallery.request(f"/{gallery.server.token}/{address}")
    assert got.status == 404
    assert got.headers["content-type"] == "application/json"


def test_it_listens_on_loopback_only(gallery: Served) -> None:
    assert gallery.server.socket.getsockname()[0] == "127.0.0.1"


def test_what_is_no_http_is_refused_and_the_server_goes_on(gallery: Served) -> None:
    for data in (b"hello\r\n\r\n", b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", gallery.port), timeout=20) as connection:
            connection.sendall(data)
            answer = connection.recv(4096)
        assert b" 40" in answer.partition(b"\r\n")[0] or b" 414 " in answer
        assert b"<" not in answer, "an error is JSON, not a page"
    assert gallery.get("facts").status == 200


def test_a_client_that_leaves_ends_nothing(gallery: Served) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", gallery.port), timeout=20) as connection:
            connection.sendall(f"GET /{gallery.server.token}/gallery.js HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert gallery.get("facts").status == 200


def test_many_requests_at_once_are_answered(gallery: Served) -> None:
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda seed: gallery.get("images", seed=seed % 4).status, range(24)))
    assert found == [200] * 24


def test_a_missing_slash_is_added(gallery: Served) -> None:
    got = gallery.request(f"/{gallery.server.token}")
    assert (got.status, got.headers["location"]) == (308, f"/{gallery.server.token}/")


def test_a_port_in_use_is_one_sentence() -> None:
    with (
        GalleryServer() as first,
        pytest.raises(ConfigError, match="is in use by another program: give another --port"),
    ):
        GalleryServer(first.server_address[1])


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist_is_one_sentence(port: int) -> None:
    with pytest.raises(ConfigError, match=f"The port is {port}: give 1 to 65535"):
        GalleryServer(port)
