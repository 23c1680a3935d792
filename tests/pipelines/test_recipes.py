"""The packaged recipes: each loads, names existing components, and has valid options."""

from __future__ import annotations

from pathlib import Path

import pytest

from filters.judging.apply_rules import judge
from filters.judging.keep import counts, keep
from filters.judging.quantiles import filled, placeholders, quantile_paths
from filters.judging.try_options import try_options
from pipelines.filter.judge import rules_of
from pipelines.recipe import load_recipe
from pipelines.stages.state import annotators
from tests.builders import images, phrase, record, region, row, text
from tests.open_models import KINDS
from tests.runs import REPO

RECIPES = sorted((REPO / "pipelines" / "recipes").glob("*.yaml"))


@pytest.fixture(autouse=True)
def cached_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that has a commit for every checkpoint that the recipes name; the hub cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for checkpoint in KINDS:
        refs = tmp_path / f"models--{checkpoint.replace('/', '--')}" / "refs"
        refs.mkdir(parents=True)
        (refs / "main").write_text("a" * 40, encoding="utf-8")


def test_each_recipe_has_its_command_in_the_first_lines() -> None:
    assert {
        "cpu.yaml",
        "fld5b.yaml",
        "fld5b-cluster.yaml",
        "folder.yaml",
        "grit.yaml",
        "ocr-heavy.yaml",
        "quickstart.yaml",
    } <= {path.name for path in RECIPES}
    for path in RECIPES:
        opening = [line for line in path.read_text(encoding="utf-8").splitlines()[:8] if line.startswith("#")]
        assert any("engine run -c" in line or "make" in line for line in opening), path.name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_loads_and_names_existing_components_and_rules(path: Path) -> None:
    recipe = load_recipe(path)
    assert annotators(recipe)
    for name, rule, options in rules_of(recipe):
        try_options(name, rule, filled(options, placeholders(list(quantile_paths(options)))))


def test_the_grit_recipe_keeps_images_that_are_grounded_and_no_others() -> None:
    rules = rules_of(load_recipe(REPO / "pipelines" / "recipes" / "grit.yaml"))
    words = [text("A cat sleeps.", id="t")]
    sure = row("a", texts=words, regions=[region(id="r")], phrases=[phrase("t", region_ids=["r"])])
    unsure = row("b", texts=words, regions=[region(id="r", score=0.6)], phrases=[phrase("t", region_ids=["r"])])
    shard = record(sure, unsure, row("c", texts=words, regions=[region(id="r")]))
    verdicts = judge(shard, images(shard), None, rules)
    assert keep(shard, verdicts)["image_id"].to_pylist() == ["a"]
    assert counts(verdicts)["images"] == {"kept": 1, "ungrounded_image": 2}


def test_the_grit_recipe_applies_nms_across_classes() -> None:
    rules = rules_of(load_recipe(REPO / "pipelines" / "recipes" / "grit.yaml"))
    shard = record(
        texts=[text(id="t")],
        regions=[region(id="cat", score=0.9), region((10, 10, 60, 50), id="dog", label="dog", score=0.8)],
        phrases=[phrase("t", region_ids=["cat"])],
    )
    assert counts(judge(shard, images(shard), None, rules))["regions"] == {"kept": 1, "nms.across": 1}
