"""What is left out of the pairs of a record, and why; what is dropped from targets that are too long."""

from __future__ import annotations

import pytest

from model.pairs.pair import estimated_tokens
from tests.builders import phrase, region, region_text, row, text
from tests.model.compiled import left_out, pairs_of
from tests.model.pictured import WIDTH, mask, pictured

# --- what is left out -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "empty"),
        ("a<b", "angle_bracket"),
        ("<loc_5>", "angle_bracket"),
        ("a\nb", "new_line"),
        ("cat ", "white_space"),
        ("\ud83d", "not_unicode"),
    ],
)
def test_a_label_that_cannot_be_written_is_counted_and_the_others_stay(label: str, reason: str) -> None:
    record = row("a", regions=[region(label=label), region((0, 0, 9, 9), label="dog")])
    assert [pair.target for pair in pairs_of("<OD>", record)] == ["dog<loc_0><loc_0><loc_14><loc_18>"]
    assert left_out("<OD>", record) == left_out("<REGION_TO_CATEGORY>", record) == {reason: 1}
    assert len(pairs_of("<REGION_PROPOSAL>", record)[0].annotation_ids) == 2


def test_a_caption_with_a_reserved_token_is_counted() -> None:
    record = row(
        "a", texts=[text("A <sep>.", id="m/9")], regions=[region(id="m/0")], phrases=[phrase("m/9", 0, 1, ["m/0"])]
    )
    assert left_out("<CAPTION>", record) == left_out("<CAPTION_TO_PHRASE_GROUNDING>", record) == {"reserved_token": 1}


def test_a_crowd_is_in_no_detection_but_a_phrase_may_name_it() -> None:
    crowd = region(label="person", score=None, score_kind="crowd", id="m/0", rle=mask((0, 0, 9, 9)))
    record = row("a", texts=[text("A crowd.", id="m/9")], regions=[crowd], phrases=[phrase("m/9", 0, 7, ["m/0"])])
    for task in ("<OD>", "<REGION_PROPOSAL>", "<REGION_TO_CATEGORY>", "<REGION_TO_SEGMENTATION>"):
        assert (pairs_of(task, record), left_out(task, record)) == ([], {"crowd": 1})
    assert [pair.target[:7] for pair in pairs_of("<CAPTION_TO_PHRASE_GROUNDING>", record)] == ["A crowd"]


def test_a_region_outside_the_image_is_counted() -> None:
    beyond = region((WIDTH, 0, WIDTH + 9, 9), score=None)
    for task in ("<OD>", "<REGION_PROPOSAL>", "<REGION_TO_CATEGORY>"):
        assert left_out(task, row("a", regions=[beyond])) == {"outside_image": 1}


def test_a_region_partly_outside_the_image_is_clipped() -> None:
    record = row("a", regions=[region((-5, 0, WIDTH + 9, 9), score=None)])
    assert pairs_of("<OD>", record)[0].target == "cat<loc_0><loc_0><loc_999><loc_18>"


def test_printed_text_without_words_is_counted_and_objects_without_descriptions_are_not() -> None:
    printed = [region(kind="text", label="", id=f"m/{number}") for number in (0, 1)]
    record = row("a", regions=[*printed, region()], region_texts=[region_text("m/0", "OPEN", granularity="ocr")])
    for task in ("<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"):
        assert (len(pairs_of(task, record)), left_out(task, record)) == (1, {"unread": 1})
    assert left_out("<DENSE_REGION_CAPTION>", record) == {}


def test_words_that_name_different_regions_are_ambiguous() -> None:
    texts = [text("A cat.", id="m/8"), text("A cat sits.", id="m/9")]
    outlined = {"rle": mask((0, 0, 9, 9))}
    regions = [region(id="m/0", **outlined), region((0, 0, 5, 5), id="m/1", **outlined)]
    phrases = [phrase("m/8", 0, 5, ["m/0"]), phrase("m/9", 0, 5, ["m/1"]), phrase("m/8", 2, 5, ["m/0"])]
    record = row("a", texts=texts, regions=regions, phrases=phrases)
    for task in ("<OPEN_VOCABULARY_DETECTION>", "<REFERRING_EXPRESSION_SEGMENTATION>"):
        assert [pair.annotation_ids for pair in pairs_of(task, record)] == [["m/0", "m/1"]]  # the label cat
        assert left_out(task, record) == {
            "ambiguous": 2
        }  # "A cat" twice, and "cat", which names other regions than the label


def test_a_name_is_not_segmented_if_some_of_its_regions_have_no_mask() -> None:
    record = row("a", regions=[region(rle=mask((0, 0, 9, 9))), region()])
    assert left_out("<REFERRING_EXPRESSION_SEGMENTATION>", record) == {"no_outline": 1}
    assert len(pairs_of("<REGION_TO_SEGMENTATION>", record)) == 1


@pytest.mark.parametrize("rle", [mask(), "1:2"])
def test_an_empty_mask_or_one_of_another_size_is_counted(rle: str) -> None:
    record = row("a", regions=[region(rle=rle)])
    assert left_out("<REGION_TO_SEGMENTATION>", record) == {"no_outline": 1}


def test_a_pair_that_does_not_parse_back_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are written with wrong locations."""
    from model.pairs import targets

    monkeypatch.setattr(targets, "_box", lambda *_: "<loc_1><loc_1><loc_900><loc_900>")
    assert pairs_of("<OD>", pictured()) == []
    assert left_out("<OD>", pictured()) == {"unproven": 1}


# --- what is too long --------------------------------------------------------------------------------------


def test_the_smallest_regions_are_dropped_first_and_the_pair_is_flagged() -> None:
    boxes = [region((0, 0, n, n), label=f"n{n}") for n in (3, 9, 5, 7)]
    pairs = pairs_of("<OD>", row("a", regions=boxes), max_tokens=12)
    assert [(pair.target.count("n"), pair.truncated, pair.tokens) for pair in pairs] == [(2, True, 12)]
    assert pairs[0].target.startswith("n9<loc_0>")
    assert left_out("<OD>", row("a", regions=boxes), max_tokens=12) == {"too_long": 2}


def test_names_without_a_region_left_are_not_in_the_prompt() -> None:
    boxes = [region((0, 0, n, n), label=f"n{n}") for n in (3, 9, 5)]
    pairs = pairs_of("<OPEN_VOCABULARY_DETECTION>", row("a", regions=boxes), max_tokens=12)
    assert (pairs[0].prompt, pairs[0].truncated) == ("Locate n5<and>n9 in the image.", True)


def test_a_text_over_the_limit_is_left_out_and_never_cut() -> None:
    record = row("a", texts=[text("A cat " * 20)])
    assert (pairs_of("<CAPTION>", record, max_tokens=20), left_out("<CAPTION>", record, max_tokens=20)) == (
        [],
        {"too_long": 1},
    )


def test_printed_text_over_the_limit_loses_its_smallest_lines() -> None:
    regions = [region((0, n, 90 - n, n + 9), kind="text", id=f"m/{n}") for n in range(9)]
    words = [region_text(f"m/{n}", f"line {n}", granularity="ocr") for n in range(9)]
    pair = pairs_of("<OCR>", row("a", regions=regions, region_texts=words), max_tokens=8)[0]
    assert (pair.target, pair.truncated) == ("line 0\nline 1\nline 2", True)


def test_an_outline_over_the_limit_loses_its_smallest_parts() -> None:
    record = row("a", regions=[region(rle=mask((0, 0, 9, 9), (20, 0, 40, 20), (50, 0, 55, 5)))])
    pair = pairs_of("<REGION_TO_SEGMENTATION>", record, max_tokens=20)[0]
    assert (pair.target.count("<sep>"), pair.truncated, pair.tokens) == (1, True, 19)


def test_a_pair_without_a_single_region_that_fits_is_left_out() -> None:
    record = row("a", regions=[region(label="a very long name of something small"), region()])
    assert left_out("<OPEN_VOCABULARY_DETECTION>", record, max_tokens=8)["too_long"] == 3


def test_tokens_are_counted_by_the_given_function() -> None:
    pair = pairs_of("<OD>", pictured(), count=len, max_tokens=10_000)[0]
    assert pair.tokens == len(pair.target)


@pytest.mark.parametrize(
    ("target", "tokens"),
    [("", 2), ("a cat", 4), ("photograph", 5), ("cat<loc_1><loc_2><loc_3><loc_4>", 7), ("<poly><loc_1></poly>", 5)],
)
def test_the_estimate_is_one_for_a_location_or_mark_or_four_bytes_of_a_word(target: str, tokens: int) -> None:
    assert estimated_tokens(target) == (tokens if target else 3)


def test_two_thousand_regions_are_cut_to_the_limit() -> None:
    regions = [region((n % 50, n // 50, n % 50 + 9, n // 50 + 9 + n % 3), label=f"n{n % 9}") for n in range(2000)]
    record = row("a", regions=regions)
    pair = pairs_of("<OD>", record)[0]
    assert (pair.truncated, 1020 <= pair.tokens <= 1024) == (True, True)
    assert left_out("<OD>", record)["too_long"] == 2000 - len(pair.annotation_ids)
