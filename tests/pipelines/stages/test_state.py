"""Each stage computes the state of a data set once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.storage.files import Storage
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages import state as state_module
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import run
from pipelines.stages.state import read_state
from pipelines.stages.what_if import what_if


def drawn(dataset: Path, floor: float = 0.3) -> Recipe:
    """Two shards of drawn scenes; no rule needs the whole data set."""
    return parse_recipe(
        {
            "dataset": str(dataset),
            "ingest": {"sources": ["world://?images=4&size=48"], "shard_size": 2},
            "annotate": {"noisy": {"use": "noisy_annotator"}, "objects": {"use": "consensus"}},
            "filter": [{"min_score": {"floor": floor}}],
            "emit": {"name": "v1"},
        }
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the whole-set node, the judge and the rounds are computed from the recipe and the commits."""
    counts = {"survey_node": 0, "judge_node": 0, "standing": 0}

    def counted(name: str) -> None:
        original = getattr(state_module, name)

        def count(*arguments: object) -> object:
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(state_module, name, count)

    for name in counts:
        counted(name)
    return counts


def test_each_stage_computes_the_state_once(tmp_path: Path, calls: dict[str, int]) -> None:
    recipe = drawn(tmp_path)
    run(recipe, stage="ingest", runner="inline")
    for stage in ("annotate", "filter", "emit"):
        calls.update(dict.fromkeys(calls, 0))
        run(recipe, stage=stage, runner="inline")
        assert calls == {"survey_node": 1, "judge_node": 1, "standing": 1}, stage


def test_predictions_compute_the_state_once(tmp_path: Path, calls: dict[str, int]) -> None:
    run(drawn(tmp_path), runner="inline")
    calls.update(dict.fromkeys(calls, 0))
    dry_run(drawn(tmp_path))
    assert calls == {"survey_node": 1, "judge_node": 1, "standing": 1}
    calls.update(dict.fromkeys(calls, 0))
    what_if(drawn(tmp_path, floor=0.6))
    assert calls == {"survey_node": 1, "judge_node": 1, "standing": 0}


def test_a_renewed_state_has_the_same_nodes(tmp_path: Path) -> None:
    recipe = drawn(tmp_path)
    run(recipe, runner="inline")
    state = read_state(Storage(recipe.dataset), recipe)
    assert state.judge is state.judge
    assert state.renewed().judge is not state.judge
    assert state.renewed().judge.key == state.judge.key
    assert state.renewed().annotators is state.annotators
