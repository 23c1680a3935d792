"""The view `rule_values`, and the queries about what each rule took and what is close to its threshold."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.reading.dataset import Dataset
from engine.reading.rule_values_view import RULE_VALUES_SCHEMA, rule_values_file, verdicts_hash
from engine.reading.sql import query
from tests.builders import Row
from tests.engine.reading.tables import table, values
from tests.handmade import handmade


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The hand-made data set. `measured` replaces its table of values."""
    return handmade(tmp_path_factory.mktemp("hand"))


def measured(dataset: Dataset, *rows: tuple[str, str, str, float, float, bool], verdicts: str = "") -> Dataset:
    """The data set with a table of values: (column, annotation id, rule, value, threshold, kept), of the image cat."""
    (cat,) = values(
        query(dataset, "SELECT image_id FROM images WHERE sources[1].uri LIKE '%cat%'").to_pylist(), "image_id"
    )
    names = ("annotation_type", "annotation_id", "rule", "value", "threshold", "kept")
    own = {"image_id": cat[0], "place": 0, "verdicts": verdicts or verdicts_hash(dataset)}
    file = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([own | dict(zip(names, row, strict=True)) for row in rows], RULE_VALUES_SCHEMA), file
    )
    dataset.storage.put(rule_values_file(verdicts_hash(dataset)), file.getvalue())
    return Dataset.open(dataset.url)


SCORES = (
    ("regions", "objects/1", "min_score", 0.2, 0.3, False),
    ("regions", "objects/0", "min_score", 0.3, 0.3, True),
    ("regions", "objects/0", "min_score", 0.7, 0.3, True),
    ("regions", "objects/0", "min_score", 0.7, 0.3, True),
)


def test_the_view_has_the_values_of_these_verdicts(hand: Dataset) -> None:
    dataset = measured(hand, *SCORES)
    rows = query(dataset, "FROM rule_values ORDER BY value").to_pylist()
    assert values(rows, "annotation_id", "kept", "rule", "value", "split")[0] == (
        "objects/1",
        False,
        "min_score",
        0.2,
        "train",
    )
    assert len(rows) == len(SCORES)


def test_values_of_other_verdicts_are_not_shown(hand: Dataset) -> None:
    dataset = measured(hand, *SCORES, verdicts="of another time")
    assert query(dataset, "FROM rule_values").num_rows == 0


def test_a_damaged_table_of_a_report_stops_no_query(hand: Dataset) -> None:
    hand.storage.put(rule_values_file(verdicts_hash(hand)), b"PAR1")
    assert query(hand, "FROM rule_values").num_rows == 0


@pytest.mark.parametrize("name", ["rule_histogram", "barely_passed"])
def test_without_a_report_there_are_no_values(hand: Dataset, name: str) -> None:
    hand.storage.remove(rule_values_file(verdicts_hash(hand)))
    assert table(hand, name) == []


def test_bins_begin_at_the_threshold(hand: Dataset) -> None:
    rows = table(measured(hand, *SCORES), "rule_histogram")
    # three quarters of the values are within .4 of .3, so a bin is .04 wide
    assert values(rows, "rule", "threshold", "bin", "outcome", "number", "histograms") == [
        ("min_score", 0.3, -3, "taken", 1, 1),
        ("min_score", 0.3, 0, "kept", 1, 1),
        ("min_score", 0.3, 9, "kept", 2, 1),
    ]
    assert [row["value_from"] for row in rows] == pytest.approx([0.18, 0.3, 0.66])
    assert [row["value_to"] for row in rows][:2] == pytest.approx([0.22, 0.34])
    assert rows[-1]["value_to"] is None  # the last bin has no end


def test_each_threshold_has_a_histogram_of_its_own(hand: Dataset) -> None:
    dataset = measured(
        hand,
        ("texts", "captions/0", "text_length.min", 1.0, 2.0, False),
        ("texts", "captions/1", "text_length.min", 9.0, 5.0, True),
    )
    rows = table(dataset, "rule_histogram")
    assert values(rows, "threshold", "bin", "outcome", "histograms") == [(2.0, -10, "taken", 2), (5.0, 9, "kept", 2)]


def test_the_values_nearest_to_the_threshold_come_first(hand: Dataset) -> None:
    dataset = measured(
        hand,
        ("regions", "objects/0", "min_score", 0.9, 0.3, True),
        ("regions", "objects/0", "min_score", 0.31, 0.3, True),
        ("regions", "objects/1", "min_score", 0.1, 0.3, False),
        ("regions", "objects/1", "min_score", 0.29, 0.3, False),
        ("images", "", "min_side", 80.0, 32.0, True),
    )
    rows = table(dataset, "barely_passed")
    assert values(rows, "rule", "outcome", "value", "what", "annotation_id") == [
        ("min_score", "taken", 0.29, "dog", "objects/1"),
        ("min_score", "taken", 0.1, "dog", "objects/1"),
        ("min_score", "kept", 0.31, "cat", "objects/0"),
        ("min_score", "kept", 0.9, "cat", "objects/0"),
        ("min_side", "kept", 80.0, "120 x 80", ""),  # a rule that took nothing comes last
    ]


def test_at_most_four_values_of_a_side_are_shown(hand: Dataset) -> None:
    many = [("regions", "objects/0", "min_score", 0.4 + number / 100, 0.3, True) for number in range(9)]
    rows = table(measured(hand, *many), "barely_passed")
    assert [row["value"] for row in rows] == pytest.approx([0.4, 0.41, 0.42, 0.43])


# --- all verdicts ----------------------------------------------------------------------------------


def test_each_rule_is_shown_with_its_share_of_what_was_left(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    recipe = json.dumps({"filter": ["min_score"]})
    dataset.storage.put("runs/00002-abcdef/run.json", json.dumps({"recipe": recipe, "nodes": []}).encode())
    rows: list[Row] = [row for row in table(dataset, "rule_effects") if row["annotation_type"] == "regions"]
    columns = ("rule", "taken", "share", "share_of_left", "least_value", "greatest_value", "greatest_threshold")
    assert values(rows, *columns) == [
        ("merged", 6, 0.5, 0.5, None, None, None),
        ("min_score", 2, 0.1667, 0.3333, 0.15, 0.2, 0.3),
        ("image_dropped", 1, 0.0833, 0.25, None, None, None),
    ]


def test_nothing_that_is_not_judged_has_an_effect(tmp_path: Path) -> None:
    assert table(handmade(tmp_path, judged=False), "rule_effects") == []
