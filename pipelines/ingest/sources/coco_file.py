"""Reads a COCO json and its lists, and collects findings about its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigError
from engine.storage.open_uri import read_uri
from engine.storage.text_files import decode_text

EXAMPLES = 3  # how many are quoted for each kind of finding
_PACKED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Findings:
    """Counts the rows left out by reason, and other findings for the user. Keeps the first examples of each kind."""

    def __init__(self, name: str, left_out: Counter[str]) -> None:
        self.name, self.left_out = name, left_out
        self._examples: dict[str, list[str]] = {}
        self._numbers: Counter[str] = Counter()

    def leave_out(self, reason: str, example: str) -> None:
        self.left_out[reason] += 1
        self.note(f"left out as {reason}", example)

    def note(self, what: str, example: str) -> None:
        self._numbers[what] += 1
        if self._numbers[what] <= EXAMPLES:
            self._examples.setdefault(what, []).append(example)

    def sentences(self) -> Iterator[str]:
        for what, examples in self._examples.items():
            more = self._numbers[what] - len(examples)
            yield f"'{self.name}': {what}: {', '.join(examples)}{f' and {more:,} more' if more else ''}."


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The lists of a COCO json. Their rows are not checked."""

    images: list[Any] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    categories: list[Any] = field(default_factory=list)
    licenses: Any = None  # some tools write a list, some one object, some nothing


def read_coco(uri: str, lists: Mapping[str, Sequence[str]], findings: Findings, *, words: bool = False) -> CocoFile:
    """Reads a COCO json without checking single rows. Raises ConfigError if it is another kind of file.

    `lists`: the lists that it must have, each with keys that at least one of its objects must have ("this or that").
    `words`: the categories may be missing.
    """
    content = _parse(_text(uri), uri, findings)
    if words and isinstance(content, dict):
        content.setdefault("categories", [])
    missing = [key for key in lists if not (isinstance(content, dict) and isinstance(content.get(key), list))]
    if missing:
        raise ConfigError(f"'{uri}' is not a COCO json: it has no list {' and no list '.join(missing)}.")
    for name, keys in lists.items():
        rows = [row for row in content[name] if isinstance(row, Mapping)]
        strange = [key for key in keys if not any(one in row for row in rows for one in key.split(" or "))]
        if content[name] and strange:
            raise ConfigError(f"'{uri}' is not a COCO json: none of its {name} has {' or '.join(strange)}.")
    images, annotations, categories = (content.get(key, []) for key in ("images", "annotations", "categories"))
    return CocoFile(images, annotations, categories, content.get("licenses"))


def _text(uri: str) -> str:
    try:
        data = read_uri(uri)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"No file '{uri}': give the COCO json.") from None
    for mark, kind in _PACKED.items():
        if data.startswith(mark):
            raise ConfigError(f"'{uri}' is packed ({kind}): unpack it, and give the COCO json.")
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{uri}' is not JSON: {error}.") from None


def _parse(text: str, uri: str, findings: Findings) -> Any:
    """Parses JSON. NaN and Infinity are accepted, because Python writes them."""
    twice: list[str] = []

    def as_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        answer = dict(pairs)
        if len(answer) < len(pairs):
            key = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
            twice.append(key)
        return answer

    try:
        content = json.loads(text, object_pairs_hook=as_object)
    except ValueError as error:  # raised for wrong JSON, and for a number with thousands of digits
        raise ConfigError(f"'{uri}' is not JSON: {str(error).rstrip('.')}.") from None
    except RecursionError:
        raise ConfigError(f"'{uri}' is not a COCO json: it is nested too deeply.") from None
    if twice and isinstance(content, dict) and twice[-1] in ("images", "annotations", "categories"):
        raise ConfigError(f"'{uri}' has the key '{twice[-1]}' twice: merge the two lists.")
    for key in twice:
        findings.note("keys that occur twice in an object, of which the last was taken", repr(key))
    return content
