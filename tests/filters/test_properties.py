"""Properties of every rule of the catalog, for any shard and any options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.catalog import options_of, resolve
from engine.schema import ANNOTATIONS, VERDICTS
from filters import CATALOG
from filters.judging.apply_rules import judge
from filters.judging.keep import counts, keep
from filters.verdict import Rule, reads
from tests.builders import (
    Row,
    image_score,
    images,
    parse,
    parsed,
    phrase,
    reasons,
    record,
    region,
    region_text,
    row,
    tag,
    text,
)

RULES: dict[str, Rule] = {name: resolve("filter", name, CATALOG)[1] for name in CATALOG}

# A rule is dependent if its verdict on a row depends on the other rows that are left (for near_duplicate, on the
# survey). Independent rules read only the row itself.
DEPENDENT = {"near_duplicate", "nested_phrase", "nms", "ungrounded_image", "ungrounded_phrase"}
INDEPENDENT = tuple(sorted(set(CATALOG) - DEPENDENT))

WORDS = ("A cat.", "Cat.", "It is red, it is red, it is red.", "Un chat dort sur un vieux canapé rouge.")
PARSES = parse(
    parsed(WORDS[0], tokens=2),
    parsed(WORDS[1], tokens=1, object_complexity=0.0),
    parsed(WORDS[2], tokens=9, objects=["it"] * 20, action_complexity=0.0),
    parsed(WORDS[3], tokens=8),
)

score = st.sampled_from([None, 0.0, 0.1, 0.4, 0.9, 1.0])
side = st.sampled_from([1.0, 3.0, 20.0, 50.0, 101.0])
producer = st.sampled_from(["ssd", "yolo", "web"])
granularity = st.sampled_from(["brief", "detailed", "more_detailed"])
bound = st.sampled_from([-1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 1e9])


REGION_IDS = [f"r/{k}" for k in range(6)]


@st.composite
def image_rows(draw: st.DrawFn, image_id: str) -> Row:
    texts = [
        text(draw(st.sampled_from(WORDS)), draw(granularity), id=f"t/{k}", score=draw(score), producer=draw(producer))
        for k in range(draw(st.integers(0, 3)))
    ]
    measured = [
        image_score("language", 0.9, code=draw(st.sampled_from(["en", "fr"])), parents=[f"t/{k}"], id=f"l/{k}")
        for k in range(draw(st.integers(0, 2)))
    ]
    for name in ("sharpness", "clipped", "unsafe"):
        measured += [image_score(name, draw(bound), id=f"s/{name}", producer=draw(producer))]
    for about in ("t/0", "t/1", "x/0", "g"):
        measured += [image_score("image_text", draw(bound), parents=[about], id=f"m/{about}")]
    return row(
        image_id,
        regions=draw(regions()),
        texts=texts,
        phrases=draw(phrases()),
        region_texts=[region_text(draw(st.sampled_from(REGION_IDS)), id=f"x/{k}", score=draw(score)) for k in range(2)],
        tags=[tag(id="g", score=draw(score))],
        image_scores=measured,
    )


@st.composite
def regions(draw: st.DrawFn) -> list[Row]:
    made = [
        region(
            (0, 0, draw(side), draw(side)),
            id=f"r/{k}",
            score=draw(score),
            producer=draw(producer),
            label=draw(st.sampled_from("ab")),
            support=draw(st.sampled_from([[], ["ssd/1"], ["ssd/1", "yolo/2"]])),
        )
        for k in range(draw(st.integers(0, 5)))
    ]
    for k, item in enumerate(made[1:]):
        item["merged_into"] = draw(st.sampled_from(["", "", "", f"r/{k}"]))
    return made


@st.composite
def phrases(draw: st.DrawFn) -> list[Row]:
    return [
        phrase(
            draw(st.sampled_from(["t/0", "t/1"])),
            draw(st.integers(0, 2)),
            draw(st.integers(1, 4)),
            draw(st.lists(st.sampled_from(REGION_IDS), max_size=3)),
            id=f"p/{k}",
            score=draw(score),
            producer=draw(producer),
        )
        for k in range(draw(st.integers(0, 3)))
    ]


shards = st.tuples(image_rows("a"), image_rows("b")).map(lambda rows: record(*rows))

by_granularity = st.one_of(bound, st.dictionaries(granularity, bound, max_size=2))


def for_each(key: st.SearchStrategy[str], value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(key, value, max_size=2)


def several(*names: str, value: st.SearchStrategy[Any] = by_granularity) -> dict[str, st.SearchStrategy[Any]]:
    """Random options for a rule that has several bounds."""
    own = for_each(producer, st.dictionaries(st.sampled_from(names), value, max_size=2))
    return dict.fromkeys(names, value) | {"by_producer": own}


def one(name: str, value: st.SearchStrategy[Any] = by_granularity) -> dict[str, st.SearchStrategy[Any]]:
    return {name: value, "by_producer": for_each(producer, value)}


labels = st.sampled_from("aB")
flag = st.booleans()
BOXES = ("min_side", "min_share", "max_share")
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "agreement": one("producers", bound) | {"below": bound, "by_label": for_each(labels, bound)},
    "box_sanity": {"slack": bound},
    "box_size": several(*BOXES, value=bound)
    | {"by_label": for_each(labels, st.dictionaries(st.sampled_from(BOXES), bound))},
    "image_quality": {
        name: for_each(st.sampled_from(["sharpness", "other"]), bound) for name in ("at_least", "at_most")
    },
    "min_complexity": several("min_object", "min_action"),
    "min_image_tag_score": one("floor", bound) | {"by_label": for_each(labels, bound), "drop_unmeasured": flag},
    "min_image_text_score": one("floor") | {"drop_unmeasured": flag},
    "min_phrase_score": one("floor"),
    "min_region_text_score": one("floor", bound) | {"drop_unmeasured": flag},
    "min_score": one("floor", bound) | {"by_label": for_each(labels, bound)},
    "min_side": {"pixels": st.sampled_from([0, 100, 101])},
    "near_duplicate": {"radius": st.just(32)},
    "nested_phrase": {},
    "nms": {"within": st.sampled_from([0.1, 0.5, 1.0]), "across": st.sampled_from([0.1, 0.8, 1.0])},
    "phrase_blacklist": {"extra": st.lists(st.sampled_from(["a", "cat", "un"]))},
    "semantic_duplicate": {"eps": st.sampled_from([0.0, 0.05]), "audit_eps": st.sampled_from([0.0, 0.05])},
    "text_language": one("floor") | {"drop_unmeasured": flag, "min_words": st.sampled_from([0, 5])},
    "text_length": several("min_tokens", "max_tokens"),
    "text_repetition": several("top_2gram", "top_3gram", "duplicate_5grams", "duplicate_sentences"),
    "too_many_objects": one("max_objects"),
    "ungrounded_image": {"min_phrases": st.sampled_from([0, 1, 2])},
    "ungrounded_phrase": {"min_regions": st.sampled_from([0, 1, 2])},
    "unsafe": one("ceiling", bound) | {"drop_unmeasured": flag},
}


def with_options(names: Sequence[str]) -> st.SearchStrategy[list[tuple[str, Mapping[str, Any]]]]:
    """These rules in any order, each with some of its options."""
    drawn = [
        st.fixed_dictionaries({}, optional=OPTIONS[name]).map(lambda given, name=name: (name, given)) for name in names
    ]
    return st.tuples(*drawn).flatmap(st.permutations)


def judged(shard: pa.Table, rules: Sequence[tuple[str, Mapping[str, Any]]], parses: pa.Table = PARSES) -> pa.Table:
    return judge(shard, images(shard), parses, [(name, RULES[name], given) for name, given in rules])


DEFAULTS: list[tuple[str, Mapping[str, Any]]] = [(name, {}) for name in CATALOG]
OF_IMAGES = [name for name in CATALOG if reads(RULES[name])[0] == "images"]  # these drop human labels, as documented


@pytest.mark.parametrize("name", CATALOG)
def test_the_options_tried_here_are_options_of_the_rule(name: str) -> None:
    assert set(OPTIONS[name]) <= set(options_of(RULES[name]))


@settings(deadline=None, max_examples=80)
@given(shards, with_options([name for name in CATALOG if name not in OF_IMAGES]))
def test_no_rule_drops_a_human_annotation_whatever_its_options(shard: pa.Table, rules: Any) -> None:
    verdicts = judged(shard, rules).to_pylist()
    for given_image, image in zip(shard.to_pylist(), verdicts, strict=True):
        for name in ANNOTATIONS:
            for item, verdict in zip(given_image[name], image[name], strict=True):
                if item["score"] is None:
                    assert verdict["kept"] != bool(item.get("merged_into"))


@settings(deadline=None, max_examples=80)
@given(shards, with_options(INDEPENDENT))
def test_independent_rules_keep_the_same_in_any_order(shard: pa.Table, rules: Any) -> None:
    assert keep(shard, judged(shard, rules)).equals(keep(shard, judged(shard, sorted(rules))))


def test_of_independent_rules_the_first_one_is_the_reason() -> None:
    shard = record(regions=[region((0, 0, 2, 2), id="r", score=0.1)])
    assert reasons(shard, RULES["min_score"], RULES["box_size"])["r"] == "min_score"
    assert reasons(shard, RULES["box_size"], RULES["min_score"])["r"] == "box_size.side"


def test_a_rule_that_looks_at_others_depends_on_the_order() -> None:
    shard = record(regions=[region(id="sure", score=0.9, label="odd"), region(id="less", score=0.5)])
    strict = (RULES["min_score"], {"by_label": {"odd": 0.95}})
    assert reasons(shard, strict, RULES["nms"])["less"] == ""
    assert reasons(shard, RULES["nms"], strict)["less"] == "nms.across"


@settings(deadline=None, max_examples=60)
@given(shards, with_options(list(CATALOG)))
def test_an_image_gets_the_same_verdicts_alone_and_among_others(shard: pa.Table, rules: Any) -> None:
    together = judged(shard, rules)
    alone = pa.concat_tables([judged(shard.slice(k, 1), rules) for k in range(shard.num_rows)])
    assert together.to_pylist() == alone.to_pylist()


@settings(deadline=None, max_examples=60)
@given(shards, with_options(["min_score", "nms", "text_length", "text_repetition", "min_phrase_score"]))
def test_kept_annotations_refer_to_kept_ones_only(shard: pa.Table, rules: Any) -> None:
    left = keep(shard, judged(shard, rules))
    left.validate(full=True)
    for image in left.to_pylist():
        regions, texts = ({item["id"] for item in image[name]} for name in ("regions", "texts"))
        assert {r for p in image["phrases"] for r in p["region_ids"]} <= regions
        for item in image["phrases"]:
            assert item["text_id"] in texts or item["score"] is None
        for item in image["region_texts"]:
            assert item["region_id"] in regions or item["score"] is None


@settings(deadline=None, max_examples=60)
@given(shards, with_options(list(CATALOG)))
def test_the_value_of_a_verdict_is_beyond_its_threshold(shard: pa.Table, rules: Any) -> None:
    upper = ("max", "too_many", "repetition", "unsafe", "clipped", "inside", "nested")
    for image in judged(shard, rules).to_pylist():
        for verdict in (image["image"], *(item for name in ANNOTATIONS for item in image[name])):
            value, threshold = verdict["value"], verdict["threshold"]
            if verdict["kept"] or value is None or threshold is None:
                continue
            rule = verdict["rule"]
            if rule.startswith(("nms", "image_quality", "box_sanity", "near_duplicate")):
                continue  # at the threshold or on either side of it
            assert value > threshold if any(word in rule for word in upper) else value < threshold


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("shard", [record(), record(row(), row())])
def test_a_shard_without_annotations_passes_every_rule(shard: pa.Table, name: str) -> None:
    verdicts = judged(shard, [(name, {})], parse())
    assert verdicts.schema == VERDICTS
    assert verdicts.num_rows == shard.num_rows
    assert counts(verdicts)["regions"] == {}
    assert keep(shard, verdicts).num_rows == (0 if name == "ungrounded_image" else shard.num_rows)


@pytest.mark.parametrize("name", CATALOG)
def test_an_image_of_two_thousand_regions_passes_every_rule(name: str) -> None:
    regions = [region((k % 40, k // 40, k % 40 + 50, k // 40 + 50), id=f"r/{k}") for k in range(2000)]
    shard = record(regions=regions, texts=[text(id="t")], phrases=[phrase("t", region_ids=[r["id"] for r in regions])])
    found = counts(judged(shard, [(name, {})], parse(parsed(tokens=3))))["regions"]
    assert sum(found.values()) == 2000
    expected = {"agreement": "agreement", "nms": "nms.within"}
    assert max(found, key=lambda rule: found[rule]) == expected.get(name, "kept")


def test_all_rules_together_judge_an_image_of_two_thousand_regions() -> None:
    shard = record(regions=[region((k % 40, k // 40, k % 40 + 50, k // 40 + 50)) for k in range(2000)])
    found = counts(judged(shard, [("nms", {}), *DEFAULTS], parse()))["regions"]
    assert sum(found.values()) == 2000
    assert found["nms.within"] > 1900
