"""The first step of ingest: adds new inputs to inputs/, and records in listings/ what the sources list now.

The steps of ingest can all be resumed: list_inputs.py; probe.py, which reads every input in workers; assign_shards.py,
which assigns distinct images to shards.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from engine.layout import INPUTS, LISTINGS, PLACED, PROBE
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.schema import table_of
from engine.storage.commits import Commits, Record, check_order
from engine.storage.files import Storage
from engine.storage.listings import STATES, Listing
from pipelines.ingest.known_inputs import KnownInputs
from pipelines.ingest.rows import label_columns
from pipelines.ingest.scan_sources import Scan
from pipelines.ingest.sources.source import Entry

T = TypeVar("T")

CHUNK = 2048  # number of inputs in one table of inputs/


def list_inputs(
    storage: Storage, sources: Sequence[Mapping[str, Any] | str], on_progress: Callable[[int], None] | None = None
) -> int:
    """Lists all sources and returns the number of new inputs. Raises ConfigError if a source lists nothing.

    `on_progress` is called with the number of inputs found so far, including known ones. If a source fails on the way,
    its new inputs stay in inputs/, but no record is added to listings/.
    """
    folders = [f"{top}/{key}" for top in (PROBE, PLACED) for key in storage.names(top) if "." not in key]
    check_order(storage, INPUTS, folders)
    with _few_garbage_collections():
        return _list_all(storage, sources, on_progress)


def _list_all(
    storage: Storage, sources: Sequence[Mapping[str, Any] | str], on_progress: Callable[[int], None] | None
) -> int:
    while True:
        commits = Commits(storage, INPUTS)
        known = KnownInputs(commits)
        scan, chunk, listed = Scan(storage, sources, known, on_progress), known.chunks, 0
        for entries in _batched(scan.new_entries(), CHUNK):
            rows = [_input_row(source, entry) for source, entry in entries]
            file = commits.put_table(chunk, table_of(rows, INPUTS_SCHEMA))
            counts = {"containers": scan.new_container_counts()} if scan.any_in_container(entries) else {}
            if not commits.commit(Record(chunk, 0, {"data": file}, counts=counts)):
                break  # because another driver is listing too, read the known inputs again
            chunk += 1
            listed += len(entries)
        else:
            if _commit_listing(storage, scan, chunk):
                return listed


def _commit_listing(storage: Storage, scan: Scan, chunks: int) -> bool:
    """Commits the listing. Returns False if another driver committed it first."""
    before, states = scan.known.listing, scan.states()
    reports = scan.reports()
    now = Listing(before.number, chunks, states, reports, scan.names)
    if before.number >= 0 and before == now:
        return True
    commits = Commits(storage, LISTINGS)
    rows = [[*key, state] for key, state in states.items()]
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [[]] * 4, STATES)
    counts = {
        "chunks": chunks,
        "sources": {name: asdict(report) for name, report in reports.items()},
        "looked_at": scan.names,
    }
    file = commits.put_table(before.number + 1, table)
    return commits.commit(Record(before.number + 1, 0, {"data": file}, counts=counts))


def preview_listing(storage: Storage, sources: Sequence[Mapping[str, Any] | str]) -> tuple[int, Listing]:
    """The number of inputs that `list_inputs` would add, and the listing it would record. Writes nothing."""
    known = KnownInputs(Commits(storage, INPUTS))
    scan = Scan(storage, sources, known)
    new = sum(1 for _ in scan.new_entries())
    states = scan.states()
    return new, Listing(known.listing.number + 1, known.chunks, states, scan.reports(), scan.names)


def _input_row(source: str, entry: Entry) -> Mapping[str, object]:
    labels = {} if entry.labels is None else label_columns(entry.labels)
    return {
        "source": source,
        "uri": entry.uri,
        "offset": entry.offset,
        "length": entry.length,
        "fingerprint": entry.fingerprint,
        "licence": entry.licence,
        "frame": entry.frame,
        "frame_width": entry.width,
        "frame_height": entry.height,
        "reason": entry.reason,
        "error": entry.error,
        **labels,
    }


@contextlib.contextmanager
def _few_garbage_collections() -> Iterator[None]:
    """A context in which Python looks for cycles rarely.

    Millions of small objects without cycles are made here. Collections would take a third of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
