"""What the gallery shows of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.reading.sql import connect
from engine.records import masks
from pipelines.gallery.image_data import image_records, image_rows
from pipelines.gallery.outline import svg_path
from pipelines.gallery.record import Bounds, ImageRecord
from tests.builders import phrase, record, region, row, text
from tests.engine.reading.one_shard import write
from tests.handmade import QUAD, handmade


def read(con: Any, *ids: str, **options: Any) -> list[ImageRecord]:
    return image_records(con, image_rows(con, ids), **options)


@pytest.fixture(scope="module")
def cat(con: Any, names: dict[str, str]) -> ImageRecord:
    return read(con, names["cat"], strata={names["cat"]: ("At random",)})[0]


def test_an_image_has_its_size_verdict_and_all_sources(cat: ImageRecord) -> None:
    assert (cat["name"], cat["width"], cat["height"], cat["kept"], cat["split"]) == ("cat.png", 120, 80, True, "train")
    assert [Path(source["uri"]).name for source in cat["sources"]] == ["cat.png", "cat-copy.png"]
    assert cat["strata"] == ["At random"]
    assert cat["left_out"] == {}


def test_regions_are_kept_ones_then_dropped_then_merged(cat: ImageRecord) -> None:
    assert [(one["id"], one["rule"], one["merged_into"]) for one in cat["regions"]] == [
        ("objects/0", "", ""),
        ("objects/1", "min_score", ""),
        ("ssd/0", "merged", "objects/0"),
        ("outline/0", "merged", "objects/0"),
        ("yolo/0", "merged", "objects/0"),
        ("ssd/1", "merged", "objects/1"),
    ]
    dropped = cat["regions"][1]
    assert (dropped["kept"], dropped["value"], dropped["threshold"]) == (False, 0.2, 0.3)
    assert cat["regions"][0]["support"] == ["ssd/0", "yolo/0"]


def test_a_region_has_the_mask_that_outlines_it(cat: ImageRecord) -> None:
    assert {one["id"]: one["mask"] for one in cat["regions"] if one["mask"]} == {
        "objects/0": "M20,20 20,49 49,49 49,20Z"
    }


def test_a_text_has_its_phrases_and_their_verdicts(cat: ImageRecord) -> None:
    (_, detailed) = cat["texts"]
    assert [(one["text"], one["length"]) for one in cat["texts"]] == [("a cat", 5), ("A cat sits near a dog.", 22)]
    assert [(one["start"], one["end"], one["regions"], one["rule"]) for one in detailed["phrases"]] == [
        (0, 5, ["objects/0"], ""),
        (16, 21, ["objects/1"], "ungrounded_phrase"),
    ]


def test_printed_words_are_with_their_region(con: Any, names: dict[str, str]) -> None:
    (page,) = read(con, names["page"])
    assert [(one["words"], one["quad"], one["kept"]) for one in page["regions"]] == [
        ("HELLO", QUAD, True),
        ("x", [], False),
    ]
    assert [(one["region"], one["text"], one["rule"]) for one in page["region_texts"]] == [
        ("ocr/0", "HELLO", ""),
        ("ocr/1", "x", "region_dropped"),
    ]


def test_failures_come_before_what_was_skipped_because_of_them(con: Any, names: dict[str, str]) -> None:
    (crash,) = read(con, names["crash"])
    assert (crash["kept"], crash["rule"]) == (False, "failed")
    assert [one["reason"] for one in crash["failures"]][:2] == ["worker_lost", "skipped"]


def test_images_are_in_the_given_order_and_unknown_ids_are_left_out(con: Any, names: dict[str, str]) -> None:
    found = read(con, names["page"], "0" * 32, "no id'; --", names["cat"], names["page"])
    assert [one["name"] for one in found] == ["page.png", "cat.png"]
    assert read(con) == []


def test_what_was_not_judged_has_no_verdict(tmp_path: Path) -> None:
    with connect(handmade(tmp_path, judged=False)) as con:
        ids = [name for (name,) in con.execute("SELECT image_id FROM images").fetchall()]
        for image in read(con, *ids):
            assert image["kept"] is None
            assert {one["kept"] for one in image["regions"]} <= {None}


# --- phrases and bounds --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One image with a long text, a phrase of a merged region, regions in a circle, and many regions."""
    long = "😀 cat " * 2_000
    regions = [region(score=n / 100, id=f"model/{n:02}") for n in range(40)]
    regions += [region(id="model/merged", merged_into="model/again"), region(id="model/again", merged_into="model/39")]
    regions += [region(id="model/one", merged_into="model/two"), region(id="model/two", merged_into="model/one")]
    regions.append(region(id="model/odd", rle="not a mask"))
    image = row(
        texts=[text(long, id="model/long"), text("a cat", id="model/short")],
        phrases=[
            phrase("model/long", 2, 5, ["model/merged", "model/39", "model/one"], id="model/p0"),
            phrase("model/long", 30, 9_000, ["model/39"], id="model/p1"),
            phrase("model/long", 9_000, 9_003, ["model/39"], id="model/p2"),
        ],
        regions=regions,
    )
    dropped = {f"model/{n:02}": "min_score" for n in range(20)}
    merged = dict.fromkeys(("model/merged", "model/again", "model/one", "model/two"), "merged")
    dataset = write(tmp_path_factory.mktemp("crowded") / "d", record(image), [], dropped | merged)
    with connect(dataset) as con:
        yield con


def test_phrases_name_the_region_that_replaced_a_merged_one(crowded: Any) -> None:
    (image,) = read(crowded, "0" * 32)
    first = next(one for one in image["texts"] if one["id"] == "model/long")["phrases"][0]
    assert first["regions"] == ["model/39", "model/two"]  # the second is one of a circle


def test_a_long_text_is_cut_and_phrases_end_at_the_cut(crowded: Any) -> None:
    (image,) = read(crowded, "0" * 32, bounds=Bounds(characters=100))
    long = next(one for one in image["texts"] if one["id"] == "model/long")
    assert (len(long["text"]), long["length"]) == (100, 12_000)
    assert [(one["start"], one["end"]) for one in long["phrases"]] == [(2, 5), (30, 100)]


def test_the_best_regions_of_each_kind_are_kept_and_the_others_counted(crowded: Any) -> None:
    (image,) = read(crowded, "0" * 32, bounds=Bounds(regions=8))
    assert [one["id"] for one in image["regions"]] == [
        "model/odd",
        "model/39",
        "model/38",
        "model/37",
        "model/19",
        "model/18",
        "model/again",
        "model/merged",
    ]
    assert image["left_out"] == {"regions": 37}
    assert read(crowded, "0" * 32)[0]["left_out"] == {}


def test_a_mask_that_does_not_fit_its_image_is_not_drawn(crowded: Any) -> None:
    (image,) = read(crowded, "0" * 32)
    assert next(one for one in image["regions"] if one["id"] == "model/odd")["mask"] == ""


# --- outlines --------------------------------------------------------------------------------------


def test_an_outline_has_the_holes_of_its_mask() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 1
    mask[20:40, 20:40] = 0
    assert svg_path(masks.encode(mask), width=60, height=60).count("M") == 2


def test_a_rough_outline_is_simplified_until_it_is_short() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((200, 200)) < 0.6
    mask[50:150, 50:150] = True
    path = svg_path(masks.encode(mask), width=200, height=200, longest=400)
    assert 0 < len(path) <= 400
    assert path.startswith("M")
