from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_recipe, parse_recipe
from engine.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_wrong_key_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match=r"'ingest.shard_sise': did you mean 'ingest.shard_size'\?"):
        parse_recipe({"dataset": "x", "ingest": {"shard_sise": 3}})


def test_a_value_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'ingest\.shard_size' in recipe is 0"):
        parse_recipe({"dataset": "x", "ingest": {"shard_size": 0}})


def test_a_recipe_without_a_data_set_is_told_so() -> None:
    with pytest.raises(ConfigError, match="lacks 'dataset'"):
        parse_recipe({})


def test_settings_reach_into_sections_and_lists(tmp_path: Path) -> None:
    path = write(tmp_path, "dataset: x\nannotate: {a: {use: b}}\nfilter: [min_side, {min_score: {floor: 0.3}}]\n")
    recipe = load_recipe(
        path, ["annotate.a.floor=0.5", "filter.min_score.floor=0.7", "filter.min_side.pixels=9", "emit.name=v2"]
    )
    assert recipe.annotate["a"] == {"use": "b", "floor": 0.5}
    assert recipe.filter == [{"min_side": {"pixels": 9}}, {"min_score": {"floor": 0.7}}]
    assert recipe.emit.name == "v2"


@pytest.mark.parametrize("setting", ["emit.name", "filter.nothing.floor=1", "=3", "dataset.x.y=1"])
def test_a_setting_that_fits_nowhere_is_an_error(tmp_path: Path, setting: str) -> None:
    path = write(tmp_path, "dataset: x\nfilter: [min_side]\n")
    with pytest.raises(ConfigError):
        load_recipe(path, [setting])


def test_variables_name_packages_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "here")
    recipe = parse_recipe({"dataset": "${env:PHOTOS}/set", "ingest": {"sources": ["${package:engine}/x"]}})
    assert recipe.dataset == "here/set"
    assert recipe.ingest.sources == [str(Path(__file__).parents[2] / "engine" / "x")]
    with pytest.raises(ConfigError, match="not installed"):
        parse_recipe({"dataset": "${package:nothing_of_that_name}"})


@pytest.mark.parametrize(("text", "found"), [("a: [", "not YAML"), ("- a", "holds list"), ("", "holds NoneType")])
def test_what_is_no_recipe_is_told_so(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        load_recipe(write(tmp_path, text))
