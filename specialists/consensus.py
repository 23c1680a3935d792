"""Merges the boxes of all detectors and of people into one region for each object.

Boxes with low scores take part too, because the main gain of agreement is a weak box that another detector confirms.
Scores of different models are not on one scale; `calibration` and `votes` correct that before scores are combined. A
human box is never changed. Boxes of detectors only add support to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Share
from engine.errors import ConfigError
from engine.records.boxes import clipped_boxes
from engine.records.labels import without_case
from engine.records.overlaps import iou_pairs, suppressors
from engine.schema import Annotation, Answer, Region, Sample
from engine.scores.calibration import Calibration
from engine.scores.fusion import RIVAL_IOU, Evidence, by_agreement, trust

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Consensus:
    """Merges boxes of one label. Without a calibration, the score of a merged box is
    `engine.scores.fusion.by_agreement`. If there is only one detector, its scores are kept. If there are several, each
    is weighted by how often the others confirm it in the image (its trust). A detector that ran on the image but gave
    no box lowers the score. The merged box is the mean of its members, weighted by votes * trust * score.

    Options. iou: boxes of one label with at least this IoU are one object. nms_iou: boxes of one producer and label
    with at least this IoU are duplicates. votes: {producer: weight}; the default weight is 1. calibration: path or URL
    of the file that `engine eval --fit` wrote (see engine/scores/calibration.py). With it, scores are first mapped to
    probabilities, and the fitted fusion replaces agreement.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes",)
    gives: ClassVar[tuple[str, ...]] = ("regions",)
    replaces: ClassVar[tuple[str, ...]] = ("boxes",)  # its answer contains every candidate again, with `merged_into`
    version: ClassVar[int] = 2
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def __init__(
        self,
        *,
        iou: Share = 0.5,
        nms_iou: Share = 0.5,
        votes: Mapping[str, float] = {},
        calibration: str = "",
        batch_size: int = 256,
    ) -> None:
        for name, weight in votes.items():
            if not weight > 0:
                raise ConfigError(
                    f"Consensus has the weight {weight} for '{name}' in `votes`: give more than 0, or omit it."
                )
        self.iou, self.nms_iou = iou, nms_iou
        self.votes, self.calibration = votes, Calibration({})
        self.weights = (calibration,) if calibration else ()  # the key depends on the file's content, not on its path
        self.batch_size = batch_size

    def load(self) -> None:
        for path in self.weights:
            self.calibration = Calibration.read(path)

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """All object regions of each image: merged regions, then human regions unchanged, then every candidate.

        A candidate that has no area inside the image is left out here. It is still in the detector's own answer.
        """
        table = _Candidates(batch, self.votes, self.calibration)
        keeper = self._duplicates(table)
        clusters = self._clusters(table, np.flatnonzero(keeper == np.arange(len(keeper))))
        fused = _Fused(table, clusters)
        if self.calibration.fusion is not None:
            fused.scores = self.calibration.fusion.score(fused.evidence(table))
        human = self._human_partners(table, clusters, fused)
        return _answers(batch, table, keeper, clusters, fused, human)

    def evidence(self, batch: Sequence[Sample]) -> tuple[Evidence, list[list[Region]]]:
        """The data that a fusion is fitted to: one row for each cluster, ordered by image, and the merged regions of
        each image.
        """
        table = _Candidates(batch, self.votes, self.calibration)
        keeper = self._duplicates(table)
        clusters = self._clusters(table, np.flatnonzero(keeper == np.arange(len(keeper))))
        fused = _Fused(table, clusters)
        order = np.argsort(fused.image, kind="stable")
        regions: list[list[Region]] = [[] for _ in batch]
        for row in order.tolist():
            label, box = table.regions[clusters[row][0]].label, fused.boxes[row].tolist()
            regions[fused.image[row]].append(_region(box, label, "", float(fused.scores[row]), []))
        return fused.evidence(table).rows(order), regions

    def _duplicates(self, table: _Candidates) -> Ints:
        """For each candidate, the better candidate of the same producer that it duplicates; the candidate itself if
        there is none.
        """
        i, j, _ = iou_pairs(table.within_producer, table.boxes, min_iou=self.nms_iou)
        pair = suppressors(i, j, table.raw)
        keeper = np.arange(len(table.raw))
        gone = np.flatnonzero(pair >= 0)
        keeper[gone] = i[pair[gone]] + j[pair[gone]] - gone
        return keeper

    def _clusters(self, table: _Candidates, kept: Ints) -> list[list[int]]:
        """Clusters of candidates, best candidate first. A candidate joins the cluster whose first box it overlaps most,
        among the clusters that have no box of the same producer yet. If there is none, it starts a new cluster.
        """
        kept = kept[np.argsort(-table.raw[kept], kind="stable")]
        i, j, iou = iou_pairs(table.within_label[kept], table.boxes[kept], min_iou=self.iou)
        better: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for leader, follower, overlap in zip(i.tolist(), j.tolist(), iou.tolist(), strict=True):
            better[follower].append((-overlap, leader))
        clusters: dict[int, list[int]] = {}
        for place, candidate in enumerate(kept.tolist()):
            for _, leader in sorted(better.get(place, ())):
                members = clusters.get(leader, ())
                if members and all(table.producers[m] != table.producers[candidate] for m in members):
                    clusters[leader].append(candidate)
                    break
            else:
                clusters[place] = [candidate]
        return list(clusters.values())

    def _human_partners(self, table: _Candidates, clusters: list[list[int]], fused: _Fused) -> dict[int, int]:
        """{cluster: row of a human box}: the human box with the same label that the cluster's box overlaps most."""
        if not table.human:
            return {}
        group = np.concatenate([table.human_label, [table.within_label[members[0]] for members in clusters]])
        boxes = np.concatenate([table.human_boxes, fused.boxes])
        i, j, iou = iou_pairs(group.astype(np.int64), boxes, min_iou=self.iou)
        humans = len(table.human)
        mixed = np.flatnonzero((i < humans) & (j >= humans))
        order = mixed[
            np.lexsort((-i[mixed], iou[mixed]))
        ]  # dict keeps the last entry: the one with the most overlap, and of equal ones the first row
        return dict(zip((j[order] - humans).tolist(), i[order].tolist(), strict=True))


class _Candidates:
    """The detectors' boxes of a batch as columns, one row for each box. Human boxes are in separate lists.

    `within_label`: the number of the pair (image, label). `within_producer`: the number of the triple (image, label,
    producer).
    """

    def __init__(self, batch: Sequence[Sample], votes: Mapping[str, float], calibration: Calibration) -> None:
        self.regions: list[Region] = []
        self.human: list[Region] = []
        image: list[int] = []
        self.human_image: list[int] = []
        boxes: list[Floats] = []
        for number, sample in enumerate(batch):
            machine = [r for r in sample.regions if r.kind == "object" and r.score is not None]
            clipped = _clipped(machine, sample)
            solid = np.flatnonzero((clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]))
            boxes.append(clipped[solid])
            self.regions += [machine[row] for row in solid]
            image += [number] * len(solid)
            people = [r for r in sample.regions if r.kind == "object" and r.score is None]
            self.human += people
            self.human_image += [number] * len(people)
        self.image = np.array(image, np.int64)
        self.boxes = np.concatenate([np.zeros((0, 4)), *boxes])
        self.human_boxes = np.array([(r.x1, r.y1, r.x2, r.y2) for r in self.human], np.float64).reshape(-1, 4)
        self.producers = [region.producer for region in self.regions]
        self.detectors = sorted({*self.producers, *(name for sample in batch for name in sample.detectors)})
        place = {name: number for number, name in enumerate(self.detectors)}
        self.detector = np.array([place[name] for name in self.producers], np.int64)
        self.votes = np.array([votes.get(name, 1.0) for name in self.detectors], np.float64)
        self.sizes = np.array([(sample.width, sample.height) for sample in batch], np.float64).reshape(-1, 2)
        self.ran = np.zeros((len(batch), len(self.detectors)), np.bool_)
        self.ran[self.image, self.detector] = True  # a detector that gave a box saw the image
        for number, sample in enumerate(batch):
            self.ran[number, [place[name] for name in sample.detectors]] = True
        self.raw = np.clip(np.array([region.score for region in self.regions], np.float64), 0, 1)
        self.scores = calibration.apply(self.producers, self.raw)
        self._number_groups(image)

    def _number_groups(self, image: Sequence[int]) -> None:
        numbers: dict[tuple[int, ...] | tuple[int, str], int] = {}

        def number(key: tuple[int, str]) -> int:
            return numbers.setdefault(key, len(numbers))

        labels = [number((i, without_case(r.label))) for i, r in zip(image, self.regions, strict=True)]
        self.within_label = np.array(labels, np.int64)
        people = [number((i, without_case(r.label))) for i, r in zip(self.human_image, self.human, strict=True)]
        self.human_label = np.array(people, np.int64)
        by_producer = [number((-1 - label, p)) for label, p in zip(labels, self.producers, strict=True)]
        self.within_producer = np.array(by_producer, np.int64)


class _Fused:
    """The merged boxes, one row for each cluster. `calibrated`: the calibrated score of each detector in the cluster; 0
    if it has no box there.
    """

    def __init__(self, table: _Candidates, clusters: list[list[int]]) -> None:
        sizes = np.array([len(members) for members in clusters], np.int64)
        rows = np.array([row for members in clusters for row in members], np.int64)
        starts = np.cumsum(sizes) - sizes
        first = rows[starts]
        number = np.repeat(np.arange(len(clusters)), sizes)
        self.image = table.image[first]
        self.label = table.within_label[first]
        self.calibrated, raw = np.zeros((2, len(clusters), len(table.detectors)))
        self.calibrated[number, table.detector[rows]] = table.scores[rows]
        raw[number, table.detector[rows]] = table.raw[rows]
        weights = trust(self.calibrated, self.image, len(table.ran), table.ran)
        ran = table.ran[self.image]
        self.scores = by_agreement(self.calibrated, weights[self.image], table.votes)
        # A single detector keeps its scores exactly: 0.3 must not become 0.30000000000000004.
        lone = (ran.sum(axis=1) == 1) & (table.votes[table.detector[first]] == 1)
        self.scores[lone] = table.scores[first[lone]]
        # A fit uses the agreement of the raw scores, because it gets the calibrated scores as well.
        weights = trust(raw, self.image, len(table.ran), table.ran)
        self.agreement = by_agreement(raw, weights[self.image], np.ones(len(table.detectors)))
        self.boxes = np.zeros((len(clusters), 4))
        if len(clusters):
            share = (table.votes * weights[table.image])[np.arange(len(table.raw)), table.detector] * table.raw
            share = np.maximum(share, 1e-9)[rows, None]
            self.boxes = np.add.reduceat(table.boxes[rows] * share, starts) / np.add.reduceat(share, starts)
        alone = sizes == 1
        self.boxes[alone] = table.boxes[first[alone]]

    def evidence(self, table: _Candidates) -> Evidence:
        i, j, _ = iou_pairs(self.image, self.boxes, min_iou=RIVAL_IOU)
        other = self.label[i] != self.label[j]
        rival = np.zeros(len(self.scores))
        for one, against in ((i[other], j[other]), (j[other], i[other])):
            np.maximum.at(rival, one, self.agreement[against])
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        area = np.log(np.maximum(sides.prod(axis=1), 1.0) / table.sizes[self.image].prod(axis=1))
        ran, echo = table.ran[self.image], _best_other(self.label, self.agreement)
        return Evidence(tuple(table.detectors), self.calibrated, ran, self.agreement, rival, echo, area)


def _best_other(group: Ints, values: Floats) -> Floats:
    """For each row, the highest value among the other rows of its group; 0 if the group has no other rows."""
    answer = np.zeros(len(values))
    if not len(values):
        return answer
    order = np.lexsort((-values, group))
    starts = np.flatnonzero(np.append(True, group[order][1:] != group[order][:-1]))
    sizes = np.diff(np.append(starts, len(order)))
    answer[order] = np.repeat(values[order][starts], sizes)
    second = np.where(sizes > 1, values[order][np.minimum(starts + 1, len(order) - 1)], 0.0)
    answer[order[starts]] = second
    return answer


def _answers(
    batch: Sequence[Sample],
    table: _Candidates,
    keeper: Ints,
    clusters: list[list[int]],
    fused: _Fused,
    human: Mapping[int, int],
) -> list[Answer]:
    """The answers of a batch. A merged region has the label of its cluster's first member, with the same spelling."""
    answers = [Answer() for _ in batch]
    target: dict[int, str] = {}
    support: dict[int, list[str]] = defaultdict(list)
    boxes, scores = fused.boxes.tolist(), fused.scores.tolist()
    for number in np.argsort(-fused.scores, kind="stable").tolist():
        members = clusters[number]
        ids = [table.regions[member].id for member in members]
        if number in human:
            name = table.human[human[number]].id
            support[human[number]] += ids
        else:
            regions = answers[int(table.image[members[0]])].regions
            name = str(len(regions))
            label = table.regions[members[0]].label
            regions.append(_region(boxes[number], label, name, scores[number], ids))
        for member in members:
            target[member] = name
    for row, region in enumerate(table.human):
        answers[table.human_image[row]].regions.append(_copy(region, "", support.get(row, [])))
    stands = keeper.tolist()
    for row, region in enumerate(table.regions):
        answers[table.image[row]].regions.append(_copy(region, target[stands[row]], region.support))
    return answers


def _region(box: Sequence[float], label: str, name: str, score: float, ids: list[str]) -> Region:
    x1, y1, x2, y2 = box
    region = Region(x1, y1, x2, y2, label, id=name, score=score, score_kind="consensus")
    region.support, region.parents = ids, list(ids)
    return region


_COMMON = {field.name for field in fields(Annotation)}
_own_fields = attrgetter(*(field.name for field in fields(Region) if field.name not in _COMMON))


def _copy(r: Region, merged_into: str, support: list[str]) -> Region:
    """A copy of a region with another `merged_into` and `support`. copy.copy takes five times as long, and there are
    many candidates.
    """
    same = Region(*_own_fields(r))
    same.id, same.producer, same.round, same.parents = r.id, r.producer, r.round, r.parents
    same.score, same.score_kind = r.score, r.score_kind
    same.merged_into, same.support = merged_into, support
    return same


def _clipped(regions: Sequence[Region], sample: Sample) -> Floats:
    """The boxes cut at the edges of the image. A box that is not finite becomes a box without area."""
    boxes = np.array([(r.x1, r.y1, r.x2, r.y2) for r in regions], np.float64).reshape(-1, 4)
    inside = clipped_boxes(boxes, sample.width, sample.height)
    return np.asarray(np.where(np.isfinite(boxes).all(axis=1, keepdims=True), inside, 0.0))
