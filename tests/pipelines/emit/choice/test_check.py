"""A choice that cannot be made is refused before the first stage, not after hours of annotation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from pipelines.recipe import Recipe
from pipelines.stages.dry_run import dry_run
from tests.runs import draw_photos, recipe

QUALITY = {"quality": {"use": "image_quality"}}
SPLITS = {"valid": 0.2}


def wanted(tmp_path: Path, annotate: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    draw_photos(tmp_path / "photos", 1)
    ingest = {"sources": [{"folder": str(tmp_path / "photos")}], **changes.pop("ingest", {})}
    return recipe(
        tmp_path / "set", tmp_path / "photos", {}, ingest=ingest, annotate=annotate or {}, filter=[], **changes
    )


@pytest.mark.parametrize(
    ("emit", "sentence"),
    [
        ({"where": "width > 500"}, 'emit.where cannot be read (syntax error at or near "width"): write a whole'),
        ({"where": "SELECT image_id FROM images WHERE random() < .5"}, "emit.where uses random()"),
        ({"splits": SPLITS}, "no image has a perceptual hash: add a node with 'use: image_quality'"),
        ({"caps": {"cluster": 3}}, "no image has a perceptual hash"),
        ({"splits": {**SPLITS, "by": "semantic"}}, "add the rule semantic_duplicate to filter"),
    ],
)
def test_it_is_refused_by_a_dry_run(tmp_path: Path, emit: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        dry_run(wanted(tmp_path, emit={"name": "v1", **emit}))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"emit": {"splits": SPLITS}, "annotate": QUALITY},
        {"emit": {"splits": SPLITS}, "ingest": {"audit": {"fraction": 0.1}}},
        {"emit": {"splits": {**SPLITS, "by": "image"}}},
        {"emit": {"where": "SELECT image_id FROM kept.images"}},
    ],
    ids=["hashes of a node", "hashes of the audit split", "single images", "SQL"],
)
def test_a_choice_that_can_be_made_is_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert any(row.node == "emit" for row in dry_run(wanted(tmp_path, **changes)))
