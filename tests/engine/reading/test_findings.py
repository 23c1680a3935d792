"""The queries whose rows are findings: each is found just beyond its limit, and not on a data set in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from engine.reading.sql import named_queries, named_query, run_query
from tests.builders import Row
from tests.engine.reading.tables import asked

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def sentences(rows: Sequence[Row]) -> list[tuple[str, str]]:
    assert {row["figure"] for row in rows} <= set(named_queries())
    return [(row["severity"], row["finding"]) for row in rows]


def picture(number: int, **given: Any) -> Row:
    return {"image_id": f"i{number}", "split": "train", "kept": True, "rule": "", "licence": "by", "bytes": 9} | given


def entry(source: str, outcome: str = "image", number: int = 1, **given: Any) -> list[Row]:
    return [{"source": source, "uri": f"{source}/{n}", "outcome": outcome, "kept": True} | given for n in range(number)]


def box(image: int, producer: str, label: str, **given: Any) -> Row:
    place = {"x1": 0.0, "y1": 0.0, "x2": 50.0, "y2": 50.0, "kind": "object", "merged_into": "", "parents": []}
    verdict = {"kept": True, "rule": "", "score": 0.9, "annotation_id": f"{producer}/{label}"}
    return place | verdict | {"image_id": f"i{image}", "producer": producer, "label": label} | given


def run(**given: Any) -> Row:
    source = {"source": "", "inputs": 0, "missing": 0, "gone": 0, "left_out": None, "notes": []}
    sources = [source | {"source": name, **counts} for name, counts in given.pop("sources", {}).items()]
    return {"run": "00001-a", "recipe": "{}"} | ({"sources": sources} if sources else {}) | given


# --- inputs -------------------------------------------------------------------------------------


def test_a_source_that_listed_nothing_is_a_finding_and_a_row(con: DuckDBPyConnection) -> None:
    given = {"runs": [run(sources={"full": {"inputs": 2}, "empty": {}})], "inputs": entry("full", number=2)}
    found = asked(con, "findings_inputs", **given)
    assert sentences(found) == [("serious", "Source 'empty' gave no image. Inputs: 0, not usable: 0.")]
    assert found[0]["figure"] == "inputs_by_source"
    rows = run_query(con, named_query("inputs_by_source")).to_pylist()
    assert [(row["source"], row["inputs"], row["images"]) for row in rows] == [("empty", 0, 0), ("full", 2, 2)]


@pytest.mark.parametrize(("unread", "severity"), [(2, ""), (3, "warning"), (20, "serious")])
def test_a_source_with_many_unreadable_inputs_is_a_finding(con: DuckDBPyConnection, unread: int, severity: str) -> None:
    inputs = [*entry("web", number=20), *entry("web", "quarantined", unread)]
    found = sentences(asked(con, "findings_inputs", inputs=inputs))
    assert [one for one, _ in found] == ([severity] if severity else [])


def test_a_source_that_the_rules_drop_is_a_finding(con: DuckDBPyConnection) -> None:
    inputs = [*entry("a", number=10), *entry("b", number=4), *entry("b", number=6, kept=False)]
    found = sentences(asked(con, "findings_inputs", inputs=inputs))
    assert found == [("warning", "Source 'b': the rules keep 4 of its 10 images.")]


@pytest.mark.parametrize(
    ("pictures", "sentence"),
    [
        ([picture(0), picture(1, licence="")], "Without a licence: 1 of 2 images; the others have one."),
        ([picture(0, licence="")], "No source gives a licence. Images: 1."),
        ([picture(0), picture(1, kept=None)], "Images not judged yet: 1 of 2. Run the recipe again to go on."),
        ([picture(0, split="audit-test")], "Images set aside for measuring: 1. None of them has human labels."),
        (
            [*(picture(n) for n in range(7)), *(picture(n, kept=False, rule="near_duplicate") for n in range(7, 10))],
            "Dropped as near-duplicates of other images: 3 of 10 images.",
        ),
    ],
)
def test_images_that_lack_something_are_a_finding(con: DuckDBPyConnection, pictures: list[Row], sentence: str) -> None:
    assert [text for _, text in sentences(asked(con, "findings_inputs", images=pictures))] == [sentence]


def test_inputs_that_are_not_read_or_copies_are_findings(con: DuckDBPyConnection) -> None:
    inputs = [*entry("a", number=5), *entry("a", "duplicate", 3), *entry("a", "pending", 2)]
    assert [text for _, text in sentences(asked(con, "findings_inputs", inputs=inputs))] == [
        "Exact copies of other inputs: 3 of 10 inputs.",
        "Inputs not read yet: 2 of 10. Run the recipe again to go on.",
    ]


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dropped", "severity"), [(2, ""), (3, "warning"), (5, "serious")])
def test_a_rule_that_drops_many_images_is_a_finding(con: DuckDBPyConnection, dropped: int, severity: str) -> None:
    pictures = [picture(n, kept=n >= dropped, rule="min_side" if n < dropped else "") for n in range(10)]
    found = sentences(asked(con, "findings_rules", images=pictures))
    assert found == ([(severity, f"Rule min_side drops {dropped} of 10 images.")] if severity else [])


def test_a_rule_that_drops_one_label_is_a_finding(con: DuckDBPyConnection) -> None:
    lost = [box(n, "d", "cup", kept=False, rule="box_size.side", score=0.95) for n in range(5)]
    kept = [box(n, "d", "cat", score=0.9) for n in range(5, 20)]
    found = sentences(asked(con, "findings_rules", regions=lost + kept))
    assert found == [("serious", "Rule box_size.side drops 5 of 5 regions of label 'cup', but only 0 % of the others.")]


def test_regions_with_low_scores_may_be_dropped(con: DuckDBPyConnection) -> None:
    lost = [box(n, "d", "cup", kept=False, rule="min_score", score=0.1) for n in range(50)]
    assert asked(con, "findings_rules", regions=[*lost, *(box(n, "d", "cat") for n in range(50))]) == []


def test_a_rule_that_drops_regions_with_high_scores_is_a_finding(con: DuckDBPyConnection) -> None:
    lost = [box(n, "d", "cat", kept=False, rule="nms", score=0.9) for n in range(5)]
    found = sentences(asked(con, "findings_rules", regions=lost + [box(n, "d", "cat") for n in range(10)]))
    assert found == [("warning", "Rule nms drops 5 of 15 regions whose score is as high as that of kept regions.")]


def test_a_producer_and_images_without_kept_regions_are_findings(con: DuckDBPyConnection) -> None:
    lost = [box(n, "d", "cat", kept=False, rule="min_score") for n in range(10)]
    pictures = [picture(n) for n in range(10)]
    assert [text for _, text in sentences(asked(con, "findings_rules", regions=lost, images=pictures))] == [
        "None of the 10 regions of producer 'd' is kept.",
        "Of 10 kept images with regions, 10 have no kept region.",
    ]


# --- producers ----------------------------------------------------------------------------------


def agreeing(**labels: str) -> list[Row]:
    """Ten images with a dog and five with a cat. `labels`: what each producer calls the cats."""
    return [
        box(n, producer, "dog" if n < 10 else cat, score=None if producer == "human" else 0.9)
        for producer, cat in labels.items()
        for n in range(15)
    ]


def test_a_swapped_class_is_a_finding_of_the_producer_that_is_alone(con: DuckDBPyConnection) -> None:
    found = asked(
        con,
        "findings_producers",
        images=[picture(n) for n in range(15)],
        regions=agreeing(human="bus", a="cat", b="cat"),
    )
    assert sentences(found) == [("serious", "Producer 'human' calls 'bus' what the others call 'cat': 5 of 5 boxes.")]
    assert found[0]["figure"] == "label_confusion"


def test_the_mirror_image_of_a_swapped_class_is_no_finding(con: DuckDBPyConnection) -> None:
    """Where only `a` and the person have a box, the person's wrong name is what the others call it."""
    given = agreeing(human="bus", a="cat", b="cat")
    given += [box(n, producer, name) for n in range(15, 20) for producer, name in (("human", "bus"), ("a", "cat"))]
    found = asked(con, "findings_producers", images=[picture(n) for n in range(20)], regions=given)
    assert sentences(found) == [("serious", "Producer 'human' calls 'bus' what the others call 'cat': 10 of 10 boxes.")]


def test_with_two_producers_both_are_findings(con: DuckDBPyConnection) -> None:
    found = asked(con, "findings_producers", images=[picture(n) for n in range(15)], regions=agreeing(a="bus", b="cat"))
    assert len(found) == 2


def test_producers_that_agree_are_no_finding(con: DuckDBPyConnection) -> None:
    given = agreeing(human="cat", a="Cat", b="cat")
    assert asked(con, "findings_producers", images=[picture(n) for n in range(15)], regions=given) == []


def test_a_node_that_fails_or_gives_nothing_is_a_finding(con: DuckDBPyConnection) -> None:
    recipe = json.dumps({"annotate": {"ocr": {"use": "rapidocr"}, "ssd": {"use": "ssd_mobilenet"}}})
    counts = {"units": 1, "items": 10, "skipped": 0, "worker_seconds": 1.0, "lost_races": 0, "notes": ["x"]}
    nodes = [{"node": "ocr", "failed": 0} | counts, {"node": "ssd", "failed": 3} | counts]
    failures = [{"image_id": f"i{n}", "node": "ssd", "component": "ssd", "reason": "error"} for n in range(3)]
    given = {"runs": [run(recipe=recipe, nodes=nodes)], "raw_producers": [{"producer": "ssd"}], "failures": failures}
    assert sentences(asked(con, "findings_producers", images=[picture(n) for n in range(10)], **given)) == [
        ("serious", "Node 'ocr' ran and gave no annotation."),
        ("warning", "Node 'ssd' failed on 3 of 10 images, mostly with the reason error."),
    ]


# --- texts and boxes -----------------------------------------------------------------------------


def texts(words: Sequence[str], granularity: str = "brief", **given: Any) -> list[Row]:
    """Texts of one producer, one in each image."""
    names = [{"image_id": f"i{n}", "annotation_id": f"c/{n}", "text": text} for n, text in enumerate(words)]
    return [name | {"granularity": granularity, "text_key": name["text"], "producer": "c"} | given for name in names]


ALL = ("brief", "detailed", "more_detailed")


def every_granularity() -> list[Row]:
    return [text | {"kept": True} for granularity in ALL for text in texts(["a"], granularity)]


def test_one_text_repeated_is_a_finding(con: DuckDBPyConnection) -> None:
    kept = texts(["a cat"] * 5 + [f"text {n}" for n in range(15)])
    parse = [{"text_key": text["text_key"], "failures": []} for text in kept]
    found = asked(con, "findings_texts", texts=every_granularity(), kept_texts=kept, parse=parse)
    assert sentences(found) == [("warning", "5 of 20 kept texts of granularity brief are the same: 'a cat'.")]
    repeated = run_query(con, named_query("repeated_texts")).to_pylist()
    assert [(row["number"], row["share"], row["text"]) for row in repeated] == [(5, 0.25, "a cat")]


def test_a_granularity_without_texts_is_a_finding(con: DuckDBPyConnection) -> None:
    given = [*texts(["a"], "brief", kept=True), *texts(["b"], "detailed", kept=False)]
    assert sentences(asked(con, "findings_texts", texts=given)) == [
        ("serious", "None of the 1 texts of granularity detailed is kept."),
        ("note", "There is no text of granularity more_detailed."),
    ]


def test_other_languages_are_a_finding(con: DuckDBPyConnection) -> None:
    codes = ["en"] * 20 + ["fr"] * 5 + ["und"] * 3
    scores = [{"image_id": "i", "name": "language", "code": code, "value": 1.0} for code in codes]
    assert sentences(asked(con, "findings_texts", image_scores=scores)) == [
        ("warning", "5 of 25 texts are in other languages than en, the most frequent one.")
    ]


@pytest.mark.parametrize(
    ("parse", "sentence"),
    [
        ([], ("note", "None of the 2 kept texts is parsed: the recipe has no node that parses.")),
        ([{"text_key": "a", "failures": []}], ("serious", "1 of 2 kept texts have no parse.")),
    ],
)
def test_texts_without_parse_are_a_finding(
    con: DuckDBPyConnection, parse: list[Row], sentence: tuple[str, str]
) -> None:
    assert sentences(asked(con, "findings_texts", kept_texts=texts(["a", "b"]), parse=parse)) == [sentence]


def test_boxes_of_the_whole_image_are_a_finding(con: DuckDBPyConnection) -> None:
    boxes = [box(n, "d", "cat", x2=100.0, y2=100.0 if n < 5 else 20.0) for n in range(20)]
    boxes = [{name: value for name, value in one.items() if name not in ("kept", "rule")} for one in boxes]
    pictures = [{"image_id": f"i{n}", "width": 100, "height": 100} for n in range(20)]
    assert sentences(asked(con, "findings_texts", kept_regions=boxes, kept_images=pictures)) == [
        ("warning", "5 of 20 kept boxes of producer 'd' cover the whole image.")
    ]
