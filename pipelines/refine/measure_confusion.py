"""Reports which pairs of labels look systematically confused, with example boxes, before any label changes.

A round has two reports in `rounds/noise`, each a JSON file and a contact sheet (confusion_sheet.py). The report by
people is made before training, from the audit images that they labelled. The report by students is made before the gate
decides, from images that they were not trained on. Both are for the user. No node may read them, because the first
report holds human labels of audit images, which must stay out of training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.layout import CONFUSION, IMAGES
from engine.reading.dataset import Dataset
from engine.records.boxes import Box, row_box
from engine.records.labels import plain_label
from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from model.evaluate.detections import Detection, Truth
from pipelines.evaluation.truth import audit_truth
from pipelines.filter.kept_record import records, records_of
from pipelines.refine.audit import Side, dataset_of
from pipelines.refine.confusion_report import (
    ConfusionReport,
    ExampleBox,
    ReportedPair,
    read_report,
    write_report,
)
from pipelines.refine.confusion_sheet import draw_sheet
from pipelines.refine.rows import Row
from refinement.confusion import (
    Called,
    ConfusedPair,
    added,
    called_by_people,
    confused_by_people,
    confused_pairs,
    doubts,
)
from refinement.match import paired
from refinement.measures import named
from refinement.options import MergeRules

NOISE_VERSION = 1
SPLIT = "audit-fit"
EXAMPLES = 8  # how many boxes are shown for each pair
_PEOPLE_IOU = 0.5  # the default of refinement.measures.named


class OtherBox(NamedTuple):
    """A box by people or by a student. score: the student's probability of the label; None for people."""

    label: str
    box: Box
    score: float | None


@dataclass(frozen=True, slots=True)
class CommittedReport:
    """A report and where it is stored. stem: its path without the ending. new: whether this run wrote it."""

    report: ConfusionReport
    stem: str
    new: bool


Examples = Mapping[tuple[str, str], list[ExampleBox]]  # by the two labels of a pair


def people_report(storage: Storage, side: Side, number: int) -> CommittedReport | None:
    """Compares the kept labels of audit images with human ones. None if nobody labelled objects in them."""
    judge = side[1]
    key = [judge.key, _revisions(storage, judge.folder), _revisions(storage, IMAGES)]

    def make() -> ConfusionReport | None:
        dataset = dataset_of(storage, *side)
        try:
            truth = audit_truth(dataset, SPLIT).objects
        except ConfigError:
            return None
        if not any(image.objects for image in truth.values()):
            return None
        _, kept = records(dataset, set(truth))
        own = {name: _objects(kept.get(name)) for name in truth}
        compared = named(truth, {name: [_detection(region) for region in some] for name, some in own.items()})
        pairs = confused_by_people(compared)
        examples = _no_examples(pairs)
        for name in sorted(truth) if pairs else ():
            _add_examples(examples, name, own[name], _by_people(truth[name].objects), iou=_PEOPLE_IOU)
        of = f"of {len(truth)} {SPLIT} images, compared with the labels of people; not used for training"
        return _report(number, "people", of, called_by_people(compared), pairs, examples)

    return _committed(storage, f"{CONFUSION}/{number}-people", key, make)


def students_report(
    storage: Storage, side: Side, propose: Node, merge: Node, number: int, options: MergeRules
) -> CommittedReport | None:
    """Compares the kept labels with those of the students. The counts are those of the node `merge`.

    The example boxes are from the first shards that have enough of them.
    """

    def make() -> ConfusionReport:
        counted: list[Called] = [record.counts["called"] for record in Commits(storage, merge.folder).latest_records()]
        called = added(counted)
        pairs = confused_pairs(called)
        examples = _no_examples(pairs)
        shards = _Shards(storage, side, propose)
        for shard, own in enumerate(counted):
            wanted = {pair for pair, boxes in examples.items() if len(boxes) < EXAMPLES}
            if wanted & _sure_pairs(own):
                for image_id, regions, proposed in shards.images(shard):
                    _add_examples(
                        examples, image_id, regions, proposed, iou=options.match_iou, min_score=options.relabel
                    )
        of = "of the kept boxes, compared with students that were not trained on these images"
        return _report(number, "students", of, called, pairs, examples)

    key = [merge.key, _revisions(storage, merge.folder)]
    return _committed(storage, f"{CONFUSION}/{number}-students", key, make)


# --- a report ----------------------------------------------------------------------------------


def _committed(
    storage: Storage, stem: str, key: Sequence[object], make: Callable[[], ConfusionReport | None]
) -> CommittedReport | None:
    """The committed report. If there is none, `make` makes it. Draws the sheet if it is missing."""
    name = f"{stem}-{stable_hash(['noise', NOISE_VERSION, *key])[:8]}"
    new = not storage.exists(f"{name}.json")
    if new:
        made = make()
        if made is None:
            return None
        write_report(storage, f"{name}.json", made)
    report = read_report(storage, f"{name}.json")
    if report.pairs and not storage.exists(f"{name}.png"):
        storage.create(f"{name}.png", draw_sheet(storage, report))
    return CommittedReport(report, name, new)


def _report(
    number: int, by: str, of: str, called: Called, pairs: Sequence[ConfusedPair], examples: Examples
) -> ConfusionReport:
    shown = [ReportedPair(pair, _surest(examples[pair.given, pair.likely])[:EXAMPLES]) for pair in pairs]
    return ConfusionReport(number, by, of, shown, doubts(called))


def _surest(boxes: Iterable[ExampleBox]) -> list[ExampleBox]:
    return sorted(boxes, key=lambda one: (-(one.score or 0.0), one.image_id, one.region_id))


def _revisions(storage: Storage, folder: str) -> list[int]:
    return [int(revision) for revision in Commits(storage, folder).revisions()]


# --- example boxes -----------------------------------------------------------------------------


def _no_examples(pairs: Iterable[ConfusedPair]) -> Examples:
    return {(pair.given, pair.likely): [] for pair in pairs}


def _add_examples(
    examples: Examples,
    image_id: str,
    regions: Sequence[Row],
    others: Sequence[OtherBox],
    *,
    iou: float,
    min_score: float = 0.0,
) -> None:
    """Adds boxes of one image as examples of pairs of labels.

    `regions`: boxes of the annotators, with the first label of a pair. `others`: boxes of people or students, with the
    second. `iou`: the overlap from which two boxes count as the same. `min_score`: the lowest score of a student's box.
    """
    names = [plain_label(region["label"]) for region in regions], [plain_label(other.label) for other in others]
    rows = paired([row_box(region) for region in regions], [other.box for other in others], names, iou=iou)
    for a, b in rows.items():
        score = others[b].score
        boxes = examples.get((names[0][a], names[1][b]))
        if boxes is not None and (score is None or score >= min_score):
            boxes.append(ExampleBox(image_id, regions[a]["id"], row_box(regions[a]), score))


def _objects(row: Mapping[str, Any] | None) -> list[Row]:
    return [region for region in (row["regions"] if row else ()) if region["kind"] == "object"]


def _detection(region: Row) -> Detection:
    return Detection(region["label"], row_box(region), 1.0)


def _by_people(objects: Iterable[Truth]) -> list[OtherBox]:
    return [OtherBox(one.label, one.box, None) for one in objects if not one.crowd]


def _sure_pairs(called: Called) -> set[tuple[str, str]]:
    """(annotators' label, students' label) of the boxes in a shard for which a student is sure of its label."""
    return {
        (plain_label(label), plain_label(other))
        for label, others in called.items()
        for other, (sure, _) in others.items()
        if sure
    }


class _Shards:
    """Reads the kept boxes and the students' boxes of a shard, as the merge did."""

    def __init__(self, storage: Storage, side: Side, propose: Node) -> None:
        self.storage = storage
        self.dataset: Dataset = dataset_of(storage, *side)
        self.judged = self.dataset.judged_files()
        commits = Commits(storage, propose.folder)
        self.proposed, self.evidence = commits.data_files(), commits.data_files("evidence")

    def images(self, shard: int) -> Iterator[tuple[str, list[Row], list[OtherBox]]]:
        """Yields (image id, kept objects, students' boxes) for each image in which a student found something."""
        found = [row for row in self._rows(self.proposed[shard]) if row["regions"] and not row["failures"]]
        sure = {(row["image_id"], row["region_id"]): row["label"] for row in self._rows(self.evidence[shard])}
        _, kept = records_of(self.dataset, shard, self.judged.get(shard), {row["image_id"] for row in found})
        for row in found:
            name = row["image_id"]
            proposed = [OtherBox(one["label"], row_box(one), sure[name, one["id"]]) for one in row["regions"]]
            yield name, _objects(kept.get(name)), proposed

    def _rows(self, path: str) -> list[Row]:
        rows: list[Row] = TableReader(self.storage, path).read().to_pylist()
        return rows
