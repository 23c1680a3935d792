"""Measures the annotations of each node, and the annotations that the rules kept, against human labels.

Every figure has a 95 % interval over resampled sets of images. Read the interval first: with few images it is wide.
Nothing here changes the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.extras import require
from engine.reading.dataset import Dataset
from engine.records.boxes import row_box
from engine.records.shard import Column, one_array
from model.evaluate.boxes import measure_boxes
from model.evaluate.calibration import calibration_error, calibration_errors, reliability
from model.evaluate.dense import measure_dense
from model.evaluate.detections import Detections
from model.evaluate.grounding import GroundedPhrase, measure_grounding
from model.evaluate.matching import scored
from model.evaluate.referring import Referred, measure_referring
from model.evaluate.resampling import interval, resamples
from model.evaluate.texts import measure_captions
from model.evaluate.words import Line, measure_words
from pipelines.evaluation.figures import Evaluation, Figure
from pipelines.evaluation.label_gaps import label_gaps
from pipelines.evaluation.predictions import (
    descriptions,
    detections,
    phrases_of_labels,
    predictions,
    rows_with_named,
    with_referenced,
    without_duplicates,
)
from pipelines.evaluation.truth import Truths, audit_truth
from pipelines.filter.kept_record import Rows, record_tables

KEPT = "kept"


class _Measure(Protocol):
    @property
    def figures(self) -> dict[str, float]: ...

    def resampled(self, counts: npt.NDArray[np.int64]) -> Mapping[str, npt.NDArray[np.float64]]: ...


def evaluate(dataset: Dataset, truth: Truths | None = None) -> Evaluation:
    """Measures the answers of each node, then what the rules kept. Objects in unannotated images count as missed.

    truth: by default the labels of the audit-test images.
    """
    truth = audit_truth(dataset, "audit-test") if truth is None else truth
    if any(truth.captions.values()):
        require("Measuring captions", ["pycocoevalcap"])
    wanted = truth.images()
    answer = Evaluation(truth.description, len(wanted), notes=list(truth.notes))
    by_node = {
        node.name: (node, tables)
        for node, tables in predictions(dataset, wanted)
        if node.component != "human"  # because human annotations are the truth itself
    }
    boxes = {
        name: detections(tables, node)
        for name, (node, tables) in by_node.items()
        if {"boxes", "regions"} & set(node.gives)
    }
    answer.notes += label_gaps(truth.objects, boxes.values())
    given, kept = record_tables(dataset, wanted)
    answer.human = sum(map(_with_human_regions, given))
    kept_boxes = detections(kept)
    for name, found in boxes.items():
        _boxes(answer, name, truth, found)
    _boxes(answer, KEPT, truth, kept_boxes)
    _masks(answer, truth, kept_boxes)
    others = {name: one for name, one in by_node.items() if {kind for _, kind, _ in _OTHERS} & set(one[0].gives)}
    given_rows = rows_with_named(given, [tables for _, tables in others.values()])
    rows = {name: rows_with_named(tables) for name, (_, tables) in others.items()}
    kept_rows = rows_with_named(kept)
    for part, kind, measure in _OTHERS:
        for name, (node, _) in others.items():
            if kind in node.gives:
                measure(answer, part, name, truth, with_referenced(kind, rows[name], given_rows))
        measure(answer, part, KEPT, truth, kept_rows)
    return answer


def _with_human_regions(table: pa.Table) -> int:
    """The number of images that have regions of people."""
    regions = Column(one_array(table["regions"]))
    return len(np.unique(regions.image[regions.arrow("score").is_null().to_numpy(zero_copy_only=False)]))


_BOX_FIGURES = ("AP", "AP50", "AP75", "AR100")
_Found = TypeVar("_Found")


def _add(
    answer: Evaluation, part: str, of: str, measure: _Measure, count: int, images: int, names: Sequence[str] = ()
) -> None:
    """Adds figures with their intervals.

    part, of, count: see `Figure`. images: the number of images with truth of this kind, which are resampled. names: the
    figures to add; all if empty.
    """
    drawn = measure.resampled(resamples(images))
    for name in names or measure.figures:
        bounds = interval(drawn[name]) if name in drawn else (float("nan"), float("nan"))
        answer.figures.append(Figure(part, of, name, measure.figures[name], *bounds, count))


def _labelled(found: Mapping[str, _Found], truth: Mapping[str, object]) -> dict[str, _Found]:
    """The predictions in images that people labelled."""
    return {image_id: one for image_id, one in found.items() if image_id in truth}


def _boxes(answer: Evaluation, name: str, truth: Truths, all_found: Detections) -> None:
    if not any(len(image.objects) for image in truth.objects.values()):
        return
    found, images = all_found.ordered(sorted(truth.objects)), len(truth.objects)
    _add(answer, "boxes", name, measure_boxes(truth.objects, found), len(found), images, _BOX_FIGURES)
    scores, right, image = scored(truth.objects, without_duplicates(found))
    if len(scores):
        answer.curves[name] = reliability(scores, right)
    for figure, floor in (("ECE", 0.0), ("ECE.3", 0.3)):  # boxes with a score near 0 are many and easy
        at = scores >= floor
        if at.any():
            errors = calibration_errors(scores[at], right[at], image[at], resamples(images))
            error = calibration_error(scores[at], right[at])
            answer.figures.append(Figure("boxes", name, figure, error, *interval(errors), int(at.sum())))


def _masks(answer: Evaluation, truth: Truths, all_found: Detections) -> None:
    found = all_found.ordered(sorted(truth.objects))
    outlined = any(thing.rle for image in truth.objects.values() for thing in image.objects)
    count = sum(map(bool, found.rles))
    if outlined and count:
        measure = measure_boxes(truth.objects, found, masks=True)
        _add(answer, "masks", KEPT, measure, count, len(truth.objects), _BOX_FIGURES)


def _captions(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    if not any(truth.captions.values()):
        return
    captions = {}
    for image_id, row in _labelled(rows, truth.captions).items():
        brief = [text["text"] for text in row["texts"] if text["granularity"] == "brief" and text["score"] is not None]
        if brief and truth.captions[image_id]:
            captions[image_id] = brief[0]
    measure = measure_captions(truth.captions, captions)
    _add(answer, part, name, measure, measure.answered, sum(map(bool, truth.captions.values())))


def _words(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    if not any(truth.words.values()):
        return
    read = {}
    for image_id, row in _labelled(rows, truth.words).items():
        boxes = {region["id"]: row_box(region) for region in row["regions"] if region["kind"] == "text"}
        read[image_id] = [
            Line(t["text"], boxes[t["region_id"]]) for t in row["region_texts"] if t["region_id"] in boxes
        ]
    measure = measure_words(truth.words, read)
    _add(answer, part, name, measure, measure.read, len(truth.words))


def _grounding(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    row_of = {image_id: number for number, image_id in enumerate(sorted(truth.objects))}
    phrases = [
        GroundedPhrase(row_of[image_id], [row_box(region) for region in phrase.regions], [t.box for t in phrase.things])
        for image_id, row in _labelled(rows, truth.objects).items()
        for phrase in phrases_of_labels(truth.objects[image_id], row)
    ]
    if phrases:
        measure = measure_grounding(phrases)
        _add(answer, part, name, measure, measure.phrases, len(truth.objects))


def _referring(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    """Measures unambiguous phrases: exactly one true object has their label, and it has an outline."""
    row_of = {image_id: number for number, image_id in enumerate(sorted(truth.objects))}
    expressions = []
    for image_id, row in _labelled(rows, truth.objects).items():
        image = truth.objects[image_id]
        for phrase in phrases_of_labels(image, row):
            if len(phrase.things) == 1 and phrase.things[0].rle:
                found = [region["rle"] for region in phrase.regions if region["rle"]]
                expressions.append(Referred(row_of[image_id], found, phrase.things[0].rle, image.width, image.height))
    if any(one.found for one in expressions):
        measure = measure_referring(expressions)
        _add(answer, part, name, measure, measure.expressions, len(truth.objects))


def _dense(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    if any(truth.descriptions.values()):
        found = {image_id: descriptions(row) for image_id, row in _labelled(rows, truth.descriptions).items()}
        measure = measure_dense(truth.descriptions, found)
        _add(answer, part, name, measure, measure.predictions, len(truth.descriptions))


_OTHERS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("captions", "texts", _captions),
    ("words", "ocr", _words),
    ("grounding", "phrases", _grounding),
    ("referring", "phrases", _referring),
    ("dense", "region_texts", _dense),
)
