"""The sample that a page holds: complete, and small enough."""

from __future__ import annotations

from typing import Any

import pytest

from engine.reading.dataset import Dataset
from pipelines.gallery.record import GalleryRecord
from pipelines.gallery.sample import compact, gallery_sample, size_in_page


@pytest.fixture(scope="module")
def whole(hand: Dataset, con: Any) -> GalleryRecord:
    return gallery_sample(hand, con)


def test_a_sample_has_pictures_and_reasons(hand: Dataset, whole: GalleryRecord) -> None:
    assert (whole["dataset"], whole["total"], len(whole["images"])) == (hand.url, 5, 5)
    for image in whole["images"]:
        assert image["src"].startswith("data:image/webp;base64,")
        assert image["strata"]


def test_images_of_one_shard_have_all_their_annotations(hand: Dataset, con: Any, whole: GalleryRecord) -> None:
    """The first image of the sample is read from its own shard only."""
    (image,) = gallery_sample(hand, con, limit=1)["images"]
    assert image["regions"] or image["failures"]
    assert image == whole["images"][0] | {"strata": image["strata"], "src": image["src"]}


def test_a_sample_keeps_to_its_bytes_by_leaving_out_the_last_images(
    hand: Dataset, con: Any, whole: GalleryRecord
) -> None:
    small = gallery_sample(hand, con, most_bytes=30_000)["images"]
    assert 0 < len(small) < 5
    assert sum(map(size_in_page, small)) <= 30_000
    assert [image["id"] for image in small] == [image["id"] for image in whole["images"]][: len(small)]


def test_a_compact_record_leaves_out_what_is_empty_but_no_false_and_no_zero(whole: GalleryRecord) -> None:
    images = compact(whole)["images"]
    tiny = next(image for image in images if image["name"] == "tiny.png")
    assert (tiny["kept"], tiny["rule"], tiny["value"]) == (False, "min_side", 16.0)
    assert not {"unreadable", "licence", "changes", "left_out"} & set(tiny)
    assert {region["round"] for region in tiny["regions"]} == {0}
