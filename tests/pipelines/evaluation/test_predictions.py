"""Answers of nodes as rows and as columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from engine.reading.dataset import CurrentNode
from engine.schema import Phrase, Region, RegionText, as_row, record_table
from model.evaluate.detections import Detection
from pipelines.evaluation.predictions import detections, rows_with_named

DETECTOR, MERGER = CurrentNode("ssd", "k", "ssd/k", gives=("boxes",)), CurrentNode("m", "k", "m/k", gives=("regions",))


def table(**columns: list[Any]) -> pa.Table:
    """Two images with the same annotations."""
    rows = {name: [as_row(item) for item in items] for name, items in columns.items()}
    return record_table([{"image_id": name, **rows} for name in ("a", "b")])


def region(number: int, **fields: Any) -> Region:
    return Region(0.0, 0.0, 5.0 + number, 5.0, "cat", id=f"r/{number}", **fields)


def ids(tables: list[pa.Table], others: list[list[pa.Table]] | None = None) -> dict[str, list[str]]:
    rows = rows_with_named(tables, others or [])
    return {image_id: [one["id"] for one in row["regions"]] for image_id, row in rows.items()}


def test_rows_have_the_regions_that_a_phrase_or_a_text_names() -> None:
    phrase, text = Phrase("t/0", 0, 3, ["r/1", "r/3"], id="p/0"), RegionText("r/2", "a cat", id="x/0")
    given = table(regions=[region(number) for number in range(5)], phrases=[phrase], region_texts=[text])
    assert ids([given]) == {"a": ["r/1", "r/2", "r/3"], "b": ["r/1", "r/2", "r/3"]}


def test_another_node_can_name_a_region_of_its_image_only() -> None:
    given = table(regions=[region(number) for number in range(3)])
    other = table(region_texts=[RegionText("r/1", "a cat", id="x/0")]).slice(0, 1)
    assert ids([given], [[other]]) == {"a": ["r/1"], "b": []}


def test_boxes_of_a_detector_are_all_counted_and_merged_ones_of_other_nodes_are_not() -> None:
    regions = [region(0, score=0.5), region(1, merged_into="r/0"), region(2, kind="text")]
    tables = [table(regions=regions), record_table([])]
    own, merged = Detection("cat", (0.0, 0.0, 5.0, 5.0), 0.5), Detection("cat", (0.0, 0.0, 6.0, 5.0), 1.0)
    assert detections(tables, DETECTOR).by_image() == {"a": [own, merged], "b": [own, merged]}
    assert detections(tables, MERGER).by_image() == detections(tables).by_image() == {"a": [own], "b": [own]}
    assert detections([]).by_image() == {}
