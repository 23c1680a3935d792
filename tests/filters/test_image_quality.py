"""image_quality: each measure has limits, and other scores may have limits too."""

from __future__ import annotations

from typing import Any

import pytest

from filters.image_quality import image_quality
from tests.builders import Row, image_score, reasons, record

IMAGE = "0" * 32


def judged(*scores: Row, **options: Any) -> str:
    return reasons(record(image_scores=list(scores)), (image_quality, options))[IMAGE]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sharpness", 20.0, ""),
        ("sharpness", 19.9, "image_quality.sharpness"),
        ("brightness", 0.02, "image_quality.brightness"),
        ("brightness", 0.98, "image_quality.brightness"),
        ("brightness", 0.5, ""),
        ("contrast", 0.02, "image_quality.contrast"),
        ("entropy", 1.4, "image_quality.entropy"),
        ("clipped", 0.9, ""),
        ("clipped", 0.91, "image_quality.clipped"),
        ("aesthetic", 0.0, ""),
    ],
)
def test_each_measure_has_limits_that_are_inclusive(name: str, value: float, reason: str) -> None:
    assert judged(image_score(name, value)) == reason


def test_an_image_that_was_not_measured_passes() -> None:
    assert judged() == ""
    assert judged(image_score("sharpness", float("nan"))) == ""


def test_a_measure_that_is_not_named_keeps_its_limit_and_null_removes_it() -> None:
    assert judged(image_score("contrast", 0.0), at_least={"sharpness": 500.0}) == "image_quality.contrast"
    assert judged(image_score("contrast", 0.0), at_least={"contrast": None}) == ""


def test_any_score_of_any_producer_can_be_limited() -> None:
    assert judged(image_score("aesthetic", 4.0), at_least={"aesthetic": 4.5}) == "image_quality.aesthetic"
    assert judged(image_score("watermark", 0.8), at_most={"watermark": 0.5}) == "image_quality.watermark"


def test_of_several_scores_of_one_name_the_worst_counts_unless_a_producer_is_named() -> None:
    scores = [image_score("sharpness", 100.0, producer="a"), image_score("sharpness", 1.0, producer="b")]
    assert judged(*scores) == judged(*reversed(scores)) == "image_quality.sharpness"
    assert judged(*scores, producer="a") == ""
    both = [image_score("clipped", 0.95), image_score("clipped", 0.0)]
    assert judged(*both) == "image_quality.clipped"
