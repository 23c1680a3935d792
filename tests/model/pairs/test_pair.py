"""The pairs that a record gives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from model.pairs.pair import PAIRS, Compiled, pair_row
from model.pairs.parsing import parse_target
from model.pairs.questions import plain_expression
from model.pairs.targets import ORDERS, Order
from pipelines.recipe import parse_recipe
from tests.builders import Row, phrase, region, region_text, row, text
from tests.model import real
from tests.model.compiled import left_out, made, pairs_of
from tests.model.pictured import HEIGHT, WIDTH, mask, pictured

# --- pairs --------------------------------------------------------------------------------------


def test_an_image_without_annotations_has_no_pairs() -> None:
    assert made(row("a")) == Compiled()


def test_only_the_chosen_tasks_are_compiled_in_the_order_of_the_table() -> None:
    pairs = made(pictured(), tasks=["<OCR>", "<OD>"]).pairs
    assert [pair.task for pair in pairs] == ["<OD>", "<OCR>"]


def test_every_caption_is_a_pair() -> None:
    record = row("a", texts=[text("A cat.", score=None), text("One cat."), text("A cat.")])
    assert [pair.target for pair in pairs_of("<CAPTION>", record)] == ["A cat.", "One cat."]
    assert left_out("<CAPTION>", record) == {"duplicate": 1}


def test_region_descriptions_use_all_texts_of_a_region_and_dense_captions_the_best() -> None:
    texts = [("a cat", 0.5), ("a red cat", 0.9), ("a thing", None)]
    record = row(
        "a",
        regions=[region(id="m/0")],
        region_texts=[region_text("m/0", words, score=score) for words, score in texts],
    )
    assert [pair.target for pair in pairs_of("<REGION_TO_DESCRIPTION>", record)] == ["a thing", "a red cat", "a cat"]
    assert pairs_of("<DENSE_REGION_CAPTION>", record)[0].target.startswith("a thing<loc")
    assert left_out("<DENSE_REGION_CAPTION>", record) == {"outvoted": 2}


def test_candidate_labels_are_not_descriptions() -> None:
    record = row("a", regions=[region(id="m/0")], region_texts=[region_text("m/0", granularity="candidate")])
    assert pairs_of("<DENSE_REGION_CAPTION>", record) == pairs_of("<REGION_TO_DESCRIPTION>", record) == []


def test_printed_text_and_objects_have_separate_tasks() -> None:
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
    prompts = {pair.prompt for pair in pairs_of("<OPEN_VOCABULARY_DETECTION>", record)}
    assert prompts == {"Locate cat in the image.", "Locate A tabby in the image."}


def test_names_of_one_region_that_differ_by_article_case_or_number_word_are_one_pair() -> None:
    caption = "A tabby. The tabby. One tabby. the red tabby. A cat."
    spans = [(0, 7), (9, 18), (20, 29), (31, 44), (46, 51)]
    record = row(
        "a",
        texts=[text(caption, id="m/9")],
        regions=[region(id="m/0", rle=mask((10, 10, 60, 60)))],
        phrases=[phrase("m/9", start, end, ["m/0"]) for start, end in spans],
    )
    wanted = ["cat", "A tabby", "the red tabby"]
    for task, prompt in (
        ("<OPEN_VOCABULARY_DETECTION>", "Locate {} in the image."),
        ("<REFERRING_EXPRESSION_SEGMENTATION>", "Locate {} in the image with mask"),
    ):
        assert [pair.prompt for pair in pairs_of(task, record)] == [prompt.format(words) for words in wanted]
        assert left_out(task, record) == {"same_as": 3}  # "The tabby", "One tabby", and "A cat", which is the label


def test_similar_names_of_different_regions_are_different_pairs() -> None:
    record = row(
        "a",
        texts=[text("A tabby and the tabby.", id="m/9")],
        regions=[region(id="m/0"), region((0, 0, 5, 5), id="m/1")],
        phrases=[phrase("m/9", 0, 7, ["m/0"]), phrase("m/9", 12, 21, ["m/1"])],
    )
    prompts = [pair.prompt for pair in pairs_of("<OPEN_VOCABULARY_DETECTION>", record)]
    assert prompts == [f"Locate {words} in the image." for words in ("cat", "A tabby", "the tabby")]
    assert left_out("<OPEN_VOCABULARY_DETECTION>", record) == {}


@pytest.mark.parametrize(
    ("words", "plain"),
    [("The two cats", "cats"), ("both Cats", "cats"), ("3 cats", "cats"), ("Some grass", "grass"), ("One", "one")],
)
def test_an_expression_is_compared_without_articles_and_numbers(words: str, plain: str) -> None:
    assert plain_expression(words) == plain


def test_a_phrase_without_regions_is_in_no_pair() -> None:
    record = row("a", texts=[text(id="m/9")], phrases=[phrase("m/9", 0, 5), phrase("m/9", 0, 5, ["gone/1"])])
    assert made(record, tasks=["<CAPTION_TO_PHRASE_GROUNDING>"]) == Compiled()


def test_a_phrase_of_several_producers_is_written_once() -> None:
    record = row(
        "a",
        texts=[text("A cat sleeps.", id="m/9")],
        regions=[region(id="m/0"), region((0, 0, 5, 5), id="m/1")],
        phrases=[phrase("m/9", 0, 5, ["m/0"]), phrase("m/9", 0, 5, ["m/1", "m/0"])],
    )
    assert pairs_of("<CAPTION_TO_PHRASE_GROUNDING>", record)[0].target.count("A cat") == 1


def test_a_pair_lists_all_annotations_it_was_made_from() -> None:
    pairs = {(pair.task, pair.prompt): pair.annotation_ids for pair in made(pictured()).pairs}
    assert pairs["<REGION_TO_OCR>", "What text is in the region <loc_31><loc_20><loc_156><loc_104>?"] == ["m/4", "m/23"]
    caption = "Locate the phrases in the caption: A green car with two wheels."
    assert set(pairs["<CAPTION_TO_PHRASE_GROUNDING>", caption]) == {"m/10", "m/30", "m/31", "m/0", "m/1", "m/2"}


# --- rows ---------------------------------------------------------------------------------------------------


def test_pairs_are_rows_of_the_schema() -> None:
    image = {"image_id": "0" * 32, "width": WIDTH, "height": HEIGHT, "uri": "train-00000.tar", "offset": 512}
    image |= {"length": 99, "split": "train", "licence": "not a column"}
    rows = [pair_row(pair, image) for pair in made(pictured()).pairs]
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    table.validate(full=True)
    assert table["offset"].unique().to_pylist() == [512]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["<ODD>"]}, "did you mean '<OD>'"),
        ({"order": "size"}, "'emit.pairs.order' in recipe is 'size'"),
        ({"max_tokens": 3}, "greater than or equal to 8"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe({"dataset": "x", "emit": {"pairs": options}})


# --- any record ---------------------------------------------------------------------------------------


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
def test_every_pair_of_any_record_parses_without_a_fault_and_is_proven(record: Row, order: Order, limit: int) -> None:
    compiled = made(record, order=order, max_tokens=limit)
    assert not [reason for _, reason in compiled.left_out if reason == "unproven"]
    for pair in compiled.pairs:
        assert parse_target(pair.task, pair.target, width=WIDTH, height=HEIGHT).faults == []
        assert pair.tokens <= limit
        assert pair.target.encode()


@settings(max_examples=50, deadline=None)
@given(records())
def test_every_object_is_in_a_detection_pair_or_counted(record: Row) -> None:
    compiled = made(record, tasks=["<OD>"])
    in_pairs = sum(len(pair.annotation_ids) for pair in compiled.pairs)
    assert in_pairs + sum(compiled.left_out.values()) == sum(one["kind"] == "object" for one in record["regions"])


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
