"""The prediction of what other rules would change, compared with a run under those rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.records.shard import Shard
from engine.schema import ANNOTATIONS
from filters.judging.apply_rules import judge
from filters.min_score import min_score
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.what_if import WhatIf, _compare, what_if
from pipelines.stages.what_if_text import render_what_if
from tests import builders
from tests.runs import draw_photos, journal, recipe_data

PHOTOS = 12


def floored(floor: float, data: Mapping[str, Any]) -> Recipe:
    return parse_recipe({**data, "filter": [{"min_score": {"floor": floor}}]})


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three shards, annotated and judged at a floor of 0.5."""
    folder = tmp_path_factory.mktemp("whatif")
    draw_photos(folder / "photos", PHOTOS)
    ingest = {"sources": [{"folder": str(folder / "photos")}], "shard_size": 4}
    made = recipe_data(folder / "set", folder / "photos", {"journal": str(folder / "journal")}, ingest=ingest)
    for stage in ("ingest", "annotate", "filter"):
        stages.run(floored(0.5, made), stage=stage, runner="inline")
    return made


def test_the_same_rules_change_nothing(data: dict[str, Any]) -> None:
    found = what_if(floored(0.5, data))
    assert found.same
    assert render_what_if(found).startswith("Nothing would change")


def test_the_prediction_for_another_rule_equals_a_run(data: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    copy = {**data, "dataset": str(tmp_path / "set")}
    shutil.copytree(data["dataset"], copy["dataset"])
    foretold = what_if(floored(0.7, copy))
    stages.run(floored(0.7, copy), stage="filter", runner="inline")
    happened = what_if(floored(0.5, copy))  # from there, looking back
    for name, change in foretold.columns.items():
        assert (change.now, change.then) == (happened.columns[name].then, happened.columns[name].now)
    regions = foretold.columns["regions"]
    assert regions.rules["min_score"][1] - regions.rules["min_score"][0] == regions.now - regions.then > 0
    assert foretold.covered["regions"] == list(reversed(happened.covered["regions"]))


def test_every_annotation_is_kept_or_dropped_by_one_rule_on_both_sides(data: dict[str, Any]) -> None:
    for change in what_if(floored(0.7, data)).columns.values():
        assert change.given == change.now + sum(now for now, _ in change.rules.values())
        assert change.given == change.then + sum(then for _, then in change.rules.values())


def test_examples_show_the_changed_verdicts_and_their_rules(data: dict[str, Any]) -> None:
    found = what_if(floored(0.7, data))
    assert found.flips
    for flip in found.flips:
        assert (flip.column, flip.kept, flip.rule, flip.threshold) == ("regions", False, "min_score", 0.7)
        assert flip.value is not None
        assert 0.5 <= flip.value < 0.7
        assert flip.file.endswith(".png")
        assert flip.annotation_id.startswith("objects/")
    page = render_what_if(found)
    assert "examples that would be dropped:" in page
    assert sum("against 0.7" in line for line in page.splitlines()) <= 10


def test_a_looser_rule_shows_what_would_be_kept_again(data: dict[str, Any]) -> None:
    found = what_if(floored(0.0, data))
    assert {flip.kept for flip in found.flips} == {True}
    assert "was dropped by min_score" in render_what_if(found)


def test_nothing_is_written_and_no_specialist_runs(data: dict[str, Any]) -> None:
    dataset = Path(data["dataset"])
    before, answered = everything(dataset), journal(dataset.parent / "journal")
    render_what_if(what_if(floored(0.9, data)))
    assert everything(dataset) == before
    assert journal(dataset.parent / "journal") == answered
    assert len(answered) == PHOTOS


def test_before_the_first_verdicts_every_count_is_new(data: dict[str, Any], tmp_path: Path) -> None:
    fresh = {**data, "dataset": str(tmp_path / "set")}
    for stage in ("ingest", "annotate"):
        stages.run(floored(0.5, fresh), stage=stage, runner="inline")
    found = what_if(floored(0.5, fresh))
    assert found.columns["regions"].new == found.columns["regions"].given > 0
    assert not found.flips
    page = render_what_if(found)
    assert "every count is new" in page
    assert "would be dropped" not in page


def test_shards_that_lack_an_answer_are_named(data: dict[str, Any]) -> None:
    other = {**data, "annotate": {**data["annotate"], "more": {"use": "fake_detector"}}}
    with pytest.raises(ConfigError, match=r"lacks 3 of 3 shards of 'more' .*run --stage annotate first"):
        what_if(floored(0.5, other))


def test_a_data_set_without_images_is_an_error(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no images yet"):
        what_if(floored(0.5, {**data, "dataset": str(tmp_path / "none")}))
    assert not (tmp_path / "none").exists()


def test_verdicts_on_an_earlier_state_are_compared_by_id() -> None:
    def verdicts(shard: Any, floor: float) -> Any:
        return judge(shard, builders.images(shard), None, [("min_score", min_score, {"floor": floor})])

    stays, gone, came = (builders.region(id=f"d/{n}", score=0.4) for n in range(3))
    earlier = builders.record(builders.row("b" * 32, regions=[gone]), builders.row("a" * 32, regions=[gone, stays]))
    now = builders.record(builders.row("a" * 32, regions=[came, stays]), builders.row("b" * 32, regions=[]))
    found = WhatIf("judge/1", "judge/2")
    _compare(found, Shard(now, builders.images(now)), verdicts(earlier, 0.3), verdicts(now, 0.5))
    regions = found.columns["regions"]
    assert (regions.given, regions.new, regions.now, regions.then) == (2, 1, 1, 0)
    assert [(flip.image_id, flip.annotation_id) for flip in found.flips] == [("a" * 8, "d/0")]  # kept now


def test_every_column_has_a_text_for_its_examples() -> None:
    text = builders.text("A red cat.", id="c/0")
    row = builders.row(
        "a" * 32,
        texts=[text],
        regions=[builders.region(id="d/0", label="cat")],
        region_texts=[builders.region_text("d/0", "a furry cat", id="e/0")],
        phrases=[builders.phrase("c/0", 2, 9, ["d/0"], id="g/0")],
        tags=[builders.tag("animal", id="h/0")],
        image_scores=[builders.image_score("sharpness", 1.5, id="i/0")],
    )
    shard = builders.record(row)
    images = builders.images(shard, 40, 30)
    from filters.min_side import min_side

    kept, dropped = (judge(shard, images, None, [("min_side", min_side, {"pixels": side})]) for side in (20, 50))
    found = WhatIf("judge/1", "judge/2")
    _compare(found, Shard(shard, images), kept, dropped)
    examples = {flip.column: flip.what for flip in found.flips}
    assert examples == {
        "images": "40 x 30",
        "texts": "A red cat.",
        "regions": "cat",
        "region_texts": "a furry cat",
        "phrases": "red cat",
        "tags": "animal",
        "image_scores": "sharpness 1.5",
    }
    assert set(examples) == {"images", *ANNOTATIONS}
