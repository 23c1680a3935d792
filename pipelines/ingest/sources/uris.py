"""A list of URIs or paths as a source: a text file, one a line, or JSON lines with captions.

A line that names no image is an input with its reason, so that one broken line costs nothing but itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from engine.errors import ConfigError, ImageError
from engine.keys import stable_hash
from engine.schema import as_row
from engine.storage.open_uri import shortened
from engine.storage.text_files import encoding_of
from pipelines.ingest.sources.captions import CUSTOMARY, WEB, Captions
from pipelines.ingest.sources.file_uris import NOT_UTF8, resolve_file
from pipelines.ingest.sources.fingerprints import Fingerprints
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.source_path import resolve_source, source_errors

KEYS = ("uri", "url", "path", "file_name")
BAD_START = 100  # lines; a list that begins with more bad ones is another kind of file


class UriList:
    """What a text file lists, local or remote: URLs, or paths below `base`, by default the list's folder.

    Blank lines are skipped and a line that repeats is one input. Lines of a .jsonl are objects with `uri`, `url`,
    `path` or `file_name`, and texts under `caption`, `captions` or `text`. `captions_by`: `web` for alt-text, which
    rules judge, or `human`. Paths may be `file:` URIs, or have Windows' backslashes.
    """

    def __init__(self, path: str, base: str = "", captions_by: str = WEB, licence: str = "") -> None:
        self.name, self._fs = resolve_source(path)
        self.base = resolve_source(base)[0] if base else self.name.rsplit("/", 1)[0]
        self.said, self.licence = Captions(captions_by), licence
        self.left_out, self.notes = self.said.left_out, list[str]()
        self._json = self.name.lower().endswith((".jsonl", ".ndjson"))

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        versions = Fingerprints()
        entries = (self._entry(number, line, versions) for number, line in self._lines())
        start = []
        for entry in islice(entries, BAD_START):
            start.append(entry)
            if not _is_bad(entry):
                break
        if start and _is_bad(start[-1]):
            first = start[0].error
            raise ConfigError(f"{first[0].upper()}{first[1:]}: a list has one URI or path a line, a .jsonl objects.")
        yield from chain(start, entries)

    def _entry(self, number: int, line: bytes | str, versions: Fingerprints) -> Entry:
        try:
            said = self._said(line)
            location = next((said[key] for key in KEYS if said.get(key)), None)
            if not isinstance(location, str):
                raise ImageError("bad_line", f"has no {', '.join(KEYS[:-1])} or {KEYS[-1]}")
        except ImageError as error:
            told = f"line {number} of '{shortened(self.name)}' {error}"
            uri, version = f"{self.name}#{number}", stable_hash(str(line))[:8]
            return Entry(uri, version, self.licence, reason=error.reason, error=told)
        place = resolve_file(location, self.base)
        labels = self.said.labels(said.get(key) for key in CUSTOMARY)
        # Captions that come later make it a new input.
        texts = [stable_hash([as_row(text) for text in labels.texts])[:8]] if labels else []
        version = "" if place.reason else versions.of(place.uri)
        version = "-".join([version, *texts])
        return Entry(place.uri, version, self.licence, labels, reason=place.reason, error=place.error)

    def _said(self, line: bytes | str) -> Mapping[str, Any]:
        """What a line says. ImageError that goes on from 'line 3'."""
        try:
            text = line if isinstance(line, str) else line.decode()
        except UnicodeDecodeError:
            raise ImageError(NOT_UTF8, "is not UTF-8") from None
        if not self._json:
            return {"uri": text}
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise ImageError("bad_line", "is no JSON object")
        return said

    def _lines(self) -> Iterator[tuple[int, bytes | str]]:
        """Those that say something, with their number; as bytes where each line can be decoded by itself."""
        try:
            with source_errors(self.name), self._open() as file:
                encoding = encoding_of(file.peek(64)[:64])
                lines: Iterable[Any] = file
                if not encoding.startswith("utf-8"):
                    lines = io.TextIOWrapper(file, encoding, errors="replace")
                for number, line in enumerate(lines, 1):
                    if number == 1 and encoding == "utf-8-sig":
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    if line := line.strip():
                        yield number, line
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ConfigError(f"No file '{self.name}': give a text file with one URI or path a line.") from None

    def _open(self) -> io.BufferedReader:
        if self._fs is None:
            return open(self.name, "rb")
        file: Any = self._fs.open(self._fs._strip_protocol(self.name), "rb")
        return io.BufferedReader(file)


def _is_bad(entry: Entry) -> bool:
    """Whether the line itself is wrong, and not only what it names."""
    return entry.reason in ("bad_line", NOT_UTF8)
