"""Components that fail on too many images: exit code, message and remaining files, in this process and in others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.cli.commands import app
from tests.runs import draw_photos, recipe_data, write_recipe


@pytest.fixture(params=("inline", "local"))
def runner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def outcomes(dataset: Path) -> dict[str, int]:
    found = account(Dataset.open(str(dataset)))
    assert found.balanced
    return {name: number for name, number in found.outcomes.items() if number}


def test_a_component_that_fails_on_a_large_share_ends_the_run_and_nothing_is_released(
    tmp_path: Path, runner: str
) -> None:
    ids = draw_photos(tmp_path / "photos", 20)
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {"raise_on": ids[:9]})
    command = ["run", "-c", str(write_recipe(tmp_path / "recipe.yaml", data)), "--runner", runner]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "engine: boxes failed on 9 of 20 images, a larger share than run.max_failed_share (0.2)" in refused.output
    assert outcomes(tmp_path / "set") == {"kept": 11, "quarantined": 9}
    assert not (tmp_path / "set/releases").exists()
    allowed = CliRunner().invoke(app, [*command, "--set", "run.max_failed_share=0.5"])
    assert (allowed.exit_code, outcomes(tmp_path / "set")) == (0, {"kept": 11, "quarantined": 9})


def test_a_component_that_fails_on_everything_ends_the_run_for_any_number_of_images(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {"raise_on": [""]}, run={"max_failed_share": 1.0})
    path = str(write_recipe(tmp_path / "recipe.yaml", data))
    refused = CliRunner().invoke(app, ["run", "-c", path, "--runner", "inline"])
    assert refused.exit_code == 1
    assert "engine: boxes failed on all 3 images it got; the first error: " in refused.output
    assert outcomes(tmp_path / "set") == {"quarantined": 3}
    assert not (tmp_path / "set/releases").exists()
