"""From a record to pairs: what is asked, what is left out and why, what is dropped of what is too long."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from model.pairs.compile import compile_pairs
from model.pairs.pair import PAIRS, Compiled, Options, Pair, estimated_tokens, pair_row
from model.pairs.parsing import decode
from model.pairs.questions import plain_expression
from model.pairs.targets import ORDERS, Order
from tests.builders import Row, phrase, region, region_text, row, text
from tests.model import real
from tests.model.pictured import HEIGHT, WIDTH, mask, pictured


def made(record: Row, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Compiled:
    return compile_pairs(record, width=size[0], height=size[1], options=Options(**options))


def of(task: str, record: Row, **options: Any) -> list[Pair]:
    return made(record, tasks=[task], **options).pairs


def left(task: str, record: Row, **options: Any) -> dict[str, int]:
    return {reason: number for (_, reason), number in made(record, tasks=[task], **options).left_out.items()}


# --- what is asked --------------------------------------------------------------------------------------


def test_an_image_without_annotations_supports_nothing() -> None:
    assert made(row("a")) == Compiled()


def test_only_the_tasks_that_are_asked_for_are_compiled_in_their_own_order() -> None:
    pairs = made(pictured(), tasks=["<OCR>", "<OD>"]).pairs
    assert [pair.task for pair in pairs] == ["<OD>", "<OCR>"]


def test_every_caption_of_people_is_a_pair() -> None:
    record = row("a", texts=[text("A cat.", score=None), text("One cat."), text("A cat.")])
    assert [pair.target for pair in of("<CAPTION>", record)] == ["A cat.", "One cat."]
    assert left("<CAPTION>", record) == {"duplicate": 1}


def test_a_region_is_described_by_each_of_its_texts_and_in_a_dense_caption_by_the_best() -> None:
    texts = [("a cat", 0.5), ("a red cat", 0.9), ("a thing", None)]
    record = row(
        "a",
        regions=[region(id="m/0")],
        region_texts=[region_text("m/0", words, score=score) for words, score in texts],
    )
    assert [pair.target for pair in of("<REGION_TO_DESCRIPTION>", record)] == ["a thing", "a red cat", "a cat"]
    assert of("<DENSE_REGION_CAPTION>", record)[0].target.startswith("a thing<loc")
    assert left("<DENSE_REGION_CAPTION>", record) == {"outvoted": 2}


def test_candidates_are_no_texts_of_a_region() -> None:
    record = row("a", regions=[region(id="m/0")], region_texts=[region_text("m/0", granularity="candidate")])
    assert of("<DENSE_REGION_CAPTION>", record) == of("<REGION_TO_DESCRIPTION>", record) == []


def test_printed_words_are_no_objects_and_objects_are_no_print() -> None:
    printed = region(kind="text", label="", id="m/0")
    record = row("a", regions=[printed], region_texts=[region_text("m/0", "OPEN", granularity="ocr")])
    assert set(made(record).proven) == {"<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"}
    assert set(made(row("a", regions=[region()])).proven) == {
        "<OD>",
        "<REGION_PROPOSAL>",
        "<OPEN_VOCABULARY_DETECTION>",
        "<REGION_TO_CATEGORY>",
    }


def test_a_phrase_that_names_one_region_is_a_referring_expression() -> None:
    record = row(
        "a",
        texts=[text("A tabby and two dogs.", id="m/9")],
        regions=[region(id="m/0"), region((0, 0, 5, 5), id="m/1"), region((5, 5, 9, 9), id="m/2")],
        phrases=[phrase("m/9", 0, 7, ["m/0"]), phrase("m/9", 12, 20, ["m/1", "m/2"])],
    )
    prompts = {pair.prompt for pair in of("<OPEN_VOCABULARY_DETECTION>", record)}
    assert prompts == {"Locate cat in the image.", "Locate A tabby in the image."}


def test_expressions_that_differ_by_article_case_or_number_word_and_name_the_same_region_are_one_pair() -> None:
    said = "A tabby. The tabby. One tabby. the red tabby. A cat."
    spans = [(0, 7), (9, 18), (20, 29), (31, 44), (46, 51)]
    record = row(
        "a",
        texts=[text(said, id="m/9")],
        regions=[region(id="m/0", rle=mask((10, 10, 60, 60)))],
        phrases=[phrase("m/9", start, end, ["m/0"]) for start, end in spans],
    )
    wanted = ["cat", "A tabby", "the red tabby"]
    for task, prompt in (
        ("<OPEN_VOCABULARY_DETECTION>", "Locate {} in the image."),
        ("<REFERRING_EXPRESSION_SEGMENTATION>", "Locate {} in the image with mask"),
    ):
        assert [pair.prompt for pair in of(task, record)] == [prompt.format(words) for words in wanted]
        assert left(task, record) == {"same_as": 3}  # "The tabby", "One tabby", and "A cat", which is the label


def test_the_same_words_for_another_region_are_another_pair() -> None:
    record = row(
        "a",
        texts=[text("A tabby and the tabby.", id="m/9")],
        regions=[region(id="m/0"), region((0, 0, 5, 5), id="m/1")],
        phrases=[phrase("m/9", 0, 7, ["m/0"]), phrase("m/9", 12, 21, ["m/1"])],
    )
    prompts = [pair.prompt for pair in of("<OPEN_VOCABULARY_DETECTION>", record)]
    assert prompts == [f"Locate {words} in the image." for words in ("cat", "A tabby", "the tabby")]
    assert left("<OPEN_VOCABULARY_DETECTION>", record) == {}


@pytest.mark.parametrize(
    ("words", "plain"),
    [("The two cats", "cats"), ("both Cats", "cats"), ("3 cats", "cats"), ("Some grass", "grass"), ("One", "one")],
)
def test_an_expression_is_compared_without_articles_and_numbers(words: str, plain: str) -> None:
    assert plain_expression(words) == plain


def test_a_phrase_that_is_grounded_nowhere_is_not_asked_for() -> None:
    record = row("a", texts=[text(id="m/9")], phrases=[phrase("m/9", 0, 5), phrase("m/9", 0, 5, ["gone/1"])])
    assert made(record, tasks=["<CAPTION_TO_PHRASE_GROUNDING>"]) == Compiled()


def test_producers_that_agree_on_a_phrase_are_one_phrase() -> None:
    record = row(
        "a",
        texts=[text("A cat sleeps.", id="m/9")],
        regions=[region(id="m/0"), region((0, 0, 5, 5), id="m/1")],
        phrases=[phrase("m/9", 0, 5, ["m/0"]), phrase("m/9", 0, 5, ["m/1", "m/0"])],
    )
    assert of("<CAPTION_TO_PHRASE_GROUNDING>", record)[0].target.count("A cat") == 1


def test_a_pair_names_every_annotation_it_is_made_of() -> None:
    pairs = {(pair.task, pair.prompt): pair.annotation_ids for pair in made(pictured()).pairs}
    assert pairs["<REGION_TO_OCR>", "What text is in the region <loc_31><loc_20><loc_156><loc_104>?"] == ["m/4", "m/23"]
    caption = "Locate the phrases in the caption: A green car with two wheels."
    assert set(pairs["<CAPTION_TO_PHRASE_GROUNDING>", caption]) == {"m/10", "m/30", "m/31", "m/0", "m/1", "m/2"}


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
    assert [pair.target for pair in of("<OD>", record)] == ["dog<loc_0><loc_0><loc_14><loc_18>"]
    assert left("<OD>", record) == left("<REGION_TO_CATEGORY>", record) == {reason: 1}
    assert len(of("<REGION_PROPOSAL>", record)[0].annotation_ids) == 2


def test_a_caption_that_cannot_be_asked_of_is_counted() -> None:
    record = row(
        "a", texts=[text("A <sep>.", id="m/9")], regions=[region(id="m/0")], phrases=[phrase("m/9", 0, 1, ["m/0"])]
    )
    assert left("<CAPTION>", record) == left("<CAPTION_TO_PHRASE_GROUNDING>", record) == {"reserved_token": 1}


def test_a_crowd_is_nothing_to_be_found_but_may_be_what_a_phrase_says() -> None:
    crowd = region(label="person", score=None, score_kind="crowd", id="m/0", rle=mask((0, 0, 9, 9)))
    record = row("a", texts=[text("A crowd.", id="m/9")], regions=[crowd], phrases=[phrase("m/9", 0, 7, ["m/0"])])
    for task in ("<OD>", "<REGION_PROPOSAL>", "<REGION_TO_CATEGORY>", "<REGION_TO_SEGMENTATION>"):
        assert (of(task, record), left(task, record)) == ([], {"crowd": 1})
    assert [pair.target[:7] for pair in of("<CAPTION_TO_PHRASE_GROUNDING>", record)] == ["A crowd"]


def test_a_region_of_which_nothing_is_inside_is_counted() -> None:
    beyond = region((WIDTH, 0, WIDTH + 9, 9), score=None)
    for task in ("<OD>", "<REGION_PROPOSAL>", "<REGION_TO_CATEGORY>"):
        assert left(task, row("a", regions=[beyond])) == {"outside_image": 1}


def test_a_region_that_reaches_beyond_is_asked_for_as_far_as_it_is_inside() -> None:
    record = row("a", regions=[region((-5, 0, WIDTH + 9, 9), score=None)])
    assert of("<OD>", record)[0].target == "cat<loc_0><loc_0><loc_999><loc_18>"


def test_print_that_nobody_read_is_counted_and_no_description_of_an_object_is_missed() -> None:
    printed = [region(kind="text", label="", id=f"m/{number}") for number in (0, 1)]
    record = row("a", regions=[*printed, region()], region_texts=[region_text("m/0", "OPEN", granularity="ocr")])
    for task in ("<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"):
        assert (len(of(task, record)), left(task, record)) == (1, {"unread": 1})
    assert left("<DENSE_REGION_CAPTION>", record) == {}


def test_words_that_name_other_regions_elsewhere_are_ambiguous() -> None:
    texts = [text("A cat.", id="m/8"), text("A cat sits.", id="m/9")]
    outlined = {"rle": mask((0, 0, 9, 9))}
    regions = [region(id="m/0", **outlined), region((0, 0, 5, 5), id="m/1", **outlined)]
    phrases = [phrase("m/8", 0, 5, ["m/0"]), phrase("m/9", 0, 5, ["m/1"]), phrase("m/8", 2, 5, ["m/0"])]
    record = row("a", texts=texts, regions=regions, phrases=phrases)
    for task in ("<OPEN_VOCABULARY_DETECTION>", "<REFERRING_EXPRESSION_SEGMENTATION>"):
        assert [pair.annotation_ids for pair in of(task, record)] == [["m/0", "m/1"]]  # the label cat
        assert left(task, record) == {"ambiguous": 2}  # "A cat" twice, and "cat" otherwise than the label


def test_a_name_of_which_some_regions_have_no_mask_is_not_segmented() -> None:
    record = row("a", regions=[region(rle=mask((0, 0, 9, 9))), region()])
    assert left("<REFERRING_EXPRESSION_SEGMENTATION>", record) == {"no_outline": 1}
    assert len(of("<REGION_TO_SEGMENTATION>", record)) == 1


@pytest.mark.parametrize("rle", [mask(), "1:2"])
def test_a_mask_of_nothing_or_of_another_image_is_counted(rle: str) -> None:
    record = row("a", regions=[region(rle=rle)])
    assert left("<REGION_TO_SEGMENTATION>", record) == {"no_outline": 1}


def test_what_is_not_proven_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target writer that is a bin off."""
    from model.pairs import targets

    monkeypatch.setattr(targets, "_box", lambda *_: "<loc_1><loc_1><loc_900><loc_900>")
    assert of("<OD>", pictured()) == []
    assert left("<OD>", pictured()) == {"unproven": 1}


# --- what is too long --------------------------------------------------------------------------------------


def test_the_smallest_regions_go_first_and_the_pair_is_flagged() -> None:
    boxes = [region((0, 0, n, n), label=f"n{n}") for n in (3, 9, 5, 7)]
    pairs = of("<OD>", row("a", regions=boxes), max_tokens=12)
    assert [(pair.target.count("n"), pair.truncated, pair.tokens) for pair in pairs] == [(2, True, 12)]
    assert pairs[0].target.startswith("n9<loc_0>")
    assert left("<OD>", row("a", regions=boxes), max_tokens=12) == {"too_long": 2}


def test_names_of_which_nothing_is_left_are_not_asked_for() -> None:
    boxes = [region((0, 0, n, n), label=f"n{n}") for n in (3, 9, 5)]
    pairs = of("<OPEN_VOCABULARY_DETECTION>", row("a", regions=boxes), max_tokens=12)
    assert (pairs[0].prompt, pairs[0].truncated) == ("Locate n5<and>n9 in the image.", True)


def test_a_text_over_the_limit_is_left_out_and_never_cut() -> None:
    record = row("a", texts=[text("A cat " * 20)])
    assert (of("<CAPTION>", record, max_tokens=20), left("<CAPTION>", record, max_tokens=20)) == ([], {"too_long": 1})


def test_printed_words_over_the_limit_lose_the_smallest_lines() -> None:
    regions = [region((0, n, 90 - n, n + 9), kind="text", id=f"m/{n}") for n in range(9)]
    words = [region_text(f"m/{n}", f"line {n}", granularity="ocr") for n in range(9)]
    pair = of("<OCR>", row("a", regions=regions, region_texts=words), max_tokens=8)[0]
    assert (pair.target, pair.truncated) == ("line 0\nline 1\nline 2", True)


def test_an_outline_over_the_limit_loses_its_smallest_parts() -> None:
    record = row("a", regions=[region(rle=mask((0, 0, 9, 9), (20, 0, 40, 20), (50, 0, 55, 5)))])
    pair = of("<REGION_TO_SEGMENTATION>", record, max_tokens=20)[0]
    assert (pair.target.count("<sep>"), pair.truncated, pair.tokens) == (1, True, 19)


def test_what_not_even_one_region_fits_is_left_out() -> None:
    record = row("a", regions=[region(label="a very long name of something small"), region()])
    assert left("<OPEN_VOCABULARY_DETECTION>", record, max_tokens=8)["too_long"] == 3


def test_tokens_are_counted_by_what_is_given() -> None:
    pair = of("<OD>", pictured(), count=len, max_tokens=10_000)[0]
    assert pair.tokens == len(pair.target)


@pytest.mark.parametrize(
    ("target", "tokens"),
    [("", 2), ("a cat", 4), ("photograph", 5), ("cat<loc_1><loc_2><loc_3><loc_4>", 7), ("<poly><loc_1></poly>", 5)],
)
def test_the_estimate_counts_locations_marks_and_four_bytes_of_a_word(target: str, tokens: int) -> None:
    assert estimated_tokens(target) == (tokens if target else 3)


def test_two_thousand_regions_are_cut_to_the_limit() -> None:
    regions = [region((n % 50, n // 50, n % 50 + 9, n // 50 + 9 + n % 3), label=f"n{n % 9}") for n in range(2000)]
    record = row("a", regions=regions)
    pair = of("<OD>", record)[0]
    assert (pair.truncated, 1020 <= pair.tokens <= 1024) == (True, True)
    assert left("<OD>", record)["too_long"] == 2000 - len(pair.annotation_ids)


# --- rows ---------------------------------------------------------------------------------------------------


def test_pairs_are_rows_of_the_schema() -> None:
    image = {"image_id": "0" * 32, "width": WIDTH, "height": HEIGHT, "uri": "train-00000.tar", "offset": 512}
    image |= {"length": 99, "split": "train", "licence": "not asked for"}
    rows = [pair_row(pair, image) for pair in made(pictured()).pairs]
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    table.validate(full=True)
    assert table["offset"].unique().to_pylist() == [512]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"tasks": ["<ODD>"]}, "did you mean '<OD>'"), ({"order": "size"}, "Unknown order"), ({"max_tokens": 3}, "few")],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Options(**options)


# --- whatever the record ---------------------------------------------------------------------------------------


@st.composite
def records(draw: st.DrawFn) -> Row:
    words = st.text(min_size=1, max_size=9)
    corner = st.floats(-20, 700, width=32)
    regions, region_texts, phrases = [], [], []
    texts = [text(draw(words), draw(st.sampled_from(["brief", "detailed"])), id=f"t/{n}") for n in range(3)]
    for number in range(draw(st.integers(0, 8))):
        x1, y1 = draw(corner), draw(corner)
        name, kind = f"m/{number}", draw(st.sampled_from(["object", "text"]))
        box = (x1, y1, x1 + draw(st.floats(0, 300, width=32)), y1 + draw(st.floats(0, 300, width=32)))
        label = draw(st.one_of(words, st.sampled_from(["cat", "cup", "a<b", ""])))
        regions.append(region(box, id=name, kind=kind, label=label))
        granularity = draw(st.sampled_from(["brief", "ocr"]))
        region_texts.append(region_text(name, draw(words), id=f"w/{number}", granularity=granularity))
        own = draw(st.sampled_from(texts))
        phrases.append(phrase(own["id"], 0, draw(st.integers(1, 9)), [name], id=f"p/{number}"))
    return row("a", texts=texts, regions=regions, region_texts=region_texts, phrases=phrases)


@settings(max_examples=150, deadline=None)
@given(records(), st.sampled_from(ORDERS), st.sampled_from([12, 40, 1024]))
def test_every_pair_of_any_record_is_read_without_a_fault_and_nothing_is_unproven(
    record: Row, order: Order, limit: int
) -> None:
    compiled = made(record, order=order, max_tokens=limit)
    assert not [reason for _, reason in compiled.left_out if reason == "unproven"]
    for pair in compiled.pairs:
        assert decode(pair.task, pair.target, width=WIDTH, height=HEIGHT).faults == []
        assert pair.tokens <= limit
        assert pair.target.encode()


@settings(max_examples=50, deadline=None)
@given(records())
def test_every_object_with_a_label_is_in_detection_or_counted(record: Row) -> None:
    compiled = made(record, tasks=["<OD>"])
    asked = sum(len(pair.annotation_ids) for pair in compiled.pairs)
    assert asked + sum(compiled.left_out.values()) == sum(one["kind"] == "object" for one in record["regions"])


# --- real annotations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_every_annotation_of_coco_is_compiled_and_read_back(order: Order) -> None:
    """90 photos, one without an object: 881 regions of which 10 are crowds, 330 captions."""
    proven, left_out = real.totals(real.coco(), order=order)
    assert proven == {
        "<CAPTION>": 330,
        "<OD>": 89,
        "<REGION_PROPOSAL>": 89,
        "<REFERRING_EXPRESSION_SEGMENTATION>": 357,
        "<REGION_TO_SEGMENTATION>": 871,
        "<OPEN_VOCABULARY_DETECTION>": 434,
        "<REGION_TO_CATEGORY>": 871,
    }
    crowds = ("<OD>", "<REGION_PROPOSAL>", "<REGION_TO_SEGMENTATION>", "<REGION_TO_CATEGORY>")
    assert left_out == {
        **{(task, "crowd"): 10 for task in crowds},
        ("<REFERRING_EXPRESSION_SEGMENTATION>", "too_long"): 11,
    }


def test_every_word_of_the_street_photos_is_compiled_and_read_back() -> None:
    """39 photos: 192 legible words of 505."""
    proven, left_out = real.totals(real.scene_text())
    assert proven == {"<OCR>": 38, "<OCR_WITH_REGION>": 38, "<REGION_TO_OCR>": 192}
    assert left_out == {(task, "unread"): 505 - 192 for task in proven}
