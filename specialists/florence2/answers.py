"""What a Florence-2 said of one image, as annotations. Nothing is repaired: what cannot be one is counted.

A box of one location in width or height is as wide or high as that location: a pixel of a large photo is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.records import masks
from engine.schema import Answer, ImageScore, Phrase, Region, RegionText, Sample, Text
from model.decoding.likelihood import SCORE_KIND, FoundScore
from model.pairs.locations import BINS
from model.pairs.parsing import Box, Found
from model.pairs.questions import CAPTIONS

if TYPE_CHECKING:
    from model.decoding.predict import Prediction

SAME = 0.5  # IoU from which a phrase's box is a region that is there already
_REGION_TEXT = {"<REGION_TO_CATEGORY>": "candidate", "<REGION_TO_DESCRIPTION>": "brief", "<REGION_TO_OCR>": "ocr"}

Scored = tuple[Found, FoundScore]


class Reply:
    """The answer for one sample while predictions come in."""

    def __init__(self, sample: Sample) -> None:
        self.sample, self.answer = sample, Answer()
        self._faults: Counter[tuple[str, str]] = Counter()
        self._named = 0

    def fault(self, task: str, reason: str) -> None:
        self._faults[task, reason] += 1

    def take(self, task: str, prediction: Prediction, subject: Any = None) -> None:
        """`subject`: the region, text or name that was asked about."""
        for fault in prediction.parsed.faults:
            self.fault(task, fault.reason)
        if prediction.cut:
            self.fault(task, "cut")
        if task in CAPTIONS or task in _REGION_TEXT:
            self._text(task, prediction, subject)
            return
        found = list(zip(prediction.parsed.found, prediction.likelihood.found, strict=True))
        if task == "<CAPTION_TO_PHRASE_GROUNDING>":
            self._phrases(task, found, subject)
        elif task == "<OCR_WITH_REGION>":
            self._lines(found)
        elif task == "<REGION_TO_SEGMENTATION>":
            self._mask(task, found, subject)
        elif task == "<DENSE_REGION_CAPTION>":
            self._described(found)
        else:
            self._boxes(task, found, subject)

    def finished(self) -> Answer:
        for (task, reason), count in sorted(self._faults.items()):
            self.answer.image_scores.append(
                ImageScore("malformed", count, f"{task} {reason}", id=self._id(), score=1.0, score_kind="measured")
            )
        return self.answer

    def _id(self) -> str:
        self._named += 1
        return str(self._named - 1)

    def _text(self, task: str, prediction: Prediction, region: Region | None) -> None:
        """A text that was cut off, or is none, is not given."""
        text, score = prediction.parsed.text, prediction.likelihood.text
        if prediction.cut or prediction.parsed.faults:
            return
        if not text.strip():
            self.fault(task, "empty")
        elif region is None:
            said = Text(text, CAPTIONS[task], id=self._id(), score=score, score_kind=SCORE_KIND)
            self.answer.texts.append(said)
        else:
            self._region_text(region.id, text, _REGION_TEXT[task], score)

    def _boxes(self, task: str, found: Sequence[Scored], name: str | None) -> None:
        for thing, scores in found:
            if thing.polygons:
                self._outlined(task, thing, scores, thing.label or name or "")
            else:
                self.answer.regions.append(self._region(_box(thing), thing.label, scores.score))

    def _outlined(self, task: str, thing: Found, scores: FoundScore, label: str) -> None:
        rle, box = self._rle(thing)
        if rle:
            region = self._region(box, label, scores.score)
            region.rle = rle
            self.answer.regions.append(region)
        else:
            self.fault(task, "empty_mask")

    def _described(self, found: Sequence[Scored]) -> None:
        for thing, scores in found:
            region = self._region(_box(thing), "", scores.location)
            self.answer.regions.append(region)
            self._region_text(region.id, thing.label, "brief", scores.label_mean)

    def _lines(self, found: Sequence[Scored]) -> None:
        for thing, scores in found:
            region = self._region(_box(thing), "", scores.location)
            region.kind, region.quad = "text", list(thing.quad or ())
            self.answer.regions.append(region)
            self._region_text(region.id, thing.label, "ocr", scores.label_mean)

    def _mask(self, task: str, found: Sequence[Scored], of: Region) -> None:
        """One mask of all that was outlined, which the region asked about gets."""
        whole = Found("", None, polygons=[part for thing, _ in found for part in thing.polygons])
        rle, _ = self._rle(whole)
        if not rle:
            self.fault(task, "empty_mask")
            return
        score = min(scores.score for _, scores in found)
        outlined = Region(of.x1, of.y1, of.x2, of.y2, of.label, rle=rle, merged_into=of.id, parents=[of.id])
        outlined.id, outlined.score, outlined.score_kind = self._id(), score, SCORE_KIND
        self.answer.regions.append(outlined)

    def _phrases(self, task: str, found: Sequence[Scored], text: Text) -> None:
        """Phrases come in the order of the text: the second time a word is said, its second place is meant."""
        there = [*self.sample.regions, *self.answer.regions]
        there = [region for region in there if region.kind == "object" and not region.merged_into]
        at = -1
        for _, group in groupby(found, key=lambda scored: scored[0].label_at):
            same = list(group)
            words = same[0][0].label
            place = text.text.find(words, at + 1)
            if place < 0:
                self.fault(task, "not_in_text")
                continue
            at = place
            ids = list(dict.fromkeys(self._named_region(thing, scores, there).id for thing, scores in same))
            phrase = Phrase(text.id, at, at + len(words), ids, id=self._id(), parents=[text.id, *ids])
            phrase.score, phrase.score_kind = min(scores.score for _, scores in same), SCORE_KIND
            self.answer.phrases.append(phrase)

    def _named_region(self, thing: Found, scores: FoundScore, there: Sequence[Region]) -> Region:
        """The region it overlaps most, if there is one; else its own box, whose words are no label."""
        region = self._region(_box(thing), "", scores.location)
        best = max(there, key=lambda other: _iou(region, other), default=None)
        if best is not None and _iou(region, best) >= SAME:
            return best
        self.answer.regions.append(region)
        return region

    def _region(self, box: Box, label: str, score: float) -> Region:
        x1, y1, x2, y2 = _with_area(box, self.sample.width, self.sample.height)
        return Region(x1, y1, x2, y2, label, id=self._id(), score=score, score_kind=SCORE_KIND)

    def _region_text(self, region: str, text: str, granularity: str, score: float) -> None:
        said = RegionText(
            region, text, granularity, id=self._id(), score=score, score_kind=SCORE_KIND, parents=[region]
        )
        self.answer.region_texts.append(said)

    def _rle(self, thing: Found) -> tuple[str, Box]:
        """'' of an outline that holds no pixel."""
        size = {"width": self.sample.width, "height": self.sample.height}
        rle = masks.from_polygons(thing.polygons, **size)
        box = masks.bbox(rle, **size)
        return (rle if box[0] < box[2] and box[1] < box[3] else ""), box


def _box(thing: Found) -> Box:
    """Of a quad the box around it."""
    if thing.box:
        return thing.box
    assert thing.quad  # what is neither box nor outline
    xs, ys = thing.quad[::2], thing.quad[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _with_area(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    across, down = (width / BINS / 2 if x1 == x2 else 0.0), (height / BINS / 2 if y1 == y2 else 0.0)
    return x1 - across, y1 - down, x2 + across, y2 + down


def _iou(a: Region, b: Region) -> float:
    wide, high = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    if wide <= 0 or high <= 0:
        return 0.0
    both = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1)
    return wide * high / (both - wide * high)
