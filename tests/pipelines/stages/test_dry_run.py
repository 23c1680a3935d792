"""A dry run names what would be redone, and the run redoes exactly that."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.dry_run import dry_run
from pipelines.stages.summary import render_dry_run
from tests.runs import draw_photos, journal, recipe_data

PHOTOS, SHARDS = 12, 3
Recipe = dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, and a finished data set of two detectors, their consensus and a captioner."""
    folder = tmp_path_factory.mktemp("dry")
    draw_photos(folder / "photos", PHOTOS)
    _run(_recipe(folder))
    return folder


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Recipe:
    """A recipe for a copy of it. The paths of the journals stay, because they are options too."""
    shutil.copytree(finished / "set", tmp_path / "set")
    return {**_recipe(finished), "dataset": str(tmp_path / "set")}


def _recipe(folder: Path) -> Recipe:
    ingest = {"sources": [{"folder": str(folder / "photos")}], "shard_size": 4}
    data = recipe_data(folder / "set", folder / "photos", {}, ingest=ingest)
    detectors = {name: {"use": "faulty", "journal": str(folder / name), "seed": 1} for name in ("left", "right")}
    return data | {"annotate": {**detectors, "objects": {"use": "consensus"}, "captions": {"use": "fake_captioner"}}}


def _run(data: Recipe) -> dict[str, int]:
    """Run all stages but emit. Returns {node: number of shards that were done}."""
    done: dict[str, int] = {}
    for stage in ("ingest", "annotate", "filter"):
        summary = stages.run(parse_recipe(data), stage=stage, runner="inline")
        done |= {name: tally.units for name, tally in summary.tallies.items() if tally.units}
    return done


def _todo(data: Recipe, **options: Any) -> dict[str, int]:
    rows = dry_run(parse_recipe(data), **options)
    return {row.node: row.todo for row in rows if row.todo and row.node != "emit"}


def _why(data: Recipe) -> dict[str, str]:
    return {row.node: row.why for row in dry_run(parse_recipe(data))}


def _changed(data: Recipe, node: str, **options: Any) -> Recipe:
    other = copy.deepcopy(data)
    other["annotate"][node] |= options
    return other


def _committed(dataset: str) -> dict[str, tuple[int, bytes]]:
    """{path: (time, bytes)} of every file that a node or ingest committed."""
    files = [path for path in Path(dataset).rglob("*") if path.is_file() and "runs" not in path.parts]
    return {
        str(path.relative_to(dataset)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in files
        if path.name != "current.json"
    }


def test_a_finished_data_set_has_nothing_to_do(data: Recipe) -> None:
    assert _todo(data) == {}
    assert _run(data) == {}


def test_one_option_of_one_specialist_redoes_that_node_and_its_dependants(data: Recipe, finished: Path) -> None:
    before = _committed(data["dataset"])
    counted = Counter(journal(finished / "left")), Counter(journal(finished / "right"))
    other = _changed(data, "right", seed=2)

    assert _todo(other) == dict.fromkeys(("right", "objects", "judge"), SHARDS)
    assert _committed(data["dataset"]) == before, "a dry run writes nothing"
    assert _run(other) == dict.fromkeys(("right", "objects", "judge"), SHARDS)

    after = _committed(data["dataset"])
    assert {name: after[name] for name in before} == before, "what was committed stays as it was"
    assert {name.split("/")[0] for name in set(after) - set(before)} == {"right", "objects", "judge"}
    assert Counter(journal(finished / "left")) == counted[0], "the other detector did not run"
    again = Counter(journal(finished / "right")) - counted[1]
    assert len(again) == PHOTOS
    assert set(again.values()) == {1}
    assert _todo(other) == {}


def test_the_reasons_name_the_change_and_its_dependants(data: Recipe) -> None:
    why = _why(_changed(data, "right", seed=3))
    assert why["left"] == why["captions"] == "up to date"
    assert why["right"].startswith("options, weights or inputs changed (was ")
    assert why["objects"] == "reads right"
    assert why["judge"] == "reads right, objects"


def test_a_setting_that_changes_no_answer_redoes_nothing(data: Recipe) -> None:
    assert _todo(_changed(data, "right", batch_size=3, timeout_s=9.0)) == {}


def test_a_filter_threshold_redoes_only_the_verdicts(data: Recipe) -> None:
    other = data | {"filter": [{"min_score": {"floor": 0.8}}]}
    assert _todo(other) == {"judge": SHARDS}
    assert _why(other)["judge"].startswith("rules, or a node it reads, changed (was ")
    assert _run(other) == {"judge": SHARDS}


def test_restored_options_find_their_earlier_answers(data: Recipe) -> None:
    _run(_changed(data, "captions"))
    _run(data | {"filter": ["min_score"]})
    assert _todo(data) == {}


def test_an_added_node_is_new_and_a_removed_one_redoes_only_the_verdicts(data: Recipe) -> None:
    more = copy.deepcopy(data)
    more["annotate"]["again"] = {"use": "fake_captioner"}
    assert _todo(more) == {"again": SHARDS, "judge": SHARDS}
    assert _why(more)["again"] == "new"
    less = copy.deepcopy(data)
    del less["annotate"]["captions"]
    assert _todo(less) == {"judge": SHARDS}


def test_a_shard_that_lacks_its_commit_is_not_finished(data: Recipe) -> None:
    next(Path(data["dataset"]).glob("objects/*/00001.json")).unlink()
    assert _todo(data) == {"objects": 1, "judge": 1}
    assert _why(data)["objects"] == "not finished"


def test_new_photos_are_counted_without_being_read(data: Recipe, tmp_path: Path) -> None:
    draw_photos(tmp_path / "more", 5, size=60)
    data["ingest"]["sources"].append({"folder": str(tmp_path / "more")})
    before = _committed(data["dataset"])
    assert _todo(data) == {"probe": 1}
    assert _why(data)["probe"] == "5 new inputs"
    assert _why(data)["left"] == "what the new inputs bring"
    assert "Nothing to do" not in render_dry_run(dry_run(parse_recipe(data)))
    assert _committed(data["dataset"]) == before


def test_a_stage_alone_shows_its_own_nodes(data: Recipe) -> None:
    other = _changed(data, "right", seed=5)
    assert set(_todo(other, stage="annotate")) == {"right", "objects"}
    with pytest.raises(ConfigError, match=r"--stage filter lacks 3 of 3 shards of 'right'"):
        dry_run(parse_recipe(other), stage="filter")


def test_a_stage_that_is_refused_leaves_the_data_set_as_it_was(data: Recipe) -> None:
    current = Path(data["dataset"]) / "current.json"
    before = current.read_bytes()
    with pytest.raises(ConfigError, match="run --stage annotate first"):
        stages.run(parse_recipe(_changed(data, "right", seed=6)), stage="filter", runner="inline")
    assert current.read_bytes() == before


def test_a_stage_refuses_outdated_answers_of_the_stage_before(data: Recipe) -> None:
    """If a node ran again, its dependants are outdated: --stage filter must not judge their old answers."""
    folder = next(Path(data["dataset"]).glob("right/*/00001.json")).parent
    (folder / "00001-r1.json").write_text((folder / "00001.json").read_text().replace('"revision": 0', '"revision": 1'))
    with pytest.raises(ConfigError, match="lacks 1 of 3 shards of 'objects'"):
        stages.run(parse_recipe(data), stage="filter", runner="inline")


def test_the_release_has_a_row(data: Recipe) -> None:
    assert _why(data)["emit"] == "new"
    stages.run(parse_recipe(data), stage="emit", runner="inline")
    assert _why(data)["emit"] == "up to date"
    other = data | {"filter": [{"min_score": {"floor": 0.9}}]}
    assert _why(other)["emit"] == "the name is taken: give another with --set emit.name=NAME"
    assert _why(other | {"emit": {}})["emit"] == "new, named by its content"
