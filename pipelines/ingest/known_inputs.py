"""Every input that was ever listed, with its state in the latest listing. Takes about 45 bytes an input (decision 026).

Names are not held in memory: inputs are found by hashes, and names are read again from inputs/ when they are needed.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.keys import stable_hash
from engine.storage.commits import Commits, TableReader
from engine.storage.listings import CURRENT, GONE, IN_FORCE, MISSING, REPLACED, WITHDRAWN, Key, read_listing
from engine.storage.removals import PLACEHOLDER, placeholder
from pipelines.ingest.numbered_keys import NumberedKeys
from pipelines.ingest.sources.source import Entry

_KEY = ("source", "uri", "fingerprint")
_DETAILS = ("licence", "frame", "frame_width", "frame_height", "offset", "length", "reason")
# Matches the fingerprint of an input in a container: VERSION/NUMBER/TOTAL. The version starts with a hash of the
# container's URI and options.
IN_CONTAINER = re.compile(r"(([0-9a-f]{12})-.*)/\d+/(\d+)", re.DOTALL)
_CONTAINER = r"(?s)^(?P<version>[0-9a-f]{12}-.*)/\d+/(?P<total>\d+)$"  # the same for Arrow
_MARK = re.compile(r"~[0-9a-f]{8}$")
NO_FILE = re.compile(r"(-[0-9a-f]{8})?(~[0-9a-f]{8})?")  # a fingerprint without a file: of labels, or of nothing

STATES = (CURRENT, MISSING, GONE, WITHDRAWN, REPLACED)  # `KnownInputs.states` holds positions in this tuple
NOT_FOUND, FOUND, NO_LONGER_A_FILE = 0, 1, 2  # the values of `KnownInputs.found`

Counts = Mapping[str, Any]  # `left_out` and `notes` of a container


class KnownInputs:
    """All listed inputs, in the order of listing. An input is identified by its position in this order.

    positions: those of each source, as ranges. containers: those of the inputs of each container, by source and
    version. states: the state of each input before this scan, as a position in STATES; inputs that this scan added are
    not among them. stated: the keys of those that are not current. found: what this scan found of each input.
    """

    def __init__(self, commits: Commits) -> None:
        self.listing = read_listing(commits.storage)
        self.positions: dict[str, list[range]] = {}
        self.containers: dict[tuple[str, str], list[range]] = {}
        self.found = bytearray()
        self._storage = commits.storage
        self._keys = NumberedKeys()  # first half: source and URI; second half: URI and fingerprint
        self._details = array("q")  # hashes of the details
        self._has_file = bytearray()  # 0 for an input that had no file when it was listed
        self._with_removed: set[str] = set()  # sources of which inputs were removed
        self._in_containers: Counter[tuple[str, str, str, str]] = Counter()  # by source, licence, version and total
        self._uncounted: set[str] = set()  # containers without counts, listed by older versions
        self.counts = {name: dict(report.containers) for name, report in self.listing.sources.items()}
        self._files = [(0, path) for path in commits.data_files().values()]
        self.chunks = len(self._files)
        for chunk, (_, path) in enumerate(self._files):
            self._files[chunk] = len(self._keys), path
            self._read(commits, chunk, path)
        self.states, self.stated = self._known_states()

    def _known_states(self) -> tuple[npt.NDArray[np.uint8], dict[int, Key]]:
        """The states before this scan, and the names of the inputs that are not current, by position."""
        states, stated = np.zeros(len(self._keys), np.uint8), dict[int, Key]()
        for key, state in self.listing.states.items():
            if (position := self._keys.find(*_hashes(*key))) >= 0:
                states[position], stated[position] = STATES.index(state), key
        return states, stated

    def __len__(self) -> int:
        return len(self._keys)

    def _read(self, commits: Commits, chunk: int, path: str) -> None:
        table = TableReader(commits.storage, path, [*_KEY, *_DETAILS]).read().combine_chunks()
        start, number = len(self._keys), len(table)
        there = set(table.column_names)  # tables of older versions do not have `reason`
        details = [table[name].to_pylist() if name in there else [""] * number for name in _DETAILS]
        prints = pc.binary_join_element_wise(table["uri"], table["fingerprint"], "\n").to_pylist()
        names = zip(table["source"].to_pylist(), table["uri"].to_pylist(), strict=True)
        self._keys.extend(list(map(hash, names)), list(map(hash, prints)))
        self._details.extend(map(hash, zip(*details, strict=True)))
        self.found += bytes(number)
        no_file = pc.match_substring_regex(table["fingerprint"], f"^{NO_FILE.pattern}$")
        self._has_file += (~no_file.to_numpy(zero_copy_only=False)).tobytes()
        for source, piece in _runs(table["source"]):
            _append(self.positions.setdefault(source, []), _shifted(piece, start))
        removed = pc.starts_with(table["uri"], PLACEHOLDER)
        self._with_removed |= set(pc.unique(table["source"].filter(removed)).to_pylist())
        versions = self._read_containers(table, start)
        if chunk < self.listing.chunks:
            return
        counted = commits.record(chunk, 0).counts.get("containers")
        if counted is None:
            self._uncounted |= versions
        for source, containers in (counted or {}).items():
            self.counts.setdefault(source, {}).update(containers)

    def _read_containers(self, table: pa.Table, start: int) -> set[str]:
        """Adds the inputs in containers. Returns the versions of their containers."""
        if not pc.any(pc.match_substring(table["fingerprint"], "/")).as_py():
            return set()
        found = pc.extract_regex(table["fingerprint"], _CONTAINER).combine_chunks()
        version, total = (pc.struct_field(found, name) for name in ("version", "total"))
        columns = [table["source"], table["licence"], version, total]
        inputs = pa.table(columns, ["source", "licence", "version", "total"]).filter(version.is_valid())
        counts = inputs.group_by(inputs.column_names, use_threads=False).aggregate([([], "count_all")])
        for *group, number in zip(*(column.to_pylist() for column in counts), strict=True):
            self._in_containers[tuple(group)] += number
        for source, piece in _runs(table["source"]):
            for name, inside in _runs(version.slice(piece.start, len(piece))):
                if name is not None:
                    ranges = self.containers.setdefault((source, name), [])
                    _append(ranges, _shifted(inside, start + piece.start))
        return set(pc.unique(version.drop_null()).to_pylist())

    def add(self, source: str, entry: Entry) -> None:
        """Adds an input that this scan found."""
        position = self._keys.add(*_hashes(source, entry.uri, entry.fingerprint))
        self._details.append(hash(details_of(entry)))
        self.found.append(FOUND)
        self._has_file.append(not NO_FILE.fullmatch(entry.fingerprint))
        _append(self.positions.setdefault(source, []), range(position, position + 1))
        if match := IN_CONTAINER.fullmatch(entry.fingerprint):
            self._in_containers[source, entry.licence, match[1], match[3]] += 1

    def find(self, source: str, entry: Entry) -> tuple[int, Entry]:
        """The position of an input (-1 if it is new), and its entry.

        The entry gets another fingerprint if it differs from a known input only in its details.
        """
        position = self._keys.find(*_hashes(source, entry.uri, entry.fingerprint))
        if position >= 0 and self._details[position] != hash(details_of(entry)):
            entry = replace(entry, fingerprint=_marked(entry))
            position = self._keys.find(*_hashes(source, entry.uri, entry.fingerprint))
        return position, entry

    def removed(self, source: str, entry: Entry) -> list[int]:
        """Positions of this input if it was removed (engine.storage.removals). Empty if it was not.

        If the file does not exist now, the positions of all its removed versions.
        """
        if source not in self._with_removed:
            return []
        uri = placeholder(source, entry.uri)
        if NO_FILE.fullmatch(entry.fingerprint):
            return self._keys.with_first(hash((source, uri)))
        found = (self._keys.find(*_hashes(source, uri, print_)) for print_ in (entry.fingerprint, _marked(entry)))
        return [position for position in found if position >= 0][:1]

    def is_found(self, source: str, uri: str) -> bool:
        """Whether this scan found a version of this file."""
        return any(self.found[position] == FOUND for position in self._keys.with_first(hash((source, uri))))

    def file_is_missing(self, source: str, uri: str) -> bool:
        """Notes that a file does not exist now. False if no version of it had a file and labels in force before."""
        before = self._keys.with_first(hash((source, uri)))
        before = [
            p for p in before if p < len(self.states) and self._has_file[p] and STATES[self.states[p]] in IN_FORCE
        ]
        for position in before:
            self.found[position] = self.found[position] or NO_LONGER_A_FILE
        return bool(before)

    def whole(self, source: str, licence: str) -> dict[str, str]:
        """{version: version as listed} of the containers that were listed completely and need not be opened again."""
        inputs = (found for found in self._in_containers.items() if found[0][:2] == (source, licence))
        complete = {version for (_, _, version, total), number in inputs if total == str(number)}
        return {without_mark(version): version for version in sorted(complete - self._uncounted)}

    def names(self, positions: Sequence[int]) -> Iterator[tuple[int, Key]]:
        """Yields (position, key) for these inputs, which must be sorted and known before this scan.

        Reads each chunk that has any of them.
        """
        starts = np.array([start for start, _ in self._files], np.int64)
        wanted = np.array(positions, np.int64)
        for chunk in np.unique(np.searchsorted(starts, wanted, "right") - 1).tolist():
            start, path = self._files[chunk]
            table = TableReader(self._storage, path, _KEY).read()
            inside = wanted[(wanted >= start) & (wanted < start + len(table))]
            rows = table.take(pa.array(inside - start)).select(_KEY)
            yield from zip(inside.tolist(), zip(*(column.to_pylist() for column in rows), strict=True), strict=True)


def _hashes(source: str, uri: str, fingerprint: str) -> tuple[int, int]:
    return hash((source, uri)), hash(f"{uri}\n{fingerprint}")


def _runs(values: pa.Array | pa.ChunkedArray) -> Iterator[tuple[Any, range]]:
    """(value, rows) of each run of equal values."""
    runs = pc.run_end_encode(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    start = 0
    for value, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield value, range(start, end)
        start = end


def _shifted(rows: range, by: int) -> range:
    return range(rows.start + by, rows.stop + by)


def _append(ranges: list[range], added: range) -> None:
    """Adds a range at the end, as part of the last one if it follows on."""
    if ranges and ranges[-1].stop == added.start:
        ranges[-1] = range(ranges[-1].start, added.stop)
    else:
        ranges.append(added)


def positions_in(ranges: Iterable[range]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(np.arange(one.start, one.stop) for one in ranges)])


def details_of(entry: Entry) -> tuple[Any, ...]:
    return (entry.licence, entry.frame, entry.width, entry.height, entry.offset, entry.length, entry.reason)


def _marked(entry: Entry) -> str:
    """The fingerprint of the entry, followed by a digest of its details."""
    mark = f"~{stable_hash(list(details_of(entry)))[:8]}"
    if match := IN_CONTAINER.fullmatch(entry.fingerprint):
        return f"{match[1]}{mark}{entry.fingerprint[match.end(1) :]}"
    return entry.fingerprint + mark


def without_mark(version: str) -> str:
    return _MARK.sub("", version)
