"""A data set of one shard and one node, from rows that a test gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.schema import ANNOTATIONS, PARSE, SCHEMA_VERSION, VERDICTS
from engine.storage.files import Storage
from tests.builders import Row, images
from tests.handmade import commit


def write(folder: Path, shard: pa.Table, parse: Sequence[Row], dropped: Mapping[str, str]) -> Dataset:
    """A data set of one shard and one node. `dropped`: {annotation id: rule that drops it}."""
    storage = Storage(str(folder))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": 1000}).encode())
    table = images(shard)
    commit(storage, IMAGES, 0, table.drop_columns([name for name in table.column_names if name == "same_distance"]))
    commit(storage, "all/k", 0, shard)
    commit(storage, "parse/k", 0, pa.Table.from_pylist(list(parse), schema=PARSE))
    commit(storage, "judge/k", 0, verdicts(shard, dropped))
    nodes: list[Row] = [
        {"name": "all", "key": "k", "folder": "all/k", "columns": list(ANNOTATIONS)},
        {"name": "parse", "key": "k", "folder": "parse/k", "over": "texts", "inputs": ["all"]},
    ]
    current = {"schema_version": SCHEMA_VERSION, "nodes": nodes, "judge": {"folder": "judge/k"}}
    storage.put("current.json", json.dumps(current).encode())
    return Dataset.open(storage.url)


def verdicts(shard: pa.Table, dropped: Mapping[str, str]) -> pa.Table:
    def verdict(name: str) -> Row:
        return {"id": name, "kept": name not in dropped, "rule": dropped.get(name, ""), "value": None} | {
            "threshold": None
        }

    rows = []
    for image in shard.to_pylist():
        lists = {column: [verdict(item["id"]) for item in image[column]] for column in ANNOTATIONS}
        rows.append({"image_id": image["image_id"], "image": verdict(image["image_id"]), "failures": [], **lists})
    return pa.Table.from_pylist(rows, schema=VERDICTS)
