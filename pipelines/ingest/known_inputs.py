"""Every input that was ever listed, with its state in the latest listing. All their names are held in memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.keys import stable_hash
from engine.storage.commits import Commits, TableReader
from engine.storage.listings import CURRENT, IN_FORCE, Key, read_listing
from engine.storage.removals import PLACEHOLDER, placeholder
from pipelines.ingest.sources.containers import whole_containers
from pipelines.ingest.sources.source import Entry

_DETAILS = ("licence", "frame", "frame_width", "frame_height", "offset", "length", "reason")
# Matches the fingerprint of an input in a container: VERSION/NUMBER/TOTAL. The version starts with a hash of the
# container's URI and options.
IN_CONTAINER = re.compile(r"(([0-9a-f]{12})-.*)/\d+/(\d+)", re.DOTALL)
_MARK = re.compile(r"~[0-9a-f]{8}$")
NO_FILE = re.compile(r"(-[0-9a-f]{8})?(~[0-9a-f]{8})?")  # a fingerprint without a file: of labels, or of nothing

Details = tuple[Any, ...]  # the values of _DETAILS
Counts = Mapping[str, Any]  # `left_out` and `notes` of a container


class KnownInputs:
    """All listed inputs, in the order of listing. An input is identified by its position in this order."""

    def __init__(self, commits: Commits) -> None:
        self.listing = read_listing(commits.storage)
        self.keys: list[Key] = []
        self.of_source: dict[str, list[int]] = {}
        self.given = bytearray()  # 1 for each input that the current scan found
        self._positions: dict[Key, int] = {}
        self._with_removed: set[str] = set()  # sources of which inputs were removed
        self._details: list[Details] = []
        self._distinct: dict[Details, Details] = {}  # each distinct value is held only once
        self._uncounted: set[str] = set()  # containers without counts, listed by older versions
        self._by_uri: dict[str, dict[str, list[int]]] = {}
        self.counts = {name: dict(report.containers) for name, report in self.listing.sources.items()}
        files = commits.data_files()
        self.chunks = len(files)
        for chunk, path in files.items():
            self._read(commits, chunk, path)
        states = self.listing.states
        self.states = [states.get(key, CURRENT) for key in self.keys] if states else [CURRENT] * len(self.keys)

    def _read(self, commits: Commits, chunk: int, path: str) -> None:
        table = TableReader(commits.storage, path, ["source", "uri", "fingerprint", *_DETAILS]).read()
        there = set(table.column_names)  # tables of older versions do not have `reason`
        columns = [table[name].to_pylist() if name in there else [""] * len(table) for name in _DETAILS]
        sources = map(sys.intern, table["source"].to_pylist())  # each name is held only once
        keys = zip(sources, table["uri"].to_pylist(), table["fingerprint"].to_pylist(), strict=True)
        for key, details in zip(keys, zip(*columns, strict=True), strict=True):
            self.add(key, details)
        if chunk < self.listing.chunks:
            return
        counted = commits.record(chunk, 0).counts.get("containers")
        if counted is None:
            self._uncounted |= {container_of(key[2]) for key in self.keys[-len(table) :]} if len(table) else set()
        for source, containers in (counted or {}).items():
            self.counts.setdefault(source, {}).update(containers)

    def add(self, key: Key, details: Details) -> int:
        position = len(self.keys)
        self.keys.append(key)
        self._positions.setdefault(key, position)
        self.of_source.setdefault(key[0], []).append(position)
        if key[1].startswith(PLACEHOLDER):
            self._with_removed.add(key[0])
        self._details.append(self._distinct.setdefault(details, details))
        self.given.append(0)
        return position

    def find(self, source: str, entry: Entry) -> tuple[int, Entry]:
        """The position of an input (-1 if it is new), and its entry.

        The entry gets another fingerprint if it differs from a known input only in its details.
        """
        position = self._positions.get((source, entry.uri, entry.fingerprint), -1)
        if position >= 0 and self._details[position] != details_of(entry):
            entry = replace(entry, fingerprint=_marked(entry))
            position = self._positions.get((source, entry.uri, entry.fingerprint), -1)
        return position, entry

    def removed(self, source: str, entry: Entry) -> list[int]:
        """Positions of this input if it was removed (engine.storage.removals). Empty if it was not.

        If the file does not exist now, the positions of all its removed versions.
        """
        if source not in self._with_removed:
            return []
        uri = placeholder(source, entry.uri)
        if NO_FILE.fullmatch(entry.fingerprint):
            return [p for p in self.of_source[source] if self.keys[p][1] == uri]
        found = (self._positions.get((source, uri, print_)) for print_ in (entry.fingerprint, _marked(entry)))
        return [position for position in found if position is not None][:1]

    def existing_versions(self, source: str, uri: str) -> list[int]:
        """Positions of the listed versions of this file that had a file and whose labels are in force."""
        if source not in self._by_uri:
            by_uri = self._by_uri[source] = {}
            for position in self.of_source.get(source, ()):
                if position < len(self.states):  # known before this scan
                    by_uri.setdefault(self.keys[position][1], []).append(position)
        found = self._by_uri[source].get(uri, ())
        return [p for p in found if self.states[p] in IN_FORCE and not NO_FILE.fullmatch(self.keys[p][2])]

    def whole(self, source: str, licence: str) -> dict[str, str]:
        """{version: version as listed} of the containers that were listed completely and need not be opened again."""
        listed = [p for p in self.of_source.get(source, ()) if self._details[p][0] == licence]
        found = whole_containers(self.keys[position][2] for position in listed)
        return {without_mark(version): version for version in sorted(found - self._uncounted)}


def details_of(entry: Entry) -> Details:
    return (entry.licence, entry.frame, entry.width, entry.height, entry.offset, entry.length, entry.reason)


def _marked(entry: Entry) -> str:
    """The fingerprint of the entry, followed by a digest of its details."""
    mark = f"~{stable_hash(list(details_of(entry)))[:8]}"
    if match := IN_CONTAINER.fullmatch(entry.fingerprint):
        return f"{match[1]}{mark}{entry.fingerprint[match.end(1) :]}"
    return entry.fingerprint + mark


def without_mark(version: str) -> str:
    return _MARK.sub("", version)


def container_of(fingerprint: str) -> str:
    """The version of the container that holds the input. '' for an input that is a file of its own."""
    match = IN_CONTAINER.fullmatch(fingerprint)
    return match[1] if match else ""
