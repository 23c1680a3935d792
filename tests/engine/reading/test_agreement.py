"""Partners, confused labels and calibration, on a few boxes computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine.reading.sql import named_query
from engine.records.boxes import Box
from model.evaluate.calibration import calibration_error, reliability
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import scored
from tests.builders import Row
from tests.engine.reading.tables import asked, values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAIR = ("producer_a", "producer_b", "images", "boxes_a", "boxes_b", "partners")
CONFUSED = ("producer_a", "label_a", "producer_b", "label_b", "number", "of_a", "of_b", "share_a", "share_b")
BIN = ("producer", "compared_with", "score_from", "boxes", "mean_score", "right", "error")


def box(name: str, edges: Sequence[float], label: str = "cat", score: float | None = 0.9, **given: Any) -> Row:
    """A row of the view regions. `name`: "<producer>/<number>"."""
    x1, y1, x2, y2 = map(float, edges)
    row = {"image_id": "i", "annotation_id": name, "producer": name.partition("/")[0], "kind": "object", "label": label}
    row |= {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": score, "score_kind": "" if score is None else "confidence"}
    return row | {"parents": [], "merged_into": ""} | given


def true_box(edges: Sequence[float], label: str = "cat", **given: Any) -> Row:
    return box("human/0", edges, label, None, annotation_type="regions", **given)


def image(name: str = "i", split: str = "train", source: str = "photos") -> Row:
    return {"image_id": name, "split": split, "sources": [{"source": source, "uri": name}]}


LEFT, RIGHT, FAR = (0, 0, 10, 10), (0, 0, 10, 5), (50, 50, 60, 60)  # LEFT and RIGHT: an IoU of exactly 0.5


# --- partners -----------------------------------------------------------------------------------------


def test_boxes_with_an_iou_of_a_half_are_partners(con: DuckDBPyConnection) -> None:
    rows = asked(con, "producer_agreement", regions=[box("a/0", LEFT), box("a/1", FAR), box("b/0", RIGHT, "dog")])
    assert values(rows, *PAIR) == [("a", "b", 1, 2, 1, 1)]
    columns = ("share_a", "share_b", "mean_iou", "same_label", "from_50", "from_60", "from_90")
    assert values(rows, *columns) == [(0.5, 1.0, 0.5, 0.0, 1, 0, 0)]


def test_boxes_with_less_than_a_half_or_in_other_images_are_not_partners(con: DuckDBPyConnection) -> None:
    less = [box("a/0", LEFT), box("b/0", (0, 0, 10, 4.9))]
    rows = asked(con, "producer_agreement", regions=[*less, box("b/1", LEFT, image_id="other")])
    assert values(rows, *PAIR) == [("a", "b", 1, 1, 1, 0)]
    assert values(rows, "mean_iou", "same_label", "from_90") == [(None, None, 0)]


def test_a_box_has_one_partner_and_the_other_takes_the_next_best(con: DuckDBPyConnection) -> None:
    # a/0 overlaps b/0 with 1.0 and b/1 with 0.8; a/1 overlaps b/0 with 0.9 and b/1 with 72 / 98
    boxes = [box("a/0", LEFT), box("a/1", (0, 0, 10, 9)), box("b/0", LEFT), box("b/1", (0, 0, 8, 10))]
    rows = asked(con, "producer_agreement", regions=boxes)
    assert values(rows, "partners", "mean_iou", "from_70", "from_90") == [(2, 0.867, 1, 1)]


@pytest.mark.parametrize("number", [4, 150])
def test_equal_boxes_are_paired_one_to_one(con: DuckDBPyConnection, number: int) -> None:
    equal = [box(f"{name}/{n}", LEFT) for name in "ab" for n in range(number)]
    rows = asked(con, "producer_agreement", regions=[*equal, box("b/more", LEFT)])
    assert values(rows, "boxes_a", "boxes_b", "partners", "mean_iou") == [(number, number + 1, number, 1.0)]


def test_an_image_with_more_than_two_thousand_boxes_is_left_out(con: DuckDBPyConnection) -> None:
    here = [box(f"a/{n}", LEFT) for n in range(2000)]
    there = [box(f"{name}/0", LEFT, image_id="other") for name in "ab"]
    rows = asked(con, "producer_agreement", regions=[*here, box("b/0", LEFT), *there])
    assert values(rows, *PAIR) == [("a", "b", 1, 1, 1, 1)]


def test_a_second_label_with_a_low_score_is_not_the_partner(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, "cat"), box("b/0", LEFT, "dog", 0.4), box("b/1", (0, 0, 10, 9.5), "cat", 0.9)]
    rows = asked(con, "producer_agreement", regions=boxes)
    assert values(rows, "partners", "mean_iou", "same_label") == [(1, 0.95, 1.0)]


def test_boxes_far_below_the_best_score_of_their_producer_do_not_count(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, score=0.5), box("a/1", FAR, score=0.15), box("a/2", FAR, score=0.149)]
    rows = asked(con, "producer_agreement", regions=[*boxes, box("b/0", LEFT, score=0.01)])
    assert values(rows, *PAIR) == [("a", "b", 1, 2, 1, 1)]


def test_people_come_first_and_boxes_without_area_have_no_partner(con: DuckDBPyConnection) -> None:
    point = (5, 5, 5, 5)
    boxes = [box("people/0", point, score=None), box("people/1", LEFT, score=None), box("a/0", point), box("a/1", LEFT)]
    assert values(asked(con, "producer_agreement", regions=boxes), *PAIR) == [("people", "a", 1, 2, 2, 1)]


def test_candidates_count_for_their_detectors_and_what_was_made_from_them_does_not(con: DuckDBPyConnection) -> None:
    merged = {"merged_into": "objects/0", "kept": False, "rule": "merged"}
    boxes = [box("a/0", LEFT, **merged), box("b/0", LEFT, **merged), box("objects/0", LEFT, parents=["a/0", "b/0"])]
    outline = box("masks/0", LEFT, parents=["objects/0"], merged_into="objects/0")
    crowd = box("people/0", LEFT, score=None) | {"score_kind": "crowd"}
    assert values(asked(con, "producer_agreement", regions=[*boxes, outline, crowd]), *PAIR) == [("a", "b", 1, 1, 1, 1)]


def test_truth_is_compared_with_all_producers(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT), box("objects/0", LEFT, "dog", parents=["a/0"])]
    rows = asked(con, "producer_agreement", regions=boxes, truth=[true_box(LEFT)])
    assert values(rows, "producer_a", "producer_b", "same_label") == [("truth", "a", 1.0), ("truth", "objects", 0.0)]


def test_kinds_are_compared_apart_and_printed_text_has_no_label(con: DuckDBPyConnection) -> None:
    words = [box(f"{name}/1", LEFT, "", kind="text") for name in ("a", "ocr")]
    rows = asked(con, "producer_agreement", regions=[box("a/0", LEFT), box("b/0", LEFT), *words])
    columns = ("kind", "producer_a", "producer_b", "partners", "same_label")
    assert values(rows, *columns) == [("object", "a", "b", 1, 1.0), ("text", "a", "ocr", 1, None)]


def test_one_producer_has_nobody_to_agree_with(con: DuckDBPyConnection) -> None:
    assert asked(con, "producer_agreement", regions=[box("a/0", LEFT), box("a/1", LEFT)]) == []


def test_partners_are_those_of_a_greedy_loop(con: DuckDBPyConnection) -> None:
    regions = scattered(np.random.default_rng(3), producers=("a", "b"), images=12)
    pairs = sorted(
        (-overlap(one, other) * one["score"] * other["score"], n, k)
        for n, one in enumerate(regions)
        for k, other in enumerate(regions)
        if (one["producer"], other["producer"]) == ("a", "b")
        and one["image_id"] == other["image_id"]
        and overlap(one, other) >= 0.5
    )
    taken: set[int] = set()
    ious = []
    for _, n, k in pairs:
        if not taken & {n, k}:
            taken |= {n, k}
            ious.append(overlap(regions[n], regions[k]))
    assert len(pairs) > len(ious) > 20
    rows = asked(con, "producer_agreement", regions=regions)
    assert values(rows, "partners", "mean_iou") == [(len(ious), pytest.approx(np.mean(ious), abs=0.001))]


def scattered(random: np.random.Generator, *, producers: Sequence[str], images: int) -> list[Row]:
    """Rows of regions: in each image, each producer has several boxes near each of two places."""
    rows = []
    for image_number in range(images):
        for producer in producers:
            for n in range(6):
                x, y = np.float32(random.integers(0, 2) * 100 + random.uniform(0, 8, 2))
                edges = (x, y, x + np.float32(random.uniform(15, 25)), y + np.float32(random.uniform(15, 25)))
                label = str(random.choice(["cat", "dog"]))
                here = {"image_id": f"i{image_number:02}"}
                rows.append(box(f"{producer}/{n}", edges, label, float(random.uniform(0.4, 1)), **here))
    return rows


def overlap(a: Row, b: Row) -> float:
    width = min(a["x2"], b["x2"]) - max(a["x1"], b["x1"])
    height = min(a["y2"], b["y2"]) - max(a["y1"], b["y1"])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(one["x2"] - one["x1"]) * (one["y2"] - one["y1"]) for one in (a, b)]
    return float(shared / (sum(areas) - shared))


# --- confused labels ----------------------------------------------------------------------------------


def swapped() -> list[Row]:
    """In ten images people say cat. The detector says dog in nine of them, and is right about a cow in each."""
    rows = []
    for n in range(10):
        here = {"image_id": f"i{n}"}
        rows += [box("human/0", LEFT, "cat", None, **here), box("human/1", FAR, "cow", None, **here)]
        rows += [box("ssd/0", LEFT, "dog" if n else "Cat", **here), box("ssd/1", FAR, "cow", **here)]
    return rows


def test_a_swapped_class_has_a_share_near_one(con: DuckDBPyConnection) -> None:
    rows = asked(con, "label_confusion", regions=swapped())
    assert values(rows, *CONFUSED) == [("human", "cat", "ssd", "dog", 9, 10, 9, 0.9, 1.0)]


def test_a_rare_error_of_a_frequent_label_comes_after_a_frequent_one_of_a_rare_label(con: DuckDBPyConnection) -> None:
    # number x the larger share: 2 x 2/2 for boat and car, 3 x 3/12 for person and sign
    pairs = [("person", "person")] * 40 + [("person", "sign")] * 3 + [("sign", "sign")] * 9
    pairs += [("boat", "car")] * 2 + [("boat", "boat")]
    rows = [
        box(f"{name}/0", LEFT, label, image_id=f"i{n:02}")
        for n, two in enumerate(pairs)
        for name, label in zip("ab", two, strict=True)
    ]
    found = asked(con, "label_confusion", regions=rows)
    assert values(found, "label_a", "label_b", "number", "share_a", "share_b") == [
        ("boat", "car", 2, 0.667, 1.0),
        ("person", "sign", 3, 0.07, 0.25),
    ]


def test_the_matrix_has_the_confused_labels_and_what_is_right(con: DuckDBPyConnection) -> None:
    rows = asked(con, "label_matrix", regions=swapped())
    assert values(rows, "label_a", "label_b", "number", "of_a", "share") == [
        ("cat", "cat", 1, 10, 0.1),
        ("cat", "dog", 9, 10, 0.9),
    ]


def test_labels_that_differ_only_in_case_spaces_and_accents_are_the_same(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, "Traffic  Light"), box("b/0", LEFT, "traffic light")]
    boxes += [box("a/1", FAR, "Café"), box("b/1", FAR, "cafe")]
    assert asked(con, "label_confusion", regions=boxes) == []


def test_partners_are_found_by_the_same_statement_in_each_query() -> None:
    parts = [
        named_query(name).partition("WITH RECURSIVE")[2].partition("WHERE r.best")[0]
        for name in ("producer_agreement", "label_confusion", "label_matrix")
    ]
    assert parts[0]
    assert len(set(parts)) == 1


# --- calibration --------------------------------------------------------------------------------------


def test_a_score_is_compared_with_the_share_of_right_boxes(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, score=0.85), box("a/1", FAR, score=0.85), box("a/2", FAR, "dog", score=0.25)]
    rows = asked(con, "calibration", images=[image(split="audit-test")], regions=boxes, truth=[true_box(LEFT)])
    # error: (2 x |0.85 - 0.5| + 1 x |0.25 - 0|) / 3
    assert values(rows, *BIN) == [("a", "truth", 0.2, 1, 0.25, 0.0, 0.317), ("a", "truth", 0.8, 2, 0.85, 0.5, 0.317)]


def test_the_second_box_of_an_object_is_wrong(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, score=0.3), box("a/1", RIGHT, score=0.9), box("b/0", LEFT, score=0.3)]
    rows = asked(con, "calibration", images=[image(split="audit-fit")], regions=boxes, truth=[true_box(LEFT)])
    assert values(rows, "producer", "score_from", "right") == [("a", 0.3, 0.0), ("a", 0.9, 1.0), ("b", 0.3, 1.0)]


def test_a_box_takes_its_second_best_object_if_a_better_box_has_the_first(con: DuckDBPyConnection) -> None:
    boxes = [box("a/0", LEFT, score=0.9), box("a/1", (0, 0, 10, 9), score=0.5)]
    truth = [true_box(LEFT), true_box((0, 0, 10, 6), annotation_id="human/1")]
    rows = asked(con, "calibration", images=[image(split="audit-test")], regions=boxes, truth=truth)
    assert values(rows, "score_from", "right") == [(0.5, 1.0), (0.9, 1.0)]


def test_a_box_in_a_crowd_is_neither_right_nor_wrong(con: DuckDBPyConnection) -> None:
    truth = [true_box((0, 0, 100, 100), score_kind="crowd"), true_box(FAR, annotation_id="human/1")]
    rows = asked(con, "calibration", images=[image(split="audit-test")], regions=[box("a/0", LEFT)], truth=truth)
    assert rows == []


def test_images_of_sources_without_human_boxes_do_not_count(con: DuckDBPyConnection) -> None:
    pictures = [
        image("i", "audit-test", "labelled"),
        image("none", "audit-test", "labelled"),
        image("other", "audit-test", "photos"),
        image("train", "train", "labelled"),
    ]
    boxes = [box("a/0", LEFT, image_id=name) for name in ("i", "none", "other", "train")]
    rows = asked(con, "calibration", images=pictures, regions=boxes, truth=[true_box(LEFT)])
    assert values(rows, "boxes", "right") == [(2, 0.5)]


def test_without_truth_boxes_are_compared_with_human_boxes_of_the_data_set(con: DuckDBPyConnection) -> None:
    boxes = [box("human/0", LEFT, score=None), box("a/0", LEFT, score=1.0, merged_into="human/0")]
    made = box("objects/0", FAR, parents=["a/0"])
    rows = asked(con, "calibration", images=[image()], regions=[*boxes, made])
    assert values(rows, *BIN) == [("a", "human", 0.9, 1, 1.0, 1.0, 0.0)]


def test_calibration_errors_are_those_of_engine_eval(con: DuckDBPyConnection) -> None:
    random = np.random.default_rng(5)
    regions = scattered(random, producers=("a",), images=20)
    people = scattered(random, producers=("human",), images=18)  # two images are without human boxes
    for n, row in enumerate(people):
        row |= {"annotation_type": "regions", "score": None, "score_kind": "crowd" if n % 9 == 0 else ""}
    names = sorted({row["image_id"] for row in regions})
    true: dict[str, list[Truth]] = {name: [] for name in names}
    found: dict[str, list[Detection]] = {name: [] for name in names}
    for row in people:
        true[row["image_id"]].append(Truth(row["label"], edges(row), crowd=row["score_kind"] == "crowd"))
    for row in regions:
        found[row["image_id"]].append(Detection(row["label"], edges(row), row["score"]))
    scores, right, _ = scored({name: TruthImage(300, 300, some) for name, some in true.items()}, found)
    assert 0 < right.sum() < len(right) < len(regions)  # some are right, some are wrong, some are in crowds
    pictures = [image(name, "audit-test") for name in names]
    rows = asked(con, "calibration", images=pictures, regions=regions, truth=people)
    expected = [(point.count, round(point.right, 3)) for point in reliability(scores, right)]
    assert values(rows, "boxes", "right") == expected
    assert [row["error"] for row in rows] == [round(calibration_error(scores, right), 3)] * len(rows)


def edges(row: Row) -> Box:
    return row["x1"], row["y1"], row["x2"], row["y2"]


@pytest.mark.parametrize("name", ["calibration", "label_confusion", "label_matrix"])
def test_without_human_boxes_and_with_one_producer_there_is_nothing(con: DuckDBPyConnection, name: str) -> None:
    assert asked(con, name, images=[image()], regions=[box("a/0", LEFT)]) == []
