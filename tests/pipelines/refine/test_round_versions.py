"""Which nodes of a round are made again when a version is raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.storage.files import Storage
from pipelines.recipe import Recipe, parse_recipe
from pipelines.refine import nodes, standing
from pipelines.stages.state import read_state
from tests.pipelines.refine.small_set import recipe_data


@pytest.fixture(params=[["<OD>"], ["<OD>", "<CAPTION>"]], ids=["boxes", "boxes and texts"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    return parse_recipe(recipe_data(tmp_path / "set", tasks=request.param))


def keys(recipe: Recipe) -> dict[str, str]:
    state = read_state(Storage(recipe.dataset), recipe)
    made = nodes.round_nodes(recipe, state.annotators, state.judge, 1, students=[])
    pairs = nodes.pairs_node(recipe, state.annotators, made.given, 1)
    return {"pairs": pairs.key, "propose": made.propose.key, "merge": made.merge.key} | {
        "round": standing.options_digest(recipe)
    }


def changed_keys(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, key in before.items() if after[name] != key}


def test_raising_the_merge_version_makes_only_the_merge_and_its_decision_again(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(recipe)
    for module in (nodes, standing):
        monkeypatch.setattr(module, "MERGE_VERSION", nodes.MERGE_VERSION + 1)
    assert changed_keys(before, keys(recipe)) == {"merge", "round"}


def test_raising_the_version_of_texts_makes_only_merges_that_write_texts_again(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(recipe)
    monkeypatch.setattr(nodes, "TEXTS_VERSION", nodes.TEXTS_VERSION + 1)
    assert changed_keys(before, keys(recipe)) == ({"merge"} if len(recipe.refine.tasks) > 1 else set())
