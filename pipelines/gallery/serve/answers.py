"""What each address after the token answers. No address reaches the file system: names are looked up in tables.

""                       the page
gallery.js, explore.css  scripts and styles
facts                    JSON: what the filters offer
images?label=dog         JSON: a page of images (choice.py lists the parameters)
picture/small/ID         a picture; picture/large/ID a larger one
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from engine.errors import ConfigError, EngineError
from pipelines.gallery.script import gallery_script, gallery_style
from pipelines.gallery.serve.choice import page_of
from pipelines.gallery.serve.current import Current
from pipelines.gallery.serve.pictures import SIDES
from pipelines.gallery.serve.replies import Reply, as_json, refused

_ASSETS = Path(__file__).parent / "assets"
_OWN = {
    "": ("explore.html", "text/html; charset=utf-8"),
    "explore.js": ("explore.js", "text/javascript; charset=utf-8"),
    "explore.css": ("explore.css", "text/css; charset=utf-8"),
}


class Answers:
    def __init__(self, current: Current) -> None:
        self._current = current
        self._going: list[object] = []  # one item for each request that is being answered
        self._files = {name: (kind, (_ASSETS / file).read_bytes()) for name, (file, kind) in _OWN.items()}
        self._files["gallery.js"] = ("text/javascript; charset=utf-8", gallery_script().encode())
        self._files["gallery.css"] = ("text/css; charset=utf-8", gallery_style().encode())

    def answer(self, path: list[str], given: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The reply. An error becomes one sentence, and the server goes on."""
        request = object()
        self._going.append(request)
        try:
            return self._answer(path, given, headers)
        except KeyboardInterrupt:  # DuckDB's answer to `stop`
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, "The server ends.")
        except ConfigError as error:
            return refused(HTTPStatus.BAD_REQUEST, str(error))
        except EngineError as error:
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001  a fault in one request must not end the others
            sentence = f"A fault of the engine: {type(error).__name__}: {error}: please report it."
            return refused(HTTPStatus.INTERNAL_SERVER_ERROR, sentence)
        finally:
            self._going.remove(request)

    def stop(self, seconds: float = 10.0) -> bool:
        """Interrupts queries until no request is being answered. Returns whether that took less than `seconds`."""
        end = time.monotonic() + seconds
        while self._going and time.monotonic() < end:
            self._current.snapshot.interrupt()
            time.sleep(0.02)
        return not self._going

    def _answer(self, path: list[str], given: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if path == ["facts"]:
            return as_json(self._current.refresh().facts)
        if path == ["images"]:
            return as_json(self._current.snapshot.page(page_of(given)))
        if len(path) == 3 and path[0] == "picture" and path[1] in SIDES:
            return self._picture(path[1], path[2], headers.get("if-none-match", ""))
        if len(path) == 1 and path[0] in self._files:
            kind, body = self._files[path[0]]
            return Reply(HTTPStatus.OK, kind, body)
        return refused(HTTPStatus.NOT_FOUND, "There is nothing at this address.")

    def _picture(self, size: str, image_id: str, known: str) -> Reply:
        picture = self._current.snapshot.picture(size, image_id)
        if picture is None:
            return refused(HTTPStatus.NOT_FOUND, "This data set has no image with this id.")
        if picture.unreadable:
            return Reply(HTTPStatus.OK, picture.kind, picture.data)
        tag = f'"{size}-{image_id}"'
        if known == tag:
            return Reply(HTTPStatus.NOT_MODIFIED, picture.kind, b"", {"ETag": tag})
        return Reply(HTTPStatus.OK, picture.kind, picture.data, {"ETag": tag})
