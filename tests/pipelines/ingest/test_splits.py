"""The audit split: groups stay whole, draws do not change, and human labels of audit images stay apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.errors import ConfigError
from engine.images.perceptual_hash import hashes_to_array
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.schema import SPLITS
from pipelines.ingest.splits import Candidate, Earlier, draw_splits
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.runs import release_files, released_ids

Drawn = dict[str, str]


def hashes(count: int, seed: int = 0) -> list[str]:
    """Hashes of images unlike each other."""
    return [row.tobytes().hex() for row in np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)]


def like(phash: str, bits: int) -> str:
    """The hash of an image that is nearly the same."""
    data = bytearray(bytes.fromhex(phash))
    for bit in range(bits):
        data[bit // 8] ^= 1 << bit % 8
    return data.hex()


def candidates(found: list[str], prefix: str = "i") -> list[Candidate]:
    return [Candidate(f"{prefix}{n:04d}", phash, [f"/photos/{prefix}{n:04d}.jpg"]) for n, phash in enumerate(found)]


def draw(fresh: list[Candidate], before: dict[str, tuple[str, str]] | None = None, **options: Any) -> Drawn:
    earlier = [(split, phash) for split, phash in (before or {}).values() if phash]
    splits = pa.chunked_array([[split for split, _ in earlier]], pa.string())
    drawn = Earlier(splits, hashes_to_array([phash for _, phash in earlier]))
    table = draw_splits(fresh, drawn, options.pop("fraction", 0.2), options.pop("seed", 0), **options)
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def count(found: Drawn) -> dict[str, int]:
    return {split: list(found.values()).count(split) for split in SPLITS}


def test_a_fifth_is_drawn_and_halved() -> None:
    assert count(draw(candidates(hashes(100)))) == {"train": 80, "audit-fit": 10, "audit-test": 10, "held": 0}


def test_another_seed_is_another_draw_and_the_same_seed_the_same() -> None:
    fresh = candidates(hashes(100))
    assert draw(fresh) == draw(fresh[::-1]) != draw(fresh, seed=1)


def test_near_duplicates_are_drawn_together() -> None:
    originals = hashes(40)
    fresh = candidates(originals) + candidates([like(phash, 9) for phash in originals], "copy")
    found = draw(fresh, fraction=0.5)
    assert [found[f"i{n:04d}"] for n in range(40)] == [found[f"copy{n:04d}"] for n in range(40)]
    assert count(found) == {"train": 40, "audit-fit": 20, "audit-test": 20, "held": 0}


def test_a_group_that_does_not_fit_is_skipped() -> None:
    crowd = [like(hashes(1)[0], n % 5) for n in range(50)]
    found = draw(candidates(crowd) + candidates(hashes(50, seed=1), "alone"), fraction=0.1)
    assert {found[f"i{n:04d}"] for n in range(50)} == {"train"}
    assert count(found)["audit-fit"] + count(found)["audit-test"] == 10


@pytest.mark.parametrize("split", SPLITS)
def test_an_image_near_to_an_earlier_one_gets_its_split(split: str) -> None:
    old = hashes(1)[0]
    assert draw(candidates([like(old, 9)]), {"old": (split, old)}, fraction=0.9) == {"i0000": split}


def test_an_image_near_to_both_sides_is_held() -> None:
    one = hashes(1)[0]
    other = like(one, 2 * 20)
    between = like(one, 20)
    assert draw(candidates([between]), {"a": ("train", one), "b": ("audit-test", other)}) == {"i0000": "held"}


def test_images_without_a_hash_have_no_near_duplicates() -> None:
    found = draw(candidates([""] * 10), fraction=0.5)
    assert count(found) == {"train": 5, "audit-fit": 3, "audit-test": 2, "held": 0}


@pytest.mark.parametrize("line", ["i0003", "i0003.jpg", "photos/i0003.jpg", "/photos/i0003.jpg"])
def test_a_listed_image_and_its_near_duplicates_are_audit_images(line: str) -> None:
    fresh = candidates(hashes(10))
    fresh.append(Candidate("copy", like(fresh[3].phash, 5)))
    found = draw(fresh, fraction=0.0, listed=frozenset([line]))
    assert {name for name, split in found.items() if split.startswith("audit")} == {"i0003", "copy"}


def test_a_listed_image_that_is_near_a_training_image_is_held() -> None:
    old = hashes(1)[0]
    found = draw(candidates([like(old, 3)]), {"old": ("train", old)}, listed=frozenset(["i0000"]))
    assert found == {"i0000": "held"}


# --- runs ---------------------------------------------------------------------------------------


def textured(folder: Path, count: int) -> list[Path]:
    """Photos unlike each other; every third one also as a smaller JPEG."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    made = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
        photo = coarse.resize((160, 120), Image.Resampling.BICUBIC)
        made.append(folder / f"{number:03d}.png")
        photo.save(made[-1])
        if number % 3 == 0:
            made.append(folder / f"{number:03d}-again.jpg")
            photo.resize((144, 108)).save(made[-1], quality=80)
    return made


def coco(path: Path, photos: list[Path]) -> dict[str, Any]:
    """One human box on each photo."""
    images, annotations = [], []
    for number, photo in enumerate(photos, 1):
        width, height = Image.open(photo).size
        images.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        box = [5, 5, 40, 30]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps(content))
    return content


def wanted(folder: Path, **audit: Any) -> Any:
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {
                "sources": [{"coco": {"instances": str(folder / "coco.json"), "images": str(folder / "photos")}}],
                "shard_size": 10,
                "audit": audit,
            },
            "annotate": {
                "human": {"use": "human"},
                "boxes": {"use": "fake_detector"},
                "objects": {"use": "consensus"},
                "captions": {"use": "composer"},
            },
            "emit": {"name": "v1"},
        }
    )


def splits(folder: Path) -> Drawn:
    rows = query(Dataset.open(str(folder / "set")), "SELECT split_part(uri, '/', -1) AS name, split FROM images")
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def test_near_duplicates_share_a_split_and_audit_images_are_not_released(tmp_path: Path) -> None:
    coco(tmp_path / "coco.json", textured(tmp_path / "photos", 30))
    run(wanted(tmp_path, fraction=0.3), runner="inline")
    found = splits(tmp_path)
    twins = [(name, name.replace("-again.jpg", ".png")) for name in found if "again" in name]
    assert len(twins) == 10
    assert [found[one] == found[other] for one, other in twins] == [True] * 10
    assert sum(split == "train" for split in found.values()) == 28
    held_back = query(Dataset.open(str(tmp_path / "set")), "SELECT image_id FROM images WHERE split <> 'train'")
    assert not released_ids(tmp_path / "set") & set(held_back["image_id"].to_pylist())
    assert len(released_ids(tmp_path / "set")) == 28
    accounted = account(Dataset.open(str(tmp_path / "set")))
    assert accounted.balanced
    assert accounted.splits == {"audit-fit": 6, "audit-test": 6, "train": 28}
    manifest = json.loads((tmp_path / "set" / "releases" / "v1" / "manifest.json").read_text())
    assert (manifest["accounting"]["kept"], manifest["accounting"]["kept_to_measure"]) == (40, 12)
    assert manifest["counts"]["images"] == 28


def test_a_wrong_human_box_on_an_audit_image_changes_no_byte_of_the_release(tmp_path: Path) -> None:
    photos = textured(tmp_path / "photos", 12)
    content = coco(tmp_path / "coco.json", photos)
    recipe = wanted(tmp_path, fraction=0.3)

    def released() -> dict[str, str]:
        run(recipe, runner="inline")
        return release_files(tmp_path / "set") | {"manifest": manifest_without_versions(tmp_path / "set")}

    before = released()
    found = splits(tmp_path)
    for split, same in (("audit-fit", True), ("audit-test", True), ("train", False)):
        number = next(n for n, photo in enumerate(photos) if found[photo.name] == split)
        wrong = json.loads(json.dumps(content))
        wrong["annotations"][number]["bbox"] = [80, 60, 50, 50]
        (tmp_path / "coco.json").write_text(json.dumps(wrong))
        shutil.rmtree(tmp_path / "set")
        assert (released() == before) is same, split


def manifest_without_versions(dataset: Path) -> str:
    found = json.loads((dataset / "releases" / "v1" / "manifest.json").read_text())
    return json.dumps({key: value for key, value in found.items() if key != "versions"}, sort_keys=True)


def test_human_labels_of_audit_images_are_only_in_truth(tmp_path: Path) -> None:
    coco(tmp_path / "coco.json", textured(tmp_path / "photos", 12))
    run(wanted(tmp_path, fraction=0.3), runner="inline", stage="ingest")
    audit = {
        row["image_id"]
        for file in (tmp_path / "set" / "images").glob("*.parquet")
        for row in pq.read_table(file).to_pylist()
        if row["split"] != "train"
    }
    labelled = {
        folder: {
            row["image_id"]
            for file in (tmp_path / "set" / folder).glob("*.parquet")
            for row in pq.read_table(file).to_pylist()
            if row["regions"]
        }
        for folder in ("labels", "truth")
    }
    assert labelled["truth"] == audit
    assert len(audit) == 5
    assert not labelled["labels"] & audit
    assert len(labelled["labels"]) == 16 - 5


def test_photos_added_later_get_the_split_of_their_near_duplicates(tmp_path: Path) -> None:
    photos = textured(tmp_path / "photos", 30)
    later = [photo for photo in photos if "again" in photo.name]
    for photo in later:
        photo.rename(tmp_path / photo.name)
    coco(tmp_path / "coco.json", [photo for photo in photos if photo not in later])
    recipe = wanted(tmp_path, fraction=0.3)
    run(recipe, runner="inline", stage="ingest")
    before = splits(tmp_path)
    for photo in later:
        (tmp_path / photo.name).rename(photo)
    coco(tmp_path / "coco.json", photos)
    run(recipe, runner="inline", stage="ingest")
    after = splits(tmp_path)
    assert {name: split for name, split in after.items() if name in before} == before
    assert [after[photo.name] for photo in later] == [
        before[photo.name.replace("-again.jpg", ".png")] for photo in later
    ]


def test_another_audit_split_of_the_same_data_set_is_refused(tmp_path: Path) -> None:
    coco(tmp_path / "coco.json", textured(tmp_path / "photos", 3))
    run(wanted(tmp_path, fraction=0.3), runner="inline", stage="ingest")
    with pytest.raises(ConfigError, match="images keep their split"):
        run(wanted(tmp_path, fraction=0.4), runner="inline", stage="ingest")


def test_a_missing_audit_list_creates_no_data_set(tmp_path: Path) -> None:
    photos = textured(tmp_path / "photos", 3)
    coco(tmp_path / "coco.json", photos)
    with pytest.raises(ConfigError, match=r"^The audit list '.*audit.txt' cannot be read: give a text file"):
        run(wanted(tmp_path, list=str(tmp_path / "audit.txt")), runner="inline")
    run(wanted(tmp_path, fraction=0.5), runner="inline")
    assert set(splits(tmp_path)) == {photo.name for photo in photos}
