"""A data set of an earlier schema version can be opened and queried, and is up to date: missing columns are filled in.

Today's engine makes it, and then its files are rewritten in schema version 1: inputs without offset and length, image
scores without code.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset, read_header
from engine.reading.sql import connect, run_query
from engine.schema import RECORD, SCHEMA_VERSION
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import run
from tests.runs import draw_photos

LATER = {"offset", "length", "code"}  # columns and fields that version 1 did not have


def recipe(folder: Path, floor: float = 0.3) -> Recipe:
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {"sources": [{"folder": str(folder / "photos")}], "shard_size": 4},
            "annotate": {
                "boxes": {"use": "fake_detector"},
                "objects": {"use": "consensus"},
                "quality": {"use": "image_quality"},
            },
            "filter": [{"min_score": {"floor": floor}}],
            "run": {"max_workers": 1},
        }
    )


@pytest.fixture
def older(tmp_path: Path) -> Path:
    draw_photos(tmp_path / "photos", 6)
    run(recipe(tmp_path), runner="inline")
    as_version_1(tmp_path / "set")
    return tmp_path


def as_version_1(dataset: Path) -> None:
    renamed: dict[str, tuple[str, str]] = {}
    for path in sorted(dataset.rglob("*.parquet")):
        if path.relative_to(dataset).parts[0] in ("inputs", "probe", "quality"):
            table = pq.read_table(path)
            path.unlink()
            pq.write_table(without(table, LATER), path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            new = path.rename(path.with_name(f"{path.stem.rpartition('-')[0]}-{digest[:8]}.parquet"))
            renamed[str(path.relative_to(dataset))] = (str(new.relative_to(dataset)), digest)
    assert len(renamed) == 4
    for path in dataset.rglob("*.json"):
        content = json.loads(path.read_bytes())
        content.pop("digest", None)
        path.write_text(json.dumps(with_names(content, renamed)))
    header = json.loads((dataset / "dataset.json").read_bytes())
    (dataset / "dataset.json").write_text(json.dumps(header | {"schema_version": 1}))


def without(table: pa.Table, names: set[str]) -> pa.Table:
    kinds = [plain(field.type, names) for field in table.schema if field.name not in names]
    kept = [name for name in table.column_names if name not in names]
    fields = [pa.field(name, kind) for name, kind in zip(kept, kinds, strict=True)]
    rows = [{name: row[name] for name in kept} for row in table.to_pylist()]
    return pa.Table.from_pylist(rows, pa.schema(fields))


def plain(kind: pa.DataType, names: set[str]) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(plain(kind.value_type, names))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain(field.type, names)) for field in kind if field.name not in names])
    return kind


def with_names(content: dict[str, Any], renamed: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """A commit record in which renamed files have their new names."""
    for file in content["files"].values() if isinstance(content.get("files"), dict) else ():
        if file["path"] in renamed:
            file["path"], file["sha256"] = renamed[file["path"]]
    if isinstance(content.get("inputs"), dict):
        content["inputs"] = dict(renamed.get(path, (path, sha256)) for path, sha256 in content["inputs"].items())
    return content


def test_it_is_up_to_date_and_a_run_does_nothing(older: Path) -> None:
    before = {path: path.read_bytes() for path in (older / "set").rglob("*.parquet")}
    assert {row.why for row in dry_run(recipe(older))} == {"up to date"}
    run(recipe(older), runner="inline")
    assert {path: path.read_bytes() for path in (older / "set").rglob("*.parquet")} == before
    header = read_header(Storage(str(older / "set")))
    assert (header["schema_version"], header["oldest_version"]) == (SCHEMA_VERSION, 1)
    assert Dataset.open(str(older / "set")).older  # its files still lack these columns


def test_queries_have_the_columns_of_today(older: Path) -> None:
    dataset = Dataset.open(str(older / "set"))
    with connect(dataset) as con:
        found = run_query(con, "SELECT count(*) AS n, count(code) AS codes FROM image_scores").to_pylist()
        assert found[0]["n"] > 0
        assert found[0]["codes"] == 0  # null: these files do not have it
        assert run_query(con, "SELECT count(*) AS n FROM inputs").to_pylist() == [{"n": 6}]


def test_tables_read_from_its_files_have_the_schema_of_today(older: Path) -> None:
    storage = Storage(str(older / "set"))
    dataset = Dataset.open(storage.url)
    quality = next(node for node in dataset.nodes if node.name == "quality")
    path = Commits(storage, quality.folder).data_files()[0]
    table = TableReader(storage, path).read()
    assert table.schema.equals(RECORD)
    assert {score["code"] for row in table["image_scores"].to_pylist() for score in row} == {""}
    assert (
        TableReader(storage, path, ["image_scores"]).slice(1, 3).to_pylist()
        == table.select(["image_scores"])[1:3].to_pylist()
    )
    inputs = TableReader(storage, Commits(storage, "inputs").data_files()[0], ["offset", "length"]).read()
    assert inputs.to_pylist() == [{"offset": 0, "length": -1}] * 6


def test_other_rules_can_be_applied_to_it(older: Path) -> None:
    run(recipe(older, floor=0.9), stage="filter", runner="inline")
    with connect(Dataset.open(str(older / "set"))) as con:
        assert run_query(con, "SELECT count(*) AS n FROM regions WHERE rule = 'min_score'").to_pylist()[0]["n"] > 0


def test_a_file_of_today_is_read_as_it_is(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2)
    run(recipe(tmp_path), runner="inline")
    storage = Storage(str(tmp_path / "set"))
    for path in (tmp_path / "set").rglob("*.parquet"):
        reader = TableReader(storage, str(path.relative_to(tmp_path / "set")))
        assert reader._lacking is None, path


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, "2", None])
def test_a_later_or_missing_version_is_refused_in_one_sentence(tmp_path: Path, version: object) -> None:
    storage = Storage(str(tmp_path))
    storage.put("dataset.json", json.dumps({"schema_version": version, "shard_size": 3}).encode())
    with pytest.raises(ConfigError, match=f"has schema version {version}, this engine reads 1 to {SCHEMA_VERSION}"):
        Dataset.open(str(tmp_path))
