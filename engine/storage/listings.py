"""Which inputs the sources still have. Each change adds a record to listings/, and only the latest record is valid.

Rows of inputs/ are never removed. A listing names every input that is missing, gone, withdrawn or replaced in its
source, and has a report on each source. An input that the latest listing does not name is current.
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
MISSING = "missing"  # the source names the file, but it does not exist now
GONE = "gone"  # the file was deleted, or its container cannot be opened any more
WITHDRAWN = "withdrawn"  # its row was removed from the source's json or list, so its labels are dropped too
REPLACED = "replaced"  # the source has another version of it

IN_SOURCE = frozenset((CURRENT, MISSING))  # named by their source
IN_FORCE = frozenset((CURRENT, MISSING, GONE))  # their labels are still used

STATES = pa.schema([required(name, pa.string()) for name in ("source", "uri", "fingerprint", "state")])

Key = tuple[str, str, str]  # the key of an input: source, uri, fingerprint


class SourceCounts(TypedDict):
    """Counts of a source in the run record and in `status`. `left_out`: {reason: number of labels or inputs}."""

    inputs: int
    missing: int
    gone: int
    left_out: dict[str, int]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """Counts of the inputs of one source by state, and of what was left out.

    inputs: number of current and MISSING inputs. missing: number of MISSING inputs. gone: number of GONE inputs.
    containers: {container: its left_out and notes}. With it, an unchanged container need not be opened again.
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
    """One record of listings/.

    `number`: the number of the record; -1 for an empty listing. `chunks`: the number of chunks of inputs/ that it
    covers.
    """

    number: int = -1
    chunks: int = 0
    states: Mapping[Key, str] = field(default_factory=dict)
    sources: Mapping[str, SourceReport] = field(default_factory=dict)
    looked_at: tuple[str, ...] = ()  # the sources that were listed this time; other sources keep their earlier report
    made_of: Mapping[str, str] = field(default_factory=dict, compare=False)  # {path of its file: sha256}

    def state(self, key: Key) -> str:
        return self.states.get(key, CURRENT)


def source_counts(storage: Storage, left_out: Mapping[str, Mapping[str, int]]) -> dict[str, SourceCounts]:
    """The counts of each source in the latest listing.

    `left_out`: labels that the probe left out, {source: {reason: number}}. These labels are added to the counts.
    """
    answer = {name: report.counts() for name, report in read_listing(storage).sources.items()}
    for source, reasons in sorted(left_out.items()):
        found = answer.setdefault(source, SourceReport().counts())["left_out"]
        for reason, number in reasons.items():
            found[reason] = found.get(reason, 0) + number
    return answer


def read_listing(storage: Storage, number: int | None = None) -> Listing:
    """The listing with this number, by default the latest. Returns an empty one if there is none."""
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
