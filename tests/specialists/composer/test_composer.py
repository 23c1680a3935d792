"""Composed texts: grammar over all COCO classes, and no claim that regions do not make."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.captions_true import Thing, claims, is_true, sentences_of
from engine.records.boxes import Box
from engine.schema import Region, RegionText, Sample
from specialists.composer.specialist import Composer
from specialists.english import SYNONYMS, listed, noun
from specialists.onnx.coco_labels import COCO_80


def sample(*regions: Region, words: dict[str, str] | None = None, certain: bool = False) -> Sample:
    texts = [
        RegionText(region_id, text, "ocr", id=f"ocr/t{region_id}", score=None if certain else 0.98)
        for region_id, text in (words or {}).items()
    ]
    return Sample("0" * 32, 300, 300, regions=list(regions), region_texts=texts)


def thing(label: str, box: Box, *, name: str = "", score: float | None = 0.8, kind: str = "object") -> Region:
    return Region(*box, label=label, kind=kind, id=name or f"c/{label}{box[0]:.0f}", score=score)


def compose(image: Sample, **options: float) -> dict[str, str]:
    answer = Composer(**options).annotate([image])[0]  # type: ignore[arg-type]
    return {text.granularity: text.text for text in answer.texts}


CAT = thing("cat", (10, 130, 110, 290))
CUPS = (thing("cup", (210, 20, 240, 60)), thing("cup", (250, 20, 280, 60), score=0.75))
SPOON = thing("spoon", (125, 200, 175, 280))


def test_the_three_granularities_differ_in_detail() -> None:
    dogs = thing("dog", (10, 10, 50, 60)), thing("dog", (240, 200, 290, 290))
    assert compose(sample(CAT, *CUPS, SPOON, *dogs)) == {
        "brief": "A photo of a cat, two dogs and a spoon.",
        "detailed": (
            "The photo shows a cat at the bottom left and a spoon at the bottom. It also shows two dogs and two cups."
        ),
        "more_detailed": (
            "The photo shows a cat, two dogs, a spoon and two cups. The cat is at the bottom left, the spoon at the "
            "bottom and the cups at the top right. One dog can be seen at the top left and the other at the bottom "
            "right. The spoon is to the right of the cat."
        ),
    }


def test_a_longer_text_is_written_only_if_it_adds_facts() -> None:
    assert compose(sample(CAT)) == {
        "brief": "A photo of a cat.",
        "detailed": "The photo shows a cat at the bottom left.",
    }
    anywhere = thing("cat", (0, 0, 200, 200))
    assert compose(sample(anywhere)) == {"brief": "A photo of a cat."}


def test_the_first_text_that_adds_facts_is_the_detailed_one() -> None:
    dogs = thing("dog", (10, 120, 60, 180)), thing("dog", (240, 120, 290, 180))
    assert compose(sample(*dogs)) == {
        "brief": "A photo of two dogs.",
        "detailed": "The photo shows two dogs. One dog can be seen on the left and the other on the right.",
    }


def test_tables_and_beds_come_last() -> None:
    table, plate = thing("dining table", (0, 0, 300, 300)), thing("pizza", (50, 50, 250, 250))
    assert compose(sample(table, plate))["brief"] == "A photo of a pizza and a dining table."
    assert compose(sample(table, plate), max_classes=1)["brief"] == "A photo of a dining table."


def test_objects_with_one_location_share_a_sentence() -> None:
    texts = compose(sample(CAT, *CUPS, thing("fork", (220, 70, 270, 80))))
    assert texts["detailed"] == "The photo shows a cat at the bottom left and two cups and a fork at the top right."


def test_objects_without_a_location_come_last() -> None:
    couch = thing("couch", (0, 0, 200, 300))
    assert compose(sample(couch, SPOON))["detailed"] == "The photo shows a spoon at the bottom. It also shows a couch."


def test_directions_are_written_only_if_locations_do_not_imply_them() -> None:
    cake, fork = thing("cake", (50, 200, 105, 290)), thing("fork", (0, 200, 45, 290))
    assert compose(sample(cake, fork))["more_detailed"].endswith("The fork is to the left of the cake.")
    knife = thing("knife", (220, 100, 290, 200))
    assert "more_detailed" not in compose(sample(thing("pizza", (100, 100, 200, 200)), knife))


def test_a_brief_text_omits_much_smaller_classes() -> None:
    bird = thing("bird", (280, 0, 290, 10))
    assert compose(sample(CAT, bird))["brief"] == "A photo of a cat."
    assert "a bird" in compose(sample(CAT, bird))["detailed"]


@pytest.mark.parametrize("label", COCO_80)
def test_every_coco_class_has_correct_grammar(label: str) -> None:
    one, three = noun(label).indefinite(1), noun(label).indefinite(3)
    assert re.fullmatch(r"(an (?=[aeiou])|a (?![aeiou])|some )[a-zTV ]+", one) or one.startswith("a u")
    assert three.startswith("three ")
    assert three.removeprefix("three ") != label or label == "sheep"


@pytest.mark.parametrize(
    ("label", "one", "three"),
    [
        ("person", "a person", "three people"),
        ("sheep", "a sheep", "three sheep"),
        ("mouse", "a mouse", "three mice"),
        ("knife", "a knife", "three knives"),
        ("skis", "a pair of skis", "three pairs of skis"),
        ("scissors", "a pair of scissors", "three pairs of scissors"),
        ("broccoli", "some broccoli", "three pieces of broccoli"),
        ("wine glass", "a wine glass", "three wine glasses"),
        ("umbrella", "an umbrella", "three umbrellas"),
        ("bus", "a bus", "three buses"),
        ("tv", "a TV", "three TVs"),
        ("Traffic_Light", "a traffic light", "three traffic lights"),
        ("unicycle", "a unicycle", "three unicycles"),
        ("hourglass", "an hourglass", "three hourglasses"),
        ("flowers", "some flowers", "some flowers"),
        ("cactus", "a cactus", "three cactuses"),
        ("policeman", "a policeman", "three policemen"),
        ("toy", "a toy", "three toys"),
        ("strawberry", "a strawberry", "three strawberries"),
        ("people", "some people", "some people"),
        ("mice", "some mice", "some mice"),
        ("drinking water", "some drinking water", "some drinking water"),
        ("Ice cream", "some ice cream", "some ice cream"),
        ("bacon", "some bacon", "three pieces of bacon"),
        ("glass of wine", "a glass of wine", "three glasses of wine"),
        ("pair of shoes", "a pair of shoes", "three pairs of shoes"),
        ("slices of pizza", "some slices of pizza", "some slices of pizza"),
        ("jellyfish", "a jellyfish", "three jellyfish"),
        ("usb stick", "a usb stick", "three usb sticks"),
        ("x-ray", "an x-ray", "three x-rays"),
        ("18-wheeler", "an 18-wheeler", "three 18-wheelers"),
        ("ottoman", "an ottoman", "three ottomans"),
        ("thief", "a thief", "three thieves"),
        ("the red car", "a red car", "three red cars"),
    ],
)
def test_articles_and_plurals(label: str, one: str, three: str) -> None:
    assert (noun(label).indefinite(1), noun(label).indefinite(3)) == (one, three)


def test_uncountable_classes_are_not_counted() -> None:
    waters = thing("water", (10, 10, 60, 60)), thing("water", (240, 200, 290, 290))
    composed = compose(sample(CAT, *waters))
    assert composed["brief"] == "A photo of a cat and some water."
    assert not any("One water" in text or "the water are" in text.lower() for text in composed.values())


def test_lists_have_commas_and_one_and() -> None:
    assert [listed(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def people(count: int, score: float | None) -> list[Region]:
    return [thing("person", (n * 20.0, 10, n * 20.0 + 19, 60), score=score) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "score", "expected"),
    [
        (1, 0.8, "a person"),
        (3, 0.8, "three people"),
        (4, 0.8, "several people"),
        (6, 0.8, "many people"),
        (10, None, "ten people"),
        (11, None, "many people"),
    ],
)
def test_human_boxes_are_counted_to_ten_and_detected_ones_to_three(
    count: int, score: float | None, expected: str
) -> None:
    assert compose(sample(*people(count, score)))["brief"] == f"A photo of {expected}."


def test_doubtful_boxes_make_a_count_vague() -> None:
    doubtful = [thing("person", (n * 30.0, 200, n * 30.0 + 20, 290), name=f"d/{n}", score=0.4) for n in range(2)]
    answer = Composer().annotate([sample(*people(1, 0.9), *doubtful)])[0].texts[0]
    assert answer.text == "A photo of some people."
    assert (answer.parents, answer.score) == (["c/person0", "d/0"], 0.4)  # one of them makes it several
    assert compose(sample(*people(3, 0.9), *doubtful))["brief"] == "A photo of several people."
    assert compose(sample(*people(2, 0.9)))["brief"] == "A photo of two people."


def test_a_crowd_is_several() -> None:
    crowd = thing("sheep", (0, 0, 300, 100), score=None)
    crowd.score_kind = "crowd"
    assert compose(sample(crowd))["brief"] == "A photo of several sheep."


def test_an_object_with_two_labels_is_mentioned_once() -> None:
    bed = thing("bed", (12, 130, 112, 292), score=0.75)
    assert compose(sample(CAT, bed))["brief"] == "A photo of a cat."
    person = thing("cat", (10, 130, 110, 290), name="human/0", score=None)
    assert compose(sample(person, thing("bed", (12, 130, 112, 292), score=0.99)))["brief"] == "A photo of a cat."


def test_a_part_of_an_object_is_not_counted() -> None:
    head = thing("cat", (20, 140, 60, 180), score=0.9)
    assert compose(sample(CAT, head))["brief"] == "A photo of a cat."


def test_regions_with_low_scores_are_not_mentioned_and_human_ones_are() -> None:
    doubtful, human = thing("dog", (0, 0, 90, 90), score=0.69), thing("bird", (100, 0, 190, 90), score=None)
    assert compose(sample(doubtful, human))["brief"] == "A photo of a bird."
    assert "dog" in compose(sample(doubtful, human), min_score=0.69)["brief"]


def test_a_text_relies_on_exactly_the_regions_it_names() -> None:
    extra = thing("fork", (0, 0, 3, 3), score=0.2)
    text = Composer().annotate([sample(CAT, *CUPS, extra)])[0].texts[0]
    assert sorted(text.parents) == ["c/cat10", "c/cup210", "c/cup250"]
    assert (text.score, text.score_kind) == (0.75, "rule_min_region_score")


def test_a_text_on_human_regions_alone_is_certain() -> None:
    assert Composer().annotate([sample(thing("cat", (0, 0, 9, 9), score=None))])[0].texts[0].score == 1.0


BOARD = (100.0, 5.0, 200.0, 30.0)


def read(words: str, *, box: Box = BOARD, score: float = 0.98) -> Sample:
    board = thing("", box, name="ocr/0", kind="text", score=score)
    image = sample(CAT, board, words={"ocr/0": words})
    image.region_texts[0].score = score
    return image


def test_printed_words_are_quoted() -> None:
    texts = compose(read('NO "ENTRY" one two three four five six seven eight'))
    assert texts["brief"] == "A photo of a cat."
    assert texts["detailed"].endswith("The words \"NO 'ENTRY' one two three four five six...\" can be read.")
    assert compose(read("1531"))["detailed"].endswith('The number "1531" can be read.')
    assert compose(read("08/2019"))["detailed"].endswith('The text "08/2019" can be read.')


@pytest.mark.parametrize("words", ["0", "8", "OOO", "0 0", "-1-", "..a.b..."])
def test_words_that_were_read_by_mistake_are_not_quoted(words: str) -> None:
    assert words not in compose(read(words))["detailed"]


def test_words_with_a_low_score_or_in_a_huge_line_are_not_quoted() -> None:
    assert "EXIT" not in compose(read("EXIT", score=0.9))["detailed"]
    assert "EXIT" not in compose(read("EXIT", box=(0, 0, 300, 290)))["detailed"]


def test_an_image_with_words_only_gets_texts_that_rely_on_them() -> None:
    board = thing("", BOARD, name="ocr/0", kind="text", score=0.97)
    image = sample(board, words={"ocr/0": "STOP"})
    image.region_texts[0].score = 0.98
    brief = Composer().annotate([image])[0].texts[0]
    assert brief.text == 'A photo with the word "STOP".'
    assert (brief.parents, brief.score) == (["ocr/0", "ocr/tocr/0"], 0.97)


def test_small_print_alone_gives_no_text() -> None:
    board = thing("", (100, 5, 140, 15), name="ocr/0", kind="text", score=None)
    assert compose(sample(board, words={"ocr/0": "STOP"}, certain=True)) == {}


def test_a_page_is_a_photo_of_text() -> None:
    lines = [thing("", (10, 10 + 20 * n, 290, 20 + 20 * n), name=f"ocr/{n}", kind="text", score=None) for n in range(9)]
    page = sample(*lines, words={f"ocr/{n}": f"line {n}" for n in range(9)}, certain=True)
    assert compose(page)["brief"] == "A photo of printed text."


def test_an_image_without_regions_or_words_gets_no_text() -> None:
    board = thing("", (0, 0, 90, 90), name="ocr/0", kind="text")
    assert Composer().annotate([sample(), sample(board, words={"ocr/0": " -- "})])[1].texts == []


boxes = st.tuples(*(st.integers(0, 250) for _ in range(2)), *(st.integers(5, 120) for _ in range(2)))
scores = st.none() | st.floats(0.3, 1.0)
found = st.lists(
    st.tuples(st.sampled_from(["cat", "person", "cup", "scissors", "broccoli"]), boxes, scores), max_size=8
)


@given(found)
@settings(max_examples=60, deadline=None)
def test_a_text_mentions_only_its_parents_and_nothing_false_about_them(
    drawn: list[tuple[str, Box, float | None]],
) -> None:
    regions = [
        thing(label, (x, y, x + w, y + h), name=f"c/{n}", score=score)
        for n, (label, (x, y, w, h), score) in enumerate(drawn)
    ]
    image = sample(*regions)
    for text in Composer().annotate([image])[0].texts:
        parents = [region for region in regions if region.id in text.parents]
        for sentence in sentences_of(text.text):
            claimed = claims(sentence)
            assert {claim.label for claim in claimed} <= {region.label for region in parents}
            assert is_true(sentence, [Thing(r.label, shares(r), crowd=False) for r in parents]) or any(
                claim.most == math.inf for claim in claimed
            )
        assert text.score == min((r.score for r in parents if r.score is not None), default=1.0)


def shares(region: Region) -> Box:
    return region.x1 / 300, region.y1 / 300, region.x2 / 300, region.y2 / 300


def test_the_order_of_regions_does_not_matter() -> None:
    assert compose(sample(CAT, *CUPS)) == compose(sample(*reversed(CUPS), CAT))


def test_synonyms_are_kept_for_coco_classes_only() -> None:
    assert set(SYNONYMS) <= set(COCO_80)
