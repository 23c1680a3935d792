"""The sample that a page holds: complete, and small enough."""

from __future__ import annotations

from typing import Any

from engine.reading.dataset import Dataset
from pipelines.gallery.sample import compact, gallery_sample, size_in_page


def test_a_sample_has_pictures_and_reasons(hand: Dataset, con: Any) -> None:
    sample = gallery_sample(hand, con)
    assert (sample["dataset"], sample["total"], len(sample["images"])) == (hand.url, 5, 5)
    for image in sample["images"]:
        assert image["src"].startswith("data:image/webp;base64,")
        assert image["strata"]


def test_a_sample_keeps_to_its_bytes_by_leaving_out_the_last_images(hand: Dataset, con: Any) -> None:
    whole = gallery_sample(hand, con)
    small = gallery_sample(hand, con, most_bytes=30_000)
    assert 0 < len(small["images"]) < 5
    assert sum(map(size_in_page, small["images"])) <= 30_000
    assert [image["id"] for image in small["images"]] == [image["id"] for image in whole["images"]][
        : len(small["images"])
    ]


def test_a_compact_record_leaves_out_what_is_empty_but_no_false_and_no_zero(hand: Dataset, con: Any) -> None:
    images = compact(gallery_sample(hand, con))["images"]
    tiny = next(image for image in images if image["name"] == "tiny.png")
    assert (tiny["kept"], tiny["rule"], tiny["value"]) == (False, "min_side", 16.0)
    assert not {"unreadable", "licence", "changes", "left_out"} & set(tiny)
    assert {region["round"] for region in tiny["regions"]} == {0}
