"""Opening a data set: its nodes and files, and the messages if there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.schema import SCHEMA_VERSION
from engine.storage.files import Storage
from tests.handmade import answered, commit, draw_photos, handmade, key


def test_nodes_are_in_graph_order_with_their_columns(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    assert [node.name for node in dataset.record_nodes()] == ["objects", "ocr", "captions", "grounder", "outline"]
    assert [node.name for node in dataset.record_nodes("regions")] == ["objects", "ocr", "outline"]


def test_a_file_without_a_commit_record_is_ignored(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    folder = f"ssd/{key('ssd')[:8]}"
    before = dataset.files(folder)
    dataset.storage.put(f"{folder}/00002-01234567.parquet", b"left over")
    assert Dataset.open(dataset.url).files(folder) == before


def test_verdicts_on_replaced_annotations_are_ignored(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    ids = draw_photos(tmp_path / "photos")
    commit(dataset.storage, f"ocr/{key('ocr')[:8]}", 1, answered("ocr", ("page", "crash"), ids), revision=1)
    again = Dataset.open(dataset.url)
    assert sorted(again.judged_files()) == [0]
    assert again.node("captions") is not None
    assert [int(again.done(node).sum()) for node in again.nodes if node.name in ("ocr", "captions")] == [2, 1]


def test_a_location_can_be_opened_from_any_folder(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    for path in dataset.files("images").values():
        assert Path(dataset.location(path)).is_file()


def test_a_data_set_after_a_killed_first_ingest_has_inputs_and_no_nodes(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    dataset.storage.remove("current.json")
    early = Dataset.open(dataset.url)
    assert (list(early.nodes), early.judge, early.probe) == ([], "", "probe/probekey")


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no data set, it has no dataset.json: give the folder"):
        Dataset.open(str(tmp_path))


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    Storage(str(tmp_path)).put("dataset.json", json.dumps({"schema_version": 99}).encode())
    with pytest.raises(
        ConfigError,
        match=f"schema version 99, this engine reads 1 to {SCHEMA_VERSION}: open it with",
    ):
        Dataset.open(str(tmp_path))


def test_some_shards_give_the_rows_of_their_images_only(tmp_path: Path) -> None:
    whole = handmade(tmp_path)
    part = whole.of_shards({1})
    for view in ("images", "regions", "texts", "verdicts"):
        sql = f"FROM {view} SELECT * WHERE {{}} ORDER BY ALL"
        of_shard = "image_id IN (SELECT image_id FROM raw.images WHERE filename LIKE '%/00001-%')"
        found = query(part, sql.format("true"))
        assert found.num_rows > 0
        assert found.to_pylist() == query(whole, sql.format(of_shard)).to_pylist()
    assert query(part, "FROM inputs").num_rows == 0
