"""The notes that a run prints about a round."""

from __future__ import annotations

from dataclasses import replace

from pipelines.refine.notes import round_notes
from tests.pipelines.refine.round_records import round_record

ACCEPTED = round_record(
    round=2,
    alarms=["look at cups."],
    changes={"relabelled": 1200},
    measures={
        "agreement": 0.7,
        "F1@0.5 before": 0.61,
        "F1@0.5 after": 0.655,
        "F1@0.5 change low": 0.01,
        "F1@0.5 change high": 0.08,
        "label accuracy of 'cup' before": 0.5,
        "label accuracy of 'cup' after": 0.6,
        "brief CIDEr-D before": None,
        "brief CIDEr-D after": None,
    },
)


def test_a_round_prints_f1_before_and_after() -> None:
    assert round_notes(ACCEPTED) == [
        "round 2 accepted: 1,200 relabelled",
        "round 2 on audit-fit images, before and after: F1@0.5 0.610 -> 0.655 (95 %: +0.010 to +0.080)",
        "round 2 ALARM: look at cups.",
    ]


def test_a_refused_round_prints_it_too_and_one_without_audit_images_does_not() -> None:
    refused = replace(ACCEPTED, accepted=False, reasons=["F1 falls."])
    assert "F1@0.5 0.610 -> 0.655" in round_notes(refused)[1]
    bare = replace(refused, measures={"agreement": 0.1}, alarms=[])
    assert round_notes(bare) == ["round 2 REFUSED, the data set stays as it was: F1 falls."]
