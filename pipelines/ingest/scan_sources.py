"""One scan of the sources: finds new inputs, and known inputs that a source no longer lists. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.storage.files import Storage
from engine.storage.listings import GONE, IN_FORCE, IN_SOURCE, MISSING, REPLACED, WITHDRAWN, Key, SourceReport
from engine.storage.uris import split_uri
from pipelines.ingest.known_inputs import (
    FOUND,
    IN_CONTAINER,
    NO_FILE,
    NO_LONGER_A_FILE,
    STATES,
    Counts,
    KnownInputs,
    positions_in,
    without_mark,
)
from pipelines.ingest.sources.containers import Reader
from pipelines.ingest.sources.folder import Folder
from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.source import Entry, Source

TWICE = "an input that is listed twice"


@dataclass(slots=True)
class _Found:
    """What one source listed in this scan."""

    has_rows: bool = (
        False  # whether its inputs are rows of a json or a list, which may be removed, and not files of a folder
    )
    containers: set[str] = field(default_factory=set)  # hash of URI and options of each container
    unopened: set[str] = field(default_factory=set)  # the same, for containers that could not be opened
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, Counts] = field(default_factory=dict)  # by the container's version


class Scan:
    """Scans all sources. Exhaust `new_entries` before you call `states` or `reports`.

    `on_progress` is called with the number of inputs found so far, including known ones.
    """

    def __init__(
        self,
        storage: Storage,
        sources: Sequence[Mapping[str, Any] | str],
        known: KnownInputs,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.storage, self.sources, self.known, self.on_progress = storage, sources, known, on_progress
        self._seen = 0
        self._found: dict[str, _Found] = {}
        self._reading: Source | None = None
        self._reported: dict[tuple[str, str], Counts] = {}

    def new_entries(self) -> Iterator[tuple[str, Entry]]:
        """Yields (source name, entry) for each input that was not listed before."""
        done: list[Mapping[str, Any] | str] = []
        for spec in self.sources:
            source = open_source(spec)
            _check_apart(self.storage, source.name)
            found = self._found.setdefault(source.name, _Found(has_rows=not isinstance(source, Folder)))
            if spec in done:
                found.notes.append(f"The recipe names '{source.name}' twice: it was read once.")
                continue
            done.append(spec)
            self._reading = source
            yield from self._new_of(source, found)

    def new_container_counts(self) -> dict[str, dict[str, Counts]]:
        """{source: {container: counts}} for the containers whose counts changed since the last call."""
        now = {name: dict(found.counts) for name, found in self._found.items()}
        if self._reading:
            now[self._reading.name] |= _counts_of(_opened(self._reading))
        fresh = {
            name: {version: one for version, one in counts.items() if self._reported.get((name, version)) != one}
            for name, counts in now.items()
        }
        self._reported |= {(name, version): one for name, counts in fresh.items() for version, one in counts.items()}
        return {name: counts for name, counts in fresh.items() if counts}

    def any_in_container(self, entries: Sequence[tuple[str, Entry]]) -> bool:
        return any(IN_CONTAINER.fullmatch(entry.fingerprint) for _, entry in entries)

    def _new_of(self, source: Source, found: _Found) -> Iterator[tuple[str, Entry]]:
        name, known = source.name, self.known
        whole = known.whole(name, getattr(source, "licence", ""))
        seen_before, own = self._seen, f"{self.storage.url}/"
        for entry in source.entries(whole):
            self._seen += 1
            if self.on_progress:
                self.on_progress(self._seen)
            if own in entry.uri:
                _check_apart(self.storage, name, split_uri(entry.uri)[2])
            match = IN_CONTAINER.fullmatch(entry.fingerprint)
            if match and match[3] == "0":
                found.unopened.add(match[2])
            if removed := known.removed(name, entry):
                for position in removed:
                    known.found[position] = FOUND
                continue
            if NO_FILE.fullmatch(entry.fingerprint) and known.file_is_missing(name, entry.uri):
                continue
            position, entry = known.find(name, entry)
            if position < 0:
                known.add(name, entry)
                yield name, entry
            elif known.found[position] == FOUND:
                found.left_out[TWICE] += 1
            else:
                known.found[position] = FOUND
        unchanged = {whole[version] for version in getattr(source, "found", ()) if version in whole}
        if self._seen == seen_before and not unchanged:
            raise ConfigError(_nothing_in(source))
        self._finish(source, found, unchanged)

    def _finish(self, source: Source, found: _Found, unchanged: set[str]) -> None:
        """Adds what the source left out, and the inputs of unchanged containers, which were not opened."""
        known, opened = self.known, _opened(source)
        for version in unchanged:
            for inputs in known.containers.get((source.name, version), ()):
                known.found[inputs.start : inputs.stop] = bytes([FOUND]) * len(inputs)
        found.containers |= {version[:12] for version in getattr(source, "found", ())}
        before = known.counts.get(source.name, {})
        found.counts |= {v: before[without_mark(v)] for v in sorted(unchanged) if without_mark(v) in before}
        found.counts |= _counts_of(opened)
        in_containers: Counter[str] = Counter()
        for reader in opened.values():
            in_containers.update(reader.left_out)
        found.left_out.update(source.left_out - in_containers)
        of_containers = {note for reader in opened.values() for note in reader.notes}
        found.notes += [note for note in source.notes if note not in of_containers]

    # --- results ---

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sources in this scan."""
        return tuple(self._found)

    def states(self) -> dict[Key, str]:
        """{input: state} for every known input that is not current, in order of listing.

        Inputs of sources that are not part of this scan keep their state.
        """
        known, self._states = self.known, self.known.states.copy()
        names = dict(known.stated)
        for name, found in self._found.items():
            left = self._not_found(name)
            names |= known.names([position for position in left if position not in names])
            self._states[self._known_before(name)] = 0
            for position in left:
                before = STATES[known.states[position]]
                self._states[position] = STATES.index(_state(known, names[position], position, before, found))
        return {names[position]: STATES[self._states[position]] for position in np.flatnonzero(self._states).tolist()}

    def _known_before(self, source: str) -> npt.NDArray[np.int64]:
        """The positions of the source's inputs that were known before this scan."""
        positions = positions_in(self.known.positions.get(source, ()))
        return positions[: np.searchsorted(positions, len(self.known.states))]

    def _not_found(self, source: str) -> list[int]:
        """The positions of known inputs of this source that this scan did not find."""
        positions, found = self._known_before(source), np.frombuffer(self.known.found, np.uint8)
        return positions[found[positions] != FOUND].tolist()  # type: ignore[no-any-return]

    def reports(self) -> dict[str, SourceReport]:
        """A report for each source. Sources that are not part of this scan keep their latest report.

        Call `states` first.
        """
        answer = dict(self.known.listing.sources)
        for name, found in self._found.items():
            inputs = self._numbers(name)
            left_out, notes = Counter(found.left_out), list(found.notes)
            for counts in found.counts.values():
                left_out.update(counts["left_out"])
                notes += counts["notes"]
            answer[name] = SourceReport(
                inputs=sum(inputs[state] for state in IN_SOURCE),
                missing=inputs[MISSING],
                gone=inputs[GONE],
                left_out=dict(sorted(left_out.items())),
                notes=tuple(dict.fromkeys(notes)),
                containers=found.counts,
            )
        return answer

    def _numbers(self, source: str) -> dict[str, int]:
        """The number of the source's inputs in each state. Those that this scan added are current."""
        before = self._known_before(source)
        numbers = np.bincount(self._states[before], minlength=len(STATES)).tolist()
        added = sum(map(len, self.known.positions.get(source, ()))) - len(before)
        return dict(zip(STATES, [numbers[0] + added, *numbers[1:]], strict=True))


def _state(known: KnownInputs, key: Key, position: int, before: str, found: _Found) -> str:
    """The new state of an input that its source did not list in this scan."""
    if known.found[position] == NO_LONGER_A_FILE:
        return MISSING
    same_file = known.is_found(key[0], key[1])
    container = IN_CONTAINER.fullmatch(key[2])
    if container and (container[2] in found.unopened or (container[2] not in found.containers and not same_file)):
        return GONE if before in IN_FORCE else before
    if same_file:
        return REPLACED
    if not found.has_rows:
        return GONE if before in IN_FORCE else before
    return WITHDRAWN if before in IN_FORCE else before


def _opened(source: Source) -> Mapping[str, Reader]:
    """The readers of the containers that were opened. Empty if the source has no containers."""
    return getattr(source, "opened", {})


def _counts_of(opened: Mapping[str, Reader]) -> dict[str, Counts]:
    """The counts of each container that left something out or has a note."""
    return {
        version: {"left_out": dict(sorted(reader.left_out.items())), "notes": list(reader.notes)}
        for version, reader in opened.items()
        if reader.left_out or reader.notes
    }


def _nothing_in(source: Source) -> str:
    left_out = ", ".join(f"{number} x {reason}" for reason, number in source.left_out.items())
    found = f" (left out: {left_out})" if left_out else ""
    if isinstance(source, Folder):
        advice = "correct include: and exclude:" if left_out else "give a folder that holds photos"
        return f"No files in '{source.name}'{found}: {advice}."
    return f"'{source.name}' lists no image{found}: give a source that does, or take it out of ingest.sources."


def _check_apart(storage: Storage, source: str, file: str = "") -> None:
    """Raises ConfigError if the data set lies inside its own source, because ingest would list the data set's files."""
    inside = file.startswith(f"{storage.url}/") if file else f"{storage.url}/".startswith(f"{source}/")
    if storage.local and inside:
        raise ConfigError(f"The data set '{storage.url}' lies inside its source '{source}': keep them apart.")
