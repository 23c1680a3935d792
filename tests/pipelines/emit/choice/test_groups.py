"""Near-duplicates, and images with similar embeddings, are in one split of a release."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.recipe import parse_recipe
from tests.pipelines.emit.emitted import run
from tests.pipelines.filter.test_semantic_set import Colour, photo

SCENES, COPIES = 10, 3


def released(folder: Path, annotate: dict[str, Any], rules: list[Any], **splits: Any) -> dict[str, set[str]]:
    """Makes a release. Returns {scene: the splits its photos are in}. Photos are named <scene>-<copy>."""
    recipe = parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {"sources": [{"folder": str(folder / "photos")}], "shard_size": 4},
            "annotate": annotate,
            "filter": rules,
            "emit": {"name": "v1", "splits": {"valid": 0.2, "test": 0.2, **splits}},
        }
    )
    manifest = run(recipe)
    assert manifest["counts"]["images"] == SCENES * COPIES
    assert set(manifest["splits"]) == {"train", "valid", "test"}
    found: dict[str, set[str]] = defaultdict(set)
    for path in (folder / "set/releases/v1").glob("*.parquet"):
        for row in () if path.name.startswith("pairs-") else pq.read_table(path).to_pylist():
            found[re.split("[-/]", row["sources"][0]["uri"])[-2]].add(row["split"])
    assert len(found) == SCENES
    return found


@pytest.mark.usefixtures("without_datasets")
class TestGroups:
    def test_copies_of_a_photo_are_in_its_split(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        random = np.random.default_rng(5)
        for scene in range(SCENES):
            image = Image.fromarray(random.integers(0, 255, (9, 9, 3), np.uint8)).resize((96, 96))
            for copy in range(COPIES):
                image.save(tmp_path / f"photos/{scene}-{copy}.jpg", quality=95 - 15 * copy)
        found = released(tmp_path, {"quality": {"use": "image_quality"}}, [])
        assert {len(splits) for splits in found.values()} == {1}

    def test_single_images_are_drawn_apart_if_the_recipe_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        for scene in range(SCENES):
            for copy in range(COPIES):
                photo(tmp_path / f"photos/{scene}-{copy}.png", 8 * scene, blue=copy)
        found = released(tmp_path, {}, [], by="image")
        assert {len(splits) for splits in found.values()} != {1}

    def test_images_with_similar_embeddings_are_in_one_split(self, tmp_path: Path) -> None:
        """Copies are 1 degree apart, at most .0002 in distance, and scenes 7 degrees, .0075."""
        (tmp_path / "photos").mkdir()
        for scene in range(SCENES):
            for copy in range(COPIES):
                photo(tmp_path / f"photos/{scene}-{copy}.png", 9 * scene + copy, side=40 + copy)
        embed = {"embed": {"use": f"{Colour.__module__}:Colour"}}
        rules = [{"semantic_duplicate": {"eps": 0.00001}}]
        found = released(tmp_path, embed, rules, by="semantic", distance=0.002)
        assert {len(splits) for splits in found.values()} == {1}
