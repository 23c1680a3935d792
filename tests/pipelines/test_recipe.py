from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigError
from pipelines.recipe import load_recipe, parse_recipe


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


def test_a_recipe_without_a_data_set_is_refused() -> None:
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


WRONG = [
    ("dataset:\n", r"'dataset' in .*, line 1, is empty: give a value"),
    ("dataset: ''\n", "'dataset' in .*, line 1, is empty: give a folder or URL"),
    ("dataset: 3\n", "'dataset' in .*, line 1, is 3: expected text, so quote it: '3'"),
    ("dataset: 2024-01-01\n", "'dataset' in .*, line 1, is 2024-01-01: expected text"),
    ("dataset: x\nfilter:\n", "'filter' in .*, line 2, is empty"),
    ("dataset: x\nfilter: {min_score: {floor: 1}}\n", r"'filter' in .*, line 2, .*expected a list of rules, such as"),
    ("dataset: x\nfilter: [3]\n", r"'filter.0' in .*, line 2, is 3: expected a rule's name"),
    ("dataset: x\nannotate: [ssd]\n", r"'annotate' in .*, line 2, .*expected nodes by name, such as 'ssd:"),
    ("dataset: x\nannotate:\n  ssd: ssd_mobilenet\n", r"'annotate.ssd' in .*, line 3, .*expected what it runs"),
    (
        "dataset: x\nannotate:\n  1: {use: human}\n",
        r"'annotate.1' in .*, line 3, is 1: expected text, so quote it: '1'",
    ),
    (
        "dataset: x\ningest: {sources: photos}\n",
        r"'ingest.sources' in .*, line 2, is 'photos': expected a list, such as",
    ),
    ("dataset: x\ningest: 3\n", r"'ingest' in .*, line 2, is 3: expected keys and values"),
    ("dataset: x\ningest: {shard_size: true}\n", r"'ingest.shard_size' in .*, line 2, is true: expected a number"),
    ("dataset: x\ningest: {shard_size: '5'}\n", r"is the text '5': expected a number, so remove the quotes"),
    ("dataset: x\ningest: {pack: 1}\n", r"'ingest.pack' in .*, line 2, is 1: expected true or false"),
    ("dataset: x\ningest: {max_seconds: .nan}\n", r"'ingest.max_seconds' in .*, line 2, is nan: .*finite"),
    ("dataset: x\nannotate: {a: {use: human, b: [.nan]}}\n", r"'annotate.a.b.0' .*is nan: expected a number"),
    ("datset: x\n", r"Unknown key in .*, line 1, 'datset': did you mean 'dataset'\?"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_value_of_the_wrong_shape_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_number_from_the_environment_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARD", "7")
    assert parse_recipe({"dataset": "x", "ingest": {"shard_size": "${env:SHARD}"}}).ingest.shard_size == 7


@pytest.mark.parametrize("text", ["${env}", "${env:}", "${env:A-B}", "${env:HOME", "${HOME}", "${evn:HOME}"])
def test_an_unknown_variable_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a variable|Unknown variable kind 'evn': did you mean 'env'"):
        parse_recipe({"dataset": text})


def test_variables_name_packages_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "here")
    recipe = parse_recipe({"dataset": "${env:PHOTOS}/set", "ingest": {"sources": ["${package:engine}/x"]}})
    assert recipe.dataset == "here/set"
    assert recipe.ingest.sources == [str(Path(__file__).parents[2] / "engine" / "x")]
    with pytest.raises(ConfigError, match="not installed"):
        parse_recipe({"dataset": "${package:nothing_of_that_name}"})


@pytest.mark.parametrize(("text", "found"), [("a: [", "not YAML"), ("- a", "holds a list"), ("", "holds nothing")])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        load_recipe(write(tmp_path, text))
