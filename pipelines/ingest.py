"""List what is new, and name every input by its content.

Ingest has three steps, each of them resumable: list (inputs/), look at each input in workers (probe/), and give
distinct images their place (images/, in pipelines/place.py). Labels are turned upright here, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from engine.config import Recipe
from engine.containers import split_uri
from engine.dataset import read_header
from engine.errors import ConfigError, StorageError
from engine.graph import Node, Resources
from engine.images import Limits
from engine.keys import stable_hash
from engine.schema import ANNOTATIONS, INPUTS, SCHEMA_VERSION, as_row, table_of
from engine.sealed import seal
from engine.shards import Commits, Record, TableReader, check_order
from engine.storage import Storage
from pipelines.containers import whole_containers
from pipelines.probe import Probe
from pipelines.sources import Entry, open_source
from pipelines.splits import listed_for

T = TypeVar("T")

INPUTS_FOLDER = "inputs"
CHUNK = 2048  # inputs a listed chunk


def probe_node(recipe: Recipe) -> Node:
    options: dict[str, Any] = {"max_pixels": recipe.ingest.max_pixels, "max_bytes": recipe.ingest.max_bytes}
    hashed = recipe.ingest.audit.wanted
    if hashed:
        options["phash"] = True
    return Node(
        name="probe",
        target="pipelines.probe:Probe",
        options=options,
        needs=(),
        gives=(),
        # The limits are not part of the key: places once given stay. After raising one, --retry-failed looks again.
        key=stable_hash(["probe", Probe.version, *(["phash"] if hashed else [])]),
        inputs={},
        over="entries",
        base=INPUTS_FOLDER,
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
    if not storage.exists("dataset.json"):
        listed_for(recipe.ingest.audit)  # a list that is not there must not be what this data set was split by
    audit = recipe.ingest.audit.model_dump(mode="json") if recipe.ingest.audit.wanted else {}
    wanted = {"schema_version": SCHEMA_VERSION, "shard_size": recipe.ingest.shard_size, "audit": audit}
    if storage.create("dataset.json", seal(wanted, None)):
        return
    found = read_header(storage)
    if found["shard_size"] != wanted["shard_size"]:
        raise ConfigError(
            f"'{storage.url}' is cut into shards of {found['shard_size']}, the recipe says {wanted['shard_size']}: "
            "set ingest.shard_size back, or use another dataset folder."
        )
    if found.get("audit", {}) != audit:
        before, now = (json.dumps(said) if said else "none" for said in (found.get("audit", {}), audit))
        raise ConfigError(
            f"'{storage.url}' was split with the audit {before}, the recipe says {now}: images keep their split, so "
            "set ingest.audit back, or use another dataset folder."
        )


# --- listing ---------------------------------------------------------------------------------


def list_inputs(storage: Storage, sources: Sequence[Any], on_listed: Any = None) -> int:
    """Append what is new in the sources to inputs/; how many that were. An empty source is an error."""
    over = [f"{top}/{key}" for top in ("probe", "placed") for key in storage.names(top) if "." not in key]
    check_order(storage, INPUTS_FOLDER, over)
    while True:
        commits = Commits(storage, INPUTS_FOLDER)
        chunk = len(commits.revisions())  # first: a chunk committed meanwhile makes ours lose, and we look again
        known = _known_inputs(commits)
        listed = 0
        for entries in _batched(_new_entries(storage, sources, known), CHUNK):
            table = table_of([_input_row(source, entry) for source, entry in entries], INPUTS)
            file = commits.put_table(chunk, table)
            if not commits.commit(Record(chunk, 0, {"data": file})):
                break  # another driver lists too: look again at what is known
            chunk += 1
            listed += len(entries)
            if on_listed:
                on_listed(listed)
        else:
            return listed


def count_new(storage: Storage, sources: Sequence[Any]) -> int:
    """How many inputs `list_inputs` would append."""
    return sum(1 for _ in _new_entries(storage, sources, _known_inputs(Commits(storage, INPUTS_FOLDER))))


def _known_inputs(commits: Commits) -> set[tuple[str, str, str]]:
    known: set[tuple[str, str, str]] = set()
    for path in commits.data_files().values():
        table = TableReader(commits.storage, path, ["source", "uri", "fingerprint"]).read()
        known.update(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    return known


def _new_entries(
    storage: Storage, sources: Sequence[Any], known: set[tuple[str, str, str]]
) -> Iterator[tuple[str, Entry]]:
    for spec in sources:
        source = open_source(spec)
        _check_apart(storage, source.name)
        whole = whole_containers(fingerprint for name, _, fingerprint in known if name == source.name)
        found = len(whole)
        for entry in source.entries(whole):
            found += 1
            _check_apart(storage, source.name, split_uri(entry.uri)[2])
            if (source.name, entry.uri, entry.fingerprint) not in known:
                known.add((source.name, entry.uri, entry.fingerprint))
                yield source.name, entry
        if not found:
            raise ConfigError(f"No files in '{source.name}': give a folder that holds photos.")


def _check_apart(storage: Storage, source: str, file: str = "") -> None:
    """A data set inside its own source would take its own files for photos."""
    inside = file.startswith(f"{storage.url}/") if file else f"{storage.url}/".startswith(f"{source}/")
    if storage.local and inside:
        raise ConfigError(f"The data set '{storage.url}' lies inside its source '{source}': keep them apart.")


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
