"""A list of URIs or paths as a source: a text file, one a line, or JSON lines with captions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.schema import as_row
from engine.storage import storage_errors
from pipelines.captions import CUSTOMARY, WEB, Captions
from pipelines.names import Fingerprints, absolute, normalised
from pipelines.sources import Entry

KEYS = ("uri", "url", "path", "file_name")


class UriList:
    """What a text file lists, local or remote: URLs, or paths below `base`, by default the list's folder.

    Blank lines are skipped and a line that repeats is one input. Lines of a .jsonl are objects with `uri`, `url`,
    `path` or `file_name`, and texts under `caption`, `captions` or `text`. `captions_by`: `web` for alt-text, which
    rules judge, or `human`.
    """

    def __init__(self, path: str, base: str = "", captions_by: str = WEB, licence: str = "") -> None:
        self.name, self._fs = normalised(path)
        self.base = normalised(base)[0] if base else self.name.rsplit("/", 1)[0]
        self.said, self.licence = Captions(captions_by), licence
        self.left_out, self.notes = self.said.left_out, list[str]()
        self._json = self.name.lower().endswith((".jsonl", ".ndjson"))

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        versions = Fingerprints()
        for number, line in self._lines():
            said = self._object(line, number) if self._json else {"uri": line}
            location = next((said[key] for key in KEYS if said.get(key)), None)
            if not isinstance(location, str):
                raise ConfigError(f"Line {number} of '{self.name}' has no {', '.join(KEYS[:-1])} or {KEYS[-1]}.")
            uri = absolute(location, self.base)
            labels = self.said.labels(said.get(key) for key in CUSTOMARY)
            # Captions that come later make it a new input.
            texts = [stable_hash([as_row(text) for text in labels.texts])[:8]] if labels else []
            yield Entry(uri, "-".join([versions.of(uri), *texts]), self.licence, labels)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Those that say something, with their number."""
        try:
            with storage_errors(self.name), self._open() as file:
                for number, line in enumerate(file, 1):
                    text = _decoded(line, number, self.name).strip()
                    if text:
                        yield number, text
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ConfigError(f"No file '{self.name}': give a text file with one URI or path a line.") from None

    def _open(self) -> Any:
        return open(self.name, "rb") if self._fs is None else self._fs.open(self._fs._strip_protocol(self.name), "rb")

    def _object(self, line: str, number: int) -> Mapping[str, Any]:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise ConfigError(f"Line {number} of '{self.name}' is no JSON object.")
        return said


def _decoded(line: bytes, number: int, name: str) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"Line {number} of '{name}' is not UTF-8.") from None
