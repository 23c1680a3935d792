"""A server of the gallery on loopback, over the data set of tests/handmade.py."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pipelines.gallery.serve.answers import Answers
from pipelines.gallery.serve.current import Current
from pipelines.gallery.serve.server import GalleryServer
from tests.handmade import handmade


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    server: GalleryServer
    root: Path  # tests/handmade.py wrote here

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def request(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Got:
        """`path`: with the token. `headers`: also replaces the header Host."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Got(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())

    def get(self, path: str = "", **parameters: object) -> Got:
        """`path`: after the token."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.request(f"/{self.server.token}/{path}{query}")

    def names(self, **parameters: object) -> list[str]:
        """The names of the images that fit, without .png, in order."""
        got = self.get("images", **parameters)
        assert got.status == 200, got.body
        return [image["name"].removesuffix(".png") for image in got.json["images"]]


@contextmanager
def served(root: Path, url: str) -> Iterator[Served]:
    with GalleryServer() as server:
        server.answer = Answers(Current(url)).answer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Served(server, root)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="package")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Tests only read it."""
    root = tmp_path_factory.mktemp("gallery")
    with served(root, handmade(root).url) as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serves a data set of its own: serve(judged=False)."""
    open_servers = []

    def start(**options: bool) -> Served:
        context = served(tmp_path, handmade(tmp_path, **options).url)
        open_servers.append(context)
        return context.__enter__()

    yield start
    for context in open_servers:
        context.__exit__(None, None, None)
