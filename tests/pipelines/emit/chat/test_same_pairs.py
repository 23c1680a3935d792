"""The questions of the formats of messages state what the pairs for Florence-2 state."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from engine.images.orientation import orient_box
from model.florence2_tasks import AND, input_of
from model.pairs.compile import compile_pairs
from model.pairs.locations import location_tokens
from model.pairs.pair import Pair
from model.pairs.parsing import parse_target
from pipelines.emit.chat.questions import ASKED, BOX_QUESTIONS, LABEL_QUESTIONS, ONE_NAME
from tests.builders import record
from tests.pipelines.emit.chat.releases import RECIPE, lines, photo
from tests.pipelines.emit.small_release import Item, write


def pairs_of(item: Item, width: int, height: int) -> list[Pair]:
    (row,) = record(item[1]).to_pylist()
    pairs = compile_pairs(row, width=width, height=height).pairs
    return [pair for pair in pairs if pair.task in ASKED and AND not in pair.prompt]


def stated(pair: Pair, width: int, height: int) -> list[Any]:
    """What a pair states: a text, or labels with locations."""
    parsed = parse_target(pair.task, pair.target, width=width, height=height)
    return (
        [parsed.text]
        if parsed.text
        else [(r.label, location_tokens(r.box or (), width, height)) for r in parsed.regions]
    )


def answered(row: dict[str, Any], task: str, width: int, height: int, orientation: int) -> list[Any]:
    """What a line for ms-swift states, in the same form."""
    if task not in LABEL_QUESTIONS and task not in BOX_QUESTIONS:
        return [row["messages"][1]["content"]]
    stored = (height, width) if orientation >= 5 else (width, height)
    names, boxes = row["objects"]["ref"], [orient_box(box, *stored, orientation) for box in row["objects"]["bbox"]]
    if task == ONE_NAME:
        names = names * len(boxes)
    return [(name, location_tokens(box, width, height)) for name, box in zip(names, boxes, strict=True)]


def compare(folder: Path, item: Item, width: int, height: int, orientation: int = 1) -> set[str]:
    """Compares the file with the pairs, and returns the tasks of these."""
    rows = lines(write(folder, [item], recipe=RECIPE), "swift")
    pairs = pairs_of(item, width, height)
    leading = next(n for n, pair in enumerate(pairs) if pair.task in LABEL_QUESTIONS or pair.task in BOX_QUESTIONS)
    rows.insert(leading, rows.pop(0))
    for row, pair in zip(rows, pairs, strict=True):
        assert answered(row, pair.task, width, height, orientation) == stated(pair, width, height)
        if pair.task == ONE_NAME:
            assert row["objects"]["ref"] == [input_of(pair.task, pair.prompt)]
    return {pair.task for pair in pairs}


def test_each_pair_becomes_one_question_with_the_same_answer(tmp_path: Path) -> None:
    assert compare(tmp_path / "v1", photo(1), 60, 40) == set(ASKED)


def test_the_answers_about_a_rotated_photo_are_those_of_its_pairs_turned_back(tmp_path: Path) -> None:
    assert compare(tmp_path / "v1", photo(2, orientation=6), 40, 60, orientation=6) == set(ASKED)


def test_boxes_for_qwen3_are_within_one_thousandth_of_the_locations_of_the_pairs(tmp_path: Path) -> None:
    item = photo(1)
    rows = lines(write(tmp_path / "v1", [item], recipe=RECIPE), "qwen3_vl")
    for row, pair in zip(rows, pairs_of(item, 60, 40), strict=True):
        expected = stated(pair, 60, 40)
        if expected == [pair.target]:
            assert row["messages"][1]["content"] == pair.target
            continue
        found = json.loads(row["messages"][1]["content"])
        labels = [label for label, _ in expected]
        assert [region["label"] for region in found] == labels
        bins = [int(value) for _, place in expected for value in re.findall(r"\d+", place)]
        units = [value for region in found for value in region["bbox_2d"]]
        assert max(abs(unit - own) for unit, own in zip(units, bins, strict=True)) <= 1
