"""Ingest in this process: shards, duplicates, labels, quarantine, packing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from engine.errors import ConfigError
from engine.images.locate import image_bytes
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.cli.commands import app
from pipelines.ingest.list_inputs import list_inputs
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, failures, journal


def ingest(dataset: Path, *sources: Any, **options: Any) -> None:
    data = {"dataset": str(dataset), "ingest": {"sources": list(sources), "shard_size": 4, **options}}
    stages.run(parse_recipe(data), stage="ingest", runner="inline")


def images(dataset: Path) -> dict[str, dict[str, Any]]:
    """{file name of the locator's URI: row}, from the latest revisions."""
    storage = Storage(str(dataset))
    rows = [
        row
        for path in Commits(storage, "images").data_files().values()
        for row in pq.read_table(dataset / path).to_pylist()
    ]
    return {Path(row["uri"]).name: row for row in rows}


def shards(dataset: Path) -> list[list[str]]:
    files = sorted(Commits(Storage(str(dataset)), "images").data_files().items())
    return [pq.read_table(dataset / path)["image_id"].to_pylist() for _, path in files]


def coco(folder: Path, name: str, width: int, height: int, **more: Any) -> dict[str, Any]:
    """A COCO source with one image and one box: x 2, y 3, 10 wide, 5 high."""
    instances = folder.parent / f"{folder.name}-{name}.json"
    content = {
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [2, 3, 10, 5], "iscrowd": 0}],
        "categories": [{"id": 7, "name": "cat"}],
    }
    instances.write_text(json.dumps(content))
    return {"coco": {"instances": str(instances), "images": str(folder), **more}}


def test_images_are_assigned_in_listing_order_and_stay_in_their_shard(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    ids = draw_photos(folder, 6)
    ingest(dataset, {"folder": str(folder)})
    assert shards(dataset) == [ids[:4], ids[4:]]
    Image.new("RGB", (30, 30), "white").save(folder / "00000-before-all.png")
    ingest(dataset, {"folder": str(folder)})
    assert shards(dataset)[:2] == [ids[:4], ids[4:]]
    assert len(shards(dataset)[2]) == 1


def test_an_exact_duplicate_is_one_image_with_two_sources(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 2)
    shutil.copy(folder / "00000.png", folder / "copy.jpg")
    ingest(dataset, {"folder": str(folder)})
    assert len(images(dataset)) == 2
    sources = [Path(source["uri"]).name for source in images(dataset)["00000.png"]["sources"]]
    assert sources == ["00000.png", "copy.jpg"]


def test_a_duplicate_found_later_adds_a_source_and_moves_no_image(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    ids = draw_photos(folder, 5)
    ingest(dataset, {"folder": str(folder)})
    shutil.copy(folder / "00001.png", folder / "later.png")
    ingest(dataset, {"folder": str(folder)})
    assert shards(dataset) == [ids[:4], ids[4:]]
    assert len(images(dataset)["00001.png"]["sources"]) == 2


def test_labels_added_later_only_rerun_the_human_node(tmp_path: Path) -> None:
    folder, dataset, diary = tmp_path / "photos", tmp_path / "set", tmp_path / "journal"
    draw_photos(folder, 6)
    annotate = {"human": {"use": "human"}, "boxes": {"use": "faulty", "journal": str(diary)}}
    data = {
        "dataset": str(dataset),
        "ingest": {"sources": [{"folder": str(folder)}], "shard_size": 4},
        "annotate": annotate,
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    stages.run(parse_recipe(data), stage="annotate", runner="inline")
    assert len(journal(diary)) == 6
    data["ingest"]["sources"].append(coco(folder, "00001.png", 25, 24))  # type: ignore[index]
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    stages.run(parse_recipe(data), stage="annotate", runner="inline")
    assert len(journal(diary)) == 6, "pixels did not change, so no detector looks again"
    found = [
        region
        for path in Commits(Storage(str(dataset)), _folder(dataset, "human")).data_files().values()
        for row in pq.read_table(dataset / path).to_pylist()
        for region in row["regions"]
    ]
    assert [(region["label"], region["x1"], region["score"], region["producer"]) for region in found] == [
        ("cat", 2.0, None, "human")
    ]


def _folder(dataset: Path, node: str) -> str:
    (key,) = (dataset / node).iterdir()
    return f"{node}/{key.name}"


def test_equal_labels_of_two_sources_are_stored_once(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 1)
    one = coco(folder, "00000.png", 24, 24)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    ingest(dataset, one, coco(other, "00000.png", 24, 24))
    (labels,) = (dataset / "labels").glob("*.parquet")
    assert [len(row) for row in pq.read_table(labels)["regions"].to_pylist()] == [1]
    assert len(images(dataset)["00000.png"]["sources"]) == 2


def test_exif_turns_size_and_boxes_but_not_the_bytes(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    folder.mkdir()
    photo = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    photo.save(folder / "turned.jpg", exif=exif)
    before = (folder / "turned.jpg").read_bytes()
    ingest(dataset, coco(folder, "turned.jpg", 40, 20), pack=True)
    (row,) = images(dataset).values()
    assert (row["width"], row["height"]) == (20, 40)
    (labels,) = (dataset / "labels").glob("*.parquet")
    (region,) = pq.read_table(labels)["regions"].to_pylist()[0]
    # Clockwise by 90 degrees: x' = 20 - y, y' = x.
    assert [region[name] for name in ("x1", "y1", "x2", "y2")] == [12, 2, 17, 12]
    assert image_bytes(Storage(str(dataset)), row) == before


def test_a_file_that_is_no_image_is_quarantined_with_a_reason(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 2)
    (folder / "empty.jpg").touch()
    (folder / "notes.png").write_text("not a picture")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    Image.new("RGB", (3000, 2000)).save(folder / "large.png")
    ingest(dataset, {"folder": str(folder)}, max_pixels=1_000_000)
    reasons = sorted(failure["reason"] for failure in failures(dataset, "probe"))
    assert reasons == ["empty", "missing", "not_an_image", "too_many_pixels"]
    assert len(images(dataset)) == 2


def test_a_packed_set_does_not_need_its_photos(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 5)
    data = {
        "dataset": str(dataset),
        "ingest": {"sources": [{"folder": str(folder)}], "shard_size": 4, "pack": True},
        "annotate": {"boxes": {"use": "fake_detector"}},
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    shutil.rmtree(folder)
    dataset = dataset.rename(tmp_path / "moved")
    summary = stages.run(parse_recipe(data | {"dataset": str(dataset)}), stage="annotate", runner="inline")
    assert (summary.tallies["boxes"].items, summary.tallies["boxes"].failed) == (5, 0)


def test_with_missing_fail_a_changed_photo_is_a_failure(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 3)
    data = {
        "dataset": str(dataset),
        "ingest": {"sources": [{"folder": str(folder)}]},
        "annotate": {"boxes": {"use": "fake_detector"}},
        "run": {"missing": "fail"},
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    Image.new("RGB", (9, 9)).save(folder / "00001.png")
    stages.run(parse_recipe(data), stage="annotate", runner="inline")
    assert [failure["reason"] for failure in failures(dataset, "boxes")] == ["changed"]


@pytest.mark.parametrize("pack", [False, True])
def test_the_synthetic_world_is_a_source_like_any_other(tmp_path: Path, pack: bool) -> None:
    data = {
        "dataset": str(tmp_path),
        "ingest": {"sources": [{"world": "world://?images=6&size=64&seed=3"}], "pack": pack},
        "annotate": {"human": {"use": "human"}, "noisy": {"use": "noisy_annotator"}, "pixels": {"use": "decodes"}},
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    summary = stages.run(parse_recipe(data), stage="annotate", runner="inline")
    assert {name: (tally.items, tally.failed) for name, tally in summary.tallies.items()} == dict.fromkeys(
        ["human", "noisy", "pixels"], (6, 0)
    )


def test_labels_added_to_the_same_json_are_stored(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 1)
    source = coco(folder, "00000.png", 24, 24)
    ingest(dataset, source)
    path = Path(source["coco"]["instances"])
    content = json.loads(path.read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 2, "bbox": [0, 0, 4, 4]})
    path.write_text(json.dumps(content))
    ingest(dataset, source)
    (record,) = (dataset / "images").glob("00000-r*.json")
    labels = json.loads(record.read_text())["files"]["labels"]["path"]
    assert [len(row) for row in pq.read_table(dataset / labels)["regions"].to_pylist()] == [2]


def test_a_data_set_inside_its_source_is_refused(tmp_path: Path) -> None:
    draw_photos(tmp_path, 1)
    with pytest.raises(ConfigError, match="lies inside its source"):
        ingest(tmp_path / "set", {"folder": str(tmp_path)})


def test_two_listings_at_once_list_every_input_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.ingest import list_inputs as module

    folder, dataset = tmp_path / "photos", tmp_path / "set"
    draw_photos(folder, 5)
    storage, real = Storage(str(dataset)), module.KnownInputs
    sources = [{"folder": str(folder)}]
    other = iter([True])

    def known(commits: Commits) -> Any:
        answer = real(commits)
        if next(other, False):  # a second driver lists everything between our two reads
            module.list_inputs(storage, sources)
        return answer

    monkeypatch.setattr(module, "KnownInputs", known)
    module.list_inputs(storage, sources)
    assert sum(pq.read_table(path).num_rows for path in (dataset / "inputs").glob("*.parquet")) == 5


def test_progress_of_a_listing_counts_known_inputs_too(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)
    storage, sources, progress = Storage(str(tmp_path / "set")), [{"folder": str(tmp_path / "photos")}], list[int]()
    assert list_inputs(storage, sources, progress.append) == 3
    assert list_inputs(storage, sources, progress.append) == 0
    assert progress == [1, 2, 3, 1, 2, 3]


def test_a_source_named_twice_is_read_once_with_a_note(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)
    source = {"folder": str(tmp_path / "photos")}
    data = {"dataset": str(tmp_path / "set"), "ingest": {"sources": [source, source]}}
    summary = stages.run(parse_recipe(data), stage="ingest", runner="inline")
    assert summary.listed == len(images(tmp_path / "set")) == 3
    assert any("twice: it was read once" in note for counts in summary.sources.values() for note in counts["notes"])


@pytest.mark.parametrize("empty", ["folder", "uris", "parquet"])
def test_an_empty_source_is_an_error_that_names_it(tmp_path: Path, empty: str) -> None:
    source = tmp_path / empty
    if empty == "folder":
        source.mkdir()
    elif empty == "uris":
        source.write_text("\n")
    else:
        pq.write_table(pa.table({"image": pa.array([], pa.binary())}), source)
    with pytest.raises(ConfigError, match=empty):
        ingest(tmp_path / "set", {empty: str(source)})
    assert not (tmp_path / "set/images").exists()


def test_a_listing_that_fails_midway_is_continued_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photos(tmp_path / "photos", 5)
    source = {"folder": str(tmp_path / "photos")}
    monkeypatch.setattr("pipelines.ingest.list_inputs.CHUNK", 2)
    storage = Storage(str(tmp_path / "set"))

    def fail(looked: int) -> None:
        if looked == 4:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list_inputs(storage, [source], fail)
    assert list_inputs(storage, [source]) == 3
    ingest(tmp_path / "set", source)
    assert len(images(tmp_path / "set")) == 5


def test_an_image_whose_size_is_corrected_in_the_json_is_ingested(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 1, size=30)
    dataset = tmp_path / "set"
    ingest(dataset, coco(tmp_path / "photos", "00000.png", 99, 30))
    assert [failure["reason"] for failure in failures(dataset, "probe")] == ["labels_of_another_size"]
    assert images(dataset) == {}
    ingest(dataset, coco(tmp_path / "photos", "00000.png", 30, 30))
    assert list(images(dataset)) == ["00000.png"]


def test_an_image_deleted_before_it_was_assigned_is_not_reported_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photos(tmp_path / "photos", 6)

    def killed(*_: Any) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.ingest.assign_shards.assign_shards", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest(tmp_path / "set", {"folder": str(tmp_path / "photos")})
    (tmp_path / "photos/00002.png").unlink()
    ingest(tmp_path / "set", {"folder": str(tmp_path / "photos")})
    assert len(images(tmp_path / "set")) == 5
    checked = CliRunner().invoke(app, ["check", "-d", str(tmp_path / "set")])
    assert (checked.exit_code, checked.exception) == (0, None), checked.output
