"""The whole path, as `make demo` runs it: real photos, real packaged models, and a release with the right objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.emit.verify import verify
from pipelines.recipe import load_recipe
from pipelines.stages import run as stages
from tests.conftest import QUICKSTART


@pytest.fixture(scope="module")
def released(quickstart: Path) -> dict[str, dict[str, Any]]:
    """Rows of the release by the file name of the photo, in release order."""
    tables = sorted((quickstart / "releases/v1").glob("train-*.parquet"))
    rows = [row for table in tables for row in pq.read_table(table).to_pylist()]
    return {Path(row["sources"][0]["uri"]).name: row for row in rows}


@pytest.mark.parametrize(
    ("photo", "label"), [("chelsea.png", "cat"), ("coffee.png", "cup"), ("motorcycle_left.png", "motorcycle")]
)
def test_the_release_holds_the_objects_of_the_photo(
    released: dict[str, dict[str, Any]], photo: str, label: str
) -> None:
    assert label in {region["label"] for region in released[photo]["regions"] if region["kind"] == "object"}


def test_the_words_of_the_page_are_read(released: dict[str, dict[str, Any]]) -> None:
    page = released["page.png"]
    read = " ".join(text["text"] for text in page["region_texts"] if text["granularity"] == "ocr")
    assert "Region-based segmentation" in read
    assert "markers of the coins" in read


def test_texts_come_in_three_granularities(released: dict[str, dict[str, Any]]) -> None:
    found = {text["granularity"] for row in released.values() for text in row["texts"]}
    assert found == {"brief", "detailed", "more_detailed"}


def test_a_grounded_phrase_is_a_slice_of_its_text_and_names_a_fitting_region(
    released: dict[str, dict[str, Any]],
) -> None:
    cat = released["chelsea.png"]
    texts = {text["id"]: text["text"] for text in cat["texts"]}
    labels = {region["id"]: region["label"] for region in cat["regions"]}
    named_by = {
        texts[phrase["text_id"]][phrase["char_start"] : phrase["char_end"]]: {labels[r] for r in phrase["region_ids"]}
        for phrase in cat["phrases"]
    }
    assert named_by["a cat"] == {"cat"}


def test_a_mask_outlines_the_cat(released: dict[str, dict[str, Any]]) -> None:
    cat = next(region for region in released["chelsea.png"]["regions"] if region["label"] == "cat")
    assert cat["rle"]
    assert cat["support"]


def test_the_first_image_has_no_annotation_and_every_loader_opens_the_release(
    quickstart: Path, released: dict[str, dict[str, Any]]
) -> None:
    first = next(iter(released.values()))
    assert (first["regions"], first["texts"], first["phrases"]) == ([], [], [])
    checks = verify(str(quickstart / "releases" / "v1"))
    assert [check.name for check in checks if not check.ok] == []


def test_sql_counts_the_images_and_the_pairs_of_the_release(quickstart: Path) -> None:
    """The tables of pairs are in the same folder as those of images, and must not be counted as images."""
    pairs = quickstart / "releases/v1/pairs-*.parquet"
    tasks = query(Dataset.open(str(quickstart)), f"SELECT DISTINCT task FROM read_parquet('{pairs}')", of="releases/v1")
    assert {"<OD>", "<OCR_WITH_REGION>", "<CAPTION_TO_PHRASE_GROUNDING>"} < set(tasks["task"].to_pylist())
    images = query(Dataset.open(str(quickstart)), "SELECT count(*) AS n FROM images", of="releases/v1")
    assert images["n"].to_pylist() == [8]


def test_every_image_and_annotation_is_accounted_for(quickstart: Path) -> None:
    assert account(Dataset.open(str(quickstart))).balanced


def test_the_same_command_again_does_nothing(quickstart: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in quickstart.rglob("*.parquet")}
    summary = stages.run(load_recipe(QUICKSTART, [f"dataset={quickstart}"]), runner="inline")
    assert not any(tally.units for tally in summary.tallies.values())
    assert {path: path.stat().st_mtime_ns for path in quickstart.rglob("*.parquet")} == before
