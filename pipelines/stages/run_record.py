"""The record of a run: runs/NUMBER-SUFFIX/run.json, and beside it the logs of its workers."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.errors import StorageError
from engine.layout import RUN, RUNS
from engine.storage.files import Storage
from engine.storage.sealed import seal
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.stages.run import Summary

PACKAGES = ("ray", "pyarrow", "duckdb", "numpy", "pillow", "opencv-python-headless", "onnxruntime", "rapidocr", "spacy")
_NOTES = 200  # the most notes of each node


@functools.cache
def versions() -> dict[str, str]:
    """{package: version} of Python and of the installed packages that can affect annotations.

    Cached, because a version is found by parsing the metadata of its package, which takes a tenth of a second for all.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def new_run_folder(storage: Storage) -> str:
    numbers = [int(name[:5]) for name in storage.names(RUNS) if name[:5].isdigit()]
    return f"{RUNS}/{1 + max(numbers, default=0):05d}-{uuid4().hex[:6]}"


def write_run_record(
    storage: Storage, recipe: Recipe, summary: Summary, *, folder: str, stage: str | None, command: str, error: str
) -> None:
    """Writes the record. A failure to write it raises nothing, because the run's own error must reach the user."""
    nodes = [
        {
            "node": name,
            "units": tally.units,
            "items": tally.items,
            "failed": tally.failed,
            "skipped": tally.skipped,
            "worker_seconds": round(tally.seconds, 3),
            "lost_races": tally.lost_races,
            "notes": tally.notes[:_NOTES],
        }
        for name, tally in summary.tallies.items()
    ]
    record = {
        "command": command,
        "stage": stage or "all",
        "recipe": json.dumps(recipe.model_dump(mode="json"), sort_keys=True),
        "versions": json.dumps(versions(), sort_keys=True),
        "host": platform.node(),
        "ended": datetime.now(UTC).isoformat(" ", "seconds").removesuffix("+00:00"),
        "seconds": round(summary.seconds, 3),
        "listed": summary.listed,
        "shards": summary.shards,
        "error": error,
        "release": summary.release,
        "sources": [{"source": name, **counts} for name, counts in summary.sources.items()],
        "notes": summary.notes,
        "nodes": nodes,
    }
    with contextlib.suppress(StorageError, OSError):
        storage.put(f"{folder}/{RUN}", seal(record))


def remove_empty_logs(storage: Storage, folder: str) -> bool:
    """Removes the logs of workers that printed nothing. Returns whether any log is left."""
    with contextlib.suppress(StorageError, OSError):
        names = storage.names(folder)
        if storage.local:
            for name in names:
                if not os.path.getsize(storage.path(f"{folder}/{name}")):
                    storage.remove(f"{folder}/{name}")
            if names and not storage.names(folder):
                os.rmdir(storage.path(folder))
        return bool(storage.names(folder))
    return False
