"""The questions about an image and their answers, made from its training pairs.

Each pair of a task in `ASKED` becomes one question, so all formats of a release are about the same annotations. Boxes
are exact here, not locations: they are those of the record, in pixels of the frame in which a trainer opens the image
(frames.py). What cannot be asked or answered is left out and counted by reason:

reason           what was left out
reserved_token   a question with a text that contains a placeholder or a token of a chat model, such as <image>
no_area          a region whose box has no area after clipping and rounding
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from engine.records.boxes import Box, row_box
from model.florence2_tasks import AND, DESCRIPTION, GROUNDING, OBJECT_DETECTION, input_of
from model.pairs.pair import Pair
from pipelines.emit.chat.frames import Frame
from pipelines.emit.objects import inside_image

ONE_NAME = "<OPEN_VOCABULARY_DETECTION>"
GIVEN = "{given}"  # where a question has its name, caption or box

# {task: the question}. The answers to the first, second and third kind are texts, labelled boxes, and boxes.
TEXT_QUESTIONS = {
    "<CAPTION>": "Describe this image briefly.",
    "<DETAILED_CAPTION>": "Describe this image in detail.",
    "<MORE_DETAILED_CAPTION>": "Describe this image in as much detail as you can.",
    DESCRIPTION: f"Describe what is in this box: {GIVEN}",
    "<OCR>": "Read all text in this image.",
}
LABEL_QUESTIONS = {
    OBJECT_DETECTION: "Find every object in this image and name it.",
    GROUNDING: f"Find everything that this caption mentions: {GIVEN}",
}
BOX_QUESTIONS = {ONE_NAME: f"Find this in the image: {GIVEN}"}
ASKED: Mapping[str, str] = {**TEXT_QUESTIONS, **LABEL_QUESTIONS, **BOX_QUESTIONS}

# Words that ms-swift, LLaMA-Factory or the tokenizers of Qwen-VL replace wherever they are in a text.
_RESERVED = re.compile(
    r"<(?:image|video|audio|bbox|ref-object|cot-process|start-image)>|</?img>|<\|[^<>|]*\|>"
    r"|</?(?:think|tool_call|tool_response)>"
)


class Named(NamedTuple):
    """A box of an answer, with its label or phrase."""

    label: str
    box: Box


class Question(NamedTuple):
    """A question of a task and its answer, which is `text` or `boxes`.

    `given`: the name or the caption in the question. `box`: the box in the question.
    """

    task: str
    given: str = ""
    box: Box | None = None
    text: str = ""
    boxes: Sequence[Named] = ()


def questions(row: Mapping[str, Any], pairs: Sequence[Pair], frame: Frame, left_out: Counter[str]) -> list[Question]:
    """The questions about an image, in the order of its pairs. `row`: a row of SAMPLE. `left_out`: counts by reason."""
    made: list[Question] = []
    for pair in pairs:
        if pair.task in ASKED:
            given = input_of(pair.task, pair.prompt)
            if pair.task == ONE_NAME and AND in given:
                continue  # its boxes are those of OBJECT_DETECTION
            if _RESERVED.search(given) or _RESERVED.search(pair.target):
                left_out["reserved_token"] += 1
            else:
                made += _question(row, pair, given, frame, left_out)
    return made


def _question(
    row: Mapping[str, Any], pair: Pair, given: str, frame: Frame, left_out: Counter[str]
) -> Iterator[Question]:
    """The question of a pair; none if no box of it has an area."""
    asked = row_box(_region(row, pair)) if pair.task == DESCRIPTION else None
    wanted = [("", asked)] if asked else [(item.label, item.box) for item in pair.items]
    boxes = []
    for label, box in wanted:
        x1, y1, x2, y2 = inside = inside_image(box, row["width"], row["height"])
        if x1 < x2 and y1 < y2:
            boxes.append(Named(label, frame.turned(inside)))
        else:
            left_out["no_area"] += 1
    if asked and boxes:
        yield Question(pair.task, box=boxes[0].box, text=pair.target)
    elif not wanted:
        yield Question(pair.task, text=pair.target)
    elif boxes:
        yield Question(pair.task, given, boxes=boxes)


def _region(row: Mapping[str, Any], pair: Pair) -> Mapping[str, Any]:
    """The region that a question asks about. It is the only region of its pair."""
    return next(region for region in row["regions"] if region["id"] in pair.annotation_ids)
