"""Labels, captions and licences that were corrected or removed, and files that are gone, replaced, touched or moved.

Each data set ends like a fresh one of the same sources.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.run import Summary

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def draw(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (colour % 256, colour // 256, 7)).save(path)


def write_coco(path: Path, boxes: Mapping[str, list[tuple[int, int]]]) -> None:
    """A json of these files: (category, x) of each box, which is 10 wide and 8 high."""
    images = [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(boxes, 1)]
    boxes = [
        {"image_id": n, "category_id": category, "bbox": [x, 2, 10, 8], "iscrowd": 0}
        for n, found in enumerate(boxes.values(), 1)
        for category, x in found
    ]
    content = {"images": images, "annotations": [{"id": n, **box} for n, box in enumerate(boxes)]}
    path.write_text(json.dumps(content | {"categories": CATEGORIES}))


def ingest(home: Path, *sources: Any, dataset: str = "set", **options: Any) -> Summary:
    data = {
        "dataset": str(home / dataset),
        "ingest": {"sources": list(sources), "shard_size": 3, **options},
        "annotate": {"human": {"use": "human"}},
    }
    return stages.run(parse_recipe(data), stage="ingest", runner="inline")


def coco(home: Path) -> dict[str, Any]:
    return {"coco": {"instances": str(home / "inst.json"), "images": str(home / "photos")}}


def labels(home: Path, dataset: str = "set", part: str = "labels") -> dict[str, list[tuple[str, float]]]:
    """{file name: labels and left sides of the boxes, sorted}"""
    storage = Storage(str(home / dataset))
    commits = Commits(storage, "images")
    found: dict[str, list[tuple[str, float]]] = {}
    for shard, revision in enumerate(commits.revisions()):
        files = commits.record(shard, int(revision)).files
        names = {
            row["image_id"]: Path(row["uri"]).name if row["uri"].startswith("/") else row["image_id"]
            for row in pq.read_table(storage.path(files["data"].path)).to_pylist()
        }
        for row in pq.read_table(storage.path(files[part].path)).to_pylist() if part in files else ():
            items = [(region["label"], region["x1"]) for region in row["regions"]]
            items += [(text["text"], -1.0) for text in row["texts"]]
            if items:
                found[names[row["image_id"]]] = sorted(items)
    return found


def records(home: Path, folder: str) -> list[str]:
    return sorted(path.name for path in (home / "set" / folder).glob("*.json"))


def inputs(home: Path) -> dict[str, int]:
    rows = query(Dataset.open(str(home / "set")), "SELECT outcome, count(*) AS n FROM inputs GROUP BY 1 ORDER BY 1")
    return dict(zip(rows["outcome"].to_pylist(), rows["n"].to_pylist(), strict=True))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number in range(4):
        draw(tmp_path / "photos" / f"{number}.png", number)
    write_coco(tmp_path / "inst.json", {"0.png": [(1, 3)], "1.png": [(1, 4), (2, 9)], "2.png": [], "3.png": [(2, 5)]})
    return tmp_path


def test_corrected_labels_replace_those_before_and_only_their_shards_change(home: Path) -> None:
    ingest(home, coco(home))
    write_coco(home / "inst.json", {"0.png": [(2, 3)], "1.png": [(1, 6)], "2.png": [(1, 1)], "3.png": [(2, 5)]})
    notes = ingest(home, coco(home)).notes
    assert labels(home) == {
        "0.png": [("dog", 3)],
        "1.png": [("cat", 6)],
        "2.png": [("cat", 1)],
        "3.png": [("dog", 5)],
    }
    assert notes == [
        f"'{home}/inst.json' has other labels for 3 images (0.png, 1.png, 2.png): they replace the labels before."
    ]
    assert records(home, "images") == ["00000-r1.json", "00000.json", "00001.json"]
    assert ingest(home, coco(home)).notes == []
    assert account(Dataset.open(str(home / "set"))).outcomes["duplicates"] == 0


def test_restored_labels_are_valid_again(home: Path) -> None:
    before = (home / "inst.json").read_bytes()
    ingest(home, coco(home))
    first = labels(home)
    write_coco(home / "inst.json", {"0.png": [], "1.png": [(1, 6)], "2.png": [], "3.png": []})
    ingest(home, coco(home))
    assert labels(home) == {"1.png": [("cat", 6)]}
    (home / "inst.json").write_bytes(before)
    assert ingest(home, coco(home)).listed == 0
    assert labels(home) == first


def test_an_image_removed_from_the_json_stays_without_labels(home: Path) -> None:
    ingest(home, coco(home))
    write_coco(home / "inst.json", {"0.png": [(1, 3)], "2.png": [], "3.png": [(2, 5)]})
    (note,) = ingest(home, coco(home)).notes
    assert (
        note
        == f"'{home}/inst.json' no longer lists 1 image (1.png): the labels it gave for it are removed, images stay."
    )
    assert labels(home) == {"0.png": [("cat", 3)], "3.png": [("dog", 5)]}
    counted = account(Dataset.open(str(home / "set")))
    assert (counted.inputs, counted.balanced) == (4, True)


def test_labels_of_other_sources_stay(home: Path) -> None:
    write_coco(home / "other.json", {"1.png": [(2, 20)]})
    other = {"coco": {"instances": str(home / "other.json"), "images": str(home / "photos")}}
    ingest(home, coco(home), other)
    assert labels(home)["1.png"] == [("cat", 4), ("dog", 9), ("dog", 20)]
    write_coco(home / "inst.json", {"0.png": [(1, 3)], "1.png": [], "2.png": [], "3.png": [(2, 5)]})
    ingest(home, coco(home), other)
    assert labels(home)["1.png"] == [("dog", 20)]
    assert (ingest(home, other).notes, labels(home)["0.png"]) == ([], [("cat", 3)])


def test_corrected_labels_replace_the_truth_of_audit_images(home: Path) -> None:
    (home / "audit.txt").write_text("1.png\n")
    audit = {"list": str(home / "audit.txt")}
    ingest(home, coco(home), audit=audit)
    assert labels(home, part="truth") == {"1.png": [("cat", 4), ("dog", 9)]}
    write_coco(home / "inst.json", {"0.png": [(1, 3)], "1.png": [(1, 7)], "2.png": [], "3.png": [(2, 5)]})
    ingest(home, coco(home), audit=audit)
    assert labels(home, part="truth") == {"1.png": [("cat", 7)]}
    assert "1.png" not in labels(home)


def test_corrected_captions_of_a_list_replace_those_before(home: Path) -> None:
    source = {"uris": {"path": str(home / "list.jsonl"), "base": str(home / "photos")}}
    lines = [{"uri": f"{n}.png", "caption": f"a dgo {n}"} for n in range(4)]
    (home / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ingest(home, source)
    lines[1] |= {"caption": "a dog"}
    del lines[2]["caption"]
    (home / "list.jsonl").write_text("\n".join(map(json.dumps, lines[:3])))
    notes = ingest(home, source).notes
    assert labels(home) == {"0.png": [("a dgo 0", -1)], "1.png": [("a dog", -1)]}
    assert [sentence.split("list.jsonl' ")[1] for sentence in notes] == [
        "has other labels for 2 images (1.png, 2.png): they replace the labels before.",
        "no longer lists 1 image (3.png): the labels it gave for it are removed, images stay.",
    ]


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_corrected_captions_of_a_container_replace_those_before_and_captions_of_a_missing_one_stay(
    home: Path, kind: str
) -> None:
    source = {kind: str(home / kind)}

    def write(name: str, captions: Mapping[str, str]) -> None:
        photos = [home / "photos" / f"{stem}.png" for stem in captions]
        write_container(home / kind / name, photos, captions)

    write("a", {"0": "a dgo", "1": "a cat"})
    write("b", {"2": "a tree"})
    ingest(home, source)
    assert sorted(labels(home).values()) == [[("a cat", -1)], [("a dgo", -1)], [("a tree", -1)]]
    write("a", {"0": "a dog"})
    (home / kind / ("b.tar" if kind == "webdataset" else "b.parquet")).unlink()
    notes = " ".join(ingest(home, source).notes)
    assert "has other labels for 1 image" in notes
    assert f"1 image of '{home}/{kind}' is gone" in notes
    assert sorted(labels(home).values()) == [[("a dog", -1)], [("a tree", -1)]]
    counted = account(Dataset.open(str(home / "set")))
    assert (counted.inputs, counted.balanced) == (3, True)


def write_container(path: Path, photos: list[Path], captions: Mapping[str, str]) -> None:
    from tests.written_sources import write_parquet, write_tars

    if path.parent.name == "parquet":
        write_parquet(path.with_suffix(".parquet"), photos, captions)
        return
    write_tars(path, photos, captions, a_tar=99)[0].rename(path.with_suffix(".tar"))
    path.rmdir()


def test_a_corrected_licence_replaces_the_one_before(home: Path) -> None:
    ingest(home, {"folder": {"path": str(home / "photos"), "licence": "CC-BY-4.0"}})
    ingest(home, {"folder": {"path": str(home / "photos"), "licence": "CC0-1.0"}})
    rows = query(Dataset.open(str(home / "set")), "SELECT DISTINCT licence FROM images")
    assert rows["licence"].to_pylist() == ["CC0-1.0"]


# --- files ----------------------------------------------------------------------------------------


def test_files_gone_touched_replaced_and_new_are_reported_and_add_up(home: Path) -> None:
    folder = {"folder": str(home / "photos")}
    ingest(home, folder)
    (home / "photos" / "0.png").unlink()
    os.utime(home / "photos" / "1.png", (1, 1))
    draw(home / "photos" / "2.png", 1000)
    draw(home / "photos" / "4.png", 4)
    notes = ingest(home, folder).notes
    assert [sentence.replace(str(home), "") for sentence in notes] == [
        "1 image of '/photos' was rewritten with the same content (1.png): nothing to do.",
        (
            "1 image of '/photos' was replaced by another image (2.png): what is there now counts as new; what was "
            "there before is held back from training and releases unless another source has it."
        ),
        (
            "1 image of '/photos' is gone (0.png): annotations made so far stay; nodes that still have to read it "
            "wait until it is back."
        ),
    ]
    assert inputs(home) == {"earlier": 1, "image": 6}
    counted = account(Dataset.open(str(home / "set")))
    assert (counted.inputs, counted.outcomes["duplicates"], counted.balanced) == (6, 0, True)
    rows = query(Dataset.open(str(home / "set")), "SELECT count(*) AS n FROM images WHERE split = 'held'")
    assert rows["n"].to_pylist() == [1]


def test_a_replaced_photo_that_is_restored_is_for_training_again(home: Path) -> None:
    folder = {"folder": str(home / "photos")}
    ingest(home, folder)
    shutil.copy2(home / "photos" / "2.png", home / "kept.png")
    draw(home / "photos" / "2.png", 1000)
    ingest(home, folder)
    shutil.copy2(home / "kept.png", home / "photos" / "2.png")
    ingest(home, folder)
    rows = query(Dataset.open(str(home / "set")), "SELECT uri, split FROM images WHERE split = 'held'").to_pylist()
    assert len(rows) == 1
    assert account(Dataset.open(str(home / "set"))).balanced


def test_moved_photos_are_read_at_their_new_path(home: Path) -> None:
    ingest(home, {"folder": str(home / "photos")})
    (home / "photos").rename(home / "moved")
    ingest(home, {"folder": str(home / "moved")})
    found = query(Dataset.open(str(home / "set")), "SELECT uri FROM images")["uri"].to_pylist()
    assert len(found) == 4
    ingest(home, {"folder": str(home / "moved")})
    (home / "moved" / "0.png").rename(home / "moved" / "new.png")
    ingest(home, {"folder": str(home / "moved")})
    found = query(Dataset.open(str(home / "set")), "SELECT uri FROM images")["uri"].to_pylist()
    assert f"{home}/moved/new.png" in found


def test_labels_of_a_missing_photo_stay_until_it_is_back(home: Path) -> None:
    ingest(home, coco(home))
    before = labels(home)
    (home / "photos" / "1.png").rename(home / "away.png")
    summary = ingest(home, coco(home))
    assert summary.listed == 0
    assert "lists 1 image whose file" in summary.notes[0]
    assert "does not exist now (1.png)" in summary.notes[0]
    assert labels(home) == before
    (home / "away.png").rename(home / "photos" / "1.png")
    assert "back" in ingest(home, coco(home)).notes[0]
    assert labels(home) == before


def test_a_packed_set_keeps_the_captions_of_deleted_tars(home: Path) -> None:
    photos = sorted((home / "photos").iterdir())
    write_container(home / "webdataset" / "a", photos[:2], {"0": "one", "1": "two"})
    source = {"webdataset": str(home / "webdataset")}
    ingest(home, source, pack=True)
    (home / "webdataset" / "a.tar").unlink()
    write_container(home / "webdataset" / "b", photos[2:], {"2": "three", "3": "four"})
    ingest(home, source, pack=True)
    assert sorted(labels(home).values()) == [[(text, -1)] for text in ("four", "one", "three", "two")]


def test_notes_about_several_files_use_the_plural(home: Path) -> None:
    folder = {"folder": str(home / "photos")}
    for number in range(4, 6):
        draw(home / "photos" / f"{number}.png", number)
    ingest(home, folder)
    for number in range(2):
        (home / "photos" / f"{number}.png").unlink()
        os.utime(home / "photos" / f"{number + 2}.png", (1, 1))
        draw(home / "photos" / f"{number + 4}.png", 1000 + number)
    again, changed, gone = ingest(home, folder).notes
    assert "were rewritten with the same content (2.png, 3.png)" in again
    assert "were replaced by other images (4.png, 5.png): what is there now counts as new" in changed
    assert "are gone (0.png, 1.png): annotations made so far stay" in gone
    assert gone.endswith("wait until they are back.")
