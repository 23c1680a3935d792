"""From the boxes of all detectors, and of people, to one region an object.

No score is cut before fusion: a weak box that another detector confirms is what agreement gains. Scores of
different models are not on one scale; `calibration` and `votes` are where that is put right, before they
are combined. Where a person drew a box, that box stands as it is and machines only support it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from engine.calibration import Calibration
from engine.errors import ConfigError
from engine.pairs import iou_pairs, suppressors
from engine.ranges import Share
from engine.schema import Answer, Region, Sample

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Consensus:
    """Fused score: 1 - product of (1 - score) ** votes over the members, as of independent witnesses.

    It needs no knowledge of who was asked and said nothing, keeps a lone detector's score as it is, and
    never falls when somebody agrees. Fused box: mean of the members', weighted by votes * score.

    Options. iou: boxes of one label that overlap as much are one object. nms_iou: and as much are
    duplicates, within one producer. votes: {producer: weight}, 1 for whom is not named.
    calibration: path or URL of a JSON file of curves, one a producer (engine/calibration.py says what it holds);
    scores become the probability of being right before anything else is done with them.
    """

    needs: ClassVar[tuple[str, ...]] = ("boxes",)
    gives: ClassVar[tuple[str, ...]] = ("regions",)
    replaces: ClassVar[tuple[str, ...]] = ("boxes",)  # its answer holds every candidate again, with where it went
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

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
                raise ConfigError(f"Consensus counts '{name}' with {weight} votes; give more than 0, or leave it out.")
        self.iou, self.nms_iou = iou, nms_iou
        self.votes, self.calibration = votes, Calibration({})
        self.weights = (calibration,) if calibration else ()  # its content makes answers stale, not its place
        self.batch_size = batch_size

    def load(self) -> None:
        for path in self.weights:
            self.calibration = Calibration.read(path)

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """The whole new list of object regions: fused ones, human ones as they were, then every candidate.

        A candidate without area inside its image is left out: the detector's own answer still shows it.
        """
        table = _Candidates(batch, self.votes, self.calibration)
        keeper = self._duplicates(table)
        clusters = self._clusters(table, np.flatnonzero(keeper == np.arange(len(keeper))))
        fused = _Fused(table, clusters)
        human = self._human_partners(table, clusters, fused)
        return _answers(batch, table, keeper, clusters, fused, human)

    def _duplicates(self, table: _Candidates) -> Ints:
        """For each candidate the one of its own producer that stands for it; itself, mostly."""
        i, j, _ = iou_pairs(table.within_producer, table.boxes, min_iou=self.nms_iou)
        pair = suppressors(i, j, table.scores)
        keeper = np.arange(len(table.scores))
        gone = np.flatnonzero(pair >= 0)
        keeper[gone] = i[pair[gone]] + j[pair[gone]] - gone
        return keeper

    def _clusters(self, table: _Candidates, kept: Ints) -> list[list[int]]:
        """Best first, each candidate joins the leader it overlaps most, unless its producer is there already."""
        kept = kept[np.argsort(-table.scores[kept], kind="stable")]
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
        """{cluster: row of the human box it agrees with}: same label, the one that overlaps most."""
        if not table.human:
            return {}
        group = np.concatenate([table.human_label, [table.within_label[members[0]] for members in clusters]])
        boxes = np.concatenate([table.human_boxes, fused.boxes])
        i, j, iou = iou_pairs(group.astype(np.int64), boxes, min_iou=self.iou)
        humans = len(table.human)
        mixed = np.flatnonzero((i < humans) & (j >= humans))
        order = mixed[np.lexsort((-i[mixed], iou[mixed]))]  # the last one written stays: most overlap, then first
        return dict(zip((j[order] - humans).tolist(), i[order].tolist(), strict=True))


class _Candidates:
    """The machine boxes of a batch as columns, one row each, and the human ones beside them.

    `within_label` and `within_producer` number (image, label) and (image, label, producer).
    """

    def __init__(self, batch: Sequence[Sample], votes: Mapping[str, float], calibration: Calibration) -> None:
        self.regions: list[Region] = []
        self.human: list[Region] = []
        self.image: list[int] = []
        self.human_image: list[int] = []
        boxes: list[Floats] = []
        for number, sample in enumerate(batch):
            machine = [r for r in sample.regions if r.kind == "object" and r.score is not None]
            clipped = _clipped(machine, sample)
            solid = np.flatnonzero((clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]))
            boxes.append(clipped[solid])
            self.regions += [machine[row] for row in solid]
            self.image += [number] * len(solid)
            people = [r for r in sample.regions if r.kind == "object" and r.score is None]
            self.human += people
            self.human_image += [number] * len(people)
        self.boxes = np.concatenate([np.zeros((0, 4)), *boxes])
        self.human_boxes = np.array([(r.x1, r.y1, r.x2, r.y2) for r in self.human], np.float64).reshape(-1, 4)
        self.producers = [region.producer for region in self.regions]
        self.weights = np.array([votes.get(name, 1.0) for name in self.producers], np.float64)
        raw = np.clip(np.array([region.score for region in self.regions], np.float64), 0, 1)
        self.scores = calibration.apply(self.producers, raw)
        self._number_groups()

    def _number_groups(self) -> None:
        numbers: dict[tuple[int, ...] | tuple[int, str], int] = {}

        def number(key: tuple[int, str]) -> int:
            return numbers.setdefault(key, len(numbers))

        labels = [number((i, _plain(r.label))) for i, r in zip(self.image, self.regions, strict=True)]
        self.within_label = np.array(labels, np.int64)
        people = [number((i, _plain(r.label))) for i, r in zip(self.human_image, self.human, strict=True)]
        self.human_label = np.array(people, np.int64)
        by_producer = [number((-1 - label, p)) for label, p in zip(labels, self.producers, strict=True)]
        self.within_producer = np.array(by_producer, np.int64)


class _Fused:
    """One row a cluster: `boxes` n x 4, `scores` n."""

    def __init__(self, table: _Candidates, clusters: list[list[int]]) -> None:
        sizes = np.array([len(members) for members in clusters], np.int64)
        rows = np.array([row for members in clusters for row in members], np.int64)
        starts = np.cumsum(sizes) - sizes
        boxes, scores, votes = table.boxes[rows], table.scores[rows], table.weights[rows]
        if not len(rows):
            self.boxes, self.scores = boxes, scores
            return
        share = (votes * np.maximum(scores, 1e-9))[:, None]
        self.boxes = np.add.reduceat(boxes * share, starts) / np.add.reduceat(share, starts)
        with np.errstate(divide="ignore"):  # a witness who is certain: log(0)
            self.scores = -np.expm1(np.add.reduceat(votes * np.log1p(-scores), starts))
        # Whom nobody joined stays exactly what it was: 0.3 must not become 0.30000000000000004.
        alone = sizes == 1
        self.boxes[alone] = boxes[starts[alone]]
        plain = alone & (votes[starts] == 1)
        self.scores[plain] = scores[starts[plain]]


def _answers(
    batch: Sequence[Sample],
    table: _Candidates,
    keeper: Ints,
    clusters: list[list[int]],
    fused: _Fused,
    human: Mapping[int, int],
) -> list[Answer]:
    """The first of a cluster's members led it, and gives the label as it writes it."""
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
            regions = answers[table.image[members[0]]].regions
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


def _copy(r: Region, merged_into: str, support: list[str]) -> Region:
    """Spelt out, because copy.copy takes five times as long and there are a hundred an image and detector."""
    same = Region(r.x1, r.y1, r.x2, r.y2, r.label, r.kind, r.quad, r.rle, merged_into, support)
    same.id, same.producer, same.round, same.parents = r.id, r.producer, r.round, r.parents
    same.score, same.score_kind = r.score, r.score_kind
    return same


def _clipped(regions: Sequence[Region], sample: Sample) -> Floats:
    """What is not finite becomes a box without area."""
    boxes = np.array([(r.x1, r.y1, r.x2, r.y2) for r in regions], np.float64).reshape(-1, 4)
    edge = np.array([sample.width, sample.height] * 2, np.float64)
    return np.asarray(np.where(np.isfinite(boxes).all(axis=1, keepdims=True), np.clip(boxes, 0, edge), 0.0))


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
