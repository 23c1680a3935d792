"""The refinement study without trained models: real noise on drawn scenes, and simulated students.

A simulated student gives what a real one gives: proposals, and a likelihood for each given box.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.records.boxes import Box, iou
from engine.records.overlaps import iou_pairs, suppress
from engine.schema import Region, Sample
from model.evaluate.detections import Detection, Truth, TruthImage
from refinement.gate import RoundMeasures
from refinement.measures import agreement, audit
from refinement.merge import Change, Given, Proposed, merge_regions
from refinement.options import MergeRules
from specialists.synthetic.noisy_annotator import NoisyAnnotator
from specialists.synthetic.shapes import CLASSES
from specialists.synthetic.world import WorldOptions, scene

SIDE = 48
Labels = Mapping[str, list[Given]]
Seen = dict[str, tuple[list[Proposed], list[Given]]]  # proposals, and the given boxes with likelihoods
Student = Callable[[Labels], Seen]


@functools.cache
def truth(images: int) -> Mapping[str, TruthImage]:
    """The objects of the first scenes, by name."""
    options = WorldOptions(size=SIDE, words=0)
    answer = {}
    for index in range(images):
        regions = scene(index, options).truth.regions
        objects = [Truth(one.label, (one.x1, one.y1, one.x2, one.y2)) for one in regions]
        answer[f"{index:032x}"] = TruthImage(SIDE, SIDE, objects)
    return answer


def noisy(world: Mapping[str, TruthImage], **noise: Any) -> Labels:
    """The noisy annotator's boxes, filtered as in the study: scores from .35 on, no overlapping boxes."""
    annotator = NoisyAnnotator(**noise)
    answer = {}
    for name, image in world.items():
        sample = Sample(name, SIDE, SIDE, regions=[Region(*one.box, one.label) for one in image.objects])
        (found,) = annotator.annotate([sample])
        sure = [one for one in found.regions if one.score is not None and one.score >= 0.35]
        boxes = np.array([(one.x1, one.y1, one.x2, one.y2) for one in sure]).reshape(-1, 4)
        i, j, _ = iou_pairs(np.zeros(len(sure), np.int64), boxes, min_iou=0.5)
        keep = suppress(i, j, np.array([one.score for one in sure], np.float64))
        kept = [one for one, stays in zip(sure, keep.tolist(), strict=True) if stays]
        answer[name] = [
            Given(f"a/{one.id}", "object", one.label, (one.x1, one.y1, one.x2, one.y2), one.score) for one in kept
        ]
    return answer


@dataclass(frozen=True)
class Oracle:
    """A good student: finds most objects, with small offsets, and finds boxes on objects likely.

    miss, wrong: shares of objects and of labels. jitter: of the side. confuse: {class: class} that it confuses, in the
    share `confused` of cases.
    """

    world: Mapping[str, TruthImage]
    miss: float = 0.1
    jitter: float = 0.04
    wrong: float = 0.04
    confuse: Mapping[str, str] = dataclasses.field(default_factory=dict)
    confused: float = 0.9
    seed: int = 0

    def __call__(self, labels: Labels) -> Seen:
        random = np.random.default_rng(self.seed)
        return {
            name: (self._proposals(name, random), self._judged(name, some, random)) for name, some in labels.items()
        }

    def _proposals(self, name: str, random: np.random.Generator) -> list[Proposed]:
        answer = []
        for one in self.world[name].objects:
            if random.random() < self.miss:
                continue
            label, score = one.label, float(random.uniform(0.6, 1.0))
            if label in self.confuse and random.random() < self.confused:
                label, score = self.confuse[label], float(random.uniform(0.55, 0.8))
            elif random.random() < self.wrong:
                label, score = str(random.choice(CLASSES)), float(random.uniform(0.3, 0.6))
            location = float(random.uniform(0.6, 0.95))
            answer.append(Proposed(label, _shifted(one.box, self.jitter, random), score * location, score, location))
        return answer

    def _judged(self, name: str, some: list[Given], random: np.random.Generator) -> list[Given]:
        """Boxes on objects get high likelihoods and other boxes low ones, with an AUC of about .96, as in the study."""
        answer = []
        for one in some:
            real = any(iou(one.box, other.box) >= 0.4 for other in self.world[name].objects)
            answer.append(dataclasses.replace(one, likelihood=float(random.beta(*((7, 3) if real else (2, 7))))))
        return answer


def untrained(labels: Labels) -> Seen:
    return {name: ([], [dataclasses.replace(one, likelihood=0.01) for one in some]) for name, some in labels.items()}


@dataclass(frozen=True)
class Shuffled:
    """A good student that is given the wrong images."""

    oracle: Oracle

    def __call__(self, labels: Labels) -> Seen:
        seen, names = self.oracle(labels), list(labels)
        return {name: (seen[names[at - 1]][0], seen[name][1]) for at, name in enumerate(names)}


@dataclass(frozen=True)
class UnderTrained:
    """Few, mostly wrong, uncertain proposals, and a low likelihood for a third of the boxes, as in the study."""

    oracle: Oracle

    def __call__(self, labels: Labels) -> Seen:
        random = np.random.default_rng(5)
        answer = {}
        for name, (proposed, given) in self.oracle(labels).items():
            few = [_unsure(one, random) for one in proposed if random.random() < 0.4]
            answer[name] = few, [dataclasses.replace(one, likelihood=float(random.uniform(0.2, 0.6))) for one in given]
        return answer


def _unsure(one: Proposed, random: np.random.Generator) -> Proposed:
    box = _shifted(one.box, 0.2, random)
    label = one.label if random.random() < 0.4 else str(random.choice(CLASSES))
    return dataclasses.replace(one, box=box, label=label, score=0.1, label_score=float(random.uniform(0.1, 0.34)))


def _shifted(box: Box, jitter: float, random: np.random.Generator) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    moved = np.clip(np.array(box) + random.normal(0, jitter, 4) * (width, height, width, height), 0, SIDE)
    x1, y1, x2, y2 = moved.tolist()
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


# --- a round ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    before: Labels
    after: Labels
    changes: Counter[str]
    proposed: Mapping[str, list[Detection]]

    def measures(self, world: Mapping[str, TruthImage], audited: int = 0) -> RoundMeasures:
        """The measures as the pipeline makes them. audited: how many images, from the first, people labelled."""
        trained = list(self.before)[audited:]
        labels = {name: [Truth(one.label, one.box) for one in self.before[name]] for name in trained}
        people = {name: world[name] for name in list(self.before)[:audited]}
        before, after = (found({name: side[name] for name in people}) for side in (self.before, self.after))
        return RoundMeasures(
            agreement=[agreement(labels, {name: self.proposed[name] for name in trained})],
            given=sum(map(len, self.before.values())),
            changes=self.changes,
            labels=(_counted(self.before), _counted(self.after)),
            audit=audit(people, before, after) if people else None,
        )


def play_round(labels: Labels, student: Student, options: MergeRules | None = None) -> Round:
    after: dict[str, list[Given]] = {}
    rules: Counter[str] = Counter()
    proposed = {}
    for name, (proposals, given) in student(labels).items():
        changes = merge_regions(given, proposals, options)
        rules.update(one.rule for one in changes)
        after[name] = applied(given, changes)
        proposed[name] = [Detection(one.label, one.box, one.score) for one in proposals]
    return Round(labels, after, rules, proposed)


def applied(given: list[Given], changes: list[Change]) -> list[Given]:
    """The boxes after the changes, with new ids for added ones."""
    by_old = {one.old: one for one in changes if one.old}
    answer = []
    for one in given:
        change = by_old.get(one.id)
        if change is None:
            answer.append(one)
        elif change.new is not None:
            new = change.new
            answer.append(dataclasses.replace(one, label=new.label, box=new.box, score=new.score))
    for number, change in enumerate(one for one in changes if not one.old):
        assert change.new is not None
        name = f"b{len(given)}/{number}"
        answer.append(Given(name, change.new.kind, change.new.label, change.new.box, change.new.score))
    return answer


def found(labels: Labels) -> dict[str, list[Detection]]:
    return {name: [Detection(one.label, one.box, one.score or 1.0) for one in some] for name, some in labels.items()}


def f1(world: Mapping[str, TruthImage], labels: Labels, iou: float = 0.5) -> float:
    return agreement({name: world[name].objects for name in labels}, found(labels), iou=iou).f1


def _counted(labels: Labels) -> Counter[str]:
    return Counter(one.label for some in labels.values() for one in some)
