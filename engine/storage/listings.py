"""What the sources give now: listings/, a state beside inputs/, which only grows. The latest record is the state.

A record names every listed input that its source no longer gives as it was, and holds a report of each source. An
input that the latest record does not name is current; so is every input of a data set without listings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import pyarrow as pa

from engine.layout import LISTINGS
from engine.schema import required
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage

CURRENT = ""
MISSING = "missing"  # the source names it, and nothing is there now
GONE = "gone"  # the source does not give it any more: the file is deleted, or its container cannot be opened
WITHDRAWN = "withdrawn"  # its row was taken out of a json or a list: what was said of it holds no longer
REPLACED = "replaced"  # the source gives another version of it

HELD = frozenset((CURRENT, MISSING))  # what a source holds
IN_FORCE = frozenset((CURRENT, MISSING, GONE))  # what it says, and labels hold

STATES = pa.schema([required(name, pa.string()) for name in ("source", "uri", "fingerprint", "state")])

Key = tuple[str, str, str]  # source, uri and fingerprint: an input


class SourceCounts(TypedDict):
    """A report on a source in the run record and in `status`. `left_out`: {reason: number}."""

    inputs: int
    missing: int
    gone: int
    left_out: dict[str, int]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """`inputs` includes those that are `missing` but not those that are `gone`.

    `containers`: {container: its left_out and notes}, so that an unchanged container need not be opened again.
    """

    inputs: int = 0
    missing: int = 0
    gone: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    containers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def counts(self) -> SourceCounts:
        return {
            "inputs": self.inputs,
            "missing": self.missing,
            "gone": self.gone,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Listing:
    """`number` is -1 before the first. `chunks`: how many chunks of inputs/ it covers."""

    number: int = -1
    chunks: int = 0
    states: Mapping[Key, str] = field(default_factory=dict)
    sources: Mapping[str, SourceReport] = field(default_factory=dict)
    looked_at: tuple[str, ...] = ()  # the sources of the recipe; of others the latest report stays
    made_of: Mapping[str, str] = field(default_factory=dict, compare=False)  # its file and the digest

    def state(self, key: Key) -> str:
        return self.states.get(key, CURRENT)


def read_listing(storage: Storage, number: int | None = None) -> Listing:
    """The latest listing, or the one of this number; before the first an empty one."""
    commits = Commits(storage, LISTINGS)
    if number is None:
        number = len(commits.revisions()) - 1
    if number < 0:
        return Listing()
    record = commits.record(number, 0)
    table = TableReader(storage, record.files["data"].path).read()
    source, uri, fingerprint, state = (table[name].to_pylist() for name in STATES.names)
    states = dict(zip(zip(source, uri, fingerprint, strict=True), state, strict=True))
    sources = {name: _report(stored) for name, stored in record.counts["sources"].items()}
    counts, file = record.counts, record.files["data"]
    return Listing(number, counts["chunks"], states, sources, tuple(counts["looked_at"]), {file.path: file.sha256})


def _report(stored: Mapping[str, Any]) -> SourceReport:
    return SourceReport(**{**stored, "notes": tuple(stored["notes"])})
