"""COCO jsons in the variants that tools write: what is read, and what is left out and noted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.schema import Answer
from pipelines.ingest.sources.coco import CocoJson
from pipelines.ingest.sources.open import open_source
from tests.pipelines.coco_files import NAN, coco, corners, labels, note, only
from tests.shared_data import shared


def test_real_coco_photos_have_all_their_labels() -> None:
    root = shared("coco/dev")
    spec = {"instances": f"{root}/instances.json", "images": f"{root}/images", "captions": f"{root}/captions.json"}
    entries = list(open_source({"coco": spec}).entries())
    labels = [entry.labels or Answer() for entry in entries]
    assert (len(entries), sum(len(item.regions) for item in labels), sum(len(item.texts) for item in labels)) == (
        90,
        881,
        330,
    )
    assert sum(region.score_kind == "crowd" for item in labels for region in item.regions) == 10
    assert all(region.rle for item in labels for region in item.regions)
    assert all(entry.fingerprint and entry.licence and Path(entry.uri).exists() for entry in entries)
    ids = [item.id for item in (*labels[1].regions, *labels[1].texts)]
    assert len(ids) == len(set(ids))


def test_an_image_that_is_not_on_disk_is_listed(tmp_path: Path) -> None:
    entry = only(coco(tmp_path, []))
    assert (entry.uri, entry.fingerprint, entry.licence) == (f"{tmp_path}/a.jpg", "", "CC BY 2.0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No file"),
        ("", "is not JSON: Expecting value"),
        ("not json", "is not JSON"),
        ("[]", "has no list images and no list annotations and no list categories"),
        ('{"images": [], "annotations": [{"id": 1}], "categories": []}', "has image_id or bbox or category_id"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "none of its images has file_name"),
        ('{"images": [{"id": 1, "file_name": "../x"}], "annotations": [], "categories": []}', "not below the folder"),
        ('{"images": [1e400, {"id": 1' + "0" * 5000 + "}]}", "is not JSON: Exceeds the limit"),
        ("[" * 100_000, "nested too deeply"),
        ('{"images": []} {"images": []}', "is not JSON: Extra data"),
        ('{"images": [], "annotations": [], "annotations": [], "categories": []}', "has the key 'annotations' twice"),
        ('{"images": [], "annotations": [], "categories": ["cat", "dog"]}', "expected objects such as"),
    ],
)
def test_another_kind_of_json_is_an_error_in_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "i.json").write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        list(CocoJson(str(tmp_path / "i.json"), str(tmp_path)).entries())


def test_a_packed_json_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "i.json.gz").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(ConfigError, match="is packed \\(gzip\\): unpack it"):
        list(CocoJson(str(tmp_path / "i.json.gz"), str(tmp_path)).entries())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_json_in_the_encodings_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "caption": "кот"}])
    text = (tmp_path / "instances.json").read_text()
    (tmp_path / "instances.json").write_bytes(text.replace("\\u043a\\u043e\\u0442", "кот").encode(encoding))
    assert [text.text for text in labels(source).region_texts] == ["кот"]


def test_a_key_that_occurs_twice_in_a_row_is_noted(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}])
    text = (tmp_path / "instances.json").read_text()
    (tmp_path / "instances.json").write_text(text.replace('"bbox"', '"bbox": [0, 0, 1, 1], "bbox"'))
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert "keys that occur twice in an object, of which the last was taken: 'bbox'" in note(source)


# --- ids ----------------------------------------------------------------------------------------


def test_two_images_with_one_id_are_an_error_that_names_both(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}], images=[{"id": 1.0, "file_name": "b.jpg"}])
    with pytest.raises(ConfigError, match=r"has two images with the id 1: 'a.jpg' and 'b.jpg'"):
        list(source.entries())


def test_two_categories_with_one_id_are_an_error_that_names_both(tmp_path: Path) -> None:
    source = coco(tmp_path, [], categories=[{"id": 7, "name": "zebra"}])
    with pytest.raises(ConfigError, match=r"has two categories with the id 7: 'cat' and 'zebra'"):
        list(source.entries())


def test_images_and_categories_listed_twice_count_once(tmp_path: Path) -> None:
    again = {"id": 1, "file_name": "./a.jpg", "width": 12, "height": 8}
    source = coco(
        tmp_path,
        [{"bbox": [2, 1, 7, 3]}, {"bbox": [0, 0, 1, 1], "image_id": 5}],
        images=[again, again | {"id": 5}],
        categories=[{"id": 7, "name": "cat"}],
    )
    assert corners(labels(source)) == [(2, 1, 9, 4), (0, 0, 1, 1)]
    assert source.left_out == {"an image that is listed twice": 2}


def test_ids_that_differ_only_in_their_type_are_different_and_noted(tmp_path: Path) -> None:
    source = coco(
        tmp_path,
        [{"bbox": [2, 1, 7, 3]}, {"bbox": [0, 0, 1, 1], "image_id": "1"}],
        images=[{"id": "1", "file_name": "b.jpg", "width": 12, "height": 8}],
    )
    assert [corners(entry.labels) for entry in source.entries()] == [[(2, 1, 9, 4)], [(0, 0, 1, 1)]]
    assert "different images whose ids differ only in their type: 1 and '1'" in note(source)


def test_annotations_of_no_listed_image_are_an_error_if_all_are(tmp_path: Path) -> None:
    boxes = [{"bbox": [2, 1, 7, 3], "image_id": "1"}, {"bbox": [0, 0, 1, 1], "image_id": "1"}]
    with pytest.raises(ConfigError, match=r"2 of 2 annotations .* lacks: image_id '1' is a text, id 1 is a number"):
        list(coco(tmp_path, boxes).entries())
    with pytest.raises(ConfigError, match=r"1 of 1 .* lacks: image_id 1001, but the listed ids are like 1:"):
        list(coco(tmp_path, [{"bbox": [2, 1, 7, 3], "image_id": 1001}]).entries())


def test_annotations_of_no_listed_image_are_counted_if_some_are(tmp_path: Path) -> None:
    strange = ["1", 2, None, [1], {"id": 1}, True, float("nan"), 1.5]
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}, *({"bbox": [0, 0, 1, 1], "image_id": one} for one in strange)])
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert source.left_out == {"an annotation of no listed image": len(strange)}
    assert "annotation 1 (image_id '1' is a text, id 1 is a number), annotation 2 (image_id 2)" in note(source)
    assert "and 5 more" in note(source)


def test_annotations_of_no_listed_category_are_left_out_or_an_error_if_all_are(tmp_path: Path) -> None:
    strange: list[Any] = ["7", 8, None, [7], float("nan")]
    boxes = [{"bbox": [0, 0, 1, 1], "category_id": one} for one in strange]
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}, *boxes])
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert source.left_out == {"an annotation of no listed category": len(strange)}
    assert "category_id '7' is a text, id 7 is a number" in note(source)
    with pytest.raises(ConfigError, match=r"No annotation .* category_id '7' is a text, id 7 is a number"):
        list(coco(tmp_path, boxes).entries())


@pytest.mark.parametrize("name", [None, float("nan"), "", "  ", ["cat"], {"en": "cat"}, True, "\ud800"])
def test_annotations_of_a_category_without_a_name_are_left_out(tmp_path: Path, name: Any) -> None:
    source = coco(
        tmp_path,
        [{"bbox": [2, 1, 7, 3]}, {"bbox": [0, 0, 1, 1], "category_id": 3}],
        categories=[{"id": 3, "name": name}, None],
    )
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert source.left_out == {"an annotation whose category has no name": 1}


def test_the_name_of_a_category_may_be_a_number(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "category_id": 3}], categories=[{"id": 3, "name": 5}])
    assert [region.label for region in labels(source).regions] == ["5"]


def test_an_image_with_an_invalid_id_has_no_labels(tmp_path: Path) -> None:
    strange = [{"id": one, "file_name": f"{n}.jpg"} for n, one in enumerate([None, [1], {}, float("nan"), False])]
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}], images=strange)
    entries = list(source.entries())
    assert [len((entry.labels or Answer()).regions) for entry in entries] == [1, 0, 0, 0, 0, 0]
    assert "no labels, because the id is neither a number nor a text: '0.jpg' (id None)" in note(source)


# --- licences and names of files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licences", "license_value", "licence"),
    [
        ([{"id": 4, "name": "MIT"}], 4, "MIT"),
        ({"id": 4, "name": "MIT"}, 4, "MIT"),
        ([{"id": 4, "name": None, "url": "https://a.b/c"}], 4, "https://a.b/c"),
        ([{"id": 4, "name": None}], 4, ""),
        (["MIT"], 4, ""),
        (["MIT"], "MIT", "MIT"),
        ("MIT", 4, ""),
        (None, 4, ""),
        ([{"id": 4, "name": "MIT"}], [4], ""),
        ([{"id": 4, "name": "MIT"}], "4", ""),
        ([{"id": 4, "name": "MIT"}, {"id": 4, "name": "GPL"}], 4, ""),
        ([{"id": [4], "name": "MIT"}], {"id": 4}, ""),
    ],
)
def test_an_ambiguous_licence_is_left_empty(tmp_path: Path, licences: Any, license_value: Any, licence: str) -> None:
    (entry,) = coco(tmp_path, [], licenses=licences, license=license_value).entries()
    assert entry.licence == licence


@pytest.mark.parametrize(
    "name",
    ["sub/a.jpg", "./sub/a.jpg", "sub//a.jpg", "sub\\a.jpg", "sub/../sub/a.jpg", "{}/sub/a.jpg", "file://{}/sub/a.jpg"],
)
def test_a_file_below_the_folder_is_found_under_every_spelling(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").write_bytes(b"x")
    (entry,) = coco(tmp_path, [], file_name=name.format(tmp_path)).entries()
    assert entry.uri == f"{tmp_path}/sub/a.jpg"
    assert entry.fingerprint


def test_a_backslash_may_be_part_of_a_file_name(tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes(b"x")
    assert only(coco(tmp_path, [], file_name="a\\b.jpg")).uri == f"{tmp_path}/a\\b.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "no_file_name"),
        ("", "no_file_name"),
        (["a.jpg"], "no_file_name"),
        (True, "no_file_name"),
        (NAN, "no_file_name"),
        ("a\0.jpg", "no_file_name"),
        ("\ud800.jpg", "no_file_name"),
        ("/etc/passwd", "outside_folder"),
        ("../a.jpg", "outside_folder"),
        ("sub/../../a.jpg", "outside_folder"),
        ("{}/../a.jpg", "outside_folder"),
        ("C:\\photos\\a.jpg", "outside_folder"),
        ("http://images.cocodataset.org/a.jpg", "outside_folder"),
        (".", "outside_folder"),
    ],
)
def test_an_image_without_a_file_below_the_folder_is_an_input_with_a_reason(
    tmp_path: Path, name: Any, reason: str
) -> None:
    name = name.format(tmp_path) if isinstance(name, str) else name
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}], images=[{"id": 2, "file_name": name, "coco_url": "http://a/b"}])
    first, second = source.entries()
    assert (first.uri, first.reason) == (f"{tmp_path}/a.jpg", "")
    assert (second.uri, second.reason) == (f"{tmp_path}/instances.json#images/1", reason)
    with pytest.raises(ConfigError, match=r"No image of '.*' can be found: "):
        list(coco(tmp_path, [], file_name=name).entries())


def test_rows_that_are_not_objects_are_left_out(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}], images=[None, "a.jpg", 5])
    path = tmp_path / "instances.json"
    content = json.loads(path.read_text())
    content["annotations"] += [None, [], "x"]
    path.write_text(json.dumps(content))
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert source.left_out == {"an image that is no object": 3, "an annotation that is no object": 3}


def test_another_frame_makes_a_new_input(tmp_path: Path) -> None:
    coco(tmp_path, [{"bbox": [2, 1, 7, 3]}])
    where = {"instances": str(tmp_path / "instances.json"), "images": str(tmp_path)}
    prints = {only(CocoJson(**where, frame=frame)).fingerprint for frame in ("auto", "stored", "upright")}
    assert len(prints) == 3
