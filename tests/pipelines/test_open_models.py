"""The recipes for open models run on real photos, with tiny random checkpoints in place of the released ones."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages import run as stages
from specialists.transformers.licences import licence_of
from tests.open_models import KINDS, StandIns
from tests.runs import REPO, check_commits, commits, engine_in_background, release_files, wait_until, write_recipe

PHOTOS = ["chelsea.png", "coffee.png", "page.png"]
# What random networks need in order to answer at all.
EASY: dict[str, dict[str, Any]] = {
    "phrases": {"box_floor": 0.0, "phrase_floor": 0.0, "max_boxes": 2},
    "masks": {"min_quality": 0.0, "min_score": 0.0},
    "captions": {"max_new_tokens": 24, "constrained": True},
    "region_captions": {"max_new_tokens": 32, "min_score": 0.0},
}


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("open-models"))


def small(name: str, dataset: Path, stand_ins: StandIns) -> dict[str, Any]:
    """A shipped recipe on three photos, with a tiny checkpoint for each released one, on a CPU."""
    data: dict[str, Any] = yaml.safe_load((REPO / "pipelines" / "recipes" / name).read_text(encoding="utf-8"))
    data["dataset"] = str(dataset)
    data["ingest"] = {"sources": [{"folder": "${package:skimage}/data", "include": PHOTOS}], "shard_size": 2}
    for node, options in data["annotate"].items():
        stand_ins.replace(options)
        options |= EASY.get(node, {}) if "checkpoint" in options else {}
    data["filter"] = [rule for rule in data["filter"] if rule != "semantic_duplicate"] + ["semantic_duplicate"]
    data["emit"]["name"] = "v1"
    return data


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, stand_ins: StandIns) -> Recipe:
    """fld5b.yaml, run without interruption."""
    recipe = parse_recipe(small("fld5b.yaml", tmp_path_factory.mktemp("fld5b"), stand_ins))
    stages.run(recipe, runner="inline")
    return recipe


@pytest.fixture(scope="session")
def dataset(finished: Recipe) -> Dataset:
    return Dataset.open(finished.dataset)


def numbers(dataset: Dataset, sql: str) -> dict[str, int]:
    rows = query(dataset, sql)
    return dict(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))


def test_every_role_made_annotations(dataset: Dataset) -> None:
    regions = numbers(dataset, "SELECT producer, count(*) FROM regions GROUP BY ALL")
    texts = numbers(dataset, "SELECT producer, count(*) FROM texts GROUP BY ALL")
    others = numbers(
        dataset,
        "SELECT producer, count(*) FROM (SELECT producer FROM region_texts UNION ALL SELECT producer FROM phrases "
        "UNION ALL SELECT producer FROM image_scores) GROUP BY ALL",
    )
    assert {"objects", "ocr", "phrases", "masks"} <= set(regions)
    assert set(texts) == {"captions"}
    assert {"region_captions", "similarity", "phrases", "quality", "nsfw"} <= set(others)
    assert numbers(dataset, "SELECT node, count(*) FROM embeddings GROUP BY ALL") == {"similarity": len(PHOTOS)}


def test_a_phrase_leads_to_its_words_its_regions_and_their_masks(dataset: Dataset) -> None:
    rows = query(
        dataset,
        """
        SELECT t.text[p.char_start + 1 : p.char_end] AS words, t.producer AS writer, m.producer AS masker, m.rle AS rle
        FROM phrases p JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id,
        unnest(p.region_ids) AS u(region)
        JOIN regions m ON m.image_id = p.image_id AND m.merged_into = region
        WHERE p.producer = 'phrases' AND m.producer = 'masks'
        """,
    ).to_pylist()
    assert rows
    assert all(row["words"].strip() and row["rle"] and row["writer"] == "captions" for row in rows)


def test_the_best_candidate_of_a_region_is_its_brief_text(dataset: Dataset) -> None:
    chosen = query(
        dataset,
        "SELECT parents, region_id FROM region_texts WHERE producer = 'similarity' AND granularity = 'brief'",
    ).to_pylist()
    assert chosen
    assert all(row["region_id"] in row["parents"] for row in chosen)


def test_the_manifest_has_the_licences_of_the_released_checkpoints(finished: Recipe) -> None:
    manifest = json.loads((Path(finished.dataset) / "releases/v1/manifest.json").read_text(encoding="utf-8"))
    licences = {node["name"]: node["weights_licence"] for node in manifest["nodes"]}
    assert licences["masks"] == licences["phrases"] == "apache-2.0"
    assert licences["captions"] == "mit"


def test_a_licence_that_the_recipe_does_not_allow_is_refused_before_any_work(
    tmp_path: Path, stand_ins: StandIns
) -> None:
    data = small("fld5b.yaml", tmp_path / "set", stand_ins)
    data["annotate"]["masks"]["weights_licence"] = "cc-by-nc-4.0"
    with pytest.raises(ConfigError, match=r"masks.*cc-by-nc-4\.0"):
        stages.run(parse_recipe(data), runner="inline")
    assert not (tmp_path / "set" / "rfdetr").exists()


def test_killed_in_the_middle_the_same_command_makes_the_same_bytes(
    tmp_path: Path, finished: Recipe, stand_ins: StandIns
) -> None:
    data = small("fld5b.yaml", tmp_path / "set", stand_ins)
    path = write_recipe(tmp_path / "recipe.yaml", data)
    driver = engine_in_background("run", "-c", str(path), "--runner", "inline")
    wait_until(lambda: bool(commits(tmp_path / "set", "phrases")))
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert not (tmp_path / "set" / "releases").exists()
    stages.run(parse_recipe(data), runner="inline")
    assert release_files(tmp_path / "set") == release_files(finished.dataset)
    assert check_commits(tmp_path / "set") > 0
    for folder in ("phrases", "masks", "similarity", "region_captions"):
        assert data_bytes(tmp_path / "set", folder) == data_bytes(Path(finished.dataset), folder)


def data_bytes(dataset: Path, node: str) -> dict[str, str]:
    """{name: sha256} of the data files of a node."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dataset.glob(f"{node}/*/*.parquet")}


@pytest.mark.parametrize("name", ["fld5b.yaml", "fld5b-cluster.yaml", "ocr-heavy.yaml"])
def test_every_checkpoint_that_a_recipe_names_has_a_stand_in_and_an_allowed_licence(name: str) -> None:
    data = yaml.safe_load((REPO / "pipelines" / "recipes" / name).read_text(encoding="utf-8"))
    named = {options["checkpoint"] for options in data["annotate"].values() if "checkpoint" in options}
    assert named <= set(KINDS)
    assert {licence_of(checkpoint) for checkpoint in named} <= set(data["emit"]["licences"])
