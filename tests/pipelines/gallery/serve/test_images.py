"""Which images a page has, in which order, and what it shows of them."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from engine.reading.dataset import Dataset
from engine.storage.files import Storage
from pipelines.gallery.serve import snapshot
from pipelines.gallery.serve.pictures import Pictures
from tests.handmade import SHARDS, commit, handmade, judged_table
from tests.pipelines.gallery.serve.conftest import Served

ALL = ["cat", "cup", "tiny", "page", "crash"]  # in the order in which they were listed


def test_without_conditions_all_images_are_in_the_order_they_were_listed(gallery: Served) -> None:
    assert gallery.names() == ALL


def test_pages_together_have_every_image_once(gallery: Served) -> None:
    assert [gallery.names(offset=offset, limit=2) for offset in (0, 2, 4, 6)] == [ALL[:2], ALL[2:4], ALL[4:], []]
    assert gallery.get("images", offset=6, limit=2).json["total"] == 5


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({"label": "dog"}, ["cat"]),
        ({"label": "cat"}, ["cat", "tiny"]),
        ({"rule": "min_score"}, ["cat", "page"]),
        ({"rule": "min_side"}, ["tiny"]),  # it dropped the image itself
        ({"label": "dog", "rule": "min_score"}, ["cat"]),
        ({"label": "cat", "rule": "min_score"}, []),  # no cat was dropped by it
        ({"label": "cup", "producer": "ssd"}, ["cup"]),
        ({"producer": "human"}, ["cup"]),
        ({"label": "cat", "kept": "kept"}, ["cat"]),
        ({"label": "cat", "kept": "dropped", "rule": "image_dropped"}, ["tiny"]),
        ({"kept": "image-kept"}, ["cat", "cup", "page"]),
        ({"kept": "image-dropped"}, ["tiny", "crash"]),
        ({"text": "SITS near"}, ["cat"]),  # a caption
        ({"text": "hello"}, ["page"]),  # printed words
        ({"text": "dog"}, ["cat"]),  # a label, and a caption
        ({"text": "cat-copy"}, ["cat"]),  # a file name of a duplicate
        ({"text": "it's 'quoted'"}, []),
        ({"text": "\0"}, []),
        ({"label": "no such label"}, []),
        ({"where": "width > 100"}, ["cat", "page"]),
        ({"where": "width > 100 -- wide ones", "label": "cat"}, ["cat"]),
        ({"where": "SELECT image_id FROM images ORDER BY width DESC"}, ["page", "cat", "cup", "crash", "tiny"]),
        ({"stratum": "Dropped most by min_score"}, ["page", "cat"]),
    ],
)
def test_conditions_choose_images(gallery: Served, conditions: dict[str, str], names: list[str]) -> None:
    found = gallery.names(**conditions)
    assert sorted(found) == sorted(names)
    assert gallery.get("images", **conditions).json["total"] == len(names)
    if "SELECT" in conditions.get("where", ""):
        assert found == names


def test_a_random_order_is_that_of_the_contact_sheet(gallery: Served) -> None:
    got = gallery.get("images", seed=7).json["images"]
    ids = [image["id"] for image in got]
    assert ids == sorted(ids, key=lambda name: hashlib.md5(f"{name}7".encode()).hexdigest())
    assert len({tuple(gallery.names(seed=seed)) for seed in range(8)}) > 3


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"labl": "cat"}, "Unknown parameter 'labl': did you mean 'label'?"),
        ({"kept": "keptt"}, "Unknown verdict 'keptt': did you mean 'kept'?"),
        ({"limit": "101"}, "'limit' is '101': expected a whole number from 1 to 100."),
        ({"limit": "0"}, "'limit' is '0': expected a whole number from 1 to 100."),
        ({"offset": "-1"}, "'offset' is '-1': expected a whole number from 0 to 1099511627776."),
        ({"seed": "1' OR '1"}, "'seed' is '1' OR '1': expected a whole number from 0 to 9223372036854775807."),
        ({"text": "x" * 10_001}, "'text' has 10001 characters: give at most 10000."),
        ({"where": "wdth > 1"}, 'The query failed: Referenced column "wdth" not found'),
        ({"where": "SELECT 1"}, 'The query failed: Referenced column "image_id" not found'),
        ({"where": "1 = 1) q; DROP TABLE explore.images; SELECT (1"}, "The query failed"),
        ({"where": "SELECT image_id FROM read_text('/etc/passwd')"}, "The query failed"),
        ({"where": "SELECT content AS image_id FROM read_text('/etc/hosts')"}, "The query failed"),
        ({"where": "DELETE FROM explore.images"}, "The query failed"),
    ],
)
def test_a_wrong_condition_is_one_sentence_and_the_server_goes_on(
    gallery: Served, parameters: dict[str, str], sentence: str
) -> None:
    got = gallery.get("images", **parameters)
    assert got.status == 400
    assert got.json["error"].startswith(sentence)
    assert "\n" not in got.json["error"]
    assert gallery.names() == ALL


def test_a_condition_that_takes_too_long_is_stopped(gallery: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "SECONDS", 0.5)
    endless = "0 = (SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range + b.range) % 7 = 8)"
    got = gallery.get("images", where=endless)
    assert (got.status, got.json["error"]) == (
        400,
        "The query took more than 0.5 s and was stopped: give a simpler condition, or run it with 'engine query'.",
    )
    assert gallery.names() == ALL


def test_an_image_is_found_by_its_id_whatever_the_conditions(gallery: Served) -> None:
    page = gallery.get("images").json["images"][3]
    got = gallery.get("images", image=page["id"], where="width > 9999").json
    assert (got["total"], [image["name"] for image in got["images"]]) == (1, ["page.png"])
    assert gallery.get("images", image="0" * 32).json == {"total": 0, "images": []}


def test_a_record_has_the_annotations_with_their_verdicts(gallery: Served) -> None:
    cat = gallery.get("images", label="dog").json["images"][0]
    assert {region["id"]: region["rule"] for region in cat["regions"] if region["producer"] == "objects"} == {
        "objects/0": "",
        "objects/1": "min_score",
    }
    assert [text["text"] for text in cat["texts"]] == ["a cat", "A cat sits near a dog."]
    assert "At random" in cat["strata"]
    assert cat["src"] == f"picture/small/{cat['id']}"


def test_the_filters_offer_names_with_their_number_of_images(gallery: Served) -> None:
    facts = gallery.get("facts").json
    assert facts["total"] == 5
    assert facts["labels"] == [{"name": "cat", "number": 2}, {"name": "cup", "number": 1}, {"name": "dog", "number": 1}]
    assert {"name": "min_side", "number": 1} in facts["rules"]
    assert {"name": "ssd", "number": 3} in facts["producers"]
    assert {"name": "At random", "number": 5} in facts["strata"]


def test_before_the_filters_annotations_are_found_too(serve: Callable[..., Served]) -> None:
    gallery = serve(judged=False)
    assert gallery.names(label="cat") == ["cat", "tiny"]
    assert gallery.names(producer="captions") == ["cat", "cup", "tiny", "page"]
    assert gallery.names(kept="image-kept") == ALL
    assert gallery.names(kept="dropped") == gallery.names(kept="kept") == []
    assert gallery.get("facts").json["rules"] == []


def test_what_a_run_commits_appears_after_a_reload(serve: Callable[..., Served]) -> None:
    gallery = serve(judged=False)
    assert gallery.names(kept="image-dropped") == []
    ids = {image["name"].removesuffix(".png"): image["id"] for image in gallery.get("images").json["images"]}
    for shard, names in enumerate(SHARDS):
        commit(Storage(str(gallery.root / "data")), "judge/judgekey", shard, judged_table(names, ids))
    assert gallery.names(kept="image-dropped") == []  # not before the page asks for the facts again
    assert {"name": "min_side", "number": 1} in gallery.get("facts").json["rules"]
    assert gallery.names(kept="image-dropped") == ["tiny", "crash"]


def test_a_data_set_that_is_gone_is_one_sentence_and_the_server_goes_on(serve: Callable[..., Served]) -> None:
    gallery = serve()
    shutil.rmtree(gallery.root / "data")
    got = gallery.get("facts")
    assert got.status == 400
    assert "is no data set, it has no dataset.json" in got.json["error"]
    assert gallery.get("gallery.js").status == 200


# --- pictures ------------------------------------------------------------------------------------


def picture(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def test_pictures_are_made_anew_from_the_image(gallery: Served) -> None:
    cat = gallery.get("images").json["images"][0]
    for size in ("small", "large"):
        got = gallery.get(f"picture/{size}/{cat['id']}")
        assert got.headers["content-type"] == "image/webp"
        assert picture(got.body).size == (120, 80)


def test_a_picture_the_browser_has_is_not_sent_again(gallery: Served) -> None:
    path = f"/{gallery.server.token}/picture/small/{gallery.get('images').json['images'][0]['id']}"
    tag = gallery.request(path).headers["etag"]
    got = gallery.request(path, headers={"If-None-Match": tag})
    assert (got.status, got.body, got.headers["etag"]) == (304, b"", tag)


def test_the_picture_of_an_unknown_image_is_not_found(gallery: Served) -> None:
    got = gallery.get(f"picture/small/{'0' * 32}")
    assert (got.status, got.json["error"]) == (404, "This data set has no image with this id.")


def test_an_image_that_is_gone_has_a_grey_picture_until_it_is_back(serve: Callable[..., Served]) -> None:
    gallery = serve()
    photo = gallery.root / "photos" / "cup.png"
    data = photo.read_bytes()
    photo.unlink()
    path = f"picture/small/{gallery.get('images', producer='human').json['images'][0]['id']}"
    got = gallery.get(path)
    assert got.headers["content-type"] == "image/png"
    assert "etag" not in got.headers
    assert picture(got.body).convert("RGB").getpixel((2, 2)) == (215, 215, 215)
    photo.write_bytes(data)
    assert gallery.get(path).headers["content-type"] == "image/webp"


def test_finished_pictures_stay_within_the_memory(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    rows = image_rows_of(dataset)
    sizes = [len(Pictures(dataset.storage).picture("small", row["image_id"], lambda row=row: row).data) for row in rows]
    pictures = Pictures(dataset.storage, memory=max(sizes) + min(sizes) - 1)
    for row in rows:
        pictures.picture("small", row["image_id"], lambda row=row: row)
    kept = pictures._finished
    assert 1 <= len(kept) < len(rows)
    assert sum(len(picture.data) for picture in kept.values()) <= max(sizes) + min(sizes) - 1
    assert ("small", rows[-1]["image_id"]) in kept, "the oldest go first"


def image_rows_of(dataset: Dataset) -> list[dict[str, object]]:
    from engine.reading.sql import query

    rows: list[dict[str, object]] = query(dataset, "SELECT * FROM images").to_pylist()
    return rows
