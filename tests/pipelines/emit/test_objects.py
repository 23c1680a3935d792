"""Which regions become objects in formats of object detection, and how the others are counted."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.emit.objects import bbox_of, objects
from tests.builders import Row, region


def image(*regions: Row) -> Row:
    return {"width": 60, "height": 40, "regions": list(regions)}


@pytest.mark.parametrize(
    ("reason", "given"),
    [
        ("kind_text", {"kind": "text", "label": "sign"}),
        ("kind_phrase", {"kind": "phrase"}),
        ("merged", {"merged_into": "people/1"}),
        ("unlabelled", {"label": ""}),
        ("crowd", {"score_kind": "crowd"}),
        ("not_listed", {"label": "dog"}),
        ("outside_image", {"box": (70, 0, 80, 10)}),
        ("outside_image", {"box": (-20, 0, -10, 10)}),
        ("no_area", {"box": (60, 0, 80, 10)}),
        ("no_area", {"box": (10, 10, 10.00001, 20)}),
    ],
)
def test_a_region_that_is_no_object_is_counted_by_reason(reason: str, given: dict[str, Any]) -> None:
    found, left_out = objects(image(region(**given)), ["cat", "sign"])
    assert (found, dict(left_out)) == ([], {reason: 1})


def test_every_region_is_an_object_or_counted() -> None:
    given = [region(), region(kind="text"), region((0, 0, 60, 40)), region(label=""), region(label="")]
    found, left_out = objects(image(*given))
    assert (len(found), dict(left_out)) == (2, {"kind_text": 1, "unlabelled": 2})


def test_without_a_label_list_every_label_is_taken() -> None:
    labels = ["cat", 'Kätzchen "x"', "yes"]
    found, _ = objects(image(*(region(label=label) for label in labels)))
    assert [one.region["label"] for one in found] == labels


def test_a_crowd_is_an_object_where_the_format_has_crowds() -> None:
    found, _ = objects(image(region(score_kind="crowd"), region()), crowds=True)
    assert [one.crowd for one in found] == [True, False]


def test_a_box_is_clipped_to_the_image_and_rounded() -> None:
    found, _ = objects(image(region((-3, 30.10000038146973, 75.5, 41))))
    assert found[0].box == (0, 30.1, 60, 40)
    assert bbox_of(found[0].box) == [0, 30.1, 60, 9.9]


def test_coordinates_are_floats_without_minus_zero() -> None:
    (one,), _ = objects(image(region((-0.0, -0.0, 60, 40))))
    assert str(one.box) == "(0.0, 0.0, 60.0, 40.0)"
