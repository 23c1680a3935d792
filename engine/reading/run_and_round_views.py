"""The views `runs` (records of runs) and `rounds` (decisions on rounds of refinement).

Neither has a row per image. Records that are missing or damaged are left out; `engine check` reports them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import DamageError
from engine.layout import RUN
from engine.reading.dataset import Dataset, read_current
from engine.reading.raw_views import identifier, quoted
from engine.reading.release_manifest import read_manifest
from engine.storage.sealed import read_sealed

_RUN = {
    "command": "VARCHAR",
    "stage": "VARCHAR",
    "error": "VARCHAR",
    "ended": "VARCHAR",
    "seconds": "DOUBLE",
    "listed": "BIGINT",
    "shards": "BIGINT",
    "release": "VARCHAR",
    "host": "VARCHAR",
    "recipe": "VARCHAR",
    "versions": "VARCHAR",
    "nodes": "STRUCT(node VARCHAR, units BIGINT, items BIGINT, failed BIGINT, skipped BIGINT, worker_seconds DOUBLE, "
    "lost_races BIGINT, notes VARCHAR[])[]",
    "sources": "STRUCT(source VARCHAR, inputs BIGINT, missing BIGINT, gone BIGINT, left_out MAP(VARCHAR, BIGINT), "
    "notes VARCHAR[])[]",
}
_ROUND = {
    "round": "INTEGER",
    "accepted": "BOOLEAN",
    "reasons": "VARCHAR[]",
    "alarms": "VARCHAR[]",
    "measures": "MAP(VARCHAR, DOUBLE)",
    "changes": "MAP(VARCHAR, BIGINT)",
}


def runs_view(dataset: Dataset) -> str:
    folders = dataset.runs()
    if not folders:
        columns = ["''::VARCHAR AS run", *(f"NULL::{kind} AS {identifier(name)}" for name, kind in _RUN.items())]
        return f"CREATE VIEW runs AS SELECT {', '.join(columns)} WHERE false"
    paths = ", ".join(quoted(dataset.location(f"{folder}/{RUN}")) for folder in folders)
    columns_ = ", ".join(f"{identifier(name)}: {quoted(kind)}" for name, kind in _RUN.items())
    return f"""CREATE VIEW runs AS SELECT parse_filename(parse_dirpath(filename)) AS run, * EXCLUDE (filename)
        FROM read_json([{paths}], format = 'unstructured', filename = true, columns = {{{columns_}}}) ORDER BY run"""


def rounds_view(dataset: Dataset) -> str:
    """The statement that creates the view `rounds`. Of a release: what its manifest says about the rounds."""
    structure = json.dumps([_ROUND])
    rows = json.dumps(_of_release(dataset) if dataset.release else _decisions(dataset))
    columns = ", ".join(f"r.{identifier(name)}" for name in _ROUND)
    return f"""CREATE VIEW rounds AS SELECT {columns}
        FROM (SELECT unnest(from_json({quoted(rows)}, {quoted(structure)})) AS r) ORDER BY r."round" """


def _decisions(dataset: Dataset) -> list[Mapping[str, Any]]:
    """The decisions on the rounds of the data set, including a last one that refused."""
    try:
        names = read_current(dataset.storage).get("rounds", [])
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(read_sealed(dataset.storage, name))
        except (FileNotFoundError, DamageError):
            continue
    return _shown(found)


def _of_release(dataset: Dataset) -> list[Mapping[str, Any]]:
    rounds = read_manifest(dataset.storage, dataset.release).get("rounds", [])
    return _shown([{**one, "alarms": [], "measures": {"changed": one.get("changed")}} for one in rounds])


def _shown(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{name: record.get(name) for name in _ROUND} for record in records]
