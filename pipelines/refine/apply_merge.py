"""Merges the students' proposals into the record of a shard: the node `round-<number>-merge`.

Nothing is lost: the new record holds every earlier region. A region that was replaced points at its successor
(`merged_into`), and a region that was dropped has a decision. Region texts and phrases follow their regions
(engine/records/shard.py), and are dropped with them. apply_text_merge.py merges texts in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.component import Output
from engine.records.boxes import iou, row_box
from engine.records.shard import one_array
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table
from engine.storage.commits import Commits
from filters.judging.apply_rules import FOLLOWING
from pipelines.refine.apply_text_merge import RegionsAfter, TextMerge
from pipelines.refine.changes import Changes
from pipelines.refine.evidence import Evidence, read_evidence
from pipelines.refine.merge_counts import RegionCounts
from pipelines.refine.rows import KeptShard, Row, region_row
from refinement.folds import fold_of
from refinement.merge import Change, Given, Proposed, merge_regions
from refinement.options import MergeRules, held

LABEL_SCORE = "label_probability"  # score_kind of a region whose label a student gave
MASK_LOST = "mask_lost"  # rule of a second change: the region moved, so it lost its mask

_COLUMNS = ("regions", "texts", "region_texts", "phrases")
_GIVEN = ("image_id", *_COLUMNS, "failures")


@dataclass(slots=True)
class _Shard:
    """What the merge of one shard reads and writes. It goes from image to image."""

    evidence: Mapping[tuple[str, str], Evidence]
    changes: Changes
    counts: RegionCounts
    texts: TextMerge | None
    rows: list[Row] = field(default_factory=list)


class Merge:
    """The merge of a round.

    held: the pairs of labels in refine.hold_labels. written: the options of TextMerge; None if no task writes texts.
    """

    def __init__(
        self,
        *,
        name: str,
        round_number: int,
        record: list[Any],
        judge: str,
        propose: str,
        folds: int,
        options: Mapping[str, Any],
        held: Sequence[Sequence[str]],
        written: Mapping[str, Any] | None = None,
    ) -> None:
        self.written = written
        self.name, self.round, self.record, self.judge, self.propose = name, round_number, record, judge, propose
        self.folds, self.given, self.held = folds, options, held

    def load(self) -> None:
        self.options = merge_rules(self.given, self.held)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = KeptShard(inputs, self.record, self.judge)
        kept_rows = {row["image_id"]: row for row in kept.rows}
        proposals = {row["image_id"]: row for row in inputs.table(self.propose).to_pylist()}
        out = self._new_shard(inputs, kept)
        for row in kept.record.to_pylist():
            row |= {"texts": [], "phrases": []}  # earlier texts and phrases stay with their nodes
            proposal = proposals[row["image_id"]]
            if row["image_id"] in kept_rows and not proposal["failures"]:
                own = kept_rows[row["image_id"]]
                after = self._merge_regions(row, own, proposal, out)
                if out.texts:
                    out.texts.merge_image(row, own, proposal, after, out.changes)
            out.rows.append({name: row[name] for name in _GIVEN})
        tables = {"data": record_table(out.rows), **out.changes.tables()}
        revision = inputs.unit.revision
        files = {
            name: commits.put_table(shard, table, revision, *(() if name == "data" else (name,)))
            for name, table in tables.items()
        }
        counts = {**out.counts.totals(), "changes": out.changes.counts()}
        counts |= {"texts": out.texts.counts.totals()} if out.texts else {}
        return Output(files, len(out.rows), counts=counts)

    def _new_shard(self, inputs: ShardInputs, kept: KeptShard) -> _Shard:
        texts = None
        if self.written:
            texts = TextMerge(self.name, self.round, self.options, inputs, self.propose, **self.written)
        decided = list(_decided_before(kept, _COLUMNS if self.written else _COLUMNS[:1]))
        changes = Changes(self.round, decided)
        return _Shard(read_evidence(inputs, self.propose), changes, RegionCounts(self.options), texts)

    def _merge_regions(self, row: Row, kept: Row, proposal: Row, out: _Shard) -> RegionsAfter:
        """Merges the regions of one image into `row`."""
        image_id = row["image_id"]
        given = list(_given(kept, out.evidence))
        proposed = [_proposed(region, out.evidence[image_id, region["id"]]) for region in proposal["regions"]]
        changes = merge_regions(given, proposed, self.options)
        out.counts.add(fold_of(image_id, self.folds), given, proposed, changes)
        standing = {region["id"]: region for region in kept["regions"]}
        after = RegionsAfter(standing, {}, any(change.rule != "moved" for change in changes))
        by_id = {region["id"]: region for region in row["regions"]}
        for change in changes:
            self._apply(change, by_id.get(change.old), row, after, out.changes)
        return after

    def _apply(self, change: Change, old: Row | None, row: Row, after: RegionsAfter, changes: Changes) -> None:
        """Applies one change. old: the region that is changed; None if a region is added."""
        image_id, new = row["image_id"], self._new_region(change, old, row)
        after.standing.pop(change.old, None)
        if new is not None:
            row["regions"].append(new)
            after.standing[new["id"]] = new
            if old is not None:
                after.became[change.old] = old["merged_into"] = new["id"]
        elif old is not None:
            changes.drop(image_id, change.old, change.rule, change.value, change.threshold)
        ids = (change.old, new["id"] if new else "")
        labels = (old["label"] if old else "", change.new.label if change.new else "")
        changes.add(image_id, change.rule, ids, labels, change.value, change.threshold)
        if old is not None and new is not None and old["rle"] and not new["rle"]:
            moved = iou(row_box(old), row_box(new))
            changes.add(image_id, MASK_LOST, ids, labels, moved, self.options.mask_iou)

    def _new_region(self, change: Change, old: Row | None, row: Row) -> Row | None:
        """The region that replaces `old` or is added. None if the change gives no new region."""
        new = change.new
        if new is None:
            return None
        name = f"{self.name}/{sum(region['producer'] == self.name for region in row['regions'])}"
        parents = [parent for parent in (change.old, change.by) if parent]
        kind = old["score_kind"] if old is not None and change.rule == "moved" else LABEL_SCORE
        region = region_row(name, self.name, self.round, new.label, new.box, new.score, kind, parents)
        if old is not None and new.keeps_shape:
            region |= {"rle": old["rle"], "quad": old["quad"]}
        return region


def merge_rules(options: Mapping[str, Any], hold_labels: Sequence[Sequence[str]]) -> MergeRules:
    """The rules of a merge. `options`: the fields of refine.merge. `hold_labels`: refine.hold_labels."""
    return MergeRules(**options, keep_labels=held(hold_labels))


def _given(kept: Row, evidence: Mapping[tuple[str, str], Evidence]) -> Iterator[Given]:
    """Yields the kept objects. An object that people described in a text counts as human, so that no rule drops it."""
    described = {item["region_id"] for item in kept["region_texts"] if item["score"] is None}
    for region in kept["regions"]:
        if region["kind"] != "object":
            continue
        found = evidence.get((kept["image_id"], region["id"]))
        yield Given(
            id=region["id"],
            kind=region["kind"],
            label=region["label"],
            box=row_box(region),
            score=region["score"],
            human=region["score"] is None or region["id"] in described,
            likelihood=found.location if found else None,
            label_likelihood=found.label if found else None,
            has_mask=bool(region["rle"]),
        )


def _proposed(region: Row, evidence: Evidence) -> Proposed:
    return Proposed(
        id=region["id"],
        label=region["label"],
        box=row_box(region),
        score=region["score"],
        label_score=evidence.label,
        location=evidence.location,
    )


def _decided_before(kept: KeptShard, columns: Sequence[str]) -> Iterator[Row]:
    """Yields the earlier decisions again, with the same rules and numbers: what was dropped stays dropped."""
    names = kept.record["image_id"].to_pylist()
    for column in columns:
        lists = one_array(kept.verdicts[column]).to_pylist()
        items = one_array(kept.record[column]).to_pylist()
        for image_id, verdicts, own in zip(names, lists, items, strict=True):
            for verdict, item in zip(verdicts, own, strict=True):
                if not verdict["kept"] and not item.get("merged_into") and verdict["rule"] not in FOLLOWING:
                    yield {"image_id": image_id, "region_id": item["id"], "rule": verdict["rule"]} | {
                        "value": verdict["value"],
                        "threshold": verdict["threshold"],
                    }
