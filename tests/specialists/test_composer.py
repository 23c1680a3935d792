"""Composed texts: grammar over all COCO classes, and no claim that regions do not make."""

from __future__ import annotations

import re

import pytest

from engine.schema import Region, RegionText, Sample
from specialists.coco import COCO_80
from specialists.composer import Composer, relation
from specialists.synonyms import SYNONYMS, listed, noun

Box = tuple[float, float, float, float]


def sample(*regions: Region, words: dict[str, str] | None = None) -> Sample:
    texts = [
        RegionText(region_id, text, "ocr", id=f"ocr/t{region_id}", score=0.9)
        for region_id, text in (words or {}).items()
    ]
    return Sample("0" * 32, 300, 300, regions=list(regions), region_texts=texts)


def thing(label: str, box: Box, *, name: str = "", score: float | None = 0.8, kind: str = "object") -> Region:
    return Region(*box, label=label, kind=kind, id=name or f"c/{label}{box[0]:.0f}", score=score)


def compose(image: Sample, **options: float) -> dict[str, str]:
    answer = Composer(**options).annotate([image])[0]  # type: ignore[arg-type]
    return {text.granularity: text.text for text in answer.texts}


CAT = thing("cat", (10, 110, 150, 290))
CUPS = (thing("cup", (210, 20, 240, 60)), thing("cup", (250, 20, 280, 60), score=0.6))


def test_the_three_granularities_of_a_cat_and_two_cups() -> None:
    texts = compose(sample(CAT, *CUPS))
    places = (
        "The photo shows a cat and two cups. The cat appears at the bottom left and spans a large part of the photo. "
        "The cups appear at the top right."
    )
    assert texts == {"brief": "A photo of a cat and two cups.", "detailed": places, "more_detailed": places}


def test_relations_are_told_where_boxes_show_them() -> None:
    text = compose(sample(CAT, thing("dog", (180, 120, 280, 280))))["more_detailed"]
    assert "The dog appears to the right of the cat." in text
    assert "front" not in text


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 100, 95, 200), "to the left of"),
        ((205, 100, 300, 200), "to the right of"),
        ((110, 0, 190, 95), "above"),
        ((110, 205, 190, 300), "below"),
        ((120, 120, 180, 180), "overlap"),
        ((0, 0, 50, 50), ""),
    ],
)
def test_relations_of_the_picture_plane(box: Box, expected: str) -> None:
    assert relation(thing("a", box), thing("b", (100, 100, 200, 200))) == expected


@pytest.mark.parametrize("label", COCO_80)
def test_every_coco_class_is_spoken_of_grammatically(label: str) -> None:
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
    ],
)
def test_articles_and_plurals(label: str, one: str, three: str) -> None:
    assert (noun(label).indefinite(1), noun(label).indefinite(3)) == (one, three)


def test_lists_have_commas_and_one_and() -> None:
    assert [listed(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_large_numbers_stay_honest() -> None:
    crowd = [thing("person", (n * 10.0, 10, n * 10.0 + 9, 40)) for n in range(14)]
    texts = compose(sample(*crowd))
    assert texts["brief"] == "A photo of more than ten people."
    assert texts["detailed"].startswith("The photo shows 14 people.")


def test_doubtful_regions_are_not_spoken_of_and_human_ones_are() -> None:
    doubtful, human = thing("dog", (0, 0, 90, 90), score=0.29), thing("bird", (100, 0, 190, 90), score=None)
    assert compose(sample(doubtful, human))["brief"] == "A photo of a bird."
    assert "dog" in compose(sample(doubtful, human), min_score=0.29)["brief"]


def test_a_text_relies_on_exactly_the_regions_it_names() -> None:
    extra = thing("fork", (0, 0, 3, 3), score=0.2)
    text = Composer().annotate([sample(CAT, *CUPS, extra)])[0].texts[0]
    assert sorted(text.parents) == ["c/cat10", "c/cup210", "c/cup250"]
    assert (text.score, text.score_kind) == (0.6, "rule_min_region_score")


def test_a_text_on_human_regions_alone_is_certain() -> None:
    assert Composer().annotate([sample(thing("cat", (0, 0, 9, 9), score=None))])[0].texts[0].score == 1.0


def test_words_read_are_quoted() -> None:
    board = thing("", (100, 5, 200, 30), name="ocr/0", kind="text")
    texts = compose(sample(CAT, board, words={"ocr/0": 'NO "ENTRY" one two three four five six seven eight'}))
    assert texts["brief"] == "A photo of a cat."
    assert texts["detailed"].endswith("Text at the top reads \"NO 'ENTRY' one two three four five six\".")


def test_an_image_of_words_alone_gets_texts_that_rely_on_them() -> None:
    board = thing("", (100, 5, 200, 30), name="ocr/0", kind="text", score=0.7)
    brief = Composer().annotate([sample(board, words={"ocr/0": "STOP"})])[0].texts[0]
    assert brief.text == 'A photo with the word "STOP".'
    assert (brief.parents, brief.score) == (["ocr/0", "ocr/tocr/0"], 0.7)


def test_an_image_without_regions_or_words_gets_no_text() -> None:
    board = thing("", (0, 0, 9, 9), name="ocr/0", kind="text")
    assert Composer().annotate([sample(), sample(board, words={"ocr/0": " -- "})])[1].texts == []


def test_two_of_a_class_are_told_apart_by_place() -> None:
    dogs = thing("dog", (10, 120, 60, 180)), thing("dog", (240, 120, 290, 180))
    assert compose(sample(*dogs))["detailed"].endswith("One dog appears on the left and the other on the right.")


def test_the_order_of_regions_does_not_matter() -> None:
    assert compose(sample(CAT, *CUPS)) == compose(sample(*reversed(CUPS), CAT))


def test_synonyms_are_kept_for_coco_classes_only() -> None:
    assert set(SYNONYMS) <= set(COCO_80)
