"""List what is new, and name every input by its content.

Ingest has three steps, each of them resumable: list (inputs/), look at each input in workers (probe/), and give
distinct images their place (images/, in pipelines/ingest/assign_shards.py). Labels are turned upright here, once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from engine.errors import ConfigError, StorageError
from engine.images.decode import Limits
from engine.keys import stable_hash
from engine.layout import HEADER, IMAGES, INPUTS, LISTINGS, PLACED, PROBE, SPLITS
from engine.reading.dataset import read_header
from engine.running.graph import Node, Resources
from engine.schema import ANNOTATIONS, SCHEMA_VERSION, as_row, table_of
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.storage.commits import Commits, Record, TableReader, check_order
from engine.storage.files import Storage
from engine.storage.listings import STATES, Listing
from engine.storage.open_uri import NO_PERMISSION
from engine.storage.sealed import seal
from pipelines.ingest.listing import Known, Look
from pipelines.ingest.probe import Probe
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.splits import listed_for
from pipelines.recipe import Recipe

T = TypeVar("T")

CHUNK = 2048  # inputs a listed chunk


def probe_node(recipe: Recipe) -> Node:
    options: dict[str, Any] = {"max_pixels": recipe.ingest.max_pixels, "max_bytes": recipe.ingest.max_bytes}
    hashed = recipe.ingest.audit.wanted
    if hashed:
        options["phash"] = True
    return Node(
        name="probe",
        target="pipelines.ingest.probe:Probe",
        options=options,
        needs=(),
        gives=(),
        # The limits are not part of the key: places once given stay. After raising one, --retry-failed looks again.
        key=stable_hash(["probe", Probe.version, *(["phash"] if hashed else [])]),
        inputs={},
        over="entries",
        base=INPUTS,
        resources=Resources(batch_size=256, timeout_s=300.0),
        component="ingest",
        version=Probe.version,
    )


def open_dataset(storage: Storage, recipe: Recipe) -> None:
    """Create dataset.json, or check that this data set is of our schema and shard size."""
    try:
        storage.check_writable()
    except StorageError as error:
        told = str(error).rstrip(".")
        raise StorageError(f"{told}: choose a folder that can be, with --set dataset=FOLDER.") from error
    if not storage.exists(HEADER):
        listed_for(recipe.ingest.audit)  # a list that is not there must not be what this data set was split by
    wanted = _header(recipe)
    if storage.create(HEADER, seal(wanted, None)):
        return
    if read_header(storage) != wanted and not _fixed(storage):
        storage.put(HEADER, seal(wanted, None))
    check_dataset(storage, recipe)


def check_dataset(storage: Storage, recipe: Recipe) -> None:
    """ConfigError if the recipe would cut or split the images of this data set otherwise. Nothing is written."""
    if not storage.exists(HEADER):
        return
    found, wanted = read_header(storage), _header(recipe)
    if not _fixed(storage):
        return
    if found["shard_size"] != wanted["shard_size"]:
        raise ConfigError(
            f"'{storage.url}' is cut into shards of {found['shard_size']}, the recipe says {wanted['shard_size']}: "
            f"set ingest.shard_size back to {found['shard_size']}, or use another dataset folder."
        )
    if _draw_of(found.get("audit", {})) != _draw_of(wanted["audit"]):
        before, now = (json.dumps(said) if said else "none" for said in (found.get("audit", {}), wanted["audit"]))
        raise ConfigError(
            f"'{storage.url}' was split with the audit {before}, the recipe says {now}: images keep their split, so "
            "set ingest.audit back, or use another dataset folder."
        )


def _header(recipe: Recipe) -> dict[str, Any]:
    audit = recipe.ingest.audit.model_dump(mode="json") if recipe.ingest.audit.wanted else {}
    return {"schema_version": SCHEMA_VERSION, "shard_size": recipe.ingest.shard_size, "audit": audit}


def _fixed(storage: Storage) -> bool:
    """Whether an image has a place, or a split."""
    return any(len(Commits(storage, folder).revisions()) for folder in (IMAGES, SPLITS))


def _draw_of(audit: Mapping[str, Any]) -> tuple[Any, ...]:
    """What splits are drawn by. A list may move and grow: its lines are held against the splits there are."""
    return audit.get("fraction", 0.0), audit.get("seed", 0), bool(audit.get("list"))


# --- listing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """Inputs that could not be read for a reason that may pass: `chunks` to look at again unasked, `reasons` of all.

    The first runs (`run.read_attempts` in all) try to read it again: a host that is down for a day loses no image, and
    one that is gone for good does not slow down every run.
    """

    chunks: frozenset[int]
    reasons: Counter[str]

    @property
    def notes(self) -> list[str]:
        if not self.reasons:
            return []
        told = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
        who = "the same command looks again" if self.chunks else "look again with --retry-failed"
        inputs = "1 input" if self.reasons.total() == 1 else f"{self.reasons.total():,} inputs"
        return [f"{inputs} could not be read now ({told}): {who}."]


def out_of_reach(storage: Storage, probe: Node, attempts: int) -> OutOfReach:
    commits, chunks, reasons = Commits(storage, probe.folder), set[int](), Counter[str]()
    for chunk, revision in enumerate(map(int, commits.revisions())):
        if revision < 0 or not (record := commits.record(chunk, revision)).failures:
            continue
        table = TableReader(storage, record.files["data"].path, ["failures"]).read()
        found = (failure for row in table["failures"].to_pylist() for failure in row)
        passing = Counter(
            failure["reason"]
            for failure in found
            if failure["reason"] == "unreachable" or failure["error"].startswith(NO_PERMISSION)
        )
        reasons += passing
        if passing and revision < attempts - 1:
            chunks.add(chunk)
    return OutOfReach(frozenset(chunks), reasons)


def list_inputs(storage: Storage, sources: Sequence[Any], watch: Callable[[int], None] | None = None) -> int:
    """Append what is new in the sources to inputs/; how many that were. An empty source is an error.

    `watch` is told how many inputs were looked at.

    Then, which of all that was listed the sources still give becomes a record in listings/. A source that fails in the
    middle changes nothing of that: its new inputs stay listed, and are held against it in the next listing.
    """
    over = [f"{top}/{key}" for top in (PROBE, PLACED) for key in storage.names(top) if "." not in key]
    check_order(storage, INPUTS, over)
    while True:
        commits = Commits(storage, INPUTS)
        known = Known(commits)
        look, chunk, listed = Look(storage, sources, known, watch), known.chunks, 0
        for entries in _batched(look.entries(), CHUNK):
            file = commits.put_table(
                chunk, table_of([_input_row(source, entry) for source, entry in entries], INPUTS_SCHEMA)
            )
            counts = {"containers": look.counting()} if look.of_containers(entries) else {}
            if not commits.commit(Record(chunk, 0, {"data": file}, counts=counts)):
                break  # another driver lists too: look again at what is known
            chunk += 1
            listed += len(entries)
        else:
            if _commit_listing(storage, look, chunk):
                return listed


def _commit_listing(storage: Storage, look: Look, chunks: int) -> bool:
    """False if another driver did meanwhile."""
    before, states = look.known.listing, look.states()
    reports = look.reports(states)
    now = Listing(before.number, chunks, states, reports, look.looked_at)
    if before.number >= 0 and before == now:
        return True
    commits = Commits(storage, LISTINGS)
    rows = [[*key, state] for key, state in states.items()]
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [[]] * 4, STATES)
    counts = {"chunks": chunks, "sources": {name: asdict(report) for name, report in reports.items()}}
    counts["looked_at"] = look.looked_at
    file = commits.put_table(before.number + 1, table)
    return commits.commit(Record(before.number + 1, 0, {"data": file}, counts=counts))


def count_new(storage: Storage, sources: Sequence[Any]) -> int:
    """How many inputs `list_inputs` would append."""
    return would_list(storage, sources)[0]


def would_list(storage: Storage, sources: Sequence[Any]) -> tuple[int, Listing]:
    """How many inputs `list_inputs` would append, and the listing that it would make."""
    known = Known(Commits(storage, INPUTS))
    look = Look(storage, sources, known)
    new = sum(1 for _ in look.entries())
    states = look.states()
    return new, Listing(known.listing.number + 1, known.chunks, states, look.reports(states), look.looked_at)


def _input_row(source: str, entry: Entry) -> dict[str, Any]:
    labels = {} if entry.labels is None else {c: [as_row(i) for i in getattr(entry.labels, c)] for c in ANNOTATIONS}
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


def limits_of(recipe: Recipe) -> Limits:
    return Limits(max_pixels=recipe.ingest.max_pixels, max_bytes=recipe.ingest.max_bytes)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
