"""One look at the sources: which inputs are new, and which of those listed before a source still gives.

What is known is read once, all names in memory. Nothing here writes; `pipelines.ingest.ingest` commits what is found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.listings import (
    CURRENT,
    GONE,
    HELD,
    IN_FORCE,
    MISSING,
    REPLACED,
    WITHDRAWN,
    Key,
    SourceReport,
    read_listing,
)
from engine.storage.uris import split_uri
from pipelines.ingest.sources.containers import whole_containers
from pipelines.ingest.sources.folder import Folder
from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.source import Entry, Source

TWICE = "an input that is listed twice"
_DETAILS = ("licence", "frame", "frame_width", "frame_height", "offset", "length", "reason")
_CONTAINER = re.compile(r"(([0-9a-f]{12})-.*)/\d+/(\d+)", re.DOTALL)
_APART = re.compile(r"~[0-9a-f]{8}$")
_NOTHING_THERE = re.compile(r"(-[0-9a-f]{8})?(~[0-9a-f]{8})?")  # a fingerprint that tells of labels alone, or nothing

Counts = Mapping[str, Any]  # what a container leaves out, and its notes


class Known:
    """Every input listed so far, in order, and what the latest listing says of it."""

    def __init__(self, commits: Commits) -> None:
        self.listing = read_listing(commits.storage)
        self.keys: list[Key] = []
        self.index: dict[Key, int] = {}
        self.of_source: dict[str, list[int]] = {}
        self.details: list[tuple[Any, ...]] = []
        self.given = bytearray()
        self._details: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # there are few: each is held once
        self._uncounted: set[str] = set()  # containers of which it is not known what they leave out
        self._by_uri: dict[str, dict[str, list[int]]] = {}
        self.counted = {name: dict(report.containers) for name, report in self.listing.sources.items()}
        files = commits.data_files()
        self.chunks = len(files)
        for chunk, path in files.items():
            self._learn(commits, chunk, path)
        states = self.listing.states
        self.states = [states.get(key, CURRENT) for key in self.keys] if states else [CURRENT] * len(self.keys)

    def _learn(self, commits: Commits, chunk: int, path: str) -> None:
        table = TableReader(commits.storage, path, ["source", "uri", "fingerprint", *_DETAILS]).read()
        there = set(table.column_names)  # data sets of earlier versions have no reason
        columns = [table[name].to_pylist() if name in there else [""] * len(table) for name in _DETAILS]
        keys = zip(*(table[name].to_pylist() for name in ("source", "uri", "fingerprint")), strict=True)
        for key, details in zip(keys, zip(*columns, strict=True), strict=True):
            self.add(key, details)
        if chunk < self.listing.chunks:
            return
        counted = commits.record(chunk, 0).counts.get("containers")
        if counted is None:
            self._uncounted |= {_version(key[2]) for key in self.keys[-len(table) :]} if len(table) else set()
        for source, containers in (counted or {}).items():
            self.counted.setdefault(source, {}).update(containers)

    def add(self, key: Key, details: tuple[Any, ...]) -> int:
        position = len(self.keys)
        self.keys.append(key)
        self.index.setdefault(key, position)
        self.of_source.setdefault(key[0], []).append(position)
        self.details.append(self._details.setdefault(details, details))
        self.given.append(0)
        return position

    def find(self, source: str, entry: Entry) -> tuple[int, Entry]:
        """Where this input stands, -1 if it is new. What differs in more than its fingerprint gets another one."""
        position = self.index.get((source, entry.uri, entry.fingerprint), -1)
        if position >= 0 and self.details[position] != details_of(entry):
            entry = replace(entry, fingerprint=_told_apart(entry))
            position = self.index.get((source, entry.uri, entry.fingerprint), -1)
        return position, entry

    def before(self, source: str, uri: str) -> list[int]:
        """The versions of this file that its source stood by, of those that were there."""
        if source not in self._by_uri:
            by_uri = self._by_uri[source] = {}
            for position in self.of_source.get(source, ()):
                if position < len(self.states):  # not listed in this look
                    by_uri.setdefault(self.keys[position][1], []).append(position)
        found = self._by_uri[source].get(uri, ())
        return [p for p in found if self.states[p] in IN_FORCE and not _NOTHING_THERE.fullmatch(self.keys[p][2])]

    def whole(self, source: str, licence: str) -> dict[str, str]:
        """{fingerprint: the same as it is listed} of containers that need not be opened again."""
        listed = [p for p in self.of_source.get(source, ()) if self.details[p][0] == licence]
        found = whole_containers(self.keys[position][2] for position in listed)
        return {_APART.sub("", version): version for version in sorted(found - self._uncounted)}


def details_of(entry: Entry) -> tuple[Any, ...]:
    return (entry.licence, entry.frame, entry.width, entry.height, entry.offset, entry.length, entry.reason)


def _told_apart(entry: Entry) -> str:
    mark = f"~{stable_hash(list(details_of(entry)))[:8]}"
    if match := _CONTAINER.fullmatch(entry.fingerprint):
        return f"{match[1]}{mark}{entry.fingerprint[match.end(1) :]}"
    return entry.fingerprint + mark


def _version(fingerprint: str) -> str:
    match = _CONTAINER.fullmatch(fingerprint)
    return match[1] if match else ""


@dataclass(slots=True)
class _Seen:
    """What one source gave in this look."""

    rows: bool = False  # it lists rows, which can be taken out; a folder has files
    missing: set[int] = field(default_factory=set)
    found: set[str] = field(default_factory=set)  # containers, by what their fingerprints begin with
    unopened: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    containers: dict[str, Counts] = field(default_factory=dict)


class Look:
    """One look at the sources. `entries` are those that are new; once they are exhausted, the rest can be asked.

    `watch` is told how many inputs were looked at, known ones too.
    """

    def __init__(
        self, storage: Storage, sources: Sequence[Any], known: Known, watch: Callable[[int], None] | None = None
    ) -> None:
        self.storage, self.sources, self.known, self.watch = storage, sources, known, watch
        self._looked = 0
        self._seen: dict[str, _Seen] = {}
        self._reading: Source | None = None
        self._counted: dict[tuple[str, str], Counts] = {}

    def entries(self) -> Iterator[tuple[str, Entry]]:
        done: list[Any] = []
        for spec in self.sources:
            source = open_source(spec)
            _check_apart(self.storage, source.name)
            seen = self._seen.setdefault(source.name, _Seen(rows=not isinstance(source, Folder)))
            if spec in done:
                seen.notes.append(f"The recipe names '{source.name}' twice: it was read once.")
                continue
            done.append(spec)
            self._reading = source
            yield from self._new_of(source, seen)

    def counting(self) -> dict[str, dict[str, Counts]]:
        """What was counted in containers since this was asked before, by source and container."""
        now = {name: dict(seen.containers) for name, seen in self._seen.items()}
        if self._reading:
            now[self._reading.name] |= _counts_of(getattr(self._reading, "opened", {}))
        fresh = {
            name: {version: told for version, told in found.items() if self._counted.get((name, version)) != told}
            for name, found in now.items()
        }
        self._counted |= {(name, version): told for name, found in fresh.items() for version, told in found.items()}
        return {name: found for name, found in fresh.items() if found}

    def of_containers(self, entries: Sequence[tuple[str, Entry]]) -> bool:
        return any(_version(entry.fingerprint) for _, entry in entries)

    def _new_of(self, source: Source, seen: _Seen) -> Iterator[tuple[str, Entry]]:
        name, known = source.name, self.known
        whole = known.whole(name, getattr(source, "licence", ""))
        found = 0
        for entry in source.entries(whole):
            found += 1
            self._looked += 1
            if self.watch:
                self.watch(self._looked)
            _check_apart(self.storage, name, split_uri(entry.uri)[2])
            match = _CONTAINER.fullmatch(entry.fingerprint)
            if match and match[3] == "0":
                seen.unopened.add(match[2])
            if _NOTHING_THERE.fullmatch(entry.fingerprint) and (before := known.before(name, entry.uri)):
                seen.missing.update(before)
                continue
            position, entry = known.find(name, entry)
            if position < 0:
                position = known.add((name, entry.uri, entry.fingerprint), details_of(entry))
                known.given[position] = 1
                yield name, entry
            elif known.given[position]:
                seen.left_out[TWICE] += 1
            else:
                known.given[position] = 1
        there = [version for version in getattr(source, "found", ()) if version in whole]
        if not found and not there:
            raise ConfigError(_nothing_in(source))
        self._close(source, seen, {whole[version] for version in there})

    def _close(self, source: Source, seen: _Seen, whole: set[str]) -> None:
        known, opened = self.known, getattr(source, "opened", {})
        for position in known.of_source.get(source.name, ()) if whole else ():
            if _version(known.keys[position][2]) in whole:
                known.given[position] = 1
        seen.found |= {version[:12] for version in getattr(source, "found", ())}
        before = known.counted.get(source.name, {})
        seen.containers |= {v: before[_APART.sub("", v)] for v in sorted(whole) if _APART.sub("", v) in before}
        seen.containers |= _counts_of(opened)
        in_containers: Counter[str] = Counter()
        for reader in opened.values():
            in_containers.update(reader.left_out)
        seen.left_out.update(source.left_out - in_containers)
        there = {note for reader in opened.values() for note in reader.notes}
        seen.notes += [note for note in source.notes if note not in there]

    # --- after it ---

    @property
    def looked_at(self) -> tuple[str, ...]:
        return tuple(self._seen)

    def states(self) -> dict[Key, str]:
        """Every known input that is not current, in order of listing. Sources that were not looked at stay."""
        known = self.known
        states = [*known.states, *[CURRENT] * (len(known.keys) - len(known.states))]
        for name, seen in self._seen.items():
            positions = known.of_source.get(name, ())
            left = [p for p in positions if not known.given[p]]
            uris = {known.keys[p][1] for p in positions if known.given[p]} if left else set()
            for position in positions:
                states[position] = CURRENT
            for position in left:
                before = known.states[position]
                states[position] = _state(known.keys[position], before, seen, uris, missing=position in seen.missing)
        return {key: state for key, state in zip(known.keys, states, strict=True) if state}

    def reports(self, states: Mapping[Key, str]) -> dict[str, SourceReport]:
        """Of each source; of those that were not looked at the latest one that there is."""
        answer = dict(self.known.listing.sources)
        for name, seen in self._seen.items():
            found = Counter(states.get(self.known.keys[p], CURRENT) for p in self.known.of_source.get(name, ()))
            left_out, notes = Counter(seen.left_out), list(seen.notes)
            for counts in seen.containers.values():
                left_out.update(counts["left_out"])
                notes += counts["notes"]
            answer[name] = SourceReport(
                inputs=sum(found[state] for state in HELD),
                missing=found[MISSING],
                gone=found[GONE],
                left_out=dict(sorted(left_out.items())),
                notes=tuple(dict.fromkeys(notes)),
                containers=seen.containers,
            )
        return answer


def _state(key: Key, before: str, seen: _Seen, uris: set[str], *, missing: bool) -> str:
    """Of an input that its source did not give in this look."""
    if missing:
        return MISSING
    container = _CONTAINER.fullmatch(key[2])
    if container and (container[2] in seen.unopened or (container[2] not in seen.found and key[1] not in uris)):
        return GONE if before in IN_FORCE else before  # nothing new is said of it
    if key[1] in uris:
        return REPLACED
    if not seen.rows:
        return GONE if before in IN_FORCE else before
    return WITHDRAWN if before in IN_FORCE else before


def _counts_of(opened: Mapping[str, Any]) -> dict[str, Counts]:
    """By container, of those of which there is something to count."""
    return {
        version: {"left_out": dict(sorted(reader.left_out.items())), "notes": list(reader.notes)}
        for version, reader in opened.items()
        if reader.left_out or reader.notes
    }


def _nothing_in(source: Source) -> str:
    left_out = ", ".join(f"{number} x {reason}" for reason, number in source.left_out.items())
    told = f" (left out: {left_out})" if left_out else ""
    if isinstance(source, Folder):
        advice = "correct include: and exclude:" if left_out else "give a folder that holds photos"
        return f"No files in '{source.name}'{told}: {advice}."
    return f"'{source.name}' lists no image{told}: give a source that does, or take it out of ingest.sources."


def _check_apart(storage: Storage, source: str, file: str = "") -> None:
    """A data set inside its own source would take its own files for photos."""
    inside = file.startswith(f"{storage.url}/") if file else f"{storage.url}/".startswith(f"{source}/")
    if storage.local and inside:
        raise ConfigError(f"The data set '{storage.url}' lies inside its source '{source}': keep them apart.")
