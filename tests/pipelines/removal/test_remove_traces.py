"""What a removal leaves in logs, lists, tombstones and older data sets, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ConfigError, DamageError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.storage.files import Storage
from pipelines.check.check import check
from pipelines.explore.status import status
from pipelines.removal.complete import complete
from pipelines.removal.find import find, intention_of
from pipelines.removal.intention import Intention
from pipelines.removal.remove import remove
from tests.pipelines.removal.small_set import (
    Small,
    contents,
    go,
    recipe_of,
    take_out,
    traces,
)
from tests.pipelines.stages.kept_data_set import output_of, unpacked

REMOVED = (0, 2, 4)  # 2 has a copy in another source; 5 is like 4, and was dropped as its near-duplicate


@pytest.fixture
def gone(small: Small) -> list[str]:
    return [small.ids[number] for number in REMOVED]


def test_logs_and_reports_of_rounds_do_not_name_them_any_more(small: Small, gone: list[str]) -> None:
    from engine.storage.sealed import read_sealed, seal

    storage = Storage(str(small.dataset))
    boxes = [{"image_id": image, "region_id": "a/1", "box": [0, 0, 1, 1], "score": None} for image in small.ids[:3]]
    storage.put("rounds/noise/1-people-12345678.json", seal({"pairs": [{"given": "cat", "boxes": boxes}]}))
    storage.put("rounds/noise/1-people-12345678.png", b"a picture of boxes")
    uri = str(small.photo(4))
    storage.put("runs/00001-abcdef/logs/boxes.log", f"{gone[0]}: '{uri}'.\n{uri}.bak\n".encode())
    storage.put("runs/00001-abcdef/run.json", seal({"nodes": [], "notes": [f"{uri}: it is dark"], "recipe": "{}"}))
    assert take_out(small.folder, gone).ok
    pairs = read_sealed(storage, "rounds/noise/1-people-12345678.json")["pairs"]
    assert [box["image_id"] for box in pairs[0]["boxes"]] == [small.ids[1]]
    assert not storage.exists("rounds/noise/1-people-12345678.png")
    assert storage.read("runs/00001-abcdef/logs/boxes.log").decode() == f"(removed): '(removed)'.\n{uri}.bak\n"
    assert read_sealed(storage, "runs/00001-abcdef/run.json")["notes"] == ["(removed): it is dark"]


def test_a_line_of_the_audit_list_that_names_a_removed_image_is_no_error(small: Small) -> None:
    audit = small.folder / "audit.txt"
    audit.write_text("photos/01.png\nphotos/07.png\n")
    changes = {"dataset": str(small.folder / "listed")}
    ingest = {**recipe_of(small.folder).ingest.model_dump(), "audit": {"list": str(audit)}}
    go(small.folder, "v1", "ingest", ingest=ingest, **changes)
    ids = small.folder / "ids.txt"
    ids.write_text("photos/07.png\n")
    assert remove(recipe_of(small.folder, ingest=ingest, **changes), str(ids)).ok
    (small.folder / "more" / "new.png").write_bytes(small.photos(1)[0] + b"another image")
    assert go(small.folder, "v1", "ingest", ingest=ingest, **changes).listed == 1
    audit.write_text("photos/01.png\nphotos/nothing.png\n")
    (small.folder / "more" / "newer.png").write_bytes(small.photos(1)[0] + b"a third image")
    with pytest.raises(ConfigError, match="1 of the 2 lines of the audit list"):
        go(small.folder, "v1", "ingest", ingest=ingest, **changes)


def test_a_tombstone_does_not_name_the_images(small: Small, gone: list[str]) -> None:
    take_out(small.folder, gone)
    (tombstone,) = (small.dataset / "removed").iterdir()
    content = json.loads(tombstone.read_bytes())
    assert len(content["images"]) == 3
    assert content["inputs"] == 4
    assert not any(image in tombstone.read_text() for image in gone)
    assert "photos" not in tombstone.read_text()


def test_a_tombstone_lists_files_of_releases_without_the_ids_in_their_names(tmp_path: Path) -> None:
    image = "0123456789abcdef" * 2
    one = Intention(0, [image], [], [], [], [], releases={"releases/v1": [f"images/train/{image}.png", "a.tar"]})
    one.write_tombstone(Storage(str(tmp_path)))
    content = json.loads((tmp_path / "removed/tombstone-00000.json").read_bytes())
    assert content["releases"] == {"releases/v1": ["images/train/(removed).png", "a.tar"]}


def test_completing_twice_changes_nothing(small: Small, gone: list[str]) -> None:
    storage = Storage(str(small.dataset))
    one = intention_of(storage, find(storage, gone), delete_releases=False)
    complete(storage, one)
    before = contents(small.dataset)
    complete(storage, one)
    assert contents(small.dataset) == before


def test_a_uri_that_now_holds_another_image_stays_with_that_image(small: Small) -> None:
    (small.folder / "more" / "copy.png").write_bytes(small.photos(1)[0] + b"another image")
    go(small.folder, "v2", "ingest")
    removal = take_out(small.folder, [small.ids[2]])
    assert removal.ok, str(removal)
    rows = query(Dataset.open(str(small.dataset)), "SELECT uri, outcome FROM inputs WHERE uri LIKE '%copy.png'")
    assert rows.to_pylist() == [{"uri": str(small.folder / "more" / "copy.png"), "outcome": "image"}]


@pytest.mark.parametrize("pattern", ["boxes/*/00000-*.parquet", "images/00000-*.tar", "surveyed/*/00000-*.parquet"])
def test_damage_is_found_before_anything_is_changed(small: Small, gone: list[str], pattern: str) -> None:
    damaged = next(small.dataset.glob(pattern))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    before = contents(small.dataset)
    with pytest.raises(DamageError, match=f"'{damaged.relative_to(small.dataset)}' is damaged"):
        take_out(small.folder, gone)
    damaged.unlink()
    with pytest.raises(DamageError, match=f"'{damaged.relative_to(small.dataset)}' is"):
        take_out(small.folder, gone)
    assert contents(small.dataset) == {n: c for n, c in before.items() if small.dataset / n != damaged}


@pytest.mark.parametrize("name", ["schema-2", "a1a8a12"])
def test_an_image_is_removed_from_a_data_set_of_an_older_engine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = unpacked(name, tmp_path)
    before = [finding.path for finding in check(str(dataset)).findings]  # one of them comes without its model's weights
    image = query(Dataset.open(str(dataset)), "SELECT min(image_id) AS image FROM images").to_pylist()[0]["image"]
    (tmp_path / "ids.txt").write_text(image)
    assert "found nothing" in output_of("remove", "ids.txt", "-c", "recipe.yaml")
    assert [finding.path for finding in check(str(dataset)).findings] == before
    assert status(Dataset.open(str(dataset))).balanced
    assert traces(dataset, [image], []) == []
