"""`--dry-run --probe` times the nodes of a recipe on a few images and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.storage.files import Storage
from pipelines.explore.time_nodes import _copy_images, _count_images, time_nodes
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe_data


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    draw_photos(folder / "photos", 7)
    ingest = {"sources": [{"folder": str(folder / "photos")}, "world://?images=2"], "shard_size": 4}
    stages.run(parse_recipe(_data(folder, ingest=ingest)), stage="ingest", runner="inline")
    return folder


def _data(folder: Path, **changes: object) -> dict[str, object]:
    return recipe_data(folder / "set", folder / "photos", {}, **changes)


def _human(folder: Path) -> dict[str, object]:
    nodes = {"human": {"use": "human"}, "boxes": {"use": "fake_detector"}, "objects": {"use": "consensus"}}
    return _data(folder, annotate=nodes)


def test_a_probe_times_each_node_and_estimates_the_whole(ingested: Path) -> None:
    text = str(time_nodes(parse_recipe(_human(ingested)), 5))
    assert text.startswith("probe: 5 of 9 images")
    for node in ("human", "boxes", "objects", "together"):
        assert re.search(rf"^{node} +\d+\.\d ", text, re.MULTILINE)


def test_a_probe_takes_images_and_labels_of_as_many_shards_as_it_needs(ingested: Path, tmp_path: Path) -> None:
    data_set = Storage(str(ingested / "set"))
    assert _copy_images(data_set, Storage(str(tmp_path / "trial")), 6) == 6
    assert _copy_images(data_set, Storage(str(tmp_path / "all")), 100) == 9
    assert _count_images(data_set) == 9


def test_a_probe_leaves_the_data_set_as_it_was(ingested: Path) -> None:
    before = sorted(str(path) for path in (ingested / "set").rglob("*"))
    time_nodes(parse_recipe(_data(ingested)), 3)
    assert sorted(str(path) for path in (ingested / "set").rglob("*")) == before


def test_a_probe_before_ingest_names_the_stage_to_run(tmp_path: Path) -> None:
    text = str(time_nodes(parse_recipe(_data(tmp_path)), 3))
    assert text.startswith("probe: '")
    assert "run --stage ingest first" in text


def test_a_probe_names_the_component_that_cannot_start(ingested: Path) -> None:
    broken = {"boxes": {"use": "faulty", "start_fails": True}}
    text = str(time_nodes(parse_recipe(_data(ingested, annotate=broken)), 3))
    assert text.startswith("probe: boxes cannot start: RuntimeError: start_fails is set (fakes.py:")
