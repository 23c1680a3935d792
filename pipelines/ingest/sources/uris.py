"""A list of URIs or paths as a source: a text file with one on each line, or JSON lines with captions.

A line that cannot be read becomes an input with a reason. The other lines are listed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, ClassVar

from engine.errors import ConfigError, ImageError
from engine.keys import stable_hash
from engine.schema import as_row
from engine.storage.open_uri import shortened
from engine.storage.text_files import encoding_of
from pipelines.ingest.sources.captions import CAPTIONS_BY, CUSTOMARY, WEB, Captions
from pipelines.ingest.sources.file_uris import NOT_UTF8, resolve_file
from pipelines.ingest.sources.fingerprints import Fingerprints
from pipelines.ingest.sources.source import LICENCE, Entry
from pipelines.ingest.sources.source_path import resolve_source, source_errors

KEYS = ("uri", "url", "path", "file_name")
BAD_START = 100  # if the first 100 lines are all bad, the file is taken for another kind of file


class UriList:
    """The files that a text file lists, as URLs or as paths relative to `base`. The default is the folder of the list.

    Blank lines are skipped, and repeated lines are one input. Lines of a .jsonl are objects with `uri`, `url`, `path`
    or `file_name`, and captions under `caption`, `captions` or `text`. `captions_by`: `web` for alt-text, which rules
    judge, or `human`. Paths may be `file:` URIs, or have backslashes as on Windows.
    """

    OPTIONS: ClassVar = {
        "path": "a text file with one URI or path on each line, or a .jsonl; here or at any URL that fsspec knows",
        "base": "the folder that relative URIs are relative to",
        "captions_by": CAPTIONS_BY,
        "licence": LICENCE,
    }

    def __init__(self, path: str, base: str = "", captions_by: str = WEB, licence: str = "") -> None:
        self.name, self._fs = resolve_source(path)
        self.base = resolve_source(base)[0] if base else self.name.rsplit("/", 1)[0]
        self.texts, self.licence = Captions(captions_by), licence
        self.left_out, self.notes = self.texts.left_out, list[str]()
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
            raise ConfigError(
                f"{first[0].upper()}{first[1:]}: give a list with one URI or path on each line, or a .jsonl of objects."
            )
        yield from chain(start, entries)

    def _entry(self, number: int, line: bytes | str, versions: Fingerprints) -> Entry:
        try:
            fields = self._parse(line)
            location = next((fields[key] for key in KEYS if fields.get(key)), None)
            if not isinstance(location, str):
                raise ImageError("bad_line", f"has no {', '.join(KEYS[:-1])} or {KEYS[-1]}")
        except ImageError as problem:
            error = f"line {number} of '{shortened(self.name)}' {problem}"
            uri, version = f"{self.name}#{number}", stable_hash(str(line))[:8]
            return Entry(uri, version, self.licence, reason=problem.reason, error=error)
        file = resolve_file(location, self.base)
        labels = self.texts.labels(fields.get(key) for key in CUSTOMARY)
        # A hash of the captions is part of the fingerprint, so that changed captions make a new input.
        captions = [stable_hash([as_row(text) for text in labels.texts])[:8]] if labels else []
        version = "-".join(["" if file.reason else versions.of(file.uri), *captions])
        return Entry(file.uri, version, self.licence, labels, reason=file.reason, error=file.error)

    def _parse(self, line: bytes | str) -> Mapping[str, Any]:
        """The fields of a line.

        Raises ImageError if the line is wrong; its message continues "line 3 of 'list.txt' ".
        """
        try:
            text = line if isinstance(line, str) else line.decode()
        except UnicodeDecodeError:
            raise ImageError(NOT_UTF8, "is not UTF-8") from None
        if not self._json:
            return {"uri": text}
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise ImageError("bad_line", "is not a JSON object")
        return fields

    def _lines(self) -> Iterator[tuple[int, bytes | str]]:
        """Yields (number, line) of the lines that are not blank. Lines are bytes if each can be decoded on its own."""
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
            raise ConfigError(f"No file '{self.name}': give a text file with one URI or path on each line.") from None

    def _open(self) -> io.BufferedReader:
        if self._fs is None:
            return open(self.name, "rb")
        file: Any = self._fs.open(self._fs._strip_protocol(self.name), "rb")
        return io.BufferedReader(file)


def _is_bad(entry: Entry) -> bool:
    """Whether the line itself is wrong. It is not wrong if only the file that it names cannot be read."""
    return entry.reason in ("bad_line", NOT_UTF8)
