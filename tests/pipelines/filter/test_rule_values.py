"""The values that rules compared, of what they kept and of what they dropped, found by applying the rules again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.filter.rule_values import rule_values
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.engine.reading.tables import values


def recipe(dataset: Path, floor: float) -> dict[str, Any]:
    return {
        "dataset": str(dataset),
        "ingest": {"sources": ["world://?images=9&size=64&words=0"], "shard_size": 3},
        "annotate": {"noisy": {"use": "noisy_annotator"}, "people": {"use": "human"}, "objects": {"use": "consensus"}},
        "filter": [{"min_side": {"pixels": 64}}, {"min_score": {"floor": floor}}],
        "emit": {"name": "v1"},
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three shards, judged with a floor of .5."""
    folder = tmp_path_factory.mktemp("judged") / "set"
    run(parse_recipe(recipe(folder, 0.5)), runner="inline")
    return folder


def test_values_of_kept_and_dropped_rows_are_those_that_the_rule_compared(judged: Path) -> None:
    dataset = Dataset.open(str(judged))
    columns = ("image_id", "annotation_id", "kept", "value", "threshold")
    rows = rule_values(dataset).to_pylist()
    expected = query(
        dataset,
        """SELECT image_id, annotation_id, kept, score AS value, 0.5::DOUBLE AS threshold FROM regions
           WHERE kept AND score IS NOT NULL OR rule = 'min_score'""",
    ).to_pylist()
    assert sorted(values([row for row in rows if row["rule"] == "min_score"], *columns)) == sorted(
        values(expected, *columns)
    )
    assert {row["kept"] for row in expected} == {True, False}
    sides = [row for row in rows if row["rule"] == "min_side"]
    assert values(sides, "place", "annotation_type", "annotation_id", "kept", "value") == [
        (0, "images", "", True, 64.0)
    ] * len(sides)
    assert len(sides) == 9


def test_a_sample_has_evenly_spaced_whole_shards(judged: Path) -> None:
    dataset = Dataset.open(str(judged))
    images = [
        row["image_id"] for row in query(dataset, "SELECT image_id FROM raw.images ORDER BY filename").to_pylist()
    ]
    rows = rule_values(dataset, images=4).to_pylist()
    assert {row["image_id"] for row in rows} == {*images[:3], *images[6:]}


def test_a_later_run_with_other_rules_that_did_not_judge_is_passed_over(judged: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(judged, tmp_path / "set")
    before = rule_values(Dataset.open(str(folder)))
    other = parse_recipe(recipe(folder, 0.9))
    run(other, stage="ingest", runner="inline")  # its record has the other rules

    assert rule_values(Dataset.open(str(folder))).equals(before)


def test_verdicts_that_no_recorded_recipe_gives_have_no_values(judged: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(judged, tmp_path / "set")
    shutil.rmtree(folder / "runs")
    run(parse_recipe(recipe(folder, 0.9)), stage="ingest", runner="inline")

    assert rule_values(Dataset.open(str(folder))).num_rows == 0


def test_a_release_has_no_values(judged: Path) -> None:
    assert rule_values(Dataset.open(str(judged)).of("releases/v1")).num_rows == 0


def test_without_rules_there_are_no_values(judged: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(judged, tmp_path / "set")
    run(parse_recipe(recipe(folder, 0.5) | {"filter": []}), stage="filter", runner="inline")

    assert rule_values(Dataset.open(str(folder))).num_rows == 0
