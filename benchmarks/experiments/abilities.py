"""Tests a model on new scenes: detection, region labels, captions, outlines. All figures are between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.learn import CAPTION, OD, SIZE, Answers, world
from engine.records import masks
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.parsing import ParsedRegion, ParsedTarget
from model.pairs.parsing import parse_target as parsed

CATEGORY, OUTLINE = "<REGION_TO_CATEGORY>", "<REGION_TO_SEGMENTATION>"
TESTED = 400  # scenes
_TEST_WORLD = 1000  # added to the seed of the training scenes


def abilities(model: str, tasks: Sequence[str], seed: int = 0) -> dict[str, float]:
    """The figures for each of these tasks."""
    answers = Answers(model, world(TESTED, seed + _TEST_WORLD))
    figures: dict[str, float] = {}
    if OD in tasks:
        found = answers.detections()
        figures |= {"F1@.5": found.f1(), "F1@.75": found.f1(0.75)}
    if CAPTION in tasks:
        figures["captions exact"] = answers.captions()
    if CATEGORY in tasks:
        figures["regions named"] = float(
            np.mean([one.text == true.text for one, true in _with_truth(answers, CATEGORY)])
        )
    if OUTLINE in tasks:
        figures["mask IoU"] = float(
            np.mean([_iou(one.regions, true.regions) for one, true in _with_truth(answers, OUTLINE)])
        )
    return figures


def _with_truth(answers: Answers, task: str) -> list[tuple[ParsedTarget, ParsedTarget]]:
    """(answer, truth) of every true pair of a task."""
    from model.decoding.predict import predict
    from model.florence2_tasks import input_of
    from model.network.encoding import make_question

    questions, due = [], []
    for number, record in enumerate(answers.records):
        made = compile_pairs(record, width=SIZE, height=SIZE, options=PairOptions(tasks=[task], order="reading"))
        for pair in made.pairs:
            questions.append(make_question(number, task, input_of(task, pair.prompt)))
            due.append(parsed(task, pair.target, width=SIZE, height=SIZE))
    predictions = predict(
        answers.florence, answers.images, questions, batch_size=64, max_new_tokens=120, location="median"
    )
    return [(one.parsed, true) for one, true in zip(predictions, due, strict=True)]


def _iou(found: Sequence[ParsedRegion], true: Sequence[ParsedRegion]) -> float:
    first, second = (
        masks.from_polygons([polygon for one in some for polygon in one.polygons], width=SIZE, height=SIZE)
        for some in (found, true)
    )
    return masks.mask_iou(first, second, width=SIZE, height=SIZE)
