"""ungrounded_image: an image needs a kept phrase that names a kept region."""

from __future__ import annotations

from filters.min_score import min_score
from filters.ungrounded_image import ungrounded_image
from filters.ungrounded_phrase import ungrounded_phrase
from tests.builders import Row, phrase, reasons, record, region, row, text


def image(name: str, region_score: float | None, **given: float | None) -> Row:
    return row(
        name,
        texts=[text(id=f"{name}/t")],
        regions=[region(id=f"{name}/r", score=region_score)],
        phrases=[phrase(f"{name}/t", region_ids=[f"{name}/r"], id=f"{name}/p", **given)],
    )


def test_an_image_whose_only_region_was_dropped_is_dropped_with_all_its_annotations() -> None:
    found = reasons(record(image("a", 0.9), image("b", 0.1)), min_score, ungrounded_phrase, ungrounded_image)
    assert (found["a"], found["a/r"], found["a/p"]) == ("", "", "")
    assert (found["b"], found["b/t"]) == ("ungrounded_image", "image_dropped")


def test_an_image_without_phrases_is_dropped() -> None:
    assert reasons(record(row("a", regions=[region()]), row("b")), ungrounded_image)["a"] == "ungrounded_image"


def test_a_phrase_counts_once_however_many_regions_it_names() -> None:
    shard = record(
        row(
            "a",
            texts=[text(id="t")],
            regions=[region(id="r"), region(id="s")],
            phrases=[phrase("t", region_ids=["r", "s"])],
        )
    )
    assert reasons(shard, ungrounded_image)["a"] == ""
    assert reasons(shard, (ungrounded_image, {"min_phrases": 2}))["a"] == "ungrounded_image"


def test_a_human_phrase_on_a_human_region_keeps_its_image() -> None:
    assert reasons(record(image("a", None, score=None)), ungrounded_image)["a"] == ""
