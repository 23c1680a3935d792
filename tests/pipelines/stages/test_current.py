"""current.json changes when a stage succeeds; commands warn if another recipe than the one named made it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipelines.cli.commands import app
from tests.runs import draw_photos, recipe_data, write_recipe


def engine(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def run(recipe: str, *arguments: str) -> Result:
    return engine("run", "-c", recipe, "--runner", "inline", *arguments)


@pytest.fixture
def recipes(tmp_path: Path) -> tuple[str, str, str]:
    """Three recipes for one data set: B has another threshold than A; C has another option that changes no answer."""
    draw_photos(tmp_path / "photos", 3)
    made = recipe_data(tmp_path / "set", tmp_path / "photos", {})
    other = copy.deepcopy(made) | {"filter": [{"min_score": {"floor": 0.99}}], "emit": {"name": "v2"}}
    same = copy.deepcopy(made)
    same["annotate"]["boxes"]["batch_size"] = 2
    paths = [write_recipe(tmp_path / f"{name}.yaml", data) for name, data in (("a", made), ("b", other), ("c", same))]
    return str(paths[0]), str(paths[1]), str(paths[2])


def current(recipe: str) -> Mapping[str, Any]:
    report: Mapping[str, Any] = json.loads((Path(recipe).parent / "set/current.json").read_text())
    return report


COMMANDS = (["status"], ["query", "SELECT count(*) FROM images"], ["why", "00001.png"], ["eval"])


def test_a_command_warns_if_another_recipe_made_the_state(recipes: tuple[str, str, str]) -> None:
    a, b, c = recipes
    assert run(a).exit_code == 0
    assert "was made by" not in engine("status", "-c", a).stderr
    assert "was made by" not in engine("status", "-c", c).stderr, "a batch size changes no state"
    assert run(b).exit_code == 0
    for command in COMMANDS:
        report = engine(*command, "-c", a).stderr
        assert "was made by '" in report, command
        assert "(runs/00002-" in report
        assert f"'engine run -c {a}'" in report
    assert "was made by" not in engine("status", "-c", b).stderr
    assert run(a).exit_code == 0
    assert "was made by" not in engine("status", "-c", a).stderr


def test_the_state_stays_until_a_stage_of_another_recipe_succeeds(recipes: tuple[str, str, str]) -> None:
    a, b, _ = recipes
    assert run(a).exit_code == 0
    before = current(a)
    assert before["settled"]
    failed = run(b, "--set", "annotate.boxes.start_fails=true")
    assert failed.exit_code == 1, failed.output
    assert current(a) == before
    assert "was made by" in engine("status", "-c", b).stderr


def test_the_first_state_is_not_settled_before_a_stage_succeeds(recipes: tuple[str, str, str]) -> None:
    a, _, _ = recipes
    failed = run(a, "--set", "annotate.boxes.start_fails=true")
    assert failed.exit_code == 1, failed.output
    assert current(a)["settled"] is False
    assert run(a).exit_code == 0
    assert current(a)["settled"] is True
