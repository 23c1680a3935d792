"""Inputs whose host does not answer at first: reported, and read again by the same command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.dry_run import dry_run
from tests.runs import recipe_data
from tests.written_sources import photographs, web_host


def outcomes(dataset: Path) -> dict[str, int]:
    found = account(Dataset.open(str(dataset)))
    assert found.balanced
    return {name: number for name, number in found.outcomes.items() if number}


@pytest.fixture
def answers(tmp_path: Path) -> dict[str, Any]:
    return {f"/{path.name}": path.read_bytes() for path in photographs(tmp_path / "photos", 4)}


def test_inputs_of_a_host_that_was_down_are_read_by_the_next_run(tmp_path: Path, answers: dict[str, Any]) -> None:
    photos = dict(answers)
    answers.update({"/00001.png": 403, "/00002.jpg": 404})
    with web_host(answers) as (url, requested):
        (tmp_path / "list.txt").write_text("".join(f"{url}{name}\n" for name in photos))
        recipe = parse_recipe(
            recipe_data(tmp_path / "set", "", {}, ingest={"sources": [{"uris": str(tmp_path / "list.txt")}]})
        )
        first = stages.run(recipe, runner="inline")
        note = "1 input could not be read now (1 unreachable): the same command tries again."
        assert note in first.notes
        assert outcomes(tmp_path / "set") == {"kept": 2, "quarantined": 2}
        row = dry_run(recipe, stage="ingest")[0]
        assert (row.todo, note in row.why) == (1, True)
        answers.update(photos)
        requested.clear()
        second = stages.run(parse_recipe(recipe.model_dump(mode="json") | {"emit": {"name": "v2"}}), runner="inline")
        assert set(requested) >= {"/00001.png"}
        assert second.notes == []
        assert outcomes(tmp_path / "set") == {"kept": 4}


def test_a_host_that_stays_down_is_not_tried_by_every_run(tmp_path: Path, answers: dict[str, Any]) -> None:
    answers["/00001.png"] = 403
    with web_host(answers) as (url, requested):
        (tmp_path / "list.txt").write_text("".join(f"{url}{name}\n" for name in answers))
        ingest = {"sources": [{"uris": str(tmp_path / "list.txt")}]}
        recipe = parse_recipe({"dataset": str(tmp_path / "set"), "ingest": ingest, "run": {"read_attempts": 2}})
        notes = [stages.run(recipe, stage="ingest", runner="inline").notes for _ in range(3)]
        assert [note[0].rpartition(": ")[2] for note in notes] == [
            "the same command tries again.",
            "try again with --retry-failed.",
            "try again with --retry-failed.",
        ]
        assert requested.count("/00001.png") == 2
        assert requested.count("/00000.jpg") == 1
