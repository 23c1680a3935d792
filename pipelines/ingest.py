"""List what is new, and name every input by its content.

Ingest has three steps, each of them resumable: list (inputs/), look at each input in workers (probe/), and give
distinct images their place (images/, in pipelines/place.py). Labels are turned upright here, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from engine.config import Recipe
from engine.errors import ConfigError, ImageError, StorageError
from engine.graph import Node, Resources
from engine.images import Limits, image_id, probe
from engine.keys import stable_hash
from engine.schema import ANNOTATIONS, INPUTS, SCHEMA_VERSION, Answer, as_row
from engine.shards import Commits, Record, TableReader
from engine.storage import Storage, read_source
from pipelines.sources import Entry, open_source, upright_labels

T = TypeVar("T")

INPUTS_FOLDER = "inputs"
CHUNK = 512  # inputs a listed chunk


class Probe:
    """Reads an input, names it by its content and reads its header. Pixels are decoded where they are needed."""

    needs = ()
    gives = ()
    version = 1
    deterministic = True

    def __init__(self, *, max_pixels: int, max_bytes: int) -> None:
        self.limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)

    def load(self) -> None:
        import fsspec  # noqa: F401  # a first import in threads has raced

        self._threads = ThreadPoolExecutor(4, thread_name_prefix="read")

    def probe(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | ImageError]:
        """For each input what PROBE adds to it, or why it is no image."""
        return list(self._threads.map(self._one, rows))

    def _one(self, row: Mapping[str, Any]) -> dict[str, Any] | ImageError:
        try:
            data = self._read(row["uri"])
            header = probe(data, self.limits)
        except ImageError as error:
            return error
        labels = upright_labels(row, header) if any(row[name] for name in ANNOTATIONS) else {}
        return {
            "image_id": image_id(data),
            "width": header.width,
            "height": header.height,
            "format": header.format,
            "bytes": len(data),
            **labels,
        }

    def _read(self, uri: str) -> bytes:
        """One byte more than allowed is enough to know."""
        try:
            return read_source(uri, 0, self.limits.max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ImageError("missing", f"no file at '{uri}'") from None
        except StorageError as error:
            if isinstance(error.__cause__, PermissionError):
                raise ImageError("unreadable", str(error)) from error
            raise


def probe_node(recipe: Recipe) -> Node:
    options = {"max_pixels": recipe.ingest.max_pixels, "max_bytes": recipe.ingest.max_bytes}
    return Node(
        name="probe",
        target="pipelines.ingest:Probe",
        options=options,
        needs=(),
        gives=(),
        # The limits are not part of the key: places once given stay. After raising one, --retry-failed looks again.
        key=stable_hash(["probe", Probe.version]),
        inputs={},
        over="entries",
        base=INPUTS_FOLDER,
        resources=Resources(batch_size=64, timeout_s=300.0),
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
    wanted = {"schema_version": SCHEMA_VERSION, "shard_size": recipe.ingest.shard_size}
    if storage.create("dataset.json", json.dumps(wanted).encode()):
        return
    found = json.loads(storage.read("dataset.json"))
    if found["schema_version"] != SCHEMA_VERSION:
        raise ConfigError(
            f"'{storage.url}' has schema version {found['schema_version']}, this engine writes {SCHEMA_VERSION}: "
            "use another dataset folder."
        )
    if found["shard_size"] != wanted["shard_size"]:
        raise ConfigError(
            f"'{storage.url}' is cut into shards of {found['shard_size']}, the recipe says {wanted['shard_size']}: "
            "set ingest.shard_size back, or use another dataset folder."
        )


# --- listing ---------------------------------------------------------------------------------


def list_inputs(storage: Storage, sources: Sequence[Any], on_listed: Any = None) -> int:
    """Append what is new in the sources to inputs/; how many that were. An empty source is an error."""
    while True:
        commits = Commits(storage, INPUTS_FOLDER)
        chunk = len(commits.revisions())  # first: a chunk committed meanwhile makes ours lose, and we look again
        known = _known_inputs(commits)
        listed = 0
        for entries in _batched(_new_entries(storage, sources, known), CHUNK):
            table = pa.Table.from_pylist([_input_row(source, entry) for source, entry in entries], schema=INPUTS)
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
        found = 0
        for entry in source.entries():
            found += 1
            if (source.name, entry.uri, entry.fingerprint) not in known:
                known.add((source.name, entry.uri, entry.fingerprint))
                yield source.name, entry
        if not found:
            raise ConfigError(f"No files in '{source.name}': give a folder that holds photos.")


def _check_apart(storage: Storage, source: str) -> None:
    """A data set inside its own source would take its own files for photos."""
    if storage.local and f"{storage.url}/".startswith(f"{source}/"):
        raise ConfigError(f"The data set '{storage.url}' lies inside its source '{source}': keep them apart.")


def _input_row(source: str, entry: Entry) -> dict[str, Any]:
    labels = entry.labels or Answer()
    return {
        "source": source,
        "uri": entry.uri,
        "fingerprint": entry.fingerprint,
        "licence": entry.licence,
        "frame": entry.frame,
        "frame_width": entry.width,
        "frame_height": entry.height,
        **{name: [as_row(item) for item in getattr(labels, name)] for name in ANNOTATIONS},
    }


def limits_of(recipe: Recipe) -> Limits:
    return Limits(max_pixels=recipe.ingest.max_pixels, max_bytes=recipe.ingest.max_bytes)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
