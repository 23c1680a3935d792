"""Checks swift/*.jsonl by the rules of ms-swift 4.6, which cannot be installed beside this package.

Its rules, from swift/dataset/preprocessor/core.py and swift/template/base.py: `objects` has `ref` and `bbox`; a box has
four numbers, x1 < x2 and y1 < y2; question and answer have as many placeholders `<ref-object>` and `<bbox>` as `ref`
and `bbox` have entries, which replace them in order. Boxes are pixels of the image as Pillow opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.records.boxes import Box
from model.florence2_tasks import DESCRIPTION
from pipelines.emit.chat.frames import Frame
from pipelines.emit.chat.questions import LABEL_QUESTIONS, ONE_NAME, Named, Question
from pipelines.emit.verifiers.chat import ChatVerifier
from pipelines.emit.verifiers.chat_lines import Line, Wrong, asked, turns
from pipelines.emit.writers.swift import BBOX, REF


class SwiftVerifier(ChatVerifier):
    FOLDER = "swift"
    LEADS = True  # the first line of a file has a name and a box, for `datasets`

    def in_order(self, lines: Sequence[Line], expected: Sequence[Question]) -> Sequence[Line]:
        if lines[0].number > 1:
            return lines
        place = next((number for number, question in enumerate(expected) if question.boxes), 0)
        return [*lines[1 : place + 1], lines[0], *lines[place + 1 :]]

    def units(self, frame: Frame) -> None:
        return None

    def parse(self, row: Mapping[str, Any]) -> Question:
        user, assistant = turns(row)
        if set(row) != {"messages", "images", "objects"} or set(row["objects"]) != {"ref", "bbox"}:
            raise Wrong("has other keys than messages, images and objects with ref and bbox")
        names, boxes = row["objects"]["ref"], [_box(box) for box in row["objects"]["bbox"]]
        for placeholder, values in ((REF, names), (BBOX, boxes)):
            if (user + assistant).count(placeholder) != len(values):
                found = (user + assistant).count(placeholder)
                raise Wrong(f"has {found} {placeholder} for {len(values)} values, and ms-swift needs as many")
        task, given = asked(user)
        if task == ONE_NAME:
            if given != REF or assistant != BBOX * len(boxes):
                raise Wrong(f"asks for a name other than by {REF}, or answers other than by {BBOX}")
            return Question(task, names[0], boxes=[Named(names[0], box) for box in boxes])
        if task in LABEL_QUESTIONS:
            if assistant != "\n".join([REF + BBOX] * len(boxes)):
                raise Wrong(f"has another answer than lines of {REF}{BBOX}")
            return Question(task, given, boxes=[Named(*pair) for pair in zip(names, boxes, strict=True)])
        if task == DESCRIPTION:
            if given != BBOX:
                raise Wrong(f"has no {BBOX} in its question")
            return Question(task, box=boxes[0], text=assistant)
        return Question(task, text=assistant)


def _box(values: Sequence[Any]) -> Box:
    if len(values) != 4 or not all(isinstance(value, float) for value in values):
        raise Wrong(f"has the box {values}, which is not four numbers with a decimal point")
    x1, y1, x2, y2 = values
    if not (x1 < x2 and y1 < y2):
        raise Wrong(f"has the box {values}, and ms-swift would swap its corners")
    return (x1, y1, x2, y2)
