"""Hides new inputs that contain removed images, such as a copy under another name, after the probe has read them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.compute as pc

from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.listings import Key
from engine.storage.removals import PLACEHOLDER, REASON, read_removed
from pipelines.removal.complete import complete
from pipelines.removal.intention import Intention, next_number


def without_removed(storage: Storage, probe: Node) -> Node:
    """The probe, with the hashes of removed images in its options, so that it takes in none of them."""
    removed = read_removed(storage).images
    return replace(probe, options={**probe.options, "removed": sorted(removed)}) if removed else probe


def hide_removed(storage: Storage, probe: Node) -> list[str]:
    """Hides the inputs in which the probe recognised removed images. Returns a sentence for the user, or none."""
    if not read_removed(storage).images:
        return []
    keys, chunks = list[Key](), list[int]()
    for chunk, path in Commits(storage, probe.folder).data_files().items():
        new = _recognised(storage, path)
        keys += new
        chunks += [chunk] if new else []
    if not keys:
        return []
    uris = sorted({uri for _, uri, _ in keys})
    one = Intention(next_number(storage), [], keys, uris, shards=[], chunks=chunks, search=False)
    one.write(storage)
    complete(storage, one)
    inputs, were = ("1 new input", "is") if len(keys) == 1 else (f"{len(keys):,} new inputs", "are")
    return [f"{inputs} {were} of images that were removed from this data set: not taken in."]


def _recognised(storage: Storage, path: str) -> list[Key]:
    """The keys of the inputs of a probed chunk that contain removed images and are not hidden yet."""
    table = TableReader(storage, path, ["source", "uri", "fingerprint", "failures"]).read()
    table = table.filter(pc.greater(pc.list_value_length(table["failures"]), 0))
    return [
        (row["source"], row["uri"], row["fingerprint"])
        for row in table.to_pylist()
        if row["failures"][0]["reason"] == REASON and not row["uri"].startswith(PLACEHOLDER)
    ]
