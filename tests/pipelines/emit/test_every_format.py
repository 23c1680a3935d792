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
from specialists.synthetic.shapes import CLASSES
from tests.pipelines.emit import hostile_release
from tests.pipelines.emit.damage import found
from tests.pipelines.emit.every_format import CHOSEN, SPLITS, WORLD, emit_options
from tests.pipelines.emit.recount import accounts, kinds, records_of
from tests.runs import recipe
from tests.shared_data import ROOT, shared

READERS = ("megatron.energon", "supervision", "trl", "datasets", "webdataset", "torch", "pycocotools")
PHOTOS = 24
COCO = ROOT / "coco/dev"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes, and photos of COCO if they are there: the one without objects, those with crowds, and others.

    One release, because opening one with every reader takes 20 seconds.
    """
    home = tmp_path_factory.mktemp("mixed")
    photos, labels = coco_photos(home) if COCO.exists() else ([], [])
    drawn = "uri LIKE 'world:%'"
    changes = {
        "ingest": {"sources": [WORLD.format(images=12), *photos], "shard_size": 10},
        "annotate": {
            "scenes": {"use": "tests.pipelines.emit.every_format:SceneLabels", "where": _images(drawn)},
            "people": {"use": "human", "where": _images(f"NOT {drawn}")},
            "embed": {"use": "fake_embedder"},
        },
        "filter": [],
        "emit": emit_options(sorted({*CLASSES, *labels}), splits=SPLITS),
    }
    stages.run(recipe(home / "set", "", {}, **changes), runner="inline")
    return home / "set/releases/v1"


def _images(condition: str) -> dict[str, object]:
    return {"sql": f"SELECT image_id FROM images WHERE {condition}", "needs": []}


def coco_photos(home: Path) -> tuple[list[dict[str, dict[str, str]]], list[str]]:
    """(a source of 24 photos, the names of all classes). Writes files of labels to `home`."""
    instances = json.loads((COCO / "instances.json").read_text())
    captions = json.loads((COCO / "captions.json").read_text())
    crowds = {one["image_id"] for one in instances["annotations"] if one["iscrowd"]}
    objects = {one["image_id"] for one in instances["annotations"]}
    order = sorted(instances["images"], key=lambda one: (one["id"] in objects, one["id"] not in crowds, one["id"]))
    chosen = {one["id"] for one in order[:PHOTOS]}
    for name, content in (("instances.json", instances), ("captions.json", captions)):
        content["images"] = [one for one in content["images"] if one["id"] in chosen]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in chosen]
        (home / name).write_text(json.dumps(content))
    files = {"instances": f"{home}/instances.json", "captions": f"{home}/captions.json", "images": f"{COCO}/images"}
    return [{"coco": files}], [one["name"] for one in instances["categories"]]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_release.write_hostile(tmp_path_factory.mktemp("hostile") / "v1", CHOSEN)


def test_every_reader_opens_every_format(mixed: Path) -> None:
    checks = verify(str(mixed))
    assert checks.ok, render_checks(checks)
    skipped = [sentence for check in checks for sentence in check.skipped]
    assert all("is not installed" in sentence for sentence in skipped)
    if all(_is_there(package) for package in READERS):
        assert skipped == []


def test_hostile_records_pass_the_checks_of_every_format(hostile: Path, own_rules_only: None) -> None:
    """benchmarks/slow/test_hostile_formats.py opens them with every reader."""
    assert found(hostile) == []


@pytest.mark.parametrize("name", ["mixed", "hostile"])
def test_every_annotation_is_in_a_format_or_counted_as_left_out(name: str, request: pytest.FixtureRequest) -> None:
    made_of = accounts(request.getfixturevalue(name))
    assert {key.partition(":")[0] for key in made_of} == {*CHOSEN, "embeddings"}
    assert {key: made for key, made in made_of.items() if made.held + made.left_out != made.there} == {}


def test_the_scenes_and_the_photos_have_what_formats_may_lose(mixed: Path) -> None:
    shared("coco/dev")
    records = records_of(mixed)
    drawn = [record for record in records if record["sources"][0]["uri"].startswith("world:")]
    scenes, real = kinds(drawn), kinds([record for record in records if record not in drawn])
    assert min(scenes[what] for what in ("images without annotations", "quads", "masks", "phrases", "crowds")) > 0
    assert min(real[what] for what in ("masks", "crowds", "texts")) > 0
    assert len(records) == 12 + PHOTOS
    assert set(json.loads((mixed / "manifest.json").read_bytes())["splits"]) == {"train", "valid", "test"}


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
