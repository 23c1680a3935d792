from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.storage.files import Storage
from engine.storage.sealed import seal
from pipelines.refine.round_record import read_round, write_round
from refinement.confusion import ConfusedPair
from tests.pipelines.refine.round_records import FIELDS, round_record

NAME = "rounds/1-01234567.json"
PAIR = ConfusedPair("ring", "ball", count=20, share=0.5, expected=2.0, back=1)


def test_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    record = round_record(name=NAME, confused={"people": [PAIR], "students": []}, measures={"agreement": None})

    write_round(storage, NAME, record)

    assert read_round(storage, NAME) == record
    assert list(json.loads(storage.read(NAME))) == [*FIELDS, "digest"]


def test_a_decision_from_before_confused_labels_were_reported_is_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.create(NAME, seal({name: value for name, value in FIELDS.items() if name != "confused"}))

    assert read_round(storage, NAME) == round_record(name=NAME)


@pytest.mark.parametrize(
    ("measures", "share"),
    [({}, 0.0), ({"changed": 0.1, "texts changed": None}, 0.1), ({"changed": 0.1, "texts changed": 0.3}, 0.3)],
)
def test_the_changed_share_is_the_larger_one_of_regions_and_texts(
    measures: dict[str, float | None], share: float
) -> None:
    assert round_record(measures=measures).changed_share == share
