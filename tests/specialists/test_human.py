"""The labels of a source are passed on unchanged."""

from __future__ import annotations

from engine.schema import Region, Sample, Text
from specialists.human import Human


def test_labels_are_returned_as_they_are_without_scores() -> None:
    region = Region(1, 2, 3, 4, label="cat", rle="abc", id="0")
    text = Text("A cat.", "brief", id="1")
    answer = Human().annotate([Sample("0" * 32, 10, 10, regions=[region], texts=[text]), Sample("1" * 32, 10, 10)])
    assert (answer[0].regions, answer[0].texts) == ([region], [text])
    assert (region.score, region.score_kind) == (None, "")
    assert (answer[1].regions, answer[1].texts) == ([], [])


def test_a_crowd_is_still_marked_as_a_crowd() -> None:
    """As a single object it would be a wrong target and a wrong truth."""
    crowd = Region(1, 2, 3, 4, label="person", score_kind="crowd")
    (answer,) = Human().annotate([Sample("0" * 32, 10, 10, regions=[crowd])])
    assert answer.regions[0].score_kind == "crowd"


def test_labels_with_a_score_are_left_out() -> None:
    boxes = [Region(1, 2, 3, 4, label="cat", score=score) for score in (None, 0.5)]
    texts = [Text("A cat.", "brief", score=score) for score in (1.0, None)]
    (answer,) = Human().annotate([Sample("0" * 32, 10, 10, regions=boxes, texts=texts)])
    assert (answer.regions, answer.texts) == (boxes[:1], texts[1:])
