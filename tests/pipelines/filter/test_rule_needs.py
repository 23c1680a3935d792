"""Before anything runs, a recipe is refused if a rule lacks its input or has an impossible bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from engine.errors import ConfigError
from engine.records.columns import Images, ImageScores
from engine.running.graph import build
from engine.schema import Answer, Sample
from filters import CATALOG as FILTERS
from filters.verdict import Verdict
from pipelines.filter.judge import rules_of
from pipelines.filter.rule_needs import check_rules
from pipelines.recipe import parse_recipe
from specialists import CATALOG

DETECTOR = {"ssd": {"use": "fake_detector"}}
SEEN = {**DETECTOR, "objects": {"use": "consensus"}}
WRITTEN = {**SEEN, "captions": {"use": "composer"}}
FULL = {
    **WRITTEN,
    "yolox": {"use": "fake_detector", "seed": 1},
    "parse": {"use": "spacy_parse"},
    "phrases": {"use": "label_grounder"},
    "quality": {"use": "image_quality"},
    "nsfw": {"use": "nsfw"},
    "language": {"use": "language"},
    "embed": {"use": "fake_embedder"},
    "ocr": {"use": "rapidocr"},
    "tags": {"use": "tags"},
    "similarity": {"use": "label_similarity"},
}
CLIP = {"clip": {"use": "fake_embedder", "size": 4}}


class Aesthetics:
    """A user's component that does not declare the names of its scores."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer() for _ in batch]


class Declared(Aesthetics):
    score_names: ClassVar[tuple[str, ...]] = ("aesthetic",)


def beautiful(images: Images, image_scores: ImageScores, *, floor: float = 4.0) -> Verdict:
    """A user's rule."""
    return Verdict(images.rows >= 0, "beautiful")


def broken(images: Images, *, floor: float = 4.0) -> Verdict:
    """A rule that always fails."""
    raise ZeroDivisionError("division by zero")


OWN = {"own": {"use": f"{__name__}:Aesthetics"}}
DECLARED = {"own": {"use": f"{__name__}:Declared"}}


def check(annotate: dict[str, Any], *rules: Any) -> None:
    recipe = parse_recipe({"dataset": "x", "annotate": annotate, "filter": list(rules)})
    check_rules(rules_of(recipe), build(recipe.annotate, CATALOG))


LACKING: list[tuple[dict[str, Any], Any, str]] = [
    (SEEN, "unsafe", "reads the score 'unsafe', which no node gives: add 'nsfw: {use: nsfw}' under annotate"),
    ({"quality": {"use": "image_quality"}}, "unsafe", "reads the score 'unsafe'"),
    (WRITTEN, "text_language", "reads the score 'language', .* add 'language: {use: language}'"),
    (SEEN, "image_quality", "reads the score 'brightness', .* add 'quality: {use: image_quality}'"),
    (DECLARED, "image_quality", "reads the score 'brightness', .* add 'quality: {use: image_quality}'"),
    (
        FULL,
        {"image_quality": {"at_least": {"aesthetic": 4}}},
        "reads the score 'aesthetic', .* a node that measures it",
    ),
    (FULL, {"image_quality": {"producer": "nsfw"}}, "score 'brightness' of 'nsfw', but quality gives it"),
    (SEEN, "near_duplicate", "reads the score 'phash', which no node gives: add 'quality: {use: image_quality}'"),
    ({"nsfw": {"use": "nsfw"}}, "near_duplicate", "reads the score 'phash'"),
    (
        SEEN,
        "semantic_duplicate",
        "compares embeddings, which no node gives: add 'embed: {use: embed, ",
    ),
    ({**FULL, **CLIP}, "semantic_duplicate", "of one node, but embed and clip give them: add 'producer: embed'"),
    (FULL, {"semantic_duplicate": {"producer": "embd"}}, "'embd'.*'embed'"),
    (SEEN, "text_length", "judges texts, which no node gives: add a node that writes"),
    (WRITTEN, "text_length", "reads parsed texts, .* add 'parse: {use: spacy_parse}' under annotate"),
    (WRITTEN, "min_complexity", "reads parsed texts"),
    (WRITTEN, "too_many_objects", "reads parsed texts"),
    (WRITTEN, "phrase_blacklist", "judges phrases, which no node gives: add 'phrases: {use: label_grounder}'"),
    (WRITTEN, "ungrounded_image", "reads phrases, which no node gives"),
    ({}, "nms", "judges regions, which no node gives: add a detector"),
    (WRITTEN, "agreement", "needs 2 producers, but only ssd gives boxes: add another detector"),
    (FULL, {"agreement": {"producers": 3}}, "needs 3 producers, but only ssd and yolox gives boxes"),
    ({}, f"{__name__}:beautiful", "reads image_scores, which no node gives"),
    (FULL, {"min_score": {"by_producer": {"yolo": 0.5}}}, "producer 'yolo': did you mean 'yolox'?"),
]


@pytest.mark.parametrize(("annotate", "rule", "message"), LACKING)
def test_a_rule_without_what_it_reads_names_the_node_to_add(annotate: dict[str, Any], rule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(annotate, rule)


@pytest.mark.parametrize("rule", FILTERS)
def test_every_rule_finds_what_it_reads_in_a_full_recipe(rule: str) -> None:
    check(FULL, rule)


def test_two_rules_that_compare_embeddings_are_refused() -> None:
    with pytest.raises(ConfigError, match="semantic_duplicate and semantic_duplicate both compare embeddings: keep"):
        check(FULL, "semantic_duplicate", {"semantic_duplicate": {"eps": 0.1}})


RIGHT: list[tuple[dict[str, Any], Any]] = [
    (OWN, "unsafe"),
    (OWN, {"image_quality": {"at_least": {"aesthetic": 4}}}),
    (DECLARED, {"image_quality": {"at_least": {"aesthetic": 4}}}),
    (OWN, f"{__name__}:beautiful"),
    ({"human": {"use": "human"}}, "nms"),
    ({"alt": {"use": "source_texts"}}, "text_repetition"),
    ({"human": {"use": "human"}, **SEEN}, "agreement"),
    (SEEN, {"agreement": {"by_label": {"kite": 1}}}),
    (SEEN, {"min_score": {"by_producer": {"ocr": 0.5, "round-1-merge": 0.2}}}),
    ({"ocr": {"use": "rapidocr"}}, "min_score"),
    ({**FULL, **CLIP}, {"semantic_duplicate": {"producer": "clip"}}),
]


@pytest.mark.parametrize(("annotate", "rule"), RIGHT)
def test_a_rule_that_finds_what_it_reads_is_no_error(annotate: dict[str, Any], rule: Any) -> None:
    check(annotate, rule)


OUT_OF_RANGE: list[tuple[Any, str]] = [
    ({"min_score": {"floor": 30}}, "Option 'floor' of filter min_score is 30: .*less than or equal to 1"),
    ({"min_score": {"by_producer": {"ocr": 30}}}, "Option 'by_producer.ocr' of filter min_score is 30: .*less than"),
    ({"min_score": {"floor": True}}, "Option 'floor' of filter min_score is true: expected a number"),
    ({"min_score": {"floor": "0.5"}}, "is the text '0.5': expected a number, so remove the quotes"),
    ({"min_score": {"floor": float("nan")}}, "nan"),
    ({"min_score": {"floor": None}}, "Option 'floor' of filter min_score is empty: give a value, or remove the key"),
    ({"min_score": {"floor": {"quantile": 1.5}}}, "has the quantile 1.5: give a number between 0 and 1"),
    ({"text_length": {"min_tokens": -1}}, "Option 'min_tokens' of filter text_length is -1: .*greater than or equal"),
    ({"text_length": {"min_tokens": {"brief": -1}}}, "Option 'min_tokens.brief' of filter text_length is -1"),
    ({"text_length": {"min_tokens": 50, "max_tokens": 10}}, "min_tokens 50 above max_tokens 10: swap"),
    ({"text_length": {"min_tokens": {"brief": 9}, "max_tokens": 5}}, "min_tokens 9 above max_tokens 5 of 'brief'"),
    ({"box_size": {"by_label": {"cup": {"max_share": 30}}}}, "'max_share' of filter box_size, by_label 'cup', is 30"),
    ({"box_size": {"min_share": 0.5, "max_share": 0.1}}, "min_share 0.5 above max_share 0.1"),
    ({"image_quality": {"at_most": {"brightness": 30}}}, "'brightness' is between 0 and 1"),
    ({"nms": {"kinds": ["objct"]}}, "Option 'kinds.0' of filter nms is 'objct': .*'object', 'text' or 'phrase'"),
    ({"nms": {"kinds": []}}, "Option 'kinds' of filter nms"),
    ({"text_language": {"keep": [False]}}, "'keep.0' .* is false: expected text; YAML reads yes, no"),
    ({"text_language": {"keep": ["english"]}}, "'keep.0' of filter text_language is 'english'"),
    ({"near_duplicate": {"radius": 300}}, "less than or equal to 256"),
    ({"box_sanity": [1]}, r"Filter 'box_sanity' is given \[1\]: expected options by name, such as {slack: ..}"),
    ({"nested_phrase": 3}, "Filter 'nested_phrase' is given 3: expected options by name"),
    ({"min_score": None, "floor": 0.3}, "indent the options of a rule"),
    ({"min_score": {1: 0.3}}, "Unknown option of filter min_score '1'"),
    (
        f"{__name__}:broken",
        r"'.*:broken' fails .*ZeroDivisionError: division by zero \(.*test_rule_needs.py, line \d+\)",
    ),
    (f"{__name__}:Declared", "Filter 'Declared' has no column to judge"),
    (f"{__name__}:FULL", "is keys and values, not a filter: name a class or a function"),
]


@pytest.mark.parametrize(("rule", "message"), OUT_OF_RANGE)
def test_an_impossible_bound_is_an_error_in_one_sentence(rule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(FULL, rule)


@pytest.mark.parametrize(
    "rule",
    [
        {"min_score": {"floor": 0}},
        {"min_score": {"floor": {"quantile": 0.1}, "by_label": {"person": 1}}},
        {"text_length": {"max_tokens": {"brief": {"quantile": 0.99}}}},
        {"text_length": {"max_tokens": float("inf")}},
        {"text_length": {"min_tokens": 60}},
        {"image_quality": {"at_least": {"entropy": None}}},
        {"box_size": None},
    ],
)
def test_bounds_at_the_ends_of_their_range_are_valid(rule: Any) -> None:
    check(FULL, rule)


def test_an_option_of_a_specialist_has_a_range_too() -> None:
    with pytest.raises(
        ConfigError, match=r"Option 'iou' of annotate.objects \(consensus\) is 30: .*less than or equal"
    ):
        build({**DETECTOR, "objects": {"use": "consensus", "iou": 30}}, CATALOG)
