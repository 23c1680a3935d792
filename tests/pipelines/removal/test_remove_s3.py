"""A removal from a data set in an object store gives the same files as one on a local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.storage.files import Storage
from pipelines.check.check import check
from pipelines.removal.find import find, intention_of
from pipelines.removal.remove import remove
from pipelines.stages.run import run
from tests.pipelines.removal.small_set import contents
from tests.runs import draw_photos, recipe


def test_images_are_removed_from_a_data_set_on_s3(s3: tuple[dict[str, str], Any], tmp_path: Path) -> None:
    fs, local, url = s3[1], tmp_path / "set", "s3://sets/one"
    ids = draw_photos(tmp_path / "photos", 4)
    more = {"sources": [{"folder": str(tmp_path / "photos")}], "shard_size": 2, "pack": True}
    options: dict[str, Any] = {"ingest": more, "annotate": {"boxes": {"use": "fake_detector"}}}
    run(recipe(local, "", {}, **options), runner="inline")
    fs.put(str(local), "sets/one", recursive=True)
    lines = tmp_path / "ids.txt"
    lines.write_text(f"{ids[1]}\n")
    assert remove(recipe(local, "", {}, **options), str(lines)).ok
    storage = Storage(url)
    intention_of(storage, find(storage, ids[1:2]), delete_releases=False).write(storage)  # a removal that was killed
    removal = remove(recipe(url, "", {}, **options), str(lines))
    assert len(removal.completed) == 1
    assert removal.ok, str(removal)
    after = contents(local)
    assert {name: fs.cat_file(f"sets/one/{name}") for name in after} == after
    assert {name.removeprefix("sets/one/") for name in fs.find("sets/one") if "/runs/" not in name} == set(after)
    assert check(url).findings == []
