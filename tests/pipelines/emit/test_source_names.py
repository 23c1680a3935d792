"""A release names the source of each image, but no folder of the machine it was made on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.emit.source_names import released_recipe, released_source
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe


@pytest.mark.parametrize(
    ("source", "uri", "label", "path"),
    [
        ("/data/photos", "/data/photos/cats/1.jpg", "photos", "cats/1.jpg"),
        ("/data/photos", "/data/photos-2/1.jpg", "photos", "photos-2/1.jpg"),
        ("/data/labels/people.json", "/data/labels/train/1.jpg", "people.json", "train/1.jpg"),
        ("/data/labels/people.json", "/elsewhere/1.jpg", "people.json", "1.jpg"),
        ("/data/*/a-*.tar", "tar://x/1.jpg::/data/b/a-0.tar", "a-*.tar", "tar://x/1.jpg::b/a-0.tar"),
        ("/data/a.parquet", "parquet://image/7::/data/a.parquet", "a.parquet", "parquet://image/7::a.parquet"),
        ("file:///data/photos", "file:///data/photos/1.jpg", "photos", "1.jpg"),
        ("s3://bucket/photos", "s3://bucket/photos/1.jpg", "s3://bucket/photos", "s3://bucket/photos/1.jpg"),
        ("/data/list.csv", "https://host/1.jpg", "list.csv", "https://host/1.jpg"),
        ("world://?seed=1", "world://?seed=1&n=2", "world://?seed=1", "world://?seed=1&n=2"),
        ("/", "/1.jpg", "", "1.jpg"),
    ],
)
def test_an_image_is_named_by_its_source_and_the_path_below_it(source: str, uri: str, label: str, path: str) -> None:
    assert released_source({"source": source, "uri": uri}) == {"source": label, "uri": path}


def test_a_recipe_keeps_everything_but_folders_of_this_machine() -> None:
    given = {"dataset": "/srv/sets/mine", "n": 3, "sources": [{"folder": "/a/b"}, {"uris": "s3://x/y"}, "data/rel"]}
    expected = {"dataset": "mine", "n": 3, "sources": [{"folder": "b"}, {"uris": "s3://x/y"}, "data/rel"]}
    assert released_recipe(given) == expected


def test_no_file_of_a_release_names_the_folder_it_was_made_in(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos" / "deep", 3)
    stages.run(recipe(tmp_path / "set", tmp_path / "photos", {}), runner="inline")
    release = tmp_path / "set" / "releases" / "v1"
    needle = str(tmp_path).encode()
    for path in release.iterdir():
        assert needle not in path.read_bytes(), path.name
    rows = [row for path in release.glob("train-*.parquet") for row in pq.read_table(path).to_pylist()]
    assert needle.decode() not in json.dumps(rows)
    assert rows[0]["sources"][0]["source"] == "photos"
    assert {row["sources"][0]["uri"] for row in rows} == {f"deep/{number:05d}.png" for number in range(3)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("uri LIKE '/volumes/al ice/photos/%' AND width/height > 2", "uri LIKE '%' AND width/height > 2"),
        ("SELECT image_id FROM read_csv('/volumes/alice/a b.csv')", "SELECT image_id FROM read_csv('a b.csv')"),
        ("--weights /volumes/alice/c.pt --size 3/4/5", "--weights c.pt --size 3/4/5"),
        ("../alice/photos", "photos"),
        ("~alice/photos", "photos"),
        ("uri IN ('s3://bucket/a/b', 'https://host/a/b/c')", "uri IN ('s3://bucket/a/b', 'https://host/a/b/c')"),
        ("s3://key:secret@host/bucket", "s3://host/bucket"),
        ("data/photos/cats", "data/photos/cats"),
        ("a / b / c", "a / b / c"),
    ],
)
def test_paths_inside_a_text_of_the_recipe_are_shortened(given: str, expected: str) -> None:
    assert released_recipe({"emit": {"where": given}}) == {"emit": {"where": expected}}


def test_sources_with_the_same_last_part_stay_apart_and_labels_stay() -> None:
    given = {"emit": {"mixture": {"/a/x": 1, "/b/x": 2}, "label_list": ["/m/01g317"]}}
    assert released_recipe(given) == {"emit": {"mixture": {"x": 1, "x (2)": 2}, "label_list": ["/m/01g317"]}}
