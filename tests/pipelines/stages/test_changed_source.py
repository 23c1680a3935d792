"""If a user's component changed but its version did not, a run and a dry run print a note and redo nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.dry_run import dry_run
from tests.runs import draw_photos

CODE = """
from engine.schema import Answer, Region

class Mine:
    needs = ("pixels",)
    gives = ("boxes",)
    version = {version}
    deterministic = True
    batch_size = 4

    def load(self): pass

    def annotate(self, batch):
        return [Answer(regions=[Region(0, 0, {x}, 10, "cat", score=0.9)]) for _ in batch]
"""
TOLD = (
    "'boxes': mine_of_test.py changed but the version of Mine did not, so the answers of 2 shards are kept: "
    "raise 'version' to make them again."
)


def test_a_note_names_a_component_whose_source_changed_but_not_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    draw_photos(tmp_path / "photos", 8)
    data: dict[str, Any] = {
        "dataset": str(tmp_path / "set"),
        "ingest": {"sources": [{"folder": str(tmp_path / "photos")}], "shard_size": 4},
        "annotate": {"boxes": {"use": "mine_of_test:Mine"}, "objects": {"use": "consensus"}},
    }

    def write(**changes: Any) -> None:
        (tmp_path / "mine_of_test.py").write_text(CODE.format(**{"version": 1, "x": 10, **changes}))
        sys.modules.pop("mine_of_test", None)

    def run() -> list[str]:
        return stages.run(parse_recipe(data), stage="annotate", runner="inline").notes

    write()
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    assert run() == []
    (tmp_path / "mine_of_test.py").write_text("# a comment changes nothing\n" + CODE.format(version=1, x=10))
    assert run() == []
    write(x=11)
    assert run() == [TOLD]
    row = next(row for row in dry_run(parse_recipe(data), stage="annotate") if row.node == "boxes")
    assert (row.todo, row.why) == (0, f"up to date; {TOLD}")
    write(x=11, version=2)
    assert run() == []
