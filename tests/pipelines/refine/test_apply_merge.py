"""The merge of a round on regions, up to what is kept after it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.builders import Row, phrase, region, region_text, row, text
from tests.pipelines.refine.merging import BOX, MOVED, merge, proposal


def outlined(box: Sequence[float] = BOX) -> Row:
    mask = region(id="m/mask", rle="rle", merged_into="m/cat")
    return row(regions=[region(id="m/cat"), mask], region_texts=[region_text("m/cat", id="m/described")])


def test_a_box_that_moves_loses_its_mask_and_the_loss_is_on_record() -> None:
    done = merge(outlined(), {"regions": [proposal(MOVED)]}, mask_iou=0.9)

    assert done.rules()[:2] == [("moved", "m/cat", "merge/0"), ("mask_lost", "m/cat", "merge/0")]
    assert [(one["id"], one["rle"]) for one in done.kept["regions"]] == [("merge/0", "")]
    assert done.verdict("m/mask") == "merged"


def test_a_box_with_a_new_label_in_the_same_place_keeps_its_mask() -> None:
    done = merge(outlined(), {"regions": [proposal(label="dog")]})

    assert done.rules() == [("relabelled", "m/cat", "merge/0")]
    assert [(one["label"], one["rle"]) for one in done.kept["regions"]] == [("dog", "rle")]


def test_texts_and_phrases_of_a_region_follow_it_to_its_successor() -> None:
    given = outlined() | {
        "texts": [text("A cat.", id="m/text")],
        "phrases": [phrase("m/text", region_ids=["m/cat"], id="m/phrase")],
    }
    done = merge(given, {"regions": [proposal(MOVED)]})

    assert [one["region_id"] for one in done.kept["region_texts"]] == ["merge/0"]
    assert [one["region_ids"] for one in done.kept["phrases"]] == [["merge/0"]]


def test_nothing_refers_to_a_dropped_region() -> None:
    given = outlined() | {
        "texts": [text("A cat.", id="m/text")],
        "phrases": [phrase("m/text", region_ids=["m/cat"], id="m/phrase")],
    }
    done = merge(given, {}, drop=0.6)

    assert done.verdict("m/cat") == "refine.dropped"
    assert done.verdict("m/described") == "region_dropped"
    assert done.kept["region_texts"] == []
    assert [one["region_ids"] for one in done.kept["phrases"]] == [[]]


def test_a_region_that_people_described_is_not_dropped() -> None:
    given = row(regions=[region(id="m/cat")], region_texts=[region_text("m/cat", id="h/described", score=None)])

    done = merge(given, {}, drop=0.6)

    assert (done.rules(), done.verdict("m/cat")) == ([], "")
