"""Releases in every format at once: of real photos, of drawn scenes and of hostile records.

`engine verify` opens each with every reader. Each annotation is in a format or counted as left out of it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from pipelines.stages import run as stages
from tests.pipelines.emit import hostile_release
from tests.pipelines.emit.damage import found
from tests.pipelines.emit.every_format import CHOSEN, SPLITS, emit_options, world
from tests.pipelines.emit.recount import accounts, kinds
from tests.runs import recipe
from tests.shared_data import shared

READERS = ("megatron.energon", "supervision", "trl", "datasets", "webdataset", "torch", "pycocotools")
PHOTOS = 24


@pytest.fixture(scope="module")
def drawn_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "set"
    stages.run(world(folder, 12), runner="inline")
    return folder / "releases/v1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of COCO: the one without objects, those with crowds, and others."""
    home, source = tmp_path_factory.mktemp("photos"), shared("coco/dev")
    instances = json.loads((source / "instances.json").read_text())
    captions = json.loads((source / "captions.json").read_text())
    crowds = {one["image_id"] for one in instances["annotations"] if one["iscrowd"]}
    objects = {one["image_id"] for one in instances["annotations"]}
    order = sorted(instances["images"], key=lambda one: (one["id"] in objects, one["id"] not in crowds, one["id"]))
    chosen = {one["id"] for one in order[:PHOTOS]}
    for name, content in (("instances.json", instances), ("captions.json", captions)):
        content["images"] = [one for one in content["images"] if one["id"] in chosen]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in chosen]
        (home / name).write_text(json.dumps(content))
    labels = [one["name"] for one in instances["categories"]]
    files = {"instances": f"{home}/instances.json", "captions": f"{home}/captions.json", "images": f"{source}/images"}
    changes = {
        "ingest": {"sources": [{"coco": files}], "shard_size": 10},
        "annotate": {"people": {"use": "human"}, "embed": {"use": "fake_embedder"}},
        "filter": [],
        "emit": emit_options(labels, splits=SPLITS),
    }
    stages.run(recipe(home / "set", "", {}, **changes), runner="inline")
    return home / "set/releases/v1"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_release.write_hostile(tmp_path_factory.mktemp("hostile") / "v1", CHOSEN)


@pytest.mark.parametrize("name", ["drawn_scenes", "photos"])
def test_every_reader_opens_every_format(name: str, request: pytest.FixtureRequest) -> None:
    checks = verify(str(request.getfixturevalue(name)))
    assert checks.ok, render_checks(checks)
    skipped = [sentence for check in checks for sentence in check.skipped]
    assert all("is not installed" in sentence for sentence in skipped)
    if all(_is_there(package) for package in READERS):
        assert skipped == []


def test_hostile_records_pass_the_checks_of_every_format(hostile: Path, own_rules_only: None) -> None:
    """benchmarks/slow/test_hostile_formats.py opens them with every reader."""
    assert found(hostile) == []


@pytest.mark.parametrize("name", ["drawn_scenes", "photos", "hostile"])
def test_every_annotation_is_in_a_format_or_counted_as_left_out(name: str, request: pytest.FixtureRequest) -> None:
    made_of = accounts(request.getfixturevalue(name))
    assert {key.partition(":")[0] for key in made_of} == {*CHOSEN, "embeddings"}
    assert {key: made for key, made in made_of.items() if made.held + made.left_out != made.there} == {}


def test_the_scenes_and_the_photos_have_what_formats_may_lose(drawn_scenes: Path, photos: Path) -> None:
    scenes, real = kinds(drawn_scenes), kinds(photos)
    assert min(scenes[what] for what in ("images without annotations", "quads", "masks", "phrases", "crowds")) > 0
    assert min(real[what] for what in ("masks", "crowds", "texts")) > 0
    for release in (drawn_scenes, photos):
        assert set(json.loads((release / "manifest.json").read_bytes())["splits"]) == {"train", "valid", "test"}


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
