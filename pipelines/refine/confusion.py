"""Which pairs of labels look systematically confused: said before labels change, with boxes to look at.

A round has two reports in `rounds/noise`, each a json and a contact sheet (noise_sheet.py). Before anything is trained
by people, of the audit images they labelled; before the gate decides by students, of images that they had not learned.
Both are for a person to read. No node reads them: people's labels of audit images are in one, and stay out of training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.layout import CONFUSION, IMAGES
from engine.reading.dataset import Dataset
from engine.records.labels import plain_label
from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from model.evaluate.detections import Box, Detection
from pipelines.evaluation.truth import audit_truth, box_of
from pipelines.filter.kept_record import records, records_of
from pipelines.refine.audit import Side, dataset_of
from pipelines.refine.confusion_sheet import drawn
from refinement.confusion import (
    Called,
    ConfusedPair,
    added,
    called_by_people,
    confused_by_people,
    confused_pairs,
    doubts,
    to_hold,
)
from refinement.match import paired
from refinement.measures import named
from refinement.options import MergeOptions, held

NOISE_VERSION = 1
SPLIT = "audit-fit"
EXAMPLES = 8  # boxes to show of a pair
_PEOPLE_IOU = 0.5  # as refinement.measures.named has it
_TOLD = 5  # pairs that a note names
Report = dict[str, Any]  # as the json has it, and `name`, its path without an ending
Found = dict[tuple[str, str], list[dict[str, Any]]]  # by pair, the boxes that are such
Seen = Sequence[tuple[str, Box, float | None]]  # label, place, how sure of the label; people give no number


def by_people(storage: Storage, side: Side, number: int) -> Report | None:
    """None where nobody labelled audit images. No student is needed."""
    judge = side[1]
    key = [judge.key, _revisions(storage, judge.folder), _revisions(storage, IMAGES)]

    def made() -> Report | None:
        dataset = dataset_of(storage, *side)
        try:
            truth = audit_truth(dataset, SPLIT).objects
        except ConfigError:
            return None
        if not any(image.objects for image in truth.values()):
            return None
        _, kept = records(dataset, set(truth))
        own = {name: _objects(kept.get(name)) for name in truth}
        said = named(
            truth, {name: [Detection(one["label"], box_of(one), 1.0) for one in some] for name, some in own.items()}
        )
        pairs = confused_by_people(said)
        found = _nothing_of(pairs)
        for name in sorted(truth) if pairs else ():
            people: Seen = [(one.label, one.box, None) for one in truth[name].objects if not one.crowd]
            _find(found, name, own[name], people, iou=_PEOPLE_IOU)
        told = f"of {len(truth)} {SPLIT} images, by what people said of them; not to train on"
        return _report(number, "people", told, called_by_people(said), pairs, found)

    return _once(storage, f"{CONFUSION}/{number}-people", key, made)


def by_students(
    storage: Storage, side: Side, propose: Node, merge: Node, number: int, options: MergeOptions
) -> Report | None:
    """Of what `merge` has counted; boxes to show are of the first shards that have enough."""
    revisions = _revisions(storage, merge.folder)

    def made() -> Report:
        commits = Commits(storage, merge.folder)
        counted: list[Called] = [commits.record(n, revision).counts["called"] for n, revision in enumerate(revisions)]
        called = added(counted)
        pairs = confused_pairs(called)
        found = _nothing_of(pairs)
        shards = _Proposals(storage, side, propose)
        for shard, own in enumerate(counted):
            wanted = {pair for pair, boxes in found.items() if len(boxes) < EXAMPLES}
            if wanted & _surely(own):
                for image_id, regions, proposed in shards.of(shard):
                    _find(found, image_id, regions, proposed, iou=options.match_iou, sure=options.relabel)
        told = "of the kept boxes, by students that have not learned these images"
        return _report(number, "students", told, called, pairs, found)

    return _once(storage, f"{CONFUSION}/{number}-students", [merge.key, revisions], made)


def notes(report: Report, url: str, hold_labels: Sequence[Sequence[str]]) -> list[str]:
    """What a run says of it: nothing where no pair is confused. `hold_labels` are what the recipe holds already."""
    number, by, pairs = report["round"], report["by"], report["pairs"]
    already = held(hold_labels)
    lines = []
    for pair in pairs[:_TOLD]:
        whole = f"what is '{pair['likely']}'" if by == "people" else f"what annotators call '{pair['given']}'"
        out = ", held out" if _is_held(pair, already) else ""
        lines.append(
            f"round {number} CONFUSED: '{pair['given']}' is '{pair['likely']}' to {by} in {pair['count']:,} boxes "
            f"({pair['share']:.0%} of {whole}){out}"
        )
    if more := len(pairs) - _TOLD:
        lines += [f"round {number} CONFUSED: {more} more pairs to {by}, in {url}/{report['name']}.json"] * (more > 0)
    if pairs:
        lines.append(f"  the boxes: {url}/{report['name']}.png")
    if any(not _is_held(pair, already) for pair in pairs):
        new = [pair for pair in report["hold"] if frozenset(map(plain_label, pair)) not in already]
        lines.append(f"  to hold such pairs out: {recipe_line([*map(list, hold_labels), *new])}")
    return lines


def pairs_of(report: Report | None) -> list[ConfusedPair]:
    """The pairs without their boxes, for the decision."""
    pairs = report["pairs"] if report else ()
    return [ConfusedPair(**{name: value for name, value in pair.items() if name != "boxes"}) for pair in pairs]


def recipe_line(pairs: Sequence[Sequence[str]]) -> str:
    """To paste into a recipe."""
    import yaml

    told = yaml.safe_dump({"hold_labels": [list(pair) for pair in pairs]}, default_flow_style=True, width=10**6)
    return f"refine: {told.strip()}"


def _is_held(pair: Mapping[str, Any], already: frozenset[frozenset[str]]) -> bool:
    return frozenset((pair["given"], pair["likely"])) in already


# --- a report ----------------------------------------------------------------------------------


def _once(storage: Storage, stem: str, key: Sequence[Any], made: Callable[[], Report | None]) -> Report | None:
    """The committed report, made now if there is none (`new` tells), and its sheet if that is not there."""
    name = f"{stem}-{stable_hash(['noise', NOISE_VERSION, *key])[:8]}"
    new = not storage.exists(f"{name}.json")
    if new:
        report = made()
        if report is None:
            return None
        storage.create(f"{name}.json", seal(report))
    found: Report = read_sealed(storage, f"{name}.json")
    if found["pairs"] and not storage.exists(f"{name}.png"):
        storage.create(f"{name}.png", drawn(storage, found))
    return found | {"name": name, "new": new}


def _report(number: int, by: str, told: str, called: Called, pairs: Sequence[ConfusedPair], found: Found) -> Report:
    return {
        "round": number,
        "by": by,
        "of": told,
        "pairs": [asdict(pair) | {"boxes": _surest(found[pair.given, pair.likely])[:EXAMPLES]} for pair in pairs],
        "hold": to_hold(pairs),
        "recipe": recipe_line(to_hold(pairs)) if pairs else "",
        "labels": [asdict(doubt) for doubt in doubts(called)],
    }


def _surest(boxes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(boxes, key=lambda one: (-(one["score"] or 0.0), one["image_id"], one["region_id"]))


def _revisions(storage: Storage, folder: str) -> list[int]:
    return [int(revision) for revision in Commits(storage, folder).revisions()]


# --- boxes to look at --------------------------------------------------------------------------


def _nothing_of(pairs: Iterable[ConfusedPair]) -> Found:
    return {(pair.given, pair.likely): [] for pair in pairs}


def _find(
    found: Found, image_id: str, regions: Sequence[Mapping[str, Any]], others: Seen, *, iou: float, sure: float = 0.0
) -> None:
    """Add the boxes of an image that are of a pair: called one thing by annotators and surely the other by others."""
    names = [plain_label(one["label"]) for one in regions], [plain_label(label) for label, _, _ in others]
    rows = paired([box_of(one) for one in regions], [box for _, box, _ in others], names, iou=iou)
    for a, b in rows.items():
        score = others[b][2]
        boxes = found.get((names[0][a], names[1][b]))
        if boxes is not None and (score is None or score >= sure):
            region = regions[a]
            boxes.append({"image_id": image_id, "region_id": region["id"], "box": box_of(region), "score": score})


def _objects(row: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [region for region in (row["regions"] if row else ()) if region["kind"] == "object"]


def _surely(called: Called) -> set[tuple[str, str]]:
    """The pairs of which students are sure anywhere in a shard."""
    return {
        (plain_label(label), plain_label(other))
        for label, others in called.items()
        for other, (sure, _) in others.items()
        if sure
    }


class _Proposals:
    """What annotators and students say of the images of a shard, as the merge saw it."""

    def __init__(self, storage: Storage, side: Side, propose: Node) -> None:
        self.storage = storage
        self.dataset: Dataset = dataset_of(storage, *side)
        self.judged = self.dataset.judged_files()
        commits = Commits(storage, propose.folder)
        self.proposed, self.evidence = commits.data_files(), commits.data_files("evidence")

    def of(self, shard: int) -> Iterator[tuple[str, list[Mapping[str, Any]], Seen]]:
        said = [row for row in self._rows(self.proposed[shard]) if row["regions"] and not row["failures"]]
        sure = {(row["image_id"], row["region_id"]): row["label"] for row in self._rows(self.evidence[shard])}
        _, kept = records_of(self.dataset, shard, self.judged.get(shard), {row["image_id"] for row in said})
        for row in said:
            name = row["image_id"]
            proposed: Seen = [(one["label"], box_of(one), sure[name, one["id"]]) for one in row["regions"]]
            yield name, _objects(kept.get(name)), proposed

    def _rows(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = TableReader(self.storage, path).read().to_pylist()
        return rows
