"""Turns the predictions of a Florence-2 into the annotations of one image. Nothing is repaired.

A part of a prediction that cannot become an annotation is counted by task and reason, in the image score `malformed`.
If a box starts and ends at the same location along an axis, it gets the size of that location. In a photo of 1,000
pixels a location is one pixel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.records import masks
from engine.records.boxes import Box, around, box_of, iou
from engine.schema import Answer, ImageScore, Phrase, Region, RegionText, Sample, Text
from model.decoding.likelihood import SCORE_KIND, RegionScore
from model.florence2_tasks import Task, task_of
from model.pairs.locations import BINS
from model.pairs.parsing import ParsedRegion

if TYPE_CHECKING:
    from model.decoding.predict import Prediction

SAME_REGION = 0.5  # a phrase's box with at least this IoU with an existing region is that region

Scored = tuple[ParsedRegion, RegionScore]


class AnswerBuilder:
    """Collects the predictions for one sample. `finish` returns the answer."""

    def __init__(self, sample: Sample) -> None:
        self.sample, self.answer = sample, Answer()
        self._malformed: Counter[tuple[str, str]] = Counter()
        self._next_id = 0

    def count_malformed(self, task: str, reason: str) -> None:
        self._malformed[task, reason] += 1

    def add(self, task_name: str, prediction: Prediction, subject: Any = None) -> None:
        """Adds the annotations of one prediction. `subject`: the Region, Text or name that the question was about; None
        for the whole image.
        """
        task = task_of(task_name)
        for fault in prediction.parsed.faults:
            self.count_malformed(task.name, fault.reason)
        if prediction.cut:
            self.count_malformed(task.name, "cut")
        if task.form == "text":
            self._add_text(task, prediction, subject)
            return
        found = list(zip(prediction.parsed.regions, prediction.likelihood.regions, strict=True))
        if task.form == "phrases":
            self._add_phrases(task, found, subject)
        elif task.form == "quads":
            self._add_printed(task, found)
        elif task.reads == "masks":
            self._add_mask(task, found, subject)
        elif task.reads == "descriptions":
            self._add_described(task, found)
        else:
            self._add_regions(task, found, subject)

    def finish(self) -> Answer:
        for (task, reason), count in sorted(self._malformed.items()):
            self.answer.image_scores.append(
                ImageScore("malformed", count, f"{task} {reason}", id=self._new_id(), score=1.0, score_kind="measured")
            )
        return self.answer

    def _new_id(self) -> str:
        self._next_id += 1
        return str(self._next_id - 1)

    def _add_text(self, task: Task, prediction: Prediction, region: Region | None) -> None:
        """Adds a text of the image, or of `region` if given. A text that was cut off or has a fault is left out."""
        text, score = prediction.parsed.text, prediction.likelihood.text
        if prediction.cut or prediction.parsed.faults:
            return
        if not text.strip():
            self.count_malformed(task.name, "empty")
        elif region is None:
            self.answer.texts.append(
                Text(text, task.granularity, id=self._new_id(), score=score, score_kind=SCORE_KIND)
            )
        else:
            self._add_region_text(region.id, text, task.granularity, score)

    def _add_regions(self, task: Task, found: Sequence[Scored], name: str | None) -> None:
        """Adds boxes with their labels. An outline without a label gets the name from the question."""
        for parsed, scores in found:
            if parsed.polygons:
                self._add_outlined(task, parsed, scores, parsed.label or name or "")
            else:
                self.answer.regions.append(self._region(_box(parsed), parsed.label, scores.score))

    def _add_outlined(self, task: Task, parsed: ParsedRegion, scores: RegionScore, label: str) -> None:
        rle, box = self._rle(parsed)
        if rle:
            region = self._region(box, label, scores.score)
            region.rle = rle
            self.answer.regions.append(region)
        else:
            self.count_malformed(task.name, "empty_mask")

    def _add_described(self, task: Task, found: Sequence[Scored]) -> None:
        for parsed, scores in found:
            region = self._region(_box(parsed), "", scores.location)
            self.answer.regions.append(region)
            self._add_region_text(region.id, parsed.label, task.granularity, scores.label_mean)

    def _add_printed(self, task: Task, found: Sequence[Scored]) -> None:
        for parsed, scores in found:
            region = self._region(_box(parsed), "", scores.location)
            region.kind, region.quad = "text", list(parsed.quad or ())
            self.answer.regions.append(region)
            self._add_region_text(region.id, parsed.label, task.granularity, scores.label_mean)

    def _add_mask(self, task: Task, found: Sequence[Scored], of: Region) -> None:
        """Adds one mask made of all outlines in the answer. It belongs to the region in the question."""
        outlines = ParsedRegion("", None, polygons=[part for parsed, _ in found for part in parsed.polygons])
        rle, _ = self._rle(outlines)
        if not rle:
            self.count_malformed(task.name, "empty_mask")
            return
        score = min(scores.score for _, scores in found)
        outlined = Region(of.x1, of.y1, of.x2, of.y2, of.label, rle=rle, merged_into=of.id, parents=[of.id])
        outlined.id, outlined.score, outlined.score_kind = self._new_id(), score, SCORE_KIND
        self.answer.regions.append(outlined)

    def _add_phrases(self, task: Task, found: Sequence[Scored], text: Text) -> None:
        """Adds phrases and their regions. Phrases come in the order of the text, so each is searched after the start of
        the phrase before.
        """
        existing = [*self.sample.regions, *self.answer.regions]
        existing = [region for region in existing if region.kind == "object" and not region.merged_into]
        start = -1
        for _, group in groupby(found, key=lambda scored: scored[0].label_at):
            same = list(group)
            words = same[0][0].label
            next_start = text.text.find(words, start + 1)
            if next_start < 0:
                self.count_malformed(task.name, "not_in_text")
                continue
            start = next_start
            ids = list(dict.fromkeys(self._region_of_phrase(parsed, scores, existing).id for parsed, scores in same))
            phrase = Phrase(text.id, start, start + len(words), ids, id=self._new_id(), parents=[text.id, *ids])
            phrase.score, phrase.score_kind = min(scores.score for _, scores in same), SCORE_KIND
            self.answer.phrases.append(phrase)

    def _region_of_phrase(self, parsed: ParsedRegion, scores: RegionScore, existing: Sequence[Region]) -> Region:
        """The existing region that the box overlaps most, if their IoU is at least SAME_REGION; otherwise a new region
        without a label.
        """
        region = self._region(_box(parsed), "", scores.location)
        own = box_of(region)
        best = max(existing, key=lambda other: iou(own, box_of(other)), default=None)
        if best is not None and iou(own, box_of(best)) >= SAME_REGION:
            return best
        self.answer.regions.append(region)
        return region

    def _region(self, box: Box, label: str, score: float) -> Region:
        x1, y1, x2, y2 = _with_area(box, self.sample.width, self.sample.height)
        return Region(x1, y1, x2, y2, label, id=self._new_id(), score=score, score_kind=SCORE_KIND)

    def _add_region_text(self, region: str, text: str, granularity: str, score: float) -> None:
        self.answer.region_texts.append(
            RegionText(
                region, text, granularity, id=self._new_id(), score=score, score_kind=SCORE_KIND, parents=[region]
            )
        )

    def _rle(self, parsed: ParsedRegion) -> tuple[str, Box]:
        """The mask of an outline, and its bounding box. The mask is '' if it has no pixels."""
        size = {"width": self.sample.width, "height": self.sample.height}
        rle = masks.from_polygons(parsed.polygons, **size)
        box = masks.bbox(rle, **size)
        return (rle if box[0] < box[2] and box[1] < box[3] else ""), box


def _box(parsed: ParsedRegion) -> Box:
    """The box of a region, or the bounding box of its quad."""
    if parsed.box:
        return parsed.box
    assert parsed.quad
    return around(parsed.quad)


def _with_area(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    across, down = (width / BINS / 2 if x1 == x2 else 0.0), (height / BINS / 2 if y1 == y2 else 0.0)
    return x1 - across, y1 - down, x2 + across, y2 + down
